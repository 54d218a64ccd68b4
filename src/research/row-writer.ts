// What a logging call does on the caller's thread: check, look up the series, settle the step, and hand a row to the recorder.
import type { Attributes } from '../otlp/model.ts';
import { activeSpan, openSpans } from '../sdk/providers-active-span.ts';
import type { HistogramInput, Recorder, ScopeId, SeriesId, SpanRef } from '../sdk/recorder.ts';
import { USER_TIME } from '../semconv/names.ts';
import { readAxes } from './axes.ts';
import { binValues, DEFAULT_BINS } from './bins.ts';
import { kindOf, shown, wrongType } from './checks.ts';
import type { Complaints } from './complaints.ts';
import { type EventInput, recordEvent, severityOf } from './events.ts';
import { type EventOrigin, hub } from './handlers/hub.ts';
import { histogramEvent, logEvent, rowEvent } from './handlers/make-event.ts';
import { isStep, toNumber, toNumbers } from './numbers.ts';
import {
  checkBins,
  checkCall,
  HISTOGRAM_OPTIONS,
  type HistogramOptions,
  LOG_OPTIONS,
  type LogOptions,
  type Row,
  SCALAR_OPTIONS,
  type ScalarOptions,
  unixNanoOf,
} from './row-options.ts';
import { SeriesTable } from './series-table.ts';
import type { StepCounter } from './steps.ts';

/** Longest wait of a call that asked to wait. */
const WAIT_MS = 5_000;
/** Values that a call gathers without growing its memory. */
const INITIAL_ROW = 64;

/** A row that waits for its commit. */
interface PendingRow {
  step: number;
  /** The caller has named the step; another one closes this row. */
  named: boolean;
  time: Attributes | undefined;
  readonly values: Map<SeriesId, number | bigint>;
}

/** The values of one call, gathered before the recorder's row begins: reading them may run the caller's code. */
class Gathered {
  ids = new Int32Array(INITIAL_ROW);
  values = new Float64Array(INITIAL_ROW);
  count = 0;
  /** int64 values that need all their digits, by index. */
  integers: Map<number, bigint> | undefined;

  grow(): void {
    const ids = new Int32Array(this.ids.length * 2);
    const values = new Float64Array(this.ids.length * 2);
    ids.set(this.ids);
    values.set(this.values);
    this.ids = ids;
    this.values = values;
  }
}

/** Writes under one instrumentation scope of one run. */
export class RowWriter {
  private recorder: Recorder;
  private readonly scope: ScopeId;
  private readonly steps: StepCounter;
  private readonly complaints: Complaints;
  private readonly table: SeriesTable;
  private gathered: Gathered | undefined = new Gathered();
  private pending: PendingRow | undefined;
  /** What handlers are told by; undefined where nobody is to be told. */
  private origin: EventOrigin | undefined;

  constructor(
    recorder: Recorder,
    scope: ScopeId,
    steps: StepCounter,
    complaints: Complaints,
    options: { readonly modeFromName: boolean; readonly origin?: EventOrigin | undefined },
  ) {
    this.recorder = recorder;
    this.scope = scope;
    this.steps = steps;
    this.complaints = complaints;
    this.origin = options.origin;
    this.table = new SeriesTable(recorder, scope, complaints, options.modeFromName);
  }

  log(row: Row, options?: LogOptions): void {
    if (typeof row !== 'object' || row === null || Array.isArray(row))
      throw wrongType('log(row)', 'an object such as {loss: 0.5}', row);
    let step: unknown;
    let mode: string | undefined;
    let time: Attributes | undefined;
    let commit = true;
    if (options !== undefined) {
      checkCall('log', options, LOG_OPTIONS);
      step = options.step;
      mode = options.mode;
      if (options.commit === false) commit = false;
      if (options.time !== undefined) time = this.readTime(options.time);
      if (options.axes !== undefined) time = { ...readAxes('log', options.axes, this.complaints), ...time };
    }
    if (step !== undefined && !isStep(step)) {
      step = this.mendStep(step, 'log', countKeys(row));
      if (step === undefined) return;
    }
    const values = this.gathered ?? new Gathered();
    this.gathered = undefined;
    try {
      this.gather(row, mode, values);
      if (commit && this.pending === undefined) {
        const at = (step as number | undefined) ?? this.steps.next;
        this.write(values, at, time);
        this.steps.committed(at);
      } else this.collect(values, step as number | undefined, time, commit);
    } finally {
      values.count = 0;
      values.integers = undefined;
      this.gathered = values;
    }
    if (options?.wait) this.recorder.flushSync({ timeoutMs: WAIT_MS });
  }

  scalar(name: string, value: unknown, options?: ScalarOptions): void {
    let step: unknown;
    let mode: string | undefined;
    let axes: Attributes | undefined;
    if (options !== undefined) {
      checkCall('scalar', options, SCALAR_OPTIONS);
      step = options.step;
      mode = options.mode;
      if (options.axes !== undefined) axes = readAxes('scalar', options.axes, this.complaints);
    }
    if (typeof name !== 'string') throw wrongType('scalar(name)', 'a string', name);
    let number: number | bigint | undefined;
    if (typeof value === 'number') number = value;
    else {
      number = this.read(name, value);
      if (number === undefined) return;
    }
    // Without a step the point has none: sinks then count the series' own points.
    let at = Number.NaN;
    if (step !== undefined) {
      if (isStep(step)) at = step;
      else {
        const mended = this.mendStep(step, name, 1);
        if (mended === undefined) return;
        at = mended;
      }
      this.steps.committed(at);
    }
    const id = (mode === undefined ? this.table.plain.get(name) : undefined) ?? this.table.define(name, mode);
    if (id === 0) return;
    const recorder = this.recorder;
    recorder.beginRow(at, openSpans.open > 0 ? activeSpan(recorder) : 0, axes);
    if (typeof number === 'number') recorder.add(id, number);
    else recorder.addInteger(id, number);
    recorder.endRow();
    if (hub.listening) this.tellRow(at, axes, [[id, number]]);
    if (options?.wait) recorder.flushSync({ timeoutMs: WAIT_MS });
  }

  histogram(name: string, values: unknown, options?: HistogramOptions): void {
    let bins: number | readonly number[] = DEFAULT_BINS;
    if (options !== undefined) {
      checkCall('histogram', options, HISTOGRAM_OPTIONS);
      if (options.bins !== undefined) bins = checkBins(options.bins);
    }
    if (typeof name !== 'string') throw wrongType('histogram(name)', 'a string', name);
    const numbers = this.readAll(name, values);
    if (numbers === undefined) return;
    let step = this.steps.current();
    if (options?.step !== undefined) {
      const mended = this.mendStep(options.step, name, 1);
      if (mended === undefined) return;
      step = mended;
      this.steps.committed(step);
    }
    const point = binValues(numbers, bins);
    if (point === undefined) {
      this.complaints.drop(
        'bad_value',
        name,
        1,
        `histogram ${shown(name)} has no finite value among ${numbers.length}; dropped`,
      );
      return;
    }
    if (point.count < numbers.length) {
      const left = numbers.length - point.count;
      this.complaints.once(
        `nonfinite ${name}`,
        `histogram ${shown(name)} leaves out ${left} of ${numbers.length} values that are not finite`,
      );
    }
    const id = this.table.define(name, options?.mode);
    if (id === 0) return;
    this.recorder.histogram(id, step, this.span(), point);
    if (hub.listening) this.tellHistogram(id, step, point);
    if (options?.wait) this.recorder.flushSync({ timeoutMs: WAIT_MS });
  }

  /** A point that no caller has written as such: checked by who made it. NaN for no step. */
  point(name: string, value: number, step: number, span: SpanRef): void {
    const id = this.table.plain.get(name) ?? this.table.define(name, undefined);
    if (id === 0) return;
    this.recorder.beginRow(step, span, undefined);
    this.recorder.add(id, value);
    this.recorder.endRow();
    if (hub.listening) this.tellRow(step, undefined, [[id, value]]);
  }

  /** Points of one moment whose step is the caller's: the counter stays where it is. */
  pointsAt(values: Readonly<Record<string, number>>, mode: string | undefined, step: number): void {
    const points: [SeriesId, number][] = [];
    for (const name of Object.keys(values)) {
      const id = this.table.define(name, mode);
      if (id !== 0) points.push([id, values[name]!]);
    }
    if (points.length === 0) return;
    this.recorder.beginRow(step, this.span(), undefined);
    for (const [id, value] of points) this.recorder.add(id, value);
    this.recorder.endRow();
    if (hub.listening) this.tellRow(step, undefined, points);
  }

  /** An event under this writer's name and scope, made of what has been checked. Handlers hear those that have a text. */
  event(event: EventInput): void {
    const time = recordEvent(this.recorder, this.scope, event);
    const { text } = event;
    if (!hub.listening || text === undefined) return;
    const severity = severityOf(event);
    this.origin?.publish(origin =>
      logEvent(origin, time, severity.number, severity.text, text, event.attributes),
    );
  }

  /** The step that a row would have now: that of the row being collected, else the next one. */
  stepNow(): number {
    return this.pending?.step ?? this.steps.next;
  }

  /** Buckets that somebody has filled already. */
  buckets(name: string, step: number, point: HistogramInput): void {
    const id = this.table.define(name, undefined);
    if (id === 0) return;
    this.recorder.histogram(id, step, 0, point);
    if (hub.listening) this.tellHistogram(id, step, point);
  }

  /** Writes the row that `commit: false` has collected, if there is one. */
  commit(): void {
    const pending = this.pending;
    if (pending === undefined) return;
    this.pending = undefined;
    if (pending.values.size > 0) {
      this.recorder.beginRow(pending.step, this.span(), pending.time);
      for (const [id, value] of pending.values) {
        if (typeof value === 'number') this.recorder.add(id, value);
        else this.recorder.addInteger(id, value);
      }
      this.recorder.endRow();
    }
    this.steps.committed(pending.step);
    if (hub.listening && pending.values.size > 0) this.tellRow(pending.step, pending.time, pending.values);
  }

  /** From now on everything goes to `recorder`, and handlers hear nothing: the run has ended. */
  redirect(recorder: Recorder): void {
    this.recorder = recorder;
    this.origin = undefined;
  }

  private collect(
    values: Gathered,
    step: number | undefined,
    time: Attributes | undefined,
    commit: boolean,
  ): void {
    if (this.pending?.named && step !== undefined && step !== this.pending.step) this.commit();
    this.pending ??= { step: this.steps.next, named: false, time: undefined, values: new Map() };
    const pending = this.pending;
    if (step !== undefined) {
      pending.step = step;
      pending.named = true;
    }
    if (time !== undefined) pending.time = { ...pending.time, ...time };
    for (let i = 0; i < values.count; i++)
      pending.values.set(values.ids[i]!, values.integers?.get(i) ?? values.values[i]!);
    if (commit) this.commit();
  }

  private write(values: Gathered, step: number, time: Attributes | undefined): void {
    const count = values.count;
    if (count === 0) return;
    const { ids, values: numbers, integers } = values;
    const recorder = this.recorder;
    recorder.beginRow(step, openSpans.open > 0 ? activeSpan(recorder) : 0, time);
    if (integers === undefined) for (let i = 0; i < count; i++) recorder.add(ids[i]!, numbers[i]!);
    else
      for (let i = 0; i < count; i++) {
        const integer = integers.get(i);
        if (integer === undefined) recorder.add(ids[i]!, numbers[i]!);
        else recorder.addInteger(ids[i]!, integer);
      }
    recorder.endRow();
    if (hub.listening) {
      const row: [SeriesId, number | bigint][] = [];
      for (let i = 0; i < count; i++) row.push([ids[i]!, integers?.get(i) ?? numbers[i]!]);
      this.tellRow(step, time, row);
    }
  }

  private tellRow(
    step: number,
    time: Attributes | undefined,
    values: Iterable<readonly [SeriesId, number | bigint]>,
  ): void {
    this.origin?.publish(origin => rowEvent(origin, step, time, values, this.table));
  }

  private tellHistogram(id: SeriesId, step: number, point: HistogramInput): void {
    this.origin?.publish(origin => histogramEvent(origin, this.table.shownName(id), step, point));
  }

  private span(): SpanRef {
    return openSpans.open > 0 ? activeSpan(this.recorder) : 0;
  }

  private gather(row: Row, mode: string | undefined, into: Gathered): void {
    const known = mode === undefined ? this.table.plain : this.table.modes.get(mode);
    for (const name in row) {
      if (!Object.hasOwn(row, name)) continue;
      let value: unknown;
      try {
        value = row[name];
      } catch (error) {
        this.badValue(name, `cannot be read: ${error instanceof Error ? error.message : kindOf(error)}`);
        continue;
      }
      let number = 0;
      if (typeof value === 'number') number = value;
      else {
        const read = this.read(name, value);
        if (read === undefined) continue;
        if (typeof read === 'bigint') {
          into.integers ??= new Map();
          into.integers.set(into.count, read);
        } else number = read;
      }
      const id = known?.get(name) ?? this.table.define(name, mode);
      if (id === 0) {
        into.integers?.delete(into.count);
        continue;
      }
      if (into.count === into.ids.length) into.grow();
      into.ids[into.count] = id;
      into.values[into.count++] = number;
    }
  }

  /** The number in a value that is none itself; undefined after it has been dropped. */
  private read(name: string, value: unknown): number | bigint | undefined {
    let number: number | bigint | undefined;
    try {
      number = toNumber(value);
    } catch (error) {
      this.badValue(name, `cannot be read: ${error instanceof Error ? error.message : kindOf(error)}`);
      return undefined;
    }
    if (number === undefined) this.badValue(name, `must be a number, not ${kindOf(value)}`);
    return number;
  }

  private readAll(name: string, values: unknown): ArrayLike<number> | undefined {
    let numbers: ArrayLike<number> | undefined;
    try {
      numbers = toNumbers(values);
    } catch (error) {
      this.badValue(name, `cannot be read: ${error instanceof Error ? error.message : kindOf(error)}`);
      return undefined;
    }
    if (numbers === undefined)
      this.badValue(name, `must be an array, a typed array or a tensor, not ${kindOf(values)}`);
    return numbers;
  }

  private badValue(name: string, problem: string): void {
    this.complaints.drop('bad_value', name, 1, `metric ${shown(name)} ${problem}; dropped`);
  }

  /** The caller's time as it rides in the exemplar; a row whose time is none is kept without it. */
  private readTime(time: unknown): Attributes | undefined {
    const unixNano = unixNanoOf(time);
    if (unixNano !== undefined) return { [USER_TIME]: unixNano };
    const problem = wrongType(
      'log({time})',
      'a Date, Unix milliseconds, or Unix nanoseconds as a bigint',
      time,
    );
    if (this.complaints.strict) throw problem;
    this.complaints.once('time', `${problem.message.replace('kymo: ', '')}; left out`);
    return undefined;
  }

  /** A step given as a bigint is taken where it fits; undefined after the items have been dropped. */
  private mendStep(step: unknown, subject: string, items: number): number | undefined {
    const number = typeof step === 'bigint' ? Number(step) : step;
    if (isStep(number)) return number;
    const problem = `step must be a whole number from 0 to 2^53, not ${kindOf(step)}`;
    this.complaints.drop('bad_step', subject, items, `${shown(subject)}: ${problem}; dropped`);
    return undefined;
  }
}

function countKeys(row: object): number {
  return Object.keys(row).length;
}
