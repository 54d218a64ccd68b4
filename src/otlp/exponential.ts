// Turns the buckets of an exponential histogram into explicit bounds.

/**
 * One side of an exponential histogram. Bucket i counts values in (base^(offset+i), base^(offset+i+1)] with
 * base = 2^(2^-scale). Source: OpenTelemetry metrics data model, ExponentialHistogram.
 */
export interface ExponentialBuckets {
  readonly offset: number;
  readonly counts: Float64Array;
}

export interface ExplicitBuckets {
  readonly bounds: Float64Array;
  readonly counts: Float64Array;
}

/**
 * Buckets kept of one side. Two sides, the zero bucket, the edges next to it and the two ends make at most 512. Upstream
 * writers use 160.
 */
export const MAX_SIDE_BUCKETS = 250;

/**
 * How many times neighbours must be merged in pairs so that `count` buckets from `offset` on are at most
 * MAX_SIDE_BUCKETS. Merging once is lowering the scale by one: bucket index i becomes i >> 1.
 */
export function mergesNeeded(offset: number, count: number): number {
  let merges = 0;
  const last = offset + count - 1;
  while (Math.floor(last / 2 ** merges) - Math.floor(offset / 2 ** merges) >= MAX_SIDE_BUCKETS) merges++;
  return merges;
}

/**
 * At most 512 buckets with ascending, finite bounds. Both sides must be merged to `scale`. Bounds that a double cannot
 * tell apart (or hold) fall together.
 */
export function explicitBuckets(
  scale: number,
  zeroCount: number,
  zeroThreshold: number,
  positive: ExponentialBuckets,
  negative: ExponentialBuckets,
): ExplicitBuckets {
  const bounds: number[] = [];
  const counts: number[] = [];
  let pending = 0;
  const close = (upper: number, count: number): void => {
    pending += count;
    if (!Number.isFinite(upper) || (bounds.length > 0 && upper <= bounds[bounds.length - 1]!)) return;
    bounds.push(upper);
    counts.push(pending);
    pending = 0;
  };
  const edge = (index: number): number => 2 ** (index * 2 ** -scale);
  const { length } = negative.counts;
  if (length > 0) close(-edge(negative.offset + length), 0);
  for (let i = length - 1; i >= 0; i--) close(-edge(negative.offset + i), negative.counts[i]!);
  if (zeroThreshold > 0) close(-zeroThreshold, 0);
  if (zeroCount > 0 || length > 0) close(Math.max(zeroThreshold, 0), zeroCount);
  if (positive.counts.length > 0) close(edge(positive.offset), 0);
  for (let i = 0; i < positive.counts.length; i++) close(edge(positive.offset + i + 1), positive.counts[i]!);
  counts.push(pending);
  return { bounds: Float64Array.from(bounds), counts: Float64Array.from(counts) };
}
