// Makes new inputs out of known ones: bits, bytes, numbers, pieces moved and doubled, words of the format, two inputs in one.
import type { Random } from '../chaos/random.ts';

/** Changes made to one input, at most. */
const MAX_CHANGES = 6;
const MAX_PIECE = 64;
/** Where lengths, counts and signs turn over. */
const NUMBERS = [0, 1, 2, 7, 8, 15, 16, 31, 32, 63, 64, 100, 127, 128, 200, 254, 255];

export function mutate(
  random: Random,
  from: Uint8Array,
  other: Uint8Array,
  words: readonly Uint8Array[],
  maxBytes: number,
): Uint8Array {
  let bytes: Uint8Array = Uint8Array.from(from);
  for (let changes = 1 + random.below(MAX_CHANGES); changes > 0; changes--) {
    bytes = change(random, bytes, other, words);
    if (bytes.length > maxBytes) bytes = bytes.slice(0, maxBytes);
  }
  return bytes;
}

function change(
  random: Random,
  bytes: Uint8Array,
  other: Uint8Array,
  words: readonly Uint8Array[],
): Uint8Array {
  const { length } = bytes;
  const at = random.below(length + 1);
  const piece = 1 + random.below(Math.min(MAX_PIECE, Math.max(1, length)));
  switch (random.below(words.length > 0 ? 10 : 9)) {
    case 0:
      if (at < length) bytes[at]! ^= 1 << random.below(8);
      return bytes;
    case 1:
      if (at < length) bytes[at] = random.below(256);
      return bytes;
    case 2:
      if (at < length) bytes[at] = random.pick(NUMBERS);
      return bytes;
    case 3:
      if (at < length) bytes[at] = (bytes[at]! + random.below(7) - 3) & 255;
      return bytes;
    case 4:
      return splice(bytes, at, at + piece, new Uint8Array(0));
    case 5: {
      const random_ = Uint8Array.from({ length: 1 + random.below(8) }, () => random.below(256));
      return splice(bytes, at, at, random_);
    }
    case 6: {
      const start = random.below(Math.max(1, length));
      return splice(bytes, at, at, bytes.subarray(start, start + piece));
    }
    case 7: {
      // The same piece many times over: depth and number.
      const start = random.below(Math.max(1, length));
      const part = bytes.subarray(start, start + Math.min(piece, 16));
      const copies = new Uint8Array(part.length * (2 + random.below(60)));
      for (let i = 0; i < copies.length; i += part.length) copies.set(part, i);
      return splice(bytes, at, at, copies);
    }
    case 8: {
      const start = random.below(Math.max(1, other.length));
      const part = other.subarray(start, start + 1 + random.below(Math.max(1, other.length - start)));
      return splice(bytes, at, random.chance(0.5) ? at : at + part.length, part);
    }
    default: {
      const word = random.pick(words);
      return splice(bytes, at, random.chance(0.5) ? at : at + word.length, word);
    }
  }
}

function splice(bytes: Uint8Array, from: number, to: number, between: Uint8Array): Uint8Array {
  const rest = bytes.subarray(Math.min(to, bytes.length));
  const result = new Uint8Array(from + between.length + rest.length);
  result.set(bytes.subarray(0, from));
  result.set(between, from);
  result.set(rest, from + between.length);
  return result;
}
