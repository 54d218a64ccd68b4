// What an update is given, checked before anything is touched, and taken over: frames as [B, elements] tensors that the history holds.
import { kindOf, nearest, shown } from '../research/checks.ts';
import type { Mask } from './clock.ts';
import { Shared } from './shared.ts';
import type { FieldDType } from './spec.ts';
import type { FieldState, HistoryState } from './state.ts';
import { isArrayOf, isTensor, type Tensor, TYPED_ARRAYS } from './tensorflow.ts';
import { webgpuOf } from './webgpu/backend.ts';

/** A frame's values on the host, row after row. */
export type HostFrame = Float32Array | Int32Array | Uint8Array;
export type Frame = Tensor | HostFrame;

/** What to do about a type that is not the field's. */
const CAST_HINTS: Readonly<Record<string, string>> = {
  Float64Array: 'TensorFlow.js has no doubles: Float32Array.from(frame)',
  BigInt64Array: 'TensorFlow.js has no 64-bit integers: Int32Array.from(frame, Number)',
  BigUint64Array: 'TensorFlow.js has no 64-bit integers: Int32Array.from(frame, Number)',
  Float16Array: 'Float32Array.from(frame)',
};

/** The fields that `frames` has, in the order of the spec. Throws, and has touched nothing, when it cannot be pushed. */
export function checkFrames(state: HistoryState, frames: unknown, partial: boolean): Map<FieldState, Frame> {
  if (
    typeof frames !== 'object' ||
    frames === null ||
    Array.isArray(frames) ||
    isTensor(frames) ||
    ArrayBuffer.isView(frames)
  )
    throw new TypeError(
      `kymo: updateHistory(history, frames) must be an object of frames by field, not ${kindOf(frames)}`,
    );
  const given = frames as Readonly<Record<string, unknown>>;
  const names = [...state.fields.keys()];
  for (const name of Object.keys(given)) {
    if (state.fields.has(name)) continue;
    const near = nearest(name, names);
    const hint =
      near === undefined ? `it has ${names.slice(0, 8).join(', ') || 'none'}` : `did you mean ${near}?`;
    throw new RangeError(`kymo: updateHistory: the history has no field ${shown(name)} (${hint})`);
  }
  const checked = new Map<FieldState, Frame>();
  for (const [name, field] of state.fields) {
    const frame = Object.hasOwn(given, name) ? given[name] : undefined;
    if (frame === undefined) {
      if (partial) continue;
      throw new RangeError(
        `kymo: updateHistory: field ${shown(name)} is missing; give a frame for every field, or {partial: true}`,
      );
    }
    checked.set(field, checkFrame(name, field, state.batchSize, frame));
  }
  return checked;
}

function checkFrame(name: string, field: FieldState, batchSize: number, frame: unknown): Frame {
  const { dtype, shape } = field.spec;
  const needed = `${dtype} [${[batchSize, ...shape].join(', ')}]`;
  const subject = `kymo: updateHistory: field ${shown(name)}`;
  if (isTensor(frame)) {
    if (frame.isDisposed) throw new RangeError(`${subject} got a disposed tensor, needs ${needed}`);
    const got = `${frame.dtype} [${frame.shape.join(', ')}]`;
    const extra = frame.shape.length - shape.length;
    if (extra !== 1 && extra !== 2)
      throw new RangeError(
        `${subject} got ${got} of rank ${frame.shape.length}, needs ${needed} of rank ${shape.length + 1}, or with a time axis of 1 after the batch`,
      );
    if (extra === 2 && frame.shape[1] !== 1)
      throw new RangeError(
        `${subject} got ${got}: ${frame.shape[1]} frames at once, needs 1 per update: ${needed}`,
      );
    if (frame.shape[0] !== batchSize)
      throw new RangeError(`${subject} got ${got}: a batch of ${frame.shape[0]}, needs ${needed}`);
    if (shape.some((side, axis) => side !== frame.shape[axis + extra]))
      throw new RangeError(`${subject} got ${got}, needs ${needed}`);
    if (frame.dtype !== dtype)
      throw new TypeError(`${subject} got ${got}, needs ${needed}: tf.cast(frame, '${dtype}')`);
    return frame;
  }
  if (!isArrayOf(dtype, frame)) {
    const Wanted = TYPED_ARRAYS[dtype];
    const type = Array.isArray(frame) ? 'array' : ((frame as object | null)?.constructor?.name ?? '');
    const way = ArrayBuffer.isView(frame)
      ? (CAST_HINTS[type] ?? `${Wanted.name}.from(frame)`)
      : `give a tensor or a ${Wanted.name}`;
    throw new TypeError(`${subject} got ${kindOf(frame)}, needs ${needed}: ${way}`);
  }
  if (frame.length !== batchSize * field.elements)
    throw new RangeError(
      `${subject} got ${frame.length} values, needs ${batchSize * field.elements} for ${needed}`,
    );
  return frame;
}

/** The frames as the history keeps them; nothing is held when one of them fails. */
export function takeFrames(
  state: HistoryState,
  frames: ReadonlyMap<FieldState, Frame>,
): Map<FieldState, Shared> {
  const taken = new Map<FieldState, Shared>();
  try {
    for (const [field, frame] of frames) taken.set(field, takeFrame(state, field, frame));
  } catch (error) {
    for (const frame of taken.values()) frame.release();
    throw error;
  }
  return taken;
}

function takeFrame({ tf, batchSize }: HistoryState, field: FieldState, frame: Frame): Shared {
  const shape = [batchSize, field.elements];
  // A reshaped tensor shares its data and counts as a holder of it: the caller may dispose theirs.
  if (isTensor(frame)) return new Shared(tf, tf.reshape(frame, shape));
  // Backends but wasm keep the array they are given and read it later: the caller's could have changed by then.
  const own = tf.getBackend() === 'wasm' ? frame : frame.slice();
  const taken = new Shared(tf, tf.tensor(own, shape, field.spec.dtype));
  // WebGPU's backend would keep it on the host until somebody looks.
  if (field.elements > 0) webgpuOf(tf)?.uploadToGPU(taken.tensor.dataId);
  return taken;
}

/** A mask of rows. Throws a TypeError or RangeError when it is none for `batchSize` rows. */
export function checkMask(state: HistoryState, mask: unknown): Mask | undefined {
  if (mask === undefined) return undefined;
  const { batchSize } = state;
  const needed = `one flag per row: bool [${batchSize}], ${batchSize} booleans or a Uint8Array of ${batchSize}`;
  if (isTensor(mask)) {
    if (mask.isDisposed)
      throw new RangeError(`kymo: updateHistory: resetMask is a disposed tensor, needs ${needed}`);
    const got = `${mask.dtype} [${mask.shape.join(', ')}]`;
    if (mask.shape.length !== 1 || mask.shape[0] !== batchSize)
      throw new RangeError(`kymo: updateHistory: resetMask got ${got}, needs ${needed}`);
    if (mask.dtype !== 'bool' && mask.dtype !== 'int32')
      throw new TypeError(
        `kymo: updateHistory: resetMask got ${got}, needs ${needed}: tf.cast(mask, 'bool')`,
      );
    return mask;
  }
  const flags: unknown = mask;
  if (!Array.isArray(flags) && !isArrayOf('bool', flags) && !isArrayOf('int32', flags))
    throw new TypeError(`kymo: updateHistory: resetMask got ${kindOf(mask)}, needs ${needed}`);
  if (flags.length !== batchSize)
    throw new RangeError(`kymo: updateHistory: resetMask got ${flags.length} flags, needs ${needed}`);
  const bytes = new Uint8Array(batchSize);
  for (let row = 0; row < batchSize; row++) {
    const flag: unknown = flags[row];
    if (typeof flag !== 'boolean' && typeof flag !== 'number')
      throw new TypeError(`kymo: updateHistory: resetMask[${row}] is ${kindOf(flag)}, needs ${needed}`);
    bytes[row] = flag ? 1 : 0;
  }
  return bytes;
}

/** Int32 masks count as bool; inside a tidy. */
export function boolMask({ tf }: HistoryState, mask: Tensor): Tensor {
  return mask.dtype === ('bool' satisfies FieldDType) ? mask : tf.notEqual(mask, tf.scalar(0, 'int32'));
}
