// Streams one metrics file and prints rows, a sum, and how far memory has grown.
import { streamMetrics } from '../../../src/research/runs/read-metrics.ts';

const file = process.argv[2]!;
const gc = (globalThis as { gc?: () => void }).gc!;
/** Garbage is no use of memory: looked at after collecting it. */
const used = (): number => {
  gc();
  return process.memoryUsage().rss / 2 ** 20;
};

const began = performance.now();
let before = Number.NaN;
let most = 0;
let rows = 0;
let sum = 0;
let piece = 0;
for await (const { rows: count, columns } of streamMetrics(file, {
  columns: ['step', 'train/metric_7'],
  rows: 4_096,
})) {
  rows += count;
  for (const value of columns.get('train/metric_7')!) sum += value;
  if (piece === 2) before = used();
  if (piece++ % 16 === 3) most = Math.max(most, used());
}
most = Math.max(most, used());
let records = 0;
for await (const record of streamMetrics(file)) {
  if (typeof record['train/metric_7'] === 'number') records++;
  if (records % 20_000 === 0) most = Math.max(most, used());
  if (records === 100_000) break;
}
process.stdout.write(
  JSON.stringify({ rows, sum, grownMib: most - before, seconds: (performance.now() - began) / 1_000 }),
);
