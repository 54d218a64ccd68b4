// What measuring the system costs: CPU time of one measurement, of the probe in an idle process, and of the facts of a run.
import { setTimeout as delay } from 'node:timers/promises';
import { systemFacts } from '../src/sdk/system/facts.ts';
import { LoopProbe, PROBE_WORDS } from '../src/sdk/system/loop-probe.ts';
import { Sampler } from '../src/sdk/system/sampler.ts';

const INTERVAL_MS = 10_000;
const SAMPLES = 200;
const IDLE_MS = 5_000;

/** CPU time of the whole process, in ms. */
async function cpuMs(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e3;
}

const memory = new SharedArrayBuffer(PROBE_WORDS * 8);
const sampler = new Sampler({ machine: true, probe: memory, intervalMs: INTERVAL_MS });
await sampler.sample();
const sampling = await cpuMs(async () => {
  for (let i = 0; i < SAMPLES; i++) await sampler.sample();
});
const idle = await cpuMs(() => delay(IDLE_MS));
const probe = new LoopProbe(memory, INTERVAL_MS);
const probed = await cpuMs(() => delay(IDLE_MS));
probe.stop();
const facts = await cpuMs(() => systemFacts({ argv: process.argv, execArgv: [], nodeOptions: undefined }));

const share = (ms: number, ofMs: number): string => `${((ms / ofMs) * 100).toFixed(4)} % of a core`;
const one = sampling / SAMPLES;
console.log(`one measurement: ${one.toFixed(3)} ms of CPU; every 10 s ${share(one, INTERVAL_MS)}`);
console.log(`the probe of the main thread: ${share(Math.max(0, probed - idle), IDLE_MS)}`);
console.log(
  `facts of a run, once: ${facts.toFixed(1)} ms of CPU in this process, git and nvidia-smi not counted`,
);
