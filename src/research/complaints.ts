// What happens to a bad value, name or step in a running loop: dropped, counted, and printed once per name with its stack.
import { writeSync } from 'node:fs';
import type { Recorder } from '../sdk/recorder.ts';

/** Distinct complaints that are printed; a script that invents names for ever must not fill the terminal. */
const MAX_PRINTED = 50;

/** Why items are dropped before they reach the recorder. */
export type DropReason = 'bad_value' | 'bad_name' | 'bad_step' | 'too_many_series' | 'after_finish';

/**
 * With `strict` a complaint is thrown, for tests and for whoever wants to stop at the first bad value. Otherwise a
 * training that has run for a day goes on.
 */
export class Complaints {
  readonly strict: boolean;
  private readonly quiet: boolean;
  private readonly recorder: Recorder;
  private readonly printed = new Set<string>();

  /** @param how `quiet` is for disabled runs, which do not complain either */
  constructor(recorder: Recorder, how: 'strict' | 'print' | 'quiet') {
    this.recorder = recorder;
    this.strict = how === 'strict';
    this.quiet = how === 'quiet';
  }

  /**
   * Counts `items` under `reason`, then throws (strict) or prints once.
   * @param subject a metric name, say; the complaint is printed once per reason and subject
   */
  drop(reason: DropReason, subject: string, items: number, message: string): void {
    this.recorder.drop(reason, items);
    if (this.strict)
      throw reason === 'bad_step' ? new RangeError(`kymo: ${message}`) : new TypeError(`kymo: ${message}`);
    this.once(`${reason} ${subject}`, message);
  }

  /** Prints a message with the caller's stack, once per key. */
  once(key: string, message: string): void {
    if (this.quiet || this.printed.size >= MAX_PRINTED || this.printed.has(key)) return;
    this.printed.add(key);
    const last = this.printed.size === MAX_PRINTED ? ' (further complaints are only counted)' : '';
    tell(`${message}${last}\n${callerStack()}`);
  }
}

/** One line (or more) on stderr, at once: the event loop may not turn for hours. */
export function tell(text: string): void {
  try {
    writeSync(2, `kymo: ${text}\n`);
  } catch {
    // stderr is closed or full: there is nobody to tell.
  }
}

/** The stack above this package's own frames. */
function callerStack(): string {
  const lines = (new Error().stack ?? '').split('\n').slice(1);
  const first = lines.findIndex(line => !line.includes(OWN_FOLDER));
  return (first < 0 ? lines : lines.slice(first)).slice(0, 5).join('\n');
}

const OWN_FOLDER = new URL('.', import.meta.url).pathname;
