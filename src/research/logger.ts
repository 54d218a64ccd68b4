// What a part of a program logs with: text, scalars and histograms under its own name and scope.
import { GLOBAL_SCOPE } from '../semconv/names.ts';
import { wrongType } from './checks.ts';
import { currentRun } from './init.ts';
import { MediaCalls } from './media/calls.ts';
import { MediaWriter } from './media/writer.ts';
import type { PlainMap } from './plain.ts';
import { type EventOptions, recordRawEvent } from './raw-event.ts';
import { type Rollout, recordRollout } from './rollout.ts';
import type { HistogramOptions, LogOptions, Row, Scalar, ScalarOptions } from './row-options.ts';
import type { RowWriter } from './row-writer.ts';
import { Run } from './run.ts';
import {
  type Fields,
  type Level,
  levelNumber,
  plainFields,
  SEVERITIES,
  type Severity,
  severityNumber,
  TextOutput,
} from './text.ts';

const MAX_SCOPE_LENGTH = 200;

/** Options of `getLogger` and `bind`; every further key is a field of each of the logger's lines. */
export interface LoggerOptions {
  /**
   * A dotted name such as `episode_3.env`: whoever listens to `episode_3` hears it too. Loggers of one scope share one step
   * counter. Default: `global`.
   */
  readonly scope?: string;
  /** Text below it is not recorded; metrics are not affected. Default: `notset`, everything. */
  readonly level?: Level;
  /** The run to log to. Default: at each call the run that is current then. */
  readonly run?: Run;
  readonly [field: string]: unknown;
}

/**
 * A logger of this name. It may be made before `init`, in a class body say: nothing starts before its first use.
 * Throws a TypeError when the name is no string or an option has the wrong type.
 *
 * @example
 * const log = getLogger('trainer', { seed: 3 });
 * log.info('started', { epochs: 10 });
 * log.scalar('loss', 0.31, { step: 100 });
 */
export function getLogger(name = 'root', options: LoggerOptions = {}): Logger {
  if (typeof name !== 'string' || name === '')
    throw wrongType('getLogger(name)', 'a string with something in it', name);
  return new Logger(name, options);
}

/** Made by `getLogger`. Never throws for what happens outside, nor for what a line says. */
export class Logger extends MediaCalls {
  readonly name: string;
  readonly scope: string;
  readonly #bound: PlainMap;
  readonly #fixedRun: Run | undefined;
  #level: Level;
  #levelNumber: number;
  #run: Run | undefined;
  #writer: RowWriter | undefined;
  #text: TextOutput | undefined;
  #media: MediaWriter | undefined;

  /** @internal Use `getLogger`. */
  constructor(name: string, options: LoggerOptions) {
    super();
    if (typeof options !== 'object' || options === null || Array.isArray(options))
      throw wrongType('getLogger(name, options)', 'an object such as {scope: "env"}', options);
    const { scope, level, run, ...fields } = options;
    if (scope !== undefined && (typeof scope !== 'string' || scope === '' || scope.length > MAX_SCOPE_LENGTH))
      throw wrongType('getLogger({scope})', `a string of 1 to ${MAX_SCOPE_LENGTH} characters`, scope);
    if (run !== undefined && !(run instanceof Run))
      throw wrongType('getLogger({run})', 'a run as init returns it', run);
    this.name = name;
    this.scope = scope ?? GLOBAL_SCOPE;
    this.#level = level === undefined ? 'notset' : level;
    this.#levelNumber = levelNumber('getLogger({level})', this.#level);
    this.#fixedRun = run;
    this.#bound = plainFields(fields);
  }

  debug(message: unknown, fields?: Fields | Error): void {
    if (SEVERITIES.debug >= this.#levelNumber)
      this.#output().emit(SEVERITIES.debug, message, this.#bound, fields, this.debug);
  }

  info(message: unknown, fields?: Fields | Error): void {
    if (SEVERITIES.info >= this.#levelNumber)
      this.#output().emit(SEVERITIES.info, message, this.#bound, fields, this.info);
  }

  warn(message: unknown, fields?: Fields | Error): void {
    if (SEVERITIES.warn >= this.#levelNumber)
      this.#output().emit(SEVERITIES.warn, message, this.#bound, fields, this.warn);
  }

  error(message: unknown, fields?: Fields | Error): void {
    if (SEVERITIES.error >= this.#levelNumber)
      this.#output().emit(SEVERITIES.error, message, this.#bound, fields, this.error);
  }

  critical(message: unknown, fields?: Fields | Error): void {
    if (SEVERITIES.critical >= this.#levelNumber)
      this.#output().emit(SEVERITIES.critical, message, this.#bound, fields, this.critical);
  }

  /** A line of text of this severity. Throws a TypeError for a severity that does not exist. */
  log(severity: Severity, message: unknown, fields?: Fields | Error): void;
  /** A row of metrics, as `run.log` writes it, under this logger's name and scope. */
  log(row: Row, options?: LogOptions): void;
  log(first: Severity | Row, second?: unknown, third?: Fields | Error): void {
    if (typeof first === 'string' || typeof first === 'number') {
      const severity = severityNumber('log(severity)', first);
      if (severity >= this.#levelNumber) this.#output().emit(severity, second, this.#bound, third, this.log);
    } else this.#rows().log(first, second as LogOptions | undefined);
  }

  /** @internal A line whose place is where `caller` was called. */
  say(severity: Severity, message: string, caller: (...args: never[]) => unknown): void {
    const number = severityNumber('severity', severity);
    if (number >= this.#levelNumber) this.#output().emit(number, message, this.#bound, undefined, caller);
  }

  /** One value; see `run.scalar`. */
  scalar(name: string, value: unknown, options?: ScalarOptions): void {
    this.#rows().scalar(name, value, options);
  }

  /** A distribution; see `run.histogram`. */
  histogram(name: string, values: unknown, options?: HistogramOptions): void {
    this.#rows().histogram(name, values, options);
  }

  /** What a policy said and what it was worth; see `run.logRollout`. */
  logRollout(rollout: Rollout): void {
    const rows = this.#rows();
    recordRollout(rows, this.#current().complaints, rollout);
  }

  /** A raw event for aggregation; see `run.event`. */
  event(name: string, value: Scalar = 1, options: EventOptions = {}): void {
    const rows = this.#rows();
    recordRawEvent(rows, this.#current().complaints, name, value, options);
  }

  /** A new logger with further fields, of which newer ones win. Scope, level and run stay unless they are given. */
  bind(options: LoggerOptions): Logger {
    if (typeof options !== 'object' || options === null || Array.isArray(options))
      throw wrongType('bind(fields)', 'an object such as {episode: 3}', options);
    const run = options.run ?? this.#fixedRun;
    return new Logger(this.name, {
      ...this.#bound,
      ...options,
      scope: options.scope ?? this.scope,
      level: options.level ?? this.#level,
      ...(run === undefined ? {} : { run }),
    });
  }

  /** The fields of each line, as a copy. */
  getBound(): Record<string, unknown> {
    return structuredClone(this.#bound) as Record<string, unknown>;
  }

  get level(): Level {
    return this.#level;
  }

  /** From now on text below `level` is not recorded by this logger; others keep theirs. */
  setLevel(level: Level): void {
    this.#levelNumber = levelNumber('setLevel(level)', level);
    this.#level = level;
  }

  /** @internal */
  override mediaWriter(): MediaWriter {
    const run = this.#current();
    this.#media ??= new MediaWriter(run, this.name, this.scope, this.#bound);
    return this.#media;
  }

  #rows(): RowWriter {
    const run = this.#current();
    this.#writer ??= run.writer(this.name, this.scope);
    return this.#writer;
  }

  #output(): TextOutput {
    const run = this.#current();
    this.#text ??= new TextOutput(run, this.name, this.scope);
    return this.#text;
  }

  /** The run of this call; what belongs to another one is forgotten. */
  #current(): Run {
    const run = this.#fixedRun ?? currentRun();
    if (run !== this.#run) {
      this.#run = run;
      this.#writer = undefined;
      this.#text = undefined;
      this.#media = undefined;
    }
    return run;
  }
}
