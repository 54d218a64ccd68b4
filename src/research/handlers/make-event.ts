// Makes the events that handlers hear from what the research API has at hand. Runs only while somebody listens.
import type { AnyValue, Attributes } from '../../otlp/model.ts';
import type { HistogramInput, SeriesId } from '../../sdk/recorder.ts';
import { CODE_FILE_PATH, CODE_LINE_NUMBER, RUN_ID, STEP, USER_TIME } from '../../semconv/names.ts';
import type { ConfigEvent, HistogramEvent, LevelName, LogEvent, RowEvent, RunEvent } from './event.ts';
import type { EventOrigin } from './hub.ts';

const NS_PER_MS = 1_000_000;
/** What the record says about itself, and the event in fields of its own. */
const NO_FIELDS: ReadonlySet<string> = new Set([STEP, CODE_FILE_PATH, CODE_LINE_NUMBER, RUN_ID]);

/** @param exemplar what rides in the row's exemplars: its axes, and the caller's own time */
export function rowEvent(
  origin: EventOrigin,
  step: number,
  exemplar: Attributes | undefined,
  row: Iterable<readonly [SeriesId, number | bigint]>,
  names: { shownName(id: SeriesId): string },
): RowEvent {
  const values: Record<string, number | bigint> = Object.create(null);
  for (const [id, value] of row) values[names.shownName(id)] = value;
  const { [USER_TIME]: time, ...axes } = exemplar ?? {};
  return { kind: 'row', ...about(origin, time), step: known(step), values, axes };
}

export function histogramEvent(
  origin: EventOrigin,
  name: string,
  step: number,
  point: HistogramInput,
): HistogramEvent {
  const { bounds, counts, count, sum, min, max } = point;
  return {
    kind: 'histogram',
    ...about(origin),
    name,
    step: known(step),
    bounds: Array.from(bounds),
    counts: Array.from(counts),
    count,
    sum,
    min,
    max,
  };
}

/** @param attributes of the log record */
export function logEvent(
  origin: EventOrigin,
  timeUnixNano: bigint,
  severity: number,
  severityText: string,
  message: string,
  attributes: Readonly<Record<string, unknown>>,
): LogEvent {
  const fields: Record<string, unknown> = Object.create(null);
  for (const key of Object.keys(attributes)) if (!NO_FIELDS.has(key)) fields[key] = attributes[key];
  const { [STEP]: step, [CODE_FILE_PATH]: file, [CODE_LINE_NUMBER]: line } = attributes;
  return {
    kind: 'log',
    ...about(origin, timeUnixNano),
    severity,
    level: severityText.toLowerCase() as LevelName,
    message,
    step: typeof step === 'number' ? step : undefined,
    fields,
    file: typeof file === 'string' ? file : undefined,
    line: typeof line === 'number' ? line : undefined,
  };
}

export function runEvent(
  origin: EventOrigin,
  state: RunEvent['state'],
  exitCode: number | undefined,
  error: unknown,
): RunEvent {
  return { kind: 'run', ...about(origin), state, exitCode, error };
}

export function configEvent(origin: EventOrigin, values: Readonly<Record<string, unknown>>): ConfigEvent {
  return { kind: 'config', ...about(origin), values: structuredClone(values) };
}

function about(origin: EventOrigin, timeUnixNano?: AnyValue) {
  const { run, scope, logger } = origin;
  const time = typeof timeUnixNano === 'bigint' ? Number(timeUnixNano) / NS_PER_MS : Date.now();
  return { run: { ...run }, scope, logger, time };
}

function known(step: number): number | undefined {
  return Number.isNaN(step) ? undefined : step;
}
