// Statistics of a window from statistics of its frames: each frame is looked at once, when it is pushed, and a window costs no more than
// `[B, T]` numbers afterwards. Frames of before a row's reset do not count.
//
// Means and variances are put together as T. F. Chan, G. H. Golub and R. J. LeVeque do, Technical Report STAN-CS-79-773, 1979: sums of
// squares would lose their digits in float32.
import { deviceResetAt } from './clock.ts';
import { Shared } from './shared.ts';
import type { FieldState, HistoryState } from './state.ts';
import type { Tensor } from './tensorflow.ts';

export const STATISTICS = ['mean', 'min', 'max', 'std', 'last'] as const;
export type Statistic = (typeof STATISTICS)[number];

/** Of one frame, per row: mean, variance, least, greatest. */
const PER_FRAME = 4;
/** What a summary of one field holds: how many frames count, the statistics, and how many rows have the newest frame. */
export const SUMMARY_LENGTH = STATISTICS.length + 2;

/** The statistics of the frames in one field's ring. */
export class Partials {
  readonly #ring: (Shared | undefined)[];

  constructor(length: number) {
    this.#ring = new Array<Shared | undefined>(length).fill(undefined);
  }

  /** Looks at frame number `frame`; before its field's next update. */
  push({ tf, batchSize }: HistoryState, { elements }: FieldState, frame: number, pushed: Tensor): void {
    const made = tf.tidy(() => {
      const values = tf.cast(pushed, 'float32');
      const mean = tf.mean(values, 1);
      const variance = tf.mean(tf.square(tf.sub(values, tf.reshape(mean, [batchSize, 1]))), 1);
      return tf.stack(
        elements === 1
          ? [mean, variance, mean, mean]
          : [mean, variance, tf.min(values, 1), tf.max(values, 1)],
        1,
      );
    });
    const slot = frame % this.#ring.length;
    this.#ring[slot]?.release();
    this.#ring[slot] = new Shared(tf, made);
  }

  /** `[SUMMARY_LENGTH]` for the window as it is now; undefined without frames. Inside a tidy. */
  summary({ tf, batchSize }: HistoryState, { clock, spec }: FieldState): Tensor | undefined {
    const oldest = Math.max(0, clock.count - spec.length);
    const tensors: Tensor[] = [];
    let first = clock.count;
    // Frames of before the observation began have not been looked at.
    while (first > oldest && this.#ring[(first - 1) % spec.length] !== undefined) first--;
    for (let frame = first; frame < clock.count; frame++)
      tensors.push(this.#ring[frame % spec.length]!.tensor);
    if (tensors.length === 0) return undefined;
    const frames = tensors.length;
    const all = tf.reshape(tf.concat(tensors, 1), [batchSize, frames, PER_FRAME]);
    const part = (index: number): Tensor =>
      tf.reshape(tf.slice(all, [0, 0, index], [batchSize, frames, 1]), [batchSize, frames]);
    const number = tf.reshape(tf.range(first, clock.count, 1, 'int32'), [1, frames]);
    const real = tf.greaterEqual(
      tf.add(number, tf.fill([batchSize, frames], 0, 'int32')),
      tf.reshape(deviceResetAt(tf, clock.resetAt), [batchSize, 1]),
    );
    const only = (values: Tensor, otherwise: number): Tensor =>
      tf.where(real, values, tf.fill([batchSize, frames], otherwise));
    // Row by row, then the rows: float32 keeps its digits that way.
    const total = (values: Tensor): Tensor => tf.sum(tf.sum(values, 1), 0);
    const count = total(tf.cast(real, 'float32'));
    const means = only(part(0), 0);
    const mean = tf.div(total(means), count);
    const between = total(only(tf.square(tf.sub(part(0), mean)), 0));
    const std = tf.sqrt(tf.div(tf.add(total(only(part(1), 0)), between), count));
    const newest = (values: Tensor): Tensor => tf.sum(tf.slice(values, [0, frames - 1], [batchSize, 1]));
    const rows = newest(tf.cast(real, 'float32'));
    return tf.stack([
      count,
      mean,
      tf.min(only(part(2), Number.POSITIVE_INFINITY)),
      tf.max(only(part(3), Number.NEGATIVE_INFINITY)),
      std,
      tf.div(newest(means), rows),
      rows,
    ]);
  }

  release(): void {
    for (const one of this.#ring) one?.release();
    this.#ring.fill(undefined);
  }
}
