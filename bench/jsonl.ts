// How fast the jsonl exporter writes rows of scalars: decoded batches in, durable files out, on one thread.
// Run: node bench/jsonl.ts [points in millions]. Not counted: decoding, which every exporter shares.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { jsonlExporter } from '../src/collector/exporters/jsonl/index.ts';
import { BatchMaker, testContext } from '../test/collector/batches.ts';

const METRICS_PER_ROW = 20;
const POINTS_PER_BATCH = 64_000;
const millions = Number(process.argv[2] ?? 4);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-bench-'));
try {
  const context = testContext(
    { baseDirectory: folder, stateDirectory: path.join(folder, 'state') },
    { id: 'jsonl' },
  );
  const exporter = jsonlExporter.create(context, jsonlExporter.config.parse({}));
  await exporter.start(undefined);
  const maker = new BatchMaker();
  const sender = {
    resource: { 'service.name': 'bench', 'service.instance.id': 'one', 'kymo.run.id': 'bench' },
  };
  const rowsPerBatch = POINTS_PER_BATCH / METRICS_PER_ROW;
  const batches = Math.round((millions * 1e6) / POINTS_PER_BATCH);
  let step = 0;
  let cpuMs = 0;
  let wallMs = 0;
  const timed = async (work: () => unknown): Promise<void> => {
    const cpu = process.cpuUsage();
    const start = performance.now();
    await work();
    wallMs += performance.now() - start;
    const used = process.cpuUsage(cpu);
    cpuMs += (used.user + used.system) / 1000;
  };
  for (let b = 0; b < batches; b++) {
    const rows = Array.from({ length: rowsPerBatch }, () => {
      const values: Record<string, number> = {};
      for (let m = 0; m < METRICS_PER_ROW; m++) values[`train/metric_${m}`] = Math.random() * 10;
      return { values, step: step++, timeUnixNano: 1_795_262_400_000_000_000n + BigInt(step) * 1_000_003n };
    });
    const batch = maker.rows(sender, rows);
    // Decoding happens at the first look.
    void batch.scalars;
    await timed(() => exporter.export(batch));
    if (b % 8 === 7) await timed(() => exporter.commit());
  }
  await timed(() => exporter.commit());
  await exporter.stop();
  const points = batches * POINTS_PER_BATCH;
  const bytes = fs.statSync(path.join(folder, 'runs', 'bench', 'logs', 'metrics.jsonl')).size;
  console.log(
    JSON.stringify({
      points,
      rows: step,
      mebibytes: Math.round(bytes / 2 ** 20),
      points_per_cpu_second: Math.round(points / (cpuMs / 1000)),
      points_per_second: Math.round(points / (wallMs / 1000)),
      mebibytes_per_second: Math.round(bytes / 2 ** 20 / (wallMs / 1000)),
    }),
  );
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}
