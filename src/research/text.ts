// One line of text: its severity, its fields as attributes, where it was called, and its way through OpenTelemetry's logger.
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import type { Attributes, Context, Logger as OtelLogger } from '@opentelemetry/api';
import { CODE_FILE_PATH, CODE_LINE_NUMBER, GLOBAL_SCOPE, RUN_ID, SCOPE, STEP } from '../semconv/names.ts';
import { nearest, shown, wrongType } from './checks.ts';
import { EventOrigin, hub } from './handlers/hub.ts';
import { logEvent } from './handlers/make-event.ts';
import { isStep } from './numbers.ts';
import { cutText, isMap, type Plain, type PlainMap, toPlain } from './plain.ts';
import type { Run } from './run.ts';
import { exceptionAttributes, safeString } from './run-events.ts';

/** Severities by name, as OpenTelemetry numbers them. */
export const SEVERITIES = { debug: 5, info: 9, warn: 13, error: 17, critical: 21 } as const;
export type SeverityName = keyof typeof SEVERITIES;
/** A name, or OpenTelemetry's number (1 to 24; 9 is info). */
export type Severity = SeverityName | number;
/** The least severity that a logger lets through; `notset` is everything. */
export type Level = Severity | 'notset';

/** What a line says besides its message. Errors become `exception.*`, a whole number `step` the line's step. */
export type Fields = Readonly<Record<string, unknown>>;

const TEXTS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'CRITICAL'];
/** Numbers of one severity come in fours. */
const NUMBERS_PER_SEVERITY = 4;
const MAX_SEVERITY = 24;

export function severityNumber(argument: string, severity: unknown): number {
  if (typeof severity === 'number') {
    if (Number.isInteger(severity) && severity >= 1 && severity <= MAX_SEVERITY) return severity;
  } else if (typeof severity === 'string') {
    if (Object.hasOwn(SEVERITIES, severity)) return SEVERITIES[severity as SeverityName];
    const near = nearest(severity, Object.keys(SEVERITIES));
    if (near !== undefined)
      throw new TypeError(`kymo: ${argument} has no severity ${shown(severity)} (did you mean ${near}?)`);
  }
  throw wrongType(
    argument,
    `one of ${Object.keys(SEVERITIES).join(', ')}, or a number from 1 to ${MAX_SEVERITY}`,
    severity,
  );
}

export function levelNumber(argument: string, level: unknown): number {
  return level === 'notset' || level === 0 ? 0 : severityNumber(argument, level);
}

/** Where one logger's text of one run goes. Getting an OTel logger is slow, so it is kept. */
export class TextOutput {
  readonly run: Run;
  private readonly logger: OtelLogger;
  private readonly scope: string;
  private readonly origin: EventOrigin;
  /** `KYMO_CAPTURE_CALLER=0` spares each line the 3 µs of finding out where it was called. */
  private readonly places = process.env.KYMO_CAPTURE_CALLER !== '0';

  constructor(run: Run, name: string, scope: string) {
    this.run = run;
    this.scope = scope;
    this.origin = new EventOrigin(run, scope, name);
    const attributes: Attributes = scope === GLOBAL_SCOPE ? {} : { [SCOPE]: scope };
    this.logger = run.runtime.loggerProvider().getLogger(name, '', { attributes });
  }

  /**
   * @param caller the function that user code called: the line's place is where that stands; undefined for none
   * @param context undefined for the active one
   */
  emit(
    severity: number,
    message: unknown,
    bound: PlainMap,
    fields: unknown,
    caller: ((...args: never[]) => unknown) | undefined,
    context?: Context,
  ): void {
    const { run } = this;
    if (run.ended) {
      run.runtime.recorder.drop('after_finish', 1);
      run.complaints.once('after_finish', `run ${run.id} has finished; what is logged to it now is dropped`);
      return;
    }
    const attributes: Attributes = { ...bound };
    const step = run.steps(this.scope).current();
    if (!Number.isNaN(step)) attributes[STEP] = step;
    if (message instanceof Error) Object.assign(attributes, exceptionAttributes(message));
    addFields(attributes, fields);
    const place = caller === undefined || !this.places ? undefined : placeOf(caller);
    if (place !== undefined) {
      attributes[CODE_FILE_PATH] = place.file;
      attributes[CODE_LINE_NUMBER] = place.line;
    }
    // Several runs are open: the record says which one it belongs to.
    if (run.runtime.currentRun() !== run) attributes[RUN_ID] = run.id;
    const now = run.runtime.recorder.now();
    const time: [number, number] = [Number(now / 1_000_000_000n), Number(now % 1_000_000_000n)];
    const severityText = TEXTS[Math.floor((severity - 1) / NUMBERS_PER_SEVERITY)]!;
    const body = messageText(message);
    this.logger.emit({
      timestamp: time,
      observedTimestamp: time,
      severityNumber: severity,
      severityText,
      body,
      attributes,
      ...(context === undefined ? {} : { context }),
    });
    if (hub.listening && run.enabled)
      this.origin.publish(origin => logEvent(origin, now, severity, severityText, body, attributes));
  }
}

/** Fields as attributes. sdk-logs knows no bigint, so one beyond 2^53 becomes its digits. */
export function plainFields(fields: object): PlainMap {
  const attributes: PlainMap = {};
  addFields(attributes, fields);
  return attributes;
}

function addFields(attributes: Attributes, fields: unknown): void {
  if (fields === undefined) return;
  if (fields instanceof Error) {
    Object.assign(attributes, exceptionAttributes(fields));
    return;
  }
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
    // `log.error('failed', reason)`: text is often written where something has gone wrong already, so this is not the place to throw.
    attributes.value = withoutBigints(toPlain(fields) ?? null);
    return;
  }
  const plain = toPlain(fields);
  if (!isMap(plain)) {
    attributes.value = plain;
    return;
  }
  for (const key of Object.keys(plain)) {
    const value = readField(fields, key);
    if (value instanceof Error && attributes['exception.type'] === undefined)
      Object.assign(attributes, exceptionAttributes(value));
    else if (key === 'step' && isStep(value)) attributes[STEP] = value;
    else if (key !== '') attributes[key] = withoutBigints(plain[key]!);
  }
}

function readField(fields: object, key: string): unknown {
  try {
    return (fields as Record<string, unknown>)[key];
  } catch {
    return undefined;
  }
}

function withoutBigints(value: Plain): Plain {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  if (Array.isArray(value)) return value.map(withoutBigints);
  if (isMap(value)) for (const key of Object.keys(value)) value[key] = withoutBigints(value[key]!);
  return value;
}

function messageText(message: unknown): string {
  if (typeof message === 'string') return cutText(message);
  if (message instanceof Error) return cutText(safeString(message.message));
  if (typeof message !== 'object' || message === null) return safeString(message);
  try {
    return cutText(inspect(message, { depth: 4, breakLength: Number.POSITIVE_INFINITY }));
  } catch {
    return '[unreadable]';
  }
}

/** Lines come from a handful of places; what a frame says about one is worked out once. */
const KNOWN_PLACES = 2_000;
const knownPlaces = new Map<string, { file: string; line: number }>();

const FRAME = /\(?([^()\s][^()]*?):(\d+):\d+\)?$/;

/** File and line of the code that called `caller`. */
function placeOf(caller: (...args: never[]) => unknown): { file: string; line: number } | undefined {
  const limit = Error.stackTraceLimit;
  const holder: { stack?: unknown } = {};
  Error.stackTraceLimit = 1;
  Error.captureStackTrace(holder, caller);
  const stack = holder.stack;
  Error.stackTraceLimit = limit;
  if (typeof stack !== 'string') return undefined;
  const text = stack.slice(stack.lastIndexOf('\n') + 1);
  let place = knownPlaces.get(text);
  if (place !== undefined) return place;
  place = readFrame(text);
  if (place === undefined) return undefined;
  if (knownPlaces.size >= KNOWN_PLACES) knownPlaces.clear();
  knownPlaces.set(text, place);
  return place;
}

function readFrame(text: string): { file: string; line: number } | undefined {
  const frame = FRAME.exec(text.replace(/^\s*at\s+(?:async\s+)?/, ''));
  if (frame === null) return undefined;
  const at = frame[1]!.replace(/^.*\(/, '');
  try {
    return { file: at.startsWith('file:') ? fileURLToPath(at) : at, line: Number(frame[2]) };
  } catch {
    return { file: at, line: Number(frame[2]) };
  }
}
