// Who waits for an exporter's durable position, with the lowest one at hand for a question asked at every batch.
import type { Position } from '../component.ts';

interface Waiter {
  readonly position: Position;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class Waiters {
  readonly #waiters = new Set<Waiter>();
  #lowest: Position = Infinity;

  /** The lowest position that somebody waits for; Infinity for none. */
  get lowest(): Position {
    return this.#lowest;
  }

  /** Resolves once `answer` is called with `position` or more; rejects by `signal` with `goneMessage`, or by `rejectAll`. */
  add(position: Position, signal: AbortSignal | undefined, goneMessage: string): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(new Error(goneMessage));
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        if (!this.#waiters.delete(waiter)) return;
        this.#findLowest();
        reject(new Error(goneMessage));
      };
      const done = (): void => signal?.removeEventListener('abort', giveUp);
      const waiter: Waiter = {
        position,
        resolve: () => {
          done();
          resolve();
        },
        reject: error => {
          done();
          reject(error);
        },
      };
      this.#waiters.add(waiter);
      this.#lowest = Math.min(this.#lowest, position);
      signal?.addEventListener('abort', giveUp, { once: true });
    });
  }

  answer(position: Position): void {
    if (this.#lowest > position) return;
    for (const waiter of this.#waiters) {
      if (waiter.position > position) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
    this.#findLowest();
  }

  rejectAll(message: string): void {
    for (const waiter of this.#waiters) waiter.reject(new Error(message));
    this.#waiters.clear();
    this.#lowest = Infinity;
  }

  #findLowest(): void {
    this.#lowest = Infinity;
    for (const waiter of this.#waiters) this.#lowest = Math.min(this.#lowest, waiter.position);
  }
}
