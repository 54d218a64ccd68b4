// What starting costs on top of bare Node: import, init(), kymo/register (beside OpenTelemetry's own), and until the bundled collector has taken the first row.
import fs from 'node:fs';
import path from 'node:path';
import { npmPeer } from './npm-peers.ts';
import { measured, temporaryFolder } from './processes.ts';
import { duration, median, publish, QUICK } from './report.ts';

const REPETITIONS = QUICK ? 5 : 21;
/** The programs lie in the package, so that they find it by its name. */
const PACKAGE = new URL('..', import.meta.url);

/** Milliseconds since the process began, at the moment that counts. */
const SAY =
  "require('node:fs').writeSync(1, JSON.stringify({ ms: performance.now() }) + '\\n'); process.kill(process.pid, 'SIGKILL');";
/** A program with a server, a logger, a database and a model's API: each has an instrumentation. */
const LOADS = "for (const name of ['http', 'pino', 'openai', 'winston', 'undici']) require(name);";
const IMPORTS = "import 'node:http'; import 'pino'; import 'openai'; import 'winston'; import 'undici';";
const SAY_MODULE = `import { writeSync } from 'node:fs'; writeSync(1, JSON.stringify({ ms: performance.now() }) + '\\n'); process.kill(process.pid, 'SIGKILL');`;
const stock = npmPeer(
  '@opentelemetry/auto-instrumentations-node',
  '0.82.0',
  '@opentelemetry/auto-instrumentations-node/register',
);

type Case = readonly [name: string, node: readonly string[], program: string, extension?: 'mjs'];
const CASES: readonly Case[] = [
  ['bare Node', [], SAY],
  ["import 'kymo'", [], `import('kymo').then(() => { ${SAY} });`],
  ["require('kymo')", [], `require('kymo'); ${SAY}`],
  ['init()', [], `const kymo = require('kymo'); kymo.init({ project: 'bench' }); ${SAY}`],
  ['--require kymo/register', ['--require', 'kymo/register'], SAY],
  ['--import kymo/register', ['--import', 'kymo/register'], SAY],
  ['five packages', [], LOADS + SAY],
  ['five packages, --require kymo/register', ['--require', 'kymo/register'], LOADS + SAY],
  ['five packages as ES modules', [], IMPORTS + SAY_MODULE, 'mjs'],
  [
    'five packages as ES modules, --import kymo/register',
    ['--import', 'kymo/register'],
    IMPORTS + SAY_MODULE,
    'mjs',
  ],
  ...('file' in stock
    ? ([
        ['--require OpenTelemetry’s register', ['--require', stock.file], SAY],
        ['five packages, --require OpenTelemetry’s register', ['--require', stock.file], LOADS + SAY],
      ] as const)
    : []),
  [
    'the first row is in the bundled collector',
    [],
    `const kymo = require('kymo'); const run = kymo.init({ project: 'bench' }); run.log({ loss: 1 }); run.flush().then(() => { ${SAY} });`,
  ],
];

const folder = fs.mkdtempSync(path.join(new URL('dist', PACKAGE).pathname, '.bench-'));
const samples = new Map<string, number[]>(CASES.map(([name]) => [name, []]));
try {
  for (const [n, [, , program, extension = 'cjs']] of CASES.entries())
    fs.writeFileSync(path.join(folder, `${n}.${extension}`), program);
  // The first round fills the disk cache and Node's compile cache.
  for (let repetition = -1; repetition < REPETITIONS; repetition++)
    for (const [n, [name, node, , extension = 'cjs']] of CASES.entries()) {
      const ms = await startedIn(node, path.join(folder, `${n}.${extension}`));
      if (repetition >= 0) samples.get(name)!.push(ms);
    }
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}

const bare = { least: Math.min(...samples.get('bare Node')!), middle: median(samples.get('bare Node')!) };
const above = (name: string, base = 'bare Node') => median(samples.get(name)!) - median(samples.get(base)!);
const ms = (value: number) => duration(value * 1e6);
publish({
  title: 'Start-up',
  columns: ['', 'min', 'median', 'min above bare', 'median above bare'],
  rows: [...samples].map(([name, all]) => {
    const least = Math.min(...all);
    return name === 'bare Node'
      ? [name, ms(least), ms(median(all)), '', '']
      : [name, ms(least), ms(median(all)), ms(least - bare.least), ms(median(all) - bare.middle)];
  }),
  targets: [
    {
      what: "import 'kymo' on top of bare Node",
      target: '≤ 60 ms',
      measured: ms(above("import 'kymo'")),
      met: above("import 'kymo'") <= 60,
    },
    {
      what: '--require kymo/register on top of bare Node',
      target: '≤ 150 ms',
      measured: ms(above('--require kymo/register')),
      met: above('--require kymo/register') <= 150,
    },
    ...(['five packages', 'five packages as ES modules'] as const).map(base => {
      const how = base === 'five packages' ? '--require' : '--import';
      const cost = above(`${base}, ${how} kymo/register`, base);
      return {
        what: `${how} kymo/register on top of ${base}`,
        target: '≤ 300 ms',
        measured: ms(cost),
        met: cost <= 300,
      };
    }),
  ],
  notes: [
    `${REPETITIONS} interleaved repetitions; since the beginning of the process.`,
    'The five packages are http, pino, openai, winston and undici; each is instrumented.',
    ...('missing' in stock ? [`OpenTelemetry’s own register was not measured: ${stock.missing}`] : []),
  ],
});

/** The program ends by SIGKILL, so that its end costs the next one nothing. */
async function startedIn(node: readonly string[], program: string): Promise<number> {
  const command = ['/bin/sh', '-c', '"$0" "$@"; true', process.execPath, ...node, program];
  const env = { KYMO_DIR: temporaryFolder(), KYMO_QUIET: '1', KYMO_COLLECTOR_LINGER_MS: '0' };
  const { ms } = await measured<{ ms: number }>(command, { env, cwd: path.dirname(program) });
  return ms;
}
