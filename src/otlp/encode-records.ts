// Encodes one log record or one span, and what they are made of, as OTLP messages.
import type { AnyValue, Attributes, LogRecord, SpanRecord } from './model.ts';
import { WireWriter } from './wire-writer.ts';

/** A log record as its sender has it. */
export interface LogRecordInput extends Omit<LogRecord, 'resource' | 'scope' | 'droppedAttributesCount'> {
  readonly droppedAttributesCount?: number;
}

/** A span as its sender has it. `flags` are W3C trace flags, plus OTLP's bits 8 and 9 about a remote parent. */
export interface SpanInput extends Omit<SpanRecord, 'resource' | 'scope'> {
  readonly flags?: number;
}

/**
 * How deep maps and arrays may nest in one value. Each level of maps takes three messages and six stand around them, so
 * the whole stays within the 100 that receivers (ours in check.ts, and protobuf libraries) are willing to descend.
 */
export const MAX_VALUE_DEPTH = 30;
const TOO_DEEP = `[nested deeper than ${MAX_VALUE_DEPTH} levels]`;

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const TRACE_ID = /^[0-9a-f]{32}$/i;
const SPAN_ID = /^[0-9a-f]{16}$/i;

/** Writes the fields of one `LogRecord`, without tag and length around them. */
export function encodeLogRecord(writer: WireWriter, record: LogRecordInput): void {
  if (record.timeUnixNano !== 0n) writer.fixed64Field(1, record.timeUnixNano);
  if (record.severityNumber !== 0) writer.varintField(2, record.severityNumber);
  if (record.severityText !== '') writer.stringField(3, record.severityText);
  if (record.body !== null && record.body !== undefined) {
    const mark = writer.beginMessage(5);
    encodeAnyValue(writer, record.body);
    writer.endMessage(mark);
  }
  encodeKeyValues(writer, 6, record.attributes);
  if (record.droppedAttributesCount) writer.varintField(7, record.droppedAttributesCount);
  if (record.flags !== 0) writer.fixed32Field(8, record.flags);
  if (TRACE_ID.test(record.traceId)) writer.hexField(9, record.traceId);
  if (SPAN_ID.test(record.spanId)) writer.hexField(10, record.spanId);
  if (record.observedTimeUnixNano !== 0n) writer.fixed64Field(11, record.observedTimeUnixNano);
  if (record.eventName !== '') writer.stringField(12, record.eventName);
}

/** Writes the fields of one `Span`, without tag and length around them. */
export function encodeSpan(writer: WireWriter, span: SpanInput): void {
  if (TRACE_ID.test(span.traceId)) writer.hexField(1, span.traceId);
  if (SPAN_ID.test(span.spanId)) writer.hexField(2, span.spanId);
  if (span.traceState !== '') writer.stringField(3, span.traceState);
  if (SPAN_ID.test(span.parentSpanId)) writer.hexField(4, span.parentSpanId);
  if (span.name !== '') writer.stringField(5, span.name);
  if (span.kind !== 0) writer.varintField(6, span.kind);
  if (span.startTimeUnixNano !== 0n) writer.fixed64Field(7, span.startTimeUnixNano);
  if (span.endTimeUnixNano !== 0n) writer.fixed64Field(8, span.endTimeUnixNano);
  encodeKeyValues(writer, 9, span.attributes);
  for (const event of span.events) {
    const mark = writer.beginMessage(11);
    if (event.timeUnixNano !== 0n) writer.fixed64Field(1, event.timeUnixNano);
    if (event.name !== '') writer.stringField(2, event.name);
    encodeKeyValues(writer, 3, event.attributes);
    writer.endMessage(mark);
  }
  for (const link of span.links) {
    const mark = writer.beginMessage(13);
    if (TRACE_ID.test(link.traceId)) writer.hexField(1, link.traceId);
    if (SPAN_ID.test(link.spanId)) writer.hexField(2, link.spanId);
    if (link.traceState !== '') writer.stringField(3, link.traceState);
    encodeKeyValues(writer, 4, link.attributes);
    writer.endMessage(mark);
  }
  if (span.statusCode !== 0 || span.statusMessage !== '') {
    const mark = writer.beginMessage(15);
    if (span.statusMessage !== '') writer.stringField(2, span.statusMessage);
    if (span.statusCode !== 0) writer.varintField(3, span.statusCode);
    writer.endMessage(mark);
  }
  if (span.flags) writer.fixed32Field(16, span.flags);
}

/** A `Resource` message, to be made once and used in every request. */
export function encodeResource(attributes: Attributes): Uint8Array {
  const writer = new WireWriter(256);
  encodeKeyValues(writer, 1, attributes);
  return writer.copy();
}

/** An `InstrumentationScope` message, to be made once and used in every request. */
export function encodeScope(name: string, version: string, attributes: Attributes): Uint8Array {
  const writer = new WireWriter(256);
  if (name !== '') writer.stringField(1, name);
  if (version !== '') writer.stringField(2, version);
  encodeKeyValues(writer, 3, attributes);
  return writer.copy();
}

/**
 * Attributes as a number point and an exemplar carry them (field 7 of both), tags included: what `encodeScalars` and
 * `encodeHistograms` take for a series' attributes and for a row's further axes.
 */
export function encodeAttributes(attributes: Attributes): Uint8Array {
  const writer = new WireWriter(256);
  encodeKeyValues(writer, 7, attributes);
  return writer.copy();
}

/** Writes a map as repeated `KeyValue`, each with the tag of `field`. */
export function encodeKeyValues(writer: WireWriter, field: number, attributes: Attributes, depth = 0): void {
  for (const key of Object.keys(attributes)) {
    encodeKeyValue(writer, field, key, attributes[key], depth);
  }
}

/** Writes one `KeyValue` with the tag of `field` and its length. */
export function encodeKeyValue(
  writer: WireWriter,
  field: number,
  key: string,
  value: AnyValue | undefined,
  depth = 0,
): void {
  const mark = writer.beginMessage(field);
  writer.stringField(1, key);
  const inner = writer.beginMessage(2);
  encodeAnyValue(writer, value, depth);
  writer.endMessage(inner);
  writer.endMessage(mark);
}

/**
 * Writes the fields of one `AnyValue`. Safe integers become int64 (-0 stays a double), a bigint beyond int64 becomes its
 * decimal text, null, undefined and what OTLP has no type for become the empty value, and what nests deeper than
 * MAX_VALUE_DEPTH (a cycle does) a text that says so.
 */
export function encodeAnyValue(writer: WireWriter, value: AnyValue | undefined, depth = 0): void {
  switch (typeof value) {
    case 'string':
      writer.stringField(1, value);
      return;
    case 'boolean':
      writer.varintField(2, value ? 1 : 0);
      return;
    case 'number':
      if (Number.isSafeInteger(value) && !Object.is(value, -0)) writer.varintField(3, value);
      else writer.doubleField(4, value);
      return;
    case 'bigint':
      if (value >= INT64_MIN && value <= INT64_MAX) writer.varintField(3, value);
      else writer.stringField(1, value.toString());
      return;
    case 'object':
      encodeObject(writer, value, depth);
      return;
    default:
      return;
  }
}

function encodeObject(
  writer: WireWriter,
  value: null | Uint8Array | readonly AnyValue[] | Attributes,
  depth: number,
): void {
  if (value === null) return;
  // Not instanceof: bytes may come from another realm (a vm context, a test runner).
  if (ArrayBuffer.isView(value)) {
    writer.bytesField(7, new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    return;
  }
  if (depth >= MAX_VALUE_DEPTH) {
    writer.stringField(1, TOO_DEEP);
    return;
  }
  if (isArray(value)) {
    const mark = writer.beginMessage(5);
    for (const item of value) {
      const inner = writer.beginMessage(1);
      encodeAnyValue(writer, item, depth + 1);
      writer.endMessage(inner);
    }
    writer.endMessage(mark);
    return;
  }
  const mark = writer.beginMessage(6);
  encodeKeyValues(writer, 1, value, depth + 1);
  writer.endMessage(mark);
}

/** `Array.isArray` does not narrow readonly arrays away from other objects. */
function isArray(value: object): value is readonly AnyValue[] {
  return Array.isArray(value);
}
