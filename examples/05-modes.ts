// Training and evaluation of one metric, and a row put together from several places.
import * as kymo from 'kymo';

const run = kymo.init({ project: 'examples', name: 'modes', config: { lr: 0.1 } });
run.config.update({ optimizer: 'sgd' });

for (let step = 0; step < 100; step++) {
  // Collected, and written as one row by the next call that commits.
  run.log({ loss: 1 / (step + 1) }, { step, commit: false });
  run.log({ 'gradient/norm': 10 / (step + 1) }, { step });

  // The mode keeps the two losses apart; the names stay the same.
  if (step % 10 === 9) run.log({ loss: 1.5 / (step + 1), accuracy: step / 100 }, { step, mode: 'eval' });
  // A name that begins with a mode says it by itself.
  if (step === 99) run.log({ 'test/accuracy': 0.97 }, { step });
}
run.summary.best_accuracy = 0.97;

await run.finish();
console.log(`see ${run.dir}/logs/metrics.jsonl`);
