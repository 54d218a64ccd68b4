// How a histogram point crosses from the caller to the worker: a run of float64 in one blob.
import type { HistogramInput } from './recorder.ts';

/** OTLP histograms of Kymo have at most this many buckets. */
export const MAX_BUCKETS = 512;

export interface HistogramBlob {
  readonly timeNs: number;
  readonly step: number;
  readonly span: number;
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  readonly bounds: Float64Array;
  readonly counts: Float64Array;
}

const FIXED = 8; // time, step, span, count, sum, min, max, number of bounds

/** @throws RangeError when there are more than 512 buckets or `counts` has not one entry more than `bounds`. */
export function encodeHistogramBlob(
  timeNs: number,
  step: number,
  span: number,
  point: HistogramInput,
): Uint8Array {
  const n = point.bounds.length;
  if (n + 1 > MAX_BUCKETS)
    throw new RangeError(`histogram: ${n + 1} buckets, at most ${MAX_BUCKETS} are possible`);
  if (point.counts.length !== n + 1)
    throw new RangeError(`histogram: ${point.counts.length} counts for ${n} bounds, expected ${n + 1}`);
  const out = new Float64Array(FIXED + 2 * n + 1);
  out[0] = timeNs;
  out[1] = step;
  out[2] = span;
  out[3] = point.count;
  out[4] = point.sum;
  out[5] = point.min;
  out[6] = point.max;
  out[7] = n;
  for (let i = 0; i < n; i++) out[FIXED + i] = point.bounds[i]!;
  for (let i = 0; i <= n; i++) out[FIXED + n + i] = point.counts[i]!;
  return new Uint8Array(out.buffer);
}

export function decodeHistogramBlob(bytes: Uint8Array): HistogramBlob {
  const all = new Float64Array(bytes.slice().buffer);
  const n = all[7]!;
  return {
    timeNs: all[0]!,
    step: all[1]!,
    span: all[2]!,
    count: all[3]!,
    sum: all[4]!,
    min: all[5]!,
    max: all[6]!,
    bounds: all.slice(FIXED, FIXED + n),
    counts: all.slice(FIXED + n, FIXED + 2 * n + 1),
  };
}
