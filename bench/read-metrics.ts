// Reading metrics back: typed columns against JSON.parse of every line, on a file as a training writes it.
// Run: node bench/read-metrics.ts [rows in thousands].
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { readMetrics } from '../src/research/runs/read-metrics.ts';
import { publish, QUICK } from './report.ts';

const METRICS = 20;
const rows = Number(process.argv[2] ?? (QUICK ? 20 : 100)) * 1_000;
const ROUNDS = 5;

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-bench-'));
const file = path.join(folder, 'metrics.jsonl');
write();
const mib = fs.statSync(file).size / 2 ** 20;

/** What a script without a reader does: a line, an object, a number for each column. */
function parsedByLine(): Map<string, Float64Array> {
  const columns = new Map<string, Float64Array>();
  const lines = fs.readFileSync(file, 'utf8').split('\n');
  for (let i = 0; i < lines.length - 1; i++) {
    const record = JSON.parse(lines[i]!) as Record<string, number>;
    for (const name in record) {
      let column = columns.get(name);
      if (column === undefined) {
        column = new Float64Array(lines.length).fill(Number.NaN);
        columns.set(name, column);
      }
      column[i] = record[name]!;
    }
  }
  return columns;
}

/** Only the parsing: the objects are thrown away. */
function onlyParsed(): number {
  let last = 0;
  for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
    if (line !== '') last = (JSON.parse(line) as { step: number }).step;
  }
  return last;
}

const ways = {
  'JSON.parse of every line': onlyParsed,
  'JSON.parse into columns': parsedByLine,
  'readMetrics, objects': () => readMetrics(file),
  'readMetrics, all columns': () => readMetrics(file, { columns: true }),
  'readMetrics, 2 columns': () => readMetrics(file, { columns: ['step', 'train/metric_3'] }),
};
try {
  const best: Record<string, number> = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, way] of Object.entries(ways)) {
      const start = performance.now();
      way();
      best[name] = Math.min(best[name] ?? Number.POSITIVE_INFINITY, performance.now() - start);
    }
  }
  const parse = best['JSON.parse into columns']!;
  const columns = best['readMetrics, all columns']!;
  publish({
    title: `${rows} rows of ${METRICS} metrics, ${mib.toFixed(0)} MiB; best of ${ROUNDS}`,
    columns: ['', 'ms', 'MiB/s', 'times JSON.parse into columns'],
    rows: Object.entries(best).map(([name, ms]) => [
      name,
      ms.toFixed(0),
      (mib / (ms / 1_000)).toFixed(0),
      (parse / ms).toFixed(2),
    ]),
    notes: ['JSON.parse of every line throws the objects away; into columns, it ends with the same arrays.'],
    targets: [
      {
        what: 'typed columns against JSON.parse of every line into the same',
        target: '2 times as fast',
        measured: `${(parse / columns).toFixed(2)} times`,
        met: parse / columns >= 2,
      },
    ],
  });
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}

function write(): void {
  const out = fs.openSync(file, 'w');
  let text = '';
  for (let step = 0; step < rows; step++) {
    text += `{"step":${step},"time":${(1_795_262_400 + step / 1_000).toFixed(6)}`;
    for (let m = 0; m < METRICS; m++) text += `,"train/metric_${m}":${Math.random() * 10 ** (m % 5)}`;
    text += '}\n';
    if (text.length > 1e6) {
      fs.writeSync(out, text);
      text = '';
    }
  }
  fs.writeSync(out, text);
  fs.closeSync(out);
}
