// The shape of a PPO training: rollouts collected, epochs over minibatches, one row per update, episodes over frames.
import * as kymo from 'kymo';

const config = { updates: 40, envs: 8, steps: 32, epochs: 4, minibatches: 4, lr: 2.5e-4, clip: 0.2 };
const run = kymo.init({ project: 'examples', name: 'ppo', config });
const episodes = kymo.getLogger('env', { scope: 'episodes' });
run.defineMetric('episode/*', { stepMetric: 'env/frames', summary: ['mean', 'best'], goal: 'maximize' });

/** Stands for the agent and its environment: returns rise, losses fall. */
const noise = (i: number) => Math.sin(i * 12.9898) / 10;

const collect = kymo.timeit('collect', (update: number) => {
  const frames = update * config.envs * config.steps;
  for (let env = update % 4; env < config.envs; env += 4) {
    const row = { 'episode/return': 5 * update + env, 'episode/length': 20 + update };
    episodes.log(row, { axes: { 'env/frames': frames + env } });
  }
});

const learn = kymo.timeit('learn', (update: number) => {
  // Each minibatch adds to the row of its update; the last one's values stay.
  for (let batch = 0; batch < config.epochs * config.minibatches; batch++) {
    const policy = noise(update + batch) / (update + 1);
    const value = 1 / (update + 1) + noise(batch) / 10;
    run.log({ 'losses/policy': policy, 'losses/value': value }, { commit: false });
  }
  run.log({ approx_kl: 0.01 + noise(update) / 20, lr: config.lr * (1 - update / config.updates) });
});

for (let update = 0; update < config.updates; update++) {
  collect(update);
  learn(update);
  if (update % 10 === 0) run.histogram('weights/actor', Array.from(Array(256).keys(), noise));
}
run.summary.solved = true;
await run.finish();
console.log(`see ${run.dir}`);
