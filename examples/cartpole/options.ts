// The demo's command line.
import { parseArgs } from 'node:util';

export interface Options {
  readonly seconds: number;
  /** Infinity unless the caller counts updates instead of seconds. */
  readonly updates: number;
  readonly seed: number;
}

/** Longer than this is a typing mistake, not a demo. */
const MAX_SECONDS = 86_400;
const MAX_UPDATES = 1_000_000;
const DEFAULT_SECONDS = 30;
const MAX_SEED = 2 ** 31 - 1;

const HELP = `Learns to balance a pole on a cart and logs how with Kymo.

  node examples/cartpole/main.ts [--seconds N | --updates N] [--seed N]

  --seconds N   train for about N seconds (default 30)
  --updates N   train for N updates of the policy, however long they take
  --seed N      an integer from 0 to ${MAX_SEED} (default 1); one seed always walks the same learning curve,
                a slower machine walks less of it in the same time
  --help        show this
`;

/** Exits for `--help` (0) and for options that make no sense (2). */
export function readOptions(argv: readonly string[]): Options {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        seconds: { type: 'string' },
        updates: { type: 'string' },
        seed: { type: 'string', default: '1' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) {
      process.stdout.write(HELP);
      process.exit(0);
    }
    return {
      seconds: within(
        '--seconds',
        values.seconds ?? String(values.updates === undefined ? DEFAULT_SECONDS : MAX_SECONDS),
        MAX_SECONDS,
        Number.MIN_VALUE,
      ),
      updates:
        values.updates === undefined
          ? Number.POSITIVE_INFINITY
          : within('--updates', values.updates, MAX_UPDATES, 1, Number.isInteger),
      seed: within('--seed', values.seed, MAX_SEED, 0, Number.isInteger),
    };
  } catch (error) {
    process.stderr.write(`cartpole: ${(error as Error).message}\n\n${HELP}`);
    process.exit(2);
  }
}

function within(
  name: string,
  text: string,
  max: number,
  min: number,
  fits: (n: number) => boolean = () => true,
): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= min && value <= max && fits(value)) return value;
  throw new Error(`${name} "${text}" is not a number that fits`);
}
