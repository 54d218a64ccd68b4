// What the command line costs: from typing `kymo runs` over many runs to the table, and `kymo --version`, which loads nothing.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { duration, median, publish, QUICK } from './report.ts';

const RUNS = 2_000;
const METRICS = 12;
const REPETITIONS = QUICK ? 5 : 21;
const TARGET_MS = 300;
const KYMO = fileURLToPath(new URL('../dist/cli/kymo.js', import.meta.url));

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-bench-runs-'));
try {
  for (let i = 0; i < RUNS; i++) writeRun(i);
  const cases: Readonly<Record<string, readonly string[]>> = {
    'bare Node': ['-e', '0'],
    'kymo --version': [KYMO, '--version'],
    [`kymo runs, ${RUNS} runs`]: [KYMO, 'runs', folder],
    [`kymo runs --limit 20, ${RUNS} runs`]: [KYMO, 'runs', folder, '--limit', '20'],
    [`kymo runs --filter --sort on a metric, ${RUNS} runs`]: [
      ...[KYMO, 'runs', folder, '--filter', 'train/metric_0>0', '--sort', 'train/metric_1'],
    ],
    [`kymo show, beginning of a name among ${RUNS} runs`]: [KYMO, 'show', 'bench-19', '--directory', folder],
  };
  const samples = new Map<string, number[]>(Object.keys(cases).map(name => [name, []]));
  // The first round fills the disk cache and Node's compile cache.
  for (let repetition = -1; repetition < REPETITIONS; repetition++)
    for (const [name, args] of Object.entries(cases)) {
      const begun = performance.now();
      const { status, stderr } = spawnSync(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
      const ms = performance.now() - begun;
      // An ambiguous beginning is a failure with a reason, and takes as long.
      if (status !== 0 && !/ fits \d+ runs/.test(stderr.toString())) throw new Error(stderr.toString());
      if (repetition >= 0) samples.get(name)!.push(ms);
    }
  const all = median(samples.get(`kymo runs, ${RUNS} runs`)!);
  publish({
    title: 'The command line over many runs',
    columns: ['', 'min', 'median'],
    rows: [...samples].map(([name, times]) => [
      name,
      duration(Math.min(...times) * 1e6),
      duration(median(times) * 1e6),
    ]),
    targets: [
      {
        what: `kymo runs over ${RUNS} runs, from the start of the process to its end`,
        target: `≤ ${TARGET_MS} ms`,
        measured: duration(all * 1e6),
        met: all <= TARGET_MS,
      },
    ],
    notes: [`${REPETITIONS} interleaved repetitions; each run.json lists ${METRICS} metrics.`],
  });
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}

/** As the jsonl exporter writes it. */
function writeRun(i: number): void {
  const id = `bench-${i}`;
  const time = (seconds: number) => new Date(1_750_000_000_000 + i * 60_000 + seconds * 1_000).toISOString();
  const metrics: Record<string, object> = {};
  for (let m = 0; m < METRICS; m++)
    metrics[`train/metric_${m}`] = {
      ...{ last: Math.sin(i + m), last_step: 9_999, min: -1, max: 1, mean: 0.01 * m, count: 10_000 },
    };
  const instance = { instance: `instance-${i}`, rank: 0, attempt: 1, state: 'finished', announced: true };
  const document = {
    ...{ format: 1, id, name: `run ${i % 100}`, project: 'bench', state: 'finished', exit_code: 0 },
    ...{ created: time(0), updated: time(500), finished: time(500) },
    totals: { points: 120_000, rows: 10_000, histograms: 10, logs: 30, spans: 0 },
    ...{ steps: { first: 0, last: 9_999 }, metrics, summary: {} },
    ...{ attempts: [{ attempt: 1, started: time(0) }], superseded: [], instance: `instance-${i}` },
    instances: [{ ...instance, started: time(0), finished: time(500), last_seen: time(500) }],
    files: { 'logs/metrics.jsonl': { bytes: 1_000_000 } },
    writer: 'bench',
  };
  fs.mkdirSync(path.join(folder, id, 'logs'), { recursive: true });
  fs.writeFileSync(path.join(folder, id, 'run.json'), `${JSON.stringify(document, undefined, 2)}\n`);
}
