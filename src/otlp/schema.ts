// The messages of OTLP that Kymo reads, as data: what check.ts walks by and json.ts maps by.
// Source: opentelemetry-proto 1.11, packages common, resource, trace, metrics and logs v1 and the three collector services.
import type { Signal } from './model.ts';

/**
 * How a field travels. `id` is bytes on the wire and hex in JSON (trace and span ids); `enum` is an int32 that JSON gives
 * as a number only.
 */
export type FieldKind =
  | 'bool'
  | 'enum'
  | 'uint32'
  | 'sint32'
  | 'int64'
  | 'uint64'
  | 'fixed32'
  | 'fixed64'
  | 'sfixed64'
  | 'double'
  | 'string'
  | 'bytes'
  | 'id'
  | 'message';

export interface Field {
  readonly number: number;
  /** The name in JSON, lowerCamelCase. */
  readonly name: string;
  readonly kind: FieldKind;
  readonly repeated: boolean;
  /** Set where `kind` is `message`. */
  readonly message: Message | undefined;
}

export interface Message {
  readonly name: string;
  /** In order of their numbers. Filled once, when the table below is made: messages refer to each other. */
  readonly fields: readonly Field[];
  /** A point, log record or span: what is counted. */
  readonly item: boolean;
}

/** `name: number kind`, with `*` for repeated and the message's name where the kind is a message. */
const TABLE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  ExportTraceServiceRequest: { resourceSpans: '1 *ResourceSpans' },
  ResourceSpans: { resource: '1 Resource', scopeSpans: '2 *ScopeSpans', schemaUrl: '3 string' },
  ScopeSpans: { scope: '1 InstrumentationScope', spans: '2 *Span', schemaUrl: '3 string' },
  Span: {
    traceId: '1 id',
    spanId: '2 id',
    traceState: '3 string',
    parentSpanId: '4 id',
    name: '5 string',
    kind: '6 enum',
    startTimeUnixNano: '7 fixed64',
    endTimeUnixNano: '8 fixed64',
    attributes: '9 *KeyValue',
    droppedAttributesCount: '10 uint32',
    events: '11 *SpanEvent',
    droppedEventsCount: '12 uint32',
    links: '13 *SpanLink',
    droppedLinksCount: '14 uint32',
    status: '15 SpanStatus',
    flags: '16 fixed32',
  },
  SpanEvent: {
    timeUnixNano: '1 fixed64',
    name: '2 string',
    attributes: '3 *KeyValue',
    droppedAttributesCount: '4 uint32',
  },
  SpanLink: {
    traceId: '1 id',
    spanId: '2 id',
    traceState: '3 string',
    attributes: '4 *KeyValue',
    droppedAttributesCount: '5 uint32',
    flags: '6 fixed32',
  },
  SpanStatus: { message: '2 string', code: '3 enum' },

  ExportLogsServiceRequest: { resourceLogs: '1 *ResourceLogs' },
  ResourceLogs: { resource: '1 Resource', scopeLogs: '2 *ScopeLogs', schemaUrl: '3 string' },
  ScopeLogs: { scope: '1 InstrumentationScope', logRecords: '2 *LogRecord', schemaUrl: '3 string' },
  LogRecord: {
    timeUnixNano: '1 fixed64',
    severityNumber: '2 enum',
    severityText: '3 string',
    body: '5 AnyValue',
    attributes: '6 *KeyValue',
    droppedAttributesCount: '7 uint32',
    flags: '8 fixed32',
    traceId: '9 id',
    spanId: '10 id',
    observedTimeUnixNano: '11 fixed64',
    eventName: '12 string',
  },

  ExportMetricsServiceRequest: { resourceMetrics: '1 *ResourceMetrics' },
  ResourceMetrics: { resource: '1 Resource', scopeMetrics: '2 *ScopeMetrics', schemaUrl: '3 string' },
  ScopeMetrics: { scope: '1 InstrumentationScope', metrics: '2 *Metric', schemaUrl: '3 string' },
  Metric: {
    name: '1 string',
    description: '2 string',
    unit: '3 string',
    gauge: '5 Gauge',
    sum: '7 Sum',
    histogram: '9 Histogram',
    exponentialHistogram: '10 ExponentialHistogram',
    summary: '11 Summary',
    metadata: '12 *KeyValue',
  },
  Gauge: { dataPoints: '1 *NumberDataPoint' },
  Sum: { dataPoints: '1 *NumberDataPoint', aggregationTemporality: '2 enum', isMonotonic: '3 bool' },
  Histogram: { dataPoints: '1 *HistogramDataPoint', aggregationTemporality: '2 enum' },
  ExponentialHistogram: {
    dataPoints: '1 *ExponentialHistogramDataPoint',
    aggregationTemporality: '2 enum',
  },
  Summary: { dataPoints: '1 *SummaryDataPoint' },
  NumberDataPoint: {
    startTimeUnixNano: '2 fixed64',
    timeUnixNano: '3 fixed64',
    asDouble: '4 double',
    exemplars: '5 *Exemplar',
    asInt: '6 sfixed64',
    attributes: '7 *KeyValue',
    flags: '8 uint32',
  },
  HistogramDataPoint: {
    startTimeUnixNano: '2 fixed64',
    timeUnixNano: '3 fixed64',
    count: '4 fixed64',
    sum: '5 double',
    bucketCounts: '6 *fixed64',
    explicitBounds: '7 *double',
    exemplars: '8 *Exemplar',
    attributes: '9 *KeyValue',
    flags: '10 uint32',
    min: '11 double',
    max: '12 double',
  },
  ExponentialHistogramDataPoint: {
    attributes: '1 *KeyValue',
    startTimeUnixNano: '2 fixed64',
    timeUnixNano: '3 fixed64',
    count: '4 fixed64',
    sum: '5 double',
    scale: '6 sint32',
    zeroCount: '7 fixed64',
    positive: '8 Buckets',
    negative: '9 Buckets',
    flags: '10 uint32',
    exemplars: '11 *Exemplar',
    min: '12 double',
    max: '13 double',
    zeroThreshold: '14 double',
  },
  Buckets: { offset: '1 sint32', bucketCounts: '2 *uint64' },
  SummaryDataPoint: {
    startTimeUnixNano: '2 fixed64',
    timeUnixNano: '3 fixed64',
    count: '4 fixed64',
    sum: '5 double',
    quantileValues: '6 *ValueAtQuantile',
    attributes: '7 *KeyValue',
    flags: '8 uint32',
  },
  ValueAtQuantile: { quantile: '1 double', value: '2 double' },
  Exemplar: {
    timeUnixNano: '2 fixed64',
    asDouble: '3 double',
    spanId: '4 id',
    traceId: '5 id',
    asInt: '6 sfixed64',
    filteredAttributes: '7 *KeyValue',
  },

  Resource: { attributes: '1 *KeyValue', droppedAttributesCount: '2 uint32', entityRefs: '3 *EntityRef' },
  EntityRef: {
    schemaUrl: '1 string',
    type: '2 string',
    idKeys: '3 *string',
    descriptionKeys: '4 *string',
  },
  InstrumentationScope: {
    name: '1 string',
    version: '2 string',
    attributes: '3 *KeyValue',
    droppedAttributesCount: '4 uint32',
  },
  KeyValue: { key: '1 string', value: '2 AnyValue' },
  AnyValue: {
    stringValue: '1 string',
    boolValue: '2 bool',
    intValue: '3 int64',
    doubleValue: '4 double',
    arrayValue: '5 ArrayValue',
    kvlistValue: '6 KeyValueList',
    bytesValue: '7 bytes',
  },
  ArrayValue: { values: '1 *AnyValue' },
  KeyValueList: { values: '1 *KeyValue' },
};

const ITEMS: ReadonlySet<string> = new Set([
  'Span',
  'LogRecord',
  'NumberDataPoint',
  'HistogramDataPoint',
  'ExponentialHistogramDataPoint',
  'SummaryDataPoint',
]);

const REQUESTS: Readonly<Record<Signal, string>> = {
  traces: 'ExportTraceServiceRequest',
  metrics: 'ExportMetricsServiceRequest',
  logs: 'ExportLogsServiceRequest',
};

let messages: ReadonlyMap<string, Message> | undefined;

/** The export request of a signal. */
export function requestMessage(signal: Signal): Message {
  messages ??= readTable();
  return messages.get(REQUESTS[signal])!;
}

function readTable(): Map<string, Message> {
  const table = new Map<string, Message & { fields: Field[] }>();
  for (const name of Object.keys(TABLE)) table.set(name, { name, fields: [], item: ITEMS.has(name) });
  for (const [name, fields] of Object.entries(TABLE)) {
    for (const [fieldName, text] of Object.entries(fields)) {
      const [number, type] = text.split(' ') as [string, string];
      const repeated = type.startsWith('*');
      const kind = repeated ? type.slice(1) : type;
      const message = table.get(kind);
      table.get(name)!.fields.push({
        number: Number(number),
        name: fieldName,
        kind: message === undefined ? (kind as FieldKind) : 'message',
        repeated,
        message,
      });
    }
  }
  return table;
}
