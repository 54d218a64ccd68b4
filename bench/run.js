// Runs the benchmarks against a fresh build, one process each, one after the other, and says at the end which targets were met.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const BENCHMARKS = {
  calls: 'cost of a call on the caller’s thread',
  million: '1 M scalars in a synchronous loop, then process.exit(0)',
  wide: '20,000 steps of 100 metrics to durable files',
  media: 'goggles’ benchmark: scalars, image sweep, video sweep',
  ingest: 'the collector under scalar points, logs and spans',
  memory: 'the collector’s memory under load, and at rest',
  startup: 'import, init, register, the bundled collector',
  runs: 'kymo runs over 2,000 runs',
  history: 'device-resident histories, beside goggles under JAX',
  otlp: 'encode, check and decode, per item',
  jsonl: 'the jsonl exporter alone',
  tensorboard: 'the tensorboard exporter alone',
  'read-metrics': 'metrics read back: typed columns against JSON.parse',
  query: 'the query index: what it costs, how fast it answers',
};
const HELP = `usage: npm run bench [-- [--only NAME]… [--quick] [--json] [--no-build]]

  --only NAME   one benchmark; may be given several times
  --quick       fewer repetitions, smaller workloads: a look, not a result
  --json        one JSON document instead of tables
  --no-build    use dist/ as it is

${Object.entries(BENCHMARKS)
  .map(([name, what]) => `  ${name.padEnd(12)}${what}`)
  .join('\n')}

How to read the results: bench/README.md
`;

const args = process.argv.slice(2);
const only = [];
for (let i = 0; i < args.length; i++) {
  if (args[i] === '--only' && Object.hasOwn(BENCHMARKS, args[i + 1] ?? '')) only.push(args[++i]);
  else if (args[i] === '--help') {
    process.stdout.write(HELP);
    process.exit(0);
  } else if (!['--quick', '--json', '--no-build'].includes(args[i])) {
    const what = args[i] === '--only' ? `--only ${args[i + 1] ?? ''}` : args[i];
    process.stderr.write(`bench: ${what} is not known\n\n${HELP}`);
    process.exit(2);
  }
}
const json = args.includes('--json');
const root = fileURLToPath(new URL('..', import.meta.url));
if (!args.includes('--no-build')) {
  const built = spawnSync(process.execPath, [path.join(root, 'scripts', 'build.js')], {
    stdio: ['ignore', 2, 2],
  });
  if (built.status !== 0) process.exit(built.status ?? 1);
}

const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-bench-run-')), 'reports');
const env = {
  ...process.env,
  KYMO_BENCH_REPORT: file,
  ...(args.includes('--quick') ? { KYMO_BENCH_QUICK: '1' } : {}),
};
const results = {};
let failed = 0;
for (const name of only.length > 0 ? only : Object.keys(BENCHMARKS)) {
  if (!json) process.stdout.write(`\n=== ${name}: ${BENCHMARKS[name]}\n`);
  fs.writeFileSync(file, '');
  const program = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
  const run = spawnSync(process.execPath, [program], {
    cwd: root,
    env,
    encoding: 'utf8',
    stdio: ['ignore', json ? 'pipe' : 'inherit', 'inherit'],
  });
  if (run.status !== 0) {
    failed++;
    process.stderr.write(`bench: ${name} failed (${run.status ?? run.signal})\n`);
  }
  const reports = fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line));
  results[name] = reports.length > 0 ? { reports } : { output: run.stdout };
}
fs.rmSync(path.dirname(file), { recursive: true, force: true });

const targets = Object.values(results).flatMap(({ reports = [] }) =>
  reports.flatMap(report => report.targets),
);
if (json)
  process.stdout.write(
    `${JSON.stringify({ node: process.version, cpus: os.cpus().length, results }, undefined, 2)}\n`,
  );
else if (targets.length > 0) {
  process.stdout.write('\n=== targets\n');
  for (const { what, target, measured, met } of targets)
    process.stdout.write(`  ${met ? 'met   ' : 'MISSED'}  ${what}: ${measured} (target ${target})\n`);
}
process.exit(failed > 0 ? 1 : 0);
