// What there is to aggregate in a batch: values of events and of points, and how far each process has come.
import type { AnyValue, Attributes } from '../../../otlp/model.ts';
import {
  DEFAULT_MODE,
  EVENT_RAW,
  EVENT_RUN_FINISH,
  EVENT_RUN_HEARTBEAT,
  EVENT_RUN_START,
  RAW_CONTEXT,
  RAW_NAME,
  RAW_VALUE,
  STEP_ATTRIBUTES,
  WORLD_SIZE,
} from '../../../semconv/names.ts';
import type { Batch, ResolvedLog, ScalarBatch } from '../../component.ts';
import { isMap, valueJson } from '../../runs/json.ts';
import { explicitMode } from '../../runs/resolve.ts';
import { rowsFromLogs } from '../../runs/rows-from-logs.ts';
import type { Run } from '../../runs/run.ts';

export type Kind = 'event' | 'scalar';
/** Attributes that tell series of one name apart, as sinks show them. */
export type Dimensions = readonly (readonly [string, string | number])[];

/** Where a value belongs: processes that write at one place are aggregated together. */
export interface Place {
  readonly run: Run;
  readonly kind: Kind;
  readonly scope: string;
  readonly mode: string;
  readonly dimensions: Dimensions;
}

export interface Value {
  readonly name: string;
  readonly value: number;
  /** NaN where there is none. */
  readonly step: number;
  /** Unix ns as a double. */
  readonly at: number;
  readonly context: Attributes | undefined;
}

/** What a batch is read by. */
export interface Reader {
  /** Somebody aggregates it. */
  wants(name: string): boolean;
  /** A process has come this far: later values of it will not be before, as a rule. */
  reached(place: Place, step: number, at: number, worldSize: number): void;
  take(place: Place, value: Value): void;
  life(run: Run, what: 'start' | 'heartbeat' | 'finish', at: number): void;
}

const LIFE: Readonly<Record<string, 'start' | 'heartbeat' | 'finish'>> = {
  [EVENT_RUN_START]: 'start',
  [EVENT_RUN_HEARTBEAT]: 'heartbeat',
  [EVENT_RUN_FINISH]: 'finish',
};
const OURS = 'kymo.';

/** In the order of the batch; what a process says about its life comes after what it measured. */
export function readBatch(batch: Batch, reader: Reader): void {
  const scalars = batch.scalars ?? rowsFromLogs(batch.logs);
  if (scalars !== undefined) readScalars(scalars, reader);
  for (const log of batch.logs) readEvent(log, reader);
  for (const { record, run } of batch.logs) {
    const what = Object.hasOwn(LIFE, record.eventName) ? LIFE[record.eventName] : undefined;
    if (what !== undefined) reader.life(run, what, Number(record.timeUnixNano));
  }
}

/** A log record that `take` may get: an event for aggregation, by Kymo or by any other client. */
export function rawName(log: ResolvedLog): string {
  const { eventName, attributes } = log.record;
  if (eventName !== EVENT_RAW) return eventName;
  const name = attributes[RAW_NAME];
  return typeof name === 'string' ? name : '';
}

function readEvent(log: ResolvedLog, reader: Reader): void {
  const { record, run, scope } = log;
  const isOurs = record.eventName === EVENT_RAW;
  const name = rawName(log);
  const wanted = name !== '' && reader.wants(name);
  if (!isOurs && !wanted) return;
  const { attributes } = record;
  const at = Number(record.timeUnixNano);
  const step = stepOf(attributes);
  const mode = explicitMode(record) || DEFAULT_MODE;
  const place: Place = { run, kind: 'event', scope, mode, dimensions: [] };
  reader.reached(place, step, at, worldSizeOf(record.resource.attributes));
  if (!wanted) return;
  const given = attributes[RAW_CONTEXT];
  const context = isOurs ? (isMap(given) ? given : undefined) : attributes;
  // Other clients name their events as they like: without a value each counts as one.
  const value = isOurs ? attributes[RAW_VALUE] : (attributes.value ?? numberIn(record.body) ?? 1);
  reader.take(place, { name, value: toNumber(value), step, at, context });
}

function readScalars({ columns, resolved }: ScalarBatch, reader: Reader): void {
  const { count, series, seriesIndex, timeUnixNano, timeWords, value, step, context } = columns;
  const wanted = series.map((one, i) => !resolved[i]!.companion && reader.wants(one.name));
  const places = series.map((one, i): Place => {
    const { run, scope, mode } = resolved[i]!;
    const dimensions = wanted[i] ? dimensionsOf(one.attributes) : [];
    return { run, kind: 'scalar', scope, mode, dimensions };
  });
  const farthest = new Map<string, { place: Place; step: number; at: number; world: number }>();
  const progress = places.map((place, i) => {
    const key = JSON.stringify([place.run.id, place.run.attempt, place.run.instance, place.scope]);
    const world = worldSizeOf(series[i]!.resource.attributes);
    const known = farthest.get(key) ?? { place, step: Number.NaN, at: 0, world };
    farthest.set(key, known);
    return known;
  });
  for (let i = 0; i < count; i++) {
    const at = seriesIndex[i]!;
    if (resolved[at]!.companion) continue;
    const far = progress[at]!;
    const time = timeWords[2 * i + 1]! * 2 ** 32 + timeWords[2 * i]!;
    if (time > far.at) far.at = time;
    if (step[i]! > far.step || Number.isNaN(far.step)) far.step = step[i]!;
  }
  for (const { place, step: reached, at, world } of farthest.values()) {
    if (at > 0) reader.reached(place, reached, at, world);
  }
  if (!wanted.includes(true)) return;
  for (let i = 0; i < count; i++) {
    const at = seriesIndex[i]!;
    if (!wanted[at]) continue;
    reader.take(places[at]!, {
      name: series[at]!.name,
      value: value[i]!,
      step: step[i]!,
      at: Number(timeUnixNano[i]!),
      context: context?.get(i)?.attributes,
    });
  }
}

/** As sinks without labels write them; sorted, so that their order makes no difference. */
function dimensionsOf(attributes: Attributes): Dimensions {
  return Object.keys(attributes)
    .filter(key => !key.startsWith(OURS))
    .sort()
    .map(key => {
      const value = attributes[key];
      const plain = typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value));
      return [key, plain ? (value as string | number) : valueJson(value)];
    });
}

/** NaN for what is no number. */
export function toNumber(value: AnyValue | undefined): number {
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean'
    ? Number(value)
    : Number.NaN;
}

function numberIn(body: AnyValue): number | undefined {
  return typeof body === 'number' || typeof body === 'bigint' ? Number(body) : undefined;
}

function stepOf(attributes: Attributes): number {
  for (const key of STEP_ATTRIBUTES) {
    const value = attributes[key];
    if (typeof value === 'number' || typeof value === 'bigint') return Number(value);
  }
  return Number.NaN;
}

function worldSizeOf(attributes: Attributes): number {
  const value = attributes[WORLD_SIZE];
  return typeof value === 'number' && value >= 1 ? value : 1;
}
