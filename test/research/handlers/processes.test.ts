// Handlers in processes of their own: what they print, how they end with the process, and how other processes rebuild them.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { OtlpSink } from '../../sdk/otlp-sink.ts';
import { type Ending, projectFolder, train } from '../../sdk/trainer.ts';

const KYMO = JSON.stringify(pathToFileURL('src/index.ts').href);
let sink: OtlpSink;
let project: ReturnType<typeof projectFolder>;

beforeAll(async () => {
  project = projectFolder();
  sink = new OtlpSink();
  await sink.start();
});
afterAll(async () => {
  await sink.stop();
  project.remove();
});

const run = (script: string, env: Record<string, string> = {}): Promise<Ending> =>
  train(project.path, script, { KYMO_ENDPOINT: sink.endpoint, ...env }).ended;

/** A module of a handler, registered under `counter`: it prints what it hears. */
function counterModule(name: string): string {
  const file = join(project.path, `${name}.mjs`);
  writeFileSync(
    file,
    `import * as kymo from ${KYMO};
     import { isMainThread } from 'node:worker_threads';
     const who = process.env.WHO ?? 'parent';
     kymo.registerHandler('counter', options => ({
       name: 'counter',
       scopes: ['eval'],
       handle(event) {
         if (event.kind === 'log')
           console.log(JSON.stringify([isMainThread ? who : 'thread', options?.mark ?? null, event.scope, event.message]));
       },
     }), { module: import.meta.url });
     console.log(JSON.stringify(['loaded', isMainThread ? who : 'thread']));`,
  );
  return file;
}
const said = (ending: Ending): unknown[] =>
  ending.stdout
    .trim()
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as unknown);

describe('a handler that was attached by name', () => {
  it('is rebuilt in a process that joins the run, with its options and scopes, although that knows nothing of it', async () => {
    const module = counterModule('joins');
    const child = join(project.path, 'child.mjs');
    writeFileSync(
      child,
      `import * as kymo from ${KYMO};
       kymo.getLogger('t', { scope: 'eval.deep' }).info('from the child');
       kymo.getLogger('t', { scope: 'other' }).info('unheard');
       await kymo.finish();`,
    );
    const ending = await run(`
      await import(${JSON.stringify(pathToFileURL(module).href)});
      const { execFileSync } = await import('node:child_process');
      const { Worker } = await import('node:worker_threads');
      const { once } = await import('node:events');
      const run = kymo.init({ project: 'p', id: 'joined' });
      kymo.attach('counter', { options: { mark: 7 } });
      kymo.getLogger('t', { scope: 'eval' }).info('from the parent');
      process.stdout.write(execFileSync(process.execPath, [${JSON.stringify(child)}], { env: { ...process.env, WHO: 'child' } }));
      await once(new Worker(${JSON.stringify(child)}), 'exit');
      kymo.detach('counter');
      process.stdout.write(execFileSync(process.execPath, [${JSON.stringify(child)}], { env: { ...process.env, WHO: 'late' } }));
      await run.finish();
    `);
    expect(ending).toMatchObject({ code: 0, stderr: '' });
    expect(said(ending)).toEqual([
      ['loaded', 'parent'],
      ['parent', 7, 'eval', 'from the parent'],
      ['loaded', 'child'],
      ['child', 7, 'eval.deep', 'from the child'],
      ['loaded', 'thread'],
      ['thread', 7, 'eval.deep', 'from the child'],
    ]);
  }, 30_000);

  it('comes from KYMO_HANDLERS alone too, at its own scopes', async () => {
    const module = counterModule('alone');
    const ending = await run(
      `kymo.init({ project: 'p' }); kymo.getLogger('t', { scope: 'eval' }).info('heard'); await kymo.finish();`,
      { KYMO_HANDLERS: module },
    );
    expect(ending).toMatchObject({ code: 0, stderr: '' });
    expect(said(ending)).toEqual([
      ['loaded', 'parent'],
      ['parent', null, 'eval', 'heard'],
    ]);
  });

  it('is not made by running the program itself again in a child', async () => {
    const child = join(project.path, 'plain-child.mjs');
    writeFileSync(
      child,
      `import * as kymo from ${KYMO}; kymo.log({ a: 1 }); await kymo.finish(); console.log('"child"');`,
    );
    const ending = await run(`
      const { execFileSync } = await import('node:child_process');
      console.log('"program"');
      kymo.registerHandler('own', () => ({ name: 'own', handle() {} }), { module: import.meta.url });
      kymo.attach('own');
      kymo.init({ project: 'p' });
      process.stdout.write(execFileSync(process.execPath, [${JSON.stringify(child)}]));
      await kymo.finish();
    `);
    expect(ending).toMatchObject({ code: 0, stderr: '' });
    expect(said(ending)).toEqual(['program', 'child']);
  });

  it.each([
    ['./missing.mjs', /KYMO_HANDLERS: file:.*missing\.mjs cannot be loaded: Cannot find module/],
    [
      'https://example.com/x.js',
      /KYMO_HANDLERS: "https:\/\/example\.com\/x\.js" names no module or handler; left out/,
    ],
    ['[{"name": "x"', /KYMO_HANDLERS is neither a list of module paths nor JSON; left out/],
    ['[7]', /KYMO_HANDLERS: "7" names no module or handler; left out/],
    ['[{"name": "unknown"}]', /^$/],
  ])('KYMO_HANDLERS=%s does not keep the training from running', async (value, message) => {
    const ending = await run(`kymo.init({ project: 'p' }).log({ a: 1 }); await kymo.finish();`, {
      KYMO_HANDLERS: value,
    });
    expect(ending.code).toBe(0);
    expect(ending.stderr).toMatch(message);
  });
});

describe('a handler that fails', () => {
  it('is told once with its stack, and at the end how often', async () => {
    const ending = await run(`
      kymo.attach({ name: 'broken', handle() { throw new Error('no good'); } });
      kymo.attach({ name: 'late', handle: async event => { if (event.kind === 'row') throw new Error('later'); } });
      kymo.attach({ name: 'closed', open() { throw new Error('cannot open'); }, handle() {} });
      const run = kymo.init({ project: 'p', strict: true });
      for (let step = 0; step < 10; step++) run.log({ loss: step });
      await run.finish();
      console.log(JSON.stringify('went on'));
    `);
    expect(said(ending)).toEqual(['went on']);
    expect(ending.stderr.match(/Error: no good/g)).toHaveLength(1);
    expect(ending.stderr.match(/Error: later/g)).toHaveLength(1);
    expect(ending.stderr).toContain('handler "closed" failed');
    expect(ending.stderr).toContain('handler "broken" failed 12 times in all');
  });

  it('to end is left after KYMO_EXIT_TIMEOUT_MS, by name', async () => {
    const ending = await run(
      `kymo.attach({ name: 'hung', handle: () => new Promise(() => {}) });
       const run = kymo.init({ project: 'p' });
       await run.finish();
       console.log(JSON.stringify('went on'));`,
      { KYMO_EXIT_TIMEOUT_MS: '200' },
    );
    expect(said(ending)).toEqual(['went on']);
    expect(ending.stderr).toContain('not waiting any longer for "hung": no end after 200 ms');
  });
});

describe('the end of the process', () => {
  it.each([
    ['by itself', '', 'finished'],
    ['by exit', 'process.exit(0);', 'finished'],
    [
      'by an error',
      'setTimeout(() => { throw new Error("boom"); }); await new Promise(() => setTimeout(() => {}, 1e3));',
      'failed',
    ],
    [
      'by a signal',
      'process.kill(process.pid, "SIGTERM"); await new Promise(r => setTimeout(r, 1e4));',
      'killed',
    ],
  ])('%s: a handler hears the run’s end, then is closed', async (_, ending, state) => {
    const { stdout } = await run(`
      const { writeSync } = await import('node:fs');
      kymo.attach({
        name: 'x',
        handle: event => { if (event.kind === 'run') writeSync(1, JSON.stringify(event.state) + '\\n'); },
        close: () => { writeSync(1, '"closed"\\n'); },
      });
      kymo.init({ project: 'p' });
      ${ending}
    `);
    expect(stdout.trim().split('\n')).toEqual(['"running"', JSON.stringify(state), '"closed"']);
  });
});

describe('the console', () => {
  const script = `
    kymo.getLogger('t').info('before any of it');
    kymo.configure();
    kymo.configure({ console: true, level: 'warn' });
    kymo.configure({ console: true, level: 'info' });
    const log = kymo.getLogger('trainer');
    log.debug('below'); log.info('hello'); log.critical('a\\u001b[31m\\nb');
    kymo.getLogger('other', { scope: 'eval' }).info('another scope');
    kymo.setupLogging({ level: 'debug' });
    kymo.setupLogging({ level: 'debug' });
    kymo.getLogger('other', { scope: 'eval' }).debug('compact');
    kymo.configure({ console: false });
    log.error('silent again');
    await kymo.finish();
  `;
  const TIME = '\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d';

  it('is silent at first, then replaced by each call; escapes what it prints; no colours without a terminal', async () => {
    const { stderr } = await run(script, { KYMO_QUIET: '1' });
    const lines = stderr.trimEnd().split('\n');
    expect(lines).toEqual([
      expect.stringMatching(new RegExp(`^${TIME} - INFO - train-\\w+\\.ts:\\d+ - hello$`)),
      expect.stringMatching(
        new RegExp(`^${TIME} - CRITICAL - train-\\w+\\.ts:\\d+ - a\\\\u\\{1b\\}\\[31m\\\\nb$`),
      ),
      expect.stringMatching(new RegExp(`^D ${TIME}\\.\\d{3} \\[other\\] compact$`)),
    ]);
  });

  it('has colours with FORCE_COLOR, and none with NO_COLOR', async () => {
    const forced = (await run(script, { FORCE_COLOR: '1' })).stderr;
    expect(forced).toMatch(/ - INFO - \u001b\[34mtrain-\w+\.ts:\d+ - hello\u001b\[0m\n/);
    expect(forced).toMatch(/ - CRITICAL - \u001b\[91m/);
    expect((await run(script, { NO_COLOR: '1' })).stderr).not.toContain('\u001b');
  });
});

it('a logger made in a class body starts nothing, and works at its first use', async () => {
  const ending = await run(`
    class Trainer { static log = kymo.getLogger('trainer'); train() { Trainer.log.info('hello'); } }
    console.log(JSON.stringify(process.getActiveResourcesInfo().filter(name => /Message|Worker/.test(name))));
    new Trainer().train();
    await kymo.finish();
  `);
  expect(ending.code).toBe(0);
  expect(said(ending)).toEqual([[]]);
});
