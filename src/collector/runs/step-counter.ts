// Steps for points that carry none: each series counts its own, 0, 1, 2 …

/** Series counted one by one in a run. Clients without steps have a handful; the counts travel in the cursor. */
export const MAX_COUNTED_SERIES = 1_000;
/** Counts everything beyond the limit together. No series has this name: sinks make `unnamed` of an empty one. */
const SHARED = '';

/** What goes into an exporter's state: series and the step it would get next. */
export type StepCounts = readonly (readonly [series: string, next: number])[];

/** Counts per series, continued exactly from a snapshot. Series beyond the limit share one count: still growing, no longer dense. */
export class StepCounter {
  readonly #next: Map<string, number>;
  readonly #limit: number;

  constructor(counts: StepCounts = [], limit: number = MAX_COUNTED_SERIES) {
    this.#next = new Map(counts);
    this.#limit = limit;
  }

  /** The step of the next point of a series. */
  next(series: string): number {
    let key = series;
    let step = this.#next.get(key);
    if (step === undefined && this.#next.size >= this.#limit) {
      key = SHARED;
      step = this.#next.get(key);
    }
    step ??= 0;
    this.#next.set(key, step + 1);
    return step;
  }

  snapshot(): StepCounts {
    return [...this.#next];
  }
}
