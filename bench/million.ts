// One million scalars in a loop that never yields, then process.exit(0): how long it takes, and that every one is in both files.
import fs from 'node:fs';
import path from 'node:path';
import { decodeEvent } from '../src/collector/exporters/tensorboard/event-reader.ts';
import { walkRecords } from '../src/collector/exporters/tensorboard/records.ts';
import { here, measured, temporaryFolder } from './processes.ts';
import { duration, medians, publish, QUICK } from './report.ts';

const SCALARS = QUICK ? 200_000 : 1_000_000;
const REPETITIONS = QUICK ? 1 : 3;
const RUN = 'million';

type Figures = Record<'loop' | 'exit' | 'jsonl' | 'tensorboard', number>;
const samples: Figures[] = [];
for (let repetition = 0; repetition < REPETITIONS; repetition++) {
  const folder = temporaryFolder();
  const startedAt = performance.now();
  const { loopMs, exitAtMs } = await measured<{ loopMs: number; exitAtMs: number }>(
    [process.execPath, here('million-loop.ts'), String(SCALARS), RUN],
    { env: { KYMO_DIR: folder, KYMO_QUIET: '1', KYMO_COLLECTOR_LINGER_MS: '0' } },
  );
  const allMs = performance.now() - startedAt;
  const runFolder = path.join(folder, 'runs', RUN);
  samples.push({
    loop: loopMs * 1e6,
    exit: (allMs - exitAtMs) * 1e6,
    jsonl: inJsonl(runFolder),
    tensorboard: inEventFiles(runFolder),
  });
}

const figures = medians(samples);
const lost = samples.filter(one => one.jsonl !== SCALARS || one.tensorboard !== SCALARS).length;
publish({
  title: `${SCALARS.toLocaleString('en')} scalars in a synchronous loop, then process.exit(0)`,
  columns: ['', 'time'],
  rows: [
    ['the loop', duration(figures.loop)],
    ['from process.exit(0) to the end of the process', duration(figures.exit)],
  ],
  targets: [
    {
      what: 'all of them in metrics.jsonl and in the event file',
      target: SCALARS.toLocaleString('en'),
      measured: `${Math.min(...samples.map(one => one.jsonl)).toLocaleString('en')} and ${Math.min(...samples.map(one => one.tensorboard)).toLocaleString('en')}`,
      met: lost === 0,
    },
  ],
  notes: [
    `Median of ${REPETITIONS}; the files are read when the process has ended, and counted by distinct step and value.`,
  ],
});

function inJsonl(runFolder: string): number {
  const seen = new Uint8Array(SCALARS);
  const text = fs.readFileSync(path.join(runFolder, 'logs', 'metrics.jsonl'), 'latin1');
  for (const [, step, value] of text.matchAll(/^\{"step":(\d+),.*"loss":([\d.]+)\}$/gm))
    if (Number(value) === Number(step) * 0.5) seen[Number(step)] = 1;
  return seen.reduce((sum, one) => sum + one, 0);
}

function inEventFiles(runFolder: string): number {
  const seen = new Uint8Array(SCALARS);
  for (const name of fs.readdirSync(runFolder)) {
    if (!name.includes('tfevents')) continue;
    const bytes = fs.readFileSync(path.join(runFolder, name));
    walkRecords(bytes, 0, (_bytes, start, end) => {
      const event = decodeEvent(bytes, start, end);
      for (const { tag, scalar } of event.values)
        if (tag === 'loss' && scalar === event.step * 0.5) seen[event.step] = 1;
    });
  }
  return seen.reduce((sum, one) => sum + one, 0);
}
