// States as Python's cbor2 reads them: plain CBOR, registered tags.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';
import { encodeCbor } from '../../../src/research/checkpoints/cbor-encode.ts';
import { describeWithPeers } from '../peers.ts';

describeWithPeers('a state in Python', ['cbor2'], python => {
  it('has the same numbers, texts, maps, dates and tensors', () => {
    const folder = mkdtempSync(join(tmpdir(), 'kymo-cbor2-'));
    try {
      const policy = { weights: Float32Array.of(1, -2.5) };
      const state = {
        policy,
        target: policy,
        counts: BigInt64Array.of(1n, -(2n ** 62n)),
        big: 2n ** 70n,
        text: 'ü♥𝛼',
        none: null,
        optimizer: new Map([['lr', 0.1]]),
        seen: new Set([1, 2]),
        began: new Date(1_500_000_000_000),
        kernel: { shape: [2, 1], dtype: 'int32', dataSync: () => Int32Array.of(5, 6) },
        steps: [0, -1, 2 ** 40, 0.1],
      };
      const file = join(folder, 'state.cbor');
      writeFileSync(file, Buffer.concat(encodeCbor(state, { name: 'state', copy: false })));
      const script = fileURLToPath(new URL('read.py', import.meta.url));
      const output = execFileSync(python!, [script, file], { encoding: 'utf8' });
      // Beyond 2^53 as texts.
      const read = JSON.parse(output.replace(/-?\d{17,}/g, digits => `"${digits}"`)) as object;
      expect(read).toEqual({
        shared: true,
        state: {
          policy: { weights: [1, -2.5] },
          target: { weights: [1, -2.5] },
          counts: [1, '-4611686018427387904'],
          big: '1180591620717411303424',
          text: 'ü♥𝛼',
          none: null,
          optimizer: [['lr', 0.1]],
          seen: [1, 2],
          began: '2017-07-14T02:40:00+00:00',
          kernel: [27, ['kymo.tensor', 'int32', [2, 1], [5, 6]]],
          steps: [0, -1, 2 ** 40, 0.1],
        },
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
