// What a flooding process is told, and what it writes down.
import type { Plan } from './plan.ts';

/** As JSON in `CHAOS_FLOOD`. */
export interface FloodTask {
  readonly url: string;
  /** One connection each. */
  readonly plans: readonly Plan[];
  readonly rowsPerRequest: number;
  /** At least so long, and until `stopFile` is there; as long as there are rows. */
  readonly seconds: number;
  readonly stopFile: string;
  readonly reportFile: string;
}

export interface FloodReport {
  /** Rows of each plan that were acknowledged; every one that was sent is. */
  readonly rows: number[];
  /** How often each status or error came. */
  readonly answers: Record<string, number>;
  mebibytes: number;
  /** Refusals that did not say when to come again. */
  withoutRetryAfter: number;
}
