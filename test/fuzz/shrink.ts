// Makes an input that fails smaller, for people to look at: leaves out pieces, large ones first, as long as it fails in the same way.

const MAX_TRIES = 2_000;

export async function shrink(
  bytes: Uint8Array,
  fails: (smaller: Uint8Array) => Promise<boolean>,
): Promise<Uint8Array> {
  let smallest = bytes;
  let tries = 0;
  for (let piece = Math.ceil(bytes.length / 2); piece >= 1; piece = Math.floor(piece / 2)) {
    for (let at = 0; at < smallest.length && tries < MAX_TRIES; ) {
      const smaller = new Uint8Array([...smallest.subarray(0, at), ...smallest.subarray(at + piece)]);
      tries++;
      if (await fails(smaller)) smallest = smaller;
      else at += piece;
    }
  }
  return smallest;
}
