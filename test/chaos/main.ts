// Runs the chaos scenarios, each at random moments that a seed replays, until the time is up; tells what was survived.
import { parseArgs } from 'node:util';
import type { Tally } from './arena.ts';
import { PLANTS, type Planted } from './plant.ts';
import { mix, Random } from './random.ts';
import type { Scenario } from './scenario.ts';
import { SCENARIOS } from './scenarios.ts';

const HELP = `usage: npm run test:chaos [-- [PATTERN …] [--short] [--minutes N] [--seed S] [--keep] [--list] [--plant KIND]]

  PATTERN      only scenarios whose name has this in it
  --short      only what finds most in a minute or two, for CI
  --minutes N  go on with new random choices until N minutes have passed (default: each scenario once), the long ones too
  --seed S     replay a run: the same payloads, orders, faults and moments
  --keep       keep the folders of scenarios that failed
  --list       name the scenarios
  --plant KIND do to a sink what must not be (${PLANTS.join(', ')}), before it is judged: the run must fail
`;
/** A scenario takes seconds; one that takes this long hangs. */
const SCENARIO_DEADLINE_MS = 180_000;
/** The long ones: a minute's absence, ten hours' worth of rows, overload. */
const LONG_DEADLINE_MS = 600_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    short: { type: 'boolean' },
    plant: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string' },
    keep: { type: 'boolean' },
    list: { type: 'boolean' },
    help: { type: 'boolean' },
  },
});
const chosen = SCENARIOS.filter(({ name, short, long }) => {
  if (positionals.length > 0) return positionals.some(pattern => name.includes(pattern));
  return values.short === true ? short : !long || values.minutes !== undefined || values.list === true;
});
if (values.help === true) {
  process.stdout.write(HELP);
} else if (values.list === true) {
  for (const { name } of chosen) process.stdout.write(`${name}\n`);
} else if (values.plant !== undefined && !(PLANTS as readonly string[]).includes(values.plant)) {
  process.stderr.write(`--plant is one of ${PLANTS.join(', ')}\n`);
  process.exitCode = 2;
} else if (chosen.length === 0) {
  process.stderr.write(`no scenario has ${positionals.join(' or ')} in its name; --list names them\n`);
  process.exitCode = 2;
} else {
  const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
  const minutes = values.minutes === undefined ? 0 : Number(values.minutes);
  process.exitCode = (await runAll(seed, minutes * 60_000)) ? 0 : 1;
}

async function runAll(seed: number, forMs: number): Promise<boolean> {
  process.stdout.write(`seed ${seed}\n`);
  const startedMs = performance.now();
  const total: Tally = { kills: 0, points: 0, faults: 0, lostRows: 0, oldestLossMs: 0 };
  /** Names of scenarios. */
  const failed: string[] = [];
  let done = 0;
  const skipped = new Map<string, string>();
  for (let round = 0; round === 0 || performance.now() - startedMs < forMs; round++) {
    for (const [i, scenario] of chosen.entries()) {
      const reason = scenario.unable?.();
      if (reason !== undefined) {
        skipped.set(scenario.name, reason);
        continue;
      }
      // By name, so that a scenario replays alone as it ran among others.
      const random = new Random(mix(seed, round, hashOf(scenario.name)));
      const tally = await runOne(scenario, random, `${round}.${i}`);
      done++;
      if (tally === undefined) {
        failed.push(scenario.name);
        continue;
      }
      total.kills += tally.kills;
      total.points += tally.points;
      total.faults += tally.faults;
      total.lostRows += tally.lostRows;
      total.oldestLossMs = Math.max(total.oldestLossMs, tally.oldestLossMs);
    }
    if (skipped.size === chosen.length) break;
  }
  for (const [name, reason] of skipped) process.stdout.write(`skipped: ${name}: ${reason}\n`);
  process.stdout.write(
    `${done} scenarios in ${seconds(startedMs)}, ${failed.length} failed: ${total.kills} kills survived, ${total.faults} faults tried, ` +
      `${total.points} points checked; ${total.lostRows} rows lost by killed trainers, ` +
      `the oldest recorded ${total.oldestLossMs.toFixed(0)} ms before\n`,
  );
  if (failed.length > 0)
    process.stdout.write(`replay: npm run test:chaos -- --seed ${seed} ${failed.map(quoted).join(' ')}\n`);
  return failed.length === 0;
}

async function runOne(scenario: Scenario, random: Random, number: string): Promise<Tally | undefined> {
  const startedMs = performance.now();
  let story: readonly string[] = [];
  let folder = '';
  let timer: NodeJS.Timeout | undefined;
  try {
    const tally = await Promise.race([
      scenario.run(random, {
        keepFailures: values.keep === true,
        plant: values.plant as Planted | undefined,
        failed: arena => {
          story = arena.story();
          folder = arena.folder;
        },
      }),
      new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(new Error('it hangs')),
          scenario.long ? LONG_DEADLINE_MS : SCENARIO_DEADLINE_MS,
        );
      }),
    ]);
    const lost =
      tally.lostRows === 0 ? '' : `, ${tally.lostRows} rows lost ≤ ${tally.oldestLossMs.toFixed(0)} ms`;
    process.stdout.write(
      `ok      ${number} ${scenario.name} (${seconds(startedMs)}; ${tally.kills} kills, ${tally.faults} faults, ${tally.points} points${lost})\n`,
    );
    return tally;
  } catch (error) {
    process.stdout.write(
      `FAILED  ${number} ${scenario.name} (${seconds(startedMs)})\n${indented(error instanceof Error ? (error.message === 'it hangs' ? error.message : String(error.stack)) : String(error))}\n` +
        `${indented(story.join('\n'))}\n${values.keep === true ? `  kept: ${folder}\n` : ''}`,
    );
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

function quoted(name: string): string {
  return `'${name.replaceAll("'", "'\\''")}'`;
}
function hashOf(name: string): number {
  return mix(...Buffer.from(name));
}
function seconds(sinceMs: number): string {
  return `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;
}
function indented(text: string): string {
  return text.replace(/^/gm, '  ');
}
