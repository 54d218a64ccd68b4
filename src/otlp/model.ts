// What OTLP requests look like once decoded: columns for scalar points, records for everything else. Types only.

export type Signal = 'traces' | 'metrics' | 'logs';
export const SIGNALS: readonly Signal[] = ['traces', 'metrics', 'logs'];

/**
 * An OTLP AnyValue. int64 within ±2^53 is a number, beyond it a bigint. Maps are objects without a prototype
 * (create them with `newAttributes()`), so that a key `__proto__` is a key like any other.
 */
export type AnyValue =
  | null
  | string
  | boolean
  | number
  | bigint
  | Uint8Array
  | readonly AnyValue[]
  | Attributes;
export interface Attributes {
  [key: string]: AnyValue;
}

/** One `Resource`; equal objects are shared within a request, so identity may be used as a cache key. */
export interface Resource {
  readonly attributes: Attributes;
}

/** One `InstrumentationScope`; shared within a request like `Resource`. */
export interface Scope {
  readonly name: string;
  readonly version: string;
  readonly attributes: Attributes;
}

/** Identity of a series: everything but time, value and what rides in the exemplar. Shared by its points in a request. */
export interface Series {
  readonly resource: Resource;
  readonly scope: Scope;
  readonly name: string;
  readonly unit: string;
  readonly description: string;
  /** Point attributes without the one that was read as the step. */
  readonly attributes: Attributes;
  readonly kind: 'gauge' | 'sum';
}

/** What an exemplar carries beyond step and value. */
export interface PointContext {
  readonly traceId: string;
  readonly spanId: string;
  /** `filtered_attributes` without `kymo.step`. */
  readonly attributes: Attributes;
}

/** The scalar points of one metrics request, in wire order. Column i of each array belongs to point i. */
export interface ScalarColumns {
  readonly count: number;
  readonly series: readonly Series[];
  /** Index into `series`. */
  readonly seriesIndex: Uint32Array;
  /** Unix time in ns; `timeWords` is the same memory as little-endian pairs (low, high). */
  readonly timeUnixNano: BigUint64Array;
  readonly timeWords: Uint32Array;
  readonly value: Float64Array;
  /** Exact values of `as_int` points beyond ±2^53, by point; `value` holds the nearest double. */
  readonly bigValue: ReadonlyMap<number, bigint> | undefined;
  /** NaN where the point carries no step. */
  readonly step: Float64Array;
  readonly context: ReadonlyMap<number, PointContext> | undefined;
}

/**
 * Which points one `log({...})` call wrote: equal (resource, scope, time, step) within a request.
 * Row r holds points `points[first[r]] … points[first[r + 1] - 1]`; rows are in order of time, `first` has count + 1 entries.
 */
export interface RowTable {
  readonly count: number;
  readonly first: Uint32Array;
  readonly points: Uint32Array;
}

/** One histogram point with explicit bounds (an exponential one is expanded to at most 512 buckets). */
export interface HistogramPoint {
  readonly series: Omit<Series, 'kind'>;
  readonly timeUnixNano: bigint;
  readonly step: number;
  readonly count: number;
  /** NaN where absent. */
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  /** Upper bounds, ascending; `counts` has one entry more. */
  readonly bounds: Float64Array;
  readonly counts: Float64Array;
  readonly temporality: 'delta' | 'cumulative' | 'unspecified';
  readonly context: PointContext | undefined;
}

export interface DecodedMetrics {
  readonly scalars: ScalarColumns;
  readonly histograms: readonly HistogramPoint[];
}

export interface LogRecord {
  readonly resource: Resource;
  readonly scope: Scope;
  /** `time_unix_nano`, or the observed time where that is 0. */
  readonly timeUnixNano: bigint;
  readonly observedTimeUnixNano: bigint;
  readonly severityNumber: number;
  readonly severityText: string;
  readonly eventName: string;
  readonly body: AnyValue;
  readonly attributes: Attributes;
  readonly droppedAttributesCount: number;
  /** Lower-case hex; empty where absent or invalid. */
  readonly traceId: string;
  readonly spanId: string;
  readonly flags: number;
}

export interface SpanEvent {
  readonly timeUnixNano: bigint;
  readonly name: string;
  readonly attributes: Attributes;
}

export interface SpanLink {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceState: string;
  readonly attributes: Attributes;
}

export interface SpanRecord {
  readonly resource: Resource;
  readonly scope: Scope;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly name: string;
  /** OTLP's SpanKind: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind: number;
  readonly startTimeUnixNano: bigint;
  readonly endTimeUnixNano: bigint;
  readonly attributes: Attributes;
  readonly events: readonly SpanEvent[];
  readonly links: readonly SpanLink[];
  /** OTLP's StatusCode: 0 unset, 1 ok, 2 error. */
  readonly statusCode: number;
  readonly statusMessage: string;
}
