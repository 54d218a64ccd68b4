// A bar on stderr that shows how far a training is; where stderr is no terminal, a line now and then.
import { isatty } from 'node:tty';
import { printable } from '../semconv/printable.ts';
import { checkOptions, wrongType } from './checks.ts';
import { writeLine, writeText } from './handlers/terminal.ts';
import { shownValue } from './step-progress.ts';

export interface ProgressOptions {
  /** In front of the bar. */
  readonly prefix?: string;
  /** Characters of the bar. Default 30. */
  readonly barWidth?: number;
}

const STDERR = 2;
/** Between two drawings: more is flicker. */
const DRAW_MS = 100;
/** Without a terminal: a line whenever this share is done, but not more often than the first of these, and not less than the second. */
const LINE_SHARE = 0.1;
const LINE_MS = 1_000;
const LONGEST_MS = 60_000;
const MAX_BAR_WIDTH = 1_000;
const LEFT_OUT: ReadonlySet<string> = new Set(['step', 'wall_time']);

/**
 * `PPO |██████░░░░|  60.0%  600/1000  [00:12 < 00:08, 50.0 it/s] loss=0.42`. Throws a TypeError when `total` or an option is of the wrong type.
 *
 * @example
 * using progress = new TrainingProgress(1_000, { prefix: 'PPO' });
 * for (let step = 1; step <= 1_000; step++) progress.update(step, { loss });
 */
export class TrainingProgress implements Disposable {
  readonly total: number;
  readonly #prefix: string;
  readonly #barWidth: number;
  readonly #beganMs = performance.now();
  readonly #terminal = isatty(STDERR) && process.env.TERM !== 'dumb';
  #step = 0;
  #first: number | undefined;
  #metrics: Readonly<Record<string, unknown>> = {};
  #shownMs = Number.NEGATIVE_INFINITY;
  #shownStep = Number.NaN;
  #closed = false;

  constructor(total: number, options: ProgressOptions = {}) {
    if (typeof total !== 'number' || !(total >= 0))
      throw wrongType('TrainingProgress(total)', 'a number from 0 on', total);
    checkOptions('TrainingProgress', options, ['prefix', 'barWidth']);
    const { prefix = '', barWidth = 30 } = options;
    if (typeof prefix !== 'string') throw wrongType('TrainingProgress({prefix})', 'a string', prefix);
    if (!Number.isSafeInteger(barWidth) || barWidth < 1 || barWidth > MAX_BAR_WIDTH)
      throw wrongType('TrainingProgress({barWidth})', `a whole number from 1 to ${MAX_BAR_WIDTH}`, barWidth);
    this.total = total;
    this.#prefix = printable(prefix);
    this.#barWidth = barWidth;
  }

  /** Shows a step, with some metrics, unless something was shown a moment ago. After `close` it does nothing. */
  update(step: number, metrics: Readonly<Record<string, unknown>> = {}): void {
    if (this.#closed || typeof step !== 'number' || Number.isNaN(step)) return;
    // A resumed training begins in the middle: its pace is that of what it has done itself.
    this.#first ??= step;
    this.#step = step;
    this.#metrics = metrics;
    const now = performance.now();
    const sinceMs = now - this.#shownMs;
    const due = this.#terminal
      ? sinceMs >= DRAW_MS
      : sinceMs >= LONGEST_MS ||
        (sinceMs >= LINE_MS && !(Math.abs(step - this.#shownStep) < this.total * LINE_SHARE));
    if (due) this.#show(now);
  }

  /** Shows the last step and ends the line. May be called again. */
  close(): void {
    if (this.#closed) return;
    if (this.#first !== undefined && this.#step !== this.#shownStep) this.#show(performance.now());
    if (this.#terminal && this.#first !== undefined) writeText('\n');
    this.#closed = true;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #show(now: number): void {
    this.#shownMs = now;
    this.#shownStep = this.#step;
    const line = progressLine({
      prefix: this.#prefix,
      step: this.#step,
      first: this.#first ?? 0,
      total: this.total,
      seconds: (now - this.#beganMs) / 1_000,
      barWidth: this.#barWidth,
      metrics: this.#metrics,
    });
    if (!this.#terminal) {
      writeLine(line);
      return;
    }
    // Longer than the terminal is wide, it would wrap, and the next one could not be written over it.
    const room = (process.stderr.columns ?? 80) - 1;
    writeText(`\r${line.length > room ? line.slice(0, room) : line}\u001b[K`);
  }
}

export interface ProgressState {
  readonly prefix: string;
  readonly step: number;
  /** The first step that was shown. */
  readonly first: number;
  readonly total: number;
  readonly seconds: number;
  readonly barWidth: number;
  readonly metrics: Readonly<Record<string, unknown>>;
}

/** The line without anything that moves the cursor. */
export function progressLine({
  prefix,
  step,
  first,
  total,
  seconds,
  barWidth,
  metrics,
}: ProgressState): string {
  const share = total > 0 ? Math.min(1, Math.max(0, step / total)) : 0;
  const full = Math.floor(share * barWidth);
  const bar = `|${'█'.repeat(full)}${'░'.repeat(barWidth - full)}|`;
  const pace = seconds > 0 ? (step - first) / seconds : 0;
  const left = pace > 0 ? clock(Math.max(0, total - step) / pace) : '--:--';
  const values = Object.keys(metrics)
    .filter(name => !LEFT_OUT.has(name))
    .map(name => printable(`${name}=${shownValue(metrics[name])}`));
  const parts = [
    ...(prefix === '' ? [] : [prefix]),
    bar,
    `${(share * 100).toFixed(1)}%`.padStart(6),
    ` ${step}/${total} `,
    `[${clock(seconds)} < ${left}, ${pace.toFixed(1)} it/s]`,
    ...values,
  ];
  return parts.join(' ');
}

/** `MM:SS`, from an hour on `H:MM:SS`. */
export function clock(seconds: number): string {
  if (!Number.isFinite(seconds)) return '--:--';
  const whole = Math.floor(seconds);
  const two = (value: number): string => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(whole / 3_600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${two(minutes)}:${two(whole % 60)}`;
}
