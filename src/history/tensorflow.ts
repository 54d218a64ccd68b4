// What histories need of TensorFlow.js: the caller passes it, so that nothing here loads a backend or decides for one.
import type * as core from '@tensorflow/tfjs-core';
import { kindOf } from '../research/checks.ts';
import { nodeBackendOf } from './bitwise.ts';
import type { FieldDType } from './spec.ts';
import type { HostArray } from './tensor-types.ts';
import { webgpuOf } from './webgpu/backend.ts';

const FUNCTIONS = [
  'add',
  'backend',
  'bitwiseAnd',
  'cast',
  'concat',
  'cos',
  'div',
  'engine',
  'fill',
  'floorDiv',
  'gather',
  'getBackend',
  'getKernelsForBackend',
  'greaterEqual',
  'keep',
  'isNaN',
  'log',
  'max',
  'mean',
  'min',
  'minimum',
  'maximum',
  'mul',
  'notEqual',
  'range',
  'reshape',
  'scalar',
  'slice',
  'sqrt',
  'square',
  'stack',
  'sub',
  'sum',
  'tensor',
  'tidy',
  'where',
] as const;

/** `import * as tf from '@tensorflow/tfjs-core'` and every package that has its functions: tfjs, tfjs-node, tfjs-node-gpu. */
export type TensorFlow = Pick<typeof core, (typeof FUNCTIONS)[number]>;
export type Tensor = core.Tensor;

/** What updates and whole windows run. Kernels of observers are asked for when somebody observes. */
const KERNELS = ['Add', 'Cast', 'Concat', 'Fill', 'GatherV2', 'GreaterEqual', 'Reshape', 'Select'] as const;
/** Further ones for windows of `randn` fields, where they are not made by a kernel of ours or on the host. */
const NOISE_KERNELS = ['BitwiseAnd', 'Cos', 'FloorDiv', 'Log', 'Multiply', 'Sqrt', 'Sub'] as const;
/** Kernels that some backends have under no name because the operation is a view to them. */
const BUILT_IN: ReadonlySet<string> = new Set(['Fill']);
/** Backends whose memory is the host's: reading it waits for nobody. */
const HOST_BACKENDS: ReadonlySet<string> = new Set(['cpu', 'wasm']);

export const TYPED_ARRAYS = {
  float32: Float32Array,
  int32: Int32Array,
  bool: Uint8Array,
} as const satisfies Record<FieldDType, unknown>;

/** Throws unless `tf` and its backend can do what histories do. @param call who asks, for the message */
export function checkTensorFlow(call: string, tf: TensorFlow, noise: boolean): void {
  const given: unknown = tf;
  if ((typeof given !== 'object' && typeof given !== 'function') || given === null)
    throw new TypeError(
      `kymo: ${call}(tf) must be TensorFlow.js (import * as tf from '@tensorflow/tfjs'), not ${kindOf(given)}`,
    );
  const missing = FUNCTIONS.filter(name => typeof (given as Record<string, unknown>)[name] !== 'function');
  if (missing.length > 0)
    throw new TypeError(
      `kymo: ${call}(tf) must be TensorFlow.js 4.22 or one that has its functions; it lacks ${missing.slice(0, 5).join(', ')}`,
    );
  const backend = startedBackend(call, tf);
  const known = new Set(tf.getKernelsForBackend(backend).map(kernel => kernel.kernelName));
  const ownNoise = isHostMemory(tf) || webgpuOf(tf) !== undefined;
  const needed = noise && !ownNoise ? [...KERNELS, ...NOISE_KERNELS] : KERNELS;
  const lacking = needed.filter(
    kernel => !known.has(kernel) && !BUILT_IN.has(kernel) && !(kernel === 'BitwiseAnd' && nodeBackendOf(tf)),
  );
  if (lacking.length > 0)
    throw new TypeError(
      `kymo: ${call}(tf): the backend ${backend} cannot ${lacking.join(', ')}, which histories need; use wasm, webgpu, cpu or tensorflow`,
    );
}

/** The name of the backend in use; TensorFlow.js starts it with the first call, if it can be started at once. */
function startedBackend(call: string, tf: TensorFlow): string {
  try {
    tf.backend();
  } catch (error) {
    throw new TypeError(
      `kymo: ${call}(tf): no backend is ready; import one (@tensorflow/tfjs-backend-wasm, …) and await tf.ready() first`,
      { cause: error },
    );
  }
  return tf.getBackend();
}

/** The device is the host: `cpu` and `wasm`. */
export function isHostMemory(tf: TensorFlow): boolean {
  return HOST_BACKENDS.has(tf.getBackend());
}

/** The typed array that holds values of `dtype`; of another thread's or context's making, too. */
export function isArrayOf<D extends FieldDType>(dtype: D, value: unknown): value is HostArray<D> {
  return Object.prototype.toString.call(value) === `[object ${TYPED_ARRAYS[dtype].name}]`;
}

/** A duck is a tensor: several copies of TensorFlow.js may be installed. */
export function isTensor(value: unknown): value is Tensor {
  return (
    typeof value === 'object' &&
    value !== null &&
    'dataId' in value &&
    'shape' in value &&
    'dtype' in value &&
    Array.isArray(value.shape)
  );
}
