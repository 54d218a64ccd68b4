// The law of histories: whatever the fields, and whatever is done in which order, the windows are those of the plain model.
import { beforeAll, expect, it } from '@jest/globals';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import fc from 'fast-check';
import { Line } from './behaviour.ts';

/** Rows of a `Line`. */
const B = 4;

beforeAll(async () => {
  tf.enableProdMode();
  await tf.setBackend('wasm');
});

const field = fc.record({
  length: fc.integer({ min: 1, max: 6 }),
  shape: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }),
  init: fc.constantFrom('zeros', 'ones', 'none'),
});
const step = fc.record({
  /** Which fields get a frame. */
  fields: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
  mask: fc.option(fc.array(fc.boolean(), { minLength: B, maxLength: B }), { nil: undefined }),
  onDevice: fc.boolean(),
  donate: fc.boolean(),
  look: fc.boolean(),
});

it('every window is what shifting, appending and starting anew gives', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(field, { minLength: 1, maxLength: 3 }),
      fc.array(step, { maxLength: 12 }),
      async (fields, steps) => {
        const before = tf.memory().numTensors;
        const config = Object.fromEntries(fields.map((one, i) => [`f${i}`, one]));
        const line = new Line(tf, config);
        let value = 0;
        for (const { fields: chosen, mask, onDevice, donate, look } of steps) {
          const frames: Record<string, Float32Array> = {};
          for (const [i, { shape }] of fields.entries())
            if (chosen[i]) {
              const size = B * shape.reduce((product, side) => product * side, 1);
              frames[`f${i}`] = Float32Array.from({ length: size }, () => ++value);
            }
          const resetMask = mask !== undefined && onDevice ? tf.tensor1d(mask, 'bool') : mask;
          line.update(frames, { partial: true, donate, ...(resetMask && { resetMask }) });
          if (resetMask instanceof tf.Tensor) resetMask.dispose();
          line.model.update(frames, mask);
          if (look) await line.compare();
        }
        await line.compare();
        line.h.dispose();
        expect(tf.memory().numTensors).toBe(before);
      },
    ),
    { numRuns: 60 },
  );
});
