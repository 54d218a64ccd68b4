// The smallest run: one long synchronous loop, one row per step, a line of text.
import * as kymo from 'kymo';

const run = kymo.init({ project: 'examples', name: 'basic', config: { lr: 1e-2, layers: [64, 64] } });
const log = kymo.getLogger('trainer');

const steps = 10_000;
for (let step = 0; step < steps; step++) {
  run.log({ 'train/loss': Math.exp(-step / 2_000) + 0.05 * Math.sin(step / 50), 'train/lr': 1e-2 }, { step });
}
log.info('done', { seed: 3 });

await run.finish(); // or nothing: a process that ends without it loses nothing either
console.log(`${steps} rows in ${run.dir}`);
