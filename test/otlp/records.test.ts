// Log records and spans, there and back, against the oracle.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { checkRequest } from '../../src/otlp/check.ts';
import {
  encodeAnyValue,
  encodeLogRecord,
  encodeResource,
  encodeScope,
  encodeSpan,
  MAX_VALUE_DEPTH,
} from '../../src/otlp/encode-records.ts';
import { encodeLogsRequest, encodeTracesRequest } from '../../src/otlp/encode-requests.ts';
import { decodeLogs } from '../../src/otlp/logs.ts';
import type { AnyValue } from '../../src/otlp/model.ts';
import { decodeTraces } from '../../src/otlp/traces.ts';
import { WireWriter } from '../../src/otlp/wire-writer.ts';
import { attributes, logRecord, resource, scope, span, value } from './arbitraries.ts';
import {
  attributesOf,
  decode,
  encode,
  hex,
  long,
  modelValue,
  oracleAttributes,
  oracleValue,
  type Plain,
  plain,
  TYPES,
} from './oracle.ts';

const writer = new WireWriter();
function written(write: (writer: WireWriter) => void): Uint8Array {
  writer.reset();
  write(writer);
  return writer.copy();
}

describe('values', () => {
  it('are read by the oracle as they were written', () => {
    fc.assert(
      fc.property(value, original => {
        const seen = decode(
          TYPES.value,
          written(w => encodeAnyValue(w, original)),
        );
        expect(plain(modelValue(seen))).toEqual(plain(original));
      }),
      { numRuns: 500 },
    );
  });

  it('beyond int64 travel as decimal text, and what OTLP has no type for as the empty value', () => {
    const one = (input: unknown) =>
      modelValue(
        decode(
          TYPES.value,
          written(w => encodeAnyValue(w, input as AnyValue)),
        ),
      );
    expect(one(2n ** 63n)).toBe('9223372036854775808');
    expect(one(-(2n ** 63n))).toBe(-(2n ** 63n));
    expect(one(undefined)).toBeNull();
    expect(one(Symbol('s'))).toBeNull();
    expect(Object.is(one(-0), -0)).toBe(true);
  });

  it('that nest too deep, even in a cycle, end in a text, and the record is still one that a receiver takes', () => {
    const cycle: Record<string, AnyValue> = {};
    cycle.self = [cycle];
    const record = written(w =>
      encodeLogRecord(w, {
        timeUnixNano: 1n,
        observedTimeUnixNano: 1n,
        severityNumber: 0,
        severityText: '',
        eventName: '',
        body: cycle,
        attributes: { cycle },
        traceId: '',
        spanId: '',
        flags: 0,
      }),
    );
    const request = encodeLogsRequest([
      {
        resourceBytes: encodeResource({ cycle }),
        scopeBytes: encodeScope('s', '', {}),
        recordBytes: [record],
      },
    ]);
    expect(checkRequest('logs', request)).toEqual({ ok: true, items: 1 });
    expect(JSON.stringify(decodeLogs(request)[0]!.body)).toContain(`nested deeper than ${MAX_VALUE_DEPTH}`);
  });

  it('with a lone surrogate become valid UTF-8', () => {
    for (const text of ['a\ud800b', `${'x'.repeat(60)}\udfff`]) {
      const bytes = written(w => encodeAnyValue(w, text));
      expect(modelValue(decode(TYPES.value, bytes))).toBe(text.toWellFormed());
    }
  });
});

describe('log records', () => {
  it('written by us are read by the oracle', () => {
    fc.assert(
      fc.property(logRecord, record => {
        const seen = decode(
          TYPES.log,
          written(w => encodeLogRecord(w, record)),
        );
        expect({
          timeUnixNano: BigInt(seen.timeUnixNano ?? 0),
          observedTimeUnixNano: BigInt(seen.observedTimeUnixNano ?? 0),
          severityNumber: seen.severityNumber ?? 0,
          severityText: seen.severityText ?? '',
          eventName: seen.eventName ?? '',
          body: plain(modelValue(seen.body)),
          attributes: plain(attributesOf(seen.attributes)),
          droppedAttributesCount: seen.droppedAttributesCount ?? 0,
          traceId: hex(seen.traceId),
          spanId: hex(seen.spanId),
          flags: seen.flags ?? 0,
        }).toEqual({ ...record, body: plain(record.body), attributes: plain(record.attributes) });
      }),
      { numRuns: 300 },
    );
  });

  it('written by the oracle are read by us, with resource and scope', () => {
    const group = fc.record({ resource, scope, records: fc.array(logRecord, { maxLength: 4 }) });
    fc.assert(
      fc.property(fc.array(group, { maxLength: 3 }), groups => {
        const bytes = encode(TYPES.logs, {
          resourceLogs: groups.map(({ resource, scope, records }) => ({
            resource: { attributes: oracleAttributes(resource.attributes) },
            schemaUrl: 'https://example.org/schema',
            scopeLogs: [
              {
                scope: { ...scope, attributes: oracleAttributes(scope.attributes) },
                logRecords: records.map(record => ({
                  ...record,
                  timeUnixNano: long(record.timeUnixNano),
                  observedTimeUnixNano: long(record.observedTimeUnixNano),
                  body: oracleValue(record.body),
                  attributes: oracleAttributes(record.attributes),
                  traceId: Buffer.from(record.traceId, 'hex'),
                  spanId: Buffer.from(record.spanId, 'hex'),
                })),
              },
            ],
          })),
        });
        const expected = groups.flatMap(({ resource, scope, records }) =>
          records.map(record => ({
            ...record,
            resource,
            scope,
            timeUnixNano: record.timeUnixNano === 0n ? record.observedTimeUnixNano : record.timeUnixNano,
          })),
        );
        expect(plain(decodeLogs(bytes))).toEqual(plain(expected));
        expect(checkRequest('logs', bytes)).toEqual({ ok: true, items: expected.length });
      }),
      { numRuns: 150 },
    );
  });

  it('have no trace or span where an id has the wrong length or is all zero', () => {
    const ids = [
      new Uint8Array(0),
      new Uint8Array(3).fill(1),
      new Uint8Array(8),
      new Uint8Array(16),
      new Uint8Array(17).fill(1),
    ];
    const bytes = encode(TYPES.logs, {
      resourceLogs: [{ scopeLogs: [{ logRecords: ids.map(id => ({ traceId: id, spanId: id })) }] }],
    });
    expect(checkRequest('logs', bytes)).toEqual({ ok: true, items: ids.length });
    for (const record of decodeLogs(bytes)) expect([record.traceId, record.spanId]).toEqual(['', '']);
  });
});

describe('spans', () => {
  it('written by us are read by the oracle', () => {
    fc.assert(
      fc.property(span, original => {
        const seen = decode(
          TYPES.span,
          written(w => encodeSpan(w, original)),
        );
        expect(spanOf(seen)).toEqual(plain(original));
      }),
      { numRuns: 300 },
    );
  });

  it('written by the oracle are read by us', () => {
    fc.assert(
      fc.property(resource, scope, fc.array(span, { maxLength: 4 }), (owner, from, spans) => {
        const bytes = encode(TYPES.traces, {
          resourceSpans: [
            {
              resource: { attributes: oracleAttributes(owner.attributes) },
              scopeSpans: [
                {
                  scope: { ...from, attributes: oracleAttributes(from.attributes) },
                  spans: spans.map(oracleSpan),
                },
              ],
            },
          ],
        });
        const expected = spans.map(({ flags: _, ...rest }) => ({ ...rest, resource: owner, scope: from }));
        expect(plain(decodeTraces(bytes))).toEqual(plain(expected));
        expect(checkRequest('traces', bytes)).toEqual({ ok: true, items: spans.length });
      }),
      { numRuns: 150 },
    );
  });
});

describe('requests', () => {
  it('put records under their resource and scope, neighbours of one resource together', () => {
    const one = encodeResource({ 'service.name': 'one' });
    const two = encodeResource({ 'service.name': 'two' });
    const log = (n: number) =>
      written(w => encodeSpan(w, { ...EMPTY_SPAN, name: `span ${n}`, statusMessage: 'x'.repeat(n) }));
    const groups = [
      { resourceBytes: one, scopeBytes: encodeScope('a', '1', { k: 1 }), recordBytes: [log(1), log(2)] },
      { resourceBytes: one, scopeBytes: encodeScope('b', '', {}), recordBytes: [log(300)] },
      { resourceBytes: two, scopeBytes: encodeScope('c', '', {}), recordBytes: [] },
    ];
    const seen = decode(TYPES.traces, encodeTracesRequest(groups));
    expect(
      seen.resourceSpans.map((entry: Plain) => [
        plain(attributesOf(entry.resource.attributes)),
        entry.scopeSpans.map((part: Plain) => [
          part.scope.name,
          (part.spans ?? []).map((span: Plain) => span.name),
        ]),
      ]),
    ).toEqual([
      [
        plain({ 'service.name': 'one' }),
        [
          ['a', ['span 1', 'span 2']],
          ['b', ['span 300']],
        ],
      ],
      [plain({ 'service.name': 'two' }), [['c', []]]],
    ]);
    expect(decodeTraces(encodeTracesRequest(groups))).toHaveLength(3);
    expect(encodeTracesRequest([])).toHaveLength(0);
  });

  it('share equal resources and scopes as one object', () => {
    const resourceBytes = encodeResource({ a: 1 });
    const groups = [0, 1].map(() => ({
      resourceBytes: new Uint8Array(resourceBytes),
      scopeBytes: encodeScope('s', '', {}),
      recordBytes: [written(w => encodeSpan(w, EMPTY_SPAN))],
    }));
    const [first, second] = decodeTraces(encodeTracesRequest(groups));
    expect(second!.resource).toBe(first!.resource);
    expect(second!.scope).toBe(first!.scope);
  });

  it('find a resource and a scope that stand behind their records', () => {
    const record = written(w => encodeSpan(w, { ...EMPTY_SPAN, name: 'n' }));
    const bytes = written(w => {
      const outer = w.beginMessage(1);
      const inner = w.beginMessage(2);
      w.bytesField(2, record);
      w.bytesField(1, encodeScope('late', '', {}));
      w.endMessage(inner);
      w.bytesField(1, encodeResource({ a: 1 }));
      w.endMessage(outer);
    });
    const [only] = decodeTraces(bytes);
    expect(only!.scope.name).toBe('late');
    expect(only!.resource.attributes.a).toBe(1);
  });
});

describe('attributes', () => {
  it('keep hostile names as plain keys', () => {
    fc.assert(
      fc.property(attributes, original => {
        const hostile = { ...original, constructor: 'c', toString: 't' };
        Object.defineProperty(hostile, '__proto__', { value: 'p', enumerable: true });
        const request = encodeLogsRequest([
          {
            resourceBytes: encodeResource(hostile),
            scopeBytes: encodeScope('', '', {}),
            recordBytes: [new Uint8Array(0)],
          },
        ]);
        const decoded = decodeLogs(request)[0]!.resource.attributes;
        expect(Object.keys(decoded).sort()).toEqual(Object.keys(hostile).sort());
        expect(Object.getOwnPropertyDescriptor(decoded, '__proto__')?.value).toBe('p');
        expect(({} as Record<string, unknown>).p).toBeUndefined();
      }),
      { numRuns: 50 },
    );
  });
});

const EMPTY_SPAN = {
  traceId: '',
  spanId: '',
  parentSpanId: '',
  traceState: '',
  name: '',
  kind: 0,
  startTimeUnixNano: 0n,
  endTimeUnixNano: 0n,
  attributes: {},
  events: [],
  links: [],
  statusCode: 0,
  statusMessage: '',
};

type Span = typeof span extends fc.Arbitrary<infer T> ? T : never;

function oracleSpan(original: Span): object {
  return {
    ...original,
    traceId: Buffer.from(original.traceId, 'hex'),
    spanId: Buffer.from(original.spanId, 'hex'),
    parentSpanId: Buffer.from(original.parentSpanId, 'hex'),
    startTimeUnixNano: long(original.startTimeUnixNano),
    endTimeUnixNano: long(original.endTimeUnixNano),
    attributes: oracleAttributes(original.attributes),
    events: original.events.map(event => ({
      ...event,
      timeUnixNano: long(event.timeUnixNano),
      attributes: oracleAttributes(event.attributes),
    })),
    links: original.links.map(link => ({
      ...link,
      traceId: Buffer.from(link.traceId, 'hex'),
      spanId: Buffer.from(link.spanId, 'hex'),
      attributes: oracleAttributes(link.attributes),
    })),
    status: { code: original.statusCode, message: original.statusMessage },
  };
}

function spanOf(seen: Plain): unknown {
  return plain({
    traceId: hex(seen.traceId),
    spanId: hex(seen.spanId),
    parentSpanId: hex(seen.parentSpanId),
    traceState: seen.traceState ?? '',
    name: seen.name ?? '',
    kind: seen.kind ?? 0,
    startTimeUnixNano: BigInt(seen.startTimeUnixNano ?? 0),
    endTimeUnixNano: BigInt(seen.endTimeUnixNano ?? 0),
    attributes: attributesOf(seen.attributes),
    events: (seen.events ?? []).map((event: Plain) => ({
      timeUnixNano: BigInt(event.timeUnixNano ?? 0),
      name: event.name ?? '',
      attributes: attributesOf(event.attributes),
    })),
    links: (seen.links ?? []).map((link: Plain) => ({
      traceId: hex(link.traceId),
      spanId: hex(link.spanId),
      traceState: link.traceState ?? '',
      attributes: attributesOf(link.attributes),
    })),
    statusCode: seen.status?.code ?? 0,
    statusMessage: seen.status?.message ?? '',
    flags: seen.flags ?? 0,
  });
}
