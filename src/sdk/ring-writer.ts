// The caller's end of the ring: reserve slots, write, publish. One writer only. Waits for space, bounded, or gives up.
import * as layout from './layout.ts';

export type Overflow = 'block' | 'drop';

/** While waiting for space the worker must show signs of life at least this often. */
const WORKER_SILENCE_MS = 500;
/**
 * The worker must have read what was written this long ago (twice this, counted from the last look). A killed process loses what the
 * worker has not got out: with the worker's own 150 ms that is at most 200 ms of recording, also where recording is faster than the worker.
 */
const BEHIND_MS = 25;
/** Starting the worker takes about as long; while it starts nobody waits before this, or before this share of the ring is full. */
const BOOT_MS = 100;
const BOOT_SHARE = 8;

export class RingWriter {
  readonly control: Int32Array;
  readonly f64: Float64Array;
  readonly i64: BigInt64Array;
  readonly u32: Uint32Array;
  readonly u8: Uint8Array;
  readonly slots: number;
  readonly mask: number;
  /** Next slot to write; published up to `head`. */
  cursor = 0;
  /** Called now and then while a call waits. */
  onWait: (nowMs: number) => void = () => undefined;
  /** Longest a call has waited, and how often calls waited; shown by reports. */
  stalls = 0;
  private head = 0;
  /** The worker's tail as last seen: no need to look again while there is room. */
  private tail = 0;
  /** What stood at the head when the worker's progress was last looked at, and when that was. */
  private mark = 0;
  private markMs = 0;
  /** The tail at which a wait was given up: until it moves nobody waits again. */
  private stuckAt = -1;
  private readonly overflow: Overflow;
  private readonly blockMaxMs: number;

  /** @param ring a power of two of bytes */
  constructor(control: SharedArrayBuffer, ring: SharedArrayBuffer, overflow: Overflow, blockMaxMs: number) {
    this.control = new Int32Array(control, 0, layout.CONTROL_WORDS);
    this.f64 = new Float64Array(ring);
    this.i64 = new BigInt64Array(ring);
    this.u32 = new Uint32Array(ring);
    this.u8 = new Uint8Array(ring);
    this.slots = ring.byteLength / 8;
    this.mask = this.slots - 1;
    this.overflow = overflow;
    this.blockMaxMs = blockMaxMs;
  }

  /** Makes sure that `count` slots from the cursor on may be written. False: there is no room and the policy is to drop. */
  reserve(count: number): boolean {
    if ((this.cursor + count - this.tail) >>> 0 <= this.slots) return true;
    return this.waitForSpace(count);
  }

  /**
   * Waits, bounded, for a worker that has fallen behind in time. Drops nothing. To be called between records, with the time that
   * the caller has read anyway.
   */
  keepUp(nowMs: number): void {
    if (nowMs - this.markMs >= BEHIND_MS) this.lookBehind(nowMs);
  }

  /** Makes everything up to the cursor visible to the worker, and wakes it when it sleeps. */
  publish(): void {
    this.head = this.cursor;
    Atomics.store(this.control, layout.HEAD, this.head | 0);
    if (Atomics.load(this.control, layout.SLEEPING) === 1) this.wake();
  }

  /** Forgets what was written since the last `publish`. */
  rewind(): void {
    this.cursor = this.head;
  }

  wake(): void {
    Atomics.store(this.control, layout.SLEEPING, 0);
    Atomics.notify(this.control, layout.SLEEPING);
  }

  workerIsDead(): boolean {
    return Atomics.load(this.control, layout.WORKER_STATE) === layout.WORKER_DEAD;
  }

  /** Slots published and not yet read. */
  get used(): number {
    return (this.head - Atomics.load(this.control, layout.TAIL)) >>> 0;
  }

  private hasRoom(count: number): boolean {
    this.tail = Atomics.load(this.control, layout.TAIL) >>> 0;
    return (this.cursor + count - this.tail) >>> 0 <= this.slots;
  }

  private waitForSpace(count: number): boolean {
    if (this.hasRoom(count)) return true;
    // A record that is itself larger than what the ring can ever free would wait for nothing.
    if ((this.cursor + count - this.head) >>> 0 > this.slots) return false;
    if (this.overflow === 'drop') return false;
    return this.waitUntil(() => this.hasRoom(count));
  }

  private lookBehind(nowMs: number): void {
    const hasRead = () => {
      this.tail = Atomics.load(this.control, layout.TAIL) >>> 0;
      return ((this.tail - this.mark) | 0) >= 0;
    };
    if (this.overflow === 'block' && !hasRead()) {
      if (this.isStarting(nowMs)) return;
      this.waitUntil(hasRead);
      nowMs = performance.now();
    }
    this.mark = this.head;
    this.markMs = nowMs;
  }

  private isStarting(nowMs: number): boolean {
    const booting = Atomics.load(this.control, layout.WORKER_STATE) === layout.WORKER_BOOTING;
    return booting && nowMs - this.markMs < BOOT_MS && this.used * BOOT_SHARE < this.slots;
  }

  /** False: not within the time, or the worker shows no sign of life. One stall; the next one comes only after the worker has moved. */
  private waitUntil(reached: () => boolean): boolean {
    if (this.tail === this.stuckAt) return false;
    this.stalls++;
    const deadline = performance.now() + this.blockMaxMs;
    let beat = Atomics.load(this.control, layout.BEAT);
    let beatSeen = performance.now();
    for (;;) {
      const space = Atomics.load(this.control, layout.SPACE);
      if (reached()) return true;
      const now = performance.now();
      const newBeat = Atomics.load(this.control, layout.BEAT);
      if (newBeat !== beat || Atomics.load(this.control, layout.WORKER_STATE) === layout.WORKER_BOOTING) {
        beat = newBeat;
        beatSeen = now;
      }
      if (now >= deadline || this.workerIsDead() || now - beatSeen > WORKER_SILENCE_MS) {
        this.stuckAt = this.tail;
        return false;
      }
      this.wake();
      this.onWait(now);
      Atomics.wait(this.control, layout.SPACE, space, Math.min(50, deadline - now));
    }
  }
}
