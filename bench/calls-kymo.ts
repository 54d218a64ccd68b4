// The measured program of calls.ts: one kind of Kymo call, at full speed and then paced. Prints one line of JSON.
import * as kymo from 'kymo';
import { timeAtFullSpeed, timePaced } from './call-timer.ts';

const NAMES = 20;
/** A name of `timeit` turns into a histogram after this many calls that are all short. */
const CALLS_PER_TIMED_NAME = 1_000;

const [
  kind = 'scalar',
  callsText = '100000',
  burstText = '10000',
  pacedText = '10000',
  perSecondText = '10000',
] = process.argv.slice(2);
const calls = Number(callsText);
const paced = Number(pacedText);
const warmUp = Math.min(calls, 20_000);

const run = kymo.init({ project: 'bench', id: `calls-${kind}` });
const logger = kymo.getLogger('bench');
const call = makeCall();
const full = await timeAtFullSpeed(call, {
  warmUp,
  calls,
  burst: Number(burstText),
  settle: () => run.flush(),
});
await run.flush();
const slow = timePaced(call, warmUp + 2 * calls, paced, Number(perSecondText));
const { emitted, delivered, dropped } = await run.finish();
console.log(JSON.stringify({ full, slow, emitted, delivered, dropped }));

function makeCall(): (i: number) => void {
  switch (kind) {
    case 'scalar': {
      const names = Array.from({ length: NAMES }, (_, n) => `train/metric_${n}`);
      return i => run.scalar(names[i % NAMES]!, i * 0.5, { step: i });
    }
    case 'log10':
      return logRow(10);
    case 'log100':
      return logRow(100);
    case 'info':
      return i => logger.info('an epoch has ended', { epoch: i, loss: 0.25 });
    case 'timeit': {
      // A new name in time, so that every call gives its scalar, its span and its line.
      const timed = Array.from(
        { length: Math.ceil((warmUp + 2 * calls + paced) / CALLS_PER_TIMED_NAME) },
        (_, n) => kymo.timeit(`work_${n}`, (x: number) => x + 1),
      );
      return i => {
        timed[Math.floor(i / CALLS_PER_TIMED_NAME)]!(i);
      };
    }
    case 'timeit-many': {
      const timed = kymo.timeit('work', (x: number) => x + 1);
      return i => {
        timed(i);
      };
    }
    default:
      throw new Error(`no kind of call is named ${kind}`);
  }
}

function logRow(metrics: number): (i: number) => void {
  // Parsed, because V8 lays such an object out like a literal; one filled in a loop becomes a slow dictionary.
  const row = JSON.parse(
    JSON.stringify(
      Object.fromEntries(Array.from({ length: metrics }, (_, m) => [`train/metric_${m}`, m + 0.5])),
    ),
  ) as Record<string, number>;
  return i => {
    row['train/metric_0'] = i * 0.5;
    run.log(row, { step: i });
  };
}
