// Distributions: how a layer's weights spread while it learns.
import * as kymo from 'kymo';

const run = kymo.init({ project: 'examples', name: 'histograms' });

/** Normally distributed (Box and Muller, 1958). */
function normal(mean: number, deviation: number): number {
  return (
    mean + deviation * Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random())
  );
}

for (let step = 0; step < 50; step++) {
  const weights = Float32Array.from({ length: 1_000 }, () => normal(step / 50, 1 + step / 25));
  run.histogram('weights/dense_0', weights, { step });
  run.histogram('weights/dense_0 (coarse)', weights, { step, bins: 8 });
  run.log({ 'weights/largest': Math.max(...weights) }, { step });
}

await run.finish();
console.log(`see ${run.dir}`);
