// The worker's queue of finished batches: the oldest first, retried until acknowledged, in the spool when slow.
import type { Signal } from '../otlp/model.ts';
import type { WorkerDropReason } from './layout.ts';
import type { Spool, SpoolPlace } from './spool.ts';
import { MAX_IN_FLIGHT, type Target, type Transport } from './transport.ts';

/** A batch that is not acknowledged this long after its first point goes to the spool (the page cache survives SIGKILL). */
const SPOOL_AFTER_MS = 150;
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 15_000;
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
  private spooledItems = 0;
  private notBefore = 0;
  private retryMs = FIRST_RETRY_MS;
  private idleWaiters: (() => void)[] = [];

  constructor(options: DeliveryOptions) {
    this.options = options;
  }

  add(batch: Omit<OutgoingBatch, 'size' | 'place' | 'sending'> & { bytes: Uint8Array }): void {
    this.queue.push({ ...batch, size: batch.bytes.length, place: undefined, sending: false });
    this.inMemory += batch.bytes.length;
    this.pump();
    if (this.inMemory > this.options.maxBatchBytes / 2) this.relieve();
  }

  /** Memory is full and the spool takes no more: the ring must wait. */
  get full(): boolean {
    return this.inMemory >= this.options.maxBatchBytes;
  }

  get idle(): boolean {
    return this.queue.length === 0;
  }

  /** To be called every few ms while there is something: spools what is late, sends what is due. */
  tick(nowMs: number): void {
    for (const batch of this.queue) {
      if (nowMs - batch.firstMs < SPOOL_AFTER_MS) break;
      if (batch.place === undefined) this.toSpool(batch);
    }
    this.pump();
  }

  /** The target may have changed: forget the pause. */
  wake(): void {
    this.notBefore = 0;
    this.pump();
  }

  /** Everything not acknowledged goes to the spool now. Returns the items that found no place there. */
  spoolAll(): number {
    let lost = 0;
    for (const batch of this.queue)
      if (batch.place === undefined && !this.toSpool(batch)) lost += batch.items;
    return lost;
  }

  /** Resolves when the queue is empty; false at the deadline. */
  async settled(timeoutMs: number): Promise<boolean> {
    if (this.idle) return true;
    this.wake();
    return new Promise(resolve => {
      const timer = setTimeout(() => resolve(this.idle), timeoutMs);
      this.idleWaiters.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
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
        this.pause(outcome.afterMs);
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
      this.pause(undefined);
    } finally {
      batch.sending = false;
      this.inFlight--;
      this.pump();
    }
  }

  private pause(afterMs: number | undefined): void {
    const backoff = this.retryMs * (1 - JITTER / 2 + JITTER * Math.random());
    this.notBefore = performance.now() + Math.max(backoff, afterMs ?? 0);
    this.retryMs = Math.min(this.retryMs * RETRY_GROWTH, MAX_RETRY_MS);
  }

  private remove(batch: OutgoingBatch): void {
    const at = this.queue.indexOf(batch);
    if (at >= 0) this.queue.splice(at, 1);
    if (batch.bytes !== undefined) this.inMemory -= batch.size;
    if (batch.place !== undefined) {
      this.options.spool.release();
      this.spooledItems -= batch.items;
      this.options.counters.spooled(this.spooledItems);
    }
    if (!this.idle) return;
    for (const waiter of this.idleWaiters.splice(0)) waiter();
  }

  private toSpool(batch: OutgoingBatch): boolean {
    if (batch.bytes === undefined) return true;
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
