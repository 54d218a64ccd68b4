// Rows: which come together, and what `_step` they get (nothing is dropped for coming late; in order, `_step` is the producer's step).
import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  batchOf,
  histogramBatchOf,
  logBatchOf,
  type TestRow,
} from '../../../../src/collector/testing/index.ts';
import { Bench, until } from './bench.ts';
import { type Json, readRuns } from './logs.ts';

let bench: Bench | undefined;
afterEach(async () => {
  await bench?.dispose();
  bench = undefined;
});

const SECOND = 1_000_000_000n;
const START = 1_795_000_000n * SECOND;

async function written(rows: readonly TestRow[], given: object = {}): Promise<Json[]> {
  bench = new Bench({ mode: 'offline', ...given }, { windowMs: 2_000 });
  await bench.start();
  await bench.export(batchOf(rows));
  await bench.commit();
  await bench.stop();
  return readRuns(bench.root)[0]?.rows ?? [];
}
const brief = (rows: readonly Json[]): Json[] =>
  rows.map(({ _timestamp, _runtime, 'kymo/step': step, ...rest }) => ({ step, ...rest }));

describe('rows', () => {
  it('have the step of the producer in a run that is in order, gaps included', async () => {
    const rows = await written([0, 1, 5, 9].map(step => ({ step, values: { a: step } })));
    expect(brief(rows)).toEqual([0, 1, 5, 9].map(step => ({ _step: step, step, a: step })));
  });

  it('merge what is logged for one step in several calls', async () => {
    const rows = await written([
      { step: 1, values: { a: 1 } },
      { step: 1, values: { b: 2 } },
      { step: 2, values: { a: 3 } },
      { step: 1, values: { c: 4 }, scope: 'env' },
    ]);
    expect(brief(rows)).toEqual([
      { _step: 1, step: 1, a: 1, b: 2, 'env/c': 4 },
      { _step: 2, step: 2, a: 3 },
    ]);
  });

  it('keep a name that comes twice for one step, as two rows', async () => {
    const rows = await written([
      { step: 1, values: { a: 1 } },
      { step: 1, values: { a: 1 } },
      { step: 2, values: { a: 3 } },
    ]);
    expect(brief(rows)).toEqual([
      { _step: 1, step: 1, a: 1 },
      { _step: 2, step: 1, a: 1 },
      { _step: 3, step: 2, a: 3 },
    ]);
  });

  it('come behind the last one when they come late, with their own step beside', async () => {
    bench = new Bench({ mode: 'offline' }, { windowMs: 100 });
    await bench.start();
    await bench.export(
      batchOf([{ step: 10, values: { a: 1 }, timeUnixNano: START }]),
      batchOf([{ step: 11, values: { a: 2 }, timeUnixNano: START + SECOND }]),
      batchOf([{ step: 3, values: { a: 3 }, timeUnixNano: START + 2n * SECOND }]),
      batchOf([{ step: 12, values: { a: 4 }, timeUnixNano: START + 3n * SECOND }]),
    );
    await bench.stop();
    expect(brief(readRuns(bench.root)[0]!.rows)).toEqual([
      { _step: 10, step: 10, a: 1 },
      { _step: 11, step: 11, a: 2 },
      { _step: 12, step: 3, a: 3 },
      { _step: 13, step: 12, a: 4 },
    ]);
  });

  it('lose and invent nothing, and have growing _step, whatever is logged in whatever order', async () => {
    const row = fc.record({
      step: fc.nat(20),
      values: fc.dictionary(fc.constantFrom('a', 'b', 'c/d', '_step'), fc.integer(), { minKeys: 1 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 30 }), async logged => {
        const rows = await written(logged);
        await bench!.dispose();
        const name = (key: string) => (key === '_step' ? 'user/_step' : key);
        const wanted = logged.flatMap(({ step, values }) =>
          Object.entries(values).map(([key, value]) => `${step} ${name(key)} ${value}`),
        );
        const found = brief(rows).flatMap(({ step, _step, ...values }) =>
          Object.entries(values).map(([key, value]) => `${step} ${key} ${value}`),
        );
        expect(found.sort()).toEqual(wanted.sort());
        rows.forEach((one, i) => {
          expect(one._step).toBeGreaterThan(i === 0 ? -1 : Number(rows[i - 1]!._step));
        });
      }),
      { numRuns: 40 },
    );
  });

  it('are written after a while of silence, before anything is committed again', async () => {
    bench = new Bench({ mode: 'offline' });
    await bench.start();
    await bench.export(batchOf([{ step: 1, values: { a: 1 } }]));
    await bench.commit();
    expect(readRuns(bench.root)[0]?.rows ?? []).toEqual([]);
    await until('the row is in the log', () => readRuns(bench!.root)[0]?.rows.length === 1);
  });

  it('keep NaN and the infinities as bare words, and integers with all their digits', async () => {
    await written([{ step: 1, values: { nan: Number.NaN, inf: -Infinity, big: 2n ** 60n } }]);
    const { records } = readRuns(bench!.root)[0]!;
    const history = records.find(one => one.kind === 'history')!;
    const json = Object.fromEntries(history.items.map(item => [item.key, item.json]));
    expect(json).toMatchObject({ nan: 'NaN', inf: '-Infinity', big: '1152921504606846976' });
  });
});

describe('beside rows', () => {
  it('sums up as definitions say, histograms and the sender’s own words included', async () => {
    bench = new Bench({ mode: 'offline' });
    await bench.start();
    const define = (pattern: string, more: Record<string, string | string[]>) => ({
      ...{ eventName: 'kymo.metric.definition', attributes: { 'kymo.metric.pattern': pattern, ...more } },
    });
    await bench.export(
      logBatchOf([
        define('loss', { 'kymo.metric.summary': ['min', 'mean'] }),
        define('val/*', { 'kymo.metric.summary': ['best'], 'kymo.metric.goal': 'maximize' }),
        define('hidden', { 'kymo.metric.summary': ['none'] }),
        { eventName: 'kymo.run.summary', attributes: { 'kymo.run.summary': { verdict: 'good' } } },
      ]),
      batchOf(
        [4, 2, 6].map((value, step) => ({
          step,
          values: { loss: value, 'val/acc': value, hidden: value, plain: value },
        })),
      ),
      histogramBatchOf([{ name: 'w', bounds: [0, 1, 2], counts: [0, 5, 6, 0], step: 3 }]),
    );
    await bench.commit();
    await bench.stop();
    expect(readRuns(bench.root)[0]!.summary).toMatchObject({
      ...{ loss: { min: 2, mean: 4 }, 'val/acc': { best: 6 }, plain: 6, verdict: 'good', _step: 3 },
      w: { _type: 'histogram', values: [5, 6], bins: [0, 1, 2] },
    });
    expect(readRuns(bench.root)[0]!.summary).not.toHaveProperty('hidden');
  });

  it('puts metrics of the machine on the System page, under W&B’s names', async () => {
    await written([
      {
        step: 0,
        values: { 'system.cpu.utilization': 0.25, 'process.memory.usage': 2 ** 21, loss: 1 },
      },
      { values: { 'hw.gpu.utilization': 0.5 }, attributes: { 'hw.id': 'gpu-3' } },
    ]);
    const [run] = readRuns(bench!.root);
    expect(Object.assign({}, ...run!.stats)).toEqual({ cpu: 25, 'proc.memory.rssMB': 2, 'gpu.3.gpu': 50 });
    expect(run!.rows).toHaveLength(1);
  });

  it('makes each scope a run of one group where that is asked', async () => {
    await written(
      [
        { step: 0, values: { loss: 1 }, scope: 'episode_1' },
        { step: 0, values: { loss: 2 }, scope: 'episode_2' },
      ],
      { run_per_scope: true },
    );
    const runs = readRuns(bench!.root).map(({ records, rows }) => {
      const head = records.find(one => one.kind === 'run')!.run;
      return [head.id, head.group, rows[0]!.loss];
    });
    expect(runs).toEqual([
      ['run-1-episode_1', 'run-1', 1],
      ['run-1-episode_2', 'run-1', 2],
    ]);
  });
});
