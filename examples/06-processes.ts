// Several processes, one run: what the trainer starts joins its run through the environment, without a line for it.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import * as kymo from 'kymo';

const WORKERS = 3;
const STEPS = 200;

if (process.env.RANK === undefined) {
  const run = kymo.init({ project: 'examples', name: 'processes' });
  const workers = Array.from({ length: WORKERS }, (_, i) =>
    fork(fileURLToPath(import.meta.url), { env: { ...process.env, RANK: String(i + 1) } }),
  );
  train(0);
  await Promise.all(workers.map(worker => once(worker, 'exit')));
  await run.finish();
  console.log(`${WORKERS + 1} processes wrote ${run.dir}`);
} else {
  train(Number(process.env.RANK)); // RANK is read by Kymo too: each rank's curves keep apart
}

function train(rank: number): void {
  for (let step = 0; step < STEPS; step++) kymo.log({ loss: (rank + 1) / (step + 1) }, { step });
}
