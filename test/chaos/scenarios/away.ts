// The collector is away: at the start, in the middle, at the end; and what was recorded meanwhile arrives once.
import type { Arena } from '../arena.ts';
import { pause, until } from '../processes.ts';
import { type Scenario, scenario } from '../scenario.ts';
import { freePort, Standalone } from '../standalone.ts';
import { somePace, somePlan } from './kills.ts';

const AWAY_MS = 1_500;

/** An arena whose trainers send to a standalone collector, which is not started yet. */
export function withStandalone(
  name: string,
  body: (arena: Arena, collector: Standalone) => Promise<void>,
): Scenario {
  return scenario(name, async arena => {
    const collector = new Standalone(arena, await freePort(), arena.storeUrl);
    arena.sendTo(`http://127.0.0.1:${collector.port}`);
    await body(arena, collector);
    await arena.settleStandalone(collector);
    arena.judgeAll();
  });
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

export const AWAY: readonly Scenario[] = [atStart, inTheMiddle, atTheEnd, drainedWhileKilled];
