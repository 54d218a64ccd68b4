// Who a run is, how it begins and ends, what its children inherit.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { runFolder } from '../../src/collector/runs/folder.ts';
import type { RunId } from '../../src/collector/runs/run.ts';
import * as kymo from '../../src/index.ts';
import { inheritedRun } from '../../src/research/environment.ts';
import { escapeRunId } from '../../src/semconv/run-folder.ts';
import { type KeepingRecorder, type TestRuntime, testRuntime } from './recording.ts';

let recorder: KeepingRecorder;
let runtime: TestRuntime;
let remove: () => void;
const runs: kymo.Run[] = [];
const before = { ...process.env };

const init = (options?: kymo.InitOptions): kymo.Run => {
  const run = kymo.init(options);
  runs.push(run);
  return run;
};

beforeEach(() => {
  ({ recorder, runtime, remove } = testRuntime());
});
afterEach(() => {
  for (const run of runs.splice(0).reverse()) run[Symbol.dispose]();
  remove();
  for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
  Object.assign(process.env, before);
});

const events = (name: string) => recorder.logs().filter(record => record.eventName === name);

describe('init', () => {
  it('makes an id of project, time and chance that is its own folder name', () => {
    const run = init({ project: 'Cart Pole/2' });
    expect(run.id).toMatch(/^cart-pole-2_\d{8}_\d{6}_[0-9a-z]{4}$/);
    expect(run.name).toBe(run.id);
    expect(run.dir).toBe(join(runtime.projectDirectory, 'runs', run.id));
    expect(init({ project: 'Cart Pole/2' }).id).not.toBe(run.id);
  });

  it('puts what it was told into the resource of everything it records', () => {
    const run = init({
      project: 'p',
      id: 'r1',
      name: 'first',
      group: 'g',
      jobType: 'train',
      tags: ['a', 'b,c'],
      rank: 3,
      resume: { step: 80, attempt: 4 },
    });
    run.log({ a: 1 });
    expect(recorder.rows[0]!.scope).toMatchObject({
      name: 'kymo',
      version: '9.9.9',
      resource: {
        'service.name': 'p',
        'service.instance.id': 'instance-1',
        'telemetry.distro.name': 'kymo',
        'kymo.run.id': 'r1',
        'kymo.run.name': 'first',
        'kymo.run.group': 'g',
        'kymo.run.job_type': 'train',
        'kymo.run.tags': ['a', 'b,c'],
        'kymo.run.attempt': 4,
        'kymo.run.resumed': true,
        'kymo.run.resume_step': 80,
        'kymo.rank': 3,
      },
    });
  });

  it.each([
    [{ project: 5 }, /init\(\{project\}\) must be a string with something in it, not number 5/],
    [{ id: '' }, /init\(\{id\}\)/],
    [{ id: 'x'.repeat(10_000) }, /at most 1000 characters, not 10000/],
    [{ tags: 'a' }, /init\(\{tags\}\) must be an array of strings, not string "a"/],
    [{ tags: ['a', 1] }, /init\(\{tags\}\)\[1\]/],
    [{ config: [] }, /init\(\{config\}\) must be an object, not array of 0/],
    [{ rank: -1 }, /init\(\{rank\}\)/],
    [{ mode: 'disable' }, /did you mean "disabled"/],
    [{ endpoint: 'localhost:4318' }, /init\(\{endpoint\}\) must be an http/],
    [{ resume: 'yes' }, /init\(\{resume\}\)/],
    [{ resume: { step: -1 } }, /resume: \{step\}/],
    [{ projct: 'x' }, /no option "projct" \(did you mean project\?\)/],
    [{ jobtype: 'x' }, /did you mean jobType/],
    [{ whatever: 1 }, /known are project, name/],
    [null, /init\(options\).*not null/],
  ])('refuses %j', (options, message) => {
    expect(() => init(options as never)).toThrow(TypeError);
    expect(() => init(options as never)).toThrow(message);
    expect(runtime.runs).toHaveLength(0);
  });

  it.each([
    '../../etc',
    '__proto__',
    'a\u0000b',
    'Run',
    'run',
    'con',
    '.',
    '..',
    'ünï',
    '~',
    'x'.repeat(900),
    'a/b',
    'a\\b',
  ])('keeps the id %j as it is, in a folder below runs that the collector writes too', id => {
    const run = init({ id });
    expect(run.id).toBe(id);
    const runsFolder = join(runtime.projectDirectory, 'runs');
    expect(join(run.dir, '..')).toBe(runsFolder);
    for (const caseSensitive of [true, false])
      expect(escapeRunId(id, caseSensitive)).toBe(runFolder(id as RunId, { caseSensitive }));
  });

  it('does not create anything', () => {
    expect(existsSync(init().dir)).toBe(false);
  });
});

describe('environment', () => {
  it('of a launcher gives rank and world size', () => {
    Object.assign(process.env, { SLURM_PROCID: '5', SLURM_NTASKS: '8', SLURM_LOCALID: '1' });
    expect(init().resourceAttributes).toMatchObject({
      'kymo.rank': 5,
      'kymo.world_size': 8,
      'kymo.local_rank': 1,
    });
  });

  it('of a parent makes this process join its run', () => {
    Object.assign(process.env, {
      KYMO_RUN_ID: 'parents',
      KYMO_PROJECT: 'p',
      KYMO_RUN_NAME: 'n',
      KYMO_RUN_GROUP: 'g',
      KYMO_TAGS: '["a,b"]',
    });
    const run = init();
    expect(run).toMatchObject({ id: 'parents', project: 'p', name: 'n' });
    expect(run.resourceAttributes).toMatchObject({ 'kymo.run.group': 'g', 'kymo.run.tags': ['a,b'] });
    expect(init({ id: 'own' })).toMatchObject({ id: 'own', name: 'own', project: 'p' });
  });

  it('tells children the run, until it ends', () => {
    const outer = init({ project: 'p', id: 'outer', tags: ['x'] });
    expect(process.env).toMatchObject({ KYMO_RUN_ID: 'outer', KYMO_PROJECT: 'p', KYMO_TAGS: '["x"]' });
    const inner = init({ project: 'q' });
    expect(inner.id).not.toBe('outer');
    expect(process.env.KYMO_RUN_ID).toBe(inner.id);
    inner[Symbol.dispose]();
    expect(process.env.KYMO_RUN_ID).toBe('outer');
    outer[Symbol.dispose]();
    expect(process.env.KYMO_RUN_ID).toBeUndefined();
    expect(process.env.KYMO_TAGS).toBeUndefined();
  });

  it('that this process set itself says nothing about it', () => {
    init({ id: 'one' });
    expect(inheritedRun().id).toBeUndefined();
    process.env.KYMO_RUN_ID = 'set since';
    expect(inheritedRun().id).toBe('set since');
  });
});

describe('resume', () => {
  it('counts attempts, each rank its own', () => {
    expect(init({ id: 'r' }).attempt).toBe(1);
    expect(init({ id: 'r', resume: true }).attempt).toBe(2);
    expect(init({ id: 'r', resume: { step: 10 } }).attempt).toBe(3);
    expect(init({ id: 'other', resume: true }).attempt).toBe(1);
    expect(events('kymo.run.start').map(event => event.attributes)).toMatchObject([
      { 'kymo.run.attempt': 1 },
      { 'kymo.run.attempt': 2 },
      { 'kymo.run.attempt': 3, 'kymo.run.resume_step': 10 },
      { 'kymo.run.attempt': 1 },
    ]);
  });
});

describe('events', () => {
  it('begin with start and config, and end with one finish', async () => {
    const run = init({ config: { lr: 0.1 } });
    run.log({ a: 1 });
    await run.finish({ state: 'failed' });
    await run.finish();
    expect(recorder.logs().map(record => record.eventName)).toEqual([
      'kymo.run.start',
      'kymo.run.config',
      'kymo.run.finish',
    ]);
    const finish = events('kymo.run.finish')[0]!;
    expect(finish.attributes).toMatchObject({
      'kymo.run.state': 'failed',
      // The row, the three events with this one.
      'kymo.run.emitted': 4,
      'kymo.run.dropped': {},
    });
    expect(finish.resource.attributes['kymo.run.id']).toBe(run.id);
    expect(runtime.delivered).toBe(1);
  });

  it('at the end of the process carry exit code and error', () => {
    const run = init();
    run.onExit({ state: 'failed', exitCode: 1, error: new RangeError('boom') });
    run.onExit({ state: 'finished', exitCode: 0, error: undefined });
    expect(events('kymo.run.finish').map(event => event.attributes)).toMatchObject([
      {
        'kymo.run.state': 'failed',
        'process.exit.code': 1,
        'exception.type': 'RangeError',
        'exception.message': 'boom',
      },
    ]);
  });
});

describe('config and summary', () => {
  const configs = () => events('kymo.run.config').map(event => event.attributes['kymo.run.config']);

  it('are read and set by attribute, index and update, and recorded together', async () => {
    const run = init({ config: { lr: 0.1, layers: [64, 64] } });
    run.config.lr = 0.2;
    run.config['batch size'] = 32;
    run.config.update({ optimizer: { name: 'adam', betas: [0.9, 0.999] } });
    expect(run.config.lr).toBe(0.2);
    expect(Object.keys(run.config)).toEqual(['lr', 'layers', 'batch size', 'optimizer']);
    await Promise.resolve();
    expect(configs()).toEqual([
      { lr: 0.1, layers: [64, 64] },
      { lr: 0.2, 'batch size': 32, optimizer: { name: 'adam', betas: [0.9, 0.999] } },
    ]);
  });

  it('see changes deep inside', async () => {
    const run = init({ config: { optimizer: { lr: 1 }, layers: [64] } });
    (run.config.optimizer as { lr: number }).lr = 2;
    (run.config.layers as number[]).push(32);
    await Promise.resolve();
    expect(configs()[1]).toEqual({ optimizer: { lr: 2 }, layers: [64, 32] });
    expect(JSON.stringify(run.config)).toBe('{"optimizer":{"lr":2},"layers":[64,32]}');
  });

  it('take a copy: what the caller changes later in its own object is not part of it', async () => {
    const own = { a: { b: 1 } };
    const run = init({ config: own });
    own.a.b = 2;
    expect(run.config.a).toEqual({ b: 1 });
  });

  it('are recorded before finish, from a loop that never yields', () => {
    const run = init();
    run.summary.best = 0.5;
    run[Symbol.dispose]();
    expect(recorder.logs().map(record => record.eventName)).toEqual([
      'kymo.run.start',
      'kymo.run.summary',
      'kymo.run.finish',
    ]);
    expect(events('kymo.run.summary')[0]!.attributes['kymo.run.summary']).toEqual({ best: 0.5 });
  });

  it('turn whatever they are given into something that can be written down', async () => {
    const circular: Record<string, unknown> = { a: 1 };
    circular.self = circular;
    const run = init();
    run.config.update({
      date: new Date(0),
      fn: function activation() {},
      big: 2n ** 60n,
      map: new Map([['k', 1]]),
      set: new Set([1]),
      floats: Float32Array.of(0.5),
      nothing: undefined,
      circular,
      error: new TypeError('x'),
      ['__proto__']: { polluted: true },
    });
    await Promise.resolve();
    const recorded = configs()[0] as Record<string, unknown>;
    expect(recorded).toMatchObject({
      date: '1970-01-01T00:00:00.000Z',
      fn: '[function activation]',
      big: 2n ** 60n,
      map: { k: 1 },
      set: [1],
      floats: [0.5],
      nothing: null,
      circular: { a: 1, self: '[circular]' },
      error: { type: 'TypeError', message: 'x' },
    });
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it('refuse to delete, and update with what is no object', () => {
    const run = init({ config: { a: 1 } });
    expect(() => {
      delete run.config.a;
    }).toThrow(/run\.config cannot be deleted/);
    expect(() => run.config.update(5 as never)).toThrow(
      /run\.config\.update\(entries\) must be an object, not number 5/,
    );
  });
});

describe('module-level calls', () => {
  it('act on the run started last that has not finished', async () => {
    const outer = init({ id: 'outer' });
    kymo.log({ a: 1 });
    const inner = init({ id: 'inner' });
    kymo.scalar('a', 2, { step: 5 });
    kymo.config.lr = 3;
    expect(kymo.run()).toBe(inner);
    expect(inner.config.lr).toBe(3);
    await kymo.finish();
    kymo.log({ a: 4 });
    expect(kymo.run()).toBe(outer);
    expect(recorder.rows.map(row => [row.scope.resource['kymo.run.id'], row.step])).toEqual([
      ['outer', 0],
      ['inner', 5],
      ['outer', 1],
    ]);
  });

  it('join a parent’s run without init', () => {
    process.env.KYMO_RUN_ID = 'parents';
    // Runs of earlier tests have ended in this process, so what comes without init belongs to the last of them, except that
    // another module instance starts afresh; e2e.test.ts does it with a real child.
    expect(inheritedRun().id).toBe('parents');
  });
});

describe('mode: disabled', () => {
  it('does nothing, whatever is called', async () => {
    const run = init({ mode: 'disabled', project: 'p', config: { a: 1 } });
    run.log({ a: 'bad' as never });
    run.scalar('a', 1, { step: -1 });
    run.histogram('a', []);
    kymo.getLogger('x').info('nobody hears this');
    kymo.timeit('f', () => 1)();
    run.config.b = 2;
    expect({ ...run.config }).toEqual({ a: 1, b: 2 });
    expect(await run.finish()).toMatchObject({ emitted: 0, dropped: {} });
    expect(recorder.records).toHaveLength(0);
    expect(recorder.rows).toHaveLength(0);
    expect(process.env.KYMO_RUN_ID).toBeUndefined();
  });

  it.each([{ KYMO_MODE: 'disabled' }, { OTEL_SDK_DISABLED: 'true' }])('is what %j asks for', env => {
    Object.assign(process.env, env);
    init().log({ a: 1 });
    expect(recorder.rows).toHaveLength(0);
  });
});
