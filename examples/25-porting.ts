// Code that was written against PufferLib's logging guide goes on calling its seven calls.
import * as kymo from 'kymo';

/** What the guide calls a ConsoleLogger, in the little that this example needs. */
class Lines implements kymo.MetricLogger {
  logScalar(tag: string, value: number, step: number | bigint): void {
    if (Number(step) % 50 === 0) console.log(`Step ${step}: ${tag} = ${value.toFixed(4)}`);
  }
  logScalars(): void {}
  logHistogram(): void {}
  logImage(): void {}
  logHyperparameters(values: object): void {
    console.log('hyperparameters', JSON.stringify(values));
  }
  flush(): void {}
  close(): void {}
}

const logger = new kymo.MultiLogger(new kymo.RunMetricLogger({ project: 'examples', name: 'ported' }));
logger.add(new Lines());

logger.logHyperparameters({ lr: 3e-4, env: 'cartpole', layers: 2, normalize: true });
for (let step = 0; step <= 100; step++) {
  logger.logScalar('train/reward', step / 2, step);
  logger.logScalars('losses', { policy: 1 / (step + 1), value: 2 / (step + 1), entropy: -0.5 }, step);
  if (step % 50 === 0) logger.logHistogram('weights/fc', [step, step / 2, -step], step);
}
logger.logImage('env/frame', new Uint8Array(8 * 8 * 3).fill(200), 8, 8, 100);
logger.close();
