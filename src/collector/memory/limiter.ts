// Keeps the process within a limit of memory, measured as the system does (RSS): what comes is pushed back before it is read.
import type { Logger } from '../component.ts';
import {
  BASE_BYTES,
  DEFAULT_CHECK_INTERVAL_MS,
  DEFAULT_HARD_GC_INTERVAL_MS,
  DEFAULT_SOFT_GC_INTERVAL_MS,
  DEFAULT_SPIKE_SHARE,
  FEED_SHARE,
  GROWTH,
  MIN_AVAILABLE_BYTES,
  READING_MAX_ADMITTED_BYTES,
  READING_MAX_AGE_MS,
  REQUEST_SHARE,
  SMALL_REQUEST_BYTES,
  SMALL_REQUESTS_SPIKE_SHARE,
  STUCK_LOG_INTERVAL_MS,
  TAIL_SHARE,
} from './limits.ts';

export interface MemoryLimits {
  /** The process is to stay below. */
  readonly hardBytes: number;
  /** From here on what comes is pushed back; the difference is room for what is under way. By default 80 % of the hard one. */
  readonly softBytes?: number;
  readonly checkIntervalMs?: number;
  readonly minGcIntervalSoftMs?: number;
  readonly minGcIntervalHardMs?: number;
}

/** What the limiter measures, and what it can do. */
export interface MemorySource {
  /** Resident bytes of the process. */
  rss(): number;
  collectGarbage(): void;
}

/** Memory that parts of the collector may take, so that together they stay within the soft limit. */
export interface MemoryShares {
  readonly tailBytes: number;
  readonly feedBytes: number;
  /** One request, in all its forms. */
  readonly requestBytes: number;
}

export interface LimiterStats {
  readonly hardBytes: number;
  readonly softBytes: number;
  readonly rssBytes: number;
  /** Above the soft limit: what comes is pushed back. */
  readonly refusing: boolean;
  /** Requests pushed back. */
  readonly refused: number;
  readonly collections: number;
}

export class MemoryLimiter {
  readonly shares: MemoryShares;
  readonly #hard: number;
  readonly #soft: number;
  readonly #checkIntervalMs: number;
  readonly #gcSoftMs: number;
  readonly #gcHardMs: number;
  readonly #source: MemorySource;
  readonly #logger: Logger;
  readonly #caches: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #rss = 0;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #admittedSince = 0;
  #refusing = false;
  #collectedAtMs = Number.NEGATIVE_INFINITY;
  #stuckSaidMs = Number.NEGATIVE_INFINITY;
  #refused = 0;
  #collections = 0;
  #inFlight = 0;

  constructor(limits: MemoryLimits, source: MemorySource, logger: Logger) {
    this.#hard = limits.hardBytes;
    this.#soft = limits.softBytes ?? this.#hard * (1 - DEFAULT_SPIKE_SHARE);
    this.#checkIntervalMs = limits.checkIntervalMs ?? DEFAULT_CHECK_INTERVAL_MS;
    this.#gcSoftMs = limits.minGcIntervalSoftMs ?? DEFAULT_SOFT_GC_INTERVAL_MS;
    this.#gcHardMs = limits.minGcIntervalHardMs ?? DEFAULT_HARD_GC_INTERVAL_MS;
    this.#source = source;
    this.#logger = logger;
    const available = Math.max(this.#soft - BASE_BYTES, MIN_AVAILABLE_BYTES);
    this.shares = {
      tailBytes: available * TAIL_SHARE,
      feedBytes: available * FEED_SHARE,
      requestBytes: available * REQUEST_SHARE,
    };
  }

  start(): void {
    this.#timer = setInterval(() => this.check(), this.#checkIntervalMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** What can be let go of when memory is short: called before garbage is collected. */
  onPressure(letGo: () => void): void {
    this.#caches.push(letGo);
  }

  /**
   * Whether so many bytes more may come in. `inFlight` bytes have been let in and not been answered, some of which are not
   * here yet: they count twice where they are, which is the room for what becomes of them.
   */
  admit(bytes: number, inFlight: number): boolean {
    this.#inFlight = inFlight;
    if (this.#fits(bytes, inFlight)) return true;
    this.check();
    if (this.#fits(bytes, inFlight)) return true;
    // Garbage may be all that stands in its way.
    this.#collect();
    if (this.#fits(bytes, inFlight)) return true;
    this.#refused++;
    return false;
  }

  /** Reads the memory, and does something about it where it is too much. */
  check(): void {
    this.#read();
    if (this.#rss > this.#soft) this.#collect();
    const refusing = this.#rss > this.#soft;
    if (refusing !== this.#refusing) {
      this.#refusing = refusing;
      const numbers = { rss_mib: mebibytes(this.#rss), soft_mib: mebibytes(this.#soft) };
      if (refusing) this.#logger.warn('memory is above the soft limit: what comes is pushed back', numbers);
      else this.#logger.info('memory is below the soft limit again', numbers);
    }
    if (refusing && this.#inFlight === 0) this.#tellStuck();
  }

  stats(): LimiterStats {
    return {
      hardBytes: this.#hard,
      softBytes: this.#soft,
      rssBytes: this.#source.rss(),
      refusing: this.#refusing,
      refused: this.#refused,
      collections: this.#collections,
    };
  }

  #fits(bytes: number, inFlight: number): boolean {
    const isOld = performance.now() - this.#readAtMs > READING_MAX_AGE_MS;
    if (isOld || this.#admittedSince + bytes > READING_MAX_ADMITTED_BYTES) this.#read();
    const here = this.#rss + this.#admittedSince + bytes;
    const isSmall = bytes <= SMALL_REQUEST_BYTES;
    const small = this.#soft + (this.#hard - this.#soft) * SMALL_REQUESTS_SPIKE_SHARE;
    // Where nothing is under way, one is always let in that the hard limit allows: so memory that does not come back stops nobody.
    const fits =
      here + (GROWTH - 1) * (this.#admittedSince + bytes) + GROWTH * inFlight <= this.#soft ||
      (inFlight === 0 && here + bytes <= this.#hard) ||
      (isSmall && here <= small);
    if (!fits) return false;
    this.#admittedSince += bytes;
    return true;
  }

  #read(): void {
    this.#rss = this.#source.rss();
    this.#readAtMs = performance.now();
    this.#admittedSince = 0;
  }

  #collect(): void {
    const nowMs = performance.now();
    // Half way to the hard limit already: at the limit it would be too late.
    const isUrgent = this.#rss > (this.#soft + this.#hard) / 2;
    if (nowMs - this.#collectedAtMs < (isUrgent ? this.#gcHardMs : this.#gcSoftMs)) return;
    for (const letGo of this.#caches) letGo();
    this.#source.collectGarbage();
    this.#collections++;
    this.#read();
    this.#collectedAtMs = performance.now();
  }

  #tellStuck(): void {
    const nowMs = performance.now();
    if (nowMs - this.#stuckSaidMs < STUCK_LOG_INTERVAL_MS) return;
    this.#stuckSaidMs = nowMs;
    this.#logger.error(
      'memory is above the soft limit while nothing is under way: one request at a time is taken, at most; raise processors::memory_limiter::limit_mib',
      { rss_mib: mebibytes(this.#rss), soft_mib: mebibytes(this.#soft), hard_mib: mebibytes(this.#hard) },
    );
  }
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}
