// Every value as a line of a CSV table, written while the run goes on; then a column per metric, for a spreadsheet.
import fs from 'node:fs';
import * as kymo from 'kymo';

// For the collector that this script starts. Usually set outside: KYMO_EXPORTERS=jsonl,csv node train.ts
process.env.KYMO_EXPORTERS ??= 'jsonl,csv';

const run = kymo.init({ project: 'examples', name: 'csv' });
for (let step = 0; step < 100; step++) {
  run.log({ 'train/loss': 1 / (step + 1), lr: 1e-3 * 0.99 ** step }, { step });
  // A metric that appears later is only another name in the column `metric`: nothing written before changes.
  if (step % 25 === 24) run.log({ accuracy: step / 100 }, { step, mode: 'eval' });
}
await run.finish();

const table = fs.readFileSync(`${run.dir}/logs/metrics.csv`, 'utf8').split('\r\n');
console.log(table.slice(0, 4).join('\n'));
console.log(`… ${table.length - 1} lines in ${run.dir}/logs/metrics.csv`);
console.log(`a column per metric:  npx kymo export ${run.id} --csv --output metrics.csv`);
