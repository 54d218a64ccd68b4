// Scopes: a logger says where it speaks from, and handlers in this process hear the scopes that they are attached to.
import * as kymo from 'kymo';

const run = kymo.init({ project: 'examples', name: 'scopes' });

// Text of `global` on the console, with its place; metrics of `train` every 50 steps.
kymo.configure({ console: true, level: 'info' });
kymo.attach('kymo.metrics-console', { scopes: ['train'], options: { every: 50 } });

// Hears `episode_1` and what is below it, such as `episode_1.env`; not `episode_10`, and not `global`.
const heard: string[] = [];
kymo.attach(
  {
    name: 'episode listener',
    handle: event => {
      if (event.kind === 'log') heard.push(`${event.scope}: ${event.message}`);
    },
    close: () => console.log(heard.join('\n')),
  },
  { scopes: ['episode_1'] },
);

const train = kymo.getLogger('train', { scope: 'train' });
for (let step = 0; step <= 100; step++) {
  train.log({ lr: 1e-3, 'losses/policy': 1 / (step + 1), 'losses/value': 2 / (step + 1) }, { step });
}
for (const episode of [0, 1, 10]) {
  const log = kymo.getLogger('env', { scope: `episode_${episode}` });
  log.info('reset');
  log.bind({ scope: `episode_${episode}.env` }).info('a goal was reached');
}
kymo.getLogger('main').info('heard on the console');

kymo.detach('episode listener');
await run.finish();
console.log(`all of it, whoever heard it, is in ${run.dir}`);
