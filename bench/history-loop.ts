// The measured program of history.ts: BACKEND FOLDER ALGORITHM WORK T ELEMENTS SECONDS; prints one line of JSON with ms per step.
//
// Algorithms: `kymo`, and `concat`, which shifts and appends as goggles does, in TensorFlow.js's operations: slice, concat, where.
// Work: `update` with a frame and a mask that are on the device, `upload` with a frame from the host, `read` (update, then the whole window).
import type * as core from '@tensorflow/tfjs-core';
import { createHistory, HistorySpec, updateHistory } from '../dist/history/index.js';
import { openDevice } from '../test/history/device.ts';

const BATCH = 32;
/** Steps between two waits for the device, as many as fit into this time. */
const BLOCK_MS = 200;
const MAX_BLOCK = 200;
const MIN_BLOCKS = 3;

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

const subject = algorithm === 'kymo' ? kymo() : concat();
// Pipelines are compiled, pools filled, and the ring is full.
subject.fill();
for (let i = 0; i < 2; i++) subject.step(i);
await subject.settled();
const first = await block(1);
const size = Math.max(1, Math.min(MAX_BLOCK, Math.floor(BLOCK_MS / first)));
const blocks: number[] = [];
let most = 0;
const end = performance.now() + seconds * 1e3;
while (performance.now() < end || blocks.length < MIN_BLOCKS) {
  blocks.push((await block(size)) / size);
  most = Math.max(most, tf.memory().numBytes - baseline);
}
subject.dispose();
blocks.sort((a, b) => a - b);
process.stdout.write(
  `${JSON.stringify({
    ms: blocks[Math.floor(blocks.length / 2)],
    steps: blocks.length * size,
    memory: most / (BATCH * length * elements * 4),
  })}\n`,
);

async function block(steps: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < steps; i++) subject.step(i);
  await subject.settled();
  return performance.now() - start;
}

function kymo() {
  const spec = HistorySpec.fromConfig({
    x: { length, shape: [elements], init: init === 'randn' ? 'randn' : 'zeros' },
  });
  let h = createHistory(tf, spec, BATCH, { seed: 1 });
  return {
    fill(): void {
      for (let i = 0; i < length; i++) h = updateHistory(h, { x: frames[i % 2]! });
    },
    step(i: number): void {
      h = updateHistory(h, { x: work === 'upload' ? host : frames[i % 2]! }, { resetMask: mask });
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
    fill: () => undefined,
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
