// A loop without end for one first byte.
import type { Target } from '../target.ts';

export const target: Target = {
  name: 'planted-hang',
  maxBytes: 32,
  covers: /planted-hang/,
  words: [],
  seeds: () => [Buffer.from('harmless')],
  run(bytes) {
    while (bytes[0] === 0xff);
  },
};
