// A mistake behind three bytes, each of which is a branch: found by who looks at branches, and hardly by chance (one in 2^24).
import type { Target } from '../target.ts';

export const target: Target = {
  name: 'planted-crash',
  maxBytes: 6,
  covers: /planted-crash/,
  words: [],
  seeds: () => [Buffer.from('harmless')],
  run(bytes) {
    if (bytes[0] !== 0x6b) return;
    if (bytes[1] !== 0x79) return;
    if (bytes[2] !== 0x6d) return;
    throw new TypeError('the planted mistake');
  },
};
