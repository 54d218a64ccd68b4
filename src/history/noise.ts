// Normal random numbers by counting: value e of position p of a row that was reset at r is a pure function of (seed, field, row, r, p, e).
// So a reset stores nothing but r, and whoever reads a window makes the numbers anew, on the host or on the device.
//
// The mixing function is the 32-bit finalizer of MurmurHash3 (A. Appleby, public domain), applied with two keys per row and reset; uniform
// numbers become normal ones by G. E. P. Box and M. E. Muller, Ann. Math. Statist. 29(2), 610-611, 1958.
import { bitwiseAnd } from './bitwise.ts';
import type { Tensor, TensorFlow } from './tensorflow.ts';

/** 2^32 divided by the golden ratio: consecutive counters lie far apart. */
export const GOLDEN = 0x9e3779b9;
export const SECOND_KEY = 0x6a09e667;
const MIX_1 = 0x85ebca6b;
const MIX_2 = 0xc2b2ae35;
const UNIFORM_BITS = 24;

/** 32 bits that stand for one field of one seed. */
export function noiseSeed(seed: number, field: string): number {
  let hash = mix(mix(seed >>> 0) + Math.floor(seed / 2 ** 32));
  for (let i = 0; i < field.length; i++) hash = mix(hash + Math.imul(field.charCodeAt(i) + 1, GOLDEN));
  return hash >>> 0;
}

/** Writes `into.length` values of a row from element `first` of its initial window on. */
export function fillNoise(
  into: Float32Array,
  seed: number,
  row: number,
  resetAt: number,
  first: number,
): void {
  const key = rowKey(seed, row, resetAt);
  const second = mix(key + SECOND_KEY);
  for (let i = 0; i < into.length; i++) {
    const high = mix(mix(Math.imul(first + i, GOLDEN) + key) + second);
    const low = mix(high + key);
    const radius = Math.sqrt(-2 * Math.log(((high >>> 8) + 0.5) / 2 ** UNIFORM_BITS));
    into[i] = radius * Math.cos(((low >>> 8) / 2 ** UNIFORM_BITS) * 2 * Math.PI);
  }
}

function rowKey(seed: number, row: number, resetAt: number): number {
  return mix(mix(seed + Math.imul(row, GOLDEN)) + Math.imul(resetAt, GOLDEN));
}

function mix(value: number): number {
  let bits = value | 0;
  bits = Math.imul(bits ^ (bits >>> 16), MIX_1);
  bits = Math.imul(bits ^ (bits >>> 13), MIX_2);
  return bits ^ (bits >>> 16);
}

/**
 * The same with operations of the device, for `length` positions of all rows: float32 `[B, length, elements]`. Inside a tidy.
 *
 * @param resetAt int32 `[B]`
 * @param firstFrame the frame number at the first position; its place in a row's initial window is `firstFrame - resetAt + window`
 */
export function deviceNoise(
  tf: TensorFlow,
  seed: number,
  resetAt: Tensor,
  window: { readonly length: number; readonly firstFrame: number },
  positions: number,
  elements: number,
): Tensor {
  const rows = resetAt.shape[0]!;
  const ops = new IntegerOps(tf);
  const ofRow = ops.mix(ops.plus(ops.times(tf.range(0, rows, 1, 'int32'), GOLDEN), seed));
  const key = ops.mix(tf.add(ofRow, ops.times(resetAt, GOLDEN)));
  const second = ops.mix(ops.plus(key, SECOND_KEY));
  const shape = [rows, positions, elements];
  const column = (tensor: Tensor): Tensor => tf.reshape(tensor, [rows, 1, 1]);
  const place = tf.add(
    tf.reshape(tf.range(0, positions, 1, 'int32'), [1, positions, 1]),
    ops.plus(tf.mul(column(resetAt), tf.scalar(-1, 'int32')), window.firstFrame + window.length),
  );
  const counter = tf.add(
    ops.times(place, elements),
    tf.reshape(tf.range(0, elements, 1, 'int32'), [1, 1, elements]),
  );
  const keyed = tf.add(ops.times(tf.reshape(counter, shape), GOLDEN), column(key));
  const high = ops.mix(tf.add(ops.mix(keyed), column(second)));
  const low = ops.mix(tf.add(high, column(key)));
  const uniform = (bits: Tensor, offset: number): Tensor =>
    tf.mul(
      tf.add(tf.cast(ops.shiftRight(bits, 32 - UNIFORM_BITS), 'float32'), tf.scalar(offset)),
      tf.scalar(2 ** -UNIFORM_BITS),
    );
  const radius = tf.sqrt(tf.mul(tf.log(uniform(high, 0.5)), tf.scalar(-2)));
  return tf.mul(radius, tf.cos(tf.mul(uniform(low, 0), tf.scalar(2 * Math.PI))));
}

/** 32-bit arithmetic from what TensorFlow.js has: no shift, no exclusive or. Products and sums wrap on every device. */
class IntegerOps {
  private readonly tf: TensorFlow;

  constructor(tf: TensorFlow) {
    this.tf = tf;
  }

  plus(x: Tensor, constant: number): Tensor {
    return this.tf.add(x, this.tf.scalar(constant | 0, 'int32'));
  }

  times(x: Tensor, constant: number): Tensor {
    return this.tf.mul(x, this.tf.scalar(constant | 0, 'int32'));
  }

  /** Zeros come in from the left. What is divided has at most 24 significant bits: exact where integers are divided as floats, too. */
  shiftRight(x: Tensor, bits: number): Tensor {
    const whole = this.tf.sub(x, this.and(x, 2 ** bits - 1));
    const signed = this.tf.floorDiv(whole, this.tf.scalar(2 ** bits, 'int32'));
    return this.and(signed, 2 ** (32 - bits) - 1);
  }

  mix(x: Tensor): Tensor {
    const first = this.times(this.exclusiveOr(x, this.shiftRight(x, 16)), MIX_1);
    const second = this.times(this.exclusiveOr(first, this.shiftRight(first, 13)), MIX_2);
    return this.exclusiveOr(second, this.shiftRight(second, 16));
  }

  /** a ^ b = a + b - 2 (a & b), modulo 2^32. */
  private exclusiveOr(a: Tensor, b: Tensor): Tensor {
    return this.tf.sub(this.tf.add(a, b), this.times(bitwiseAnd(this.tf, a, b), 2));
  }

  private and(x: Tensor, constant: number): Tensor {
    return bitwiseAnd(this.tf, x, this.tf.fill(x.shape, constant, 'int32'));
  }
}
