// Examples 23 to 25, as processes of their own: checkpoints and resuming, run folders, ported code.
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Project } from './run-example.ts';

jest.setTimeout(60_000);

const projects: Project[] = [];
let project: Project;
beforeEach(() => {
  project = new Project();
  projects.push(project);
});
afterAll(async () => {
  for (const each of projects) await each.remove();
});

describe('examples of runs on disk', () => {
  it('23-checkpoints: the second attempt goes on behind step 249, and the rows that count are those of one training', async () => {
    const { run, stdout, stderr } = await project.run('23-checkpoints.ts');
    expect(stderr).toBe('');
    const last = 0.99 ** 500;
    const printed = /500 rows, the last loss is ([\d.e-]+)\n/.exec(stdout);
    expect(stdout).toContain('attempt 1 begins anew\nattempt 2 begins behind step 249\n');
    expect(Number(printed?.[1])).toBeCloseTo(last, 12);
    expect(run.lines('metrics.jsonl').filter(line => 'superseded' in line)).toMatchObject([
      { superseded: { attempt: 2, from_step: 250 } },
    ]);
    expect(fs.readdirSync(path.join(run.path, 'checkpoints')).sort()).toEqual([
      'best',
      'step_399',
      'step_449',
      'step_499',
    ]);
    expect(fs.readlinkSync(path.join(run.path, 'checkpoints/best'))).toBe('step_499');
    expect(
      fs
        .readdirSync(path.join(run.path, 'buffers'))
        .map(name => name.split('.')[0])
        .sort(),
    ).toEqual(['step_249', 'step_449']);
    expect(run.json('run.json')).toMatchObject({
      state: 'finished',
      attempts: [{ attempt: 1 }, { attempt: 2, resume_step: 250 }],
    });
  });

  it('24-run-folder: files, the best and the newest checkpoints, and the numbers back', async () => {
    const { code, stdout, stderr } = await project.start('24-run-folder.ts');
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^3 checkpoints are left\n10 rows, the least loss is 0\.1\nruns\/dqn_cartpole_\d{8}_\d{6}_\w{4}\n$/,
    );
    expect(stderr).toMatch(/DQN \|█+\| 100\.0% {2}10000\/10000 .*loss=0\.1\n$/);
  });

  it('25-porting: one run with all that the seven calls say', async () => {
    const { run, stdout, stderr } = await project.run('25-porting.ts');
    expect(stderr).toBe('');
    expect(stdout).toContain('Step 50: train/reward = 25.0000\n');
    const rows = run.lines('metrics.jsonl');
    expect(rows.filter(row => 'train/reward' in row)).toHaveLength(101);
    expect(rows.filter(row => 'losses/policy' in row && 'losses/entropy' in row)).toHaveLength(101);
    expect(rows.filter(row => row.histogram === 'weights/fc').map(row => row.step)).toEqual([0, 50, 100]);
    expect(run.json('config.json')).toEqual({ lr: 3e-4, env: 'cartpole', layers: 2, normalize: true });
    expect(run.json('run.json')).toMatchObject({ state: 'finished', name: 'ported' });
    expect(fs.readdirSync(path.join(run.path, 'media/images/env'))).toEqual(['frame_100.png']);
  });
});
