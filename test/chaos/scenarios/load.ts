// More than a collector can take: it stays within its memory, pushes back, starves nobody, loses nothing, and recovers.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Arena, ChaosError } from '../arena.ts';
import type { FloodReport, FloodTask } from '../flood-task.ts';
import { newPlan } from '../plan.ts';
import { pause, startNode, until } from '../processes.ts';
import { type Scenario, type ScenarioOptions, scenario } from '../scenario.ts';
import { freePort, Standalone } from '../standalone.ts';
import { somePlan } from './kills.ts';

const FLOOD = fileURLToPath(new URL('../flood.ts', import.meta.url));
const LIMIT_MIB = 300;
const CONNECTIONS = 24;
/** Requests of some 4 MB. */
const ROWS_PER_REQUEST = 2_500;
const METRICS = 20;
/** What one connection can send in the time; the judge knows every point of it. */
const ROWS_PER_SECOND = 6_250;
/** Compiling and the first collections are over by then. */
const SETTLE_MS = 3_000;
const IDLE_MS = 12_000;
const IDLE_SHARE = 0.005;
const IDLE_BYTES = 120e6;
/** What comes instead of an answer when a connection is closed by a collector that has said what it had to say. */
const CLOSED = ['ECONNRESET', 'EPIPE'];

function overload(name: string, seconds: number, options: ScenarioOptions): Scenario {
  return scenario(
    name,
    async arena => {
      const collector = new Standalone(arena, await freePort(), arena.storeUrl, {
        memoryLimitMib: LIMIT_MIB,
        exporters: ['jsonl', 'tensorboard'],
      });
      const url = `http://127.0.0.1:${collector.port}`;
      arena.sendTo(url);
      await collector.start();
      const plans = Array.from({ length: CONNECTIONS }, (_, i) =>
        newPlan({
          seed: arena.random.below(2 ** 32),
          run: `flood${i}`,
          prefix: `f${i}`,
          rows: seconds * ROWS_PER_SECOND,
          metrics: METRICS,
        }),
      );
      const flood = startFlood(arena, { url, plans, rowsPerRequest: ROWS_PER_REQUEST, seconds });
      await until('the flood', () => flood.child.output().includes('flooding') || undefined);
      await pause(1_000);
      // Who sends little among those who send much: acknowledged while the flood lasts. (Its files come behind theirs: a journal has one order.)
      const quiet = arena.start(somePlan(arena, 'quiet', 300), {
        burst: 5,
        pauseMs: 10,
        flushEvery: 20,
        ending: 'hang',
      });
      const startedMs = performance.now();
      await until('the quiet one to have flushed', () => quiet.answers().length === 3 || undefined);
      arena.note(
        `the quiet one had its three answers after ${(performance.now() - startedMs).toFixed(0)} ms`,
      );
      if (flood.child.hasEnded())
        throw new ChaosError('who sent little among those who send much had to wait until they had done');
      flood.mayEnd();
      const starved = quiet.answers().filter(({ report }) => report.pending > 0);
      if (starved.length > 0) throw new ChaosError(`starved: ${JSON.stringify(starved[0])}`);
      const ending = await flood.child.ended;
      quiet.child.process.kill('SIGTERM');
      if (ending.code !== 0) throw new ChaosError(`the flood failed: ${ending.stderr}`);
      const report = flood.report();
      arena.note(`flood: ${JSON.stringify({ ...report, rows: undefined })}`);
      arena.tally.faults += report.answers['503'] ?? 0;
      const odd = Object.keys(report.answers).filter(
        answer => !['200', '503', '429', ...CLOSED].includes(answer),
      );
      if (odd.length > 0) throw new ChaosError(`answers that tell nobody to come again: ${odd.join(', ')}`);
      if (report.withoutRetryAfter > 0) throw new ChaosError('refusals without a Retry-After');
      if ((report.answers['503'] ?? 0) === 0) throw new ChaosError('nobody was pushed back: no overload');
      const mostMib = collector.mostMemoryMib();
      arena.note(`${report.mebibytes.toFixed(0)} MiB taken, at most ${mostMib.toFixed(0)} MiB of memory`);
      if (mostMib > LIMIT_MIB)
        throw new ChaosError(`memory was at ${mostMib.toFixed(0)} MiB, the limit is ${LIMIT_MIB} MiB`);
      // It recovers by itself: the next one is served as if nothing had been.
      const next = arena.start(somePlan(arena, 'next', 300), { burst: 10, pauseMs: 5, flushEvery: 10 });
      await next.child.ended;
      await arena.settleStandalone(collector);
      arena.judgeAll(
        plans.map((plan, i) => ({ plan, claim: row => (row < report.rows[i]! ? 'there' : 'absent') })),
      );
    },
    // Every sink gets everything; a judge that reads millions of points needs only one to know.
    { sinks: ['jsonl'], ...options },
  );
}

const slowSink = scenario(
  'a sink that is slow holds up neither the other sinks nor the trainer',
  async arena => {
    arena.store.delayMs = 400;
    arena.tally.faults++;
    const producer = arena.start(somePlan(arena, 'run', 2_000), { burst: 10, pauseMs: 8, flushEvery: 20 });
    const holder = arena.start(somePlan(arena, 'holder', 10), { ending: 'hang', flushEvery: 1 });
    await producer.child.ended;
    const { exporters } = await arena.status();
    const lagOf = (id: string) => exporters.find(one => one.id === id)?.lagBytes ?? 0;
    if (lagOf('otlp_http') === 0)
      throw new ChaosError('the sink was not slow enough for this to prove anything');
    // `finish()` has waited for these, and only for these.
    const written = producer.answers().at(-1)?.report.written;
    if (written !== true) throw new ChaosError('the trainer ended before its files were written');
    arena.note(`behind: otlp_http ${lagOf('otlp_http')} bytes, jsonl ${lagOf('jsonl')} bytes`);
    arena.store.delayMs = 0;
    holder.child.process.kill('SIGTERM');
    await arena.settle();
    arena.judgeAll();
  },
);

const idle = scenario('an idle collector takes hardly anything', async arena => {
  const trainer = arena.start(somePlan(arena, 'idle', 5), { ending: 'hang', flushEvery: 1 });
  await until('its rows to be delivered', () => trainer.answers().length > 0 || undefined);
  const [pid] = arena.collectors();
  if (pid === undefined) throw new ChaosError('no collector runs');
  await pause(SETTLE_MS);
  const before = cpuSeconds(pid);
  await pause(IDLE_MS);
  const share = ((cpuSeconds(pid) - before) * 1000) / IDLE_MS;
  const { memory } = await arena.status();
  arena.note(`idle: ${(share * 100).toFixed(2)} % of a core, ${(memory.rssBytes / 1e6).toFixed(0)} MB`);
  if (share > IDLE_SHARE) throw new ChaosError(`${(share * 100).toFixed(2)} % of a core, doing nothing`);
  if (memory.rssBytes > IDLE_BYTES) throw new ChaosError(`${memory.rssBytes / 1e6} MB, doing nothing`);
  trainer.child.process.kill('SIGTERM');
  await arena.settle();
  arena.judgeAll();
});

/** User and system time of all threads, in what Linux counts it in. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function startFlood(arena: Arena, task: Omit<FloodTask, 'reportFile' | 'stopFile'>) {
  const notes = join(arena.folder, 'flood');
  mkdirSync(notes, { recursive: true });
  const reportFile = join(notes, 'report.json');
  const stopFile = join(notes, 'stop');
  const child = startNode([FLOOD, arena.folder], {
    cwd: arena.folder,
    env: { CHAOS_FLOOD: JSON.stringify({ ...task, reportFile, stopFile }) },
  });
  const mayEnd = () => writeFileSync(stopFile, '');
  return { child, mayEnd, report: () => JSON.parse(readFileSync(reportFile, 'utf8')) as FloodReport };
}

export const LOAD: readonly Scenario[] = [
  slowSink,
  idle,
  overload('24 senders send more than the collector can take', 8, { short: true }),
  overload('a minute of more than the collector can take', 60, { long: true }),
];
