// A run of its own for each episode, in a group, and one for the whole: where every scope is to have its own curves and steps.
import * as kymo from 'kymo';

const EPISODES = 3;
const LENGTH = 10;

const whole = kymo.init({ project: 'examples', name: 'training', group: 'episodes' });
const total = kymo.getLogger('trainer', { run: whole });

async function episode(index: number): Promise<number> {
  await using run = kymo.init({ project: 'examples', name: `episode_${index}`, group: 'episodes' });
  const log = kymo.getLogger('env', { run });
  let sum = 0;
  // Each run counts its own steps.
  for (let step = 0; step < LENGTH; step++) {
    const reward = index * LENGTH + step;
    log.log({ 'env/reward': reward });
    sum += reward;
  }
  log.info('the episode has ended', { sum });
  return sum;
}

for (let i = 0; i < EPISODES; i++) total.log({ total_reward: await episode(i) });
await whole.finish();
console.log(`see ${whole.dir}`);
