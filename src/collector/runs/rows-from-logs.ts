// Rows from clients that only have logs: `kymo.row` events in the shape of a scalar batch.
import { newAttributes } from '../../otlp/attributes.ts';
import type { AnyValue, Attributes, LogRecord, PointContext, Series } from '../../otlp/model.ts';
import { EVENT_ROW, ROW_VALUES, SCOPE, STEP, STEP_ATTRIBUTES } from '../../semconv/names.ts';
import type { ResolvedLog, ScalarBatch } from '../component.ts';
import { isMap } from './json.ts';
import { explicitMode, nameSeries } from './resolve.ts';
import type { ResolvedSeries } from './run.ts';

const OURS = 'kymo.';
/** What is not a value even where the record's own attributes are the values. */
const NOT_VALUES: ReadonlySet<string> = new Set([...STEP_ATTRIBUTES, SCOPE]);

/** True for a `kymo.row` event whose values all became points, so that it need not be kept as a log as well. */
export function isWholeRow(record: LogRecord): boolean {
  if (record.eventName !== EVENT_ROW) return false;
  const values = valuesOf(record);
  return values.numbers.length > 0 && values.others === 0;
}

/**
 * The points of all `kymo.row` events among `logs`, one row each, in order of time; undefined when there are none. Values
 * are the map in `kymo.row.values`, else a map body, else the record's own numeric attributes. Booleans count as 0 and 1;
 * what is no number is left out (the event is then kept as a log too, see `isWholeRow`).
 */
export function rowsFromLogs(logs: readonly ResolvedLog[]): ScalarBatch | undefined {
  const rows: { readonly log: ResolvedLog; readonly values: Values }[] = [];
  let count = 0;
  for (const log of logs) {
    if (log.record.eventName !== EVENT_ROW) continue;
    const values = valuesOf(log.record);
    if (values.numbers.length === 0) continue;
    count += values.numbers.length;
    rows.push({ log, values });
  }
  if (rows.length === 0) return undefined;
  rows.sort((a, b) => compare(a.log.record.timeUnixNano, b.log.record.timeUnixNano));

  const series: Series[] = [];
  const resolved: ResolvedSeries[] = [];
  const known = new Map<string, number>();
  const timeUnixNano = new BigUint64Array(count);
  const columns = {
    count,
    series,
    seriesIndex: new Uint32Array(count),
    timeUnixNano,
    timeWords: new Uint32Array(timeUnixNano.buffer),
    value: new Float64Array(count),
    bigValue: new Map<number, bigint>(),
    step: new Float64Array(count),
    context: new Map<number, PointContext>(),
  };
  const first = new Uint32Array(rows.length + 1);
  const ids = new Map<object, number>();
  const idOf = (object: object): number => {
    const id = ids.get(object) ?? ids.size;
    ids.set(object, id);
    return id;
  };

  let point = 0;
  rows.forEach(({ log, values }, row) => {
    const { record } = log;
    const mode = explicitMode(record);
    const step = stepOf(record.attributes);
    const context = contextOf(record, values);
    const owner = [idOf(log.run), idOf(record.resource), idOf(record.scope), log.scope, mode];
    first[row] = point;
    for (const [name, value] of values.numbers) {
      const key = JSON.stringify([...owner, name]);
      let index = known.get(key);
      if (index === undefined) {
        index = series.length;
        known.set(key, index);
        const { resource, scope } = record;
        const attributes = newAttributes();
        series.push({ resource, scope, name, unit: '', description: '', attributes, kind: 'gauge' });
        resolved.push(nameSeries(log, mode, name, attributes));
      }
      columns.seriesIndex[point] = index;
      timeUnixNano[point] = record.timeUnixNano;
      columns.value[point] = Number(value);
      if (typeof value === 'bigint') columns.bigValue.set(point, value);
      columns.step[point] = step;
      if (context !== undefined) columns.context.set(point, context);
      point++;
    }
  });
  first[rows.length] = point;
  const points = Uint32Array.from({ length: count }, (_, i) => i);
  return { columns, resolved, rows: { count: rows.length, first, points } };
}

interface Values {
  readonly numbers: readonly (readonly [string, number | bigint])[];
  /** How many entries of the map were no numbers. */
  readonly others: number;
  /** The values are the record's attributes themselves. */
  readonly inAttributes: boolean;
}

function valuesOf(record: LogRecord): Values {
  const own = record.attributes[ROW_VALUES];
  const map = isMap(own) ? own : isMap(record.body) ? record.body : undefined;
  const source = map ?? record.attributes;
  const numbers: [string, number | bigint][] = [];
  let others = 0;
  for (const key of Object.keys(source)) {
    if (map === undefined && (NOT_VALUES.has(key) || key.startsWith(OURS))) continue;
    const value = source[key];
    if (typeof value === 'number' || typeof value === 'bigint') numbers.push([key, value]);
    else if (typeof value === 'boolean') numbers.push([key, value ? 1 : 0]);
    else others++;
  }
  return { numbers, others, inAttributes: map === undefined };
}

/** NaN where the record carries none. */
function stepOf(attributes: Attributes): number {
  for (const key of STEP_ATTRIBUTES) {
    const value = attributes[key];
    if (typeof value === 'number' || typeof value === 'bigint') return Number(value);
  }
  return Number.NaN;
}

/** Trace and further fields of the record, as an exemplar would carry them. */
function contextOf(record: LogRecord, values: Values): PointContext | undefined {
  const attributes = newAttributes();
  let any = record.traceId !== '';
  for (const key of Object.keys(record.attributes)) {
    if (values.inAttributes && !key.startsWith(OURS)) continue;
    if (NOT_VALUES.has(key) || key === STEP || key === ROW_VALUES || isPlace(key)) continue;
    attributes[key] = record.attributes[key] as AnyValue;
    any = true;
  }
  return any ? { traceId: record.traceId, spanId: record.spanId, attributes } : undefined;
}

/** Said by the row's run, scope and mode already. */
function isPlace(key: string): boolean {
  return key.startsWith('kymo.run.') || key === 'kymo.mode' || key === 'kymo.rank';
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
