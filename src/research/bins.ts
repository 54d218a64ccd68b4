// Puts numbers into the buckets of an OTLP histogram point: bucket i holds what is above bound i-1 and not above bound i.
import type { HistogramInput } from '../sdk/recorder.ts';

export const DEFAULT_BINS = 64;
/** What readers of Kymo's conventions are promised. */
export const MAX_BINS = 512;

/**
 * @param values non-finite ones are left out: they have no place between bounds
 * @param bins how many buckets of equal width between smallest and largest value, or the inner bounds themselves (ascending)
 * @returns undefined when there is no finite value
 */
export function binValues(
  values: ArrayLike<number>,
  bins: number | readonly number[],
): HistogramInput | undefined {
  let count = 0;
  let sum = 0;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!Number.isFinite(value)) continue;
    count++;
    sum += value;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  if (count === 0) return undefined;
  const bounds = typeof bins === 'number' ? equalWidths(min, max, bins) : bins;
  const counts = new Float64Array(bounds.length + 1);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Number.isFinite(value)) counts[bucketOf(value, bounds)]!++;
  }
  return { bounds, counts, count, sum, min, max };
}

/** The first bucket begins at `min` and the last ends at `max`, so only what lies between is a bound. */
function equalWidths(min: number, max: number, bins: number): number[] {
  if (min === max) return [min];
  const bounds: number[] = [];
  for (let i = 1; i < bins; i++) {
    // Not min + i * width: the width of a range from -1e308 to 1e308 is infinite.
    const bound = min * (1 - i / bins) + max * (i / bins);
    if (bound > (bounds.at(-1) ?? min) && bound < max) bounds.push(bound);
  }
  return bounds;
}

function bucketOf(value: number, bounds: readonly number[]): number {
  let low = 0;
  let high = bounds.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (value <= bounds[middle]!) high = middle;
    else low = middle + 1;
  }
  return low;
}
