// A training that is interrupted and goes on from its newest checkpoint, as if it had never stopped.
import * as kymo from 'kymo';

/** Stops at `failAt`; `resume: 'allow'` starts the run or continues it, so that the same lines serve both times. */
async function train(id: string, failAt: number): Promise<void> {
  await using run = kymo.init({
    project: 'examples',
    id,
    config: { lr: 0.1 },
    resume: 'allow',
    checkpoints: { keep: 3, bufferEvery: 200 },
  });
  const from = run.loadCheckpoint();
  const { weights, best } = (from?.state ?? {
    weights: new Float64Array(4).fill(1),
    best: Infinity,
  }) as State;
  const replay = (from?.buffer ?? []) as number[];
  console.log(`attempt ${run.attempt} begins ${from === undefined ? 'anew' : `behind step ${from.step}`}`);

  let lowest = best;
  for (let step = from === undefined ? 0 : from.step + 1; step < 500; step++) {
    if (step === failAt) return;
    for (let i = 0; i < weights.length; i++) weights[i]! *= 0.99;
    const loss = weights[0]!;
    replay.push(loss);
    run.log({ loss }); // counts on by itself, also behind a checkpoint
    if (step % 50 !== 49) continue;
    const isBest = loss < lowest;
    lowest = Math.min(lowest, loss);
    await run.saveCheckpoint({ state: { weights, best: lowest }, step, isBest, buffer: () => replay });
  }
}
type State = { weights: Float64Array; best: number };

const id = `checkpoints_${Date.now()}`;
await train(id, 275); // steps 250 to 274 are lost with the process, and are superseded by what comes
await train(id, Infinity);
const { columns, rows } = kymo.readMetrics(`runs/${id}`, { columns: ['step', 'loss'] });
console.log(`${rows} rows, the last loss is ${columns.get('loss')![rows - 1]}`);
