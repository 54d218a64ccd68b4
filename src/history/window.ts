// Reading: the frames of a window put together as `[B, length, ...shape]`, the initial value where a row has no frame.
//
// Frame numbers: position p of the window [start, start + length) holds frame `first + p`; frames below 0 were never pushed, and
// those below a row's `resetAt` are not that row's any more.
import { deviceResetAt } from './clock.ts';
import { type HostMemory, hostMemoryOf } from './host-memory.ts';
import { deviceNoise, fillNoise } from './noise.ts';
import { Shared } from './shared.ts';
import type { FieldState, HistoryState } from './state.ts';
import type { Tensor } from './tensorflow.ts';
import { fusedWindow } from './webgpu/fused-window.ts';
import type { Window } from './window-plan.ts';

/** Positions `start` to `start + length` of a field's window, a tensor of the caller's. Asks the device for nothing. */
export function readWindow(state: HistoryState, field: FieldState, start: number, length: number): Tensor {
  const { tf, batchSize } = state;
  const { spec, clock } = field;
  const first = clock.count - spec.length + start;
  const window: Window = {
    tf,
    field,
    batchSize,
    positions: length,
    first,
    fill: spec.init === 'randn' ? 'randn' : spec.init === 'ones' ? 1 : 0,
    resetAt: clock.resetAt,
    complete: first >= clock.latestReset,
  };
  return tf.tidy(() => tf.reshape(flatWindow(window), [batchSize, length, ...spec.shape]));
}

/** How many frames of the window each row has: int32 `[B]`, a tensor of the caller's. */
export function readAge({ tf }: HistoryState, field: FieldState): Tensor {
  const { clock, spec } = field;
  const count = clock.count;
  if (clock.resetAt instanceof Int32Array)
    return tf.tensor(
      clock.resetAt.map(at => Math.min(count - at, spec.length)),
      [clock.resetAt.length],
      'int32',
    );
  const { tensor } = clock.resetAt;
  return tf.tidy(() =>
    tf.minimum(tf.sub(tf.scalar(count, 'int32'), tensor), tf.scalar(spec.length, 'int32')),
  );
}

/** Any shape of the right size; inside a tidy. */
function flatWindow(window: Window): Tensor {
  const { tf, field, batchSize, positions } = window;
  if (field.elements === 0) return tf.tensor([], [0], field.spec.dtype);
  const memory = hostMemoryOf(tf);
  if (memory !== undefined) return hostWindow(window, memory);
  const fused = fusedWindow(window);
  if (fused !== undefined) return fused;
  if (window.complete) return tf.concat(frames(window), 1);
  if (window.fill === 'randn') return noisyWindow(window);
  const pushed = framesFrom(window, Math.max(0, window.first));
  if (pushed.length === 0) return filled(window, [batchSize, positions, field.elements]);
  return gatheredWindow(window, pushed);
}

/** Rows picked from the frames, one on the other, with a row of the initial value below them: two passes over memory, on any device. */
function gatheredWindow(window: Window, pushed: Tensor[]): Tensor {
  const { tf, field, batchSize, positions, first, resetAt } = window;
  const oldest = Math.max(0, first);
  const rows = tf.concat([...pushed, filled(window, [1, field.elements])], 0);
  const fillRow = pushed.length * batchSize;
  if (resetAt instanceof Int32Array) {
    const picks = new Int32Array(batchSize * positions).fill(fillRow);
    for (let row = 0; row < batchSize; row++)
      for (let p = Math.max(resetAt[row]! - first, 0); p < positions; p++)
        picks[row * positions + p] = (first + p - oldest) * batchSize + row;
    return tf.gather(rows, tf.tensor(picks, [picks.length], 'int32'));
  }
  const frame = tf.reshape(tf.range(first, first + positions, 1, 'int32'), [1, positions]);
  const place = tf.add(
    tf.mul(tf.sub(frame, tf.scalar(oldest, 'int32')), tf.scalar(batchSize, 'int32')),
    tf.reshape(tf.range(0, batchSize, 1, 'int32'), [batchSize, 1]),
  );
  const picks = tf.where(
    tf.greaterEqual(frame, tf.reshape(resetAt.tensor, [batchSize, 1])),
    place,
    tf.scalar(fillRow, 'int32'),
  );
  return tf.gather(rows, tf.reshape(picks, [batchSize * positions]));
}

function noisyWindow(window: Window): Tensor {
  const { tf, field, batchSize, positions, first } = window;
  const { elements, noiseSeed, spec } = field;
  const resetAt = deviceResetAt(tf, window.resetAt);
  const values = tf.reshape(tf.concat(frames(window), 1), [batchSize, positions, elements]);
  const noise = deviceNoise(
    tf,
    noiseSeed,
    resetAt,
    { length: spec.length, firstFrame: first },
    positions,
    elements,
  );
  const real = tf.greaterEqual(
    tf.reshape(tf.range(first, first + positions, 1, 'int32'), [1, positions, 1]),
    tf.reshape(resetAt, [batchSize, 1, 1]),
  );
  return tf.where(real, values, noise);
}

/** Row by row, where the device's memory is the host's. */
function hostWindow(window: Window, memory: HostMemory): Tensor {
  const { field, batchSize, positions, first, fill } = window;
  const { elements, noiseSeed, ring, spec } = field;
  return memory.make([batchSize, positions, elements], spec.dtype, out => {
    const resetAt = window.resetAt instanceof Shared ? memory.values(window.resetAt.tensor) : window.resetAt;
    for (let row = 0; row < batchSize; row++) {
      const at = resetAt[row]!;
      const missing = Math.min(Math.max(0, at - first), positions);
      if (missing === 0) continue;
      const begin = row * positions * elements;
      const part = out.subarray(begin, begin + missing * elements);
      if (fill !== 'randn') part.fill(fill);
      else fillNoise(part as Float32Array, noiseSeed, row, at, (first - at + spec.length) * elements);
    }
    for (let p = Math.max(0, -first); p < positions; p++) {
      const values = memory.values(ring[(first + p) % spec.length]!.tensor);
      for (let row = 0; row < batchSize; row++)
        if (first + p >= resetAt[row]!)
          out.set(values.subarray(row * elements, (row + 1) * elements), (row * positions + p) * elements);
    }
  });
}

/** One `[B, elements]` tensor per position; the initial value, or anything where noise will stand, for frames that never were. */
function frames(window: Window): Tensor[] {
  const { field, batchSize, positions, first } = window;
  const missing = Math.min(Math.max(0, -first), positions);
  if (missing === 0) return framesFrom(window, first);
  const empty = filled(window, [batchSize, field.elements]);
  return [...new Array<Tensor>(missing).fill(empty), ...framesFrom(window, Math.max(0, first))];
}

function framesFrom({ field, positions, first }: Window, from: number): Tensor[] {
  const tensors: Tensor[] = [];
  for (let frame = from; frame < first + positions; frame++)
    tensors.push(field.ring[frame % field.ring.length]!.tensor);
  return tensors;
}

function filled({ tf, field, fill }: Window, shape: number[]): Tensor {
  return tf.fill(shape, fill === 1 ? 1 : 0, field.spec.dtype);
}
