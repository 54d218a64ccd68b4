// Devices whose memory is the host's: tensors as typed arrays without a copy, where windows are put together row by row.
//
// `cpu` takes a microsecond per element for what is a copy, and `wasm` gathers rows no faster than that; both hand out their memory.
import type { TensorInfo, TypedArray } from '@tensorflow/tfjs-core';
import type { FieldDType } from './spec.ts';
import { type Tensor, type TensorFlow, TYPED_ARRAYS } from './tensorflow.ts';

export interface HostMemory {
  /** The values of a tensor, to be read before anything else is made. */
  values(tensor: Tensor): TypedArray;
  /** A tensor that `fill` writes; its values are not zero before. */
  make(shape: number[], dtype: FieldDType, fill: (values: TypedArray) => void): Tensor;
}

/** What is used of the wasm backend; it is not promised to anybody. */
interface WasmBackend {
  typedArrayFromHeap(tensor: TensorInfo): TypedArray;
  makeOutput(shape: number[], dtype: FieldDType): TensorInfo;
}

/** Undefined for a device with memory of its own, and where the backend looks different than expected. */
export function hostMemoryOf(tf: TensorFlow): HostMemory | undefined {
  switch (tf.getBackend()) {
    case 'cpu':
      return {
        values: tensor => tensor.dataSync(),
        make: (shape, dtype, fill) => {
          const values = new TYPED_ARRAYS[dtype](shape.reduce((product, side) => product * side, 1));
          fill(values);
          return tf.tensor(values, shape, dtype);
        },
      };
    case 'wasm': {
      const backend = tf.backend() as unknown as Partial<WasmBackend>;
      if (typeof backend.typedArrayFromHeap !== 'function' || typeof backend.makeOutput !== 'function')
        return undefined;
      const wasm = backend as WasmBackend;
      return {
        values: tensor => wasm.typedArrayFromHeap(tensor),
        make: (shape, dtype, fill) => {
          // Making room may move the heap: views of it are taken afterwards.
          const output = wasm.makeOutput(shape, dtype);
          fill(wasm.typedArrayFromHeap(output));
          return tf.engine().makeTensorFromTensorInfo(output);
        },
      };
    }
    default:
      return undefined;
  }
}
