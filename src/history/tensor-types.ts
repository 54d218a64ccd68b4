// What TypeScript knows about the tensors of a history: the rank of a window from the shape of its field.
import type { Rank, Tensor, Tensor2D, Tensor3D, Tensor4D, Tensor5D } from '@tensorflow/tfjs-core';
import type { FieldDType } from './spec.ts';

/** `[B, T, ...shape]`, by the rank of `shape`. */
interface WindowByRank {
  readonly 0: Tensor2D;
  readonly 1: Tensor3D;
  readonly 2: Tensor4D;
  readonly 3: Tensor5D;
  readonly 4: Tensor<Rank.R6>;
}

/** A tensor of any rank where the shape is not known to TypeScript, or longer than its types go. */
export type WindowTensor<S extends readonly number[]> = S['length'] extends keyof WindowByRank
  ? WindowByRank[S['length']]
  : Tensor;

interface HostArrays {
  readonly float32: Float32Array;
  readonly int32: Int32Array;
  readonly bool: Uint8Array;
}
export type HostArray<D extends FieldDType> = HostArrays[D];
