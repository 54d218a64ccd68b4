// Smoothing and outlier rejection: the arithmetic, the purity of `apply`, and what is refused.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Filter, filters, type Sample } from '../../src/index.ts';

const {
  average,
  concat,
  expAverage,
  fromConfiguration,
  median,
  minMax,
  quantization,
  rangeReject,
  scale,
  stdReject,
  stream,
} = filters;

/** Runs samples through a fresh stream. */
const run = <S extends Sample>(filter: Filter, samples: readonly S[]): unknown[] =>
  samples.map(stream(filter));
const close = (values: unknown, expected: number[]): void => {
  const list = values as number[];
  expect(list).toHaveLength(expected.length);
  for (const [i, value] of expected.entries()) expect(list[i]).toBeCloseTo(value, 9);
};

const EVERY: [string, () => Filter][] = [
  ['scale', () => scale(2)],
  ['minMax', () => minMax(-10, 10)],
  ['average', () => average(3)],
  ['median', () => median(3)],
  ['expAverage', () => expAverage(0.4)],
  ['quantization', () => quantization({ min: -1, max: 1, step: 0.1 })],
  ['rangeReject', () => rangeReject({ min: -1, max: 1, fallback: scale(0) })],
  ['rangeReject, last good', () => rangeReject({ min: -1, max: 1 })],
  ['stdReject', () => stdReject({ factor: 2, window: 3, fallback: [scale(0.5), average(2)] })],
  ['concat', () => concat([scale(2), average(2)])],
  [
    'from a configuration',
    () =>
      fromConfiguration([
        { type: 'minMax', min: -1, max: 1 },
        { type: 'expAverage', alpha: 0.5 },
      ]),
  ],
];
const signal = fc.integer({ min: 1, max: 4 }).chain(size =>
  fc.array(fc.array(fc.double({ min: -2, max: 2, noNaN: true }), { minLength: size, maxLength: size }), {
    minLength: 1,
    maxLength: 12,
  }),
);

describe.each(EVERY)('%s', (_name, make) => {
  it('applied state by state gives what a stream gives, and changes neither state nor sample', () => {
    fc.assert(
      fc.property(signal, samples => {
        const filter = make();
        const one = stream(make());
        let state = filter.init(samples[0]!);
        for (const sample of samples) {
          const before = structuredClone({ state, sample });
          const [next, output] = filter.apply(state, sample);
          const [, again] = filter.apply(state, sample);
          expect(again).toEqual(output);
          expect({ state, sample }).toEqual(before);
          expect(one(sample)).toEqual(output);
          state = next;
        }
      }),
      { numRuns: 50 },
    );
  });

  it('after reset begins again', () => {
    fc.assert(
      fc.property(signal, samples => {
        const one = stream(make());
        const first = samples.map(sample => one.step(sample));
        one.reset();
        expect(samples.map(sample => one.step(sample))).toEqual(first);
      }),
      { numRuns: 20 },
    );
  });

  it('filters each place by itself, numbers as arrays of one', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -2, max: 2, noNaN: true }), { minLength: 1, maxLength: 12 }),
        values => {
          const alone = run(make(), values);
          expect(
            run(
              make(),
              values.map(value => [value]),
            ),
          ).toEqual(alone.map(value => [value]));
        },
      ),
      { numRuns: 20 },
    );
  });

  it('gives back the kind of array that it was given', () => {
    expect(stream(make())(0.5)).toEqual(expect.any(Number));
    expect(stream(make())([0.5, 1])).toBeInstanceOf(Array);
    expect(stream(make())(Float32Array.of(0.5))).toBeInstanceOf(Float32Array);
    expect(stream(make())(Float64Array.of(0.5))).toBeInstanceOf(Float64Array);
    expect(stream(make())(Uint8Array.of(1))).toBeInstanceOf(Float64Array);
  });

  it('refuses samples that change their size, and what is no number', () => {
    const one = stream(make());
    one([1, 2]);
    expect(() => one([1, 2, 3])).toThrow(RangeError);
    expect(() => one([1, 2, 3])).toThrow(/a sample of 3 values after one of 2/);
    for (const bad of ['1', null, {}, [1, '2'], undefined])
      expect(() => stream(make())(bad as never)).toThrow(TypeError);
  });

  it('has a name', () => {
    expect(make().name).toMatch(/^\w+\(.*\)$/);
    expect(stream(make()).name).toBe(make().name);
  });
});

it.each([
  [2, 1, 2],
  [0.5, -2, -1],
  [-1, 3, -3],
  [0, 5, 0],
])('scale(%p) of %p is %p', (factor, value, expected) => {
  expect(stream(scale(factor))([value, value])).toEqual([expected, expected]);
});

it.each([
  [5, 0.75],
  [10, 1],
  [15, 1],
  [-5, 0.25],
  [-10, 0],
  [-15, 0],
  [0, 0.5],
])('minMax(-10, 10) of %p is %p', (value, expected) => {
  expect(stream(minMax(-10, 10))([value, value, value])).toEqual([expected, expected, expected]);
});

describe('windows', () => {
  it('average takes those there are, then the last ones', () => {
    close(run(average(3), [1, 2, 3, 4, 5]), [1, 1.5, 2, 3, 4]);
    expect(
      run(average(2), [
        [1, 10],
        [3, 30],
      ]),
    ).toEqual([
      [1, 10],
      [2, 20],
    ]);
  });

  it('median takes those there are, then the last ones', () => {
    expect(run(median(3), [1, 5, 2, 8, 3])).toEqual([1, 3, 2, 5, 3]);
    expect(
      run(median(4), [
        [1, 3],
        [2, 4],
        [5, 6],
        [7, 8],
      ]).at(-1),
    ).toEqual([3.5, 5]);
  });

  it('NaN stays as long as it is in the window', () => {
    expect(run(median(2), [1, Number.NaN, 2, 3])).toEqual([1, Number.NaN, Number.NaN, 2.5]);
    expect(run(average(2), [1, Number.NaN, 2, 3])).toEqual([1, Number.NaN, Number.NaN, 2.5]);
  });
});

describe('expAverage', () => {
  it('begins with the first sample and follows', () => {
    close(run(expAverage(0.5), [1, 2, 3]), [1, 1.5, 2.25]);
  });

  it('of 1 is the sample, of 0 the first one', () => {
    expect(
      run(expAverage(1), [
        [1, 10],
        [2, 20],
      ]),
    ).toEqual([
      [1, 10],
      [2, 20],
    ]);
    expect(
      run(expAverage(0), [
        [1, 10],
        [2, 20],
      ]),
    ).toEqual([
      [1, 10],
      [1, 10],
    ]);
  });

  it.each([0, 0.5, 0.75, 0.99, 1])('of %p is the weighted sum of all samples', alpha => {
    const samples = [3, 1, 4, 1, 5, 9];
    const sum = samples.reduce((total, sample, i) => {
      const age = samples.length - 1 - i;
      return total + sample * (i === 0 ? (1 - alpha) ** age : alpha * (1 - alpha) ** age);
    }, 0);
    expect(run(expAverage(alpha), samples).at(-1)).toBeCloseTo(sum, 9);
  });
});

describe('quantization', () => {
  it('clamps, then takes the nearest level; defaults as in goggles', () => {
    close(
      stream(quantization())([-0.16, 0.16, 0.00005, 0.0001, 0, 0.00015]),
      [-0.15, 0.15, 0, 0.00015, 0, 0.00015],
    );
  });

  it('takes the lower of two levels that are as near, and none above max', () => {
    close(run(quantization({ min: 0, max: 1, step: 0.5 }), [0.25, 0.75, 0.26]), [0, 0.5, 0.5]);
    close(run(quantization({ min: 0, max: 1, step: 0.3 }), [1, 5]), [0.9, 0.9]);
  });

  it('puts every value on a level, at most half a step away', () => {
    fc.assert(
      fc.property(fc.double({ min: -1, max: 1, noNaN: true }), value => {
        const level = stream(quantization({ min: -1, max: 1, step: 0.1 }))(value);
        expect(Math.abs(level - value)).toBeLessThanOrEqual(0.05 + 1e-9);
        expect(Math.abs(level * 10 - Math.round(level * 10))).toBeLessThan(1e-6);
      }),
    );
  });
});

describe('rangeReject', () => {
  it('puts the last good value for what is outside, the middle before there is one', () => {
    expect(run(rangeReject({ min: 0, max: 10 }), [20, 3, -1, Number.NaN, 10])).toEqual([5, 3, 3, 3, 10]);
  });

  it('puts what other filters make of it', () => {
    const filter = rangeReject({ min: 0, max: 10, fallback: average(2) });
    // The average sees the last good value again in place of the bad one.
    close(run(filter, [2, 4, 99]), [2, 4, 4]);
    expect(run(rangeReject({ min: 0, max: 10, fallback: [scale(0)] }), [2, 99])).toEqual([2, 0]);
  });

  it('works place by place', () => {
    expect(
      run(rangeReject({ min: 0, max: 10 }), [
        [1, 2],
        [99, 3],
        [4, -5],
      ]),
    ).toEqual([
      [1, 2],
      [1, 3],
      [4, 3],
    ]);
  });
});

describe('stdReject', () => {
  it('takes everything until the window is full, then replaces what is far out', () => {
    const filter = stdReject({ factor: 3, window: 4 });
    const outputs = run(filter, [1, 1.1, 0.9, 1, 50, 1.05, -40]) as number[];
    expect(outputs.slice(0, 4)).toEqual([1, 1.1, 0.9, 1]);
    expect(outputs[4]).toBeCloseTo(1, 9);
    expect(outputs[5]).toBe(1.05);
    expect(Math.abs(outputs[6]! - 1)).toBeLessThan(0.2);
  });

  it('puts what other filters make of it', () => {
    expect(run(stdReject({ factor: 2, window: 3, fallback: scale(0) }), [1, 2, 3, 100]).at(-1)).toBe(0);
  });

  it('takes NaN for an outlier once the window is full', () => {
    expect(run(stdReject({ factor: 2, window: 2 }), [1, 3, Number.NaN]).at(-1)).toBe(2);
  });

  it('forgets nothing for a sample of which every place was rejected', () => {
    const filter = stdReject({ factor: 2, window: 3 });
    const spikes = Array<number>(50).fill(100);
    // However many spikes come, what was accepted before is the measure: 2.5 is still taken.
    expect(run(filter, [1, 2, 3, ...spikes, 2.5]).at(-1)).toBe(2.5);
  });

  it('rejects place by place', () => {
    expect(
      run(stdReject({ factor: 2, window: 3 }), [
        [1, 1],
        [2, 2],
        [3, 3],
        [100, 2.5],
      ]).at(-1),
    ).toEqual([2, 2.5]);
  });
});

describe('concat', () => {
  it('gives each filter what the one before put out', () => {
    expect(
      run(concat([minMax(-10, 10), average(2)]), [
        [15, -15],
        [5, -5],
        [20, -20],
      ]),
    ).toEqual([
      [1, 0],
      [0.875, 0.125],
      [0.875, 0.125],
    ]);
    expect(
      run(concat([scale(2), scale(0.5)]), [
        [1, 2],
        [3, 4],
      ]),
    ).toEqual([
      [1, 2],
      [3, 4],
    ]);
  });

  it('of nothing changes nothing', () => {
    expect(
      run(concat([]), [
        [5, -5],
        [10, -10],
      ]),
    ).toEqual([
      [5, -5],
      [10, -10],
    ]);
  });

  it('names what is in it', () => {
    expect(concat([minMax(-10, 10), average(3)]).name).toBe('concat(minMax(-10, 10), average(3))');
  });
});

describe('fromConfiguration', () => {
  it('takes our names and goggles’', () => {
    const ours = fromConfiguration([
      { type: 'scale', factor: 5 },
      { type: 'minMax', min: 0, max: 10 },
      { type: 'stdReject', factor: 2, window: 3, fallback: [{ type: 'scale', factor: 0 }] },
      { type: 'quantization' },
      { type: 'median', window: 3 },
      { type: 'rangeReject', min: 0, max: 1 },
    ]);
    const theirs = fromConfiguration([
      { type: 'ScaleFilter', parameters: { scale: 5 } },
      { type: 'MinMaxFilter', parameters: { min_val: 0, max_val: 10 } },
      {
        type: 'StdRejectFilter',
        parameters: {
          std_factor: 2,
          window_size: 3,
          fallback_filter: [{ type: 'ScaleFilter', parameters: { scale: 0 } }],
        },
      },
      { type: 'QuantizationFilter', parameters: {} },
      { type: 'MedianFilter', parameters: { window_size: 3 } },
      { type: 'RangeRejectFilter', parameters: { min_value: 0, max_value: 1, fallback_filter: [] } },
    ]);
    expect(theirs.name).toBe(ours.name);
    expect(run(theirs, [0.01, 0.02, 0.5, 0.03])).toEqual(run(ours, [0.01, 0.02, 0.5, 0.03]));
  });

  it.each([
    [3, /must be a list/],
    [[3], /\[0\] must be \{type: …\}/],
    [[{ type: 'InvalidFilter' }], /\[0\] has no filter of type string "InvalidFilter" \(known are scale, /],
    [[{ type: 'avarage' }], /did you mean average\?/],
    [[{ type: 'toString' }], /no filter of type/],
    [[{ type: 'average', size: 3 }], /\[0\] average has no parameter "size" \(known are window\)/],
    [[{ type: 'average' }], /average\(window\) must be a whole number, not undefined/],
    [[{ type: 'minMax', min: 10, max: -10 }], /min must be less than max/],
  ])('refuses %j', (list, message) => {
    expect(() => fromConfiguration(list as never)).toThrow(message);
  });
});

describe('bad parameters', () => {
  it.each<[string, () => unknown, typeof TypeError | typeof RangeError]>([
    ['scale("a")', () => scale('a' as never), TypeError],
    ['scale(null)', () => scale(null as never), TypeError],
    ['scale(NaN)', () => scale(Number.NaN), RangeError],
    ['minMax(0, 0)', () => minMax(0, 0), RangeError],
    ['minMax(1, -1)', () => minMax(1, -1), RangeError],
    ['average(0)', () => average(0), RangeError],
    ['average(-1)', () => average(-1), RangeError],
    ['average(2.5)', () => average(2.5), RangeError],
    ['average("3")', () => average('3' as never), TypeError],
    ['median(0)', () => median(0), RangeError],
    ['median(-3.5)', () => median(-3.5), RangeError],
    ['expAverage(-0.1)', () => expAverage(-0.1), RangeError],
    ['expAverage(1.1)', () => expAverage(1.1), RangeError],
    ['quantization({step: 0})', () => quantization({ step: 0 }), RangeError],
    ['quantization({min: 1, max: 0})', () => quantization({ min: 1, max: 0 }), RangeError],
    ['rangeReject of no range', () => rangeReject({ min: 2, max: 1 }), RangeError],
    ['stdReject({factor: 0})', () => stdReject({ factor: 0, window: 3 }), RangeError],
    ['stdReject({window: 0})', () => stdReject({ factor: 1, window: 0 }), RangeError],
    [
      'a fallback that is no filter',
      () => rangeReject({ min: 0, max: 1, fallback: 'x' as never }),
      TypeError,
    ],
    ['concat of no list', () => concat(3 as never), TypeError],
  ])('%s', (_what, make, error) => {
    expect(make).toThrow(error);
    expect(make).toThrow(/^kymo: /);
  });
});
