// What the collector needs: memory and CPU at rest, alone and with an idle trainer attached, and memory while senders outrun it.
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  cpuSeconds,
  here,
  measured,
  memoryOf,
  pinned,
  start,
  startCollector,
  temporaryFolder,
} from './processes.ts';
import { mebibytes, publish, QUICK } from './report.ts';

const REST_SECONDS = QUICK ? 4 : 20;
const SETTLE_MS = 3_000;
const OVERLOAD_CONNECTIONS = 16;
const OVERLOAD_REQUESTS = QUICK ? 64 : 160;

interface Rest {
  readonly share: number;
  readonly rss: number;
}
async function atRest(pid: number): Promise<Rest> {
  await delay(SETTLE_MS);
  const cpu = cpuSeconds(pid);
  await delay(REST_SECONDS * 1e3);
  return { share: (cpuSeconds(pid) - cpu) / REST_SECONDS, rss: memoryOf(pid).now };
}

const folder = temporaryFolder();
const collector = await startCollector(folder, pinned(0));
const fresh = await atRest(collector.pid);
const load = [
  here('replayer.ts'),
  collector.url,
  'metrics',
  String(OVERLOAD_REQUESTS),
  String(OVERLOAD_CONNECTIONS),
];
const sent = await measured<{ items: number; seconds: number; pushedBack: number }>([
  ...pinned(1),
  process.execPath,
  ...load,
]);
await collector.written();
const loaded = memoryOf(collector.pid).most;
const after = await atRest(collector.pid);
await collector.stop();

const project = temporaryFolder();
const trainer = start([process.execPath, here('idle-trainer.ts')], {
  env: { KYMO_DIR: project, KYMO_QUIET: '1' },
});
await delay(SETTLE_MS);
const embedded = await atRest(pidOfEmbedded(project));
const trainerCpu = cpuSeconds(trainer.pid);
await delay(REST_SECONDS * 1e3);
const trainerShare = (cpuSeconds(trainer.pid) - trainerCpu) / REST_SECONDS;
await trainer.stop();

const percent = (share: number) => `${(share * 100).toFixed(2)} %`;
publish({
  title: 'Memory and CPU of the collector',
  columns: ['', 'RSS', 'CPU'],
  rows: [
    ['at rest, just started', mebibytes(fresh.rss), percent(fresh.share)],
    ['bundled, with an idle trainer attached', mebibytes(embedded.rss), percent(embedded.share)],
    [`most, while ${OVERLOAD_CONNECTIONS} senders outrun it`, mebibytes(loaded), ''],
    ['at rest after that', mebibytes(after.rss), percent(after.share)],
    ['for comparison: the idle trainer itself', '', percent(trainerShare)],
  ],
  targets: [
    {
      what: 'CPU of an idle collector',
      target: '≤ 0.5 %',
      measured: percent(Math.max(fresh.share, embedded.share)),
      met: Math.max(fresh.share, embedded.share) <= 0.005,
    },
    {
      what: 'RSS of an idle collector',
      target: '≤ 120 MB',
      measured: mebibytes(Math.max(fresh.rss, embedded.rss)),
      met: Math.max(fresh.rss, embedded.rss) <= 120e6,
    },
  ],
  notes: [
    `At rest: over ${REST_SECONDS} s, in a run without an interval of its own. Overload: ${sent.items.toLocaleString('en')} points in ${sent.seconds.toFixed(1)} s, requests of 64,000, pushed back ${sent.pushedBack} times.`,
  ],
});

function pidOfEmbedded(directory: string): number {
  for (const pid of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const command = fs.readFileSync(path.join('/proc', pid, 'cmdline'), 'utf8').split('\0');
      if (command.includes('--embedded') && command.includes(fs.realpathSync(directory))) return Number(pid);
    } catch {
      // It has gone since.
    }
  }
  throw new Error(`no collector runs for ${directory}`);
}
