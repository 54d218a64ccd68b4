// The worker's queue of finished batches: the oldest first, retried until acknowledged, in the spool when slow.
import type { Signal } from '../otlp/model.ts';
import type { WorkerDropReason } from './layout.ts';
import type { Spool, SpoolPlace } from './spool.ts';
import { MAX_IN_FLIGHT, type Target, type Transport } from './transport.ts';

/** A batch that is not acknowledged this long after its first point goes to the spool (the page cache survives SIGKILL). */
const SPOOL_AFTER_MS = 150;
/** How often a flush looks whether all that is left is in the spool. */
const SAFE_POLL_MS = 250;
/** So long it gives the bundled collector to come. */
const STARTING_MS = 4_000;
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 15_000;
/** While somebody waits for the rest, a peer that comes back is noticed within this time. */
const MAX_AWAITED_RETRY_MS = 1_000;
const RETRY_GROWTH = 1.7;
/** Spread, so that many trainers do not come back to a collector at the same moment. */
const JITTER = 0.3;

export interface OutgoingBatch {
  readonly signal: Signal;
  readonly key: string;
  readonly items: number;
  /** `performance.now()` of its first record, and that moment's Unix time. */
  readonly firstMs: number;
  readonly firstUnixNano: bigint;
  bytes: Uint8Array | undefined;
  readonly size: number;
  place: SpoolPlace | undefined;
  sending: boolean;
}

export interface DeliveryCounters {
  delivered(items: number): void;
  dropped(reason: WorkerDropReason, items: number): void;
  /** Items now in the spool and not acknowledged. */
  spooled(items: number): void;
  error(text: string): void;
}

export interface DeliveryOptions {
  readonly transport: Transport;
  readonly spool: Spool;
  readonly target: () => Target | undefined;
  /** Nobody will come to take anything: waiting is of no use. */
  readonly hopeless: () => boolean;
  readonly counters: DeliveryCounters;
  readonly maxBatchBytes: number;
}

export class Delivery {
  /** The journal position after the newest batch that was stored; undefined where the peer says none. */
  lastPosition: number | undefined;
  private readonly options: DeliveryOptions;
  private readonly queue: OutgoingBatch[] = [];
  private inFlight = 0;
  private inMemory = 0;
  private queued = 0;
  private spooledItems = 0;
  private notBefore = 0;
  private retryMs = FIRST_RETRY_MS;
  /** Requests sent between two pauses fail together: that is one failure, not one each. */
  private round = 0;
  private idleWaiters: ((idle: boolean) => void)[] = [];

  constructor(options: DeliveryOptions) {
    this.options = options;
  }

  add(batch: Omit<OutgoingBatch, 'size' | 'place' | 'sending'> & { bytes: Uint8Array }): void {
    this.queue.push({ ...batch, size: batch.bytes.length, place: undefined, sending: false });
    this.inMemory += batch.bytes.length;
    this.queued += batch.bytes.length;
    this.pump();
    if (this.inMemory > this.options.maxBatchBytes / 2) this.relieve();
  }

  /** Memory is full and the spool takes no more: the ring must wait. */
  get full(): boolean {
    return this.inMemory >= this.options.maxBatchBytes;
  }

  /** What is not acknowledged, in memory or in the spool. */
  get queuedBytes(): number {
    return this.queued;
  }

  /** Of that, what is in memory. */
  get memoryBytes(): number {
    return this.inMemory;
  }

  get idle(): boolean {
    return this.queue.length === 0;
  }

  /** To be called every few ms while there is something: spools what is late, sends what is due. */
  tick(nowMs: number): void {
    for (const batch of this.queue) {
      if (batch.place !== undefined || nowMs - batch.firstMs < SPOOL_AFTER_MS) continue;
      // The disk takes nothing more: the others would fail too.
      if (!this.toSpool(batch)) break;
    }
    this.pump();
  }

  /** The target may have changed: forget the pause. */
  wake(): void {
    this.notBefore = 0;
    this.pump();
    if (this.options.hopeless()) this.answerWaiters(false);
  }

  /** Everything not acknowledged goes to the spool now. Returns the items that found no place there. */
  spoolAll(): number {
    let lost = 0;
    for (const batch of this.queue) {
      if (batch.place !== undefined && !this.options.spool.keeps(batch.place)) this.leaveSpool(batch);
      if (batch.place === undefined && !this.toSpool(batch)) lost += batch.items;
    }
    return lost;
  }

  /** Resolves when the queue is empty; false at the deadline, or when nobody will come. */
  async settled(timeoutMs: number): Promise<boolean> {
    if (this.idle) return true;
    this.wake();
    if (this.options.hopeless()) return false;
    return new Promise(resolve => {
      const settle = (idle: boolean) => {
        clearTimeout(timer);
        resolve(idle);
      };
      const timer = setTimeout(() => {
        this.idleWaiters = this.idleWaiters.filter(waiter => waiter !== settle);
        resolve(this.idle);
      }, timeoutMs);
      this.idleWaiters.push(settle);
    });
  }

  /** Resolves when everything is acknowledged, or safe on disk with nobody there to take it; false at the deadline. */
  async safe(timeoutMs: number): Promise<boolean> {
    const startedMs = performance.now();
    const deadline = startedMs + timeoutMs;
    while (!(await this.settled(Math.min(SAFE_POLL_MS, Math.max(0, deadline - performance.now()))))) {
      const nowMs = performance.now();
      if (nowMs >= deadline || this.options.hopeless()) return false;
      // A collector that is just starting will be there in a moment.
      const waiting =
        this.options.target() === undefined ? nowMs - startedMs > STARTING_MS : nowMs < this.notBefore;
      if (waiting && this.queue.every(batch => batch.place !== undefined)) return true;
    }
    return true;
  }

  private pump(): void {
    if (performance.now() < this.notBefore) return;
    const target = this.options.target();
    if (target === undefined) return;
    // Next door a round trip costs nothing, and one at a time keeps the order in which things were recorded.
    const atOnce = target.kind === 'local' ? 1 : MAX_IN_FLIGHT;
    for (const batch of this.queue) {
      if (this.inFlight >= atOnce) return;
      if (!batch.sending) void this.send(target, batch);
    }
  }

  private async send(target: Target, batch: OutgoingBatch): Promise<void> {
    batch.sending = true;
    this.inFlight++;
    const { round } = this;
    const bytes = batch.bytes ?? (batch.place && this.options.spool.read(batch.place));
    try {
      if (bytes === undefined) {
        this.options.counters.dropped('worker_error', batch.items);
        this.options.counters.error('a spooled batch could not be read back');
        this.remove(batch);
        return;
      }
      const outcome = await this.options.transport.send(target, batch.signal, batch.key, bytes);
      if (outcome.kind === 'retry') {
        this.options.counters.error(outcome.reason);
        this.pause(round, outcome.afterMs);
        return;
      }
      this.retryMs = FIRST_RETRY_MS;
      if (outcome.kind === 'rejected') {
        this.options.counters.error(`rejected: ${outcome.reason}`);
        this.options.counters.dropped('rejected', batch.items);
      } else {
        const rejected = Math.min(outcome.rejected, batch.items);
        if (rejected > 0) {
          this.options.counters.error(`rejected in part: ${outcome.message}`);
          this.options.counters.dropped('rejected', rejected);
        }
        this.options.counters.delivered(batch.items - rejected);
        if (outcome.position !== undefined)
          this.lastPosition = Math.max(this.lastPosition ?? 0, outcome.position);
      }
      this.remove(batch);
    } catch (error) {
      this.options.counters.error(error instanceof Error ? error.message : String(error));
      this.pause(round, undefined);
    } finally {
      batch.sending = false;
      this.inFlight--;
      this.pump();
    }
  }

  private pause(round: number, afterMs: number | undefined): void {
    const nowMs = performance.now();
    if (afterMs !== undefined) this.notBefore = Math.max(this.notBefore, nowMs + afterMs);
    if (round !== this.round) return;
    this.round++;
    const limitMs = this.idleWaiters.length > 0 ? MAX_AWAITED_RETRY_MS : MAX_RETRY_MS;
    const backoff = Math.min(this.retryMs, limitMs) * (1 - JITTER / 2 + JITTER * Math.random());
    this.notBefore = Math.max(this.notBefore, nowMs + backoff);
    this.retryMs = Math.min(this.retryMs * RETRY_GROWTH, MAX_RETRY_MS);
  }

  private remove(batch: OutgoingBatch): void {
    const at = this.queue.indexOf(batch);
    if (at >= 0) this.queue.splice(at, 1);
    this.queued -= batch.size;
    if (batch.bytes !== undefined) this.inMemory -= batch.size;
    this.leaveSpool(batch);
    if (!this.idle) return;
    this.answerWaiters(true);
  }

  private answerWaiters(idle: boolean): void {
    for (const waiter of this.idleWaiters.splice(0)) waiter(idle);
  }

  /** Takes a batch out of the spool; it is in memory then, as long as it can be read. */
  private leaveSpool(batch: OutgoingBatch): void {
    const { place } = batch;
    if (place === undefined) return;
    if (batch.bytes === undefined && this.queue.includes(batch)) {
      batch.bytes = this.options.spool.read(place);
      if (batch.bytes !== undefined) this.inMemory += batch.size;
    }
    batch.place = undefined;
    this.options.spool.release(place);
    this.spooledItems -= batch.items;
    this.options.counters.spooled(this.spooledItems);
  }

  private toSpool(batch: OutgoingBatch): boolean {
    if (batch.bytes === undefined) return false;
    batch.place = this.options.spool.append(batch.signal, batch.key, batch.firstUnixNano, batch.bytes);
    if (batch.place === undefined) return false;
    this.spooledItems += batch.items;
    this.options.counters.spooled(this.spooledItems);
    return true;
  }

  /** Takes the newest batches out of memory: they are the last to be sent. */
  private relieve(): void {
    for (let i = this.queue.length - 1; i >= 0 && this.inMemory > this.options.maxBatchBytes / 2; i--) {
      const batch = this.queue[i]!;
      if (batch.sending || batch.bytes === undefined) continue;
      if (batch.place === undefined && !this.toSpool(batch)) return;
      batch.bytes = undefined;
      this.inMemory -= batch.size;
    }
  }
}
