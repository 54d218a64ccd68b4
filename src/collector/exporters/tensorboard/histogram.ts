// An OTLP histogram as the rows that TensorBoard's histogram plugin draws: left edge, right edge, count.
import type { HistogramPoint } from '../../../otlp/model.ts';
import { MAX_CUMULATIVE_HISTOGRAMS } from './limits.ts';

/** The buckets to draw, without empty ones at the ends; one empty bucket for a histogram of nothing. Every edge is finite. */
export function histogramRows(
  point: Pick<HistogramPoint, 'bounds' | 'min' | 'max'>,
  counts: Float64Array,
): Float64Array {
  let first = 0;
  let last = counts.length - 1;
  while (first <= last && !(counts[first]! > 0)) first++;
  while (last > first && !(counts[last]! > 0)) last--;
  if (first > last) return Float64Array.of(0, 0, 0);
  const rows = new Float64Array(3 * (last - first + 1));
  for (let bucket = first; bucket <= last; bucket++) {
    let { left, right } = bucketEdges(point, bucket);
    // The smallest and largest value say more than the bounds of the buckets they fell into.
    if (bucket === first && point.min > left && point.min <= right) left = point.min;
    if (bucket === last && point.max < right && point.max >= left) right = point.max;
    const row = 3 * (bucket - first);
    rows[row] = left;
    rows[row + 1] = right;
    rows[row + 2] = Math.max(0, counts[bucket]!);
  }
  return rows;
}

/** Turns cumulative histograms into what came since the point before. */
export class HistogramDeltas {
  readonly #last = new Map<string, { readonly bounds: Float64Array; readonly counts: Float64Array }>();

  /** Counts of this interval. A series that begins, or began anew (a count fell, other bounds), is taken as it is. */
  counts(key: string, point: HistogramPoint): Float64Array {
    if (point.temporality !== 'cumulative') return point.counts;
    const before = this.#last.get(key);
    this.#last.delete(key);
    this.#last.set(key, { bounds: point.bounds, counts: point.counts });
    if (this.#last.size > MAX_CUMULATIVE_HISTOGRAMS) {
      for (const oldest of this.#last.keys()) {
        this.#last.delete(oldest);
        break;
      }
    }
    if (before === undefined || !equal(before.bounds, point.bounds)) return point.counts;
    const counts = new Float64Array(point.counts.length);
    for (let i = 0; i < counts.length; i++) {
      counts[i] = point.counts[i]! - before.counts[i]!;
      if (counts[i]! < 0) return point.counts;
    }
    return counts;
  }
}

/** Outer buckets reach to infinity on the wire; here they end at min and max, or have no width. */
function bucketEdges(
  { bounds, min, max }: Pick<HistogramPoint, 'bounds' | 'min' | 'max'>,
  bucket: number,
): { left: number; right: number } {
  let left = bucket === 0 ? min : bounds[bucket - 1]!;
  let right = bucket === bounds.length ? max : bounds[bucket]!;
  if (!Number.isFinite(left)) left = Number.isFinite(right) ? right : 0;
  if (!Number.isFinite(right)) right = left;
  // An outer edge that contradicts the bounds is not believed.
  if (left > right) {
    if (bucket === 0) left = right;
    else right = left;
  }
  return { left, right };
}

function equal(a: Float64Array, b: Float64Array): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
