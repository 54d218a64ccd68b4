// A handler of one's own, known by name: the processes that the run starts make it too, with the same options and scopes.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import * as kymo from 'kymo';

/** Says when a loss has not got better for a number of steps. */
class Plateau implements kymo.Handler {
  readonly name = 'plateau';
  readonly #patience: number;
  #best = Number.POSITIVE_INFINITY;
  #bestStep = 0;

  constructor({ patience }: { patience: number }) {
    this.#patience = patience;
  }

  handle(event: kymo.HandlerEvent): void {
    if (event.kind !== 'row' || typeof event.values.loss !== 'number' || event.step === undefined) return;
    if (event.values.loss < this.#best) [this.#best, this.#bestStep] = [event.values.loss, event.step];
    if (event.step - this.#bestStep === this.#patience)
      console.log(`rank ${process.env.RANK ?? 0}: no progress since step ${this.#bestStep}`);
  }
}

kymo.registerHandler('plateau', options => new Plateau(options as { patience: number }));
const run = kymo.init({ project: 'examples', name: 'custom-handler' }); // in the child: joins the parent's run
if (process.env.RANK === undefined) {
  kymo.attach('plateau', { scopes: ['train'], options: { patience: 10 } });
  await once(fork(fileURLToPath(import.meta.url), { env: { ...process.env, RANK: '1' } }), 'exit');
}

const log = kymo.getLogger('trainer', { scope: 'train' });
const floor = process.env.RANK === undefined ? 30 : 50;
for (let step = 0; step < 100; step++) log.log({ loss: 1 / Math.min(step + 1, floor) }, { step });
await run.finish();
