// Fuzzes every target in turn until the time is up; files what it finds, and ends with 1 when that is anything.
import { parseArgs } from 'node:util';
import { mix } from '../chaos/random.ts';
import { addToCorpus, corpusOf } from './corpus.ts';
import { fuzz } from './fuzz.ts';
import { TARGETS } from './targets.ts';

const HELP = `usage: npm run test:fuzz [-- [TARGET …] [--minutes N] [--seed S] [--keep]]

  TARGET       one of ${TARGETS.join(', ')} (default: all, the time shared among them)
  --minutes N  how long in all (default: 1)
  --seed S     choose the same inputs again
  --keep       add inputs that reach new ground to the corpus (test/fuzz/testdata)

An input that breaks a law is made small, filed as test/fuzz/testdata/TARGET/finding-…, and tried by npm test from then on.
`;
const LONGEST_MINUTES = 24 * 60;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean' },
  },
});
const minutes = Number(values.minutes);
const unknown = positionals.filter(name => !TARGETS.includes(name));
if (values.help === true) {
  process.stdout.write(HELP);
} else if (unknown.length > 0 || !(minutes > 0 && minutes <= LONGEST_MINUTES)) {
  process.stderr.write(HELP);
  process.exitCode = 2;
} else {
  const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
  const chosen = positionals.length > 0 ? positionals : TARGETS;
  process.exitCode = (await fuzzAll(chosen, seed, (minutes * 60_000) / chosen.length, values.keep)) ? 0 : 1;
}

async function fuzzAll(
  targets: readonly string[],
  seed: number,
  forMs: number,
  keep: boolean,
): Promise<boolean> {
  process.stdout.write(`seed ${seed}\n`);
  let sound = true;
  for (const [index, target] of targets.entries()) {
    const corpus = corpusOf(target).map(({ bytes }) => bytes);
    const report = await fuzz({ target, seed: mix(seed, index), forMs, corpus });
    if (report.kind === 'done') {
      const { runs, branches, pool, found } = report;
      process.stdout.write(
        `${target.padEnd(14)} ${String(runs).padStart(9)} inputs, ${branches} branches, ${pool} kept, ${found.length} new\n`,
      );
      if (keep) for (const bytes of found) addToCorpus(target, bytes, false);
      continue;
    }
    sound = false;
    const path = addToCorpus(target, report.bytes, true);
    process.stdout.write(
      `${target}: FOUND after ${report.runs} inputs: ${report.error}\n${report.stack}\nin ${path}\n`,
    );
  }
  return sound;
}
