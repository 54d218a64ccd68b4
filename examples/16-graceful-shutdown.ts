// Ctrl-C: the first one asks the loop to stop, the second one ends the process. Try it: node examples/16-graceful-shutdown.ts
import { setTimeout as sleep } from 'node:timers/promises';
import * as kymo from 'kymo';

const run = kymo.init({ project: 'examples', name: 'graceful shutdown' });
const log = kymo.getLogger('trainer');

/** Nobody is here to press Ctrl-C in a test: after 50 steps the example does it itself. */
const press = (step: number) => step === 50 && process.kill(process.pid, 'SIGINT');

let step = 0;
{
  using stop = new kymo.GracefulShutdown();
  for (; step < 1_000 && !stop.requested; step++) {
    run.log({ loss: 1 / (step + 1) }, { step });
    if (!process.stdin.isTTY) press(step);
    // A loop must let go now and then: no signal reaches JavaScript inside a synchronous one.
    await sleep(1, undefined, { signal: stop.signal }).catch(() => undefined);
  }
  if (stop.requested) log.warn('stopped early', { reason: stop.reason, step });
}
// Time to save a checkpoint; the listeners that stood before are back.
log.info('saved', { step });
await run.finish({ state: step < 1_000 ? 'killed' : 'finished' });
console.log(`see ${run.dir}; the exit code is ${process.exitCode ?? 0}`);
