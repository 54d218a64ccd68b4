// Where receivers put requests: the journal, with a bound on the memory of everything under way.
import type { Ingest, IngestRequest, IngestResult } from '../component.ts';
import type { MemoryLimiter } from '../memory/limiter.ts';
import type { Journal } from './journal.ts';
import { DEFAULT_MAX_IN_FLIGHT_BYTES } from './limits.ts';

export class JournalIngest implements Ingest {
  readonly #journal: Journal;
  readonly #maxInFlightBytes: number;
  readonly #limiter: MemoryLimiter | undefined;
  #reserved = 0;
  #refusedReservations = 0;

  constructor(
    journal: Journal,
    options: { readonly maxInFlightBytes?: number; readonly limiter?: MemoryLimiter } = {},
  ) {
    this.#journal = journal;
    this.#maxInFlightBytes = options.maxInFlightBytes ?? DEFAULT_MAX_IN_FLIGHT_BYTES;
    this.#limiter = options.limiter;
  }

  get maxRequestBytes(): number {
    return Math.min(this.#maxInFlightBytes, this.#limiter?.shares.requestBytes ?? Number.POSITIVE_INFINITY);
  }

  /** Bytes promised to requests that are being read or written. */
  get inFlightBytes(): number {
    return this.#reserved;
  }
  /** Requests that were told to come again because of memory. */
  get refusedReservations(): number {
    return this.#refusedReservations;
  }

  async submit(request: IngestRequest): Promise<IngestResult> {
    const result = await this.#journal.append(request);
    return result.kind === 'stored' ? { ...result, journal: this.#journal.id } : result;
  }

  reserve(bytes: number): boolean {
    const fits = this.#reserved + bytes <= this.#maxInFlightBytes;
    if (!fits || this.#limiter?.admit(bytes, this.#reserved) === false) {
      this.#refusedReservations++;
      return false;
    }
    this.#reserved += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#reserved -= bytes;
    if (this.#reserved < 0) throw new Error(`released ${-this.#reserved} bytes more than were reserved`);
  }
}
