// Rows against the plainest way to find them.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { RowTable, ScalarColumns, Series } from '../../src/otlp/model.ts';
import { groupRows } from '../../src/otlp/rows.ts';

interface Point {
  series: number;
  time: bigint;
  step: number;
}

const RESOURCES = [{ attributes: {} }, { attributes: {} }];
const SCOPES = [
  { name: 'a', version: '', attributes: {} },
  { name: 'b', version: '', attributes: {} },
];
/** Six series: two in (0, a), two in (0, b), two in (1, a). */
const SERIES: Series[] = [0, 0, 1, 1, 2, 2].map((group, i) => ({
  resource: RESOURCES[group === 2 ? 1 : 0]!,
  scope: SCOPES[group === 1 ? 1 : 0]!,
  name: `s${i}`,
  unit: '',
  description: '',
  attributes: {},
  kind: 'gauge',
}));

function columns(points: readonly Point[]): ScalarColumns {
  const timeUnixNano = BigUint64Array.from(points, point => point.time);
  return {
    count: points.length,
    series: SERIES,
    seriesIndex: Uint32Array.from(points, point => point.series),
    timeUnixNano,
    timeWords: new Uint32Array(timeUnixNano.buffer),
    value: new Float64Array(points.length),
    bigValue: undefined,
    step: Float64Array.from(points, point => point.step),
    context: undefined,
  };
}

function rowsOf(table: RowTable): number[][] {
  expect(table.first).toHaveLength(table.count + 1);
  return Array.from({ length: table.count }, (_, r) => [
    ...table.points.subarray(table.first[r], table.first[r + 1]),
  ]);
}

function naive(points: readonly Point[]): number[][] {
  const rows = new Map<string, { time: bigint; points: number[] }>();
  points.forEach(({ series, time, step }, i) => {
    const key = `${Math.floor(series / 2)} ${time} ${step}`;
    const row = rows.get(key) ?? { time, points: [] };
    rows.set(key, row);
    row.points.push(i);
  });
  return [...rows.values()]
    .sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0))
    .map(row => row.points);
}

const time = fc.oneof(
  fc.bigInt({ min: 0n, max: 6n }),
  fc.constantFrom(2n ** 32n, 2n ** 32n + 1n, 2n ** 64n - 1n),
);
const step = fc.constantFrom(Number.NaN, 0, -0, 1, 2, -1, 0.5, 2 ** 60);

describe('groupRows', () => {
  it('finds the rows that the plainest way finds, in the same order', () => {
    const point = fc.record({ series: fc.nat({ max: 5 }), time, step });
    fc.assert(
      fc.property(fc.array(point, { maxLength: 60 }), points => {
        expect(rowsOf(groupRows(columns(points)))).toEqual(naive(points));
      }),
      { numRuns: 1000 },
    );
  });

  it('finds them where series are aligned, start late, end early, or have holes', () => {
    const gaps = fc.array(
      fc.record({ series: fc.nat({ max: 5 }), from: fc.nat({ max: 400 }), holes: fc.nat({ max: 9 }) }),
      {
        maxLength: 6,
      },
    );
    fc.assert(
      fc.property(gaps, fc.boolean(), (series, backwards) => {
        const points = series.flatMap(({ series, from, holes }) =>
          Array.from({ length: 400 }, (_, i) => i)
            .filter(i => i >= from && (holes === 0 || i % holes !== 0))
            .map(i => ({ series, time: BigInt(backwards ? 1000 - i : i), step: i })),
        );
        expect(rowsOf(groupRows(columns(points)))).toEqual(naive(points));
      }),
      { numRuns: 50 },
    );
  });

  it('takes time in proportion to the points, also where every point is a row and time runs backwards', () => {
    const measure = (count: number) => {
      const points = columns(
        Array.from({ length: count }, (_, i) => ({ series: i % 6, time: BigInt(count - i), step: i })),
      );
      const start = process.hrtime.bigint();
      expect(groupRows(points).count).toBe(count);
      return Number(process.hrtime.bigint() - start);
    };
    measure(20_000);
    const small = Math.min(measure(20_000), measure(20_000), measure(20_000));
    // 8 times the points: 8 times the time and a little; a quadratic way would take 64 times.
    expect(Math.min(measure(160_000), measure(160_000))).toBeLessThan(small * 32);
  });
});
