// Encodes scalar points, column by column, as the gauges of one ExportMetricsServiceRequest. The SDK's hottest path.
import { STEP } from '../semconv/names.ts';
import { fieldSize } from './encode-requests.ts';
import { varintSize } from './wire-writer.ts';

/** A series as the encoder needs it. Arrays are shared: equal resource and scope have equal array objects. */
export interface EncodedSeries {
  /** An encoded `Resource` and `InstrumentationScope`. */
  readonly resourceBytes: Uint8Array;
  readonly scopeBytes: Uint8Array;
  readonly name: string;
  /** From `encodeAttributes`; empty for none. */
  readonly attributeBytes: Uint8Array;
}

/** Bytes per entry of `ScalarInput.spans`: trace id, then span id. */
export const SPAN_ENTRY_BYTES = 24;

/** Scalar points to encode, in the order they were recorded. Column i of each array belongs to point i. */
export interface ScalarInput {
  readonly count: number;
  /** Index into the series table. */
  readonly seriesIndex: Uint32Array;
  readonly timeUnixNano: BigUint64Array;
  /** The value, or, where `isInteger` is not 0, an int64 in the same eight bytes. */
  readonly value: Float64Array;
  readonly isInteger: Uint8Array | undefined;
  /** NaN for none. Safe integers travel as int64, others as doubles. */
  readonly step: Float64Array;
  /** 0 for none, else 1 + index of an entry of `spans`. */
  readonly spanIndex: Uint32Array | undefined;
  readonly spans: Uint8Array | undefined;
  /** 0 for none, else 1 + index into `axes`. */
  readonly axesIndex: Uint32Array | undefined;
  /** Further exemplar attributes, each from `encodeAttributes`. */
  readonly axes: readonly Uint8Array[] | undefined;
}

// NumberDataPoint: time 3, as_double 4, exemplars 5, as_sfixed64 6, attributes 7.
// Exemplar: time 2, as_double 3, span_id 4, trace_id 5, as_sfixed64 6, filtered_attributes 7.
const POINT_TIME = 0x19;
const POINT_DOUBLE = 0x21;
const POINT_EXEMPLAR = 0x2a;
const POINT_INTEGER = 0x31;
const EXEMPLAR_TIME = 0x11;
const EXEMPLAR_DOUBLE = 0x19;
const EXEMPLAR_SPAN_ID = 0x22;
const EXEMPLAR_TRACE_ID = 0x2a;
const EXEMPLAR_INTEGER = 0x31;
const FILTERED_ATTRIBUTE = 0x3a;
const VALUE_INT = 0x18;
const VALUE_DOUBLE = 0x21;

/** Tag, time and tag, value: what every point and every exemplar begins with. */
const TIME_AND_VALUE = 18;
/** Two ids with tag and length. */
const SPAN_IDS = 18 + 10;
const STEP_KEY = Buffer.from(STEP);
/** Inside the step's KeyValue: the key with tag and length, tag and length of the value. */
const STEP_KEY_PART = 2 + STEP_KEY.length + 2;

/** A metric of the request under construction: the series of one name in one scope. */
interface MetricLayout {
  readonly name: Uint8Array;
  readonly series: number[];
  size: number;
  gaugeSize: number;
}
interface ScopeLayout {
  readonly bytes: Uint8Array;
  readonly metrics: Map<string, MetricLayout>;
  size: number;
}
interface ResourceLayout {
  readonly bytes: Uint8Array;
  readonly scopes: Map<Uint8Array, ScopeLayout>;
  size: number;
}

/** Memory of the thread's encoder, kept from call to call: bytes per series, then each series' place in the output. */
let seriesBytes = new Float64Array(0);
/** Sizes of a point's message and of its exemplar (0 for none), by point. */
let sizes = new Uint32Array(0);

/**
 * One request with a point for each entry, grouped by resource, scope, name and series; the points of a series stay in
 * order. Nothing is written for a series without points. The result is memory of its own.
 *
 * First all sizes are computed, then every series gets its place, then the points are written in one sweep over the
 * columns: nothing is sorted or moved.
 */
export function encodeScalars(table: readonly EncodedSeries[], input: ScalarInput): Uint8Array {
  if (input.count === 0) return new Uint8Array(0);
  measurePoints(table, input);
  const resources = layOut(table);
  let total = 0;
  for (const resource of resources.values()) total += fieldSize(resource.size);
  const out = Buffer.allocUnsafeSlow(total);
  writeFrames(resources, out);
  writePoints(table, input, out);
  return out;
}

function measurePoints(table: readonly EncodedSeries[], input: ScalarInput): void {
  const { count, seriesIndex, step, spanIndex, axesIndex, axes } = input;
  if (seriesBytes.length < table.length) seriesBytes = new Float64Array(table.length * 2);
  else seriesBytes.fill(0, 0, table.length);
  if (sizes.length < count * 2) sizes = new Uint32Array(count * 2);
  for (let i = 0; i < count; i++) {
    const series = seriesIndex[i]!;
    let inner = 0;
    const at = step[i]!;
    if (!Number.isNaN(at)) {
      const length = STEP_KEY_PART + stepSize(at);
      inner = 2 + length;
    }
    if (spanIndex !== undefined && spanIndex[i] !== 0) inner += SPAN_IDS;
    if (axesIndex !== undefined && axesIndex[i] !== 0) inner += axes![axesIndex[i]! - 1]!.length;
    let size = TIME_AND_VALUE + table[series]!.attributeBytes.length;
    if (inner !== 0) {
      inner += TIME_AND_VALUE;
      size += 1 + (inner < 0x80 ? 1 : varintSize(inner)) + inner;
    }
    sizes[2 * i] = size;
    sizes[2 * i + 1] = inner;
    seriesBytes[series]! += 1 + (size < 0x80 ? 1 : varintSize(size)) + size;
  }
}

/** Size of the value field inside the step's AnyValue. */
function stepSize(step: number): number {
  if (!Number.isSafeInteger(step)) return 9;
  return step < 0 ? 11 : 1 + varintSize(step);
}

function layOut(table: readonly EncodedSeries[]): Map<Uint8Array, ResourceLayout> {
  const resources = new Map<Uint8Array, ResourceLayout>();
  for (let i = 0; i < table.length; i++) {
    if (seriesBytes[i] === 0) continue;
    const { resourceBytes, scopeBytes, name } = table[i]!;
    let resource = resources.get(resourceBytes);
    if (resource === undefined) {
      resource = { bytes: resourceBytes, scopes: new Map(), size: 0 };
      resources.set(resourceBytes, resource);
    }
    let scope = resource.scopes.get(scopeBytes);
    if (scope === undefined) {
      scope = { bytes: scopeBytes, metrics: new Map(), size: 0 };
      resource.scopes.set(scopeBytes, scope);
    }
    let metric = scope.metrics.get(name);
    if (metric === undefined) {
      metric = { name: Buffer.from(name), series: [], size: 0, gaugeSize: 0 };
      scope.metrics.set(name, metric);
    }
    metric.series.push(i);
    metric.gaugeSize += seriesBytes[i]!;
  }
  for (const resource of resources.values()) {
    resource.size = fieldSize(resource.bytes.length);
    for (const scope of resource.scopes.values()) {
      scope.size = fieldSize(scope.bytes.length);
      for (const metric of scope.metrics.values()) {
        metric.size = fieldSize(metric.name.length) + fieldSize(metric.gaugeSize);
        scope.size += fieldSize(metric.size);
      }
      resource.size += fieldSize(scope.size);
    }
  }
  return resources;
}

/** Writes everything around the points and turns `seriesBytes` from sizes into places. */
function writeFrames(resources: Map<Uint8Array, ResourceLayout>, out: Buffer): void {
  let at = 0;
  for (const resource of resources.values()) {
    at = writeHead(out, at, 0x0a, resource.size);
    at = writeBytes(out, at, 0x0a, resource.bytes);
    for (const scope of resource.scopes.values()) {
      at = writeHead(out, at, 0x12, scope.size);
      at = writeBytes(out, at, 0x0a, scope.bytes);
      for (const metric of scope.metrics.values()) {
        at = writeHead(out, at, 0x12, metric.size);
        at = writeBytes(out, at, 0x0a, metric.name);
        at = writeHead(out, at, 0x2a, metric.gaugeSize);
        for (const series of metric.series) {
          const size = seriesBytes[series]!;
          seriesBytes[series] = at;
          at += size;
        }
      }
    }
  }
}

function writePoints(table: readonly EncodedSeries[], input: ScalarInput, out: Buffer): void {
  const { count, seriesIndex, isInteger, step, spanIndex, spans, axesIndex, axes } = input;
  const times = words(input.timeUnixNano);
  const values = words(input.value);
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
  for (let i = 0; i < count; i++) {
    const series = seriesIndex[i]!;
    const timeLow = times[2 * i]!;
    const timeHigh = times[2 * i + 1]!;
    const valueLow = values[2 * i]!;
    const valueHigh = values[2 * i + 1]!;
    const integer = isInteger !== undefined && isInteger[i] !== 0;
    const size = sizes[2 * i]!;
    const inner = sizes[2 * i + 1]!;

    let at = writeHead(out, seriesBytes[series]!, 0x0a, size);
    out[at] = POINT_TIME;
    view.setUint32(at + 1, timeLow, true);
    view.setUint32(at + 5, timeHigh, true);
    out[at + 9] = integer ? POINT_INTEGER : POINT_DOUBLE;
    view.setUint32(at + 10, valueLow, true);
    view.setUint32(at + 14, valueHigh, true);
    at += TIME_AND_VALUE;
    if (inner !== 0) {
      at = writeHead(out, at, POINT_EXEMPLAR, inner);
      out[at] = EXEMPLAR_TIME;
      view.setUint32(at + 1, timeLow, true);
      view.setUint32(at + 5, timeHigh, true);
      out[at + 9] = integer ? EXEMPLAR_INTEGER : EXEMPLAR_DOUBLE;
      view.setUint32(at + 10, valueLow, true);
      view.setUint32(at + 14, valueHigh, true);
      at += TIME_AND_VALUE;
      if (spanIndex !== undefined && spanIndex[i] !== 0) {
        const from = (spanIndex[i]! - 1) * SPAN_ENTRY_BYTES;
        at = writeHead(out, at, EXEMPLAR_SPAN_ID, 8);
        for (let k = 16; k < 24; k++) out[at++] = spans![from + k]!;
        at = writeHead(out, at, EXEMPLAR_TRACE_ID, 16);
        for (let k = 0; k < 16; k++) out[at++] = spans![from + k]!;
      }
      const stepAt = step[i]!;
      if (!Number.isNaN(stepAt)) at = writeStep(out, view, at, stepAt);
      if (axesIndex !== undefined && axesIndex[i] !== 0) {
        const extra = axes![axesIndex[i]! - 1]!;
        out.set(extra, at);
        at += extra.length;
      }
    }
    const attributes = table[series]!.attributeBytes;
    const length = attributes.length;
    for (let k = 0; k < length; k++) out[at + k] = attributes[k]!;
    seriesBytes[series] = at + length;
  }
}

/** `filtered_attributes { key: "kymo.step" value: … }` */
function writeStep(out: Uint8Array, view: DataView, start: number, step: number): number {
  const size = stepSize(step);
  let at = start;
  out[at++] = FILTERED_ATTRIBUTE;
  out[at++] = STEP_KEY_PART + size;
  out[at++] = 0x0a;
  out[at++] = STEP_KEY.length;
  for (let k = 0; k < STEP_KEY.length; k++) out[at++] = STEP_KEY[k]!;
  out[at++] = 0x12;
  out[at++] = size;
  if (!Number.isSafeInteger(step)) {
    out[at++] = VALUE_DOUBLE;
    view.setFloat64(at, step, true);
    return at + 8;
  }
  out[at++] = VALUE_INT;
  if (step >= 0) return writeVarint(out, at, step);
  // Two's complement of a negative number always takes ten bytes.
  let rest = BigInt.asUintN(64, BigInt(step));
  for (let k = 0; k < 9; k++) {
    out[at++] = Number(rest & 0x7fn) | 0x80;
    rest >>= 7n;
  }
  out[at++] = Number(rest);
  return at;
}

function writeHead(out: Uint8Array, at: number, tag: number, length: number): number {
  out[at] = tag;
  if (length < 0x80) {
    out[at + 1] = length;
    return at + 2;
  }
  return writeVarint(out, at + 1, length);
}

function writeBytes(out: Uint8Array, start: number, tag: number, bytes: Uint8Array): number {
  const at = writeHead(out, start, tag, bytes.length);
  out.set(bytes, at);
  return at + bytes.length;
}

function writeVarint(out: Uint8Array, start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest > 0x7f) {
    out[at++] = (rest & 0x7f) | 0x80;
    rest = rest > 0x7fffffff ? Math.floor(rest / 128) : rest >>> 7;
  }
  out[at++] = rest;
  return at;
}

function words(column: BigUint64Array | Float64Array): Uint32Array {
  return new Uint32Array(column.buffer, column.byteOffset, column.length * 2);
}
