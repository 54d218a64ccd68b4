// Tensors of TensorFlow.js and what looks like them: how their values get into a checkpoint, and how they come back.

/** Anything with `shape` and `dataSync` or `data`. */
export interface TensorLike {
  readonly shape: readonly number[];
  readonly dtype?: string;
  dataSync?(): ArrayLike<unknown>;
  data?(): Promise<ArrayLike<unknown>>;
}

/** A tensor as `loadCheckpoint` gives it back where it is given no `tf`. */
export interface SavedTensor {
  /** Row-major: a typed array, or strings. A complex64 has real and imaginary parts in turn. */
  readonly data: ArrayLike<unknown>;
  readonly shape: readonly number[];
  readonly dtype: string;
}

/** The part of TensorFlow.js that makes tensors: `import * as tf from '@tensorflow/tfjs'` has it. */
export interface TensorMaker {
  tensor(values: never, shape: never, dtype: never): unknown;
  complex?(real: never, imaginary: never): unknown;
}

/** The values of tensors that could be read asynchronously only, read before the state is encoded. */
export type TensorValues = ReadonlyMap<object, ArrayLike<unknown>>;

/** Some tensors cannot be read at once (a WebGPU backend): they have to be awaited first. */
export class TensorsToAwait extends Error {
  readonly tensors: readonly TensorLike[];
  constructor(tensors: readonly TensorLike[]) {
    super('tensors that can be read asynchronously only');
    this.tensors = tensors;
  }
}

export function isTensor(value: object): value is TensorLike {
  const { shape, dataSync, data } = value as Partial<TensorLike>;
  return Array.isArray(shape) && (typeof dataSync === 'function' || typeof data === 'function');
}

export async function awaitTensors(tensors: readonly TensorLike[]): Promise<TensorValues> {
  const values = new Map<object, ArrayLike<unknown>>();
  for (const tensor of tensors) values.set(tensor, (await tensor.data?.()) ?? []);
  return values;
}

/** A tensor of `tf` with the saved values. */
export function restoreTensor({ data, shape, dtype }: SavedTensor, tf: TensorMaker): unknown {
  if (dtype !== 'complex64' || tf.complex === undefined)
    return tf.tensor(data as never, shape as never, dtype as never);
  const values = data as Float32Array;
  const half = (offset: 0 | 1): unknown =>
    tf.tensor(values.filter((_, i) => i % 2 === offset) as never, shape as never, 'float32' as never);
  return tf.complex(half(0) as never, half(1) as never);
}

/** What a typed array of such values is called by TensorFlow.js. */
export function dtypeOf(data: ArrayLike<unknown>): string {
  if (data instanceof Int32Array) return 'int32';
  if (data instanceof Uint8Array) return 'bool';
  return Array.isArray(data) && typeof data[0] === 'string' ? 'string' : 'float32';
}
