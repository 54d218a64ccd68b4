// Configuration files: YAML or JSON in, checked, into the run's hyperparameters, and out again.
import { existsSync } from 'node:fs';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import * as kymo from 'kymo';

type Config = { lr: number; optimizer: { name: string; momentum: number } };
/** Any Standard Schema will do (zod, Valibot, ArkType); this is what one looks like without a library. */
const schema: StandardSchemaV1<unknown, Config> = {
  '~standard': {
    version: 1,
    vendor: 'example',
    validate: value => {
      const config = value as Config;
      if (config.lr > 0) return { value: config };
      return { issues: [{ message: `must be greater than 0, not ${config.lr}`, path: ['lr'] }] };
    },
  },
};

if (!existsSync('config.yaml'))
  kymo.saveConfiguration({ lr: 1e-3, optimizer: { name: 'sgd', momentum: 0.9 } }, 'config.yaml');
const config = kymo.loadConfiguration('config.yaml', { schema });
console.log(config);

const run = kymo.init({ project: 'examples', name: 'config file', config });
for (let step = 0; step < 100; step++) {
  if (step === 50) run.config.lr = config.lr / 10; // changes are recorded, and the last one counts
  run.log({ loss: 1 / (step + 1), lr: run.config.lr as number });
}
kymo.saveConfiguration(run.config, 'last.json');

kymo.saveConfiguration({ lr: -1 }, 'bad.yaml');
try {
  kymo.loadConfiguration('bad.yaml', { schema });
} catch (error) {
  console.log((error as Error).message);
}
await run.finish();
