// The measured program of wide.ts: rows of many metrics, then finish(). Prints one line of JSON.
import * as kymo from 'kymo';

const [stepsText = '20000', metricsText = '100'] = process.argv.slice(2);
const steps = Number(stepsText);
const metrics = Number(metricsText);
// Parsed, because V8 lays such an object out like a literal; one filled in a loop becomes a slow dictionary.
const row = JSON.parse(
  JSON.stringify(
    Object.fromEntries(Array.from({ length: metrics }, (_, m) => [`train/metric_${m}`, m + 0.5])),
  ),
) as Record<string, number>;
const names = Object.keys(row);

const startedAt = performance.now();
const run = kymo.init({ project: 'bench', id: 'wide' });
for (let step = 0; step < steps; step++) {
  for (let m = 0; m < metrics; m++) row[names[m]!] = Math.sin(step / 1_000) + m;
  run.log(row, { step });
}
const loopSeconds = (performance.now() - startedAt) / 1e3;
const report = await run.finish();
const seconds = (performance.now() - startedAt) / 1e3;
console.log(
  JSON.stringify({ seconds, loopSeconds, written: report.written === true && report.pending === 0 }),
);
