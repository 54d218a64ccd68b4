// Arrays as NumPy's .npy, version 1.0: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
import type { DType, RawArray } from './job.ts';

export const NPY_MIME_TYPE = 'application/x-npy';

const DESCRIPTIONS: Readonly<Record<DType, string>> = {
  bool: '|b1',
  uint8: '|u1',
  int8: '|i1',
  uint16: '<u2',
  int16: '<i2',
  uint32: '<u4',
  int32: '<i4',
  float32: '<f4',
  float64: '<f8',
};
const PREFIX_BYTES = 10;
/** Data begins at a multiple of this. */
const ALIGNMENT = 64;

export function encodeNpy(array: RawArray, content: Uint8Array): Uint8Array {
  const shape = array.shape.length === 1 ? `${array.shape[0]},` : array.shape.join(', ');
  const text = `{'descr': '${DESCRIPTIONS[array.dtype]}', 'fortran_order': False, 'shape': (${shape}), }`;
  const total = Math.ceil((PREFIX_BYTES + text.length + 1) / ALIGNMENT) * ALIGNMENT;
  const out = Buffer.alloc(total + content.length, 0x20);
  out.write('\x93NUMPY\x01\x00', 0, 'latin1');
  out.writeUInt16LE(total - PREFIX_BYTES, 8);
  out.write(text, PREFIX_BYTES, 'latin1');
  out[total - 1] = 0x0a;
  out.set(content, total);
  return out;
}
