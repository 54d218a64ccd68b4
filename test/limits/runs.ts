// Runs a training script with the bundled collector to its end, watches how much memory both take, and reads the run's files.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Ending, train } from '../sdk/trainer.ts';

const LOOK_MS = 50;
const MIB = 1024 * 1024;

export interface Watched extends Ending {
  /** Most memory of the collector in MiB; NaN where there is no /proc. */
  readonly collectorMiB: number;
  /** What the script printed last, parsed. */
  readonly report: Record<string, unknown>;
  readonly folder: string;
}

/** @param script has `run`, whose id is `r`, and prints one line of JSON at its end */
export async function watched(project: string, script: string): Promise<Watched> {
  let collectorMiB = Number.NaN;
  const timer = setInterval(() => {
    for (const mib of collectorMemories(project))
      collectorMiB = Number.isNaN(collectorMiB) ? mib : Math.max(mib, collectorMiB);
  }, LOOK_MS);
  try {
    const ending = await train(
      project,
      `const run = kymo.init({ project: 'p', id: 'r' });
       let mostRss = 0;
       setInterval(() => { mostRss = Math.max(mostRss, process.memoryUsage.rss()); }, 10).unref();
       const finish = async (facts = {}) => {
         const { pending, dropped, written } = await run.finish();
         console.log(JSON.stringify({ pending, dropped, written, mostMiB: Math.max(mostRss, process.memoryUsage.rss()) / ${MIB}, ...facts }));
       };
       ${script}`,
      { KYMO_COLLECTOR_LINGER_MS: '0', KYMO_EXIT_TIMEOUT_MS: '60000', KYMO_BLOCK_MAX_MS: '60000' },
    ).ended;
    if (ending.code !== 0) throw new Error(`the trainer ended with ${ending.code}: ${ending.stderr}`);
    const report = JSON.parse(ending.stdout.trim().split('\n').at(-1)!) as Record<string, unknown>;
    return { ...ending, collectorMiB, report, folder: join(project, 'runs/r') };
  } finally {
    clearInterval(timer);
  }
}

export const lines = (folder: string, file: string): Record<string, unknown>[] =>
  readFileSync(join(folder, 'logs', file), 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>);

/** Of the collectors of a project folder, the most that each has taken so far. */
function collectorMemories(project: string): number[] {
  try {
    return readdirSync('/proc')
      .filter(name => /^\d+$/.test(name))
      .flatMap(pid => {
        try {
          const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
          if (!args.includes('--embedded') || !args.includes(project)) return [];
          const most = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
          return most === undefined ? [] : [Number(most) / 1024];
        } catch {
          return []; // it has gone meanwhile
        }
      });
  } catch {
    return [];
  }
}
