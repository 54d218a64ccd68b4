// The judge of the chaos tests is judged here: it accepts what is right, and finds each thing that a sink can do wrong.
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { type Claim, type Expected, judge, perfectPoints, type SeenPoint } from '../chaos/judge.ts';
import { metricAt, nameOf, newPlan, placeOf, rowOf, STEP_ORDERS, stepsOf, valueAt } from '../chaos/plan.ts';
import { readJsonl, SinkError } from '../chaos/sinks.ts';

// Of a seed that has zeros among its values.
const plan = newPlan({ seed: 15, run: 'r', prefix: 'p0', rows: 40, metrics: 3, order: 'shuffled' });
const other = newPlan({ seed: 8, run: 'r', prefix: 'p1', rows: 25, metrics: 10, perRow: 4, firstStep: 5 });
/** The last rows of `other` may be missing; those of `plan` after 30 were never recorded. */
const expected: Expected[] = [
  { plan, claim: row => (row < 30 ? 'there' : 'absent') },
  { plan: other, claim: row => (row < 20 ? 'there' : 'maybe') },
];
const perfect = (precision: 'double' | 'float32' = 'double') => [...perfectPoints(expected, precision)];
const kinds = (points: Iterable<SeenPoint>, precision: 'double' | 'float32' = 'double') =>
  judge('sink', precision, expected, points).faults.map(({ kind }) => kind);
const without = (drop: (point: SeenPoint) => boolean) => perfect().filter(point => !drop(point));
const step = (row: number, of = plan) => stepsOf(of)[row]!;

describe('the judge', () => {
  it.each(['double', 'float32'] as const)('accepts what is right (%s), in any order', precision => {
    const verdict = judge('sink', precision, expected, perfect(precision).reverse());
    expect(verdict).toMatchObject({ points: 30 * 3 + 25 * 4, faults: [], furtherFaults: 0, missingRows: [] });
  });

  it('accepts that rows which may be missing are missing whole, and says which', () => {
    const points = without(point => point.name.startsWith('p1/') && point.step === step(22, other));
    const verdict = judge('sink', 'double', expected, points);
    expect(verdict.faults).toEqual([]);
    expect(verdict.missingRows).toEqual([{ plan: other, recordedAt: 22 }]);
  });

  it('finds a lost row', () => {
    expect(kinds(without(point => point.name.startsWith('p0/') && point.step === step(29)))).toEqual([
      'lost',
    ]);
  });

  it('finds a single lost point', () => {
    expect(kinds(without(point => point.name === 'p0/m1' && point.step === step(3)))).toEqual(['lost']);
  });

  it('finds a row that may be missing and is there in part', () => {
    const name = nameOf(other, metricAt(other, step(24, other), 2));
    expect(kinds(without(point => point.name === name && point.step === step(24, other)))).toEqual(['torn']);
  });

  it('finds a doubled point, also when the second one is in a row of its own', () => {
    const points = perfect();
    expect(kinds([...points, { ...points[17]!, row: 'again' }])).toEqual(['doubled']);
  });

  it.each([
    ['a metric that nobody recorded', { name: 'p0/m3' }],
    ['a producer that there was not', { name: 'p9/m0' }],
    ['a step that nobody recorded', { step: 10_000 }],
    ['a row from after the end', { step: step(35) }],
    ['another run', { run: 'x' }],
    ['a name of nobody', { name: 'loss' }],
    ['another attempt', { attempt: 2 }],
  ])('finds an invented point: %s', (_, change) => {
    const points = perfect();
    expect(kinds([...points, { ...points[0]!, row: 'new', ...change }])).toEqual(['invented']);
  });

  it('finds a value that differs in its last bit, in its sign of zero, or by precision', () => {
    const points = perfect();
    const changed = (value: (old: number) => number, at: number) =>
      points.map((point, i) => (i === at ? { ...point, value: value(point.value) } : point));
    const zero = points.findIndex(({ value }) => Object.is(value, -0) || value === 0);
    const fraction = points.findIndex(({ value }) => Number.isFinite(value) && Math.fround(value) !== value);
    expect(kinds(changed(nextUp, fraction))).toEqual(['changed']);
    expect(kinds(changed(Math.fround, fraction))).toEqual(['changed']);
    expect(zero).toBeGreaterThanOrEqual(0);
    expect(kinds(changed(value => -value, zero))).toEqual(['changed']);
  });

  it('finds a row whose points are in different lines', () => {
    const points = perfect().map(point =>
      point.name === 'p0/m2' && point.step === step(4) ? { ...point, row: 'elsewhere' } : point,
    );
    expect(kinds(points)).toEqual(['torn']);
  });

  it('lists a few of many faults and counts the rest', () => {
    const verdict = judge('sink', 'double', expected, []);
    expect(verdict.faults.length + verdict.furtherFaults).toBe(30 + 20);
  });
});

describe('a plan', () => {
  it.each(STEP_ORDERS)('records every step once, in the order %s, and the same again', order => {
    const one = newPlan({ seed: 3, run: 'r', prefix: 'p', rows: 101, order, firstStep: 7 });
    const steps = stepsOf(one);
    expect(steps).toEqual(stepsOf(one));
    expect([...steps].sort((a, b) => a - b)).toEqual(Array.from({ length: 101 }, (_, i) => i + 7));
  });

  it('knows where each metric of a row stands', () => {
    for (const at of stepsOf(other)) {
      const places = Array.from({ length: other.metrics }, (_, metric) => placeOf(other, at, metric));
      expect(places.filter(place => place >= 0).sort()).toEqual([0, 1, 2, 3]);
      for (const [metric, place] of places.entries())
        if (place >= 0) expect(metricAt(other, at, place)).toBe(metric);
      expect(Object.keys(rowOf(other, at)).length).toBe(other.perRow);
    }
  });

  it('gives different attempts and seeds different values', () => {
    const values = [plan, { ...plan, attempt: 2 }, { ...plan, seed: 9 }].map(one => valueAt(one, 1, 1));
    expect(new Set(values).size).toBe(3);
  });
});

describe('reading JSON lines', () => {
  it('finds what was planted in a real file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'kymo-judge-'));
    try {
      const logs = join(folder, 'r', 'logs');
      mkdirSync(logs, { recursive: true });
      const file = join(logs, 'metrics.jsonl');
      const line = (at: number) => {
        const values = Object.entries(rowOf(plan, at)).map(([name, value]) => {
          const text = Object.is(value, -0) ? '-0' : Number.isFinite(value) ? String(value) : `"${value}"`;
          return `,"${name}":${text}`;
        });
        return `{"step":${at},"time":1.5${values.join('')}}\n`;
      };
      const claims: Expected[] = [{ plan, claim: (): Claim => 'there' }];
      const verdict = () =>
        judge('jsonl', 'double', claims, readJsonl(folder, 'r', { superseded: true })).faults.map(
          ({ kind }) => kind,
        );
      const steps = stepsOf(plan);
      writeFileSync(file, steps.map(line).join(''));
      expect(verdict()).toEqual([]);
      writeFileSync(file, steps.slice(1).map(line).join(''));
      expect(verdict()).toEqual(['lost']);
      writeFileSync(file, [...steps, steps[5]!].map(line).join(''));
      expect(verdict()).toEqual(['doubled', 'doubled', 'doubled']);
      appendFileSync(file, '{"step":');
      expect(verdict).toThrow(SinkError);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

function nextUp(value: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  view.setBigUint64(0, view.getBigUint64(0) + 1n);
  return view.getFloat64(0);
}
