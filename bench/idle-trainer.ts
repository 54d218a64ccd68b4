// The measured program of memory.ts: a trainer that logs once and then has nothing to say until it is told to end.
import * as kymo from 'kymo';

const run = kymo.init({ project: 'bench', id: 'idle' });
run.log({ loss: 1 });
setInterval(() => undefined, 2 ** 30);
