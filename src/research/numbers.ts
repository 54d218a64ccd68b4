// What counts as a number: numbers, booleans, bigints, and anything that holds exactly one of them.

export const INT64_MIN = -(2n ** 63n);
export const INT64_MAX = 2n ** 63n - 1n;
/** Largest step: whole numbers are exact up to here. */
export const MAX_STEP = 2 ** 53;

/** A tensor as TensorFlow.js and others have it. Reading it may wait for the device. */
interface TensorLike {
  readonly size?: number;
  dataSync(): ArrayLike<unknown>;
}

/**
 * The number in `value`; a bigint stays one within int64 and becomes the nearest double beyond; undefined for what is no
 * number. Booleans are 0 and 1. Typed arrays, arrays and tensors (anything with `dataSync`) of exactly one element are
 * taken for that element. Throws what the tensor's `dataSync` throws.
 */
export function toNumber(value: unknown): number | bigint | undefined {
  switch (typeof value) {
    case 'number':
      return value;
    case 'boolean':
      return value ? 1 : 0;
    case 'bigint':
      return value >= INT64_MIN && value <= INT64_MAX ? value : Number(value);
    case 'object':
      return value === null ? undefined : onlyElement(value);
    default:
      return undefined;
  }
}

/** The elements of an array, a typed array or a tensor as numbers; undefined for what is none of them. */
export function toNumbers(values: unknown): ArrayLike<number> | undefined {
  if (typeof values !== 'object' || values === null) return undefined;
  const elements = isTensor(values) ? values.dataSync() : values;
  if (elements instanceof BigInt64Array || elements instanceof BigUint64Array)
    return Array.from(elements, Number);
  if (ArrayBuffer.isView(elements))
    return elements instanceof DataView ? undefined : (elements as Float64Array);
  if (!Array.isArray(elements)) return undefined;
  return elements.every(element => typeof element === 'number')
    ? (elements as number[])
    : Array.from(elements, element => {
        const number = toNumber(element);
        return number === undefined ? Number.NaN : Number(number);
      });
}

/** A whole number from 0 to 2^53. */
export function isStep(step: unknown): step is number {
  return typeof step === 'number' && step >= 0 && step <= MAX_STEP && Math.trunc(step) === step;
}

function onlyElement(value: object): number | bigint | undefined {
  if (isTensor(value)) {
    if (value.size !== undefined && value.size !== 1) return undefined;
    const data = value.dataSync();
    return data.length === 1 ? primitive(data[0]) : undefined;
  }
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    const array = value as unknown as ArrayLike<unknown>;
    return array.length === 1 ? primitive(array[0]) : undefined;
  }
  return Array.isArray(value) && value.length === 1 ? primitive(value[0]) : undefined;
}

function primitive(value: unknown): number | bigint | undefined {
  return typeof value === 'object' ? undefined : toNumber(value);
}

function isTensor(value: object): value is TensorLike {
  return typeof (value as Partial<TensorLike>).dataSync === 'function';
}
