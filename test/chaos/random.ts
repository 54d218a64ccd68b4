// Random choices that a seed replays: the same seed gives the same payloads, step orders and moments of faults.

/** A 32-bit hash of a few whole numbers (the finishing steps of MurmurHash3). */
export function mix(...parts: readonly number[]): number {
  let hash = 0x9e3779b9;
  for (const part of parts) {
    hash = Math.imul(hash ^ part, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    hash ^= hash >>> 16;
  }
  return hash >>> 0;
}

export class Random {
  readonly seed: number;
  #drawn = 0;

  constructor(seed: number) {
    this.seed = seed >>> 0;
  }

  /** From 0 up to, not including, 1. */
  next(): number {
    return mix(this.seed, this.#drawn++) / 2 ** 32;
  }
  /** A whole number from 0 up to, not including, `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }
  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }
  chance(probability: number): boolean {
    return this.next() < probability;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
  shuffled<T>(from: readonly T[]): T[] {
    const list = [...from];
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [list[i], list[j]] = [list[j]!, list[i]!];
    }
    return list;
  }
  /** Choices of their own, so that what one part draws does not move what another one does. */
  fork(name: number): Random {
    return new Random(mix(this.seed, 0x5eed, name));
  }
}
