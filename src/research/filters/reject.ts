// Filters that replace what cannot be true: values out of a range, values far from the last ones.
import { concatKernel } from './concat.ts';
import { type Filter, filterOf, type Kernel, type Values } from './filter.ts';
import { checkFinite, checkRange, checkWindow } from './parameters.ts';
import { mean, push, type Window } from './windows.ts';

export interface RangeRejectOptions {
  readonly min: number;
  readonly max: number;
  /**
   * What stands for a rejected value: the output of these filters, one after the other, which see each sample with its rejected values
   * replaced by the last good ones (the middle of the range before there are any). None: the last good value itself.
   */
  readonly fallback?: Filter | readonly Filter[];
}

/** Replaces what is outside [min, max], and NaN. */
export function rangeReject(options: RangeRejectOptions): Filter {
  const { min, max, fallback = [] } = options;
  checkRange('rangeReject({min, max})', min, max);
  const instead = concatKernel([fallback].flat());
  const kernel: Kernel<{ readonly good: Values; readonly instead: readonly unknown[] }> = {
    name: `rangeReject(${min}, ${max}, ${instead.name})`,
    init: size => ({ good: new Float64Array(size).fill((min + max) / 2), instead: instead.init(size) }),
    apply: (state, values) => {
      const isGood = (value: number): boolean => value >= min && value <= max;
      const good = values.map((value, i) => (isGood(value) ? value : state.good[i]!));
      const [next, replacement] = instead.apply(state.instead, good);
      const output = values.map((value, i) => (isGood(value) ? value : replacement[i]!));
      return [{ good, instead: next }, output];
    },
  };
  return filterOf(kernel);
}

export interface StdRejectOptions {
  /** How many standard deviations from the mean is too far. */
  readonly factor: number;
  /** Mean and deviation are those of the last `window` accepted samples; until there are so many, everything is accepted. */
  readonly window: number;
  /** As for `rangeReject`; before there is a good value the filters see the mean. */
  readonly fallback?: Filter | readonly Filter[];
}

interface StdState {
  readonly window: Window;
  readonly good: Values | undefined;
  readonly instead: readonly unknown[];
}

/** Replaces what is further from the mean of the last accepted samples than `factor` standard deviations, each place by itself. */
export function stdReject(options: StdRejectOptions): Filter {
  const { factor, window: size, fallback = [] } = options;
  checkFinite('stdReject({factor})', factor);
  if (factor <= 0)
    throw new RangeError(`kymo: filter stdReject({factor}) must be greater than 0, not ${factor}`);
  checkWindow('stdReject({window})', size);
  const instead = concatKernel([fallback].flat());
  const kernel: Kernel<StdState> = {
    name: `stdReject(${factor}, ${size}, ${instead.name})`,
    init: length => ({ window: [], good: undefined, instead: instead.init(length) }),
    apply: (state, values) => {
      if (state.window.length < size) {
        const [next] = instead.apply(state.instead, values);
        return [{ window: push(state.window, values, size), good: undefined, instead: next }, values.slice()];
      }
      const { means, deviations } = statistics(state.window);
      const isGood = (value: number, i: number): boolean =>
        Math.abs(value - means[i]!) <= factor * deviations[i]!;
      const known = state.good ?? means;
      const safe = values.map((value, i) => (isGood(value, i) ? value : known[i]!));
      const [next, replacement] = instead.apply(state.instead, safe);
      const output = values.map((value, i) => (isGood(value, i) ? value : replacement[i]!));
      // A sample of which nothing was accepted says nothing: it would only narrow the deviation.
      const window = values.some(isGood) ? push(state.window, output, size) : state.window;
      return [{ window, good: output, instead: next }, output.slice()];
    },
  };
  return filterOf(kernel);
}

function statistics(window: Window): { means: Values; deviations: Values } {
  const size = window[0]!.length;
  const means = new Float64Array(size);
  const deviations = new Float64Array(size);
  const column = new Float64Array(window.length);
  for (let place = 0; place < size; place++) {
    for (const [i, sample] of window.entries()) column[i] = sample[place]!;
    const center = mean(column);
    means[place] = center;
    deviations[place] = Math.sqrt(mean(column.map(value => (value - center) ** 2)));
  }
  return { means, deviations };
}
