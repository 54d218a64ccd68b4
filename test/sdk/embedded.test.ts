// With nothing configured: the bundled collector comes, stays while it is needed, survives being killed, and goes.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { startLocalServer } from '../../src/collector/local-server.ts';
import { newToken, publishToken } from '../../src/collector/token.ts';
import { collectorKey, FORMAT_VERSION, localAddress, paths } from '../../src/semconv/local.ts';
import { MemoryIngest, recordingLogger } from '../collector/receivers/otlp/harness.ts';
import { projectFolder, train } from './trainer.ts';

jest.setTimeout(30_000);

let project: ReturnType<typeof projectFolder>;

beforeEach(() => {
  project = projectFolder();
});
afterEach(async () => {
  await until(async () => !(await collectorAnswers()), 'the collector has ended');
  project.remove();
});

function collectorAnswers(): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ path: localAddress(collectorKey(paths(project.path).journal)) });
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise(resolve => setTimeout(resolve, 25));
  }
}

function runs(): string[] {
  const folder = join(project.path, 'runs');
  return existsSync(folder) ? readdirSync(folder) : [];
}

function rows(run: string): { step: number; loss: number; rank?: number }[] {
  const text = readFileSync(join(project.path, 'runs', run, 'logs/metrics.jsonl'), 'utf8');
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as { step: number; loss: number });
}

function state(run: string): string {
  return (JSON.parse(readFileSync(join(project.path, 'runs', run, 'run.json'), 'utf8')) as { state: string })
    .state;
}

const LOOP = 'for (let step = 0; step < 5000; step++) run.log({ loss: step / 2 }, { step });';

describe('a collector of another version that runs for the folder', () => {
  /** As a collector of that format answers; it ends when it is asked to. */
  async function other(format: number): Promise<{ readonly stopped: () => number; close(): Promise<void> }> {
    const { journal, token } = paths(project.path);
    const secret = newToken();
    let stopped = 0;
    const result = await startLocalServer({
      address: localAddress(collectorKey(journal)),
      token: secret,
      ingest: new MemoryIngest(),
      logger: recordingLogger(),
      control: {
        attached: () => ({
          version: '99.0.0',
          format,
          journal: 'j',
          pid: process.pid,
          directory: project.path,
        }),
        detached: () => undefined,
        progress: async () => ({ reached: true, exporters: [] }),
        status: () => ({}),
        stop: () => {
          stopped++;
          void close();
        },
      },
    });
    if (result.kind === 'taken') throw new Error('the endpoint is taken');
    const close = (): Promise<void> => result.server.close(500);
    publishToken(token, secret);
    return { stopped: () => stopped, close };
  }

  it('that is older is asked to go, and its own takes its place', async () => {
    const older = await other(FORMAT_VERSION - 1);
    const ending = await train(project.path, `const run = kymo.init({ id: 'r' }); ${LOOP}`).ended;
    expect(ending).toMatchObject({ code: 0, stderr: '' });
    expect(older.stopped()).toBeGreaterThan(0);
    expect(rows('r')).toHaveLength(5000);
  });

  it('that is newer is left alone, told, and everything is kept', async () => {
    const newer = await other(FORMAT_VERSION + 1);
    const ending = await train(project.path, `const run = kymo.init({ id: 'r' }); ${LOOP}`).ended;
    expect(ending.code).toBe(0);
    expect(ending.stderr).toMatch(
      /5002 items are not delivered yet \(the collector of a newer Kymo \(99\.0\.0\) runs for this folder\); 5002 of them are kept/,
    );
    expect(newer.stopped()).toBe(0);
    await newer.close();
  });
});

describe('the bundled collector', () => {
  it('is started, writes the files before finish() resolves, and ends by itself', async () => {
    const ending = await train(
      project.path,
      `const run = kymo.init({ project: 'p', id: 'r' }); ${LOOP}
       const report = await run.finish(); console.log(JSON.stringify(report));`,
      { KYMO_COLLECTOR_LINGER_MS: '100' },
    ).ended;
    expect(ending.stderr).toBe('');
    const report = JSON.parse(ending.stdout) as { emitted: number; delivered: number; written: boolean };
    expect(report).toMatchObject({ pending: 0, dropped: {}, written: true });
    expect(rows('r').map(row => row.step)).toEqual(Array.from({ length: 5000 }, (_, step) => step));
    expect(state('r')).toBe('finished');
    expect(readdirSync(join(project.path, 'runs/r')).some(name => name.includes('tfevents'))).toBe(true);
  });

  it('has ended before a process ends that would take it along', async () => {
    await train(project.path, `const run = kymo.init({ project: 'p', id: 'r' }); ${LOOP}`, {
      SLURM_STEP_ID: '0',
    }).ended;
    expect(await collectorAnswers()).toBe(false);
    expect(rows('r').length).toBe(5000);
  });

  it('that is killed in the middle comes back, and every row is there once', async () => {
    const trainer = train(
      project.path,
      `const run = kymo.init({ project: 'p', id: 'r' });
       for (let step = 0; step < 3000; step++) {
         run.log({ loss: step / 2 }, { step });
         if (step === 1000) console.log('a thousand');
         if (step % 10 === 0) await new Promise(resolve => setTimeout(resolve, 2));
       }`,
      { KYMO_COLLECTOR_LINGER_MS: '100' },
    );
    await trainer.said('a thousand');
    const log = (): string => readFileSync(paths(project.path).log, 'utf8');
    await until(
      () => existsSync(paths(project.path).log) && log().includes('collector started'),
      'it has started',
    );
    const pid = Number(/"pid":(\d+)/.exec(log())![1]);
    process.kill(pid, 'SIGKILL');
    expect((await trainer.ended).code).toBe(0);
    await until(async () => !(await collectorAnswers()), 'the second collector has ended');
    expect(rows('r').map(row => row.step)).toEqual(Array.from({ length: 3000 }, (_, step) => step));
  });

  it('marks a killed process crashed, and has what it recorded up to its last moments', async () => {
    const trainer = train(
      project.path,
      `const run = kymo.init({ project: 'p', id: 'r' }); let step = 0;
       setInterval(() => { run.log({ loss: step / 2 }, { step: step++ }); if (step === 100) console.log('a hundred'); }, 5);`,
      { KYMO_COLLECTOR_LINGER_MS: '100' },
    );
    await trainer.said('a hundred');
    trainer.child.kill('SIGKILL');
    await trainer.ended;
    await until(
      () => existsSync(join(project.path, 'runs/r/run.json')) && state('r') === 'crashed',
      'it is marked',
    );
    const steps = rows('r').map(row => row.step);
    expect(steps).toEqual(Array.from({ length: steps.length }, (_, step) => step));
    // 100 rows at 5 ms each were recorded; at most the last 200 ms (40 rows) may be missing.
    expect(steps.length).toBeGreaterThanOrEqual(60);
  });

  it('takes processes that a run starts into that run, by the environment alone', async () => {
    await train(
      project.path,
      `import { fork } from 'node:child_process';
       if (process.argv[2] === 'child') {
         for (let step = 0; step < 50; step++) kymo.log({ 'child/loss': step }, { step });
       } else {
         const run = kymo.init({ project: 'p', id: 'family' });
         run.log({ loss: 1 }, { step: 0 });
         const children = [1, 2, 3].map(() => fork(process.argv[1]!, ['child']));
         await Promise.all(children.map(child => new Promise(resolve => child.on('exit', resolve))));
       }`,
      { KYMO_COLLECTOR_LINGER_MS: '100' },
    ).ended;
    expect(runs()).toEqual(['family']);
    expect(rows('family').filter(row => 'child/loss' in row).length).toBe(150);
    expect(rows('family').filter(row => 'loss' in row).length).toBe(1);
  });
});
