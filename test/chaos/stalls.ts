// How long this machine lets a process wait that wants to run: what others take from it no promise about milliseconds can hold.
const TICK_MS = 10;
/** A thread that was stalled is stalled again: what happened so shortly before counts. */
const LOOK_BACK_MS = 1_000;
const MAX_KEPT = 1_000;

/** Notes when its own timer comes late. */
export class Stalls {
  readonly #late: { readonly atUnixMs: number; readonly ms: number }[] = [];
  readonly #timer: NodeJS.Timeout;
  #lastMs = performance.now();

  constructor() {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  /** The longest that ended within the second before a moment, or covers it. */
  longestBefore(unixMs: number): number {
    this.#tick();
    const near = this.#late.filter(
      ({ atUnixMs, ms }) => atUnixMs > unixMs - LOOK_BACK_MS && atUnixMs - ms < unixMs,
    );
    return Math.max(0, ...near.map(({ ms }) => ms));
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const nowMs = performance.now();
    const ms = nowMs - this.#lastMs - TICK_MS;
    this.#lastMs = nowMs;
    if (ms < TICK_MS) return;
    this.#late.push({ atUnixMs: Date.now(), ms });
    if (this.#late.length > MAX_KEPT) this.#late.shift();
  }
}
