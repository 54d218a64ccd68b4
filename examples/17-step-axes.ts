// Step axes: a value may be drawn over frames, epochs or tokens instead of the step, and the run keeps what sums it up.
import * as kymo from 'kymo';

const run = kymo.init({ project: 'examples', name: 'step axes' });
run.defineMetric('eval/*', { stepMetric: 'env/frames', summary: ['max', 'last'] });
run.defineMetric('loss', { summary: ['min', 'mean', 'best'], goal: 'minimize' });

// TensorBoard draws over the step alone. For a curve over frames there, a scope counts frames as its steps.
const byFrames = kymo.getLogger('eval', { scope: 'by_frames' });

let frames = 0;
let step = 0;
for (let epoch = 0; epoch < 5; epoch++) {
  for (let batch = 0; batch < 20; batch++, step++) {
    frames += 4 * 128;
    run.log({ loss: 1 / (1 + step) }, { step, axes: { epoch, env: { frames } } });
  }
  // At the step of the last row, over the frames seen so far; measured a minute ago.
  const result = 20 * epoch - epoch ** 3;
  run.log(
    { 'eval/return': result },
    { step, axes: { epoch, 'env/frames': frames }, time: Date.now() - 60_000 },
  );
  byFrames.log({ 'eval/return': result }, { step: frames });
}
await run.finish();
console.log(`see ${run.dir}/run.json`);
