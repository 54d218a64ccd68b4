// The same calls, ending in Weights & Biases: curves, a picture, a table, a definition. Offline without a key; `kymo sync` uploads it later.
//   WANDB_API_KEY=… KYMO_EXPORTERS=jsonl,wandb node examples/wandb.ts
import * as kymo from 'kymo';

// What the embedded collector writes to is said before the first run; here, because an example should show something by itself.
process.env.KYMO_EXPORTERS ??= 'jsonl,wandb';

const run = kymo.init({ project: 'examples', name: 'wandb', tags: ['example'], config: { lr: 1e-2 } });
const log = kymo.getLogger('trainer');
run.defineMetric('eval/accuracy', { summary: 'max' });

for (let step = 0; step <= 1_000; step++) {
  run.log({ 'train/loss': Math.exp(-step / 200) }, { step });
  if (step % 100 === 0) run.log({ 'eval/accuracy': 1 - Math.exp(-step / 300) }, { step });
}
const pixels = Uint8Array.from({ length: 32 * 32 * 3 }, (_, i) => (i * 7) % 256);
run.image('samples', pixels, { shape: [32, 32, 3], step: 1_000, caption: 'noise' });
run.table('errors', [{ id: 1, label: 'cat', guess: 'dog' }], { step: 1_000 });
log.info('done');

await run.finish();
console.log(`${run.id}: on its page, or below wandb/ for \`npx kymo sync\``);
