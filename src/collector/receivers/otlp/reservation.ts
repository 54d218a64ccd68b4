// One request's share of the collector's memory: grows before bytes are read or inflated, given back in one call.
import type { Ingest } from '../../component.ts';

export class Reservation {
  readonly #ingest: Pick<Ingest, 'reserve' | 'release'>;
  #held = 0;

  constructor(ingest: Pick<Ingest, 'reserve' | 'release'>) {
    this.#ingest = ingest;
  }

  get held(): number {
    return this.#held;
  }

  /** Make it at least `bytes` in all; false, and unchanged, when there is no room. */
  growTo(bytes: number): boolean {
    if (bytes <= this.#held) return true;
    if (!this.#ingest.reserve(bytes - this.#held)) return false;
    this.#held = bytes;
    return true;
  }

  /** Give back what is beyond `bytes`. */
  shrinkTo(bytes: number): void {
    if (bytes >= this.#held) return;
    this.#ingest.release(this.#held - bytes);
    this.#held = bytes;
  }

  release(): void {
    this.shrinkTo(0);
  }
}
