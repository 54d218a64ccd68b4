// Clocks that step, and processes that sleep.
import { cannotFakeClock, FakeClock } from '../fake-clock.ts';
import { pause, signal } from '../processes.ts';
import { type Scenario, scenario } from '../scenario.ts';
import { somePlan } from './kills.ts';

const steppingClock = scenario(
  'the clock steps back and forward by hours',
  async arena => {
    const { random } = arena;
    const clock = new FakeClock(arena.folder);
    const producer = arena.start(somePlan(arena, 'run', 2_500), {
      burst: 10,
      pauseMs: 8,
      flushEvery: 50,
      env: clock.env,
    });
    await producer.untilRecorded(50);
    for (let i = 0; i < 5 && !producer.child.hasEnded(); i++) {
      await pause(random.between(50, 500));
      const seconds = random.pick([-7_200, -3_600, -60, -1, 0, 1, 60, 3_600, 86_400]);
      clock.set(seconds);
      arena.note(`clock at ${seconds} s`);
      arena.tally.faults++;
      if (random.chance(0.3)) arena.killCollectors();
    }
    await producer.child.ended;
    await arena.settle();
    arena.judgeAll();
  },
  { unable: cannotFakeClock, short: true },
);

const asleep = scenario('trainer and collector are asleep for a while', async arena => {
  const { random } = arena;
  const env = { OTEL_EXPORTER_OTLP_TIMEOUT: '500' };
  const producer = arena.start(somePlan(arena, 'run', 2_500), {
    burst: 10,
    pauseMs: 8,
    flushEvery: 60,
    env,
  });
  await producer.untilRecorded(50);
  for (let i = 0; i < 3 && !producer.child.hasEnded(); i++) {
    const pids = random.pick<(number | undefined)[]>([
      [producer.child.process.pid],
      arena.collectors(),
      [producer.child.process.pid, ...arena.collectors()],
    ]);
    for (const pid of pids) if (pid !== undefined) signal(pid, 'SIGSTOP');
    arena.note(`asleep: ${pids}`);
    arena.tally.faults++;
    await pause(random.between(200, 1_500));
    for (const pid of pids) if (pid !== undefined) signal(pid, 'SIGCONT');
    await pause(random.between(50, 400));
  }
  await producer.child.ended;
  await arena.settle();
  arena.judgeAll();
});

export const TIME: readonly Scenario[] = [steppingClock, asleep];
