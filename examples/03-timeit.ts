// How long things take: each call of a timed function gives a span, a scalar `timings/<name>` and a line of text.
import { setTimeout as sleep } from 'node:timers/promises';
import * as kymo from 'kymo';

const run = kymo.init({ project: 'examples', name: 'timeit' });

/** `timeit` changes nothing about a function but that it is timed: plain, async or generator. */
const load = kymo.timeit('load', (size: number) => Array.from({ length: size }, Math.random));
const mean = kymo.timeit(
  'mean',
  (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length,
);
const batches = kymo.timeit('batches', function* (count: number) {
  for (let i = 0; i < count; i++) yield load(10_000);
});
const epoch = kymo.timeit('epoch', async (step: number) => {
  // Calls inside a call become children of its span.
  for (const batch of batches(3)) run.log({ mean: mean(batch) }, { step });
  await sleep(10);
});
for (let step = 0; step < 3; step++) await epoch(step);

const fragile = kymo.timeit('fragile', () => {
  throw new RangeError('the batch is empty');
});
try {
  fragile();
} catch (error) {
  console.log(`the error came through (${error}), and its span says so`);
}

await run.finish();
console.log(`see ${run.dir}/logs/spans.jsonl`);
