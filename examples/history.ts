// Episodic reinforcement learning with device-resident histories: 64 walkers on a line, whose episodes end at different times.
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import * as kymo from 'kymo';
import {
  createHistory,
  HistorySpec,
  observeHistory,
  peekLast,
  recordFlight,
  updateHistory,
} from 'kymo/history';

tf.enableProdMode();
await tf.setBackend('wasm');
const run = kymo.init({ project: 'examples', name: 'history' });

const WALKERS = 64;
const spec = HistorySpec.fromConfig({
  position: { length: 32, shape: [2] },
  action: { length: 8, shape: [], dtype: 'int32' },
  reward: { length: 32, shape: [] },
});
let history = createHistory(tf, spec, WALKERS);
const observation = observeHistory(run, history, { fields: ['position', 'reward'], every: 50 });
const flight = recordFlight(run, history, { frames: 8, nan: true });

let position = tf.keep(tf.zeros([WALKERS, 2]));
const step = flight.guard(() =>
  tf.tidy(() => {
    const action = tf.cast(tf.randomUniform([WALKERS], 0, 2), 'int32');
    const move = tf.stack(
      [tf.sub(tf.mul(tf.cast(action, 'float32'), 0.2), 0.1), tf.fill([WALKERS], 0.01)],
      1,
    );
    const moved = tf.add(position, move);
    const reward = tf.sub(1, tf.abs(tf.slice(moved, [0, 0], [WALKERS, 1])));
    const done = tf.less(tf.reshape(reward, [WALKERS]), 0) as tf.Tensor1D; // known to the device alone
    const frames = { position: moved, action, reward: tf.reshape(reward, [WALKERS]) };
    history = updateHistory(history, frames, { resetMask: done });
    position.dispose();
    position = tf.keep(tf.where(tf.reshape(done, [WALKERS, 1]), tf.zeros([WALKERS, 2]), moved));
  }),
);
for (let i = 0; i < 1_000; i++) {
  step();
  if (i % 25 === 24) await history.settled(); // not further ahead of the device than that
}

const { reward } = peekLast(history, 4, 'reward');
console.log('the last rewards of walker 0:', (await reward.data()).slice(0, 4));
console.log('frames since its last reset:', (await history.ages.position.data())[0]);
await flight.dump('the end');
await run.finish();
console.log(`${observation.written} looks, ${observation.skipped} skipped; see ${run.dir}`);
