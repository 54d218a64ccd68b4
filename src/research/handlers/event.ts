// What handlers hear: one event per call that says something, as the caller said it.

/** Whose event it is. */
export interface EventRun {
  readonly id: string;
  readonly name: string;
  readonly project: string;
}

interface CommonEvent {
  readonly run: EventRun;
  /** The scope of the logger that was called; `global` where it names none. */
  readonly scope: string;
  readonly logger: string;
  /** Unix milliseconds. */
  readonly time: number;
}

/** A line of text. */
export interface LogEvent extends CommonEvent {
  readonly kind: 'log';
  /** As OpenTelemetry numbers severities, 1 to 24. */
  readonly severity: number;
  readonly level: LevelName;
  readonly message: string;
  /** The logger's step under way, or the one that the line names. */
  readonly step: number | undefined;
  /** Bound fields and those of the call; of an error its `exception.*`. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Where it was called; undefined where that is not known. */
  readonly file: string | undefined;
  readonly line: number | undefined;
}
export type LevelName = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'critical';

/** What one `log({…})` or `scalar(…)` wrote. */
export interface RowEvent extends CommonEvent {
  readonly kind: 'row';
  readonly step: number | undefined;
  /** By name, as sinks call the series: `eval/loss` for a loss whose mode is eval. */
  readonly values: Readonly<Record<string, number | bigint>>;
  /** The row's further axes, such as `{epoch: 3}`; empty where it has none. */
  readonly axes: Readonly<Record<string, unknown>>;
}

/** A distribution, in buckets. */
export interface HistogramEvent extends CommonEvent {
  readonly kind: 'histogram';
  readonly name: string;
  readonly step: number | undefined;
  /** Upper bounds, ascending; `counts` has one entry more. */
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
}

/** An image, a video, a table, …, before it is encoded. */
export interface MediaEvent extends CommonEvent {
  readonly kind: 'media';
  readonly name: string;
  /** `image`, `video`, `audio`, … */
  readonly media: string;
  readonly step: number | undefined;
  /** What the caller gave; the caller may change it after the call. */
  readonly value: unknown;
  /** The call's options. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** A run begins (`running`) or ends. Its scope is `global`. */
export interface RunEvent extends CommonEvent {
  readonly kind: 'run';
  readonly state: 'running' | 'finished' | 'failed' | 'crashed' | 'killed';
  readonly exitCode: number | undefined;
  /** The uncaught error that ended the process. */
  readonly error: unknown;
}

/** Hyperparameters, or changes of them. Its scope is `global`. */
export interface ConfigEvent extends CommonEvent {
  readonly kind: 'config';
  readonly values: Readonly<Record<string, unknown>>;
}

/** Every handler gets an object of its own: changing it changes nothing for others. */
export type HandlerEvent = LogEvent | RowEvent | HistogramEvent | MediaEvent | RunEvent | ConfigEvent;

/** Hears events inside the process that logs, on the caller's thread. */
export interface Handler {
  /** Tells handlers apart: attaching a second one of a name only adds scopes to the first. */
  readonly name: string;
  /** Where `attach` names no scopes. Default: `global`. */
  readonly scopes?: readonly string[];
  /**
   * Called for each event, during the call that says it: be quick. A promise is not waited for, except by `finish`. What is
   * thrown is told once and never reaches the code that logs.
   */
  handle(event: HandlerEvent): unknown;
  /** Called once, before the first event. What throws here is not attached. */
  open?(): unknown;
  /** Called once, when its last scope is detached or the process ends (then without waiting for a promise). */
  close?(): unknown;
}
