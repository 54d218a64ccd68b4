// The column index of a run against a plain reading of the same lines: any order, resumes, crashes, and files that change under it.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Buckets, bucketOf, eachJoined, fillBuckets, gridOf } from '../../../src/collector/query/buckets.ts';
import { IndexSet } from '../../../src/collector/query/index-set.ts';
import { RunIndex } from '../../../src/collector/query/run-index.ts';
import type { Series } from '../../../src/collector/query/series.ts';
import { valueJson } from '../../../src/collector/runs/json.ts';
import type { Attributes } from '../../../src/otlp/model.ts';

let folder = '';
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-query-'));
  fs.mkdirSync(path.join(folder, 'runs/r/logs'), { recursive: true });
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const metricsFile = (): string => path.join(folder, 'runs/r/logs/metrics.jsonl');
const append = (...lines: object[]): void =>
  fs.appendFileSync(metricsFile(), lines.map(line => `${valueJson(line as Attributes)}\n`).join(''));
function open(): RunIndex {
  return new RunIndex({
    root: path.join(folder, 'runs'),
    folder: 'r',
    indexes: path.join(folder, 'indexes'),
    key: 'abc',
  });
}
function readAll(index: RunIndex): RunIndex {
  while (index.readMore());
  return index;
}
function pointsOf(series: Series | undefined): [number, number, number][] {
  const points: [number, number, number][] = [];
  for (const page of series?.pages() ?? [])
    for (let i = 0; i < page.count; i++) points.push([page.steps[i]!, page.times[i]!, page.values[i]!]);
  return points;
}

/** jest takes its time with thousands of small arrays: it only looks where something differs. */
function expectPoints(points: [number, number, number][], wanted: [number, number, number][]): void {
  const bytes = (of: [number, number, number][]): Buffer => Buffer.from(Float64Array.from(of.flat()).buffer);
  if (!bytes(points).equals(bytes(wanted))) expect(points).toEqual(wanted);
}

interface Row {
  readonly step: number;
  readonly time: number;
  readonly attempt: number;
  readonly m: number | string;
}
/** What decision 18 says, by sorting. */
function expected(
  lines: readonly (Row | { superseded: { attempt: number; from_step: number } })[],
): [number, number, number][] {
  const marks = lines.flatMap(line => ('superseded' in line ? [line.superseded] : []));
  const rows = lines.flatMap(line => ('superseded' in line ? [] : [line]));
  const best = new Map<number, Row>();
  for (const row of rows) {
    if (marks.some(mark => mark.attempt > row.attempt && row.step >= mark.from_step)) continue;
    const known = best.get(row.step);
    const wins =
      known === undefined ||
      row.attempt > known.attempt ||
      (row.attempt === known.attempt && row.time >= known.time);
    if (wins) best.set(row.step, row);
  }
  return [...best.values()].sort((a, b) => a.step - b.step).map(row => [row.step, row.time, Number(row.m)]);
}

const value = fc.oneof(
  { weight: 8, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }) },
  { weight: 1, arbitrary: fc.constantFrom('NaN', 'Infinity', '-Infinity') },
);
const line = fc.oneof(
  {
    weight: 40,
    arbitrary: fc.record({
      step: fc.integer({ min: 0, max: 400 }),
      time: fc.integer({ min: 1, max: 50 }),
      attempt: fc.integer({ min: 1, max: 3 }),
      m: value,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      superseded: fc.record({
        attempt: fc.integer({ min: 1, max: 4 }),
        from_step: fc.integer({ min: 0, max: 400 }),
      }),
    }),
  },
);
/** A long, mostly rising part, so that there are blocks, and then anything. */
const scenario = fc.record({
  first: fc.integer({ min: 0, max: 2_000 }),
  gap: fc.integer({ min: 1, max: 3 }),
  lines: fc.array(line, { maxLength: 300, size: 'max' }),
  commitAfter: fc.integer({ min: 0, max: 300 }),
});

describe('a series', () => {
  it('holds the newest attempt’s latest point of each step, in any order of lines, through commits and restarts', () => {
    fc.assert(
      fc.property(scenario, ({ first, gap, lines, commitAfter }) => {
        fs.rmSync(path.join(folder, 'indexes'), { recursive: true, force: true });
        fs.writeFileSync(metricsFile(), '');
        const rising = Array.from({ length: first }, (_, i) => ({
          step: i * gap,
          time: i,
          attempt: 1,
          m: i / 7,
        }));
        append(...rising, ...lines.slice(0, commitAfter));
        let index = readAll(open());
        for (const series of index.metrics.values()) series.merge();
        append(...lines.slice(commitAfter));
        readAll(index);
        const all = [...rising, ...lines];
        const wanted = expected(all);
        expectPoints(pointsOf(index.metrics.get('m')), wanted);
        index.close();
        // Never committed: everything is read again.
        index = readAll(open());
        expectPoints(pointsOf(index.metrics.get('m')), wanted);
        index.close();
      }),
      { numRuns: 60 },
    );
  });

  it('goes on from its last commit after a crash, however far it had read and written since', async () => {
    const rows = Array.from({ length: 3_000 }, (_, i) => ({ step: i, time: i, attempt: 1, m: i * 2 }));
    append(...rows.slice(0, 1_000));
    const first = readAll(open());
    await first.commit();
    // Written to the columns, and into slots that the commit means, were they not kept.
    append(
      ...rows.slice(1_000),
      ...Array.from({ length: 500 }, (_, i) => ({ ...rows[i]!, time: 9_000, m: -i })),
    );
    readAll(first);
    for (const series of first.metrics.values()) series.merge();
    first.close();
    const second = open();
    expect(pointsOf(second.metrics.get('m'))).toEqual(
      rows.slice(0, 1_000).map(row => [row.step, row.time, row.m]),
    );
    readAll(second);
    const replaced = rows.map((row, i) => (i < 500 ? [i, 9_000, -i] : [i, row.time, row.m]));
    expect(pointsOf(second.metrics.get('m'))).toEqual(replaced);
    await second.commit();
    second.close();
    const third = open();
    expect(pointsOf(third.metrics.get('m'))).toEqual(replaced);
    expect(third.readMore()).toBe(false);
    third.close();
  });

  it('uses slots again once no commit means them, and never shows what stood there', async () => {
    const rows = (round: number) =>
      Array.from({ length: 2_000 }, (_, i) => ({ step: i, time: round, m: i * round }));
    append(...rows(1));
    const index = readAll(open());
    for (let round = 2; round < 6; round++) {
      append(...rows(round));
      readAll(index);
      expectPoints(
        pointsOf(index.metrics.get('m')),
        rows(round).map(row => [row.step, row.time, row.m]),
      );
      await index.commit();
    }
    // Two generations of columns, and what the merges of a round took in between.
    const { size } = fs.statSync(path.join(folder, 'indexes/abc/columns'));
    expect(size).toBeLessThan(3 * 2_000 * 26);
    index.close();
  });

  it.each(['index', 'columns'])('is built again when its %s file is damaged or gone', async name => {
    append(...Array.from({ length: 1_000 }, (_, i) => ({ step: i, time: i, m: i })));
    const index = readAll(open());
    await index.commit();
    index.close();
    const file = path.join(folder, 'indexes/abc', name);
    for (const damage of [
      () => fs.rmSync(file),
      () => fs.truncateSync(file, 1_000),
      () => fs.writeFileSync(file, 'nonsense'),
    ]) {
      damage();
      const again = readAll(open());
      expect(pointsOf(again.metrics.get('m'))).toHaveLength(1_000);
      await again.commit();
      again.close();
    }
  });

  it('begins anew when its metrics file was cut or replaced', async () => {
    append(...Array.from({ length: 1_000 }, (_, i) => ({ step: i, time: i, m: i })));
    const index = readAll(open());
    await index.commit();
    fs.truncateSync(metricsFile(), 0);
    append({ step: 3, time: 1, m: 7 });
    readAll(index);
    expect(pointsOf(index.metrics.get('m'))).toEqual([[3, 1, 7]]);
    // As long as before, but another one.
    fs.writeFileSync(metricsFile(), '{"step":4,"time":1,"m":8}\n');
    readAll(index);
    expect(pointsOf(index.metrics.get('m'))).toEqual([[4, 1, 8]]);
    index.close();
  });

  it('waits for the rest of a line, and counts what is no row', () => {
    fs.writeFileSync(metricsFile(), '{"step":1,"time":1,"m":1}\n{"step":2,"ti');
    const index = readAll(open());
    expect(pointsOf(index.metrics.get('m'))).toHaveLength(1);
    fs.appendFileSync(
      metricsFile(),
      'me":2,"m":2}\nnot json\n[1]\n{"step":"NaN","time":1,"m":1}\n{"step":3,"time":3,"m":3}\n',
    );
    readAll(index);
    expect(pointsOf(index.metrics.get('m'))).toEqual([
      [1, 1, 1],
      [2, 2, 2],
      [3, 3, 3],
    ]);
    expect(index.counts.unreadable).toBe(3);
    index.close();
  });

  it('is named as sinks name it: own keys of lines, ranks, and names that look like either', () => {
    append(
      { step: 1, time: 1, '~step': 5, '~~x': 6, loss: 1 },
      { step: 1, time: 1, rank: 2, loss: 3, axes: { epoch: 4 } },
      { step: 2, time: 1, histogram: 'h', count: 3, bounds: [], counts: [3] },
      JSON.parse('{"step":1,"time":1,"__proto__":9}'),
    );
    const index = readAll(open());
    expect([...index.metrics.keys()].sort()).toEqual(['__proto__', 'loss', 'loss/rank=2', 'step', '~x']);
    expect([...index.axes.keys()]).toEqual(['epoch/rank=2']);
    expect(pointsOf(index.metrics.get('__proto__'))).toEqual([[1, 1, 9]]);
    index.close();
  });
});

function bucketAt(buckets: Buckets, i: number): number[] {
  const { count, x, min, max, last, nan, positive, negative } = buckets;
  return [count, x, min, max, last, nan, positive, negative].map(column => column[i]!);
}

describe('buckets', () => {
  const points = fc.array(
    fc.record({
      step: fc.integer({ min: 0, max: 5_000 }),
      time: fc.integer({ min: 3_000, max: 3_999 }),
      m: value,
    }),
    { maxLength: 2_000, size: 'max' },
  );
  it('say what a loop over all points says, by step and by time, over any range', () => {
    fc.assert(
      fc.property(
        points,
        fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 40 })),
        fc.integer({ min: 0, max: 2_500 }),
        fc.boolean(),
        (rows, count, from, inTime) => {
          fs.rmSync(path.join(folder, 'indexes'), { recursive: true, force: true });
          fs.writeFileSync(metricsFile(), '');
          const sorted = [...rows].sort((a, b) => a.step - b.step);
          append(...sorted.map(row => ({ ...row, time: inTime ? row.step : row.time })));
          const index = readAll(open());
          const series = index.metrics.get('m');
          if (series !== undefined) {
            const all = pointsOf(series);
            for (const x of ['step', 'time'] as const) {
              const grid = gridOf(from, 4_000, count, x === 'step', series.blockSpan);
              const buckets = new Buckets(grid);
              fillBuckets(series, x, buckets);
              const xs = all.map(([step, time, at]) => [x === 'step' ? step : time, at] as const);
              for (let i = 0; i < grid.count; i++) {
                const within = xs.filter(
                  ([at]) => at >= grid.from && at <= 4_000 && bucketOf(grid, at) === i,
                );
                const finite = within.filter(([, one]) => Number.isFinite(one));
                const lastX = Math.max(...finite.map(([at]) => at));
                expect([x, i, ...bucketAt(buckets, i)]).toEqual([
                  x,
                  i,
                  within.length,
                  Math.max(...within.map(([at]) => at)),
                  Math.min(...finite.map(([, one]) => one)),
                  Math.max(...finite.map(([, one]) => one)),
                  finite.filter(([at]) => at === lastX).at(-1)?.[1] ?? Number.NaN,
                  within.filter(([, one]) => Number.isNaN(one)).length,
                  within.filter(([, one]) => one === Number.POSITIVE_INFINITY).length,
                  within.filter(([, one]) => one === Number.NEGATIVE_INFINITY).length,
                ]);
              }
              const inRange = all.filter(
                ([step, time]) =>
                  (x === 'step' ? step : time) >= from && (x === 'step' ? step : time) <= 4_000,
              );
              expect(buckets.count.reduce((sum, one) => sum + one, 0)).toBe(inRange.length);
              expect(grid.count).toBeLessThanOrEqual(count);
            }
          }
          index.close();
        },
      ),
      { numRuns: 60 },
    );
  });

  it('join a metric with an axis at the steps that both have', () => {
    append(
      ...Array.from({ length: 900 }, (_, i) => ({
        step: i,
        time: i,
        m: i,
        ...(i % 3 === 0 && { axes: { epoch: i / 300 } }),
      })),
    );
    const index = readAll(open());
    const joined: [number, number][] = [];
    eachJoined(index.metrics.get('m')!, index.axes.get('epoch')!, (x, at) => joined.push([x, at]));
    expect(joined).toEqual(Array.from({ length: 300 }, (_, i) => [i / 100, i * 3]));
    index.close();
  });
});

describe('the indexes of a directory', () => {
  const waitFor = async (what: string, isSo: () => boolean): Promise<void> => {
    for (const giveUpAt = Date.now() + 15_000; !isSo(); await new Promise(resolve => setTimeout(resolve, 20)))
      if (Date.now() > giveUpAt) throw new Error(`timed out waiting for ${what}`);
  };
  const indexes = (): string[] => fs.readdirSync(path.join(folder, 'indexes'));

  it('keep up by themselves, survive a file that cannot be read, and go with their runs', async () => {
    append({ step: 1, time: 1, m: 1 });
    // Neither a run that leads elsewhere nor one that is unreadable holds up the others.
    fs.mkdirSync(path.join(folder, 'runs/bad/logs'), { recursive: true });
    fs.symlinkSync(metricsFile(), path.join(folder, 'runs/bad/logs/metrics.jsonl'));
    const told: string[] = [];
    const set = new IndexSet({
      roots: [path.join(folder, 'runs')],
      directory: path.join(folder, 'indexes'),
      tell: message => told.push(message),
    });
    set.start();
    await waitFor('what is wrong to be told', () => told.length > 0);
    expect(told).toEqual([expect.stringContaining('runs/bad is not indexed')]);
    const root = path.join(folder, 'runs');
    expect(await set.use(root, 'r', index => pointsOf(index.metrics.get('m')).length)).toBe(1);
    await expect(set.use(root, 'bad', () => 0)).rejects.toThrow('symbolic link');
    append({ step: 2, time: 1, m: 1 });
    expect(await set.use(root, 'r', index => pointsOf(index.metrics.get('m')).length)).toBe(2);
    await set.stop();
    fs.rmSync(path.join(folder, 'runs/r'), { recursive: true });
    fs.rmSync(path.join(folder, 'runs/bad'), { recursive: true });
    expect(indexes().length).toBeGreaterThan(0);
    const next = new IndexSet({ roots: [root], directory: path.join(folder, 'indexes'), tell: () => {} });
    next.start();
    await waitFor('the indexes to go', () => indexes().length === 0);
    await next.stop();
  });
});
