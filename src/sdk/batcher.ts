// Turns the records of the ring into batches: columns of scalar points, histograms, logs, spans, each an OTLP request.
import { newAttributes } from '../otlp/attributes.ts';
import { encodeHistograms, type HistogramPointInput } from '../otlp/encode-histograms.ts';
import { encodeAttributes } from '../otlp/encode-records.ts';
import { encodeLogsRequest, encodeTracesRequest, type RecordGroup } from '../otlp/encode-requests.ts';
import { type EncodedSeries, encodeScalars, SPAN_ENTRY_BYTES } from '../otlp/encode-scalars.ts';
import { type Attributes, SIGNALS, type Signal } from '../otlp/model.ts';
import { STEP, STEP_METRIC } from '../semconv/names.ts';
import { decodeHistogramBlob } from './histogram-blob.ts';
import * as layout from './layout.ts';
import type { RecordSink } from './ring-reader.ts';

/** A metrics request of this many points is some 2 MiB: large enough to be cheap, far below a receiver's 64 MiB. */
export const MAX_POINTS = 65_536;
/** Logs, spans and histograms together: a request is closed beyond this. */
const MAX_RECORD_BYTES = 4 * 1024 * 1024;
/** A row that claims to be older than this has a clock of its own: it does not count as late. */
const MAX_WAIT_MS = 10_000;
/** Different span contexts in one request of points. */
const MAX_SPANS = 8_192;

export interface FinishedBatch {
  readonly signal: Signal;
  readonly items: number;
  readonly firstMs: number;
  readonly firstUnixNano: bigint;
  readonly bytes: Uint8Array;
}

interface Scope {
  readonly resource: number;
  readonly bytes: Uint8Array;
}

interface Series extends EncodedSeries {
  readonly scope: number;
}

const EMPTY = new Uint8Array(0);
const utf8 = new TextDecoder();

export class Batcher implements RecordSink {
  private readonly baseUnixNano: bigint;
  private readonly stepAs: 'exemplar' | 'attribute';
  private readonly emit: (batch: FinishedBatch) => void;
  /** Media, what waits for them, and runs to be watched: other blobs than these are the batcher's own business. */
  private readonly media: (kind: number, scope: number, bytes: Uint8Array, items: number) => void;

  private readonly resources: Uint8Array[] = [];
  private readonly scopes: Scope[] = [];
  private readonly series: (Series | undefined)[] = [];
  private readonly spanContexts = new Map<number, Uint8Array>();
  private readonly companions = new Map<number, EncodedSeries>();

  // The open batch of points. Room for one more row than the limit is kept by growing.
  private seriesIndex = new Uint32Array(MAX_POINTS);
  private times = new BigUint64Array(MAX_POINTS);
  private values = new Float64Array(MAX_POINTS);
  private integerBits = new BigInt64Array(this.values.buffer);
  private isInteger = new Uint8Array(MAX_POINTS);
  private steps = new Float64Array(MAX_POINTS);
  private spanIndex = new Uint32Array(MAX_POINTS);
  private axesIndex = new Uint32Array(MAX_POINTS);
  private points = 0;
  private anyInteger = false;
  private table: EncodedSeries[] = [];
  private localIndex = new Map<number, number>();
  private spanEntries: Uint8Array[] = [];
  private spanLocal = new Map<number, number>();
  private axes: Uint8Array[] = [];
  /** By scope: the newest step of the batch, for the companion gauge. */
  private latest = new Map<number, { step: number; time: bigint }>();
  private pointsFirstMs = 0;

  private histograms: HistogramPointInput[] = [];
  private histogramTable: EncodedSeries[] = [];
  private histogramsFirstMs = 0;
  private logs = new RecordBatch();
  private spans = new RecordBatch();

  // The row being read.
  private rowTime = 0n;
  private rowStep = 0;
  private rowSpan = 0;
  private rowAxes = 0;
  private rowScope = 0;
  private rowStepBytes: Uint8Array = EMPTY;

  constructor(
    baseUnixNano: bigint,
    stepAs: 'exemplar' | 'attribute',
    emit: (batch: FinishedBatch) => void,
    media: (kind: number, scope: number, bytes: Uint8Array, items: number) => void,
  ) {
    this.baseUnixNano = baseUnixNano;
    this.stepAs = stepAs;
    this.emit = emit;
    this.media = media;
  }

  get empty(): boolean {
    return this.points === 0 && this.histograms.length === 0 && this.logs.empty && this.spans.empty;
  }

  /** When the oldest record of the open batches came; `Infinity` when there is none. */
  get oldestMs(): number {
    let oldest = Number.POSITIVE_INFINITY;
    if (this.points > 0) oldest = this.pointsFirstMs;
    if (this.histograms.length > 0) oldest = Math.min(oldest, this.histogramsFirstMs);
    if (!this.logs.empty) oldest = Math.min(oldest, this.logs.firstMs);
    if (!this.spans.empty) oldest = Math.min(oldest, this.spans.firstMs);
    return oldest;
  }

  /** Closes every open batch. Logs come last: a run's finish must not overtake its points. */
  close(): void {
    this.closePoints();
    this.closeHistograms();
    this.closeRecords(this.spans, 'traces');
    this.closeRecords(this.logs, 'logs');
  }

  beginRow(timeNs: number, step: number, span: number, axes: Uint8Array | undefined): void {
    if (this.points >= MAX_POINTS) this.closePoints();
    this.rowTime = this.baseUnixNano + BigInt(timeNs);
    if (this.points === 0) this.pointsFirstMs = recordedAtMs(this.rowTime);
    this.rowStep = step;
    this.rowSpan = span === 0 ? 0 : this.spanOf(span);
    this.rowAxes = axes === undefined ? 0 : this.axes.push(axes);
    this.rowScope = 0;
    if (this.stepAs === 'attribute' && !Number.isNaN(step)) {
      const attributes = newAttributes();
      attributes[STEP] = step;
      this.rowStepBytes = encodeAttributes(attributes);
    }
  }

  value(series: number, value: number): void {
    const i = this.point(series);
    if (i >= 0) this.values[i] = value;
  }

  integer(series: number, value: bigint): void {
    const i = this.point(series);
    if (i < 0) return;
    this.integerBits[i] = value;
    this.isInteger[i] = 1;
    this.anyInteger = true;
  }

  endRow(): void {
    if (this.rowScope === 0 || Number.isNaN(this.rowStep)) return;
    this.latest.set(this.rowScope, { step: this.rowStep, time: this.rowTime });
  }

  blob(kind: number, argument: number, items: number, bytes: Uint8Array): void {
    switch (kind) {
      case layout.DEFINE_RESOURCE:
        this.resources[argument] = bytes.slice();
        return;
      case layout.DEFINE_SCOPE:
        this.scopes[argument] = { resource: items, bytes: bytes.slice() };
        return;
      case layout.DEFINE_SERIES:
        this.defineSeries(argument, items, bytes);
        return;
      case layout.DEFINE_SPAN:
        this.defineSpan(argument, bytes.slice());
        return;
      case layout.LOG:
        this.addRecord(this.logs, 'logs', argument, bytes.slice(), 1);
        return;
      case layout.SPAN:
        this.addRecord(this.spans, 'traces', argument, bytes.slice(), 1);
        return;
      case layout.MEDIA:
      case layout.LOG_AFTER_MEDIA:
      case layout.WATCH:
        this.media(kind, argument, bytes, items);
        return;
      case layout.HISTOGRAM:
        this.addHistogram(argument, bytes);
        return;
      case layout.REQUEST:
        this.emit({
          signal: SIGNALS[argument]!,
          items,
          firstMs: performance.now(),
          firstUnixNano: unixNow(),
          bytes: bytes.slice(),
        });
        return;
    }
  }

  private point(series: number): number {
    const known = this.series[series];
    if (known === undefined) return -1;
    const i = this.points++;
    if (i >= this.seriesIndex.length) this.grow();
    this.seriesIndex[i] = this.localSeries(series, known);
    this.times[i] = this.rowTime;
    this.isInteger[i] = 0;
    this.steps[i] = this.stepAs === 'exemplar' ? this.rowStep : Number.NaN;
    this.spanIndex[i] = this.rowSpan;
    this.axesIndex[i] = this.rowAxes;
    this.rowScope = known.scope;
    return i;
  }

  private localSeries(series: number, known: Series): number {
    if (this.stepAs === 'attribute' && !Number.isNaN(this.rowStep))
      return (
        this.table.push({ ...known, attributeBytes: joined(known.attributeBytes, this.rowStepBytes) }) - 1
      );
    let local = this.localIndex.get(series);
    if (local === undefined) {
      local = this.table.push(known) - 1;
      this.localIndex.set(series, local);
    }
    return local;
  }

  private spanOf(span: number): number {
    const known = this.spanLocal.get(span);
    if (known !== undefined) return known;
    const context = this.spanContexts.get(span);
    if (context === undefined) return 0;
    const local = this.spanEntries.push(context);
    this.spanLocal.set(span, local);
    return local;
  }

  private closePoints(): void {
    if (this.points === 0) return;
    const items = this.points;
    for (const [scope, { step, time }] of this.latest) this.addCompanion(scope, step, time);
    const count = this.points;
    const bytes = encodeScalars(this.table, {
      count,
      seriesIndex: this.seriesIndex,
      timeUnixNano: this.times,
      value: this.values,
      isInteger: this.anyInteger ? this.isInteger : undefined,
      step: this.steps,
      spanIndex: this.spanEntries.length > 0 ? this.spanIndex : undefined,
      spans: this.spanEntries.length > 0 ? concatenated(this.spanEntries, SPAN_ENTRY_BYTES) : undefined,
      axesIndex: this.axes.length > 0 ? this.axesIndex : undefined,
      axes: this.axes.length > 0 ? this.axes : undefined,
    });
    const firstUnixNano = this.times[0]!;
    this.points = 0;
    this.anyInteger = false;
    this.table = [];
    this.localIndex = new Map();
    this.spanEntries = [];
    this.spanLocal = new Map();
    this.axes = [];
    this.latest = new Map();
    this.emit({ signal: 'metrics', items, firstMs: this.pointsFirstMs, firstUnixNano, bytes });
  }

  /** The gauge `kymo.step` of a scope: for panels that know only time. It is ours, so it is not counted as an item. */
  private addCompanion(scope: number, step: number, time: bigint): void {
    let companion = this.companions.get(scope);
    if (companion === undefined) {
      const known = this.scopes[scope]!;
      companion = {
        resourceBytes: this.resources[known.resource] ?? EMPTY,
        scopeBytes: known.bytes,
        name: STEP_METRIC,
        attributeBytes: EMPTY,
      };
      this.companions.set(scope, companion);
    }
    const i = this.points++;
    if (i >= this.seriesIndex.length) this.grow();
    this.seriesIndex[i] = this.table.push(companion) - 1;
    this.times[i] = time;
    this.values[i] = step;
    this.isInteger[i] = 0;
    this.steps[i] = Number.NaN;
    this.spanIndex[i] = 0;
    this.axesIndex[i] = 0;
  }

  private closeHistograms(): void {
    if (this.histograms.length === 0) return;
    const points = this.histograms;
    const table = this.histogramTable;
    this.histograms = [];
    this.histogramTable = [];
    this.emit({
      signal: 'metrics',
      items: points.length,
      firstMs: this.histogramsFirstMs,
      firstUnixNano: points[0]!.timeUnixNano,
      bytes: encodeHistograms(table, points),
    });
  }

  private addHistogram(series: number, bytes: Uint8Array): void {
    const known = this.series[series];
    if (known === undefined) return;
    if (this.histograms.length === 0) this.histogramsFirstMs = performance.now();
    const point = decodeHistogramBlob(bytes);
    this.histogramTable.push(known);
    this.histograms.push({
      seriesIndex: this.histogramTable.length - 1,
      timeUnixNano: this.baseUnixNano + BigInt(point.timeNs),
      step: point.step,
      span: point.span === 0 ? undefined : this.spanContexts.get(point.span),
      axes: undefined,
      bounds: point.bounds,
      counts: point.counts,
      count: point.count,
      sum: point.sum,
      min: point.min,
      max: point.max,
    });
    // A histogram of 512 buckets is some 8 KiB.
    if (this.histograms.length * 8_192 > MAX_RECORD_BYTES) this.closeHistograms();
  }

  /** A log record that was made here. `items` is what it counts for. */
  log(scope: number, bytes: Uint8Array, items: number): void {
    this.addRecord(this.logs, 'logs', scope, bytes, items);
  }

  /** Gauge points that were measured here, as a request of their own. Ours, so they are not counted as items. */
  gauges(
    scope: number,
    points: readonly { readonly name: string; readonly value: number; readonly attributes?: Attributes }[],
  ): void {
    const known = this.scopes[scope];
    if (known === undefined || points.length === 0) return;
    const time = unixNow();
    const table = points.map(
      ({ name, attributes }): EncodedSeries => ({
        resourceBytes: this.resources[known.resource] ?? EMPTY,
        scopeBytes: known.bytes,
        name,
        attributeBytes: attributes === undefined ? EMPTY : encodeAttributes(attributes),
      }),
    );
    const bytes = encodeScalars(table, {
      count: points.length,
      seriesIndex: Uint32Array.from(points, (_, i) => i),
      timeUnixNano: new BigUint64Array(points.length).fill(time),
      value: Float64Array.from(points, point => point.value),
      isInteger: undefined,
      step: new Float64Array(points.length).fill(Number.NaN),
      spanIndex: undefined,
      spans: undefined,
      axesIndex: undefined,
      axes: undefined,
    });
    this.emit({ signal: 'metrics', items: 0, firstMs: performance.now(), firstUnixNano: time, bytes });
  }

  resourceOf(scope: number): number {
    return this.scopes[scope]?.resource ?? 0;
  }

  /** What a record of this scope needs to make a request of its own. */
  origin(scope: number): { readonly resourceBytes: Uint8Array; readonly scopeBytes: Uint8Array } {
    return {
      resourceBytes: this.resources[this.resourceOf(scope)] ?? EMPTY,
      scopeBytes: this.scopes[scope]?.bytes ?? EMPTY,
    };
  }

  private addRecord(
    batch: RecordBatch,
    signal: 'logs' | 'traces',
    scope: number,
    bytes: Uint8Array,
    items: number,
  ): void {
    if (batch.bytes + bytes.length > MAX_RECORD_BYTES) this.closeRecords(batch, signal);
    batch.add(scope, bytes, items);
  }

  private closeRecords(batch: RecordBatch, signal: 'logs' | 'traces'): void {
    if (batch.empty) return;
    const { items, firstMs, firstUnixNano } = batch;
    const groups: RecordGroup[] = [];
    // Groups of one resource stand together, so that they share its entry.
    const byResource = [...batch.take()].sort((a, b) => this.resourceOf(a[0]) - this.resourceOf(b[0]));
    for (const [scope, recordBytes] of byResource) {
      groups.push({
        resourceBytes: this.resources[this.resourceOf(scope)] ?? EMPTY,
        scopeBytes: this.scopes[scope]?.bytes ?? EMPTY,
        recordBytes,
      });
    }
    const bytes = signal === 'logs' ? encodeLogsRequest(groups) : encodeTracesRequest(groups);
    this.emit({ signal, items, firstMs, firstUnixNano, bytes });
  }

  private defineSeries(id: number, scope: number, bytes: Uint8Array): void {
    const nameLength = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0, true);
    const known = this.scopes[scope];
    this.series[id] = {
      scope,
      resourceBytes: this.resources[known?.resource ?? 0] ?? EMPTY,
      scopeBytes: known?.bytes ?? EMPTY,
      name: utf8.decode(bytes.slice(4, 4 + nameLength)),
      attributeBytes: bytes.slice(4 + nameLength),
    };
  }

  private defineSpan(id: number, context: Uint8Array): void {
    if (this.spanContexts.size >= MAX_SPANS) {
      for (const old of this.spanContexts.keys()) {
        this.spanContexts.delete(old);
        break;
      }
    }
    this.spanContexts.set(id, context);
  }

  private grow(): void {
    const length = this.seriesIndex.length * 2;
    this.seriesIndex = copied(this.seriesIndex, new Uint32Array(length));
    this.times = copied(this.times, new BigUint64Array(length));
    this.values = copied(this.values, new Float64Array(length));
    this.integerBits = new BigInt64Array(this.values.buffer);
    this.isInteger = copied(this.isInteger, new Uint8Array(length));
    this.steps = copied(this.steps, new Float64Array(length));
    this.spanIndex = copied(this.spanIndex, new Uint32Array(length));
    this.axesIndex = copied(this.axesIndex, new Uint32Array(length));
  }
}

/** Encoded log records or spans, by scope. */
class RecordBatch {
  /** What its records count for: the chunks of one piece of media count as one together. */
  items = 0;
  bytes = 0;
  firstMs = 0;
  firstUnixNano = 0n;
  private byScope = new Map<number, Uint8Array[]>();

  get empty(): boolean {
    return this.byScope.size === 0;
  }

  add(scope: number, record: Uint8Array, items: number): void {
    if (this.empty) {
      this.firstMs = performance.now();
      this.firstUnixNano = unixNow();
    }
    const records = this.byScope.get(scope);
    if (records === undefined) this.byScope.set(scope, [record]);
    else records.push(record);
    this.items += items;
    this.bytes += record.length;
  }

  take(): Map<number, Uint8Array[]> {
    const all = this.byScope;
    this.byScope = new Map();
    this.items = 0;
    this.bytes = 0;
    return all;
  }
}

/** `performance.now()` of the moment of this Unix time: what has waited in the ring is that much closer to the spool. */
function recordedAtMs(unixNano: bigint): number {
  const waitedMs = Date.now() - Number(unixNano / 1000n) / 1000;
  return performance.now() - (waitedMs > 0 && waitedMs < MAX_WAIT_MS ? waitedMs : 0);
}

function unixNow(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

function copied<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from);
  return to;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

function concatenated(parts: readonly Uint8Array[], each: number): Uint8Array {
  const out = new Uint8Array(parts.length * each);
  for (const [i, part] of parts.entries()) out.set(part, i * each);
  return out;
}
