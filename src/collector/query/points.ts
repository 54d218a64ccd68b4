// Points in order of step, as columns in memory: of equal steps only the newest attempt's latest stays.

/** What one point is. */
export interface Point {
  readonly step: number;
  /** Unix seconds. */
  readonly time: number;
  readonly value: number;
  readonly attempt: number;
}

/** Attempts are kept in 16 bits. */
export const MAX_ATTEMPT = 65_535;
const FIRST_CAPACITY = 16;

export class SortedPoints {
  count = 0;
  steps = new Float64Array(FIRST_CAPACITY);
  times = new Float64Array(FIRST_CAPACITY);
  values = new Float64Array(FIRST_CAPACITY);
  attempts = new Uint16Array(FIRST_CAPACITY);

  /** Puts a point in its place. False when an equal step was there: the newer one of both stays (decision 18). */
  put(step: number, time: number, value: number, attempt: number): boolean {
    const { count, steps } = this;
    if (count === 0 || step > steps[count - 1]!) {
      if (count === steps.length) this.#grow();
      this.#set(count, step, time, value, attempt);
      this.count++;
      return true;
    }
    const at = lowerBound(steps, count, step);
    if (steps[at] === step) {
      const known = this.attempts[at]!;
      if (attempt > known || (attempt === known && time >= this.times[at]!))
        this.#set(at, step, time, value, attempt);
      return false;
    }
    if (count === steps.length) this.#grow();
    this.steps.copyWithin(at + 1, at, count);
    this.times.copyWithin(at + 1, at, count);
    this.values.copyWithin(at + 1, at, count);
    this.attempts.copyWithin(at + 1, at, count);
    this.#set(at, step, time, value, attempt);
    this.count++;
    return true;
  }

  /** Takes the first points away. */
  shift(amount: number): void {
    const { count } = this;
    this.steps.copyWithin(0, amount, count);
    this.times.copyWithin(0, amount, count);
    this.values.copyWithin(0, amount, count);
    this.attempts.copyWithin(0, amount, count);
    this.count -= amount;
  }

  /** Takes away what attempts below `attempt` wrote from `fromStep` on. Returns how many those were. */
  supersede(attempt: number, fromStep: number): number {
    let kept = lowerBound(this.steps, this.count, fromStep);
    const from = kept;
    for (let i = from; i < this.count; i++) {
      if (this.attempts[i]! < attempt) continue;
      this.#set(kept++, this.steps[i]!, this.times[i]!, this.values[i]!, this.attempts[i]!);
    }
    const gone = this.count - kept;
    this.count = kept;
    return gone;
  }

  /** Holds `count` points from now on, to be written into the columns by the caller. */
  resize(count: number): void {
    while (this.steps.length < count) this.#grow();
    this.count = count;
  }

  #set(at: number, step: number, time: number, value: number, attempt: number): void {
    this.steps[at] = step;
    this.times[at] = time;
    this.values[at] = value;
    this.attempts[at] = attempt;
  }

  #grow(): void {
    this.steps = grown(this.steps, new Float64Array(this.steps.length * 2));
    this.times = grown(this.times, new Float64Array(this.times.length * 2));
    this.values = grown(this.values, new Float64Array(this.values.length * 2));
    this.attempts = grown(this.attempts, new Uint16Array(this.attempts.length * 2));
  }
}

/** Index of the first of `count` ascending numbers that is not below `wanted`; `count` when all are. */
export function lowerBound(ascending: Float64Array, count: number, wanted: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle]! < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

function grown<T extends Float64Array | Uint16Array>(from: T, to: T): T {
  to.set(from as never);
  return to;
}
