// The same steps through Kymo's histories and goggles' own: every window of every step must be the same, bit for bit. What goes over is an
// .npz of ours, so NumPy judges that as well.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import {
  createHistory,
  HistorySpec,
  peekLast,
  sliceHistory,
  updateHistory,
} from '../../../src/history/index.ts';
import { encodeArray, encodeNpz, type NamedArray } from '../../../src/history/npz.ts';
import { seeded } from '../../history/model.ts';
import { describeWithPeers } from '../peers.ts';

const STEPS = 40;
const B = 5;
const PROGRAM = fileURLToPath(new URL('goggles_steps.py', import.meta.url));
const config = {
  states: { length: 7, shape: [3, 2], dtype: 'float32', init: 'zeros' },
  rewards: { length: 4, shape: [], dtype: 'float32', init: 'ones' },
  actions: { length: 5, shape: [2], dtype: 'int32', init: 'none' },
  flags: { length: 3, shape: [1], dtype: 'bool', init: 'zeros' },
} as const;
const names = Object.keys(config) as (keyof typeof config)[];

describeWithPeers('goggles', ['history-goggles'], python => {
  it('has the same windows after every one of the same steps', async () => {
    tf.enableProdMode();
    await tf.setBackend('wasm');
    const random = seeded(11);
    const masks = Uint8Array.from({ length: STEPS * B }, () => (random() < 0.15 ? 1 : 0));
    const frames: Record<string, number[]> = Object.fromEntries(names.map(name => [name, []]));
    const windows: Record<string, number[]> = Object.fromEntries(names.map(name => [name, []]));
    let h = createHistory(tf, HistorySpec.fromConfig(config), B);
    for (let step = 0; step < STEPS; step++) {
      const given = {
        states: Float32Array.from({ length: B * 6 }, () => random() * 2e3 - 1e3),
        rewards: Float32Array.from({ length: B }, random),
        actions: Int32Array.from({ length: B * 2 }, () => random() * 2 ** 31),
        flags: Uint8Array.from({ length: B }, () => (random() < 0.5 ? 1 : 0)),
      };
      h = updateHistory(h, given, { resetMask: masks.subarray(step * B, (step + 1) * B) });
      for (const name of names) {
        for (const value of given[name]) frames[name]!.push(value);
        for (const value of h.fields[name].dataSync()) windows[name]!.push(value);
      }
    }
    const middle = sliceHistory(h, 1, 2);
    const last = peekLast(h, 2);
    const arrays: NamedArray[] = [
      { name: 'masks', dtype: 'bool', shape: [STEPS, B], data: masks },
      text('config', JSON.stringify(config)),
    ];
    for (const name of names) {
      const { dtype, shape, length } = config[name];
      arrays.push(
        array(`frames/${name}`, dtype, [STEPS, B, ...shape], frames[name]!),
        array(`windows/${name}`, dtype, [STEPS, B, length, ...shape], windows[name]!),
        array(`middle/${name}`, dtype, [B, 2, ...shape], [...middle[name].dataSync()]),
        array(`last/${name}`, dtype, [B, 2, ...shape], [...last[name].dataSync()]),
      );
    }
    h.dispose();
    const result = runPython(python, PROGRAM, encodeNpz(arrays));
    expect(result).toEqual({ steps: STEPS, fields: [...names].sort(), keys: 18, different: [] });
  });

  it('reads our arrays as what they are, whatever their names', () => {
    const arrays = [
      array('α/β', 'float32', [2, 2], [1.5, -2, Number.NaN, Number.POSITIVE_INFINITY]),
      array('../evil', 'int32', [3], [1, -2, 2 ** 31 - 1]),
      array('scalar', 'float32', [], [0.25]),
      array('none', 'bool', [0, 4], []),
      array('scalar', 'bool', [2], [1, 0]),
    ];
    const program = `
import io, json, sys, zipfile, numpy as np
content = open(sys.argv[1], 'rb').read()
archive = zipfile.ZipFile(io.BytesIO(content))
loaded = np.load(io.BytesIO(content), allow_pickle=False)
print(json.dumps({'bad': archive.testzip(), 'arrays': {name: [str(loaded[name].dtype), list(loaded[name].shape), repr(loaded[name].tolist())] for name in loaded.files}}))
`;
    expect(runPython(python, ['-c', program], encodeNpz(arrays))).toEqual({
      bad: null,
      arrays: {
        'α/β': ['float32', [2, 2], '[[1.5, -2.0], [nan, inf]]'],
        '_/evil': ['int32', [3], '[1, -2, 2147483647]'],
        scalar: ['float32', [], '0.25'],
        none: ['bool', [0, 4], '[]'],
        scalar_2: ['bool', [2], '[True, False]'],
      },
    });
    const single = `
import json, sys, numpy as np
array = np.load(sys.argv[1], allow_pickle=False)
print(json.dumps([str(array.dtype), array.tolist()]))
`;
    expect(runPython(python, ['-c', single], encodeArray(arrays[1]!))).toEqual([
      'int32',
      [1, -2, 2 ** 31 - 1],
    ]);
  });
});

function array(
  name: string,
  dtype: 'float32' | 'int32' | 'bool',
  shape: readonly number[],
  values: number[],
): NamedArray {
  const Typed = { float32: Float32Array, int32: Int32Array, bool: Uint8Array }[dtype];
  return { name, dtype, shape, data: Typed.from(values) };
}

function text(name: string, value: string): NamedArray {
  const data = Int32Array.from(Buffer.from(value));
  return { name, dtype: 'int32', shape: [data.length], data };
}

function runPython(python: string, program: string | readonly string[], content: Uint8Array): unknown {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-goggles-'));
  try {
    const file = path.join(folder, 'arrays');
    fs.writeFileSync(file, content);
    const { stdout, stderr, status } = spawnSync(python, [program, file].flat(), {
      encoding: 'utf8',
      env: { ...process.env, JAX_PLATFORMS: 'cpu' },
    });
    if (status !== 0) throw new Error(`Python ended with ${status}: ${stderr.slice(-2_000)}`);
    return JSON.parse(stdout.trim().split('\n').at(-1)!);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}
