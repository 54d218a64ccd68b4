// Filters that look at nothing but the sample: scale, range, levels.
import { type Filter, filterOf, type Kernel } from './filter.ts';
import { checkFinite, checkRange } from './parameters.ts';

/** Multiplies. */
export function scale(factor: number): Filter {
  checkFinite('scale(factor)', factor);
  return filterOf(each(`scale(${factor})`, value => value * factor));
}

/** Maps [min, max] to [0, 1]; what lies outside becomes 0 or 1. NaN stays. */
export function minMax(min: number, max: number): Filter {
  checkRange('minMax(min, max)', min, max);
  return filterOf(
    each(`minMax(${min}, ${max})`, value => Math.min(1, Math.max(0, (value - min) / (max - min)))),
  );
}

/**
 * The nearest of the levels min, min + step, … that are at most max; the lower one of two that are as near. NaN stays.
 * Defaults: from -0.15 to 0.15 by 0.00015.
 */
export function quantization(
  options: { readonly min?: number; readonly max?: number; readonly step?: number } = {},
): Filter {
  const { min = -0.15, max = 0.15, step = 0.00015 } = options;
  checkRange('quantization({min, max})', min, max);
  checkFinite('quantization({step})', step);
  if (step <= 0)
    throw new RangeError(`kymo: filter quantization({step}) must be greater than 0, not ${step}`);
  // (0.15 - -0.15) / 0.00015 is a little less than 2,000 in floating point.
  const last = Math.floor((max - min) / step + 1e-9);
  return filterOf(
    each(`quantization(${min}, ${max}, ${step})`, value => {
      const clipped = Math.min(max, Math.max(min, value));
      // Ties go down: half a level away rounds to the lower one.
      const level = Math.min(last, Math.max(0, Math.ceil((clipped - min) / step - 0.5 - 1e-9)));
      return Number.isNaN(level) ? level : min + level * step;
    }),
  );
}

function each(name: string, map: (value: number) => number): Kernel<null> {
  return { name, init: () => null, apply: (_state, values) => [null, values.map(map)] };
}
