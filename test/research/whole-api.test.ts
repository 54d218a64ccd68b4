// Every option of init and every module-level call on its whole way into the run's files, by the embedded collector.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { rustCurves } from '../collector/exporters/tensorboard/readers.ts';
import { runKymo } from '../collector/service/collector-process.ts';
import { endCollectors } from '../sdk/collectors.ts';
import { projectFolder, train } from '../sdk/trainer.ts';

let project: ReturnType<typeof projectFolder>;
beforeEach(() => {
  project = projectFolder();
});
afterEach(async () => {
  await endCollectors(project.path);
  project.remove();
});

const ENV = { KYMO_COLLECTOR_LINGER_MS: '0' };
const json = (path: string) => JSON.parse(readFileSync(join(project.path, path), 'utf8'));
const lines = (run: string, file = 'metrics', root = 'runs') =>
  readFileSync(join(project.path, root, run, `logs/${file}.jsonl`), 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line));
const rows = (run: string) => lines(run).map(({ time: _, ...row }) => row);

describe('init', () => {
  it('puts every option where a reader of the run’s files finds it', async () => {
    const ending = await train(
      project.path,
      `const run = kymo.init({
         project: 'p', name: 'first try', id: 'r', group: 'seeds', jobType: 'train', tags: ['a', 'b,c'], rank: 2,
         config: { lr: 1e-2, net: { layers: [64, 64] } }, modeFromName: true, strict: false, mode: 'online',
       });
       run.log({ 'eval/loss': 1, 'explore/return': 2, lr: 3 }, { step: 0 });
       run.config.net.layers.push(2); run.config['batch size'] = 32; run.config.update({ seed: 3 });
       run.summary.best = 0.5;
       await run.finish({ state: 'failed' });
       console.log(run.dir);`,
      ENV,
    ).ended;
    expect(ending).toMatchObject({ code: 0, stderr: '' });
    expect(ending.stdout.trim()).toBe(join(project.path, 'runs/r'));
    expect(json('runs/r/run.json')).toMatchObject({
      id: 'r',
      name: 'first try',
      project: 'p',
      group: 'seeds',
      job_type: 'train',
      tags: ['a', 'b,c'],
      state: 'failed',
      summary: { best: 0.5 },
      instances: [{ rank: 2, state: 'failed' }],
    });
    expect(json('runs/r/config.json')).toEqual({
      lr: 0.01,
      net: { layers: [64, 64, 2] },
      'batch size': 32,
      seed: 3,
    });
    expect(rows('r')).toMatchObject([{ step: 0, rank: 2, 'eval/loss': 1, 'explore/return': 2, lr: 3 }]);
  });

  it('resume supersedes what the earlier attempt wrote from its step on, in the lines and in the curve', async () => {
    const attempt = (options: string, from: number, to: number, value: number) =>
      train(
        project.path,
        `const run = kymo.init({ id: 'r'${options} });
         for (let step = ${from}; step < ${to}; step++) run.log({ loss: ${value} }, { step });
         await run.finish();`,
        ENV,
      ).ended;
    await attempt('', 0, 10, 1);
    await attempt(', resume: { step: 6 }', 6, 9, 2);
    const { attempts, superseded } = json('runs/r/run.json');
    expect(attempts.map((one: { attempt: number }) => one.attempt)).toEqual([1, 2]);
    expect(superseded).toMatchObject([{ attempt: 2, from_step: 6 }]);
    expect(rustCurves(join(project.path, 'runs/r')).get('loss')).toEqual([
      ...Array.from({ length: 6 }, (_, step) => [step, 1]),
      ...[6, 7, 8].map(step => [step, 2]),
    ]);
  });
});

describe('commit: false', () => {
  it('collects rows; what is pending at the end is written too', async () => {
    await train(
      project.path,
      `const run = kymo.init({ id: 'r' });
       run.log({ a: 1 }, { commit: false }); run.log({ b: 2, a: 3 });
       run.log({ a: 4 }, { step: 7, commit: false }); run.log({ b: 5 }, { step: 9 });
       run.log({ a: 6 }, { commit: false });`,
      ENV,
    ).ended;
    expect(rows('r')).toEqual([
      { step: 0, a: 3, b: 2 },
      { step: 7, a: 4 },
      { step: 9, b: 5 },
      { step: 10, a: 6 },
    ]);
  });
});

describe('disposing', () => {
  it('a run finishes it; with `await using` its files are there when the block ends', async () => {
    const ending = await train(
      project.path,
      `import { readFileSync } from 'node:fs';
       const one = kymo.init({ id: 'one' });
       one.log({ a: 1 });
       one[Symbol.dispose]();
       one.log({ a: 2 });
       const two = kymo.init({ id: 'two' });
       two.log({ a: 1 });
       await two[Symbol.asyncDispose]();
       console.log(JSON.parse(readFileSync(two.dir + '/run.json', 'utf8')).state);`,
      ENV,
    ).ended;
    expect(ending.stdout.trim()).toBe('finished');
    expect(ending.stderr).toContain('run one has finished; what is logged to it now is dropped');
    expect(rows('one')).toEqual([{ step: 0, a: 1 }]);
    expect(json('runs/one/run.json').state).toBe('finished');
  });
});

describe('module-level calls', () => {
  it('all act on the current run, and start one when there is none', async () => {
    const ending = await train(
      project.path,
      `kymo.log({ a: 1 });
       kymo.scalar('b', true, { step: 4 });
       kymo.histogram('h', [1, 2, 3], { step: 4, bins: [1.5, 2.5] });
       kymo.config.lr = 0.1; kymo.config.update({ seed: 1 }); kymo.summary.best = 2;
       kymo.getLogger('trainer', { seed: 3 }).warn('careful', { step: 4 });
       kymo.timeit('twice', x => 2 * x)(2);
       console.log(JSON.stringify([kymo.run().id, (await kymo.flush()).pending, (await kymo.finish()).written, Object.keys(kymo.config)]));`,
      { ...ENV, KYMO_PROJECT: 'lib' },
    ).ended;
    expect(ending).toMatchObject({ code: 0, stderr: '' });
    const [id, pending, written, keys] = JSON.parse(ending.stdout);
    expect([pending, written, keys]).toEqual([0, true, ['lr', 'seed']]);
    expect(readdirSync(join(project.path, 'runs'))).toEqual([id]);
    const logged = rows(id);
    expect(logged.slice(0, 2)).toEqual([
      { step: 0, a: 1 },
      { step: 4, b: 1 },
    ]);
    expect(logged).toContainEqual(
      expect.objectContaining({ step: 4, histogram: 'h', counts: [1, 1, 1], bounds: [1.5, 2.5], sum: 6 }),
    );
    expect(logged.some(row => 'timings/twice' in row)).toBe(true);
    expect(lines(id, 'logs')).toContainEqual(
      expect.objectContaining({ level: 'WARN', logger: 'trainer', message: 'careful', step: 4 }),
    );
    expect(lines(id, 'spans')).toMatchObject([{ name: 'twice' }]);
    expect(json(`runs/${id}/config.json`)).toEqual({ lr: 0.1, seed: 1 });
    expect(json(`runs/${id}/run.json`).summary).toEqual({ best: 2 });
  });
});

describe('kymo replay', () => {
  it('writes a run again for TensorBoard, with the same curve, from the journal of the embedded collector', async () => {
    await train(
      project.path,
      `for (const id of ['r', 'other']) {
         const run = kymo.init({ id });
         for (const step of [0, 1, 5, 3]) run.log({ loss: step / 2 }, { step });
         await run.finish();
       }`,
      ENV,
    ).ended;
    const args = ['replay', '--run', 'r', '--exporter', 'tensorboard', '--into', 'again'];
    expect(await runKymo(args, project.path, { KYMO_DIR: project.path })).toMatchObject({
      code: 0,
      stderr: '',
    });
    expect(readdirSync(join(project.path, 'again'))).toEqual(['r']);
    expect(rustCurves(join(project.path, 'again/r')).get('loss')).toEqual(
      rustCurves(join(project.path, 'runs/r')).get('loss'),
    );
    expect(existsSync(join(project.path, 'again/r/logs'))).toBe(false);
  });
});
