// init({resume}): what goes on, from where, and every way in which the run on the disk may not be as it must be.
import { spawn } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { InitOptions } from '../../../src/research/identity.ts';
import { init } from '../../../src/research/init.ts';
import type { Run } from '../../../src/research/run.ts';
import { RunError } from '../../../src/research/runs/run-error.ts';
import { machineId } from '../../../src/semconv/local.ts';
import { testRuntime } from '../recording.ts';

let around: ReturnType<typeof testRuntime>;
beforeEach(() => {
  around = testRuntime();
});
afterEach(() => around.remove());

const start = (options: InitOptions = {}): Run => init({ project: 'p', id: 'r', ...options });
const folder = (id = 'r'): string => join(around.runtime.projectDirectory, 'runs', id);
/** A run's folder as the collector leaves it. */
function written(id: string, runJson: object | string, config?: object | string): void {
  mkdirSync(join(folder(id), 'logs'), { recursive: true });
  const text = (value: object | string): string =>
    typeof value === 'string' ? value : JSON.stringify(value);
  writeFileSync(
    join(folder(id), 'run.json'),
    text(
      typeof runJson === 'string'
        ? runJson
        : {
            format: 1,
            id,
            project: 'p',
            name: id,
            state: 'failed',
            created: '2026-01-01T00:00:00.000Z',
            updated: '2026-01-01T01:00:00.000Z',
            steps: { first: 0, last: 41 },
            ...runJson,
          },
    ),
  );
  if (config !== undefined) writeFileSync(join(folder(id), 'config.json'), text(config));
}
/** The project folder's files. */
function tree(): Record<string, string> {
  const root = around.runtime.projectDirectory;
  const files: Record<string, string> = {};
  for (const name of readdirSync(root, { recursive: true }) as string[])
    if (lstatSync(join(root, name)).isFile()) files[name] = readFileSync(join(root, name), 'utf8');
  return files;
}
/** Refused with this code and message, naming its way out; nothing is written, and no run begins. */
function refused(options: InitOptions, code: string, message: RegExp): void {
  const before = tree();
  let thrown: unknown;
  try {
    start(options);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(RunError);
  expect((thrown as RunError).message).toMatch(message);
  expect(thrown).toMatchObject({ code });
  expect(tree()).toEqual(before);
  expect(around.runtime.runs).toHaveLength(0);
}

describe('a resumed run', () => {
  it('goes on from its checkpoint: id, attempt, steps of every scope, wall time, and rows from there on are superseded', async () => {
    const first = start();
    for (let step = 0; step <= 100; step++) first.log({ loss: step }, { step });
    first.scalar('other', 1, { step: 7 });
    first.log({ loss: 0 }, { step: 100 });
    await first.saveCheckpoint({ state: 'at 100', step: 100 });
    first.log({ loss: 0 }, { step: 130 });
    const before = first.wallTime;
    await first.finish();

    const second = start({ resume: 'must' });
    expect(second.attempt).toBe(2);
    expect(second.resourceAttributes).toMatchObject({
      'kymo.run.attempt': 2,
      'kymo.run.resumed': true,
      'kymo.run.resume_step': 101,
    });
    expect(second.wallTime).toBeGreaterThan(0);
    expect(second.wallTime).toBeLessThan(before + 60);
    expect(second.loadCheckpoint()).toMatchObject({ state: 'at 100', attempt: 1 });
    second.log({ loss: 5 });
    expect(around.recorder.rows.at(-1)).toMatchObject({ step: 101, values: { loss: 5 } });
    await second.finish();
  });

  it('goes on from the last step where there is no checkpoint, and supersedes nothing', async () => {
    written('r', {
      instances: [{ attempt: 1, started: '2026-01-01T00:00:00.000Z', last_seen: '2026-01-01T00:01:40.000Z' }],
    });
    const run = start({ resume: 'must' });
    expect(run.resourceAttributes).not.toHaveProperty('kymo.run.resume_step');
    expect(run.wallTime).toBeGreaterThanOrEqual(100);
    run.log({ loss: 1 });
    expect(around.recorder.rows.at(-1)).toMatchObject({ step: 42 });
    await run.finish();
  });

  it('writes a step again that no row had when the checkpoint was made', async () => {
    const first = start();
    first.log({ loss: 1 }, { step: 9 });
    await first.saveCheckpoint({ state: 1, step: 10 });
    await first.finish();
    expect(start({ resume: 'allow' }).resourceAttributes).toMatchObject({ 'kymo.run.resume_step': 10 });
  });

  it('does not go back once it has rows: loading the best to look at it changes no step', async () => {
    const run = start();
    await run.saveCheckpoint({ state: 1, step: 3, isBest: true });
    for (let step = 0; step < 9; step++) run.log({ loss: 1 });
    run.loadCheckpoint({ best: true });
    run.log({ loss: 2 });
    expect(around.recorder.rows.at(-1)).toMatchObject({ step: 9 });
    await run.finish();
  });

  it('goes back to the checkpoint it is told, and what later ones had is undone', async () => {
    const first = start();
    for (const step of [10, 20, 30]) {
      first.log({ loss: 1 }, { step });
      await first.saveCheckpoint({ state: step, step });
    }
    await first.finish();
    const second = start({ resume: { mode: 'must', checkpoint: 10 } });
    expect(second.resourceAttributes).toMatchObject({ 'kymo.run.resume_step': 11 });
    expect(second.loadCheckpoint()).toMatchObject({ step: 10 });
    await second.finish();
    expect(() => start({ resume: { mode: 'must', checkpoint: 15 } })).toThrow(/step_15.*there is none/);
    const third = start({ resume: { mode: 'must', step: 25 } });
    expect(third.resourceAttributes).toMatchObject({ 'kymo.run.resume_step': 25 });
    expect(third.loadCheckpoint()).toMatchObject({ step: 20 });
    await third.finish();
  });

  it('takes a new configuration when it is told to', async () => {
    written('r', {}, { lr: 0.1 });
    const run = start({ config: { lr: 0.2 }, resume: { mode: 'must', configChanges: 'take' } });
    expect(run.config.lr).toBe(0.2);
    await run.finish();
  });
});

describe('resume: allow', () => {
  it('starts what is not there and continues what is', async () => {
    const first = start({ resume: 'allow' });
    expect(first.attempt).toBe(1);
    expect(first.resourceAttributes).not.toHaveProperty('kymo.run.resumed');
    await first.finish();
    written('r', {});
    const second = start({ resume: 'allow' });
    expect(second.attempt).toBe(2);
    await second.finish();
  });
});

describe('resume: never', () => {
  it('starts what is not there, and refuses what is', async () => {
    await start({ resume: 'never' }).finish();
    written('r', {});
    refused(
      { resume: 'never' },
      'run_exists',
      /there is a run "r" already .*choose another id, or continue it with resume: 'must'/,
    );
  });
});

describe('resume: auto', () => {
  const auto = (): Run => init({ project: 'p', resume: 'auto' });

  it('continues the newest run of the project that has not finished', async () => {
    written('old', { created: '2026-01-01T00:00:00.000Z' });
    written('new', { created: '2026-02-01T00:00:00.000Z', state: 'running' });
    written('other', { created: '2026-03-01T00:00:00.000Z', project: 'q' });
    const run = auto();
    expect([run.id, run.attempt]).toEqual(['new', 2]);
    await run.finish();
  });

  it('starts a new run when the newest has finished, or when there is none', async () => {
    const run = auto();
    expect(run.id).toMatch(/^p_\d{8}_\d{6}_\w{4}$/);
    await run.finish();
    written('old', { created: '2026-01-01T00:00:00.000Z' });
    written('new', { created: '2026-02-01T00:00:00.000Z', state: 'finished' });
    const next = auto();
    expect(['old', 'new']).not.toContain(next.id);
    expect(next.attempt).toBe(1);
    await next.finish();
  });

  it('passes over what others write and what cannot be read', async () => {
    written('crashed', { created: '2026-01-01T00:00:00.000Z', state: 'running' });
    written('broken', '{"format": 1, "id"');
    const open = start({ id: 'open' });
    written('open', { created: '2026-03-01T00:00:00.000Z', state: 'running' });
    const run = auto();
    expect(run.id).toBe('crashed');
    await run.finish();
    await open.finish();
  });
});

describe('the newest checkpoint of previous runs', () => {
  it('is found for a new run, with its steps and its buffer, whatever became of that run', async () => {
    for (const id of ['p_20260101_000000_aaaa', 'p_20260102_000000_aaaa']) {
      const run = start({ id });
      run.log({ loss: 1 }, { step: 50 });
      await run.saveCheckpoint({ state: id, step: 50, buffer: `${id} buffer` });
      await run.finish();
    }
    mkdirSync(folder('p_20260103_000000_aaaa'));
    const run = start({ id: 'fresh' });
    expect(run.loadCheckpoint()).toBeUndefined();
    expect(run.loadCheckpoint({ previousRuns: true })).toMatchObject({
      state: 'p_20260102_000000_aaaa',
      run: 'p_20260102_000000_aaaa',
      step: 50,
      buffer: 'p_20260102_000000_aaaa buffer',
    });
    run.log({ loss: 2 });
    expect(around.recorder.rows.at(-1)).toMatchObject({ step: 51 });
    await run.finish();
  });
});

describe('resume is refused', () => {
  it('where there is no such run', () => {
    refused(
      { resume: 'must' },
      'no_such_run',
      /there is no run "r" to resume: .*runs\/r is not there; resume: 'allow' starts it/,
    );
    written('cartpole_1', {});
    refused({ id: 'cartpole_2', resume: 'must' }, 'no_such_run', /did you mean "cartpole_1"\?/);
  });

  it('where no id says which', () => {
    expect(() => init({ project: 'p', resume: 'must' })).toThrow(/needs the run's id/);
    expect(() => init({ project: 'p', resume: 'allow' })).toThrow(TypeError);
  });

  it('with another configuration, saying what changed', () => {
    written(
      'r',
      {},
      {
        lr: 0.1,
        model: { layers: [64, 64], dropout: 0.1 },
        apiKey: 'sk-1',
        seed: 3,
        later: 'set by the run',
      },
    );
    const config = { lr: 0.2, model: { layers: [64, 32] }, apiKey: 'sk-2', seed: 3, fresh: true };
    refused(
      { resume: 'must', config },
      'config_changed',
      /the run "r" was started with another configuration:\n {2}lr: 0\.1 -> 0\.2\n {2}model\.layers: \[64,64\] -> \[64,32\]\n {2}apiKey: \[redacted\] -> \[redacted\]\n {2}fresh: new, true\n.*configChanges: 'take'/,
    );
    refused({ resume: 'allow', config }, 'config_changed', /lr/);
  });

  it('from a half-written run.json or config.json, saying where it stops', () => {
    written('r', '{"format": 1,\n "id": "r", "sta');
    for (const resume of ['must', 'allow', 'never'] as const)
      refused(
        { resume },
        'broken_file',
        /runs\/r\/run\.json:2:\d+: is no JSON, it may be half-written; put a whole one in its place/,
      );
    written('r', {}, '{"lr": ');
    refused({ resume: 'must', config: { lr: 1 } }, 'broken_file', /config\.json:1:8: is no JSON/);
  });

  it.each([
    ['a folder', (file: string) => mkdirSync(file), /run\.json is a folder; move it away/],
    ['a link to itself', (file: string) => symlinkSync(file, file), /run\.json is a symbolic link/],
  ])('from a run.json that is %s', (_what, make, message) => {
    mkdirSync(folder(), { recursive: true });
    make(join(folder(), 'run.json'));
    for (const resume of ['must', 'allow', 'never'] as const) refused({ resume }, 'broken_file', message);
  });

  it('from a run.json of a newer format', () => {
    written('r', { format: 9 });
    refused(
      { resume: 'allow' },
      'newer_format',
      /run\.json has format 9, and this version of kymo reads up to 1/,
    );
  });

  it('from a folder that is somebody else’s', () => {
    mkdirSync(folder(), { recursive: true });
    writeFileSync(join(folder(), 'thesis.tex'), 'mine');
    for (const resume of ['must', 'allow', 'never'] as const)
      refused(
        { resume },
        'foreign_folder',
        /runs\/r holds no run\.json, and nothing that kymo has written; move it away/,
      );
    rmSync(folder(), { recursive: true });
    written('r', { id: 'another' });
    refused({ resume: 'must' }, 'foreign_folder', /holds the run "another", not "r"/);
    written('r', '{"name": "my-package"}');
    refused({ resume: 'must' }, 'foreign_folder', /is no run\.json of kymo/);
    rmSync(folder(), { recursive: true });
    writeFileSync(folder(), 'a file');
    refused({ resume: 'allow' }, 'foreign_folder', /is no folder/);
    rmSync(folder());
    symlinkSync('/nowhere', folder());
    refused({ resume: 'allow' }, 'foreign_folder', /is a symbolic link/);
  });

  it('while this process still writes the run', async () => {
    const open = start();
    expect(() => start({ resume: 'must' })).toThrow(
      /the run "r" is still being written by this process itself: finish\(\) it first; end that one first/,
    );
    await open.finish();
  });

  it('while another process still writes the run, and no longer when it has gone, also by SIGKILL', async () => {
    written('r', { state: 'running', updated: new Date().toISOString() });
    const child = spawn(process.execPath, ['-e', 'console.log("up"); setInterval(() => {}, 1000)']);
    await new Promise(resolve => child.stdout.once('data', resolve));
    const notes = join(around.runtime.projectDirectory, '.kymo/running/r');
    mkdirSync(notes, { recursive: true });
    const began = existsSync('/proc/self/stat')
      ? readFileSync(`/proc/${child.pid}/stat`, 'latin1').split(' ')[21]
      : '';
    const note = (mark: object): string =>
      JSON.stringify({ mark, machine: machineId(), rank: 0, attempt: 1 });
    const booted = Math.round(Date.now() / 1_000 - (await import('node:os')).uptime());
    writeFileSync(join(notes, 'one.json'), note({ pid: child.pid, began, booted }));
    refused(
      { resume: 'must' },
      'still_written',
      new RegExp(`by process ${child.pid} on .*; end that one first, or join it with init`),
    );
    // Another rank's process is no reason; nor is a colleague of the same attempt.
    await start({ resume: 'must', rank: 1 }).finish();
    await start({ resume: { mode: 'must', attempt: 1 } }).finish();
    const gone = new Promise(resolve => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    // Its number may belong to somebody else by now.
    writeFileSync(join(notes, 'two.json'), note({ pid: process.pid, began: '1', booted }));
    writeFileSync(join(notes, 'half.json'), '{"mark"');
    const run = start({ resume: 'must' });
    expect(run.id).toBe('r');
    await run.finish();
  });

  it('while somebody without a note has just written', () => {
    written('r', { state: 'running', updated: new Date().toISOString() });
    refused({ resume: 'must' }, 'still_written', /by somebody who wrote \d+ s ago/);
  });

  it.each([
    ['yes', /must be true, false, or one of must, allow, auto, never/],
    ['musst', /did you mean "must"\?/],
    [{ mode: 'maybe' }, /resume: \{mode\}/],
    [{ checkpoint: 5 }, /needs a mode too/],
    [{ mode: 'must', checkpoint: -1 }, /resume: \{checkpoint\}/],
    [{ mode: 'must', checkpoint: 1, step: 1 }, /takes one of/],
    [{ mode: 'must', configChanges: 'ignore' }, /"refuse" or "take"/],
    [{ mod: 'must' }, /has no option "mod" \(did you mean mode\?\)/],
  ])('when it is asked for as %j', (resume, message) => {
    expect(() => start({ resume: resume as never })).toThrow(message);
  });
});
