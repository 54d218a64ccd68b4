// `--require` and `--import` of the entry point: a run around a script that does not know of it.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

const root = fileURLToPath(new URL('../..', import.meta.url));
const register = join(root, 'src/register.ts');
let project: string;

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'kymo-register-'));
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'));
});
afterEach(() => {
  rmSync(project, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

interface Ending {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
  readonly signal: string | null;
}

function run(script: string, env: Record<string, string> = {}, how = '--import', name = 'train.cjs'): Ending {
  const file = join(project, name);
  writeFileSync(file, script);
  return spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', how, register, file], {
    cwd: project,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, KYMO_DIR: project, KYMO_COLLECTOR_LINGER_MS: '0', ...env },
  });
}

function states(): string[] {
  return readdirSync(join(project, 'runs')).map(
    name =>
      (JSON.parse(readFileSync(join(project, 'runs', name, 'run.json'), 'utf8')) as { state: string }).state,
  );
}

/** The lines of the only run's file. */
function lines(file: string): Record<string, unknown>[] {
  const [name] = readdirSync(join(project, 'runs'));
  const place = join(project, 'runs', name!, 'logs', file);
  if (!existsSync(place)) return [];
  return readFileSync(place, 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>);
}
const require = createRequire(import.meta.url);
const path = (name: string): string => JSON.stringify(require.resolve(name));

describe('kymo/register', () => {
  it.each(['--import', '--require'])('with %s records a run and changes nothing that is printed', how => {
    const ending = run("console.log('hello');", {}, how);
    expect(ending).toMatchObject({ stdout: 'hello\n', stderr: '', status: 0 });
    expect(states()).toEqual(['finished']);
  });

  it('marks the run of a script that throws failed, with the same exit code and message', () => {
    const ending = run("throw new Error('went wrong');");
    expect(ending.status).toBe(1);
    expect(ending.stderr).toContain('went wrong');
    expect(states()).toEqual(['failed']);
  });

  it('does nothing inside processes that Kymo starts for itself', () => {
    expect(run("console.log('hello');", { KYMO_INTERNAL: '1' })).toMatchObject({
      stdout: 'hello\n',
      status: 0,
    });
    expect(readdirSync(project)).toEqual(['node_modules', 'train.cjs']);
  });

  it('leaves the providers of an OTEL_CONFIG_FILE to OpenTelemetry, and records the run all the same', () => {
    mkdirSync(join(project, 'conf'));
    const config = join(project, 'conf/otel.yaml');
    writeFileSync(
      config,
      'file_format: "1.0"\ntracer_provider:\n  processors:\n    - simple:\n        exporter:\n          console:\n',
    );
    const api = JSON.stringify(join(root, 'node_modules/@opentelemetry/api'));
    const ending = run(`require(${api}).trace.getTracer('mine').startSpan('declared').end();`, {
      OTEL_CONFIG_FILE: config,
    });
    expect(ending.stdout).toContain('declared');
    expect(ending.stderr).toContain('provider');
    expect(states()).toEqual(['finished']);
  });
});

describe('what a program prints', () => {
  it('with console.* is printed as ever and is in the run', () => {
    const ending = run(`
      console.log('a %d', 1, { b: 2 });
      console.error(new RangeError('bad'));
      console.table([{ x: 1 }]);
      console.log({ get trap() { console.log('inside'); return 1; } });
      console.debug('');
    `);
    expect(ending.status).toBe(0);
    expect(ending.stdout).toContain('a 1 { b: 2 }\n');
    const records = lines('logs.jsonl').filter(line => line.logger === 'console');
    expect(records.map(({ level, message }) => [level, String(message).split('\n')[0]])).toEqual([
      ['INFO', 'a 1 { b: 2 }'],
      ['ERROR', 'RangeError: bad'],
      ['INFO', expect.stringContaining('┌')],
      ['INFO', '{ trap: [Getter] }'],
      ['DEBUG', ''],
    ]);
  });

  it('stays out with KYMO_CONSOLE=0, and becomes scalars with KYMO_PARSE_STDOUT=1', () => {
    const ending = run(
      "console.log('step 3 loss=0.5'); process.stdout.write('step 4 lo'); process.stdout.write('ss=0.25')",
      {
        KYMO_CONSOLE: '0',
        KYMO_PARSE_STDOUT: '1',
      },
    );
    expect(ending.stdout).toBe('step 3 loss=0.5\nstep 4 loss=0.25');
    expect(lines('metrics.jsonl').map(({ step, loss }) => [step, loss])).toEqual([
      [3, 0.5],
      [4, 0.25],
    ]);
    expect(lines('logs.jsonl').filter(line => line.logger === 'console')).toEqual([]);
  });
});

describe('OpenTelemetry instrumentations', () => {
  const SERVE = `const server = http.createServer((_, response) => response.end('hi')).listen(0, '127.0.0.1', async () => {
    const { port } = server.address();
    await new Promise(done => http.get({ port, host: '127.0.0.1' }, response => response.resume().on('end', done)));
    await (await fetch('http://127.0.0.1:' + port)).text();
    server.close();
  });`;

  it.each([
    ['train.cjs', "const http = require('http');"],
    ['train.mjs', "import http from 'node:http';"],
  ])('%s: requests made and served are spans, of node:http and of fetch', (name, load) => {
    expect(run(load + SERVE, {}, '--import', name)).toMatchObject({ status: 0, stderr: '' });
    const kinds = lines('spans.jsonl').map(
      ({ kind, logger }) => `${kind} ${String(logger).split('-').pop()}`,
    );
    expect(kinds.sort()).toEqual(['client http', 'client undici', 'server http', 'server http']);
  });

  it.each([
    ['train.cjs', `const pino = require('pino');`],
    ['train.mjs', `import pino from 'pino';`],
  ])("%s: a logger's lines are log records", (name, load) => {
    const ending = run(`${load} pino().warn({ a: 1 }, 'from pino');`, {}, '--require', name);
    expect(JSON.parse(ending.stdout)).toMatchObject({ msg: 'from pino' });
    expect(lines('logs.jsonl')).toContainEqual(
      expect.objectContaining({ message: 'from pino', severity: 13, attributes: { a: 1 } }),
    );
  });

  it('that are disabled are not loaded', () => {
    run(`const http = require('http'); ${SERVE}`, { OTEL_NODE_DISABLED_INSTRUMENTATIONS: 'http, undici' });
    expect(lines('spans.jsonl')).toEqual([]);
  });
});

it('a record for the old api-logs global reaches the run', () => {
  run(`require(${path('@opentelemetry/api-logs')}).logs.getLogger('old').emit({ body: 'hello' });`);
  expect(lines('logs.jsonl')).toContainEqual(expect.objectContaining({ logger: 'old', message: 'hello' }));
});

it('an uncaught error is a FATAL exception event with its stack, before the run fails', () => {
  run("setTimeout(() => { Promise.reject(new RangeError('late')); }, 5);");
  expect(lines('logs.jsonl').find(line => line.event === 'exception')).toMatchObject({
    level: 'FATAL',
    attributes: {
      'exception.type': 'RangeError',
      'exception.message': 'late',
      'exception.stacktrace': expect.stringContaining('train.cjs'),
    },
  });
});

it('spans of a child process are children of the span that started it', () => {
  writeFileSync(
    join(project, 'child.cjs'),
    `require(${path('@opentelemetry/api')}).trace.getTracer('t').startSpan('child').end();`,
  );
  const ending = run(`
    const { fork, execFileSync } = require('node:child_process');
    require(${path('@opentelemetry/api')}).trace.getTracer('t').startActiveSpan('parent', span => {
      fork(__dirname + '/child.cjs').on('exit', () => span.end());
    });
  `);
  expect(ending).toMatchObject({ status: 0, stderr: '' });
  const spans = lines('spans.jsonl');
  const parent = spans.find(span => span.name === 'parent')!;
  expect(spans.find(span => span.name === 'child')).toMatchObject({
    trace_id: parent.trace_id,
    parent_span_id: parent.span_id,
  });
});

describe('a program runs as it would without', () => {
  it.each([
    ['process.exit() in its first line', 'process.exit(7)'],
    ['a throw', "throw new TypeError('x')"],
    ['a thrown text', "throw 'text'"],
    ['an unhandled rejection', 'Promise.reject(new Error("no"))'],
    ['a handled one', "process.on('unhandledRejection', e => console.log('had', e)); Promise.reject(1)"],
    [
      'its own handler of uncaught errors',
      "process.on('uncaughtException', e => { console.log('had', e.message); process.exitCode = 4; }); throw new Error('mine')",
    ],
    ['a signal to itself', "process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 5000)"],
    ['an exit hook', "process.on('exit', code => console.log('bye', code)); process.exitCode = 3"],
    [
      'identities',
      "console.log(require('http') === require('node:http'), fetch === globalThis.fetch, console.log.name, Object.keys(globalThis).includes('fetch'), typeof require('fs').readFileSync)",
    ],
    ['a syntax error', 'const = 1'],
    ['a module that is not there', "require('./nowhere.js')"],
    ['argv and execArgv', 'console.log(process.argv.length, process.env.NODE_OPTIONS)'],
    [
      'a broken pipe',
      "process.stdout.on('error', () => {}); console.log(1); console.dir({ a: 1 }); console.assert(false, 'no')",
    ],
    [
      'a subclassed console',
      "const { Console } = require('console'); new Console(process.stdout).log('own')",
    ],
  ])('%s', (_what, script) => {
    const file = join(project, 'train.cjs');
    writeFileSync(file, script);
    const bare = spawnSync(process.execPath, [file], {
      cwd: project,
      encoding: 'utf8',
      env: { PATH: process.env.PATH },
    });
    // Nothing is waited for at the end: what is compared is the program, not the run.
    const ours = run(script, { KYMO_EXIT_TIMEOUT_MS: '0', KYMO_QUIET: '1' }, '--require');
    const shown = ({ stdout, stderr, status, signal }: Ending) => ({
      stdout,
      // `require` is hooked, which shows in a stack, and a stack has ten lines.
      stderr: stderr.replace(/^ +at .*\n/gm, ''),
      status,
      signal,
    });
    expect(shown(ours)).toEqual(shown(bare));
  });

  it('with an OTEL_CONFIG_FILE that is broken; a line says that it is', () => {
    const ending = run("console.log('hello')", { OTEL_CONFIG_FILE: 'nowhere.yaml' });
    expect(ending).toMatchObject({ stdout: 'hello\n', status: 0 });
    expect(ending.stderr).toMatch(/nowhere\.yaml/);
  });

  it('and records nothing with OTEL_SDK_DISABLED=true', () => {
    expect(run("console.log('hello')", { OTEL_SDK_DISABLED: 'true' })).toMatchObject({
      stdout: 'hello\n',
      stderr: '',
      status: 0,
    });
    expect(existsSync(join(project, 'runs'))).toBe(false);
  });
});
