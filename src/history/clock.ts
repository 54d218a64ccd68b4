// When each row was last reset, counted in the frames of its field. Frame i of row b counts if i >= resetAt[b].
//
// That is all a reset has to change: no frame is touched. The same number keys a row's random values.
import { Shared } from './shared.ts';
import type { Tensor, TensorFlow } from './tensorflow.ts';

/** Per row, on the host until a mask on the device has spoken, and there from then on. */
export type ResetAt = Int32Array | Shared;

export interface Clock {
  /** Frames pushed so far. */
  readonly count: number;
  /** Never written to: others may hold it. */
  readonly resetAt: ResetAt;
  /** No row was reset later than this. */
  readonly latestReset: number;
}

/** Which rows to reset: as bytes, or as a bool tensor `[B]` that the device alone knows. */
export type Mask = Uint8Array | Tensor;

export function newClock(batchSize: number): Clock {
  return { count: 0, resetAt: new Int32Array(batchSize), latestReset: 0 };
}

/** From here on frame numbers start anew: some backends carry an int32 as a float32 on its way to the device. */
export const COUNT_LIMIT = 2 ** 24;

/**
 * The same clock with lower numbers, for a field of `length` frames; the frames keep their places. Rows that are younger than the window have
 * other random values afterwards. It holds `resetAt` anew.
 */
export function rebased(tf: TensorFlow, clock: Clock, length: number): Clock {
  const { count, resetAt, latestReset } = clock;
  const back = Math.floor((count - length) / length) * length;
  return {
    count: count - back,
    latestReset: Math.max(latestReset - back, 0),
    resetAt:
      resetAt instanceof Int32Array
        ? resetAt.map(at => Math.max(at - back, 0))
        : new Shared(
            tf,
            tf.tidy(() =>
              tf.maximum(tf.sub(resetAt.tensor, tf.scalar(back, 'int32')), tf.scalar(0, 'int32')),
            ),
          ),
  };
}

/** The clock after one update. Its `resetAt` is the old one (and no new hold on it) where nothing was reset. */
export function advance(tf: TensorFlow, clock: Clock, pushed: boolean, mask: Mask | undefined): Clock {
  const count = clock.count + (pushed ? 1 : 0);
  if (mask === undefined) return { ...clock, count };
  const { resetAt } = clock;
  if (mask instanceof Uint8Array && resetAt instanceof Int32Array) {
    if (!mask.includes(1)) return { ...clock, count };
    const after = resetAt.map((at, row) => (mask[row] === 1 ? count : at));
    return { count, resetAt: after, latestReset: count };
  }
  const after = tf.tidy(() =>
    tf.where(
      mask instanceof Uint8Array ? tf.tensor(mask, [mask.length], 'bool') : mask,
      tf.fill([clockRows(resetAt)], count, 'int32'),
      deviceResetAt(tf, resetAt),
    ),
  );
  return { count, resetAt: new Shared(tf, after), latestReset: count };
}

function clockRows(resetAt: ResetAt): number {
  return resetAt instanceof Shared ? resetAt.tensor.size : resetAt.length;
}

/** `resetAt` as an int32 tensor `[B]`; inside a tidy. */
export function deviceResetAt(tf: TensorFlow, resetAt: ResetAt): Tensor {
  return resetAt instanceof Shared ? resetAt.tensor : tf.tensor(resetAt, [resetAt.length], 'int32');
}

export function shareResetAt(resetAt: ResetAt): ResetAt {
  return resetAt instanceof Shared ? resetAt.share() : resetAt;
}

export function releaseResetAt(resetAt: ResetAt): void {
  if (resetAt instanceof Shared) resetAt.release();
}
