// Arrays as callers have them (tensors, typed arrays with a shape, nested arrays) as raw numbers with a shape. The numbers are not copied.
import type { DType, RawArray } from '../../sdk/media/job.ts';
import { kindOf } from '../checks.ts';

/** What counts as an array: a tensor (anything with `shape` and `dataSync`), `{data, shape}`, `{data, width, height}`, a typed array, nested arrays. */
export type ArrayInput = unknown;

/** The shape of a typed array that has none of its own. */
export interface ShapeOptions {
  /** Sizes of the axes, such as `[height, width, 3]`. */
  readonly shape?: readonly number[];
  /** Instead of a shape: the array is rows of pixels, channels last. */
  readonly width?: number;
  readonly height?: number;
}

/** Numbers in the memory that they came in. */
export interface Numbers extends RawArray {
  readonly data: ArrayBufferView & ArrayLike<number>;
}

/** Axes of one array. */
const MAX_DIMENSIONS = 5;
const TYPES = new Map<string, DType>([
  ['Uint8Array', 'uint8'],
  ['Uint8ClampedArray', 'uint8'],
  ['Int8Array', 'int8'],
  ['Uint16Array', 'uint16'],
  ['Int16Array', 'int16'],
  ['Uint32Array', 'uint32'],
  ['Int32Array', 'int32'],
  ['Float32Array', 'float32'],
  ['Float64Array', 'float64'],
]);

/**
 * Undefined for what is no array at all. Throws a TypeError for one whose elements are no numbers, and a RangeError for a shape that
 * does not fit; messages begin with `subject`.
 */
export function readArray(
  subject: string,
  value: ArrayInput,
  options: ShapeOptions = {},
): Numbers | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (Array.isArray(value)) return flattened(subject, value);
  if (ArrayBuffer.isView(value)) return shaped(subject, value, undefined, options);
  const { shape, dtype, data, width, height } = value as {
    [key in 'shape' | 'dtype' | 'data' | 'width' | 'height']?: unknown;
  };
  if (typeof (value as { dataSync?: unknown }).dataSync === 'function') {
    const elements: unknown = (value as { dataSync(): unknown }).dataSync();
    return shaped(subject, elements, dtype, { shape: (shape ?? []) as number[] });
  }
  if (data === undefined) return undefined;
  const own: ShapeOptions =
    shape === undefined
      ? { width: width as number, height: height as number }
      : { shape: shape as readonly number[] };
  return shaped(subject, Array.isArray(data) ? Float64Array.from(data as number[]) : data, dtype, own);
}

/** The first element that is NaN or infinite; -1 for none. Whole numbers are not looked at. */
export function firstNotFinite({ data, dtype }: Numbers): number {
  if (dtype !== 'float32' && dtype !== 'float64') return -1;
  // Zero times anything finite is zero. Four sums at once: each addition waits for the one before it.
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const whole = data.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    a += data[i]! * 0;
    b += data[i + 1]! * 0;
    c += data[i + 2]! * 0;
    d += data[i + 3]! * 0;
  }
  for (let i = whole; i < data.length; i++) a += data[i]! * 0;
  if (a + b + c + d === 0) return -1;
  for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i]!)) return i;
  return -1;
}

/** Where element `i` stands, as in `[0, 12, 3]`. */
export function placeOf(shape: readonly number[], i: number): string {
  const place: number[] = [];
  let rest = i;
  for (const size of [...shape].reverse()) {
    place.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return `[${place.join(', ')}]`;
}

export function bytesOf({ data }: Numbers): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function shaped(subject: string, elements: unknown, dtype: unknown, options: ShapeOptions): Numbers {
  let data = elements;
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) data = Float64Array.from(data, Number);
  // By name: the array may come from another realm.
  const type = TYPES.get(Object.prototype.toString.call(data).slice('[object '.length, -1));
  if (type === undefined)
    throw new TypeError(`kymo: ${subject} must have elements that are numbers, not ${kindOf(data)}`);
  const numbers = data as Numbers['data'];
  const own = dtype === 'bool' ? 'bool' : type;
  return { data: numbers, dtype: own, shape: shapeOf(subject, numbers.length, options) };
}

function shapeOf(subject: string, length: number, options: ShapeOptions): readonly number[] {
  const { width, height } = options;
  let shape: readonly number[] = [length];
  if (options.shape !== undefined) shape = [...options.shape];
  else if (width !== undefined || height !== undefined) {
    const channels = length / (Number(width) * Number(height));
    shape = channels === 1 ? [height!, width!] : [height!, width!, channels];
  }
  const product = shape.reduce((sum, side) => sum * side, 1);
  if (!shape.every(side => Number.isSafeInteger(side) && side >= 0) || product !== length)
    throw new RangeError(
      `kymo: ${subject} has ${length} elements, which do not make the shape [${shape.join(', ')}]`,
    );
  if (shape.length > MAX_DIMENSIONS)
    throw new RangeError(`kymo: ${subject} has ${shape.length} axes; at most ${MAX_DIMENSIONS} are taken`);
  return shape;
}

/** Nested arrays of numbers or booleans, all of one length on each level. */
function flattened(subject: string, value: readonly unknown[]): Numbers {
  const shape: number[] = [];
  let inner: unknown = value;
  for (; Array.isArray(inner) || isTyped(inner); inner = inner[0]) {
    shape.push(inner.length);
    if (shape.length > MAX_DIMENSIONS)
      throw new RangeError(`kymo: ${subject} nests deeper than ${MAX_DIMENSIONS} levels`);
  }
  const count = shape.reduce((sum, side) => sum * side, 1);
  const out = new Float64Array(count);
  const booleans = typeof inner === 'boolean';
  let at = 0;
  const fill = (level: ArrayLike<unknown>, depth: number): void => {
    if (level.length !== shape[depth])
      throw new RangeError(
        `kymo: ${subject} is ragged: ${level.length} elements at depth ${depth}, ${shape[depth]} in the first of its kind`,
      );
    for (let i = 0; i < level.length; i++) {
      const item = level[i];
      if (depth < shape.length - 1) {
        if (!Array.isArray(item) && !isTyped(item))
          throw new RangeError(`kymo: ${subject} is ragged: ${kindOf(item)} among arrays`);
        fill(item, depth + 1);
      } else if (typeof item === 'number' || typeof item === 'boolean') out[at++] = Number(item);
      else throw new TypeError(`kymo: ${subject} must have elements that are numbers, not ${kindOf(item)}`);
    }
  };
  fill(value, 0);
  return booleans
    ? { data: Uint8Array.from(out), dtype: 'bool', shape }
    : { data: out, dtype: 'float64', shape };
}

function isTyped(value: unknown): value is ArrayLike<number> {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}
