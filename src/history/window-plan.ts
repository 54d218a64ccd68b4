// One window to read, and what is known about it without asking the device.
import type { ResetAt } from './clock.ts';
import type { FieldState } from './state.ts';
import type { TensorFlow } from './tensorflow.ts';

export interface Window {
  readonly tf: TensorFlow;
  readonly field: FieldState;
  readonly batchSize: number;
  readonly positions: number;
  /** Frame number of the first position. */
  readonly first: number;
  /** `zeros` or `ones`, or `randn`: what stands where a row has no frame. */
  readonly fill: number | 'randn';
  readonly resetAt: ResetAt;
  /** Every frame of every row is there: nothing has to be masked. */
  readonly complete: boolean;
}
