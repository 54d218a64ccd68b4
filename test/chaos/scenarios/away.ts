// The collector is away: at the start, in the middle, at the end; and what was recorded meanwhile arrives once.
import type { Arena } from '../arena.ts';
import { pause, until } from '../processes.ts';
import { type Scenario, type ScenarioOptions, scenario } from '../scenario.ts';
import { freePort, Standalone } from '../standalone.ts';
import { somePace, somePlan } from './kills.ts';

const AWAY_MS = 1_500;

/** An arena whose trainers send to a standalone collector, which is not started yet. */
export function withStandalone(
  name: string,
  body: (arena: Arena, collector: Standalone) => Promise<void>,
  options: ScenarioOptions = {},
): Scenario {
  return scenario(
    name,
    async arena => {
      const collector = new Standalone(arena, await freePort(), arena.storeUrl);
      arena.sendTo(`http://127.0.0.1:${collector.port}`);
      await body(arena, collector);
      await arena.settleStandalone(collector);
      arena.judgeAll();
    },
    options,
  );
}

const atStart = withStandalone('the collector comes after the training began', async (arena, collector) => {
  // Not warm: that would wait for the collector.
  const producer = arena.start(somePlan(arena, 'run'), { ...somePace(arena), flushEvery: 0, warm: false });
  await producer.untilRecorded(1);
  await pause(arena.random.between(200, AWAY_MS));
  await collector.start();
  arena.tally.faults++;
  await producer.child.ended;
});

const inTheMiddle = withStandalone('the collector goes and comes back', async (arena, collector) => {
  const { random } = arena;
  await collector.start();
  const producer = arena.start(somePlan(arena, 'run', 3_000), { burst: 10, pauseMs: 8, flushEvery: 100 });
  await producer.untilRecorded(50);
  for (let i = 0; i < 2 && !producer.child.hasEnded(); i++) {
    if (random.chance(0.5)) await collector.kill();
    else await collector.stop();
    arena.tally.faults++;
    await pause(random.between(100, AWAY_MS));
    await collector.start();
    await pause(random.between(0, 500));
  }
  await producer.child.ended;
});

const atTheEnd = withStandalone('trainers end while the collector is away', async (arena, collector) => {
  const { random } = arena;
  await collector.start();
  const env = { KYMO_EXIT_TIMEOUT_MS: '400' };
  const endings = ['finish', 'exit', 'natural', 'throw'] as const;
  const producers = endings.map(ending =>
    // No `flush` on the way: while the collector is away each would wait for it.
    arena.start(somePlan(arena, ending, 1_000), {
      ...somePace(arena),
      flushEvery: 0,
      warm: false,
      ending,
      env,
    }),
  );
  await Promise.all(producers.map(producer => producer.untilRecorded(random.below(200))));
  await collector.kill();
  await Promise.all(producers.map(producer => producer.child.ended));
  const left = arena.leftInSpool();
  arena.note(`spool: ${left.length} files`);
  if (left.length === 0) throw new Error('nothing was left in the spool, so this proved nothing');
});

const awayForAMinute = withStandalone(
  'the collector is away for a minute',
  async (arena, collector) => {
    const { random } = arena;
    await collector.start();
    // Trains on through the minute, and ends after it; another one ends within it.
    const through = arena.start(somePlan(arena, 'through', 7_500), { burst: 10, pauseMs: 100 });
    const within = arena.start(somePlan(arena, 'within', 2_000), {
      burst: 10,
      pauseMs: 100,
      ending: 'exit',
      env: { KYMO_EXIT_TIMEOUT_MS: '1000' },
    });
    await through.untilRecorded(50);
    await within.untilRecorded(50);
    if (random.chance(0.5)) await collector.kill();
    else await collector.stop();
    arena.tally.faults++;
    await pause(60_000);
    if (through.child.hasEnded() || !within.child.hasEnded())
      throw new Error('the minute was not in the middle of one training and over the end of the other');
    await collector.start();
    await through.child.ended;
  },
  { long: true },
);

/** Both ways of taking over a spool, by hand: again, and at the same time. */
const drainedByHand = withStandalone(
  'kymo spool drain, twice and side by side, delivers what was left once',
  async (arena, collector) => {
    const { random } = arena;
    await leaveSpools(arena, collector);
    await collector.start();
    const drain = () => arena.kymo(['spool', 'drain', '--directory', arena.folder, '--timeout', '30s']);
    const drains = [drain(), ...(random.chance(0.7) ? [drain()] : [])];
    if (random.chance(0.5)) {
      await pause(random.between(0, 400));
      await collector.kill();
      await collector.start();
    }
    for (const { code, stderr } of await Promise.all(drains))
      if (code !== 0 && stderr !== '') throw new Error(`kymo spool drain: ${stderr}`);
    const last = await drain();
    if (last.code !== 0 || arena.leftInSpool().length > 0)
      throw new Error(`kymo spool drain left something: ${last.stdout}${last.stderr}`);
  },
  { short: true },
);

const underAnotherAddress = withStandalone(
  'the collector comes back under another address',
  async (arena, collector) => {
    await leaveSpools(arena, collector);
    await collector.start(await freePort());
    arena.tally.faults++;
    arena.sendTo(`http://127.0.0.1:${collector.port}`);
    const next = arena.start(somePlan(arena, 'next', 200), { burst: 10, pauseMs: 5 });
    await next.child.ended;
    // What waits for the old address is nobody's to deliver but by hand: it may be another collector by now.
    if (arena.leftInSpool().length === 0) throw new Error('the spool went to an address it was not for');
    const args = ['spool', 'drain', '--directory', arena.folder];
    const { code, stdout, stderr } = await arena.kymo([
      ...args,
      '--to',
      `http://127.0.0.1:${collector.port}/`,
    ]);
    if (code !== 0) throw new Error(`kymo spool drain --to: ${stdout}${stderr}`);
  },
  { short: true },
);

/** Trainers that lose their collector and end: some of what they have sent it has taken, and did not answer. */
async function leaveSpools(arena: Arena, collector: Standalone): Promise<void> {
  const { random } = arena;
  await collector.start();
  const producers = ['one', 'two'].map(run =>
    arena.start(somePlan(arena, run, 1_500), {
      burst: 10,
      pauseMs: 8,
      warm: true,
      env: { KYMO_EXIT_TIMEOUT_MS: '300' },
    }),
  );
  await Promise.all(producers.map(producer => producer.untilRecorded(1 + random.below(800))));
  await collector.kill();
  if (random.chance(0.5)) producers[0]!.kill();
  await Promise.all(producers.map(producer => producer.child.ended));
  if (arena.leftInSpool().length === 0)
    throw new Error('nothing was left in the spool, so this proved nothing');
}

/** Stands for any remote sink: the journal does not wait for it, senders do not notice, and what it missed is said. */
const sinkAwayToTheLimit = scenario(
  "a remote sink is away until the journal's limit is reached, and training goes on",
  async arena => {
    arena.store.refuse = () => 503;
    arena.tally.faults++;
    const plan = { ...somePlan(arena, 'run', 12_000), metrics: 20, perRow: 20 };
    const producer = arena.start(plan, { burst: 100, pauseMs: 20 });
    const holder = arena.start(somePlan(arena, 'holder', 10), { ending: 'hang', flushEvery: 1 });
    await producer.child.ended;
    const parked = await until('the sink to be parked', async () => {
      const status = await arena.status();
      return status.exporters.find(({ id, parked }) => id === 'otlp_http' && parked) && status;
    });
    const refused = Object.values(parked.journal.refused).reduce((sum, n) => sum + n, 0);
    if (refused > 0) throw new Error(`senders were pushed back: ${JSON.stringify(parked.journal.refused)}`);
    const report = producer.answers().at(-1)?.report;
    if (report?.delivered !== report?.emitted)
      throw new Error(`training did not go on as if nothing were: ${JSON.stringify(report)}`);
    // It comes back, gets what is left of the journal, and what it missed is said.
    arena.store.refuse = () => undefined;
    const back = await until('the sink to catch up', async () => {
      const { exporters } = await arena.status();
      const sink = exporters.find(({ id }) => id === 'otlp_http');
      return sink !== undefined && sink.lagBytes === 0 && !sink.parked ? sink : undefined;
    });
    if (back.missedBytes === 0) throw new Error('nothing was missed, so the limit was not reached');
    arena.note(`missed ${back.missedBytes} bytes`);
    // What it has is whole, and nothing twice.
    for (const one of arena.producers) one.instead = sink => (sink === 'otlp' ? 'maybe' : 'there');
    holder.child.process.kill('SIGTERM');
    await arena.settle();
    arena.judgeAll();
  },
  { journal: 'max_size_mib: 8, segment_mib: 1', short: true },
);

const drainedWhileKilled = withStandalone(
  'processes that drain the spool are killed in it',
  async (arena, collector) => {
    const { random } = arena;
    const env = { KYMO_EXIT_TIMEOUT_MS: '100' };
    const first = arena.start(somePlan(arena, 'first', 3_000), { burst: 100, pauseMs: 60, env });
    await first.child.ended;
    await collector.start();
    for (let i = 0; i < 3; i++) {
      const next = arena.start(somePlan(arena, `next${i}`, 100_000), { ...somePace(arena), ending: 'hang' });
      await pause(random.between(200, 700));
      next.kill();
      await next.child.ended;
    }
    await until(
      'the killed ones to be gone',
      () => arena.producers.every(one => one.child.hasEnded()) || undefined,
    );
  },
);

export const AWAY: readonly Scenario[] = [
  atStart,
  inTheMiddle,
  atTheEnd,
  awayForAMinute,
  drainedByHand,
  underAnotherAddress,
  sinkAwayToTheLimit,
  drainedWhileKilled,
];
