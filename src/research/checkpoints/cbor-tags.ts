// What states are written as: CBOR (RFC 8949) with registered tags, so that any CBOR reader of any language can open them.

export const TAG = {
  epochSeconds: 1,
  positiveBigint: 2,
  negativeBigint: 3,
  /** `[type name, …arguments]`: what has no tag of its own. http://cbor.schmorp.de/generic-object */
  typed: 27,
  /** A value that others refer to, and such a reference, by the order of the marked values. http://cbor.schmorp.de/value-sharing */
  shareable: 28,
  sharedReference: 29,
  set: 258,
  map: 259,
} as const;

/** Names in `TAG.typed`. */
export const TYPED = {
  tensor: 'kymo.tensor',
  date: 'Date',
  regExp: 'RegExp',
  error: 'Error',
  dataView: 'DataView',
  /** Text with half a surrogate pair, which UTF-8 cannot say: its UTF-16 units, little-endian. */
  utf16: 'utf16',
} as const;

/** Numbers in memory of one kind: their tag (RFC 8746, little-endian) and how many bytes one has. */
export interface ArrayKind {
  readonly name: string;
  readonly tag: number;
  readonly bytes: 1 | 2 | 4 | 8;
}

export const ARRAY_KINDS: readonly ArrayKind[] = [
  { name: 'Uint8Array', tag: 64, bytes: 1 },
  { name: 'Uint8ClampedArray', tag: 68, bytes: 1 },
  { name: 'Uint16Array', tag: 69, bytes: 2 },
  { name: 'Uint32Array', tag: 70, bytes: 4 },
  { name: 'BigUint64Array', tag: 71, bytes: 8 },
  { name: 'Int8Array', tag: 72, bytes: 1 },
  { name: 'Int16Array', tag: 77, bytes: 2 },
  { name: 'Int32Array', tag: 78, bytes: 4 },
  { name: 'BigInt64Array', tag: 79, bytes: 8 },
  { name: 'Float16Array', tag: 84, bytes: 2 },
  { name: 'Float32Array', tag: 85, bytes: 4 },
  { name: 'Float64Array', tag: 86, bytes: 8 },
];

/** Levels of nesting: deeper ones would overflow the stack, and are a linked list that wants to be an array. */
export const MAX_DEPTH = 500;

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Files are little-endian; on the few machines that are not, this copies and turns. */
export function littleEndian(bytes: Uint8Array, width: number): Uint8Array {
  if (LITTLE_ENDIAN || width === 1) return bytes;
  const turned = Buffer.from(bytes);
  if (width === 2) turned.swap16();
  else if (width === 4) turned.swap32();
  else turned.swap64();
  return turned;
}
