// How a state becomes bytes: CBOR unless the caller brings something else.
import { wrongType } from '../checks.ts';
import { decodeCbor } from './cbor-decode.ts';
import { encodeCbor } from './cbor-encode.ts';
import { restoreTensor, type TensorMaker, type TensorValues } from './tensors.ts';

/** Another way to write states and buffers. */
export interface Serializer {
  /** Stands in the checkpoint: reading it with a serializer of another name is refused. */
  readonly name: string;
  /** The bytes, or pieces of them. They are written after this returns, so they must be a copy of what the training goes on changing. */
  encode(value: unknown): Uint8Array | readonly Uint8Array[];
  /** The checksum of the bytes is right. Whoever wrote the file could have made it so: run nothing that stands in it. */
  decode(bytes: Uint8Array): unknown;
}

/** The default's name. A serializer of one's own has another. */
export const CBOR = 'cbor';

export interface EncodedValue {
  readonly serializer: string;
  readonly pieces: readonly Uint8Array[];
}

/** @param copy the pieces must not change when the caller goes on */
export function serialize(
  value: unknown,
  name: string,
  {
    serializer,
    copy,
    tensors,
  }: { serializer: Serializer | undefined; copy: boolean; tensors?: TensorValues | undefined },
): EncodedValue {
  if (serializer === undefined)
    return { serializer: CBOR, pieces: encodeCbor(value, { name, copy, tensors }) };
  const encoded: unknown = serializer.encode(value);
  const pieces = Array.isArray(encoded) ? (encoded as unknown[]) : [encoded];
  for (const piece of pieces)
    if (!(piece instanceof Uint8Array) && !isBytes(piece))
      throw wrongType(`serializer ${serializer.name}: encode()`, 'a Uint8Array or a list of them', piece);
  return { serializer: serializer.name, pieces: pieces as Uint8Array[] };
}

/** `tf` makes tensors of what was one; without it they are `{data, shape, dtype}`. Throws CborError, and what the serializer throws. */
export function deserialize(
  bytes: Uint8Array,
  serializer: Serializer | undefined,
  tf: TensorMaker | undefined,
): unknown {
  if (serializer !== undefined) return serializer.decode(bytes);
  return decodeCbor(bytes, tf === undefined ? undefined : saved => restoreTensor(saved, tf));
}

export function checkSerializer(argument: string, serializer: unknown): asserts serializer is Serializer {
  const { name, encode, decode } = (serializer ?? {}) as Partial<Serializer>;
  if (typeof name !== 'string' || typeof encode !== 'function' || typeof decode !== 'function')
    throw wrongType(argument, 'an object with name, encode and decode', serializer);
  if (!/^[\w.-]{1,40}$/.test(name) || name === CBOR)
    throw new TypeError(
      `kymo: ${argument} must have a name of letters, digits, ., _ and - that is not "${CBOR}"`,
    );
}

/** Of this or another realm. */
function isBytes(value: unknown): boolean {
  return (
    ArrayBuffer.isView(value) &&
    (value as { [Symbol.toStringTag]?: string })[Symbol.toStringTag] === 'Uint8Array'
  );
}
