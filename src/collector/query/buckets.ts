// Sums a series up in buckets of one width along step, time or another series: whole blocks by their summaries, cut ones point by point.
import {
  COUNT,
  FIRST_STEP,
  FIRST_TIME,
  IN_TIME,
  LAST,
  LAST_FINITE_STEP,
  LAST_FINITE_TIME,
  LAST_STEP,
  LAST_TIME,
  MAX,
  MIN,
  NAN,
  NEGATIVE_INFINITIES,
  POSITIVE_INFINITIES,
  SLOT,
  STRIDE,
} from './block-table.ts';
import type { Series } from './series.ts';

/** Bucket i holds x from `from + i × width` up to the next one's; the last one also `to`. */
export interface Grid {
  readonly from: number;
  readonly to: number;
  readonly width: number;
  readonly count: number;
}

/** Buckets of a width below this many blocks are not fitted to blocks: too many of those asked for would be missing. */
const MIN_BLOCKS_PER_BUCKET = 8;

/**
 * A grid of at most `points` buckets. Where x are integers, buckets begin at integers: one bucket per x where there are few. `span`: how
 * far one block reaches, where that is known; wide buckets get a multiple of it, so that few blocks have to be cut.
 */
export function gridOf(from: number, to: number, points: number, integral: boolean, span = 0): Grid {
  if (integral && Number.isSafeInteger(Math.ceil(to - from))) {
    const first = Math.ceil(from);
    const values = Math.max(1, Math.floor(to) - first + 1);
    const needed = Math.max(1, Math.ceil(values / points));
    const fits = span > 0 && needed >= MIN_BLOCKS_PER_BUCKET * span;
    const width = fits ? Math.ceil(needed / span) * span : needed;
    return { from: first, to, width, count: Math.ceil(values / width) };
  }
  const width = (to - from) / points;
  // A range of no width, or one too fine for doubles, is a single bucket.
  if (!(width > 0) || from + width === from || !Number.isFinite(width))
    return { from, to, width: Number.MAX_VALUE, count: 1 };
  return { from, to, width, count: points };
}

/** The bucket of an x within the grid. Never falls while x grows. */
export function bucketOf(grid: Grid, x: number): number {
  const bucket = Math.floor((x - grid.from) / grid.width);
  return bucket < grid.count ? bucket : grid.count - 1;
}

/** What stands in each bucket. `x` is the greatest of a point in it, `last` the finite value of the greatest x that has one; NaN where there is none. */
export class Buckets {
  readonly grid: Grid;
  readonly x: Float64Array;
  readonly min: Float64Array;
  readonly max: Float64Array;
  readonly last: Float64Array;
  readonly count: Float64Array;
  readonly nan: Float64Array;
  readonly positive: Float64Array;
  readonly negative: Float64Array;
  readonly #lastX: Float64Array;

  constructor(grid: Grid) {
    this.grid = grid;
    const column = (fill: number) => new Float64Array(grid.count).fill(fill);
    this.x = column(Number.NEGATIVE_INFINITY);
    this.min = column(Number.POSITIVE_INFINITY);
    this.max = column(Number.NEGATIVE_INFINITY);
    this.last = column(Number.NaN);
    this.count = column(0);
    this.nan = column(0);
    this.positive = column(0);
    this.negative = column(0);
    this.#lastX = column(Number.NEGATIVE_INFINITY);
  }

  add(x: number, value: number): void {
    one[0] = x;
    other[0] = value;
    this.addAll(one, other, 1);
  }

  /** Neighbours mostly share a bucket: what is in it is summed up before it is written back. */
  addAll(xs: Float64Array, values: Float64Array, length: number): void {
    const { from, to, width, count: buckets } = this.grid;
    let bucket = -1;
    let points = 0;
    let greatest = 0;
    let min = 0;
    let max = 0;
    let last = 0;
    let lastX = 0;
    for (let j = 0; j < length; j++) {
      const x = xs[j]!;
      if (!(x >= from && x <= to)) continue;
      const at = Math.min(Math.floor((x - from) / width), buckets - 1);
      if (at !== bucket) {
        if (bucket >= 0) this.#put(bucket, points, greatest, min, max, last, lastX);
        bucket = at;
        points = this.count[at]!;
        greatest = this.x[at]!;
        min = this.min[at]!;
        max = this.max[at]!;
        last = this.last[at]!;
        lastX = this.#lastX[at]!;
      }
      points++;
      if (x > greatest) greatest = x;
      const value = values[j]!;
      if (value - value === 0) {
        if (value < min) min = value;
        if (value > max) max = value;
        if (x >= lastX) {
          lastX = x;
          last = value;
        }
      } else if (Number.isNaN(value)) this.nan[at]!++;
      else if (value > 0) this.positive[at]!++;
      else this.negative[at]!++;
    }
    if (bucket >= 0) this.#put(bucket, points, greatest, min, max, last, lastX);
  }

  #put(
    bucket: number,
    points: number,
    greatest: number,
    min: number,
    max: number,
    last: number,
    lastX: number,
  ): void {
    this.count[bucket] = points;
    this.x[bucket] = greatest;
    this.min[bucket] = min;
    this.max[bucket] = max;
    this.last[bucket] = last;
    this.#lastX[bucket] = lastX;
  }

  /** A block that lies in bucket `i` as a whole. */
  addBlock(i: number, data: Float64Array, at: number, lastX: number, lastFiniteX: number): void {
    this.count[i]! += data[at + COUNT]!;
    if (lastX > this.x[i]!) this.x[i] = lastX;
    if (data[at + MIN]! < this.min[i]!) this.min[i] = data[at + MIN]!;
    if (data[at + MAX]! > this.max[i]!) this.max[i] = data[at + MAX]!;
    // NaN without a finite value: then nothing is greater.
    if (lastFiniteX >= this.#lastX[i]!) {
      this.#lastX[i] = lastFiniteX;
      this.last[i] = data[at + LAST]!;
    }
    this.nan[i]! += data[at + NAN]!;
    this.positive[i]! += data[at + POSITIVE_INFINITIES]!;
    this.negative[i]! += data[at + NEGATIVE_INFINITIES]!;
  }
}

const one = new Float64Array(1);
const other = new Float64Array(1);

/** Puts a series into buckets along its steps or times. */
export function fillBuckets(series: Series, x: 'step' | 'time', buckets: Buckets): void {
  series.merge();
  const { grid } = buckets;
  const { blocks, tail, file } = series;
  const { data } = blocks;
  const byStep = x === 'step';
  const firstField = byStep ? FIRST_STEP : FIRST_TIME;
  const lastField = byStep ? LAST_STEP : LAST_TIME;
  const lastFiniteField = byStep ? LAST_FINITE_STEP : LAST_FINITE_TIME;
  for (let i = byStep ? blocks.find(grid.from) : 0; i < blocks.count; i++) {
    const at = i * STRIDE;
    const first = data[at + firstField]!;
    const last = data[at + lastField]!;
    if (first > grid.to) {
      if (byStep) break;
      continue;
    }
    if (last < grid.from) continue;
    if (first >= grid.from && last <= grid.to && (byStep || data[at + IN_TIME] === 1)) {
      const bucket = bucketOf(grid, first);
      if (bucket === bucketOf(grid, last)) {
        buckets.addBlock(bucket, data, at, last, data[at + lastFiniteField]!);
        continue;
      }
    }
    const columns = file.read(data[at + SLOT]!);
    buckets.addAll(byStep ? columns.steps : columns.times, columns.values, data[at + COUNT]!);
  }
  buckets.addAll(byStep ? tail.steps : tail.times, tail.values, tail.count);
}

/** Calls `take` with each point of `series` that lies within the range, in order of step. */
export function eachPoint(
  series: Series,
  x: 'step' | 'time',
  from: number,
  to: number,
  take: (x: number, value: number) => void,
): void {
  series.merge();
  const { blocks, tail, file } = series;
  const byStep = x === 'step';
  for (let i = 0; i <= blocks.count; i++) {
    const isTail = i === blocks.count;
    if (!isTail) {
      const first = blocks.get(i, byStep ? FIRST_STEP : FIRST_TIME);
      const last = blocks.get(i, byStep ? LAST_STEP : LAST_TIME);
      if (last < from || first > to) continue;
    }
    const columns = isTail ? tail : file.read(blocks.get(i, SLOT));
    const count = isTail ? tail.count : blocks.get(i, COUNT);
    const xs = byStep ? columns.steps : columns.times;
    for (let j = 0; j < count; j++) {
      const at = xs[j]!;
      if (at >= from && at <= to) take(at, columns.values[j]!);
    }
  }
}

/** Calls `take` with the value of `axis` and of `series` at each step that both have. */
export function eachJoined(series: Series, axis: Series, take: (x: number, value: number) => void): void {
  const own = cursor(series);
  const other = cursor(axis);
  let a = own.next();
  let b = other.next();
  while (a !== undefined && b !== undefined) {
    if (a.step < b.step) a = own.next();
    else if (b.step < a.step) b = other.next();
    else {
      if (Number.isFinite(b.value)) take(b.value, a.value);
      a = own.next();
      b = other.next();
    }
  }
}

interface At {
  step: number;
  value: number;
}
function cursor(series: Series): { next(): At | undefined } {
  const pages = series.pages();
  const at: At = { step: 0, value: 0 };
  let steps: Float64Array = new Float64Array(0);
  let values: Float64Array = new Float64Array(0);
  let i = 0;
  return {
    next() {
      while (i >= steps.length) {
        const page = pages.next();
        if (page.done) return undefined;
        steps = page.value.steps.subarray(0, page.value.count);
        values = page.value.values.subarray(0, page.value.count);
        i = 0;
      }
      at.step = steps[i]!;
      at.value = values[i]!;
      i++;
      return at;
    },
  };
}
