// The bits that two int32 tensors have in common: an operation of TensorFlow.js 4.22 that tfjs-node has not been taught.
import type { Tensor, TensorFlow } from './tensorflow.ts';

/** What tfjs-node's backend offers its own kernels: any operation of TensorFlow by name. */
interface NodeBackend {
  readonly binding: { readonly TF_ATTR_TYPE: number; readonly TF_INT32: number };
  executeSingleOutput(name: string, attributes: readonly object[], inputs: readonly Tensor[]): Tensor;
}

export function bitwiseAnd(tf: TensorFlow, a: Tensor, b: Tensor): Tensor {
  const backend = nodeBackendOf(tf);
  if (backend === undefined) return tf.bitwiseAnd(a, b);
  const { TF_ATTR_TYPE, TF_INT32 } = backend.binding;
  return backend.executeSingleOutput(
    'BitwiseAnd',
    [{ name: 'T', type: TF_ATTR_TYPE, value: TF_INT32 }],
    [a, b],
  );
}

/** The backend if it is tfjs-node's and looks as expected. */
export function nodeBackendOf(tf: TensorFlow): NodeBackend | undefined {
  const backend = tf.backend() as unknown as Partial<NodeBackend>;
  const known =
    tf.getBackend() === 'tensorflow' &&
    typeof backend.executeSingleOutput === 'function' &&
    typeof backend.binding?.TF_INT32 === 'number';
  return known ? (backend as NodeBackend) : undefined;
}
