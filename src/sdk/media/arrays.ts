// Raw bytes seen as numbers, and numbers as pixels: the value rules of images and videos.
import type { DType, ValueRange } from './job.ts';

export type NumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array;

const VIEWS = {
  bool: Uint8Array,
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  float32: Float32Array,
  float64: Float64Array,
} as const;

export function asNumbers(content: Uint8Array, dtype: DType): NumberArray {
  const View = VIEWS[dtype];
  return new View(content.buffer as ArrayBuffer, content.byteOffset, content.length / View.BYTES_PER_ELEMENT);
}

/**
 * Pixels of 0 to 255. uint8 is taken as it is and bool is black and white. For everything else the whole array decides: all values
 * the same: zeros; all within [0, 1]: times 255; otherwise the least becomes 0 and the greatest 255. Results are rounded to the
 * nearest. With a range, that interval becomes 0 to 255 and what lies outside is clipped, whatever the element type.
 */
export function toPixels(
  values: NumberArray,
  dtype: DType,
  range: ValueRange | undefined,
): Uint8Array | Uint8ClampedArray {
  if (range === undefined && dtype === 'uint8') return values as Uint8Array;
  let from = 0;
  let to = 1;
  if (range !== undefined) [from, to] = range;
  else if (dtype !== 'bool') {
    const [min, max] = extent(values);
    if (min === max) return new Uint8Array(values.length);
    if (min < 0 || max > 1) {
      from = min;
      to = max;
    }
  }
  // A clamped array rounds to the nearest and clips by itself. Halving first: the distance of two doubles may be infinite.
  const pixels = new Uint8ClampedArray(values.length);
  const half = to / 2 - from / 2;
  for (let i = 0; i < values.length; i++) pixels[i] = ((values[i]! / 2 - from / 2) / half) * 255;
  return pixels;
}

/** Least and greatest value; NaN is passed over. `[0, 0]` where there is none. */
export function extent(values: ArrayLike<number>): [min: number, max: number] {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return min > max ? [0, 0] : [min, max];
}
