// Filters: smoothing and outlier rejection as pure functions, with a state for each signal.
import * as kymo from 'kymo';

const { filters } = kymo;
const run = kymo.init({ project: 'examples', name: 'filters' });

const smooth = filters.stream(filters.expAverage(0.1));
const clean = filters.stream(
  filters.concat([
    filters.stdReject({ factor: 3, window: 20, fallback: filters.median(5) }),
    filters.average(5),
  ]),
);
for (let step = 0; step < 200; step++) {
  const spike = step % 50 === 49 ? 10 : 0;
  const loss = Math.exp(-step / 100) + 0.05 * Math.sin(step * 12.9898) + spike;
  run.log({ loss, 'loss/smooth': smooth(loss), 'loss/clean': clean(loss) });
}

// The same from a configuration file; `apply` is pure: state in, state and output out.
const filter = filters.fromConfiguration([
  { type: 'minMax', min: 0, max: 10 },
  { type: 'quantization', min: 0, max: 1, step: 0.25 },
]);
let state = filter.init([0, 0]);
for (const joints of [
  [1, 9],
  [3, 7],
]) {
  const [next, output] = filter.apply(state, joints);
  state = next;
  console.log(joints, '->', output);
}
await run.finish();
console.log(`see ${run.dir}`);
