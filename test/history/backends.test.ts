// The behaviour of histories on the backends that need no device: plain JavaScript and WebAssembly.
import { beforeAll, describe, it } from '@jest/globals';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import { cases } from './behaviour.ts';

tf.enableProdMode();

describe.each(['cpu', 'wasm'])('a history on %s', backend => {
  beforeAll(async () => {
    await tf.setBackend(backend);
    await tf.ready();
  });

  it.each(cases)('$name', async ({ run }) => {
    await run(tf);
  });
});
