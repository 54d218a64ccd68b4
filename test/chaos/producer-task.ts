// What a producer process is told, and what it writes down.
import type { DeliveryReport } from '../../src/index.ts';
import type { Plan } from './plan.ts';

/** What one process is told, as JSON in `CHAOS_TASK`. */
export interface Task {
  readonly plans: readonly Plan[];
  /** Gets a record per row: see RECORD_BYTES. */
  readonly recordedFile: string;
  /** Gets a line of JSON per answer of `flush` and `finish`. */
  readonly answersFile: string;
  /** Rows recorded without letting the event loop turn. */
  readonly burst: number;
  /** After each burst: milliseconds asleep; in a synchronous loop the thread sleeps, else the event loop turns. */
  readonly pauseMs: number;
  readonly synchronous: boolean;
  /** Bursts after which `flush` is awaited; 0 for never. */
  readonly flushEvery: number;
  readonly ending: 'finish' | 'exit' | 'natural' | 'hang' | 'throw';
  /** Wait for a first `flush`, and so for the worker thread, before anything is recorded. */
  readonly warm: boolean;
  /** A process of its own that the producer starts before it records; its pid is printed. */
  readonly child?: Task;
  /** So many rows are followed by a call with a value that is no number, which must be dropped and counted. */
  readonly badEvery?: number;
  readonly resumeStep?: number;
  readonly rank?: number;
}

/** place of the plan (u32), place of the row (u32), Unix ms (f64); written after the row was recorded. */
export const RECORD_BYTES = 16;

/** A line of the answers file. `rows[i]` rows of plan i had been recorded when it was asked for. */
export interface Answer {
  readonly kind: 'flush' | 'finish';
  readonly rows: readonly number[];
  readonly report: DeliveryReport;
}
