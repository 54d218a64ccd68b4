// OTLP/JSON by its own rules, against the oracle's reading of the same request in protobuf.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { checkRequest } from '../../src/otlp/check.ts';
import { encodeLogRecord, encodeSpan } from '../../src/otlp/encode-records.ts';
import { jsonToProtobuf, OtlpJsonError } from '../../src/otlp/json.ts';
import { decodeLogs } from '../../src/otlp/logs.ts';
import { decodeMetrics } from '../../src/otlp/metrics.ts';
import { SIGNALS, type Signal } from '../../src/otlp/model.ts';
import { decodeTraces } from '../../src/otlp/traces.ts';
import { WireWriter } from '../../src/otlp/wire-writer.ts';
import { logRecord, metricsRequest, oracleResource, oracleScope, span } from './arbitraries.ts';
import { decode, encode, hex, type Plain, plain, TYPES } from './oracle.ts';

/** What an OTLP/JSON client sends for an object of the oracle. */
function toJson(value: Plain, key = ''): Plain {
  if (value instanceof Uint8Array)
    return /^(traceId|spanId|parentSpanId)$/.test(key)
      ? Buffer.from(value).toString('hex').toUpperCase()
      : Buffer.from(value).toString('base64');
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (Array.isArray(value)) return value.map(one => toJson(one));
  if (value !== null && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, toJson(one, name)]));
  return value;
}

/** JSON has no -0 but in digits. */
function stringify(value: Plain): string {
  return JSON.stringify(value, (_, one) => (Object.is(one, -0) ? '-0' : one));
}

const writer = new WireWriter();
function record(name: 'log' | 'span', write: (writer: WireWriter) => void): Plain {
  writer.reset();
  write(writer);
  return decode(TYPES[name], writer.copy());
}
const requests: Readonly<Record<Signal, fc.Arbitrary<object>>> = {
  metrics: metricsRequest,
  logs: fc
    .tuple(oracleResource, oracleScope, fc.array(logRecord, { maxLength: 3 }))
    .map(([resource, scope, list]) => ({
      resourceLogs: [
        {
          resource,
          scopeLogs: [{ scope, logRecords: list.map(one => record('log', w => encodeLogRecord(w, one))) }],
        },
      ],
    })),
  traces: fc
    .tuple(oracleResource, oracleScope, fc.array(span, { maxLength: 3 }))
    .map(([resource, scope, list]) => ({
      resourceSpans: [
        {
          resource,
          scopeSpans: [{ scope, spans: list.map(one => record('span', w => encodeSpan(w, one))) }],
        },
      ],
    })),
};

describe.each(SIGNALS)('%s in JSON', signal => {
  it('become the same request as in protobuf', () => {
    fc.assert(
      fc.property(requests[signal], request => {
        const wanted = decode(TYPES[signal], encode(TYPES[signal], fromStrings(request)));
        const bytes = jsonToProtobuf(signal, stringify(toJson(wanted)));
        expect(plain(decode(TYPES[signal], bytes))).toEqual(plain(wanted));
        expect(checkRequest(signal, bytes).ok).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});

describe('jsonToProtobuf', () => {
  const oneLog = (logRecordJson: string) =>
    decodeLogs(
      jsonToProtobuf('logs', `{"resourceLogs":[{"scopeLogs":[{"logRecords":[${logRecordJson}]}]}]}`),
    )[0]!;
  const onePoint = (json: string) =>
    decodeMetrics(
      jsonToProtobuf(
        'metrics',
        `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{"dataPoints":[${json}]}}]}]}]}`,
      ),
    ).scalars;

  it('takes ids in hex of any case, and other bytes in base64', () => {
    const log = oneLog(
      '{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","body":{"bytesValue":"AQL/-_8="}}',
    );
    expect(log.traceId).toBe('5b8efff798038103d269b633813fc60c');
    expect(log.spanId).toBe('eee19b7ec3c1b174');
    expect(hex(log.body as Uint8Array)).toBe('0102fffbff');
  });

  it('takes 64-bit integers as strings, exactly, and as numbers', () => {
    expect(oneLog('{"timeUnixNano":"18446744073709551615"}').timeUnixNano).toBe(2n ** 64n - 1n);
    expect(oneLog('{"timeUnixNano":1544712660300000000}').timeUnixNano).toBe(1544712660300000000n);
    expect(oneLog('{"body":{"intValue":"-9223372036854775808"}}').body).toBe(-(2n ** 63n));
    expect(onePoint('{"asInt":"9007199254740993"}').bigValue!.get(0)).toBe(9007199254740993n);
    expect(onePoint('{"asInt":-7}').value[0]).toBe(-7);
  });

  it('takes numbers that JSON cannot write as strings', () => {
    expect([
      ...onePoint('{"asDouble":"NaN"},{"asDouble":"-Infinity"},{"asDouble":"Infinity"},{"asDouble":"1.5"}')
        .value,
    ]).toEqual([Number.NaN, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, 1.5]);
  });

  it('ignores unknown fields, names in snake_case, and null', () => {
    const log = oneLog(
      '{"severity_text":"no","severityText":"yes","future":{"a":[1]},"body":null,"__proto__":{"eventName":"x"}}',
    );
    expect(log.severityText).toBe('yes');
    expect(log.body).toBeNull();
    expect(log.eventName).toBe('');
  });

  it('does not care about the order of keys', () => {
    const [only] = decodeTraces(
      jsonToProtobuf(
        'traces',
        '{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":2,"name":"n"}],"scope":{"name":"s"}}],"resource":{"attributes":[{"value":{"boolValue":true},"key":"k"}]}}]}',
      ),
    );
    expect(only!.scope.name).toBe('s');
    expect(only!.resource.attributes.k).toBe(true);
    expect(only!.kind).toBe(2);
  });

  it.each<[Signal, string, string]>([
    ['logs', '', 'not JSON'],
    ['logs', '[]', 'expected an object (ExportLogsServiceRequest), got an array'],
    ['logs', 'null', 'expected an object (ExportLogsServiceRequest), got null'],
    ['logs', '{"resourceLogs":{}}', 'resourceLogs: expected an array, got an object'],
    [
      'logs',
      '{"resourceLogs":[{"resource":3}]}',
      'resourceLogs[0].resource: expected an object (Resource), got 3',
    ],
    ['logs', '{"resourceLogs":[{},null]}', 'resourceLogs[1]: expected an object'],
    [
      'traces',
      '{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":"SPAN_KIND_SERVER"}]}]}]}',
      'resourceSpans[0].scopeSpans[0].spans[0].kind: expected an enum as its number, got "SPAN_KIND_SERVER"',
    ],
    [
      'traces',
      '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}',
      'spans[0].traceId: expected an id in hex',
    ],
    [
      'traces',
      '{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":1}]}]}]}',
      'spans[0].name: expected a string, got 1',
    ],
    [
      'logs',
      '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":-1}]}]}]}',
      'timeUnixNano: beyond the range of fixed64',
    ],
    [
      'logs',
      '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1e3"}]}]}]}',
      'timeUnixNano: expected an integer',
    ],
    [
      'logs',
      '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"99999999999999999999"}]}]}]}',
      'beyond the range',
    ],
    [
      'logs',
      '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"bytesValue":"*"}}]}]}]}',
      'body.bytesValue: expected base64',
    ],
    [
      'logs',
      '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"boolValue":"true"}}]}]}]}',
      'body.boolValue: expected true or false',
    ],
    [
      'metrics',
      '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"explicitBounds":[1,"x"]}]}}]}]}]}',
      'explicitBounds[1]: expected a number',
    ],
    ['logs', `${'['.repeat(100_000)}`, 'nested deeper than 200 levels'],
    [
      'logs',
      `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":${'{"arrayValue":{"values":['.repeat(60)}{}${']}}'.repeat(60)}}]}]}]}`,
      'nested deeper than 1',
    ],
  ])('says where %s %j is wrong', (signal, text, message) => {
    expect(() => jsonToProtobuf(signal, text)).toThrow(OtlpJsonError);
    expect(() => jsonToProtobuf(signal, text)).toThrow(message);
  });

  it('never fails but with OtlpJsonError, and what it makes passes the check', () => {
    const json = fc.oneof(fc.json(), requests.metrics.map(toJson).map(stringify));
    const damage = fc.array(
      fc.tuple(fc.nat(), fc.constantFrom('{', '}', '[', ']', '"', ',', '1', 'null', '\\', '-')),
      { maxLength: 3 },
    );
    fc.assert(
      fc.property(json, damage, fc.constantFrom(...SIGNALS), (text, changes, signal) => {
        let broken = text;
        for (const [at, mark] of changes) {
          const place = at % (broken.length + 1);
          broken = broken.slice(0, place) + mark + broken.slice(place + 1);
        }
        let bytes: Uint8Array;
        try {
          bytes = jsonToProtobuf(signal, broken);
        } catch (error) {
          expect(error).toBeInstanceOf(OtlpJsonError);
          return;
        }
        expect(checkRequest(signal, bytes).ok).toBe(true);
      }),
      { numRuns: 400 },
    );
  });
});

/** The oracle encodes 64-bit integers from objects, and `decode` gave strings. */
function fromStrings(value: Plain): Plain {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(fromStrings);
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [
      key,
      typeof one === 'string' && /UnixNano$|^intValue$/.test(key) ? longOf(one) : fromStrings(one),
    ]),
  );
}

function longOf(text: string): object {
  const bits = BigInt.asUintN(64, BigInt(text));
  return {
    low: Number(bits & 0xffffffffn) | 0,
    high: Number(bits >> 32n) | 0,
    unsigned: !text.startsWith('-'),
  };
}
