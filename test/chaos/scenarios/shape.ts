// Many processes, many runs, many names; runs that go back; and the numbers that everything adds up to.
import { type Arena, ChaosError, type Producer, type TaskOptions } from '../arena.ts';
import { cannotMakeHosts, Host } from '../hosts.ts';
import type { SeenPoint } from '../judge.ts';
import { newPlan } from '../plan.ts';
import { pause, until } from '../processes.ts';
import { type Scenario, scenario } from '../scenario.ts';
import { readJsonl } from '../sinks.ts';
import { somePlan } from './kills.ts';

const PROCESSES = 20;

const oneRun = scenario('20 processes write one run, some are killed', async arena => {
  const { random } = arena;
  for (let i = 0; i < PROCESSES; i++) {
    arena.start(somePlan(arena, 'shared', 150), { burst: 10, pauseMs: 20, rank: 0, warm: true });
    await pause(60);
  }
  for (const producer of random.shuffled(arena.producers).slice(0, 4)) {
    await producer.untilRecorded(1 + random.below(100));
    producer.kill();
  }
  if (random.chance(0.5)) arena.killCollectors();
  await arena.settle();
  arena.judgeAll();
});

const manyRuns = scenario('20 processes write 200 runs', async arena => {
  const { random } = arena;
  for (let i = 0; i < PROCESSES; i++) {
    const plans = Array.from({ length: 10 }, (_, k) => ({
      ...somePlan(arena, `run${i}-${k}`, 20),
      prefix: `p${i}`,
    }));
    arena.start(plans, { burst: 5, pauseMs: 20 });
    await pause(60);
  }
  await pause(random.between(0, 1_000));
  arena.killCollectors();
  await arena.settle();
  arena.judgeAll();
});

const manyNames = scenario('one run has 10,000 metric names', async arena => {
  const seed = arena.random.below(2 ** 32);
  const plan = newPlan({ seed, run: 'names', prefix: 'p0', rows: 300, metrics: 10_000, perRow: 100 });
  const producer = arena.start(plan, { burst: 10, pauseMs: 20 });
  await producer.untilRecorded(100);
  arena.killCollectors();
  await arena.settle();
  arena.judgeAll();
});

const goesBack = scenario(
  'a run is killed, goes back and writes again',
  async arena => {
    const { random } = arena;
    const seed = random.below(2 ** 32);
    const plan = newPlan({ seed, run: 'resumed', prefix: 'p0', rows: 100_000, metrics: 4 });
    let last = arena.start(plan, { burst: 10, pauseMs: 8, warm: true, ending: 'hang' });
    for (let attempt = 2; attempt <= 3; attempt++) {
      await last.untilRecorded(150 + random.below(300));
      last.kill();
      await last.child.ended;
      const reached = plan.firstStep + (last.recorded()[0]?.length ?? 0);
      const step = Math.max(0, (last.plans[0]?.firstStep ?? 0) + random.below(Math.max(1, reached)) - 50);
      for (const earlier of arena.producers) earlier.supersededFrom = Math.min(earlier.supersededFrom, step);
      const isLast = attempt === 3;
      const next = { ...plan, attempt, firstStep: step, rows: isLast ? 300 : 100_000 };
      last = arena.start(next, {
        burst: 10,
        pauseMs: 8,
        warm: true,
        resumeStep: step,
        ending: isLast ? 'finish' : 'hang',
      });
      arena.note(`attempt ${attempt} from step ${step}`);
    }
    await arena.settle();
    arena.judgeAll();
    oneCleanCurve(arena, 'resumed');
  },
  { short: true },
);

/** Without what it says to be superseded, a run has one value per metric and step, and that of the latest attempt. */
function oneCleanCurve(arena: Arena, run: string): void {
  const latest = new Map<string, SeenPoint>();
  let all = 0;
  for (const point of readJsonl(arena.runs, run, { superseded: true })) {
    all++;
    const key = `${point.name} at step ${point.step}`;
    if ((latest.get(key)?.attempt ?? 0) < point.attempt) latest.set(key, point);
  }
  const clean = new Map<string, SeenPoint>();
  for (const point of readJsonl(arena.runs, run, { superseded: false })) {
    const key = `${point.name} at step ${point.step}`;
    if (clean.has(key)) throw new ChaosError(`${key} is there twice, and neither is said to be superseded`);
    if (!Object.is(latest.get(key)?.value, point.value))
      throw new ChaosError(`${key} is of an older attempt`);
    clean.set(key, point);
  }
  if (clean.size === all) throw new ChaosError('nothing was superseded, so this proved nothing');
  const told = arena.runJson(run).superseded;
  if (!Array.isArray(told) || told.length !== 2)
    throw new ChaosError(`run.json says of two resumes: ${JSON.stringify(told)}`);
}

const tenHours = scenario(
  "a run of ten hours' worth of steps, recorded at full speed",
  async arena => {
    const rows = 10 * 3600 * 10;
    const seed = arena.random.below(2 ** 32);
    const plan = newPlan({ seed, run: 'long', prefix: 'p0', rows, metrics: 5 });
    arena.start(plan, { burst: 1_000, pauseMs: 5, env: { KYMO_EXIT_TIMEOUT_MS: '60000' } });
    await arena.producers[0]!.untilRecorded(rows / 2);
    arena.killCollectors();
    await arena.settle();
    arena.judgeAll();
  },
  { long: true },
);

const twoHosts = scenario(
  'two computers write one run into one folder, and one of them loses power',
  async arena => {
    const { random } = arena;
    const hosts = ['ada', 'grace'].map(name => new Host(name, arena.folder));
    try {
      await Promise.all(hosts.map(host => host.start()));
      const task = { burst: 10, pauseMs: 10, warm: true, rank: 0 };
      const start = (host: Host, rows: number, more: TaskOptions = {}) =>
        arena.start(somePlan(arena, 'shared', rows), { ...task, wrapper: host.wrapper, ...more });
      const producers = hosts.flatMap(host => [start(host, 1_200), start(host, 600)]);
      await Promise.all(producers.map(producer => producer.untilRecorded(100)));
      // One that came second ends by itself.
      await until('one collector for each computer', () => arena.collectors().length === 2 || undefined);
      if (random.chance(0.5)) arena.killCollectors();
      await pause(random.between(0, 1_000));
      const [ada, grace] = hosts as [Host, Host];
      for (const producer of producers.slice(0, 2)) producer.diesNow();
      ada.kill();
      await Promise.all(producers.map(({ child }) => child.ended));
      // Back up: a computer of the same name and machine id, whose next process takes over what is left there.
      await ada.start();
      for (const host of [ada, grace]) await start(host, 10).child.ended;
      await arena.quiet();
      arena.judgeAll();
    } finally {
      for (const host of hosts) host.kill();
    }
  },
  { unable: cannotMakeHosts, sinks: ['jsonl', 'tensorboard'] },
);

const sums = scenario('what was emitted, delivered, dropped and written adds up', async arena => {
  const producers: Producer[] = [];
  for (let i = 0; i < 3; i++)
    producers.push(arena.start(somePlan(arena, 'sums', 200), { burst: 10, pauseMs: 8, ending: 'finish' }));
  const holder = arena.start(somePlan(arena, 'holder', 10), { ending: 'hang', flushEvery: 1, warm: true });
  await Promise.all(producers.map(({ child }) => child.ended));
  await holder.untilRecorded(10);
  await pause(500);
  const problems: string[] = [];
  const expect = (what: string, found: unknown, wanted: unknown): void => {
    if (found !== wanted) problems.push(`${what} is ${found}, it should be ${wanted}`);
  };
  const { stdout } = await arena.kymo(['status', '--json']);
  const status = JSON.parse(stdout) as {
    receivers: { accepted: { metrics: number; logs: number } }[];
    exporters: { id: string; delivered: { metrics: number; logs: number } }[];
  };
  const [{ accepted }] = status.receivers as [(typeof status.receivers)[number]];
  const points = [...producers, holder].reduce(
    (sum, { plans }) => sum + plans[0]!.rows * plans[0]!.perRow,
    0,
  );
  // The companion gauge is a point more per batch; nothing else may be there.
  if (accepted.metrics < points)
    problems.push(`kymo status: ${accepted.metrics} of ${points} points accepted`);
  for (const { id, delivered } of status.exporters) {
    expect(`kymo status: points of ${id}`, delivered.metrics, accepted.metrics);
    expect(`kymo status: log records of ${id}`, delivered.logs, accepted.logs);
  }
  const run = arena.runJson('sums') as {
    totals: { points: number; logs: number };
    emitted?: Record<string, number>;
    dropped?: Record<string, number>;
  };
  const own = producers.reduce((sum, { plans }) => sum + plans[0]!.rows * plans[0]!.perRow, 0);
  expect('run.json: totals.points', run.totals.points, own);
  expect('run.json: totals.logs', run.totals.logs, producers.length * 2);
  expect('run.json: emitted', sumOf(run.emitted), own + producers.length * 2);
  expect('run.json: dropped', sumOf(run.dropped ?? {}), 0);
  for (const producer of producers) {
    const report = producer.answers().at(-1)?.report;
    expect('finish(): delivered', report?.delivered, report?.emitted);
    expect('finish(): written', report?.written, true);
  }
  holder.child.process.kill('SIGTERM');
  await arena.settle();
  arena.judgeAll();
  if (problems.length > 0) throw new ChaosError(problems.join('\n'));
});

/** A process says what it has dropped with its heartbeat; everybody has to say the same. */
const droppedSums = scenario(
  'what a living process dropped is said alike by flush(), run.json and kymo status',
  async arena => {
    const producer = arena.start(somePlan(arena, 'drops', 200), {
      burst: 10,
      pauseMs: 5,
      flushEvery: 20,
      badEvery: 7,
      ending: 'hang',
    });
    await until('the last flush', () => (producer.answers().at(-1)?.rows[0] === 200 ? true : undefined));
    const { report } = producer.answers().at(-1)!;
    const bad = producer.badValues(200);
    // The start of the run is in the report; the heartbeats are more, and the first of them comes within 10 s.
    const told = await until('a heartbeat', async () => {
      const { runs } = await arena.status();
      return runs.find(({ id, emitted }) => id === 'drops' && (emitted ?? 0) >= report.emitted);
    });
    const run = arena.runJson('drops') as {
      emitted?: Record<string, number>;
      dropped?: Record<string, number>;
    };
    const said = JSON.stringify({ report, told, run: { emitted: run.emitted, dropped: run.dropped } });
    const heartbeats = told.emitted! - report.emitted;
    if (report.dropped.bad_value !== bad) throw new ChaosError(`flush() does not say ${bad}: ${said}`);
    if (told.dropped?.bad_value !== bad) throw new ChaosError(`kymo status does not say ${bad}: ${said}`);
    if (heartbeats < 1 || heartbeats > 6) throw new ChaosError(`more than heartbeats came: ${said}`);
    producer.child.process.kill('SIGTERM');
    await arena.settle();
    const last = arena.runJson('drops') as typeof run;
    if (sumOf(last.dropped) !== bad) throw new ChaosError(`run.json does not say ${bad}: ${said}`);
    const { totals } = last as { totals?: { points: number; logs: number } };
    const kept = (totals?.points ?? 0) + (totals?.logs ?? 0);
    if (sumOf(last.emitted) !== kept + bad)
      throw new ChaosError(
        `run.json: emitted is not what is there and what was dropped: ${JSON.stringify(last)}`,
      );
    arena.judgeAll();
  },
);

function sumOf(counts: Readonly<Record<string, number>> | undefined): number | undefined {
  return counts === undefined ? undefined : Object.values(counts).reduce((sum, n) => sum + n, 0);
}

export const SHAPE: readonly Scenario[] = [
  sums,
  droppedSums,
  oneRun,
  manyRuns,
  manyNames,
  goesBack,
  twoHosts,
  tenHours,
];
