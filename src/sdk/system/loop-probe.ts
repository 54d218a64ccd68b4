// What only the calling thread can see of itself (event loop, garbage collection, heap), left in shared memory for the worker.
import { monitorEventLoopDelay, PerformanceObserver, performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';

/** Words of the shared memory, as indices into a Float64Array. The caller's thread writes, the worker reads. */
export const WRITTEN_AT = 0; // Unix ms; 0 before the first time
export const TURNED_AT = 1; // Unix ms of the event loop's last turn that was seen
export const DELAY_MEAN = 2; // seconds, as all delays; NaN where the loop did not turn
export const DELAY_P50 = 3;
export const DELAY_P90 = 4;
export const DELAY_P99 = 5;
export const DELAY_MAX = 6;
export const UTILIZATION = 7; // 0 to 1
export const GC_SECONDS = 8; // since the start
export const GC_COUNT = 9;
export const HEAP_USED = 10;
export const HEAP_LIMIT = 11;
export const EXTERNAL = 12;
/** As many as there are, and a little room: the runtime makes the memory before this is loaded. */
export const PROBE_WORDS = 16;

/** Delays shorter than this are not told apart; the timer behind it wakes the process as often, and is natively unreferenced. */
const RESOLUTION_MS = 50;

export class LoopProbe {
  readonly #words: Float64Array;
  readonly #intervalMs: number;
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #collections = new PerformanceObserver(list => this.#count(list.getEntries()));
  readonly #timer: NodeJS.Timeout;
  #utilization = performance.eventLoopUtilization();
  #nextMs = 0;

  constructor(memory: SharedArrayBuffer, intervalMs: number) {
    this.#words = new Float64Array(memory, 0, PROBE_WORDS);
    this.#intervalMs = intervalMs;
    this.#delay.enable();
    this.#collections.observe({ entryTypes: ['gc'] });
    this.#timer = setInterval(() => {
      this.#words[TURNED_AT] = Date.now();
      this.#write();
    }, intervalMs);
    this.#timer.unref();
    this.#words[TURNED_AT] = Date.now();
    this.#nextMs = performance.now() + intervalMs * OVERDUE;
  }

  /**
   * To be called by every recording call with the time it has read anyway: in a synchronous loop no timer fires, and what has been
   * observed has to be taken in somewhere.
   */
  recording(nowMs: number): void {
    if (nowMs >= this.#nextMs) this.#write();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#delay.disable();
    this.#collections.disconnect();
    this.#nextMs = Number.POSITIVE_INFINITY;
  }

  #write(): void {
    this.#nextMs = performance.now() + this.#intervalMs * OVERDUE;
    const words = this.#words;
    this.#count(this.#collections.takeRecords());
    const delay = this.#delay;
    const turned = delay.count > 0;
    const seconds = (ns: number): number =>
      turned ? Math.max(0, ns / 1e9 - RESOLUTION_MS / 1e3) : Number.NaN;
    words[DELAY_MEAN] = seconds(delay.mean);
    words[DELAY_P50] = seconds(delay.percentile(50));
    words[DELAY_P90] = seconds(delay.percentile(90));
    words[DELAY_P99] = seconds(delay.percentile(99));
    words[DELAY_MAX] = seconds(delay.max);
    delay.reset();
    const before = this.#utilization;
    this.#utilization = performance.eventLoopUtilization();
    words[UTILIZATION] = performance.eventLoopUtilization(this.#utilization, before).utilization;
    const heap = getHeapStatistics();
    words[HEAP_USED] = heap.used_heap_size;
    words[HEAP_LIMIT] = heap.heap_size_limit;
    words[EXTERNAL] = heap.external_memory;
    words[WRITTEN_AT] = Date.now();
  }

  #count(entries: readonly { readonly duration: number }[]): void {
    for (const { duration } of entries) this.#words[GC_SECONDS]! += duration / 1e3;
    this.#words[GC_COUNT]! += entries.length;
  }
}

/** The timer comes first where it can. */
const OVERDUE = 1.5;
