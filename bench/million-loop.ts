// The measured program of million.ts: a loop that never yields, and the end of the process. Prints one line of JSON before that.
import fs from 'node:fs';
import * as kymo from 'kymo';

const [scalars = '1000000', id = 'million'] = process.argv.slice(2);
const count = Number(scalars);
const run = kymo.init({ project: 'bench', id });
const startedAt = performance.now();
for (let step = 0; step < count; step++) run.scalar('loss', step * 0.5, { step });
const exitAtMs = performance.now();
fs.writeSync(1, `${JSON.stringify({ loopMs: exitAtMs - startedAt, exitAtMs })}\n`);
process.exit(0);
