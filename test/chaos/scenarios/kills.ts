// SIGKILL at random moments: of trainers, of the collector, of both, of the collector while it recovers.
import type { Arena, TaskOptions } from '../arena.ts';
import { newPlan, type Plan, STEP_ORDERS } from '../plan.ts';
import { pause } from '../processes.ts';
import { type Scenario, scenario } from '../scenario.ts';

/** A plan with a random shape, of a training that takes some seconds at the paces below. */
export function somePlan(arena: Arena, run: string, rows = 2_000): Plan {
  const { random } = arena;
  return newPlan({
    seed: random.below(2 ** 32),
    run,
    prefix: `p${arena.producers.length}`,
    rows,
    metrics: random.pick([1, 3, 8]),
    order: random.pick(STEP_ORDERS),
  });
}

/** Steady, bursty or synchronous; some 3 to 8 rows a ms. */
export function somePace(arena: Arena): TaskOptions {
  return arena.random.pick<TaskOptions>([
    { burst: 5, pauseMs: 3 },
    { burst: 5, pauseMs: 3, warm: true },
    { burst: 5, pauseMs: 3, synchronous: true, warm: true },
    { burst: 200, pauseMs: 100, warm: true },
    { burst: 40, pauseMs: 20, flushEvery: 3, warm: true },
  ]);
}

const trainerKilled = scenario('trainers are killed', async arena => {
  const { random } = arena;
  for (let i = 0; i < 3; i++) {
    const producer = arena.start(somePlan(arena, `killed${i}`, 100_000), {
      ...somePace(arena),
      ending: 'hang',
    });
    await producer.untilRecorded(1);
    await pause(random.between(0, 900));
    producer.kill();
    await producer.child.ended;
  }
  await arena.settle();
  arena.judgeAll();
});

const fastTrainerKilled = scenario(
  'a trainer is killed in a synchronous loop at full speed',
  async arena => {
    const { random } = arena;
    const plan = { ...somePlan(arena, 'fast', 400_000), metrics: 4, perRow: 4, order: 'ascending' as const };
    const producer = arena.start(plan, {
      burst: 1_000_000,
      pauseMs: 0,
      synchronous: true,
      ending: 'hang',
      warm: random.chance(0.8),
    });
    await producer.untilRecorded(1);
    await pause(random.between(50, 800));
    producer.kill();
    await arena.settle();
    arena.judgeAll();
  },
  { short: true },
);

const childKilled = scenario('a child of the trainer is killed, or its parent', async arena => {
  const { random } = arena;
  for (let i = 0; i < 2; i++) {
    const plan = somePlan(arena, `family${i}`, 1_000);
    const [parent, child] = arena.startWithChild(
      plan,
      { burst: 10, pauseMs: 10, warm: true },
      { ...somePlan(arena, `family${i}`, 1_000), prefix: `${plan.prefix}child` },
      { burst: 10, pauseMs: 10, warm: true },
    );
    await child.untilRecorded(1);
    await parent.untilRecorded(1);
    await pause(random.between(0, 600));
    (i === 0 ? child : parent).kill();
    await Promise.all([parent.child.ended, child.child.ended]);
  }
  await arena.settle();
  arena.judgeAll();
});

const collectorKilled = scenario('the collector is killed', async arena => {
  const { random } = arena;
  const producer = arena.start(somePlan(arena, 'run', 3_000), { burst: 10, pauseMs: 8, flushEvery: 40 });
  await producer.untilRecorded(10);
  for (let i = 0; i < 4 && !producer.child.hasEnded(); i++) {
    await pause(random.between(50, 800));
    arena.killCollectors();
  }
  await producer.child.ended;
  await arena.settle();
  arena.judgeAll();
});

const bothKilled = scenario(
  'trainer and collector are killed together',
  async arena => {
    const { random } = arena;
    for (let i = 0; i < 2; i++) {
      const producer = arena.start(somePlan(arena, `both${i}`, 100_000), {
        ...somePace(arena),
        ending: 'hang',
      });
      await producer.untilRecorded(1);
      await pause(random.between(100, 1_200));
      if (random.chance(0.5)) {
        producer.kill();
        await pause(random.below(40));
        arena.killCollectors();
      } else {
        arena.killCollectors();
        await pause(random.below(40));
        producer.kill();
      }
      await producer.child.ended;
    }
    await arena.settle();
    arena.judgeAll();
  },
  { short: true },
);

const killedInRecovery = scenario(
  'the collector is killed again and again while it recovers',
  async arena => {
    const { random } = arena;
    const producer = arena.start(somePlan(arena, 'run', 4_000), { burst: 10, pauseMs: 8 });
    const other = arena.start(somePlan(arena, 'other', 100_000), { ...somePace(arena), ending: 'hang' });
    await producer.untilRecorded(100);
    await other.untilRecorded(1);
    other.kill();
    for (let i = 0; i < 6 && !producer.child.hasEnded(); i++) {
      arena.killCollectors();
      const deadline = performance.now() + 3_000;
      while (arena.collectors().length === 0 && performance.now() < deadline) await pause(5);
      // Node needs some 150 ms until it is in our code, the collector as long again until it takes requests.
      await pause(random.between(0, 500));
    }
    await producer.child.ended;
    await arena.settle();
    arena.judgeAll();
  },
  { short: true },
);

export const KILLS: readonly Scenario[] = [
  trainerKilled,
  fastTrainerKilled,
  collectorKilled,
  bothKilled,
  childKilled,
  killedInRecovery,
];
