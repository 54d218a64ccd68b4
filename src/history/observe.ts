// `observeHistory`: curves of what lies on the device, without waiting for it: one small asynchronous read every so many updates.
import type { Meter } from '@opentelemetry/api';
import { checkOptions, kindOf } from '../research/checks.ts';
import type { Run } from '../research/run.ts';
import { GLOBAL_SCOPE, HISTORY_FIELD, HISTORY_METRICS } from '../semconv/names.ts';
import { type History, stateOf } from './history.ts';
import { Partials, STATISTICS, type Statistic, SUMMARY_LENGTH } from './partials.ts';
import type { Shared } from './shared.ts';
import { checkWhole, chooseFields } from './slice.ts';
import type { HistoryConfig } from './spec.ts';
import type { HistoryState, Watcher } from './state.ts';

export interface ObserveOptions<K extends string = string> {
  /** Default: all that have values. */
  readonly fields?: K | readonly K[];
  /** Of a window: all its frames of all rows that are real. `last`: the mean of the newest frame. Default: all of them. */
  readonly stats?: readonly Statistic[];
  /** Updates from one look to the next. Default: 100. */
  readonly every?: number;
  /** Before the names of a run's scalars. Default: `history`. */
  readonly prefix?: string;
}

/** An observation under way. It follows the history through its updates and ends with it. */
export interface Observation extends Disposable {
  /** Looks that were written. */
  readonly written: number;
  /** Looks left out because the one before had not come back from the device. */
  readonly skipped: number;
  stop(): void;
}

const DEFAULT_EVERY = 100;
const LOGGER = 'kymo.history';

type Summaries = Readonly<Record<string, Readonly<Partial<Record<Statistic, number>>>>>;
/** Where the numbers go. `skipped`: how many looks were left out since the one before. */
type Write = (values: Summaries, step: number, skipped: number) => void;

/**
 * Writes statistics of fields every so many updates: to a run as scalars `history/<field>/<statistic>` at the history's step, to a meter as
 * gauges `kymo.history.<statistic>`.
 *
 * Every pushed frame is reduced on the device once; a look puts a few numbers per frame and row together there and reads them without
 * stopping the loop. While one is on its way the next is skipped and counted. (TensorFlow's own backend blocks while it reads.)
 *
 * @example
 * const observation = observeHistory(run, h, { fields: 'rewards', stats: ['mean', 'max'], every: 50 });
 */
export function observeHistory<C extends HistoryConfig>(
  target: Run | Meter,
  history: History<C>,
  options: ObserveOptions<keyof C & string> = {},
): Observation {
  const state = stateOf('observeHistory', history);
  checkOptions('observeHistory', options, ['fields', 'stats', 'every', 'prefix']);
  const { stats = STATISTICS, every = DEFAULT_EVERY, prefix = 'history' } = options;
  checkWhole('observeHistory', 'every', every, 1);
  if (!Array.isArray(stats) || stats.length === 0 || stats.some(one => !STATISTICS.includes(one)))
    throw new RangeError(
      `kymo: observeHistory({stats}) must be some of ${STATISTICS.join(', ')}, not ${Array.isArray(stats) ? `[${stats.map(kindOf).join(', ')}]` : kindOf(stats)}`,
    );
  if (typeof prefix !== 'string' || prefix === '')
    throw new TypeError(
      `kymo: observeHistory({prefix}) must be a string with something in it, not ${kindOf(prefix)}`,
    );
  const chosen = chooseFields('observeHistory', state, options.fields);
  const fields = new Map<string, Partials>();
  for (const [name, field] of chosen)
    if (field.elements > 0) fields.set(name, new Partials(field.spec.length));
  const observer = new Observer(fields, stats, every, writerFor(target, prefix));
  state.watchers.push(observer);
  return observer;
}

class Observer implements Watcher, Observation {
  written = 0;
  skipped = 0;
  #stopped = false;
  #reading = false;
  #toldSkipped = 0;
  readonly #fields: ReadonlyMap<string, Partials>;
  readonly #stats: readonly Statistic[];
  readonly #every: number;
  readonly #write: Write;

  constructor(
    fields: ReadonlyMap<string, Partials>,
    stats: readonly Statistic[],
    every: number,
    write: Write,
  ) {
    this.#fields = fields;
    this.#stats = stats;
    this.#every = every;
    this.#write = write;
  }

  updated(state: HistoryState, pushed: ReadonlyMap<string, Shared>): boolean {
    if (this.#stopped) return false;
    for (const [name, partials] of this.#fields) {
      const frame = pushed.get(name);
      const field = state.fields.get(name)!;
      if (frame !== undefined) partials.push(state, field, field.clock.count - 1, frame.tensor);
    }
    if (state.step % this.#every === 0) this.#look(state);
    return true;
  }

  ended(): void {
    this.stop();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const partials of this.#fields.values()) partials.release();
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  #look(state: HistoryState): void {
    if (this.#reading) {
      this.skipped++;
      return;
    }
    const { tf, step } = state;
    const names: string[] = [];
    const summary = tf.tidy(() => {
      const rows = [...this.#fields].flatMap(([name, partials]) => {
        const row = partials.summary(state, state.fields.get(name)!);
        if (row === undefined) return [];
        names.push(name);
        return [row];
      });
      return rows.length === 0 ? undefined : tf.keep(tf.stack(rows));
    });
    if (summary === undefined) return;
    this.#reading = true;
    summary.data().then(
      values => {
        this.#reading = false;
        summary.dispose();
        // Numbers that were on their way are true whatever has become of the history since.
        this.#arrived(names, values as Float32Array, step);
      },
      (error: unknown) => {
        this.#reading = false;
        summary.dispose();
        this.stop();
        process.emitWarning(
          `a history is no longer observed: its device does not answer: ${error instanceof Error ? error.message : String(error)}`,
          { type: 'KymoWarning', code: 'HISTORY_OBSERVER' },
        );
      },
    );
  }

  #arrived(names: readonly string[], numbers: Float32Array, step: number): void {
    const values: Record<string, Partial<Record<Statistic, number>>> = {};
    for (const [i, name] of names.entries()) {
      const row = numbers.subarray(i * SUMMARY_LENGTH, (i + 1) * SUMMARY_LENGTH);
      const [frames, , , , , , newestRows] = row;
      const known: Partial<Record<Statistic, number>> = {};
      for (const statistic of this.#stats) {
        // Nothing real is no number.
        if ((statistic === 'last' ? newestRows : frames) === 0) continue;
        known[statistic] = row[1 + STATISTICS.indexOf(statistic)]!;
      }
      values[name] = known;
    }
    this.#write(values, step, this.skipped - this.#toldSkipped);
    this.#toldSkipped = this.skipped;
    this.written++;
  }
}

function writerFor(target: unknown, prefix: string): Write {
  if (isMeter(target)) return toMeter(target);
  if (isRun(target)) return toRun(target, prefix);
  throw new TypeError(
    `kymo: observeHistory(target) must be a run (kymo.init()) or a meter of OpenTelemetry, not ${kindOf(target)}`,
  );
}

function toRun(run: Run, prefix: string): Write {
  const writer = run.writer(LOGGER, GLOBAL_SCOPE);
  return (values, step, skipped) => {
    const row: Record<string, number> = {};
    for (const [field, statistics] of Object.entries(values))
      for (const [statistic, value] of Object.entries(statistics))
        row[`${prefix}/${field}/${statistic}`] = value;
    if (skipped > 0) row[`${prefix}/skipped`] = skipped;
    if (run.enabled) writer.pointsAt(row, undefined, step);
  };
}

function toMeter(meter: Meter): Write {
  const gauges = new Map(STATISTICS.map(one => [one, meter.createGauge(`${HISTORY_METRICS}${one}`)]));
  const stepGauge = meter.createGauge(`${HISTORY_METRICS}step`);
  const skips = meter.createCounter(`${HISTORY_METRICS}skipped`);
  return (values, step, skipped) => {
    for (const [field, statistics] of Object.entries(values))
      for (const [statistic, value] of Object.entries(statistics))
        gauges.get(statistic as Statistic)!.record(value, { [HISTORY_FIELD]: field });
    stepGauge.record(step);
    if (skipped > 0) skips.add(skipped);
  };
}

function isMeter(target: unknown): target is Meter {
  return (
    typeof target === 'object' &&
    target !== null &&
    'createGauge' in target &&
    typeof target.createGauge === 'function'
  );
}

function isRun(target: unknown): target is Run {
  return (
    typeof target === 'object' &&
    target !== null &&
    'artifact' in target &&
    'writer' in target &&
    typeof target.writer === 'function'
  );
}
