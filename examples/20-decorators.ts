// The decorators. Node takes the types out of this file, but runs no decorators: compile it first, as with
// `npx esbuild examples/20-decorators.ts --target=es2022 --format=esm --outfile=20-decorators.mjs`.
import * as kymo from 'kymo';

const run = kymo.init({ project: 'examples', name: 'decorators' });

class Trainer {
  rate = 0.1;

  @kymo.timeit()
  step(batch: readonly number[]): number {
    const loss = batch.reduce((sum, value) => sum + value, 0) * this.rate;
    run.log({ loss });
    return loss;
  }

  @kymo.timeit('evaluation')
  async evaluate(): Promise<number> {
    return this.step([0.5, 0.5]);
  }

  @kymo.traceOnError()
  async load(path: string, token: string): Promise<never> {
    throw new Error(`cannot read ${path} with a token of ${token.length} letters`);
  }
}

const trainer = new Trainer();
for (let i = 0; i < 5; i++) trainer.step([i, i + 1]);
await trainer.evaluate();
await trainer
  .load('weights.bin', 'sk-secret')
  .catch(error => console.log(`it came through: ${error.message}`));
await run.finish();
console.log(`see ${run.dir}/logs`);
