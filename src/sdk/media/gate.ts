// The caller's side of the limit on media under way: waits, bounded, until there is room, or says that there is none.
import * as layout from '../layout.ts';
import type { Overflow } from '../ring-writer.ts';

/** The worker must show a sign of life so often, else nobody waits for it. */
const SILENCE_MS = 500;
const LOOK_MS = 50;

export interface GateOptions {
  readonly control: Int32Array;
  readonly counters: Float64Array;
  readonly maxBytes: number;
  readonly overflow: Overflow;
  readonly blockMaxMs: number;
  /** Called now and then while a call waits. */
  readonly onWait: (nowMs: number) => void;
  /** Makes sure that the worker is awake. */
  readonly wake: () => void;
}

export class MediaGate {
  private readonly options: GateOptions;
  private sent = 0;
  /** One that is larger than the limit counts as half of it, so that small ones go on: `excess` is the rest, until this much is freed. */
  private excess = 0;
  private excessUntil = 0;
  /** What had been freed when a wait was given up: until that moves nobody waits again. */
  private stuckAt = -1;

  constructor(options: GateOptions) {
    this.options = options;
  }

  /** True: these bytes count as under way from now on, until the worker counts them as freed. */
  enter(bytes: number): boolean {
    if (!this.hasRoom(bytes) && !this.waitForRoom(bytes)) return false;
    this.sent += bytes;
    if (bytes > this.options.maxBytes) {
      this.excess = bytes - this.options.maxBytes / 2;
      this.excessUntil = this.sent;
    }
    return true;
  }

  /** They never went. */
  leave(bytes: number): void {
    this.sent -= bytes;
    if (bytes > this.options.maxBytes) this.excess = 0;
  }

  /** One that is larger than the limit goes when no other is under way. Jobs are done, and freed, in their order. */
  private hasRoom(bytes: number): boolean {
    const { freed } = this;
    const underWay = this.sent - freed - (freed < this.excessUntil ? this.excess : 0);
    return underWay <= 0 || underWay + bytes <= this.options.maxBytes;
  }

  private get freed(): number {
    return this.options.counters[layout.MEDIA_FREED]!;
  }

  private waitForRoom(bytes: number): boolean {
    const { control, overflow, blockMaxMs } = this.options;
    if (overflow === 'drop' || this.freed === this.stuckAt) return false;
    const deadline = performance.now() + blockMaxMs;
    let beat = -1;
    let beatSeen = performance.now();
    for (;;) {
      const space = Atomics.load(control, layout.SPACE);
      if (this.hasRoom(bytes)) return true;
      const now = performance.now();
      const state = Atomics.load(control, layout.WORKER_STATE);
      const newBeat = Atomics.load(control, layout.BEAT);
      if (newBeat !== beat || state === layout.WORKER_BOOTING) {
        beat = newBeat;
        beatSeen = now;
      }
      if (now >= deadline || state === layout.WORKER_DEAD || now - beatSeen > SILENCE_MS) {
        this.stuckAt = this.freed;
        return false;
      }
      this.options.wake();
      this.options.onWait(now);
      Atomics.wait(control, layout.SPACE, space, Math.min(LOOK_MS, deadline - now));
    }
  }
}
