// What the caller writes into shared memory, the worker reads: in order, whole, or not at all and counted.
import { crc32 } from 'node:zlib';
import { afterAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { encodeAttributes } from '../../src/otlp/encode-records.ts';
import * as layout from '../../src/sdk/layout.ts';
import { type RecordSink, RingReader } from '../../src/sdk/ring-reader.ts';
import { readSettings } from '../../src/sdk/settings.ts';
import { SharedRecorder } from '../../src/sdk/shared-recorder.ts';

type Seen =
  | { kind: 'row'; step: number; span: number; axes: number; values: [number, number | bigint][] }
  | { kind: 'blob'; type: number; argument: number; bytes: string };

/** Deep equality that is quick when it holds; NaN equals NaN, -0 is not 0. */
function same(a: Seen, b: Seen): boolean {
  if (a.kind === 'blob')
    return b.kind === 'blob' && a.type === b.type && a.argument === b.argument && a.bytes === b.bytes;
  if (b.kind === 'blob') return false;
  return (
    Object.is(a.step, b.step) &&
    a.span === b.span &&
    a.axes === b.axes &&
    a.values.length === b.values.length &&
    a.values.every(([series, v], i) => series === b.values[i]![0] && Object.is(v, b.values[i]![1]))
  );
}

class Collecting implements RecordSink {
  readonly seen: Seen[] = [];
  readonly times: number[] = [];
  private row: Extract<Seen, { kind: 'row' }> | undefined;

  beginRow(timeNs: number, step: number, span: number, axes: Uint8Array | undefined): void {
    this.times.push(timeNs);
    this.row = { kind: 'row', step, span, axes: axes?.length ?? 0, values: [] };
  }
  value(series: number, value: number): void {
    this.row!.values.push([series, value]);
  }
  integer(series: number, value: bigint): void {
    this.row!.values.push([series, value]);
  }
  endRow(): void {
    this.seen.push(this.row!);
  }
  blob(type: number, argument: number, _items: number, bytes: Uint8Array): void {
    this.seen.push({ kind: 'blob', type, argument, bytes: digest(bytes) });
  }
}

function digest(bytes: Uint8Array): string {
  return `${bytes.length}:${crc32(bytes)}`;
}

const recorders: SharedRecorder[] = [];
function pair(env: Record<string, string> = {}): { recorder: SharedRecorder; reader: RingReader } {
  const recorder = new SharedRecorder(
    readSettings({ KYMO_RING_MIB: '1', ...env }, line => {
      throw new Error(line);
    }),
    'sender',
  );
  recorders.push(recorder);
  return { recorder, reader: new RingReader(recorder.control, recorder.ringMemory, recorder.largePort) };
}
afterAll(() => {
  for (const recorder of recorders) recorder.largePort.close();
});

const value = fc.oneof(fc.double(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));
const record = fc.oneof(
  fc.record({
    kind: fc.constant('row' as const),
    step: fc.oneof(fc.nat(), fc.constant(Number.NaN)),
    span: fc.nat(5),
    axes: fc.option(fc.string({ maxLength: 40 }), { nil: undefined }),
    values: fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), value), { maxLength: 30 }),
  }),
  fc.record({ kind: fc.constant('log' as const), size: fc.nat(20_000) }),
  fc.record({ kind: fc.constant('large' as const), size: fc.integer({ min: 140_000, max: 200_000 }) }),
);

describe('the ring', () => {
  it('gives back every record, in order and to the bit, however often it wraps', () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 200, maxLength: 400 }), fc.nat(50), (records, drainEvery) => {
        const { recorder, reader } = pair();
        const sink = new Collecting();
        const expected: Seen[] = [];
        for (const [i, item] of records.entries()) {
          if (item.kind === 'row') {
            recorder.beginRow(item.step, item.span, item.axes === undefined ? undefined : { a: item.axes });
            for (const [series, v] of item.values)
              if (typeof v === 'bigint') recorder.addInteger(series, v);
              else recorder.add(series, v);
            recorder.endRow();
            const axes = item.axes === undefined ? 0 : encodeAttributes({ a: item.axes }).length;
            expected.push({ ...item, axes });
          } else {
            const bytes = new Uint8Array(item.size).fill(i & 255);
            recorder.record('log', 3, bytes);
            expected.push({ kind: 'blob', type: layout.LOG, argument: 3, bytes: digest(bytes) });
          }
          if (i % (drainEvery + 1) === 0) reader.drain(sink, Number.MAX_SAFE_INTEGER);
          // The ring holds 1 MiB: never let more than half of it wait.
          if (i % 20 === 0) reader.drain(sink, Number.MAX_SAFE_INTEGER);
        }
        reader.drain(sink, Number.MAX_SAFE_INTEGER);
        expect(sink.seen.length).toBe(expected.length);
        for (const [i, seen] of sink.seen.entries())
          if (!same(seen, expected[i]!)) expect(seen).toEqual(expected[i]);
        expect(recorder.report().dropped).toEqual({});
      }),
      { numRuns: 15 },
    );
  });

  it('gives rows strictly increasing times', () => {
    const { recorder, reader } = pair();
    for (let i = 0; i < 2000; i++) {
      recorder.beginRow(i, 0, undefined);
      recorder.add(1, i);
      recorder.endRow();
    }
    const sink = new Collecting();
    reader.drain(sink, Number.MAX_SAFE_INTEGER);
    for (let i = 1; i < sink.times.length; i++) expect(sink.times[i]).toBeGreaterThan(sink.times[i - 1]!);
  });

  it("leaves the caller's memory alone when a blob is too large for it, also a Buffer's", () => {
    const { recorder, reader } = pair();
    const bytes = Buffer.alloc(300_000, 7);
    recorder.record('log', 1, bytes);
    expect(bytes.length).toBe(300_000);
    bytes.fill(8);
    const sink = new Collecting();
    reader.drain(sink, Number.MAX_SAFE_INTEGER);
    expect(sink.seen).toEqual([
      { kind: 'blob', type: layout.LOG, argument: 1, bytes: digest(new Uint8Array(300_000).fill(7)) },
    ]);
  });

  it('forgets an aborted row and keeps its neighbours', () => {
    const { recorder, reader } = pair();
    for (const step of [1, 2, 3]) {
      recorder.beginRow(step, 0, undefined);
      recorder.add(1, step);
      if (step === 2) recorder.abortRow();
      else recorder.endRow();
    }
    const sink = new Collecting();
    reader.drain(sink, Number.MAX_SAFE_INTEGER);
    expect(sink.seen.map(seen => (seen as { step: number }).step)).toEqual([1, 3]);
  });
});

describe('a ring that nobody empties', () => {
  it.each([
    ['drop', 100],
    ['block', 3000],
  ])(
    'with KYMO_OVERFLOW=%s loses whole rows, counts them, and gives the caller back within %d ms',
    (policy, withinMs) => {
      const { recorder, reader } = pair({ KYMO_OVERFLOW: policy, KYMO_BLOCK_MAX_MS: '20' });
      const rows = 12_000; // 12,000 rows of 12 slots are more than 1 MiB
      let written = 0;
      const started = performance.now();
      while (recorder.report().dropped.overflow === undefined && written < rows) {
        recorder.beginRow(written, 0, undefined);
        for (let k = 1; k <= 4; k++) recorder.add(k, k);
        recorder.endRow();
        written++;
      }
      expect(performance.now() - started).toBeLessThan(withinMs);
      const { emitted, dropped } = recorder.report();
      expect(dropped).toEqual({ overflow: 4 });
      const sink = new Collecting();
      reader.drain(sink, Number.MAX_SAFE_INTEGER);
      expect(sink.seen.length * 4 + 4).toBe(emitted);
      for (const seen of sink.seen) expect((seen as { values: unknown[] }).values.length).toBe(4);
    },
  );

  it('still learns the definitions, once there is room', () => {
    const { recorder, reader } = pair({ KYMO_OVERFLOW: 'drop' });
    const big = new Uint8Array(100_000);
    for (let i = 0; i < 12; i++) recorder.record('log', 1, big);
    expect(recorder.report().dropped.overflow).toBeGreaterThan(0);
    for (let i = 0; i < 60_000; i++) recorder.record('log', 1, new Uint8Array(0));
    const series = recorder.defineSeries(1, 'late', undefined);
    const sink = new Collecting();
    reader.drain(sink, Number.MAX_SAFE_INTEGER);
    recorder.beginRow(0, 0, undefined);
    recorder.add(series, 1);
    recorder.endRow();
    reader.drain(sink, Number.MAX_SAFE_INTEGER);
    const kinds = sink.seen.slice(-2).map(seen => (seen.kind === 'blob' ? seen.type : 'row'));
    expect(kinds).toEqual([layout.DEFINE_SERIES, 'row']);
  });
});

describe('a worker that runs and falls behind', () => {
  /** As if the worker's thread had started; it reads only when a test does. */
  function running(env: Record<string, string>) {
    const { recorder, reader } = pair(env);
    Atomics.store(reader.control, layout.WORKER_STATE, layout.WORKER_RUNNING);
    const log = (step: number): number => {
      const started = performance.now();
      recorder.beginRow(step, 0, undefined);
      recorder.add(1, step);
      recorder.endRow();
      return performance.now() - started;
    };
    return { recorder, reader, log };
  }
  const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));

  it('is waited for, so that a kill cannot lose more than its last moments; nothing is dropped for that', async () => {
    const { recorder, reader, log } = running({ KYMO_BLOCK_MAX_MS: '60' });
    log(0);
    await sleep(40);
    log(1);
    await sleep(40);
    // Row 0 is not read after all this time.
    expect(log(2)).toBeGreaterThanOrEqual(50);
    // One stall is enough: until the worker has moved nobody waits for it again.
    await sleep(40);
    expect(log(3)).toBeLessThan(50);
    const sink = new Collecting();
    reader.drain(sink, Number.MAX_SAFE_INTEGER);
    expect(sink.seen.length).toBe(4);
    expect(recorder.report().dropped).toEqual({});
  });

  it('is not waited for while it keeps up, nor with KYMO_OVERFLOW=drop', async () => {
    const kept = running({});
    const dropping = running({ KYMO_OVERFLOW: 'drop' });
    for (let step = 0; step < 6; step++) {
      expect(kept.log(step)).toBeLessThan(50);
      expect(dropping.log(step)).toBeLessThan(50);
      kept.reader.drain(new Collecting(), Number.MAX_SAFE_INTEGER);
      await sleep(30);
    }
  });
});
