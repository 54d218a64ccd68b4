// Lines of JSON into a batch: rows of vibe-rl, and rows, text and spans of Kymo's own run folders.

import { isMap, parseJson } from '../../collector/runs/json.ts';
import type { AnyValue, Attributes } from '../../otlp/model.ts';
import { GLOBAL_SCOPE, MODE, STEP } from '../../semconv/names.ts';
import { attributes, type ImportBatch, logRecord, nanos, type Origin } from './batch.ts';
import type { FileKind } from './source.ts';

/** What goes on from piece to piece. JSON, kept with the progress. */
export interface Carry {
  /** Unix seconds that a row's `wall_time` counts from. */
  baseSeconds: number;
  /** Step of the next row that has none. */
  row: number;
  /** Time of the last row as the source has it, and as it was sent (Unix ns): rows of one time must stay apart. */
  lastSource: number;
  lastSent: string;
  /** Of TensorBoard: which START this is, and the highest step so far. */
  attempt: number;
  highestStep: number;
  /** Plugins of TensorBoard's tags: some writers name them only with the first value. */
  plugins: Record<string, string>;
}

/** What an import begins with. */
export function newCarry(baseSeconds: number): Carry {
  const times = { baseSeconds, row: 0, lastSource: -1, lastSent: '0' };
  return { ...times, attempt: 1, highestStep: -1, plugins: Object.create(null) as Record<string, string> };
}

/** What an import does not take, counted. */
export interface Skipped {
  lines: number;
  values: number;
  others: number;
}

const LINE_KEYS: ReadonlySet<string> = new Set([
  'step',
  'time',
  'mode',
  'scope',
  'instance',
  'rank',
  'attempt',
  'trace_id',
  'span_id',
  'axes',
]);
const VIBE_KEYS: ReadonlySet<string> = new Set(['step', 'wall_time', 'wall_time_abs']);
const SPAN_KINDS = ['', 'internal', 'server', 'client', 'producer', 'consumer'];
const STATUS = ['', 'ok', 'error'];
/** A wall time beyond it is a date, not a duration: 2001. */
const EARLIEST_DATE = 1e9;

export interface LineContext {
  readonly batch: ImportBatch;
  readonly carry: Carry;
  readonly skipped: Skipped;
  readonly instance: string;
}

/** Takes one line. What it cannot take is counted, never guessed. */
export function addLine(kind: FileKind, text: string, context: LineContext): void {
  if (text.trim() === '') return;
  const line = parseLine(text);
  if (line === undefined) context.skipped.lines++;
  else if (kind === 'rows') addRow(line, context);
  else if (kind === 'text') addText(line, context);
  else addSpan(line, context);
}

/** A line as a map; also with the bare `NaN` and `Infinity` that Python writes. Undefined for anything else. */
export function parseLine(text: string): Attributes | undefined {
  for (const candidate of [
    text,
    text.includes('N') || text.includes('I') ? quoteNonFinite(text) : undefined,
  ]) {
    if (candidate === undefined) continue;
    try {
      const value = parseJson(candidate);
      return isMap(value) ? value : undefined;
    } catch {
      // Perhaps with the numbers quoted.
    }
  }
  return undefined;
}

function quoteNonFinite(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, found =>
    found[0] === '"' ? found : `"${found}"`,
  );
}

function addRow(line: Attributes, context: LineContext): void {
  const { batch, carry, skipped } = context;
  // The collector makes these marks again, from the start events.
  if ('superseded' in line) return;
  const isKymo = typeof line.time === 'number';
  const origin = originOf(line, context);
  const known = isKymo ? LINE_KEYS : VIBE_KEYS;
  const step = numeric(line.step) ?? carry.row;
  // As a logger counts on: from the last step, wherever it was.
  if (Number.isFinite(Number(step))) carry.row = Math.floor(Number(step)) + 1;
  const timeUnixNano = apart(timeOf(line, isKymo, carry), carry);
  const mode = typeof line.mode === 'string' ? line.mode : '';
  const nameOf = (key: string) => ownName(key, origin.scope, isKymo);
  if (isKymo && typeof line.histogram === 'string') {
    const bounds = numbers(line.bounds);
    const counts = numbers(line.counts);
    if (counts.length !== bounds.length + 1) skipped.lines++;
    else {
      const count = Number(numeric(line.count) ?? counts.reduce((sum, one) => sum + one, 0));
      const optional = (value: AnyValue | undefined) => Number(numeric(value) ?? Number.NaN);
      batch.addHistogram({
        ...{
          origin,
          name: nameOf(line.histogram),
          mode,
          timeUnixNano,
          step: Number(step),
          bounds,
          counts,
          count,
        },
        ...{ sum: optional(line.sum), min: optional(line.min), max: optional(line.max) },
      });
    }
    return;
  }
  const values: [string, number | bigint][] = [];
  for (const key of Object.keys(line)) {
    if (known.has(key)) continue;
    const value = numeric(line[key]);
    if (value === undefined) skipped.values++;
    else values.push([nameOf(key), value]);
  }
  batch.addRow({
    ...{ origin, timeUnixNano, step: Number(step), mode, values },
    ...{ axes: isMap(line.axes) ? line.axes : undefined },
    ...{ traceId: text(line.trace_id), spanId: text(line.span_id) },
  });
}

function addText(line: Attributes, context: LineContext): void {
  const own = isMap(line.attributes) ? restored(line.attributes) : attributes({});
  if (line.step !== undefined) own[STEP] = line.step;
  if (typeof line.mode === 'string') own[MODE] = line.mode;
  const body = line.message ?? line.body;
  context.batch.addLog(
    originOf(line, context),
    logRecord({
      timeUnixNano: nanos(Number(numeric(line.time) ?? 0)),
      severityNumber: Number(numeric(line.severity) ?? 0),
      severityText: text(line.level),
      eventName: text(line.event),
      body: body === undefined ? null : restored(body),
      attributes: own,
      traceId: text(line.trace_id),
      spanId: text(line.span_id),
    }),
  );
}

function addSpan(line: Attributes, context: LineContext): void {
  const own = isMap(line.attributes) ? restored(line.attributes) : attributes({});
  if (line.step !== undefined) own[STEP] = line.step;
  if (typeof line.mode === 'string') own[MODE] = line.mode;
  const list = (value: AnyValue | undefined) => (Array.isArray(value) ? value.filter(isMap) : []);
  context.batch.addSpan(originOf(line, context), {
    traceId: text(line.trace_id),
    spanId: text(line.span_id),
    parentSpanId: text(line.parent_span_id),
    traceState: text(line.trace_state),
    name: text(line.name),
    kind: Math.max(0, SPAN_KINDS.indexOf(text(line.kind))),
    startTimeUnixNano: nanos(Number(numeric(line.start) ?? 0)),
    endTimeUnixNano: nanos(Number(numeric(line.end) ?? 0)),
    statusCode: Math.max(0, STATUS.indexOf(text(line.status))),
    statusMessage: text(line.status_message),
    attributes: own,
    events: list(line.events).map(event => ({
      timeUnixNano: nanos(Number(numeric(event.time) ?? 0)),
      name: text(event.name),
      attributes: isMap(event.attributes) ? restored(event.attributes) : attributes({}),
    })),
    links: list(line.links).map(link => ({
      traceId: text(link.trace_id),
      spanId: text(link.span_id),
      traceState: text(link.trace_state),
      attributes: isMap(link.attributes) ? restored(link.attributes) : attributes({}),
    })),
  });
}

function originOf(line: Attributes, { instance }: LineContext): Origin {
  return {
    instance: text(line.instance) || instance,
    rank: Number(numeric(line.rank) ?? 0),
    attempt: Math.max(1, Number(numeric(line.attempt) ?? 1)),
    scope: text(line.scope) === GLOBAL_SCOPE ? '' : text(line.scope),
    logger: text(line.logger),
  };
}

/** The name as it was logged: without the `~` that keeps it apart from keys of the line, and without the scope in front. */
function ownName(key: string, scope: string, isKymo: boolean): string {
  if (!isKymo) return key;
  const name = key.startsWith('~') ? key.slice(1) : key;
  return scope !== '' && name.startsWith(`${scope}/`) ? name.slice(scope.length + 1) : name;
}

function timeOf(line: Attributes, isKymo: boolean, carry: Carry): number {
  if (isKymo) return Number(line.time);
  const absolute = numeric(line.wall_time_abs);
  if (absolute !== undefined) return Number(absolute);
  const wall = Number(numeric(line.wall_time) ?? carry.row / 1_000);
  return wall >= EARLIEST_DATE ? wall : carry.baseSeconds + wall;
}

/** A time of its own for each row: those that came at one moment follow each other by a nanosecond. */
export function apart(seconds: number, carry: Carry): bigint {
  const time = seconds === carry.lastSource ? BigInt(carry.lastSent) + 1n : nanos(seconds);
  carry.lastSource = seconds;
  carry.lastSent = time.toString();
  return time;
}

function numeric(value: AnyValue | undefined): number | bigint | undefined {
  if (typeof value === 'number' || typeof value === 'bigint') return value;
  if (typeof value === 'boolean') return value ? 1 : 0;
  return value === 'NaN' || value === 'Infinity' || value === '-Infinity' ? Number(value) : undefined;
}

function numbers(value: AnyValue | undefined): number[] {
  return Array.isArray(value) ? value.map(one => Number(numeric(one) ?? Number.NaN)) : [];
}

/** Bytes are written as `{"base64": "…"}`. */
function restored<T extends AnyValue>(value: T): T;
function restored(value: AnyValue): AnyValue {
  if (Array.isArray(value)) return value.map(one => restored(one as AnyValue));
  if (!isMap(value)) return value;
  const keys = Object.keys(value);
  if (keys.length === 1 && keys[0] === 'base64' && typeof value.base64 === 'string')
    return new Uint8Array(Buffer.from(value.base64, 'base64'));
  const map = attributes({});
  for (const key of keys) map[key] = restored(value[key]!);
  return map;
}

function text(value: AnyValue | undefined): string {
  return typeof value === 'string' ? value : '';
}
