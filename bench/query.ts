// What the query index costs and how fast it answers: points read from a run's JSONL, then curves of one long series and of many runs.
// One thread, no HTTP: what the query extension's thread does between a request and its answer, JSON included.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Answers } from '../src/collector/extensions/query/answers.ts';
import { RunIndex } from '../src/collector/query/run-index.ts';
import { median, percentile, publish, QUICK, type Target } from './report.ts';

const SERIES_POINTS = QUICK ? 1_000_000 : 10_000_000;
const ROW_METRICS = 20;
const QUERIES = QUICK ? 20 : 50;
const START_SECONDS = 1_795_262_400;

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-bench-query-'));
const runs = path.join(folder, 'runs');

function writeRun(id: string, rows: number, metrics: number): number {
  const logs = path.join(runs, id, 'logs');
  fs.mkdirSync(logs, { recursive: true });
  fs.writeFileSync(path.join(runs, id, 'run.json'), JSON.stringify({ id, state: 'finished' }));
  const fd = fs.openSync(path.join(logs, 'metrics.jsonl'), 'w');
  let text = '';
  for (let step = 0; step < rows; step++) {
    text += `{"step":${step},"time":${(START_SECONDS + step * 0.01).toFixed(6)}`;
    for (let m = 0; m < metrics; m++)
      text += `,"train/metric_${m}":${Math.sin(step / 5_000 + m) + Math.random()}`;
    text += '}\n';
    if (text.length < 1_000_000 && step < rows - 1) continue;
    fs.writeSync(fd, text);
    text = '';
  }
  const { size } = fs.fstatSync(fd);
  fs.closeSync(fd);
  return size;
}

async function ingest(id: string, rows: number, metrics: number) {
  const bytes = writeRun(id, rows, metrics);
  const indexes = path.join(folder, `index-of-${id}`);
  fs.mkdirSync(indexes);
  const cpu = process.cpuUsage();
  const start = performance.now();
  const index = new RunIndex({ root: runs, folder: id, indexes, key: 'index' });
  while (index.readMore());
  await index.commit();
  const wall = (performance.now() - start) / 1000;
  const used = process.cpuUsage(cpu);
  index.close();
  fs.rmSync(indexes, { recursive: true });
  return { bytes, wall, cpu: (used.user + used.system) / 1e6 };
}

interface Timing {
  readonly first: number;
  readonly p50: number;
  readonly p90: number;
  readonly cpu: number;
}
async function time(answers: Answers, url: (i: number) => string): Promise<Timing> {
  const times: number[] = [];
  let cpuMs = 0;
  for (let i = 0; i <= QUERIES; i++) {
    const cpu = process.cpuUsage();
    const start = performance.now();
    const answer = await answers.answer(url(i));
    times.push(performance.now() - start);
    const used = process.cpuUsage(cpu);
    if (i > 0) cpuMs += (used.user + used.system) / 1000;
    if (answer.kind !== 'body' || answer.status !== 200) throw new Error(JSON.stringify(answer));
  }
  const [first = Number.NaN, ...rest] = times;
  const sorted = Float64Array.from(rest).sort();
  return { first, p50: median(rest), p90: percentile(sorted, 0.9), cpu: cpuMs / QUERIES };
}

try {
  const targets: Target[] = [];
  const wide = await ingest('wide', 1_000_000 / ROW_METRICS, ROW_METRICS);
  const narrow = await ingest('narrow', 1_000_000, 1);
  targets.push({
    what: '1 M points into the index, rows of 20 metrics',
    target: '≤ 1 s',
    measured: `${wide.wall.toFixed(2)} s`,
    met: wide.wall <= 1,
  });
  const row = (name: string, { bytes, wall, cpu }: typeof wide): string[] => [
    name,
    `${Math.round(bytes / 2 ** 20)} MiB`,
    `${wall.toFixed(2)} s`,
    `${cpu.toFixed(2)} s`,
    `${(1 / cpu).toFixed(1)} M/s`,
  ];
  publish({
    title: 'Index: 1 M points read from JSONL, to committed columns',
    columns: ['rows', 'JSONL', 'wall', 'CPU', 'points per CPU second'],
    rows: [row('of 20 metrics', wide), row('of 1 metric', narrow)],
    targets,
    notes: [
      'In the query thread, beside receivers and exporters. CPU of the whole process, garbage collection included.',
    ],
  });

  fs.rmSync(runs, { recursive: true });
  writeRun('long', SERIES_POINTS, 1);
  const many = Array.from({ length: 10 }, (_, i) => `run-${i}`);
  for (const id of many) writeRun(id, 10_000, 2);
  const options = { roots: [runs], directory: path.join(folder, 'index'), tell: console.error };
  let answers = new Answers(options);
  const curve = '/api/v1/curves?runs=long&metric=train/metric_0&points=1000';
  const start = performance.now();
  for (;;) {
    const answer = await answers.answer(curve);
    if (answer.kind === 'body' && String(answer.body).includes('"behind_bytes":0')) break;
  }
  const building = (performance.now() - start) / 1000;
  await answers.stop();
  // A collector that starts: the index is on disk, nothing of it in memory.
  const opening = performance.now();
  answers = new Answers(options);
  await answers.answer(curve);
  const opened = performance.now() - opening;

  const amount = `${SERIES_POINTS / 1e6} M points`;
  const part = (i: number): string => {
    const from = Math.floor((i / (QUERIES + 1)) * SERIES_POINTS * 0.8);
    return `&from=${from}&to=${from + SERIES_POINTS * 0.15}`;
  };
  const cases: [string, (i: number) => string][] = [
    [`${amount}, by step`, () => curve],
    [`${amount}, by time`, () => `${curve}&x=time`],
    [`${amount}, another 15 % each time`, i => curve + part(i)],
    [
      '10 runs of 10 k points, wide, 500 buckets',
      () => `/api/v1/curves?runs=${many}&metric=train/metric_0&points=500&shape=wide`,
    ],
    ['10 runs, metric names', () => `/api/v1/metrics?runs=${many}`],
  ];
  const rows: string[][] = [];
  const queryTargets: Target[] = [];
  for (const [name, url] of cases) {
    const { first, p50, p90, cpu } = await time(answers, url);
    rows.push([name, ...[first, p50, p90, cpu].map(ms => `${ms.toFixed(1)} ms`)]);
    if (!QUICK && name.endsWith('by step'))
      queryTargets.push({
        what: '10 M points to 1,000 buckets',
        target: '≤ 10 ms',
        measured: `${p50.toFixed(1)} ms`,
        met: p50 <= 10,
      });
  }
  await answers.stop();
  publish({
    title: `Queries: to 1,000 buckets, ${QUERIES} times`,
    columns: ['query', 'first', 'p50', 'p90', 'CPU'],
    rows,
    targets: queryTargets,
    notes: [
      `${amount} of one series: ${building.toFixed(1)} s to build; with the index on disk, the first answer after a start took ${opened.toFixed(0)} ms.`,
      'By time, and where buckets do not begin where blocks do, a block is cut at each edge: first read from the page cache, then from memory.',
    ],
  });
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}
