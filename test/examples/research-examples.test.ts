// Examples 11 to 21, as processes of their own: their run's files say what they said.

import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { transform } from 'esbuild';
import { decodeFile } from '../../src/collector/exporters/tensorboard/event-reader.ts';
import { rustCurves } from '../collector/exporters/tensorboard/readers.ts';
import { Project } from './run-example.ts';

jest.setTimeout(60_000);

/** Removed together, since each embedded collector outlives its example by a moment. */
const projects: Project[] = [];
let project: Project;

beforeEach(() => {
  project = new Project();
  projects.push(project);
});
afterAll(async () => {
  for (const each of projects) await each.remove();
});

type Line = Readonly<Record<string, unknown>>;
type Finished = Awaited<ReturnType<Project['run']>>['run'];

/** What TensorBoard finds in the run's event files. */
const tagsOf = (run: Finished): string[] =>
  run
    .eventFiles()
    .flatMap(file => decodeFile(fs.readFileSync(path.join(run.path, file))).events)
    .flatMap(event => event.values.map(value => value.tag));

const lines = (folder: string, file: string): Line[] =>
  fs
    .readFileSync(path.join(folder, 'logs', file), 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Line);

describe('examples of the research API', () => {
  it('11-rollouts: each rollout is a line with its conversation and rewards, and the rewards are scalars', async () => {
    const { run, stderr } = await project.run('11-rollouts.ts');
    expect(stderr).toBe('');
    const rollouts = lines(run.path, 'rollouts.jsonl');
    expect(rollouts).toHaveLength(81);
    expect(
      rollouts.filter(line => line.mode === undefined || line.mode === 'train').map(line => line.step),
    ).toEqual(Array.from({ length: 80 }, (_, i) => Math.floor(i / 4)));
    expect(rollouts[0]).toMatchObject({ rewards: { correct: 0, honest: 0.5 } });
    expect(JSON.stringify(rollouts[0])).toContain('What is 0 + 0?');
    expect(rollouts[0]!.messages).toHaveLength(3);
    expect(rollouts.at(-1)).toMatchObject({ mode: 'eval', rewards: { correct: 1 } });
    const rows = run.lines('metrics.jsonl');
    expect(rows.filter(row => 'loss' in row).map(row => row.step)).toEqual(
      Array.from({ length: 20 }, (_, i) => i),
    );
    const rewards = rows.filter(row => 'rewards/honest' in row);
    expect(rewards).toHaveLength(80);
  });

  it('12-errors: the failures say with what they were called, without secrets, and reach the console', async () => {
    const { run, stdout, stderr } = await project.run('12-errors.ts');
    expect(stdout).toContain('upload: RangeError: https://example.invalid/models does not take this key');
    expect(stdout).toContain('load: cannot read data.json');
    expect(stderr).toContain('upload failed: https://example.invalid/models does not take this key');
    const text = fs.readFileSync(path.join(run.path, 'logs', 'logs.jsonl'), 'utf8');
    expect(text).not.toContain('sk-123');
    expect(text).not.toContain('hf_abc');
    const failures = run.lines('logs.jsonl').filter(line => line.event === 'exception');
    expect(failures.map(line => (line.attributes as Line)['kymo.call.arguments'])).toEqual([
      {
        arguments: { url: 'https://example.invalid/models', apiKey: '[redacted]', weights: 'float32[1000]' },
      },
      { arguments: { settings: { path: 'data.json', token: '[redacted]' } } },
    ]);
    expect((failures[1]!.attributes as Line)['exception.stacktrace']).toMatch(/Caused by: SyntaxError/);
  });

  it('13-config-file: the file becomes the run’s configuration, and a bad one is told by its place', async () => {
    const { run, stdout, stderr } = await project.run('13-config-file.ts');
    expect(stderr).toBe('');
    expect(stdout).toContain('optimizer:\n  name: sgd');
    expect(stdout).toContain('bad.yaml:1:5: lr: must be greater than 0, not -1');
    expect(run.json('config.json')).toEqual({ lr: 1e-4, optimizer: { name: 'sgd', momentum: 0.9 } });
    expect(JSON.parse(fs.readFileSync(path.join(project.folder, 'last.json'), 'utf8'))).toEqual(
      run.json('config.json'),
    );
    expect(fs.readFileSync(path.join(project.folder, 'config.yaml'), 'utf8')).toContain('lr: 0.001');
  });

  it('14-ppo-loop: one row per update, episodes over frames, their summary in run.json', async () => {
    const { run, stderr } = await project.run('14-ppo-loop.ts');
    expect(stderr).toBe('');
    const rows = run.lines('metrics.jsonl');
    const updates = rows.filter(row => 'losses/policy' in row);
    expect(updates.map(row => row.step)).toEqual(Array.from({ length: 40 }, (_, i) => i));
    expect(updates.every(row => 'losses/value' in row && 'approx_kl' in row && 'lr' in row)).toBe(true);
    const episodes = rows.filter(row => Object.keys(row).some(key => key.endsWith('episode/return')));
    expect(episodes).toHaveLength(80);
    expect(episodes.map(row => (row.axes as Line)['env/frames'])).toEqual(
      Array.from({ length: 80 }, (_, i) => Math.floor(i / 2) * 256 + (Math.floor(i / 2) % 4) + 4 * (i % 2)),
    );
    expect(run.lines('spans.jsonl').filter(span => span.name === 'learn')).toHaveLength(40);
    expect(run.json('run.json')).toMatchObject({ state: 'finished', summary: { solved: true } });
  });

  it('15-several-runs: each run has its own rows, configuration and text', async () => {
    const { code, stderr } = await project.start('15-several-runs.ts');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const runs = path.join(project.folder, 'runs');
    const found = fs.readdirSync(runs).map(id => {
      const info = JSON.parse(fs.readFileSync(path.join(runs, id, 'run.json'), 'utf8')) as Line;
      return { name: info.name as string, group: info.group, state: info.state, folder: path.join(runs, id) };
    });
    expect(found.map(run => run.name).sort()).toEqual(['comparison', 'seed 1', 'seed 2', 'seed 3']);
    for (const { name, state, group, folder } of found) {
      expect({ state, group }).toEqual({ state: 'finished', group: 'sweep' });
      const rows = lines(folder, 'metrics.jsonl');
      if (name === 'comparison') {
        expect(rows).toMatchObject([1, 2, 3].map(seed => ({ step: seed, 'final loss': seed / 100 })));
        continue;
      }
      const seed = Number(name.slice(-1));
      expect(rows.map(row => row.loss)).toEqual(Array.from({ length: 100 }, (_, step) => seed / (step + 1)));
      expect(lines(folder, 'logs.jsonl').filter(line => line.message === 'this seed is done')).toHaveLength(
        1,
      );
      expect(JSON.parse(fs.readFileSync(path.join(folder, 'config.json'), 'utf8'))).toEqual({ seed });
    }
  });

  it('16-graceful-shutdown: the signal ends the loop, not the program', async () => {
    const { code, stdout, stderr } = await project.start('16-graceful-shutdown.ts');
    expect(code).toBe(130);
    expect(stderr).toBe(
      'kymo: SIGINT: stopping as soon as the program allows; once more to end it at once\n',
    );
    expect(stdout).toContain('the exit code is 130');
    const [id] = fs.readdirSync(path.join(project.folder, 'runs'));
    const folder = path.join(project.folder, 'runs', id!);
    const steps = lines(folder, 'metrics.jsonl').map(row => row.step as number);
    expect(steps.length).toBeGreaterThan(50);
    expect(steps.length).toBeLessThan(1_000);
    expect(
      lines(folder, 'logs.jsonl')
        .filter(line => line.event === undefined)
        .map(line => line.message),
    ).toEqual(['stopped early', 'saved']);
    expect(JSON.parse(fs.readFileSync(path.join(folder, 'run.json'), 'utf8'))).toMatchObject({
      state: 'killed',
    });
  });

  it('17-step-axes: axes are in the rows, summaries in run.json', async () => {
    const { run, stderr } = await project.run('17-step-axes.ts');
    expect(stderr).toBe('');
    const rows = run.lines('metrics.jsonl');
    const training = rows.filter(row => 'loss' in row);
    expect(training).toHaveLength(100);
    expect(training[30]!.axes).toEqual({ epoch: 1, 'env.frames': 31 * 512 });
    const evaluation = rows.filter(row => 'eval/return' in row);
    expect(evaluation.map(row => (row.axes as Line)['env/frames'])).toEqual(
      [1, 2, 3, 4, 5].map(epoch => epoch * 10_240),
    );
    const info = JSON.stringify(run.json('run.json'));
    expect(info).toContain('"eval/*"');
    expect(info).toContain('env/frames');
    // TensorBoard has no axis but the step, whatever defineMetric says.
    const curves = rustCurves(run.path);
    const results = [0, 19, 32, 33, 16];
    expect(curves.get('eval/return')).toEqual(results.map((value, i) => [20 * (i + 1), value]));
    expect(curves.get('by_frames/eval/return')).toEqual(results.map((value, i) => [10_240 * (i + 1), value]));
  });

  it('18-filters: the smoothed curve has no spikes', async () => {
    const { run, stdout, stderr } = await project.run('18-filters.ts');
    expect(stderr).toBe('');
    expect(stdout).toContain('[ 1, 9 ] -> [ 0, 1 ]');
    const rows = run.lines('metrics.jsonl');
    expect(rows).toHaveLength(200);
    expect(Math.max(...rows.map(row => row.loss as number))).toBeGreaterThan(9);
    expect(Math.max(...rows.map(row => row['loss/clean'] as number))).toBeLessThan(2);
  });

  it('19-media: everything has its file and its line, and TensorBoard shows what it can', async () => {
    const { run, stderr } = await project.run('19-media.ts');
    expect(stderr).toBe('');
    const media = lines(run.path, 'media.jsonl');
    for (const line of media)
      expect(fs.statSync(path.join(run.path, String(line.path))).size).toBe(line.size);
    expect(media.map(line => [line.kind, line.name, line.mime])).toEqual([
      ...[0, 1, 2].map(() => ['image', 'eval/frame', 'image/png']),
      ['video', 'episode', 'image/gif'],
      ['audio', 'beep', 'audio/wav'],
      ...['image/png', 'application/x-npy'].map(mime => ['vector_field', 'flow', mime]),
      ...['image/png', 'application/x-npy'].map(mime => ['trajectories', 'walks', mime]),
      ...['image/png', 'model/ply'].map(mime => ['point_cloud', 'scan', mime]),
    ]);
    expect(media[2]).toMatchObject({ step: 2, caption: 'epoch 2' });
    expect(tagsOf(run)).toEqual(
      expect.arrayContaining(['eval/frame', 'episode', 'beep', 'flow', 'walks', 'scan']),
    );
  });

  it('26-tables-and-files: everything has its file and its line', async () => {
    const { run, stderr } = await project.run('26-tables-and-files.ts');
    expect(stderr).toBe('');
    expect(lines(run.path, 'media.jsonl').map(line => [line.kind, line.name, line.mime])).toEqual([
      ['table', 'worst examples', 'application/json'],
      ['text', 'sample', 'text/markdown'],
      ['html', 'report', 'text/html'],
      ['image', 'attention', 'image/png'],
      ['image', 'net/deep/kernel', 'image/png'],
    ]);
    expect(lines(run.path, 'artifacts.jsonl')).toMatchObject([
      { name: 'policy', type: 'model', file: 'weights.bin', aliases: ['best'], size: 4_000 },
    ]);
    const row = run.lines('metrics.jsonl').find(line => 'net/layers' in line);
    expect(row).toMatchObject({ 'net/layers': 2, 'net/gains_0': 0.5, 'net/gains_1': 0.25 });
    expect(tagsOf(run)).toEqual(expect.arrayContaining(['worst examples', 'sample']));
  });

  it('20-decorators: compiled, each call has its timing, and the failure its event without the token', async () => {
    const { code } = await transform(fs.readFileSync('examples/20-decorators.ts', 'utf8'), {
      loader: 'ts',
      target: 'es2022',
      format: 'esm',
    });
    const compiled = path.join(project.folder, '20-decorators.mjs');
    fs.writeFileSync(compiled, code);
    const { run, stdout } = await project.run(compiled);
    expect(stdout).toContain('it came through: cannot read weights.bin with a token of 9 letters');
    const rows = run.lines('metrics.jsonl');
    expect(rows.filter(row => 'timings/step' in row)).toHaveLength(6);
    expect(rows.filter(row => 'timings/evaluation' in row)).toHaveLength(1);
    const failures = run.lines('logs.jsonl').filter(line => line.event === 'exception');
    expect(failures).toHaveLength(1);
    expect(JSON.stringify(failures)).toContain('weights.bin');
    expect(JSON.stringify(failures)).not.toContain('sk-secret');
  });

  it('21-run-per-scope: each episode has its run with its own steps, in the group of the whole', async () => {
    const { code, stderr } = await project.start('21-run-per-scope.ts');
    expect([code, stderr]).toEqual([0, '']);
    const runs = fs
      .readdirSync(path.join(project.folder, 'runs'))
      .map(id => path.join(project.folder, 'runs', id))
      .map(folder => ({
        folder,
        info: JSON.parse(fs.readFileSync(path.join(folder, 'run.json'), 'utf8')) as Line,
      }));
    expect(runs.map(({ info }) => info.name).sort()).toEqual([
      'episode_0',
      'episode_1',
      'episode_2',
      'training',
    ]);
    for (const { folder, info } of runs) {
      expect(info).toMatchObject({ group: 'episodes', state: 'finished' });
      const rows = lines(folder, 'metrics.jsonl');
      const own = info.name === 'training' ? 'total_reward' : 'env/reward';
      expect(rows.map(row => row.step)).toEqual(rows.map((_, step) => step));
      expect(rows.map(row => own in row)).toEqual(rows.map(() => true));
      expect(rows).toHaveLength(info.name === 'training' ? 3 : 10);
    }
  });

  it('22-csv writes a line per value and a header once', async () => {
    const { run, stdout, stderr } = await project.run('22-csv.ts');
    expect(stderr).toBe('');
    const table = fs.readFileSync(path.join(run.path, 'logs', 'metrics.csv'), 'utf8').split('\r\n');
    expect(table[0]).toBe('time,step,scope,mode,metric,value');
    expect(table).toHaveLength(1 + 204 + 1);
    expect(table.filter(line => line.includes(',global,eval,eval/accuracy,'))).toHaveLength(4);
    expect(stdout).toContain('… 205 lines in');
  });
});
