// Filters that look back: averages and medians over the last samples, and the exponential average.
import { type Filter, filterOf, type Kernel, type Values } from './filter.ts';
import { checkFinite, checkWindow } from './parameters.ts';

/** The mean of the last `window` samples, of those there are while there are fewer. */
export function average(window: number): Filter {
  checkWindow('average(window)', window);
  return filterOf(windowed(`average(${window})`, window, mean));
}

/** The median of the last `window` samples, of those there are while there are fewer. NaN among them gives NaN. */
export function median(window: number): Filter {
  checkWindow('median(window)', window);
  return filterOf(windowed(`median(${window})`, window, middle));
}

/** `alpha · sample + (1 - alpha) · before`; the first sample is itself. */
export function expAverage(alpha: number): Filter {
  checkFinite('expAverage(alpha)', alpha);
  if (alpha < 0 || alpha > 1)
    throw new RangeError(`kymo: filter expAverage(alpha) must be from 0 to 1, not ${alpha}`);
  const kernel: Kernel<Values | undefined> = {
    name: `expAverage(${alpha})`,
    init: () => undefined,
    apply: (before, values) => {
      const next =
        before === undefined ? values : values.map((value, i) => alpha * value + (1 - alpha) * before[i]!);
      return [next, next.slice()];
    },
  };
  return filterOf(kernel);
}

/** The samples of a window, the oldest first. */
export type Window = readonly Values[];

export function push(window: Window, values: Values, size: number): Window {
  return [...(window.length < size ? window : window.slice(window.length - size + 1)), values];
}

/** The column of one place over all samples of the window. */
function windowed(name: string, size: number, of: (column: Float64Array) => number): Kernel<Window> {
  return {
    name,
    init: () => [],
    apply: (window, values) => {
      const next = push(window, values, size);
      const column = new Float64Array(next.length);
      const output = values.map((_, place) => {
        for (const [i, sample] of next.entries()) column[i] = sample[place]!;
        return of(column);
      });
      return [next, output];
    },
  };
}

export function mean(column: Float64Array): number {
  let sum = 0;
  for (const value of column) sum += value;
  return sum / column.length;
}

function middle(column: Float64Array): number {
  if (column.some(Number.isNaN)) return Number.NaN;
  const sorted = column.toSorted();
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
