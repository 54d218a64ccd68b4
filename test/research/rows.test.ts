// The rules of steps, modes, names and values, against a recorder that keeps what it is given.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { init } from '../../src/index.ts';
import type { Run } from '../../src/research/run.ts';
import { type KeepingRecorder, testRuntime } from './recording.ts';

let recorder: KeepingRecorder;
let run: Run;
let remove: () => void;

beforeEach(() => {
  const test = testRuntime();
  ({ recorder, remove } = test);
  run = init({ project: 'p', strict: false });
});
afterEach(() => {
  run[Symbol.dispose]();
  remove();
});

const steps = (): number[] => recorder.rows.map(row => row.step);

describe('steps', () => {
  it('begin at 0, count rows, and go on from an explicit one', () => {
    run.log({ a: 1 });
    run.log({ a: 1 });
    run.log({ a: 1 }, { step: 100 });
    run.log({ a: 1 });
    expect(steps()).toEqual([0, 1, 100, 101]);
  });

  it('may be lower than before', () => {
    for (const step of [10, 20, 15]) run.log({ a: step }, { step });
    run.log({ a: 0 });
    expect(steps()).toEqual([10, 20, 15, 16]);
  });

  it('advance also for a row without values', () => {
    run.log({});
    run.log({ a: 1 });
    expect(steps()).toEqual([1]);
  });

  it('reach 2^53 and stay exact', () => {
    run.log({ a: 1 }, { step: 2 ** 53 });
    run.log({ a: 1 });
    expect(steps()).toEqual([2 ** 53, 2 ** 53]);
  });

  it.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53 + 2, '5', null])(
    'refuse %p: the row is dropped and counted',
    step => {
      run.log({ a: 1, b: 2 }, { step: step as number });
      run.log({ c: 3 });
      expect(recorder.dropped).toEqual({ bad_step: 2 });
      expect(recorder.rows.map(row => [row.step, { ...row.values }])).toEqual([[0, { c: 3 }]]);
    },
  );

  it('take a bigint that fits', () => {
    run.log({ a: 1 }, { step: 7n as unknown as number });
    expect(steps()).toEqual([7]);
  });

  it('hold for any sequence of calls: the step written is the explicit one, else one more than the last', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.maxSafeNat(), { nil: undefined }), { maxLength: 30 }), wanted => {
        recorder.rows.length = 0;
        const inner = init({ strict: false });
        for (const step of wanted) inner.log({ a: 1 }, step === undefined ? {} : { step });
        let next = 0;
        const expected = wanted.map(step => {
          const at = step ?? next;
          next = at + 1;
          return at;
        });
        inner[Symbol.dispose]();
        expect(steps()).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });
});

describe('commit: false', () => {
  it('collects one row, whose last value of a name wins, at the step of the row', () => {
    run.log({ a: 1, b: 1 }, { commit: false });
    run.log({ b: 2 }, { commit: false });
    run.log({ c: 3 });
    run.log({ d: 4 });
    expect(recorder.rows.map(row => [row.step, { ...row.values }])).toEqual([
      [0, { a: 1, b: 2, c: 3 }],
      [1, { d: 4 }],
    ]);
  });

  it('keeps an explicit step for the calls that name none', () => {
    run.log({ a: 1 }, { step: 10, commit: false });
    run.log({ b: 2 });
    run.log({ c: 3 });
    expect(recorder.rows.map(row => [row.step, { ...row.values }])).toEqual([
      [10, { a: 1, b: 2 }],
      [11, { c: 3 }],
    ]);
  });

  it('takes the step of the call that names one when the row has none so far', () => {
    run.log({ a: 1 }, { commit: false });
    run.log({ b: 2 }, { step: 10 });
    expect(recorder.rows.map(row => [row.step, { ...row.values }])).toEqual([[10, { a: 1, b: 2 }]]);
  });

  it('completes the row when another step is named, so that no value changes its step', () => {
    run.log({ a: 1 }, { step: 5, commit: false });
    run.log({ b: 2 }, { step: 6 });
    expect(recorder.rows.map(row => [row.step, { ...row.values }])).toEqual([
      [5, { a: 1 }],
      [6, { b: 2 }],
    ]);
  });

  it.each(['flush', 'finish'] as const)('is committed by %s', async how => {
    run.log({ a: 1 }, { commit: false });
    await run[how]();
    expect(steps()).toEqual([0]);
  });

  it('keeps series of two modes apart', () => {
    run.log({ loss: 1 }, { mode: 'train', commit: false });
    run.log({ loss: 2 }, { mode: 'eval' });
    expect(recorder.rows).toHaveLength(1);
    expect(recorder.series.map(series => [series.name, series.attributes?.['kymo.mode']])).toEqual([
      ['loss', 'train'],
      ['loss', 'eval'],
    ]);
  });
});

describe('scalar', () => {
  it('has the step it is given, which the run goes on from', () => {
    run.scalar('a', 1, { step: 41 });
    run.log({ b: 1 });
    expect(steps()).toEqual([41, 42]);
  });

  it('has no step when it is given none', () => {
    run.scalar('a', 1);
    expect(steps()).toEqual([Number.NaN]);
  });
});

describe('modes', () => {
  it.each([
    ['loss', undefined, 'train'],
    ['train/loss', undefined, 'train'],
    ['eval/loss', undefined, 'eval'],
    ['val/loss', undefined, 'val'],
    ['test/acc/top1', undefined, 'test'],
    ['rollout/loss', undefined, 'train'],
    ['eval', undefined, 'train'],
    ['loss', 'eval', 'eval'],
    ['eval/loss', 'train', 'train'],
    ['loss', 'ablation', 'ablation'],
  ])('of %p with mode %p is %p, and the name stays', (name, mode, expected) => {
    run.log({ [name]: 1 }, mode === undefined ? {} : { mode });
    run.scalar(name, 1, mode === undefined ? { step: 0 } : { step: 0, mode });
    expect(recorder.series).toHaveLength(1);
    expect(recorder.series[0]).toMatchObject({ name, attributes: { 'kymo.mode': expected } });
  });

  it.each([
    ['eval/loss', undefined, 'loss', 'eval'],
    ['rollout/a/b', undefined, 'a/b', 'rollout'],
    ['loss', undefined, 'loss', 'train'],
    ['eval/loss', 'eval', 'loss', 'eval'],
    ['train/loss', 'eval', 'train/loss', 'eval'],
  ])('with modeFromName: %p, mode %p becomes %p in %p', (name, mode, wire, expected) => {
    const split = init({ modeFromName: true, strict: false });
    split.log({ [name]: 1 }, mode === undefined ? {} : { mode });
    expect(recorder.series[0]).toMatchObject({ name: wire, attributes: { 'kymo.mode': expected } });
    split[Symbol.dispose]();
  });

  it('are one series whether they are named or the default', () => {
    run.log({ a: 1 });
    run.log({ a: 1 }, { mode: 'train' });
    expect(recorder.series).toHaveLength(1);
  });
});

describe('values', () => {
  it.each([
    [0.5, 0.5],
    [-0, -0],
    [1e308, 1e308],
    [Number.NaN, Number.NaN],
    [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
    [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY],
    [true, 1],
    [false, 0],
    [2n ** 53n + 1n, 2n ** 53n + 1n],
    [-(2n ** 63n), -(2n ** 63n)],
    [2n ** 63n, 2 ** 63],
    [Float32Array.of(0.5), 0.5],
    [BigInt64Array.of(7n), 7n],
    [[3], 3],
    [{ size: 1, dataSync: () => Float32Array.of(0.25) }, 0.25],
    [{ dataSync: () => [9] }, 9],
  ])('%p is recorded as %p', (value, expected) => {
    run.log({ a: value as never });
    run.scalar('a', value, { step: 1 });
    expect(recorder.rows.map(row => row.values.a)).toEqual([expected, expected]);
    expect(recorder.dropped).toEqual({});
  });

  it.each([
    ['0.5'],
    [null],
    [undefined],
    [{ nested: 1 }],
    [[1, 2]],
    [[]],
    [Float32Array.of(1, 2)],
    [{ size: 2, dataSync: () => [1, 2] }],
    [new Date()],
    [Symbol('x')],
    [() => 1],
    [
      {
        dataSync() {
          throw new Error('disposed');
        },
      },
    ],
  ])('%p is dropped and counted, and the rest of the row stays', value => {
    run.log({ before: 1, bad: value as never, after: 2 });
    run.scalar('bad', value, { step: 0 });
    expect(recorder.rows.map(row => ({ ...row.values }))).toEqual([{ before: 1, after: 2 }]);
    expect(recorder.dropped).toEqual({ bad_value: 2 });
  });

  it('that a getter fails to give are dropped alone', () => {
    run.log({
      a: 1,
      get b(): number {
        throw new Error('no');
      },
      c: 3,
    });
    expect({ ...recorder.rows[0]!.values }).toEqual({ a: 1, c: 3 });
    expect(recorder.dropped).toEqual({ bad_value: 1 });
  });

  it('may log themselves while they are read', () => {
    run.log({
      a: 1,
      get b() {
        run.log({ inner: 5 });
        return 2;
      },
    });
    expect(recorder.rows.map(row => ({ ...row.values }))).toEqual([{ inner: 5 }, { a: 1, b: 2 }]);
  });

  it('of inherited fields are not part of a row', () => {
    run.log(
      Object.create({ inherited: 1 }, { own: { value: 2, enumerable: true } }) as Record<string, number>,
    );
    expect({ ...recorder.rows[0]!.values }).toEqual({ own: 2 });
  });

  it('are all there in a row of 1,000', () => {
    const row = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`m${i}`, i]));
    run.log(row);
    expect({ ...recorder.rows[0]!.values }).toEqual(row);
  });
});

describe('names', () => {
  it.each(['../../etc/passwd', '__proto__', 'constructor', 'a\u0000b\n', 'пульс/♥', ' ', 'train/loss (val)'])(
    '%j is data',
    name => {
      run.log(JSON.parse(`{${JSON.stringify(name)}: 1}`) as Record<string, number>);
      run.scalar(name, 2, { step: 5 });
      expect(recorder.rows.map(row => row.values[name])).toEqual([1, 2]);
      expect(recorder.series).toHaveLength(1);
    },
  );

  it('that are empty are dropped and counted', () => {
    run.log({ '': 1, a: 2 });
    run.scalar('', 1, { step: 0 });
    expect(recorder.dropped).toEqual({ bad_name: 2 });
    expect(recorder.rows).toHaveLength(1);
  });

  it('of 10,000 characters are cut, and no two become one', () => {
    const long = 'x'.repeat(10_000);
    run.log({ [`${long}a`]: 1, [`${long}b`]: 2 });
    const names = recorder.series.map(series => series.name);
    expect(new Set(names).size).toBe(2);
    for (const name of names) expect(name).toHaveLength(1_000);
    expect(Object.values(recorder.rows[0]!.values)).toEqual([1, 2]);
  });
});

describe('a call of the wrong shape throws a TypeError that names argument and type', () => {
  it.each([
    [() => run.log(5 as never), /log\(row\) must be an object.*not number 5/],
    [() => run.log(null as never), /log\(row\).*not null/],
    [() => run.log([1] as never), /log\(row\).*not array of 1/],
    [() => run.log({ a: 1 }, 5 as never), /log\(…, options\).*not number 5/],
    [() => run.log({ a: 1 }, { stp: 5 } as never), /no option "stp" \(did you mean step\?\)/],
    [() => run.log({ a: 1 }, { mode: 5 as never }), /log\(\{mode\}\).*not number 5/],
    [() => run.scalar(5 as never, 1), /scalar\(name\).*not number 5/],
    [() => run.scalar('a', 1, { bins: 5 } as never), /no option "bins"/],
    [() => run.histogram(null as never, [1]), /histogram\(name\).*not null/],
    [() => run.histogram('a', [1], { bins: 0 }), /histogram\(\{bins\}\)/],
    [() => run.histogram('a', [1], { bins: [2, 1] }), /ascending/],
    [() => void run.finish({ state: 'done' as never }), /finish\(\{state\}\).*"done"/],
  ])('%#', (call, message) => {
    expect(call).toThrow(TypeError);
    expect(call).toThrow(message);
  });
});

describe('strict', () => {
  it.each([
    [
      (strict: Run) => strict.log({ a: 'x' as never }),
      TypeError,
      /metric "a" must be a number, not string "x"/,
    ],
    [
      (strict: Run) => strict.log({ a: 1 }, { step: -1 }),
      RangeError,
      /step must be a whole number from 0 to 2\^53, not number -1/,
    ],
    [(strict: Run) => strict.scalar('', 1), TypeError, /needs a name/],
    [(strict: Run) => strict.log({ a: 1 }, { time: Number.NaN }), TypeError, /log\(\{time\}\)/],
  ])('throws (%#), and the next call works', (call, type, message) => {
    const strict = init({ strict: true });
    expect(() => call(strict)).toThrow(type as new () => Error);
    expect(() => call(strict)).toThrow(message);
    strict.log({ fine: 1 });
    expect({ ...recorder.rows.at(-1)!.values }).toEqual({ fine: 1 });
    strict[Symbol.dispose]();
  });

  it('is on where NODE_ENV is test', () => {
    expect(process.env.NODE_ENV).toBe('test');
    const byDefault = init();
    expect(() => byDefault.log({ a: null as never })).toThrow(TypeError);
    byDefault[Symbol.dispose]();
  });
});

describe('time', () => {
  it.each([
    [new Date(1_500), 1_500_000_000n],
    [1_500.5, 1_500_500_000n],
    [123n, 123n],
  ])('%p rides beside the values as %p ns', (time, expected) => {
    run.log({ a: 1 }, { time });
    expect(recorder.rows[0]!.axes).toEqual({ 'kymo.time': expected });
  });

  it('that is none is left out, and the row stays', () => {
    run.log({ a: 1 }, { time: 'now' as never });
    expect(recorder.rows).toHaveLength(1);
    expect(recorder.rows[0]!.axes).toBeUndefined();
  });
});

describe('histogram', () => {
  it('puts values into buckets of equal width whose ends are min and max', () => {
    run.histogram('w', Float32Array.of(0, 1, 2, 3, 4), { step: 3, bins: 4 });
    expect(recorder.histograms[0]).toMatchObject({
      name: 'w',
      step: 3,
      point: { bounds: [1, 2, 3], counts: [2, 1, 1, 1], count: 5, sum: 10, min: 0, max: 4 },
    });
  });

  it('takes inner bounds as they are: a value on a bound belongs below it', () => {
    run.histogram('w', [-5, 0, 0.5, 1, 9], { bins: [0, 1] });
    expect(recorder.histograms[0]!.point.counts).toEqual([2, 2, 1]);
  });

  it('reads tensors and bigint arrays', () => {
    run.histogram('t', { size: 3, dataSync: () => Float32Array.of(1, 2, 3) });
    run.histogram('b', BigInt64Array.of(1n, 2n));
    expect(recorder.histograms.map(histogram => histogram.point.sum)).toEqual([6, 3]);
  });

  it('leaves out what is not finite, and drops what has nothing finite', () => {
    run.histogram('w', [1, Number.NaN, Number.POSITIVE_INFINITY, 3]);
    run.histogram('w', [Number.NaN]);
    run.histogram('w', []);
    run.histogram('w', 'abc');
    expect(recorder.histograms).toHaveLength(1);
    expect(recorder.histograms[0]!.point.count).toBe(2);
    expect(recorder.dropped).toEqual({ bad_value: 3 });
  });

  it('counts every finite value once, between ascending bounds, whatever the values', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double(), { minLength: 1 }),
        fc.integer({ min: 1, max: 512 }),
        (values, bins) => {
          recorder.histograms.length = 0;
          run.histogram('w', values, { bins });
          const finite = values.filter(Number.isFinite);
          if (finite.length === 0) return;
          const { bounds, counts, count, min, max } = recorder.histograms[0]!.point;
          expect(counts.length).toBe(bounds.length + 1);
          expect(Array.from(counts).reduce((a, b) => a + b, 0)).toBe(finite.length);
          expect([count, min, max]).toEqual([finite.length, Math.min(...finite), Math.max(...finite)]);
          for (let i = 1; i < bounds.length; i++) expect(bounds[i]! > bounds[i - 1]!).toBe(true);
          for (const value of finite) {
            const bucket = Array.from(bounds).findIndex(bound => value <= bound);
            expect(counts[bucket < 0 ? bounds.length : bucket]! > 0).toBe(true);
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('after finish', () => {
  it('everything is dropped and counted, and nothing throws', async () => {
    await run.finish();
    run.log({ a: 1, b: 2 });
    run.scalar('a', 1, { step: 1 });
    run.histogram('a', [1]);
    expect(recorder.rows).toHaveLength(0);
    expect(recorder.dropped).toEqual({ after_finish: 4 });
  });
});
