// Several runs in one process: seeds side by side in a group, and one more run for the comparison.
import * as kymo from 'kymo';

/** Each logger belongs to the run it is told; without that it follows the run started last. */
const seeds = [1, 2, 3].map(seed => {
  const run = kymo.init({ project: 'examples', name: `seed ${seed}`, group: 'sweep', config: { seed } });
  return { seed, run, log: kymo.getLogger('trainer', { run, seed }) };
});
for (let step = 0; step < 100; step++)
  for (const { seed, log } of seeds) log.log({ loss: seed / (step + 1) }, { step });
for (const { run, log } of seeds) {
  log.info('this seed is done');
  await run.finish();
}

/** `await using` finishes a run at the end of its block. */
{
  await using summary = kymo.init({
    project: 'examples',
    name: 'comparison',
    group: 'sweep',
    jobType: 'compare',
  });
  for (const { seed } of seeds) summary.log({ 'final loss': seed / 100 }, { step: seed });
}
console.log(`see ${seeds.map(({ run }) => run.dir).join(', ')}`);
