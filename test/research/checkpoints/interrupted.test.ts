// Processes that are killed while they save, disks that are full: what was a checkpoint stays one, and what is none is never taken for one.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readCheckpoints } from '../../../src/research/checkpoints/folder.ts';
import { loadCheckpoint } from '../../../src/research/checkpoints/load.ts';
import { endCollectors } from '../../sdk/collectors.ts';
import { projectFolder, train } from '../../sdk/trainer.ts';
import { onSmallDisk } from '../../small-disk.ts';

let project: ReturnType<typeof projectFolder>;
const mounted: string[] = [];
const ENV = { KYMO_COLLECTOR_LINGER_MS: '0', KYMO_QUIET: '1' };
/** Checkpoints need no collector. */
const ALONE = { KYMO_QUIET: '1', KYMO_ENDPOINT: 'http://127.0.0.1:9', KYMO_EXIT_TIMEOUT_MS: '0' };
beforeEach(() => {
  project = projectFolder();
});
afterEach(async () => {
  await endCollectors(project.path);
  for (const folder of mounted.splice(0)) execFileSync('umount', ['-l', folder]);
  project.remove();
});
const run = (): string => join(project.path, 'runs/r');
const checkpoints = () => readCheckpoints(join(run(), 'checkpoints'), 0);
const load = (one: ReturnType<typeof checkpoints>[number]) =>
  loadCheckpoint(one.path, one.manifest, { serializer: undefined, tf: undefined, buffer: true });

/** Weights of megabytes, all of which are the step, so that a mixture would show. */
const STATE = `const state = step => ({ step, weights: new Float64Array(400_000).fill(step) });
const save = step => ({ step, state: state(step), buffer: new Float64Array(200_000).fill(step) });
const resumed = kymo.init({ project: 'p', id: 'r', resume: 'allow', checkpoints: { keep: 3 } });
const from = resumed.loadCheckpoint();
if (from !== undefined && (from.state.weights.some(w => w !== from.step) || from.buffer.some(b => b !== from.step))) throw new Error('a mixture');
console.log('from', from?.step ?? -1);`;

describe('a process killed while it saves', () => {
  it.each([
    [
      'between other things',
      `for (let step = (from?.step ?? -1) + 1; ; step++) { await resumed.saveCheckpoint(save(step)); console.log('saved', step); }`,
    ],
    [
      'blocking',
      `for (let step = (from?.step ?? -1) + 1; ; step++) { resumed.saveCheckpointSync(save(step)); console.log('saved', step); }`,
    ],
  ])(
    '%s: every checkpoint that it said was saved can be loaded, and the next process goes on from the last',
    async (_how, loop) => {
      let said = -1;
      for (const patienceMs of [0, 11]) {
        const trainer = train(project.path, `${STATE}\n${loop}`, ALONE);
        await trainer.said('saved');
        await delay(patienceMs);
        trainer.child.kill('SIGKILL');
        const { stdout, stderr } = await trainer.ended;
        expect(stderr).toBe('');
        // Said may be one less than saved: the kill came in between.
        expect(Number(/from (-?\d+)/.exec(stdout)![1])).toBeGreaterThanOrEqual(said);
        said = Math.max(...[...stdout.matchAll(/saved (\d+)/g)].map(match => Number(match[1])));
        const found = checkpoints();
        expect(found.at(-1)!.step).toBeGreaterThanOrEqual(said);
        for (const one of found) {
          const { state, step } = load(one);
          expect((state as { step: number }).step).toBe(step);
        }
      }
      // What the kills left half-written does not pile up.
      const left = readdirSync(run(), { recursive: true }) as string[];
      expect(left.filter(name => name.includes('.saving-')).length).toBeLessThanOrEqual(1);
      expect(checkpoints().length).toBeLessThanOrEqual(4);
    },
  );

  it('that ends while a save is under way ends it first', async () => {
    const { code } = await train(
      project.path,
      `${STATE}\nvoid resumed.saveCheckpoint(save(5)); process.exit(3);`,
      ALONE,
    ).ended;
    expect(code).toBe(3);
    expect(load(checkpoints().at(-1)!)).toMatchObject({ step: 5, bufferStep: 5 });
  });
});

describe('a full disk', () => {
  onSmallDisk(
    'is told with file and reason, the checkpoint before stays, nothing half-written is left, and saving works once there is room',
    async () => {
      const disk = join(run());
      mkdirSync(disk, { recursive: true });
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'none', disk], { stdio: 'pipe' });
      mounted.push(disk);
      const script = `${STATE.replace("resume: 'allow', ", '')}
      const results = [];
      for (const step of [1, 2]) results.push((await resumed.saveCheckpoint(save(step))).kind, resumed.saveCheckpointSync(save(step)).kind);
      console.log(JSON.stringify({ results, loaded: resumed.loadCheckpoint().step }));`;
      const { code, stdout, stderr } = await train(project.path, script, ALONE).ended;
      expect(code).toBe(0);
      expect(JSON.parse(stdout.split('\n')[1]!)).toEqual({
        results: ['saved', 'saved', 'failed', 'failed'],
        loaded: 1,
      });
      expect(
        stderr.match(/the checkpoint of step 2 is not saved: ENOSPC: .*; the newest is that of step 1/g),
      ).toHaveLength(2);
      expect(load(checkpoints().at(-1)!)).toMatchObject({ step: 1 });
      expect(readdirSync(join(disk, 'checkpoints'))).toEqual(['step_1']);
      expect(
        (readdirSync(disk, { recursive: true }) as string[]).filter(name => name.includes('.saving-')),
      ).toEqual([]);
      execFileSync('mount', ['-o', 'remount,size=40m', disk]);
      const again = await train(
        project.path,
        `${STATE}\nconsole.log(resumed.saveCheckpointSync(save(2)).kind);`,
        ALONE,
      ).ended;
      expect(again).toMatchObject({ code: 0, stdout: 'from 1\nsaved\n' });
      expect(load(checkpoints().at(-1)!)).toMatchObject({ step: 2, state: { step: 2 } });
    },
  );
});

it('a run that another process writes is not resumed until that one has gone', async () => {
  const holder = train(
    project.path,
    `kymo.init({ project: 'p', id: 'r' }).log({ a: 1 }); console.log('up'); setInterval(() => {}, 1_000);`,
    ALONE,
  );
  await holder.said('up');
  const resume = `try { const run = kymo.init({ project: 'p', id: 'r', resume: 'must' }); console.log(run.attempt); } catch (error) { console.log(error.code, error.message); }`;
  const { stdout } = await train(project.path, resume, ALONE).ended;
  expect(stdout).toMatch(
    new RegExp(`^still_written .*still being written by process ${holder.child.pid} on .*end that one first`),
  );
  holder.child.kill('SIGKILL');
  await holder.ended;
  expect(await train(project.path, resume, ALONE).ended).toMatchObject({ stdout: '2\n' });
  // Who has ended leaves no note.
  expect(readdirSync(join(project.path, '.kymo/running'))).toEqual([]);
});

it('a resumed training is seamless: rows, steps and state as if it had never stopped', async () => {
  // SIGKILL at a random place of the second part; the sum of all losses is the judge.
  const script = `
    const run = kymo.init({ project: 'p', id: 'r', resume: 'allow' });
    const from = run.loadCheckpoint();
    let sum = from?.state.sum ?? 0;
    for (let step = from === undefined ? 0 : from.step + 1; step < 60; step++) {
      sum += step * step;
      run.log({ sum });
      if (step % 10 === 9) await run.saveCheckpoint({ state: { sum }, step });
      if (step === 34 && from === undefined) { await run.flush(); process.kill(process.pid, 'SIGKILL'); }
    }
    await run.finish();`;
  expect((await train(project.path, script, ENV).ended).signal).toBe('SIGKILL');
  expect(await train(project.path, script, ENV).ended).toMatchObject({ code: 0, stderr: '' });
  const lines = readFileSync(join(run(), 'logs/metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, number | undefined>);
  expect(lines.filter(line => 'superseded' in line)).toMatchObject([
    { superseded: { attempt: 2, from_step: 30 } },
  ]);
  const rows = lines.filter(line => 'sum' in line);
  const kept = rows.filter(row => row.attempt === 2 || row.step! < 30);
  const squares = (step: number): number => (step < 0 ? 0 : step * step + squares(step - 1));
  expect(kept.map(row => [row.step, row.sum])).toEqual(
    Array.from({ length: 60 }, (_, step) => [step, squares(step)]),
  );
  expect(JSON.parse(readFileSync(join(run(), 'run.json'), 'utf8'))).toMatchObject({
    state: 'finished',
    attempts: [{ attempt: 1 }, { attempt: 2, resume_step: 30 }],
  });
  const manifest = JSON.parse(readFileSync(join(run(), 'artifacts/checkpoint/manifest.json'), 'utf8')) as {
    versions: unknown[];
  };
  expect(manifest.versions).toHaveLength(6);
  expect(statSync(join(run(), 'checkpoints/step_59')).isDirectory()).toBe(true);
});
