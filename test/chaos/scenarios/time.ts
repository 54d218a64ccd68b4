// Clocks that step, and processes that sleep.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pause, signal } from '../processes.ts';
import { type Scenario, scenario } from '../scenario.ts';
import { somePlan } from './kills.ts';

const LIBRARIES = [
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1',
  '/usr/lib/faketime/libfaketime.so.1',
];
const library = LIBRARIES.find(path => existsSync(path));

const steppingClock = scenario(
  'the clock steps back and forward by hours',
  async arena => {
    const { random } = arena;
    const clock = join(arena.folder, 'clock');
    writeFileSync(clock, '+0');
    const env = {
      LD_PRELOAD: library!,
      FAKETIME_TIMESTAMP_FILE: clock,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
    const producer = arena.start(somePlan(arena, 'run', 2_500), {
      burst: 10,
      pauseMs: 8,
      flushEvery: 50,
      env,
    });
    await producer.untilRecorded(50);
    for (let i = 0; i < 5 && !producer.child.hasEnded(); i++) {
      await pause(random.between(50, 500));
      const seconds = random.pick([-7_200, -3_600, -60, -1, 0, 1, 60, 3_600, 86_400]);
      writeFileSync(clock, `${seconds < 0 ? '' : '+'}${seconds}`);
      arena.note(`clock at ${seconds} s`);
      arena.tally.faults++;
      if (random.chance(0.3)) arena.killCollectors();
    }
    await producer.child.ended;
    await arena.settle();
    arena.judgeAll();
  },
  { unable: () => (library === undefined ? 'libfaketime is not installed (Debian: faketime)' : undefined) },
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
