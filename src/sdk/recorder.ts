// The caller's side of a recorder: what the research API and the OTel processors call. ring.ts holds the shared memory.
import type { Attributes, Signal } from '../otlp/model.ts';
import type { MediaJob } from './media/job.ts';

/** Ids are small integers, valid for the recorder that gave them, for as long as the process lives. */
export type ResourceId = number;
export type ScopeId = number;
export type SeriesId = number;
export type SpanRef = number;

/** What became of everything a process emitted. Items are points, log records and spans. */
export interface DeliveryReport {
  readonly emitted: number;
  /** Acknowledged by the collector. */
  readonly delivered: number;
  /** In memory, neither acknowledged nor in the spool. */
  readonly pending: number;
  /** In the spool on disk, not yet acknowledged. Counted in `pending` too. */
  readonly spooled: number;
  readonly dropped: Readonly<Record<string, number>>;
  /** The collector's file exporters have durably written all that was delivered; undefined where it cannot say. */
  readonly written: boolean | undefined;
  /** What the last failed attempt to deliver said; empty when there was none. */
  readonly lastError: string;
}

/**
 * Stores measurements into memory shared with the worker thread. No method does I/O, allocates per call, or throws for
 * what happens at run time; when the memory is full it waits as `KYMO_OVERFLOW` says, bounded, then drops and counts.
 *
 * A row is written as `beginRow`, any number of `add`/`addInteger`, `endRow`; nothing else may be recorded in between.
 */
export interface Recorder {
  /** `<random>`: one per recorder; part of every batch key. */
  readonly sender: string;
  defineResource(attributes: Attributes): ResourceId;
  /** An instrumentation scope under a resource. Resource and scope attributes: scalars and arrays of scalars only. */
  defineScope(resource: ResourceId, name: string, version: string, attributes: Attributes): ScopeId;
  /** A gauge. `attributes` are its identity (mode, bound dimensions); undefined for none. */
  defineSeries(scope: ScopeId, name: string, attributes: Attributes | undefined): SeriesId;
  /** An open span's context, interned once, so that rows can point at it. */
  defineSpan(traceId: string, spanId: string): SpanRef;

  /** @param step NaN for none. @param span 0 for none. @param axes further exemplar attributes of this row, undefined for none. */
  beginRow(step: number, span: SpanRef, axes: Attributes | undefined): void;
  add(series: SeriesId, value: number): void;
  /** int64; the caller has checked the range. */
  addInteger(series: SeriesId, value: bigint): void;
  endRow(): void;
  /** Forget the row begun. */
  abortRow(): void;

  /** A histogram point (delta). `counts` has one entry more than `bounds`. */
  histogram(series: SeriesId, step: number, span: SpanRef, point: HistogramInput): void;

  /** An encoded `LogRecord` or `Span` message under a scope. The bytes are copied. */
  record(kind: 'log' | 'span', scope: ScopeId, bytes: Uint8Array): void;
  /** An encoded `LogRecord` that must not overtake the media recorded before it. */
  recordLast(scope: ScopeId, bytes: Uint8Array): void;
  /**
   * One piece of media or one artifact. `record` is its encoded `LogRecord` without what is known only later (hash, size, content);
   * `content` the raw bytes that `job.source` says what to make of. Both are copied, once; encoding, hashing and cutting into
   * records happen on another thread. Waits as `KYMO_OVERFLOW` says when `KYMO_MEDIA_MEMORY_MIB` are under way. Counts as one item.
   * False: it found no room and is dropped (and counted).
   */
  media(scope: ScopeId, job: MediaJob, record: Uint8Array, content: Uint8Array | undefined): boolean;
  /** A whole encoded export request of a stock OTel exporter; `items` for the counters. The bytes are copied. */
  request(signal: Signal, bytes: Uint8Array, items: number): void;

  /**
   * A run has begun, or ended: facts about the system are recorded under `scope` once, and measurements of it until the end, as far
   * as the settings want them. Nothing of it counts as an item.
   */
  watchSystem(scope: ScopeId, on: boolean): void;

  /** Count items that were dropped before they reached the recorder (`bad_value`, `bad_step`, …). */
  drop(reason: string, items: number): void;
  /** The time the next row would get, as Unix ns: max(clock, last + 1). Taking it advances `last`. */
  now(): bigint;

  /** Resolves when everything recorded before the call is delivered, spooled or timed out. Never rejects. */
  flush(options?: FlushOptions): Promise<DeliveryReport>;
  /** The same, blocking the thread; for `exit` handlers. */
  flushSync(options?: FlushOptions): DeliveryReport;
  report(): DeliveryReport;
}

export interface FlushOptions {
  /** Default 10 s. */
  readonly timeoutMs?: number;
  /** What to wait for: the acknowledgement (default), then the collector's file exporters, then the collector's own end. */
  readonly until?: 'delivered' | 'written' | 'ended';
}

export interface HistogramInput {
  readonly bounds: ArrayLike<number>;
  readonly counts: ArrayLike<number>;
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
}
