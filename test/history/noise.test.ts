// Random numbers by counting: the device's operations and the host say the same, wherever the counters wrap.
import { describe, expect, it } from '@jest/globals';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import fc from 'fast-check';
import { deviceNoise, fillNoise, noiseSeed } from '../../src/history/noise.ts';

tf.enableProdMode();

describe('noise', () => {
  it('is the same from operations of the device as from the host', async () => {
    await tf.setBackend('wasm');
    fc.assert(
      fc.property(
        fc.nat({ max: 2 ** 32 - 1 }),
        fc.array(fc.nat({ max: 1000 }), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 7 }),
        (seed, resets, positions, elements) => {
          const length = 2_000;
          const firstFrame = -500;
          const device = tf.tidy(() =>
            deviceNoise(
              tf,
              seed,
              tf.tensor1d(resets, 'int32'),
              { length, firstFrame },
              positions,
              elements,
            ).dataSync(),
          );
          for (const [row, resetAt] of resets.entries()) {
            const host = new Float32Array(positions * elements);
            fillNoise(host, seed, row, resetAt, (firstFrame - resetAt + length) * elements);
            for (let i = 0; i < host.length; i++)
              expect(device[row * host.length + i]).toBeCloseTo(host[i]!, 4);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('has another seed for every field and every seed of 53 bits', () => {
    const seeds = new Set<number>();
    for (const seed of [0, 1, 2, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER])
      for (const field of ['a', 'b', 'ab', 'ba', '']) seeds.add(noiseSeed(seed, field));
    expect(seeds.size).toBe(30);
    for (const seed of seeds) expect(seed).toBe(seed >>> 0);
  });

  it('has moments and tails of a normal distribution, and no bias by place', () => {
    const count = 200_000;
    const values = new Float32Array(count);
    fillNoise(values, 7, 3, 12, 0);
    const moments = [0, 0, 0, 0];
    for (const value of values)
      for (let power = 0, product = value; power < 4; power++, product *= value)
        moments[power]! += product / count;
    expect(Math.abs(moments[0]!)).toBeLessThan(0.01);
    expect(Math.abs(moments[1]! - 1)).toBeLessThan(0.015);
    expect(Math.abs(moments[2]!)).toBeLessThan(0.03);
    expect(Math.abs(moments[3]! - 3)).toBeLessThan(0.08);
    for (const stride of [2, 64, 1024]) {
      let sum = 0;
      for (let i = 0; i + stride < count; i++) sum += values[i]! * values[i + stride]!;
      expect(Math.abs(sum / count)).toBeLessThan(0.01);
    }
  });
});
