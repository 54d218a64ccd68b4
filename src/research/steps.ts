// The step counter of one scope of a run: starts at 0, counts rows, and follows whoever names a step.
import { MAX_STEP } from './numbers.ts';

export class StepCounter {
  /** The step of the next row that names none. */
  next = 0;
  /** Some row has had a step: `next` means something to what has no step of its own (timings, text). */
  used = false;
  /** The highest step of a row; -1 before there is one. */
  highest = -1;

  /** A row with this step is complete. Steps may go back: the counter goes on from whatever came last. */
  committed(step: number): void {
    this.used = true;
    this.next = step < MAX_STEP ? step + 1 : MAX_STEP;
    if (step > this.highest) this.highest = step;
  }

  /** Goes on from where an earlier process was. */
  restore(next: number, highest: number): void {
    this.used = next > 0 || highest >= 0;
    this.next = next;
    this.highest = highest;
  }

  /** The step under way, or NaN when the scope has no steps so far. */
  current(): number {
    return this.used ? this.next : Number.NaN;
  }
}
