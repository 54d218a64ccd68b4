// The events of a run's life (start, heartbeat, config, summary, finish) as encoded log records. No SDK is loaded for them.
import { encodeLogRecord } from '../otlp/encode-records.ts';
import type { Attributes } from '../otlp/model.ts';
import { WireWriter } from '../otlp/wire-writer.ts';
import type { Recorder, ScopeId } from '../sdk/recorder.ts';
import * as names from '../semconv/names.ts';
import type { Identity } from './identity.ts';
import { cutText, type PlainMap } from './plain.ts';

const INFO = 9;
const ERROR = 17;
const FATAL = 21;
const SEVERITY_TEXTS: Readonly<Record<number, string>> = {
  [INFO]: 'INFO',
  [ERROR]: 'ERROR',
  [FATAL]: 'FATAL',
};

export type RunState = 'running' | 'finished' | 'failed' | 'crashed' | 'killed';

export class RunEvents {
  private readonly recorder: Recorder;
  private readonly scope: ScopeId;
  private readonly writer = new WireWriter();

  constructor(recorder: Recorder, scope: ScopeId) {
    this.recorder = recorder;
    this.scope = scope;
  }

  start(run: Identity): void {
    const attributes: Attributes = { [names.RUN_STATE]: 'running', [names.RUN_ATTEMPT]: run.attempt };
    if (!Number.isNaN(run.resumeStep)) attributes[names.RUN_RESUME_STEP] = run.resumeStep;
    this.record(names.EVENT_RUN_START, attributes);
  }

  heartbeat(): void {
    this.record(names.EVENT_RUN_HEARTBEAT, { [names.RUN_STATE]: 'running', ...this.totals() });
  }

  config(changes: PlainMap): void {
    this.record(names.EVENT_RUN_CONFIG, { [names.RUN_CONFIG]: changes as Attributes });
  }

  summary(changes: PlainMap): void {
    this.record(names.EVENT_RUN_SUMMARY, { [names.RUN_SUMMARY]: changes as Attributes });
  }

  /** An error that nobody has caught and that ends the process. */
  fatal(error: unknown): void {
    this.record(names.EVENT_EXCEPTION, exceptionAttributes(error), FATAL);
  }

  /** @param error the uncaught error that ended the process, undefined for none */
  finish(state: RunState, exitCode: number | undefined, error: unknown): void {
    const attributes: Attributes = { [names.RUN_STATE]: state, ...this.totals() };
    if (exitCode !== undefined) attributes[names.EXIT_CODE] = exitCode;
    if (error !== undefined && error !== null) Object.assign(attributes, exceptionAttributes(error));
    this.record(names.EVENT_RUN_FINISH, attributes, state === 'finished' ? INFO : ERROR, 'last');
  }

  private totals(): Attributes {
    const { emitted, dropped } = this.recorder.report();
    // The event that says it is one more.
    return { [names.RUN_EMITTED]: emitted + 1, [names.RUN_DROPPED]: { ...dropped } };
  }

  /** @param place `last`: it must not overtake media that were logged before it */
  private record(
    eventName: string,
    attributes: Attributes,
    severityNumber = INFO,
    place: 'here' | 'last' = 'here',
  ): void {
    const time = this.recorder.now();
    this.writer.reset();
    encodeLogRecord(this.writer, {
      timeUnixNano: time,
      observedTimeUnixNano: time,
      severityNumber,
      severityText: SEVERITY_TEXTS[severityNumber] ?? '',
      eventName,
      body: null,
      attributes,
      traceId: '',
      spanId: '',
      flags: 0,
    });
    if (place === 'last') this.recorder.recordLast(this.scope, this.writer.bytes());
    else this.recorder.record('log', this.scope, this.writer.bytes());
  }
}

/** An error in the words of OpenTelemetry's conventions. What is thrown need not be an Error. */
export function exceptionAttributes(error: unknown): Attributes {
  if (!(error instanceof Error)) {
    return { [names.EXCEPTION_TYPE]: typeof error, [names.EXCEPTION_MESSAGE]: cutText(safeString(error)) };
  }
  const attributes: Attributes = {
    [names.EXCEPTION_TYPE]: errorType(error),
    [names.EXCEPTION_MESSAGE]: cutText(safeString(error.message)),
  };
  if (typeof error.stack === 'string') attributes[names.EXCEPTION_STACKTRACE] = cutText(error.stack);
  return attributes;
}

/** What `error.type` says: the error's name, or the type of what was thrown instead of one. */
export function errorType(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  return typeof error.name === 'string' && error.name !== '' ? cutText(error.name, 200) : 'Error';
}

export function safeString(value: unknown): string {
  try {
    return String(value);
  } catch {
    return `[${typeof value}]`;
  }
}
