// The package as npm packs it, installed into an empty project: works by `import`, by `require` and from the command line.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const root = fileURLToPath(new URL('../..', import.meta.url));
let project: string;

function run(file: string, args: string[] = []): string {
  return execFileSync(process.execPath, [file, ...args], {
    cwd: project,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'kymo-package-'));
  execFileSync('npm', ['run', 'build'], { cwd: root, stdio: 'pipe' });
  const [{ filename }] = JSON.parse(
    execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', project], {
      cwd: root,
      encoding: 'utf8',
    }),
  ) as [{ filename: string }];
  writeFileSync(join(project, 'package.json'), '{"name":"empty","private":true}');
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', join(project, filename)], {
    cwd: project,
    stdio: 'pipe',
  });
}, 120_000);
afterAll(() => {
  rmSync(project, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
});

const BODY = `
const run = kymo.init({ project: 'packed' });
for (let step = 0; step < 100; step++) run.log({ loss: 1 / (step + 1) }, { step });
run.finish().then(report => console.log(JSON.stringify({ id: run.id, delivered: report.delivered, pending: report.pending })));
`;

describe('the packed package', () => {
  it.each([
    ['import', 'script.mjs', "import * as kymo from 'kymo';"],
    ['require', 'script.cjs', "const kymo = require('kymo');"],
  ])('writes a run from a script that loads it by %s', (_, name, load) => {
    writeFileSync(join(project, name), load + BODY);
    const report = JSON.parse(run(name)) as { id: string; delivered: number; pending: number };
    expect(report.pending).toBe(0);
    const lines = readFileSync(join(project, 'runs', report.id, 'logs/metrics.jsonl'), 'utf8')
      .trim()
      .split('\n');
    expect(lines.length).toBe(100);
    expect(readdirSync(join(project, 'runs', report.id)).some(file => file.includes('tfevents'))).toBe(true);
  });

  it('records a run of a script that does not know it, by --require kymo/register', () => {
    writeFileSync(join(project, 'plain.cjs'), "console.log('hello');");
    const before = readdirSync(join(project, 'runs')).length;
    expect(run('--require', ['kymo/register', 'plain.cjs'])).toBe('hello\n');
    expect(readdirSync(join(project, 'runs')).length).toBe(before + 1);
  });

  it('has types for its entry points', () => {
    writeFileSync(
      join(project, 'typed.mts'),
      "import * as kymo from 'kymo';\nconst run: kymo.Run = kymo.init();\nrun.log({ loss: 1 }, { step: 0 });\n",
    );
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    run(tsc, [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--lib',
      'es2024,esnext.disposable,esnext.decorators',
      '--types',
      'node',
      '--typeRoots',
      join(root, 'node_modules/@types'),
      'typed.mts',
    ]);
  });

  it('has histories, which load no TensorFlow.js, and the mending of tfjs-node', () => {
    writeFileSync(
      join(project, 'history.mjs'),
      `import 'kymo/history/tfjs-node';
       import util from 'node:util';
       import { HistorySpec } from 'kymo/history';
       import { startWebGPU } from 'kymo/history/webgpu';
       const { fields } = HistorySpec.fromConfig({ x: { length: 3, shape: [2] } });
       console.log(fields.x.init, util.isNullOrUndefined(null), typeof startWebGPU);`,
    );
    expect(run('history.mjs')).toBe('zeros true function\n');
    expect(existsSync(join(project, 'node_modules/@tensorflow'))).toBe(false);
  });

  it('has a command line', () => {
    const cli = join(project, 'node_modules/kymo/dist/cli/kymo.js');
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    expect(run(cli, ['--version'])).toContain(version);
  });

  it('loads nothing but the OpenTelemetry API with `import "kymo"`', () => {
    writeFileSync(
      join(project, 'loaded.cjs'),
      "require('kymo'); const names = Object.keys(require.cache).map(f => f.replace(/.*node_modules\\/((?:@[^/]+\\/)?[^/]+).*/, '$1')); console.log([...new Set(names)].join());",
    );
    const loaded = run('loaded.cjs')
      .trim()
      .split(',')
      .filter(name => !name.endsWith('loaded.cjs'));
    for (const name of loaded) expect(['kymo', '@opentelemetry/api']).toContain(name);
  });
});
