// The behaviour of histories on the backends that need no device: plain JavaScript and WebAssembly.
import { beforeAll, describe, it } from '@jest/globals';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import { cases } from './behaviour.ts';

tf.enableProdMode();

/** A backend that nothing is known of: all is done by operations, as on TensorFlow itself. */
const unknown = {
  ...tf,
  getBackend: () => 'unknown',
  getKernelsForBackend: () => tf.getKernelsForBackend('wasm'),
};

describe.each([
  ['cpu', 'cpu', tf],
  ['wasm', 'wasm', tf],
  ['wasm, by operations alone', 'wasm', unknown],
])('a history on %s', (_, backend, given) => {
  beforeAll(async () => {
    await tf.setBackend(backend);
    await tf.ready();
  });

  it.each(cases)('$name', async ({ run }) => {
    await run(given);
  });
});
