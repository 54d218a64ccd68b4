// How many scalar points per second the TensorBoard exporter writes on one core: rows of 20 metrics in batches of 64 k points.
// Run: node bench/tensorboard.ts [million points] [metrics per row]
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Batch, ExporterContext } from '../src/collector/component.ts';
import { tensorboardExporter } from '../src/collector/exporters/tensorboard/index.ts';
import { createResolver } from '../src/collector/runs/resolve.ts';
import type { Resource, Scope, Series } from '../src/otlp/model.ts';

const points = Number(process.argv[2] ?? 20) * 1e6;
const metrics = Number(process.argv[3] ?? 20);
const batchPoints = 64_000;

const resource: Resource = { attributes: Object.assign(Object.create(null), { 'kymo.run.id': 'bench' }) };
const scope: Scope = { name: 'bench', version: '', attributes: Object.create(null) };
const resolver = createResolver();
const series = Array.from(
  { length: metrics },
  (_, i): Series => ({
    resource,
    scope,
    name: `train/metric_${i}`,
    unit: '',
    description: '',
    attributes: Object.create(null),
    kind: 'gauge',
  }),
);
const resolved = series.map(one => resolver.series(one, 0n));
const rowsPerBatch = Math.floor(batchPoints / metrics);
const count = rowsPerBatch * metrics;

let step = 0;
let position = 0;
function nextBatch(): Batch {
  const timeUnixNano = new BigUint64Array(count);
  const columns = {
    count,
    series,
    seriesIndex: new Uint32Array(count),
    timeUnixNano,
    timeWords: new Uint32Array(timeUnixNano.buffer),
    value: new Float64Array(count),
    bigValue: undefined,
    step: new Float64Array(count),
    context: undefined,
  };
  const first = new Uint32Array(rowsPerBatch + 1);
  const order = new Uint32Array(count);
  for (let row = 0, at = 0; row < rowsPerBatch; row++, step++) {
    const time = 1_700_000_000_000_000_000n + BigInt(step) * 1_000_000n;
    for (let metric = 0; metric < metrics; metric++, at++) {
      columns.seriesIndex[at] = metric;
      timeUnixNano[at] = time;
      columns.value[at] = Math.sin(step) + metric;
      columns.step[at] = step;
      order[at] = at;
    }
    first[row + 1] = at;
  }
  return {
    position: position++,
    next: position,
    signal: 'metrics',
    receivedUnixNano: 1_700_000_000_000_000_000n,
    batchKey: '',
    bytes: new Uint8Array(0),
    scalars: { columns, resolved, rows: { count: rowsPerBatch, first, points: order } },
    histograms: [],
    logs: [],
    spans: [],
  };
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-bench-tensorboard-'));
try {
  fs.mkdirSync(path.join(folder, 'state'));
  const quiet = () => undefined;
  const context: ExporterContext = {
    id: 'tensorboard',
    logger: { debug: quiet, info: quiet, warn: console.warn, error: console.error },
    instruments: { count: quiet, set: quiet },
    baseDirectory: folder,
    stateDirectory: path.join(folder, 'state'),
    writerId: 'bench',
  };
  const exporter = tensorboardExporter.create(context, tensorboardExporter.config.parse({}));
  await exporter.start(undefined);
  for (let i = 0; i < 3; i++) await exporter.export(nextBatch());
  let cpuMicros = 0;
  let wallMs = 0;
  let written = 0;
  while (written < points) {
    const batch = nextBatch();
    const cpu = process.cpuUsage();
    const start = performance.now();
    await exporter.export(batch);
    if (position % 16 === 0) {
      await exporter.commit();
      await exporter.committed?.();
    }
    wallMs += performance.now() - start;
    const used = process.cpuUsage(cpu);
    cpuMicros += used.user + used.system;
    written += count;
  }
  await exporter.commit();
  await exporter.stop();
  const bytes = fs
    .readdirSync(path.join(folder, 'runs', 'bench'))
    .reduce((sum, name) => sum + fs.statSync(path.join(folder, 'runs', 'bench', name)).size, 0);
  console.log(
    `tensorboard: ${(written / wallMs / 1e3).toFixed(2)} M points/s, ${(written / cpuMicros).toFixed(2)} M points per CPU second, ` +
      `${(bytes / (written + 3 * count)).toFixed(1)} bytes per point (${metrics} metrics per row)`,
  );
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}
