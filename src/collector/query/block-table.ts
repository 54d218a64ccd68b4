// What is known of a series' blocks without reading them: ranges of step and time, smallest and largest value, what is no number.
import type { SortedPoints } from './points.ts';

/** Numbers per block, and where each stands. */
export const STRIDE = 16;
export const SLOT = 0;
export const COUNT = 1;
export const FIRST_STEP = 2;
export const LAST_STEP = 3;
export const FIRST_TIME = 4;
export const LAST_TIME = 5;
/** Over finite values; Infinity and -Infinity where there are none. */
export const MIN = 6;
export const MAX = 7;
/** The finite value of the highest step, and that step and time; NaN where there is none. */
export const LAST = 8;
export const LAST_FINITE_STEP = 9;
export const LAST_FINITE_TIME = 10;
export const NAN = 11;
export const POSITIVE_INFINITIES = 12;
export const NEGATIVE_INFINITIES = 13;
/** 1 where times never go back while steps go on: then the order by time is the order by step. */
export const IN_TIME = 14;
/** Lowest and highest attempt: low + 65,536 × high. */
export const ATTEMPTS = 15;

const FIRST_BLOCKS = 4;

export class BlockTable {
  count = 0;
  data = new Float64Array(FIRST_BLOCKS * STRIDE);

  /** Makes room for `amount` more and returns where they begin. */
  reserve(amount: number): number {
    const at = this.count * STRIDE;
    const needed = at + amount * STRIDE;
    if (needed > this.data.length) {
      const data = new Float64Array(Math.max(needed, this.data.length * 2));
      data.set(this.data);
      this.data = data;
    }
    this.count += amount;
    return at;
  }

  copyFrom(table: BlockTable, from: number, to: number): void {
    if (to <= from) return;
    const at = this.reserve(to - from);
    this.data.set(table.data.subarray(from * STRIDE, to * STRIDE), at);
  }

  add(slot: number, points: SortedPoints, from: number, to: number): void {
    const at = this.reserve(1);
    summarize(this.data, at, slot, points, from, to);
  }

  get(block: number, field: number): number {
    return this.data[block * STRIDE + field]!;
  }

  /** The first block that ends at `step` or later; `count` when all end before. */
  find(step: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.data[middle * STRIDE + LAST_STEP]! < step) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export function lowestAttempt(packed: number): number {
  return packed % 65_536;
}
export function highestAttempt(packed: number): number {
  return Math.floor(packed / 65_536);
}

function summarize(
  data: Float64Array,
  at: number,
  slot: number,
  points: SortedPoints,
  from: number,
  to: number,
): void {
  const { steps, times, values, attempts } = points;
  let firstTime = Number.POSITIVE_INFINITY;
  let lastTime = Number.NEGATIVE_INFINITY;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let last = -1;
  let nan = 0;
  let positive = 0;
  let negative = 0;
  let inTime = 1;
  let low = 65_535;
  let high = 0;
  for (let i = from; i < to; i++) {
    const time = times[i]!;
    const value = values[i]!;
    const attempt = attempts[i]!;
    if (time < lastTime) inTime = 0;
    if (time < firstTime) firstTime = time;
    if (time > lastTime) lastTime = time;
    if (value - value === 0) {
      if (value < min) min = value;
      if (value > max) max = value;
      last = i;
    } else if (Number.isNaN(value)) nan++;
    else if (value > 0) positive++;
    else negative++;
    if (attempt < low) low = attempt;
    if (attempt > high) high = attempt;
  }
  data[at + SLOT] = slot;
  data[at + COUNT] = to - from;
  data[at + FIRST_STEP] = steps[from]!;
  data[at + LAST_STEP] = steps[to - 1]!;
  data[at + FIRST_TIME] = firstTime;
  data[at + LAST_TIME] = lastTime;
  data[at + MIN] = min;
  data[at + MAX] = max;
  data[at + LAST] = last < 0 ? Number.NaN : values[last]!;
  data[at + LAST_FINITE_STEP] = last < 0 ? Number.NaN : steps[last]!;
  data[at + LAST_FINITE_TIME] = last < 0 ? Number.NaN : times[last]!;
  data[at + NAN] = nan;
  data[at + POSITIVE_INFINITIES] = positive;
  data[at + NEGATIVE_INFINITIES] = negative;
  data[at + IN_TIME] = inTime;
  data[at + ATTEMPTS] = low + 65_536 * high;
}
