// A tensor that several histories may hold: disposed with the last of them.
import type { Tensor, TensorFlow } from './tensorflow.ts';

export class Shared {
  readonly tensor: Tensor;
  private holders = 1;

  /** Takes over `tensor`; no `tf.tidy` around will dispose it. */
  constructor(tf: TensorFlow, tensor: Tensor) {
    this.tensor = tf.keep(tensor);
  }

  share(): this {
    this.holders++;
    return this;
  }

  release(): void {
    this.holders--;
    if (this.holders === 0) this.tensor.dispose();
  }
}
