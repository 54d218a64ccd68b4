// No run at all: a folder with the usual layout, a bare metrics file in it, a progress bar, and the numbers read back.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as kymo from 'kymo';

const dir = new kymo.RunDir('dqn_cartpole');
dir.saveConfig({ algo: 'dqn', lr: 1e-3 });

{
  using logger = new kymo.MetricsLogger(dir.logPath());
  using progress = new kymo.TrainingProgress(10_000, { prefix: 'DQN' });
  for (let step = 1_000; step <= 10_000; step += 1_000) {
    const row: kymo.MetricSetRow<'dqn'> = {
      loss: 1_000 / step,
      q_mean: step / 100,
      epsilon: 1 - step / 10_000,
    };
    logger.write({ step, ...row });
    progress.update(step, { loss: row.loss });
    writeFileSync(join(dir.checkpointDir(step), 'weights.json'), JSON.stringify([row.loss]));
  }
}
dir.markBest(7_000);
dir.cleanupCheckpoints(2);
console.log(dir.listCheckpoints().length, 'checkpoints are left');

// As columns of doubles; or `for await (const row of kymo.streamMetrics(dir))` where a file is larger than memory.
const { rows, columns } = kymo.readMetrics(dir, { columns: ['step', 'loss'] });
console.log(`${rows} rows, the least loss is ${Math.min(...columns.get('loss')!)}`);
for (const run of kymo.findRuns('runs', { project: 'dqn_cartpole' })) console.log(run.path);
