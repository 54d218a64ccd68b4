// A law of every sink: whatever order rows come in, however they are batched, committed and interrupted, the series end up the same.
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { BatchMaker, T0, type TestRow } from '../batches.ts';
import { Driver } from './jsonl/driver.ts';
import { Bench } from './tensorboard/bench-folder.ts';
import { type Curve, pythonCurves, rustCurves } from './tensorboard/readers.ts';

const RUN = { resource: { 'service.name': 'p', 'service.instance.id': 'i', 'kymo.run.id': 'r' } };
const NAMES = ['loss', 'train/acc', 'ein Name, größer'];

/** Rows of growing time, each step once; a row has some of the names. */
const rows = fc
  .uniqueArray(
    fc.record({
      step: fc.nat({ max: 60 }),
      values: fc.uniqueArray(fc.constantFrom(...NAMES), { minLength: 1 }),
      value: fc.float({ noNaN: true, noDefaultInfinity: true }),
    }),
    { selector: row => row.step, minLength: 1, maxLength: 40 },
  )
  .map(list =>
    list.map(
      ({ step, values, value }, i): TestRow => ({
        step,
        timeUnixNano: T0 + BigInt(i) * 1_000_000n,
        values: Object.fromEntries(values.map(name => [name, value])),
      }),
    ),
  );

/** The rows in another order, cut into batches; after some of them a commit, or a crash that takes what came since the last one. */
const arrival = rows.chain(list =>
  fc.record({
    list: fc.constant(list),
    shuffled: fc.shuffledSubarray(list, { minLength: list.length }),
    size: fc.integer({ min: 1, max: 7 }),
    after: fc.array(fc.constantFrom('nothing', 'commit', 'crash'), { minLength: 40, maxLength: 40 }),
  }),
);

function batchesOf(list: readonly TestRow[], size: number) {
  const maker = new BatchMaker();
  return Array.from({ length: Math.ceil(list.length / size) }, (_, i) =>
    maker.rows(RUN, list.slice(i * size, (i + 1) * size)),
  );
}

describe('any permutation of the same rows gives the same series', () => {
  it('in metrics.jsonl and run.json', async () => {
    const written = async (list: readonly TestRow[], size: number, after: readonly string[]) => {
      const driver = new Driver();
      try {
        await driver.start();
        for (const [i, batch] of batchesOf(list, size).entries()) {
          await driver.export(batch);
          if (after[i] === 'commit') await driver.commit();
          if (after[i] === 'crash') {
            await driver.start();
            await driver.export();
          }
        }
        await driver.commit();
        const folder = path.join(driver.runs, 'r');
        const lines = fs.readFileSync(path.join(folder, 'logs/metrics.jsonl'), 'utf8').trim().split('\n');
        const { metrics, totals, steps } = JSON.parse(
          fs.readFileSync(path.join(folder, 'run.json'), 'utf8'),
        ) as { metrics: Record<string, Record<string, unknown>>; totals: unknown; steps: unknown };
        // `last` is what came last, and a mean's last bits depend on the order of its sum: neither is of the series.
        const ranges = Object.entries(metrics).map(([name, { count, min, max }]) => ({
          name,
          count,
          min,
          max,
        }));
        return {
          lines: new Set(lines.sort().map(line => JSON.parse(line) as unknown)),
          count: lines.length,
          ranges: new Set(ranges),
          totals,
          steps,
        };
      } finally {
        fs.rmSync(driver.folder, { recursive: true, force: true });
      }
    };
    await fc.assert(
      fc.asyncProperty(arrival, async ({ list, shuffled, size, after }) => {
        expect(await written(shuffled, size, after)).toEqual(await written(list, 10, []));
      }),
      { numRuns: 20 },
    );
  });

  it('in both readers of event files', async () => {
    const shown = async (list: readonly TestRow[], size: number, after: readonly string[]) => {
      const bench = await new Bench({ rewrite_interval: '1h' }).start();
      try {
        let sent = 0;
        const batches = batchesOf(list, size);
        let committed = 0;
        for (const [i, batch] of batches.entries()) {
          await bench.export(batch);
          sent = i + 1;
          if (after[i] === 'commit') {
            await bench.commit();
            committed = sent;
          }
          if (after[i] === 'crash') {
            await bench.crash();
            await bench.export(...batches.slice(committed, sent));
          }
        }
        await bench.commit();
        await bench.exporter.stop();
        const folder = path.join(bench.runs, 'r');
        return { python: pythonCurves(folder), rust: rustCurves(folder) };
      } finally {
        bench.remove();
      }
    };
    await fc.assert(
      fc.asyncProperty(arrival, async ({ list, shuffled, size, after }) => {
        const expected = new Map<string, Curve>();
        for (const name of NAMES) {
          const curve = list
            .filter(row => name in row.values)
            .map(
              ({ step, values }) =>
                [step!, Math.fround(Number((values as Record<string, number>)[name]))] as const,
            )
            .sort((a, b) => a[0] - b[0]);
          if (curve.length > 0) expected.set(name, curve);
        }
        const { python, rust } = await shown(shuffled, size, after);
        expect(python).toEqual(expected);
        expect(rust).toEqual(expected);
      }),
      { numRuns: 20 },
    );
  });
});
