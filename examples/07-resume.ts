// A run that stops and goes on later, from an earlier step; and a value that arrives late.
import * as kymo from 'kymo';

const id = `resume_${Date.now()}`;

const first = kymo.init({ project: 'examples', id });
for (let step = 0; step < 100; step++) first.log({ loss: 100 - step }, { step });
await first.finish({ state: 'failed' });

// The checkpoint was of step 80: what the first attempt logged from there on is superseded by what the second logs.
const second = kymo.init({ project: 'examples', id, resume: { step: 80 } });
for (let step = 80; step < 150; step++) second.log({ loss: 50 - step / 10 }, { step });

// Steps may come in any order: a slow evaluation of step 90 is done only now.
second.log({ score: 0.5 }, { step: 120 });
second.log({ score: 0.4 }, { step: 90 });

await second.finish();
console.log(`both attempts are in ${second.dir}`);
