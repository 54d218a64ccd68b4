// The measured program of history.ts: BACKEND FOLDER ALGORITHM WORK T ELEMENTS SECONDS; prints one line of JSON with ms per step.
//
// Algorithms: `kymo`, and `concat`, which shifts and appends as goggles does, in TensorFlow.js's operations: slice, concat, where.
// Work: `update` with a frame and a mask that are on the device, `upload` with a frame from the host, `read` (update, then the whole window).
import type * as core from '@tensorflow/tfjs-core';
import { createHistory, HistorySpec, updateHistory } from '../dist/history/index.js';
import { openDevice } from '../test/history/device.ts';

const BATCH = 32;
/** A device may be ahead of its loop by this many steps when it is waited for. */
const BLOCK = { update: 50, upload: 10, read: 2 } as const;
const MIN_BLOCKS = 3;

type Work = keyof typeof BLOCK;
const [backend = 'cpu', folder, algorithm, work = 'update', lengthText, elementsText, secondsText, init] =
  process.argv.slice(2);
const { tf } = await openDevice(backend, folder || undefined);
const length = Number(lengthText);
const elements = Number(elementsText);
const seconds = Number(secondsText);
const frames = [1, 2].map(value => tf.fill([BATCH, elements], value) as core.Tensor2D);
const host = new Float32Array(BATCH * elements).fill(3);
const mask = tf.tensor1d(
  Array.from({ length: BATCH }, (_, row) => row === 3),
  'bool',
);
const baseline = tf.memory().numBytes;

const { step, settled, dispose } = algorithm === 'kymo' ? kymo() : concat();
// Pipelines are compiled, pools filled, and the ring is full.
for (let i = 0; i < (algorithm === 'kymo' ? length + 2 : 2); i++) step(i);
await settled();
const blocks: number[] = [];
let most = 0;
const size = backend === 'cpu' && work !== 'update' ? 1 : BLOCK[work as Work];
const end = performance.now() + seconds * 1e3;
while (performance.now() < end || blocks.length < MIN_BLOCKS) {
  const start = performance.now();
  for (let i = 0; i < size; i++) step(i);
  await settled();
  blocks.push((performance.now() - start) / size);
  most = Math.max(most, tf.memory().numBytes - baseline);
  // One block of the slowest takes half a minute.
  if (performance.now() > end + 20_000) break;
}
dispose();
blocks.sort((a, b) => a - b);
process.stdout.write(
  `${JSON.stringify({
    ms: blocks[Math.floor(blocks.length / 2)],
    steps: blocks.length * size,
    memory: most / (BATCH * length * elements * 4),
  })}\n`,
);

function kymo() {
  const spec = HistorySpec.fromConfig({
    x: { length, shape: [elements], init: init === 'randn' ? 'randn' : 'zeros' },
  });
  let h = createHistory(tf, spec, BATCH, { seed: 1 });
  return {
    step(i: number): void {
      const x = work === 'upload' ? host : frames[i % 2]!;
      h = updateHistory(h, { x }, { resetMask: mask });
      if (work === 'read') h.fields.x;
    },
    settled: () => h.settled(),
    dispose: () => h.dispose(),
  };
}

function concat() {
  let window: core.Tensor = tf.zeros([BATCH, length, elements]);
  const zeros = tf.zeros([BATCH, length, elements]);
  return {
    step(i: number): void {
      const next = tf.tidy(() => {
        const frame = work === 'upload' ? tf.tensor(host, [BATCH, elements]) : frames[i % 2]!;
        const shifted = tf.concat(
          [
            tf.slice(window, [0, 1, 0], [BATCH, length - 1, elements]),
            tf.reshape(frame, [BATCH, 1, elements]),
          ],
          1,
        );
        return tf.where(tf.reshape(mask, [BATCH, 1, 1]), zeros, shifted);
      });
      window.dispose();
      window = next;
    },
    async settled(): Promise<void> {
      const one = tf.slice(tf.reshape(window, [window.size]), 0, 1);
      await one.data();
      one.dispose();
    },
    dispose(): void {
      window.dispose();
      zeros.dispose();
    },
  };
}
