// What starting costs on top of bare Node: import, init(), --require kymo/register, and until the bundled collector has taken the first row.
import fs from 'node:fs';
import path from 'node:path';
import { measured, temporaryFolder } from './processes.ts';
import { duration, median, publish, QUICK } from './report.ts';

const REPETITIONS = QUICK ? 5 : 21;
/** The programs lie in the package, so that they find it by its name. */
const PACKAGE = new URL('..', import.meta.url);

/** Milliseconds since the process began, at the moment that counts. */
const SAY =
  "require('node:fs').writeSync(1, JSON.stringify({ ms: performance.now() }) + '\\n'); process.kill(process.pid, 'SIGKILL');";
const CASES: readonly [name: string, node: readonly string[], program: string][] = [
  ['bare Node', [], SAY],
  ["import 'kymo'", [], `import('kymo').then(() => { ${SAY} });`],
  ["require('kymo')", [], `require('kymo'); ${SAY}`],
  ['init()', [], `const kymo = require('kymo'); kymo.init({ project: 'bench' }); ${SAY}`],
  ['--require kymo/register', ['--require', 'kymo/register'], SAY],
  ['--import kymo/register', ['--import', 'kymo/register'], SAY],
  [
    'the first row is in the bundled collector',
    [],
    `const kymo = require('kymo'); const run = kymo.init({ project: 'bench' }); run.log({ loss: 1 }); run.flush().then(() => { ${SAY} });`,
  ],
];

const folder = fs.mkdtempSync(path.join(new URL('dist', PACKAGE).pathname, '.bench-'));
const samples = new Map<string, number[]>(CASES.map(([name]) => [name, []]));
try {
  for (const [n, [, , program]] of CASES.entries()) fs.writeFileSync(path.join(folder, `${n}.cjs`), program);
  // The first round fills the disk cache and Node's compile cache.
  for (let repetition = -1; repetition < REPETITIONS; repetition++)
    for (const [n, [name, node]] of CASES.entries()) {
      const ms = await startedIn(node, path.join(folder, `${n}.cjs`));
      if (repetition >= 0) samples.get(name)!.push(ms);
    }
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}

const bare = { least: Math.min(...samples.get('bare Node')!), middle: median(samples.get('bare Node')!) };
const above = (name: string) => median(samples.get(name)!) - bare.middle;
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
  ],
  notes: [`${REPETITIONS} interleaved repetitions; since the beginning of the process.`],
});

/** The program ends by SIGKILL, so that its end costs the next one nothing. */
async function startedIn(node: readonly string[], program: string): Promise<number> {
  const command = ['/bin/sh', '-c', '"$0" "$@"; true', process.execPath, ...node, program];
  const env = { KYMO_DIR: temporaryFolder(), KYMO_QUIET: '1', KYMO_COLLECTOR_LINGER_MS: '0' };
  const { ms } = await measured<{ ms: number }>(command, { env, cwd: path.dirname(program) });
  return ms;
}
