// A training that logs with Kymo to the collector in KYMO_ENDPOINT: one long synchronous loop, some text, a span, a histogram.
// usage: train.ts RUN_ID STEPS; prints what became of everything.
import * as kymo from '../../../src/index.ts';

const [id, steps] = process.argv.slice(2) as [string, string];
const run = kymo.init({ project: 'interop', id, config: { lr: 0.01 } });
const log = kymo.getLogger('trainer');
for (let step = 0; step < Number(steps); step++)
  run.log({ loss: 1 / (step + 1), 'train/step twice': 2 * step }, { step });
run.log({ diverged: Number.NaN, endless: Number.POSITIVE_INFINITY }, { step: Number(steps) });
run.histogram('weights', [1, 2, 3, 4], { step: 1 });
kymo.timeit('evaluation', () => log.warn('häß 漢 🚀', { seed: 3 }))();
process.stdout.write(`${JSON.stringify(await run.finish())}\n`);
