// The package as npm packs it, installed into an empty project: works by `import`, by `require` and from the command line.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const root = fileURLToPath(new URL('../..', import.meta.url));
let project: string;

/** What package.json exports, as others import it. */
const ENTRIES = Object.keys(
  (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: Record<string, unknown> })
    .exports,
)
  .filter(path => path !== './package.json')
  .map(path => path.replace('.', 'kymo'));
const FOR_ITS_EFFECT = new Set(['kymo/register', 'kymo/history/tfjs-node']);

function run(file: string, args: string[] = [], env: Record<string, string> = {}): string {
  return execFileSync(process.execPath, [file, ...args], {
    cwd: project,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/**
 * What the compiler says of the project and what is installed in it. Types of TensorFlow.js are taken from outside, and errors in them
 * left out: they speak of pages, and do not hold by themselves.
 */
function typeErrors(): string[] {
  let said: string;
  try {
    said = run(join(root, 'node_modules/typescript/bin/tsc'), ['-p', project]);
  } catch (error) {
    said = (error as { stdout: string }).stdout;
  }
  return said.split('\n').filter(line => line !== '' && !/^(\.\.\/|\s)/.test(line));
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

  it.each(ENTRIES)('has %s for import and for require, with the same names', entry => {
    const names = 'console.log(JSON.stringify(Object.keys(loaded).sort()))';
    writeFileSync(join(project, 'entry.mjs'), `import * as loaded from '${entry}'; ${names};`);
    writeFileSync(join(project, 'entry.cjs'), `const loaded = require('${entry}'); ${names};`);
    // Disabled, so that kymo/register begins no run.
    const [imported, required] = ['entry.mjs', 'entry.cjs'].map(
      file => JSON.parse(run(file, [], { KYMO_MODE: 'disabled' })) as string[],
    );
    expect(imported).toEqual(required);
    expect(imported!.length > 0).toBe(!FOR_ITS_EFFECT.has(entry));
  });

  it('has types for its entry points, which hold without skipLibCheck and without what is internal', () => {
    const modules = join(root, 'node_modules');
    writeFileSync(
      join(project, 'typed.mts'),
      `${ENTRIES.map((entry, i) => `import * as entry${i} from '${entry}';`).join('\n')}
import * as kymo from 'kymo';
const run: kymo.Run = kymo.init();
run.log({ loss: 1 }, { step: 0 });
// @ts-expect-error it is internal
run.mediaWriter();
const loaded: readonly object[] = [${ENTRIES.map((_, i) => `entry${i}`).join(', ')}];
`,
    );
    writeFileSync(
      join(project, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          noEmit: true,
          strict: true,
          module: 'nodenext',
          lib: ['es2024', 'esnext.disposable', 'esnext.decorators'],
          types: ['node'],
          typeRoots: [join(modules, '@types')],
          // The optional peer, whose types are in those of kymo/history; it is not installed here.
          paths: { '@tensorflow/tfjs-core': [join(modules, '@tensorflow/tfjs-core/dist/index.d.ts')] },
        },
        files: ['typed.mts'],
      }),
    );
    expect(typeErrors()).toEqual([]);
  }, 60_000);

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
