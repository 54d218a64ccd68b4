// What a history means, as plainly as it can be said: shift the window by one, append the frame, begin reset rows anew. No device, no sharing.
import type { FieldInit } from '../../src/history/spec.ts';

export interface ModelField {
  readonly length: number;
  readonly elements: number;
  readonly init: FieldInit;
}

export class Model {
  readonly #fields: ReadonlyMap<string, ModelField>;
  readonly #batchSize: number;
  /** Per field `[B][T][N]`; NaN where a random value stands. */
  readonly windows = new Map<string, number[][][]>();

  constructor(fields: Readonly<Record<string, ModelField>>, batchSize: number) {
    this.#fields = new Map(Object.entries(fields));
    this.#batchSize = batchSize;
    for (const [name, field] of this.#fields)
      this.windows.set(
        name,
        Array.from({ length: batchSize }, () => this.#fresh(field)),
      );
  }

  update(frames: Readonly<Record<string, ArrayLike<number>>>, mask?: readonly boolean[]): void {
    for (const [name, field] of this.#fields) {
      const window = this.windows.get(name)!;
      const frame = frames[name];
      for (let row = 0; row < this.#batchSize; row++) {
        if (mask?.[row] === true && field.init !== 'none') {
          window[row] = this.#fresh(field);
          continue;
        }
        if (frame === undefined) continue;
        const values = Array.from({ length: field.elements }, (_, i) => frame[row * field.elements + i]!);
        window[row] = [...window[row]!.slice(1), values];
      }
    }
  }

  values(name: string, start = 0, length = this.#fields.get(name)!.length): number[] {
    return this.windows.get(name)!.flatMap(row => row.slice(start, start + length).flat());
  }

  #fresh(field: ModelField): number[][] {
    const value = field.init === 'ones' ? 1 : field.init === 'randn' ? Number.NaN : 0;
    return Array.from({ length: field.length }, () => new Array<number>(field.elements).fill(value));
  }
}

/** A seeded random source (mulberry32): uniform in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
