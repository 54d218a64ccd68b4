// Collects scalar points into growing columns.
import type { PointContext, ScalarColumns, Series } from './model.ts';

const FIRST_CAPACITY = 256;
const TWO_32 = 0x1_0000_0000;

/** Columns under construction. `finish` gives them away; the builder is of no use afterwards. */
export class ColumnBuilder {
  readonly series: Series[] = [];
  count = 0;
  #capacity = FIRST_CAPACITY;
  #seriesIndex = new Uint32Array(FIRST_CAPACITY);
  #timeWords = new Uint32Array(FIRST_CAPACITY * 2);
  #value = new Float64Array(FIRST_CAPACITY);
  #step = new Float64Array(FIRST_CAPACITY);
  #bigValue: Map<number, bigint> | undefined;
  #context: Map<number, PointContext> | undefined;

  /** @param step NaN for none. */
  add(seriesIndex: number, timeLow: number, timeHigh: number, value: number, step: number): void {
    const at = this.count;
    if (at === this.#capacity) this.#grow();
    this.#seriesIndex[at] = seriesIndex;
    this.#timeWords[2 * at] = timeLow;
    this.#timeWords[2 * at + 1] = timeHigh;
    this.#value[at] = value;
    this.#step[at] = step;
    this.count = at + 1;
  }

  /** For the point added last: the integer that its `value` cannot hold exactly. */
  exact(value: bigint): void {
    this.#bigValue ??= new Map();
    this.#bigValue.set(this.count - 1, value);
  }

  /** For the point added last. */
  context(context: PointContext): void {
    this.#context ??= new Map();
    this.#context.set(this.count - 1, context);
  }

  finish(): ScalarColumns {
    const { count } = this;
    return {
      count,
      series: this.series,
      seriesIndex: this.#seriesIndex.subarray(0, count),
      timeUnixNano: new BigUint64Array(this.#timeWords.buffer, 0, count),
      timeWords: this.#timeWords.subarray(0, 2 * count),
      value: this.#value.subarray(0, count),
      bigValue: this.#bigValue,
      step: this.#step.subarray(0, count),
      context: this.#context,
    };
  }

  #grow(): void {
    this.#capacity *= 2;
    this.#seriesIndex = grown(this.#seriesIndex, new Uint32Array(this.#capacity));
    this.#timeWords = grown(this.#timeWords, new Uint32Array(this.#capacity * 2));
    this.#value = grown(this.#value, new Float64Array(this.#capacity));
    this.#step = grown(this.#step, new Float64Array(this.#capacity));
  }
}

/** 64 bits as the nearest double, and exactly where that is not the same. */
export function unsigned64(low: number, high: number): { value: number; exact: bigint | undefined } {
  const value = high * TWO_32 + low;
  if (Number.isSafeInteger(value)) return { value, exact: undefined };
  const exact = (BigInt(high) << 32n) | BigInt(low);
  return { value: Number(exact), exact };
}

function grown<T extends Uint32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
