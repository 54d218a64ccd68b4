// The caller's end of the ring: reserve slots, write, publish. One writer only. Waits for space, bounded, or gives up.
import * as layout from './layout.ts';

export type Overflow = 'block' | 'drop';

/** While waiting for space the worker must show signs of life at least this often. */
const WORKER_SILENCE_MS = 500;

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
  /** Longest a call has waited, and how often calls waited; shown by reports. */
  stalls = 0;
  private head = 0;
  /** The worker's tail as last seen: no need to look again while there is room. */
  private tail = 0;
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
    this.stalls++;
    const deadline = performance.now() + this.blockMaxMs;
    let beat = Atomics.load(this.control, layout.BEAT);
    let beatSeen = performance.now();
    for (;;) {
      const space = Atomics.load(this.control, layout.SPACE);
      if (this.hasRoom(count)) return true;
      const now = performance.now();
      const newBeat = Atomics.load(this.control, layout.BEAT);
      if (newBeat !== beat || Atomics.load(this.control, layout.WORKER_STATE) === layout.WORKER_BOOTING) {
        beat = newBeat;
        beatSeen = now;
      }
      if (now >= deadline || this.workerIsDead() || now - beatSeen > WORKER_SILENCE_MS) return false;
      this.wake();
      Atomics.wait(this.control, layout.SPACE, space, Math.min(50, deadline - now));
    }
  }
}
