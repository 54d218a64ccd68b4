// The Recorder over shared memory: every call writes records into the ring; the worker thread does the rest.
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { encodeAttributes, encodeResource, encodeScope } from '../otlp/encode-records.ts';
import { type Attributes, SIGNALS, type Signal } from '../otlp/model.ts';
import { encodeHistogramBlob } from './histogram-blob.ts';
import * as layout from './layout.ts';
import { MediaGate } from './media/gate.ts';
import { type MediaJob, packJob } from './media/job.ts';
import type {
  DeliveryReport,
  FlushOptions,
  HistogramInput,
  Recorder,
  ResourceId,
  ScopeId,
  SeriesId,
  SpanRef,
} from './recorder.ts';
import { RingWriter } from './ring-writer.ts';
import type { Settings } from './settings.ts';

/** Definitions are kept for as long as the process lives; these bound a caller that invents names for ever. */
const MAX_SERIES = 1 << 20;
const MAX_SCOPES = 1 << 16;
/** The wall clock is looked at this often, to follow steps of it and sleep of the machine. */
const CLOCK_CHECK_MS = 1_000;
const CLOCK_DRIFT_MS = 50;
/** With `KYMO_ASYNC=0` a call waits this long for its delivery; while nothing can be delivered, the next ones only this long. */
const BLOCKING_MAX_MS = 5_000;
const BLOCKING_AGAIN_MS = 20;
/** A wait for the worker's answer lasts this much longer than the worker's own limit, so that it can say what is left. */
const ANSWER_GRACE_MS = 1_000;

const UNTIL = {
  delivered: layout.UNTIL_DELIVERED,
  written: layout.UNTIL_WRITTEN,
  ended: layout.UNTIL_ENDED,
} as const;
const EMPTY = new Uint8Array(0);
const utf8 = new TextEncoder();

export class SharedRecorder implements Recorder {
  readonly sender: string;
  readonly control: SharedArrayBuffer;
  readonly ringMemory: SharedArrayBuffer;
  readonly baseUnixNano: bigint;
  /** The worker's end of the channel for large blobs. */
  readonly largePort: MessagePort;
  /** Called (at most once per ~100 ms of recording) so that the exit hooks can see whether the event loop turns. */
  onRecord: (nowMs: number) => void = () => undefined;

  /** Called once when a call has waited in vain for its delivery (`KYMO_ASYNC=0`). */
  onUndelivered: (report: DeliveryReport) => void = () => undefined;

  private readonly blocking: boolean;
  private undelivered = false;
  private readonly ring: RingWriter;
  private readonly mediaGate: MediaGate;
  private readonly words: Int32Array;
  private readonly counters: Float64Array;
  private readonly watchesSystem: boolean;
  private readonly largeSender: MessagePort;
  private readonly dropped = new Map<string, number>();
  private emitted = 0;
  /** Why there is no worker; empty while there is one. */
  private goneReason = '';
  private resources = 0;
  private scopes = 0;
  private series = 0;
  private spans = 0;
  private large = 0;
  private flushes = 0;

  private readonly originMs = performance.timeOrigin;
  private shiftMs = 0;
  private clockCheckedMs = 0;
  private lastNs = 0;

  /** Definitions that found no room; they go before the next record, which would be nothing without them. */
  private readonly waiting: { kind: number; argument: number; items: number; bytes: Uint8Array }[] = [];

  private rowStart = 0;
  private rowPairs = 0;
  private rowLost = 0;
  private rowAxes: Uint8Array = EMPTY;

  constructor(settings: Settings, sender: string) {
    this.sender = sender;
    this.blocking = settings.blocking;
    this.watchesSystem = settings.systemFacts || settings.systemIntervalMs > 0;
    this.control = new SharedArrayBuffer(layout.CONTROL_BYTES);
    this.ringMemory = new SharedArrayBuffer(settings.ringBytes);
    this.ring = new RingWriter(this.control, this.ringMemory, settings.overflow, settings.blockMaxMs);
    this.ring.onWait = nowMs => this.onRecord(nowMs);
    this.words = this.ring.control;
    this.counters = new Float64Array(this.control, layout.CONTROL_WORDS * 4, layout.COUNTERS);
    this.mediaGate = new MediaGate({
      control: this.words,
      counters: this.counters,
      maxBytes: settings.maxMediaBytes,
      overflow: settings.overflow,
      blockMaxMs: settings.blockMaxMs,
      onWait: nowMs => this.onRecord(nowMs),
      wake: () => this.ring.wake(),
    });
    this.baseUnixNano = BigInt(Math.round(this.originMs * 1e3)) * 1000n;
    const channel = new MessageChannel();
    this.largeSender = channel.port1;
    this.largePort = channel.port2;
    this.largeSender.unref();
  }

  defineResource(attributes: Attributes): ResourceId {
    const id = ++this.resources;
    this.define(layout.DEFINE_RESOURCE, id, 0, encodeResource(attributes));
    return id;
  }

  defineScope(resource: ResourceId, name: string, version: string, attributes: Attributes): ScopeId {
    if (this.scopes >= MAX_SCOPES) return this.scopes;
    const id = ++this.scopes;
    this.define(layout.DEFINE_SCOPE, id, resource, encodeScope(name, version, attributes));
    return id;
  }

  defineSeries(scope: ScopeId, name: string, attributes: Attributes | undefined): SeriesId {
    if (this.series >= MAX_SERIES) return 0;
    const id = ++this.series;
    const nameBytes = utf8.encode(name);
    const attributeBytes = attributes === undefined ? EMPTY : encodeAttributes(attributes);
    const bytes = new Uint8Array(4 + nameBytes.length + attributeBytes.length);
    new DataView(bytes.buffer).setUint32(0, nameBytes.length, true);
    bytes.set(nameBytes, 4);
    bytes.set(attributeBytes, 4 + nameBytes.length);
    this.define(layout.DEFINE_SERIES, id, scope, bytes);
    return id;
  }

  defineSpan(traceId: string, spanId: string): SpanRef {
    const id = ++this.spans;
    this.define(layout.DEFINE_SPAN, id, 0, Buffer.from(traceId + spanId, 'hex'));
    return id;
  }

  beginRow(step: number, span: SpanRef, axes: Attributes | undefined): void {
    const ring = this.ring;
    this.rowPairs = 0;
    this.rowLost = 0;
    this.rowAxes = axes === undefined ? EMPTY : encodeAttributes(axes);
    if (!this.defined() || !ring.reserve(layout.ROW_HEADER_SLOTS + ((this.rowAxes.length + 7) >> 3))) {
      this.rowLost = 1;
      this.rowStart = -1;
      return;
    }
    const start = ring.cursor;
    this.rowStart = start;
    ring.f64[(start + 1) & ring.mask] = this.tick();
    ring.f64[(start + 2) & ring.mask] = step;
    const third = ((start + 3) & ring.mask) * 2;
    ring.u32[third] = span;
    ring.u32[third + 1] = this.rowAxes.length;
    ring.cursor = (start + layout.ROW_HEADER_SLOTS) >>> 0;
  }

  add(series: SeriesId, value: number): void {
    const ring = this.ring;
    this.rowPairs++;
    if (this.rowLost !== 0 || series === 0 || !ring.reserve(2 + ((this.rowAxes.length + 7) >> 3))) {
      this.rowLost = 1;
      return;
    }
    const at = ring.cursor;
    const key = (at & ring.mask) * 2;
    ring.u32[key] = series;
    ring.u32[key + 1] = 0;
    ring.f64[(at + 1) & ring.mask] = value;
    ring.cursor = (at + 2) >>> 0;
  }

  addInteger(series: SeriesId, value: bigint): void {
    const ring = this.ring;
    this.rowPairs++;
    if (this.rowLost !== 0 || series === 0 || !ring.reserve(2 + ((this.rowAxes.length + 7) >> 3))) {
      this.rowLost = 1;
      return;
    }
    const at = ring.cursor;
    const key = (at & ring.mask) * 2;
    ring.u32[key] = series;
    ring.u32[key + 1] = 1;
    ring.i64[(at + 1) & ring.mask] = value;
    ring.cursor = (at + 2) >>> 0;
  }

  endRow(): void {
    const ring = this.ring;
    this.emitted += this.rowPairs;
    if (this.rowLost !== 0) {
      ring.rewind();
      this.lose(this.rowPairs);
      return;
    }
    const head = (this.rowStart & ring.mask) * 2;
    ring.u32[head] = layout.ROW;
    ring.u32[head + 1] = this.rowPairs;
    const axes = this.rowAxes;
    if (axes.length !== 0) {
      const from = ring.cursor;
      for (let i = 0; i < axes.length; i++) ring.u8[((from + (i >> 3)) & ring.mask) * 8 + (i & 7)] = axes[i]!;
      ring.cursor = (from + ((axes.length + 7) >> 3)) >>> 0;
    }
    ring.publish();
    if (this.blocking) this.deliverNow();
  }

  abortRow(): void {
    this.ring.rewind();
  }

  histogram(series: SeriesId, step: number, span: SpanRef, point: HistogramInput): void {
    this.emitted++;
    if (
      series === 0 ||
      !this.blob(layout.HISTOGRAM, series, 1, encodeHistogramBlob(this.tick(), step, span, point))
    )
      this.lose(1);
    if (this.blocking) this.deliverNow();
  }

  record(kind: 'log' | 'span', scope: ScopeId, bytes: Uint8Array): void {
    this.emitted++;
    if (!this.blob(kind === 'log' ? layout.LOG : layout.SPAN, scope, 1, bytes)) this.lose(1);
    if (this.blocking) this.deliverNow();
  }

  recordLast(scope: ScopeId, bytes: Uint8Array): void {
    this.emitted++;
    if (!this.blob(layout.LOG_AFTER_MEDIA, scope, 1, bytes)) this.lose(1);
  }

  media(scope: ScopeId, job: MediaJob, record: Uint8Array, content: Uint8Array | undefined): boolean {
    this.emitted++;
    const packed = packJob(
      job,
      record,
      content,
      bytes => this.mediaGate.enter(bytes),
      layout.MAX_MEDIA_IN_RING,
    );
    if (packed === undefined) {
      this.countDrop(this.ring.workerIsDead() ? 'worker_gone' : 'media_overflow', 1);
      return false;
    }
    const sent =
      packed.length > layout.MAX_MEDIA_IN_RING
        ? this.defined() && this.largeBlob(layout.MEDIA, scope, 1, packed)
        : this.blob(layout.MEDIA, scope, 1, packed);
    if (!sent) {
      this.mediaGate.leave(packed.length);
      this.lose(1);
      return false;
    }
    if (this.blocking) this.deliverNow();
    return true;
  }

  request(signal: Signal, bytes: Uint8Array, items: number): void {
    this.emitted += items;
    if (!this.blob(layout.REQUEST, SIGNALS.indexOf(signal), items, bytes)) this.lose(items);
    if (this.blocking) this.deliverNow();
  }

  watchSystem(scope: ScopeId, on: boolean): void {
    if (this.watchesSystem) this.define(layout.WATCH, scope, on ? 1 : 0, EMPTY);
  }

  drop(reason: string, items: number): void {
    this.emitted += items;
    this.countDrop(reason, items);
  }

  now(): bigint {
    return this.baseUnixNano + BigInt(this.tick());
  }

  flush(options: FlushOptions = {}): Promise<DeliveryReport> {
    const { number, timeoutMs } = this.askForFlush(options);
    const deadline = performance.now() + timeoutMs + ANSWER_GRACE_MS;
    return new Promise(resolve => {
      const look = () => {
        const left = deadline + this.putOffMs - performance.now();
        if (this.answered(number) || this.ring.workerIsDead() || left <= 0) resolve(this.report());
        else setTimeout(look, 3);
      };
      look();
    });
  }

  flushSync(options: FlushOptions = {}): DeliveryReport {
    const { number, timeoutMs } = this.askForFlush(options);
    const deadline = performance.now() + timeoutMs + ANSWER_GRACE_MS;
    for (;;) {
      const done = Atomics.load(this.words, layout.FLUSH_DONE);
      const left = deadline + this.putOffMs - performance.now();
      if (this.answered(number) || this.ring.workerIsDead() || left <= 0) return this.report();
      Atomics.wait(this.words, layout.FLUSH_DONE, done, Math.min(left, 100));
    }
  }

  report(): DeliveryReport {
    const delivered = this.counters[layout.DELIVERED]!;
    const spooled = this.counters[layout.SPOOLED]!;
    const dropped: Record<string, number> = Object.fromEntries(this.dropped);
    let lost = 0;
    for (const [i, reason] of layout.DROP_REASONS.entries()) {
      const n = this.counters[layout.DROPPED + i]!;
      if (n > 0) dropped[reason] = (dropped[reason] ?? 0) + n;
    }
    for (const n of Object.values(dropped)) lost += n;
    const written = Atomics.load(this.words, layout.WRITTEN);
    const errorLength = Atomics.load(this.words, layout.ERROR_LENGTH);
    const errorStart = layout.CONTROL_BYTES - layout.ERROR_BYTES;
    return {
      emitted: this.emitted,
      delivered,
      pending: Math.max(0, this.emitted - delivered - lost),
      spooled,
      dropped,
      written: written === layout.WRITTEN_UNKNOWN ? undefined : written === layout.WRITTEN_YES,
      lastError:
        this.goneReason ||
        Buffer.from(new Uint8Array(this.control, errorStart, errorLength)).toString('utf8'),
    };
  }

  /** The worker has gone (crashed or terminated): nothing waits for it any more. */
  workerGone(reason: string): void {
    if (this.goneReason === '') this.goneReason = reason;
    Atomics.store(this.words, layout.WORKER_STATE, layout.WORKER_DEAD);
  }

  /** ns since the base, strictly increasing: max(clock, last + 1). */
  private tick(): number {
    const nowMs = performance.now();
    if (nowMs - this.clockCheckedMs > CLOCK_CHECK_MS) this.checkClock(nowMs);
    this.onRecord(nowMs);
    this.ring.keepUp(nowMs);
    const ns = Math.floor((nowMs + this.shiftMs) * 1e6);
    this.lastNs = ns > this.lastNs ? ns : this.lastNs + 1;
    return this.lastNs;
  }

  private checkClock(nowMs: number): void {
    this.clockCheckedMs = nowMs;
    const driftMs = Date.now() - (this.originMs + nowMs + this.shiftMs);
    if (Math.abs(driftMs) > CLOCK_DRIFT_MS) this.shiftMs += driftMs;
  }

  private askForFlush(options: FlushOptions): {
    number: number;
    timeoutMs: number;
  } {
    const timeoutMs = Math.max(0, Math.min(options.timeoutMs ?? 10_000, 0x7fffffff - ANSWER_GRACE_MS));
    const number = ++this.flushes;
    Atomics.store(this.words, layout.FLUSH_LONGER_MS, 0);
    Atomics.store(this.words, layout.FLUSH_TIMEOUT_MS, timeoutMs);
    Atomics.store(this.words, layout.FLUSH_UNTIL, UNTIL[options.until ?? 'delivered']);
    Atomics.store(this.words, layout.FLUSH_WANTED, number);
    this.ring.wake();
    return { number, timeoutMs };
  }

  /** A file that is being sent is waited for as long as it moves. */
  private get putOffMs(): number {
    return Atomics.load(this.words, layout.FLUSH_LONGER_MS);
  }

  private answered(number: number): boolean {
    return Atomics.load(this.words, layout.FLUSH_DONE) >= number;
  }

  private define(kind: number, argument: number, items: number, bytes: Uint8Array): void {
    if (!this.blob(kind, argument, items, bytes)) this.waiting.push({ kind, argument, items, bytes });
  }

  private defined(): boolean {
    return this.waiting.length === 0 || this.defineWaiting();
  }

  private defineWaiting(): boolean {
    for (;;) {
      const next = this.waiting[0];
      if (next === undefined) return true;
      if (!this.put(next.kind, next.argument, next.items, next.bytes)) return false;
      this.waiting.shift();
    }
  }

  private blob(kind: number, argument: number, items: number, bytes: Uint8Array): boolean {
    return this.defined() && this.put(kind, argument, items, bytes);
  }

  private put(kind: number, argument: number, items: number, bytes: Uint8Array): boolean {
    const ring = this.ring;
    if (bytes.length * layout.LARGE_BLOB_SHARE > ring.u8.length)
      // Not `slice`: a Buffer's would be a view, and the transfer would take the caller's memory away.
      return this.largeBlob(kind, argument, items, new Uint8Array(bytes));
    const slots = layout.BLOB_HEADER_SLOTS + ((bytes.length + 7) >> 3);
    const toEnd = ring.slots - (ring.cursor & ring.mask);
    const skip = slots > toEnd ? toEnd : 0;
    if (!ring.reserve(slots + skip)) return false;
    if (skip > 0) {
      const at = (ring.cursor & ring.mask) * 2;
      ring.u32[at] = layout.SKIP;
      ring.u32[at + 1] = skip;
      ring.cursor = (ring.cursor + skip) >>> 0;
    }
    const at = ring.cursor & ring.mask;
    ring.u32[at * 2] = kind;
    ring.u32[at * 2 + 1] = argument;
    ring.u32[at * 2 + 2] = bytes.length;
    ring.u32[at * 2 + 3] = items;
    ring.u8.set(bytes, (at + layout.BLOB_HEADER_SLOTS) * 8);
    ring.cursor = (ring.cursor + slots) >>> 0;
    ring.publish();
    return true;
  }

  /** @param bytes in memory of their own, which is given away */
  private largeBlob(kind: number, argument: number, items: number, bytes: Uint8Array): boolean {
    // Its record, and what may have to be skipped before it: without room for them the message must not go.
    if (!this.ring.reserve(2 * layout.BLOB_HEADER_SLOTS)) return false;
    const number = ++this.large;
    const message: layout.LargeBlob = { number, kind, argument, items, bytes };
    this.largeSender.postMessage(message, [bytes.buffer as ArrayBuffer]);
    return this.put(layout.LARGE, number, items, EMPTY);
  }

  private deliverNow(): void {
    const report = this.flushSync({ timeoutMs: this.undelivered ? BLOCKING_AGAIN_MS : BLOCKING_MAX_MS });
    const before = this.undelivered;
    this.undelivered = report.pending > 0;
    if (this.undelivered && !before) this.onUndelivered(report);
  }

  private lose(items: number): void {
    this.countDrop(this.ring.workerIsDead() ? 'worker_gone' : 'overflow', items);
  }

  private countDrop(reason: string, items: number): void {
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + items);
  }
}
