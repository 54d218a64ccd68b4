// What conditions may name: the fields of each kind of item, by OTTL's paths, and its constants.
import type { AnyValue, Attributes, LogRecord, Series, SpanEvent, SpanRecord } from '../../../otlp/model.ts';

export type Subject = 'metric' | 'datapoint' | 'span' | 'spanevent' | 'log';

/** One item to be judged. Which fields are there depends on the subject. */
export interface Item {
  /** For metric and datapoint; of a histogram without kind. */
  readonly series?: Omit<Series, 'kind'> & { readonly kind?: Series['kind'] };
  /** For a datapoint that is a number. */
  readonly value?: number | bigint | undefined;
  readonly timeUnixNano?: bigint;
  readonly span?: SpanRecord;
  readonly spanEvent?: SpanEvent;
  readonly log?: LogRecord;
}

export type Field = (item: Item) => AnyValue | undefined;

const ofSeries =
  (read: (series: NonNullable<Item['series']>) => AnyValue): Field =>
  item =>
    read(item.series!);
const ofSpan =
  (read: (span: SpanRecord) => AnyValue): Field =>
  item =>
    read(item.span!);
const ofLog =
  (read: (log: LogRecord) => AnyValue): Field =>
  item =>
    read(item.log!);
const carrier = ({ series, span, log }: Item) => (series ?? span ?? log)!;

const COMMON: Readonly<Record<string, Field>> = {
  'resource.attributes': item => carrier(item).resource.attributes,
  'instrumentation_scope.name': item => carrier(item).scope.name,
  'instrumentation_scope.version': item => carrier(item).scope.version,
  'instrumentation_scope.attributes': item => carrier(item).scope.attributes,
};
const METRIC: Readonly<Record<string, Field>> = {
  name: ofSeries(({ name }) => name),
  unit: ofSeries(({ unit }) => unit),
  description: ofSeries(({ description }) => description),
  type: ofSeries(({ kind }) =>
    kind === 'gauge' ? DATA_TYPE_GAUGE : kind === 'sum' ? DATA_TYPE_SUM : DATA_TYPE_HISTOGRAM,
  ),
};
const DATAPOINT: Readonly<Record<string, Field>> = {
  attributes: ofSeries(({ attributes }) => attributes),
  value_double: ({ value }) => (value === undefined ? undefined : Number(value)),
  value_int: ({ value }) => (typeof value === 'bigint' || Number.isSafeInteger(value) ? value : undefined),
  time_unix_nano: ({ timeUnixNano }) => timeUnixNano,
};
const SPAN: Readonly<Record<string, Field>> = {
  name: ofSpan(({ name }) => name),
  kind: ofSpan(({ kind }) => kind),
  'status.code': ofSpan(({ statusCode }) => statusCode),
  'status.message': ofSpan(({ statusMessage }) => statusMessage),
  attributes: ofSpan(({ attributes }) => attributes),
  'trace_id.string': ofSpan(({ traceId }) => traceId),
  'span_id.string': ofSpan(({ spanId }) => spanId),
  'parent_span_id.string': ofSpan(({ parentSpanId }) => parentSpanId),
  start_time_unix_nano: ofSpan(({ startTimeUnixNano }) => startTimeUnixNano),
  end_time_unix_nano: ofSpan(({ endTimeUnixNano }) => endTimeUnixNano),
};
const SPAN_EVENT: Readonly<Record<string, Field>> = {
  name: ({ spanEvent }) => spanEvent?.name,
  attributes: ({ spanEvent }) => spanEvent?.attributes,
  time_unix_nano: ({ spanEvent }) => spanEvent?.timeUnixNano,
};
const LOG: Readonly<Record<string, Field>> = {
  body: ofLog(({ body }) => body),
  'body.string': ofLog(({ body }) => body),
  event_name: ofLog(({ eventName }) => eventName),
  severity_number: ofLog(({ severityNumber }) => severityNumber),
  severity_text: ofLog(({ severityText }) => severityText),
  attributes: ofLog(({ attributes }) => attributes),
  'trace_id.string': ofLog(({ traceId }) => traceId),
  'span_id.string': ofLog(({ spanId }) => spanId),
  time_unix_nano: ofLog(({ timeUnixNano }) => timeUnixNano),
  observed_time_unix_nano: ofLog(({ observedTimeUnixNano }) => observedTimeUnixNano),
};

/** Every path with and without the name of what it is a field of. */
export const FIELDS: Readonly<Record<Subject, ReadonlyMap<string, Field>>> = {
  metric: fieldsOf({ metric: METRIC }),
  datapoint: fieldsOf({ datapoint: DATAPOINT }, { metric: METRIC }),
  span: fieldsOf({ span: SPAN }),
  spanevent: fieldsOf({ spanevent: SPAN_EVENT }, { span: SPAN }),
  log: fieldsOf({ log: LOG }),
};

function fieldsOf(
  own: Readonly<Record<string, Readonly<Record<string, Field>>>>,
  above: Readonly<Record<string, Readonly<Record<string, Field>>>> = {},
): ReadonlyMap<string, Field> {
  const fields = new Map(Object.entries(COMMON));
  for (const [name, field] of Object.entries(COMMON))
    if (name.startsWith('instrumentation_')) fields.set(name.replace('instrumentation_', ''), field);
  for (const [prefix, group] of Object.entries({ ...own, ...above }))
    for (const [name, field] of Object.entries(group)) fields.set(`${prefix}.${name}`, field);
  for (const group of Object.values(own))
    for (const [name, field] of Object.entries(group)) fields.set(name, field);
  return fields;
}

const DATA_TYPE_GAUGE = 1;
const DATA_TYPE_SUM = 2;
const DATA_TYPE_HISTOGRAM = 3;

/** Numbers as OTLP has them; of metric types as upstream's pdata numbers them. */
export const CONSTANTS: Readonly<Record<string, number>> = {
  METRIC_DATA_TYPE_NONE: 0,
  METRIC_DATA_TYPE_GAUGE: DATA_TYPE_GAUGE,
  METRIC_DATA_TYPE_SUM: DATA_TYPE_SUM,
  METRIC_DATA_TYPE_HISTOGRAM: DATA_TYPE_HISTOGRAM,
  ...numbered('SPAN_KIND_', ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER']),
  ...numbered('STATUS_CODE_', ['UNSET', 'OK', 'ERROR']),
  SEVERITY_NUMBER_UNSPECIFIED: 0,
  ...Object.fromEntries(
    ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'].flatMap((name, i) =>
      ['', '2', '3', '4'].map((suffix, j) => [`SEVERITY_NUMBER_${name}${suffix}`, i * 4 + j + 1]),
    ),
  ),
};

function numbered(prefix: string, names: readonly string[]): Record<string, number> {
  return Object.fromEntries(names.map((name, i) => [prefix + name, i]));
}

/** A value inside another, by its keys. */
export function within(
  value: AnyValue | undefined,
  keys: readonly (string | number)[],
): AnyValue | undefined {
  let current = value;
  for (const key of keys) {
    if (typeof current !== 'object' || current === null || current instanceof Uint8Array) return undefined;
    if (Array.isArray(current)) current = typeof key === 'number' ? current[key] : undefined;
    else current = typeof key === 'string' ? (current as Attributes)[key] : undefined;
  }
  return current;
}
