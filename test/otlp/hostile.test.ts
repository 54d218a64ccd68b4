// Bytes that may be anything: nothing crashes or hangs, and what the check lets in every decoder can read.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { checkRequest, MAX_ENTRIES, MAX_ITEMS, MAX_MESSAGES } from '../../src/otlp/check.ts';
import { encodeLogRecord, encodeSpan } from '../../src/otlp/encode-records.ts';
import { decodeLogs } from '../../src/otlp/logs.ts';
import { decodeMetrics } from '../../src/otlp/metrics.ts';
import { SIGNALS, type Signal } from '../../src/otlp/model.ts';
import { groupRows } from '../../src/otlp/rows.ts';
import { decodeTraces } from '../../src/otlp/traces.ts';
import { WireError } from '../../src/otlp/wire-reader.ts';
import { WireWriter } from '../../src/otlp/wire-writer.ts';
import { logRecord, metricsRequest, span } from './arbitraries.ts';
import { encode, TYPES } from './oracle.ts';

/** Decodes as the collector does and says how it ended; anything but a WireError is a fault of ours. */
function tryDecode(signal: Signal, bytes: Uint8Array): 'decoded' | 'refused' {
  try {
    if (signal === 'logs') decodeLogs(bytes);
    else if (signal === 'traces') decodeTraces(bytes);
    else groupRows(decodeMetrics(bytes).scalars);
    return 'decoded';
  } catch (error) {
    if (error instanceof WireError) return 'refused';
    throw error;
  }
}

/**
 * The law: what the check accepts is decoded; what it refuses has a reason. (The oracle is no judge here: its reader
 * loses its place in a 32-bit field of 6 to 9 bytes, which is unusual but valid.)
 */
function judge(signal: Signal, bytes: Uint8Array): boolean {
  const result = checkRequest(signal, bytes);
  const outcome = tryDecode(signal, bytes);
  if (result.ok) expect(outcome).toBe('decoded');
  else expect(result.reason).toMatch(/ at byte \d+$/);
  return result.ok;
}

const writer = new WireWriter();
function envelope(records: ((writer: WireWriter) => void)[]): Uint8Array {
  writer.reset();
  const resource = writer.beginMessage(1);
  const scope = writer.beginMessage(2);
  for (const record of records) {
    const mark = writer.beginMessage(2);
    record(writer);
    writer.endMessage(mark);
  }
  writer.endMessage(scope);
  writer.endMessage(resource);
  return writer.copy();
}
const requests: Readonly<Record<Signal, fc.Arbitrary<Uint8Array>>> = {
  logs: fc
    .array(logRecord, { minLength: 1, maxLength: 2 })
    .map(list => envelope(list.map(one => w => encodeLogRecord(w, one)))),
  traces: fc
    .array(span, { minLength: 1, maxLength: 2 })
    .map(list => envelope(list.map(one => w => encodeSpan(w, one)))),
  metrics: metricsRequest.map(request => encode(TYPES.metrics, request)),
};

describe.each(SIGNALS)('%s', signal => {
  it('cut off at any byte are refused or read', () => {
    let accepted = 0;
    fc.assert(
      fc.property(requests[signal], bytes => {
        expect(judge(signal, bytes)).toBe(true);
        const cuts = Math.min(bytes.length, 400);
        for (let cut = 0; cut < cuts; cut++) if (judge(signal, bytes.subarray(0, cut))) accepted++;
      }),
      { numRuns: 25, endOnFailure: true },
    );
    // Only cuts between top-level fields leave a message.
    expect(accepted).toBeGreaterThan(0);
  });

  it('with flipped bits are refused or read', () => {
    const flips = fc.array(fc.nat(), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(requests[signal], fc.array(flips, { minLength: 20, maxLength: 20 }), (bytes, rounds) => {
        for (const round of rounds) {
          const broken = new Uint8Array(bytes);
          for (const flip of round) {
            const bit = flip % Math.max(1, broken.length * 8);
            if (broken.length > 0) broken[bit >> 3]! ^= 1 << (bit & 7);
          }
          judge(signal, broken);
        }
      }),
      { numRuns: 60, endOnFailure: true },
    );
  });

  it('of random bytes are refused or read', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300, size: 'max' }), bytes => {
        judge(signal, new Uint8Array(bytes));
      }),
      { numRuns: 500, endOnFailure: true },
    );
  });

  it('that are empty are taken', () => {
    expect(checkRequest(signal, new Uint8Array(0))).toEqual({ ok: true, items: 0 });
    expect(checkRequest(signal, Buffer.from('0a00', 'hex'))).toEqual({ ok: true, items: 0 });
  });

  it('with fields that nobody knows yet are taken', () => {
    const unknown = (w: WireWriter) => {
      w.varintField(1000, 5);
      w.stringField(99, 'new');
      w.fixed32Field(98, 1);
      w.fixed64Field(97, 1n);
    };
    const bytes = envelope([unknown, unknown]);
    expect(judge(signal, bytes)).toBe(true);
  });
});

describe('checkRequest refuses', () => {
  const log = (write: (writer: WireWriter) => void) => checkRequest('logs', envelope([write]));

  it('text that is not UTF-8, short or long', () => {
    for (const size of [1, 30, 500]) {
      const bytes = Buffer.alloc(size, 0x61);
      bytes[size - 1] = 0xc3;
      expect(log(w => w.bytesField(3, bytes))).toEqual({
        ok: false,
        reason: expect.stringContaining('text that is not UTF-8'),
      });
      expect(log(w => w.bytesField(3, bytes.subarray(0, size - 1)))).toEqual({ ok: true, items: 1 });
    }
  });

  it('a known field of another wire type, by its name', () => {
    expect(log(w => w.varintField(3, 1))).toEqual({
      ok: false,
      reason: expect.stringContaining('LogRecord.severityText has wire type 0'),
    });
    expect(log(w => w.stringField(1, '12345678'))).toEqual({
      ok: false,
      reason: expect.stringContaining('LogRecord.timeUnixNano'),
    });
  });

  it.each([40, 10_000])('values nested %i messages deep', depth => {
    // AnyValue { array_value { values: AnyValue … } }
    let value = Buffer.from('1001', 'hex');
    for (let i = 0; i < depth; i++) value = field(0x2a, field(0x0a, value));
    const bytes = envelope([w => w.bytesField(5, value)]);
    // Request, resource, scope, record, body and two for each level.
    const allowed = 5 + 2 * depth <= 100;
    expect(judge('logs', bytes)).toBe(allowed);
    if (!allowed)
      expect(checkRequest('logs', bytes)).toEqual({
        ok: false,
        reason: expect.stringContaining('nested deeper than 100'),
      });
  });

  it('more items than memory should be spent on', () => {
    const records = Buffer.alloc(2 * (MAX_ITEMS + 1));
    for (let i = 0; i < records.length; i += 2) records[i] = 0x12;
    const request = (bytes: Buffer) => field(0x0a, field(0x12, bytes));
    expect(checkRequest('traces', request(records.subarray(2)))).toEqual({ ok: true, items: MAX_ITEMS });
    expect(checkRequest('traces', request(records))).toEqual({
      ok: false,
      reason: expect.stringContaining(`more than ${MAX_ITEMS} items`),
    });
  });

  it('more entries in one map than a decoder should spend minutes on', () => {
    const entries = (count: number) => (w: WireWriter) => {
      for (let i = 0; i < count; i++) {
        const entry = w.beginMessage(6);
        w.stringField(1, i.toString(36));
        w.endMessage(entry);
      }
    };
    expect(checkRequest('logs', envelope([entries(MAX_ENTRIES), entries(1)]))).toMatchObject({ ok: true });
    expect(log(entries(MAX_ENTRIES + 1))).toEqual({
      ok: false,
      reason: expect.stringContaining('more than 65536 entries in one map at byte'),
    });
  });

  it('more messages in its items than memory should be spent on', () => {
    const events = Buffer.alloc(2 * MAX_MESSAGES);
    for (let i = 0; i < events.length; i += 2) events[i] = 0x5a;
    expect(checkRequest('traces', field(0x0a, field(0x12, field(0x12, events))))).toEqual({
      ok: false,
      reason: expect.stringContaining(`more than ${MAX_MESSAGES} nested messages`),
    });
  });

  it('packed numbers of half a number, but takes numbers that are not packed', () => {
    const histogram = (point: Buffer) =>
      checkRequest('metrics', field(0x0a, field(0x12, field(0x12, field(0x4a, field(0x0a, point))))));
    expect(histogram(field(0x32, Buffer.alloc(16)))).toEqual({ ok: true, items: 1 });
    expect(histogram(field(0x32, Buffer.alloc(12)))).toEqual({
      ok: false,
      reason: expect.stringContaining('packed numbers'),
    });
    expect(histogram(Buffer.concat([Buffer.from([0x31]), Buffer.alloc(8)]))).toEqual({ ok: true, items: 1 });
  });
});

function field(tag: number, content: Uint8Array): Buffer<ArrayBuffer> {
  const length: number[] = [];
  for (let rest = content.length; ; rest = Math.floor(rest / 128)) {
    length.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest);
    if (rest <= 0x7f) break;
  }
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}
