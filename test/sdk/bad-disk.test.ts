// A disk that is full, read-only, or loses a folder, under a trainer with the embedded collector: the training goes on, is told
// where and why, and what was acknowledged is written once the disk is well again.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { paths } from '../../src/semconv/local.ts';
import { runKymo, until } from '../collector/service/collector-process.ts';
import { canMount, onSmallDisk, whyNot } from '../small-disk.ts';
import { endCollectors } from './collectors.ts';
import { projectFolder, train } from './trainer.ts';

let project: ReturnType<typeof projectFolder>;
const mounted: string[] = [];
const ENV = { KYMO_COLLECTOR_LINGER_MS: '100', KYMO_EXIT_TIMEOUT_MS: '1500' };

beforeEach(() => {
  project = projectFolder();
});
afterEach(async () => {
  await endCollectors(project.path);
  for (const folder of mounted.splice(0)) execFileSync('umount', ['-l', folder]);
  project.remove();
});

function mountSmall(folder: string, kib: number): void {
  mkdirSync(folder, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kib}k`, 'none', folder], { stdio: 'pipe' });
  mounted.push(folder);
}
const remount = (folder: string, options: string) =>
  execFileSync('mount', ['-o', `remount,${options}`, folder]);

/** What is delivered is delivered before the end: the short exit timeout is for what cannot be written. */
const FINISH = 'console.log(JSON.stringify(await run.finish()));';
const END = `await run.flush(); ${FINISH}`;
const script = (id: string, rows: number, end = END) =>
  `const run = kymo.init({ project: 'p', id: '${id}' });
   for (let step = 0; step < ${rows}; step++) {
     run.log({ loss: step / 3, accuracy: step / 7 }, { step });
     if (step % 1000 === 0) await new Promise(resolve => setTimeout(resolve, 20));
   }
   ${end}`;

function steps(run: string): number[] {
  const file = join(project.path, 'runs', run, 'logs/metrics.jsonl');
  if (!existsSync(file)) return [];
  const whole = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  return whole.map(line => (JSON.parse(line) as { step: number }).step);
}
const count = (length: number): number[] => Array.from({ length }, (_, step) => step);
const report = (stdout: string) =>
  JSON.parse(stdout) as { emitted: number; delivered: number; pending: number };

describe('a disk for runs/ that is', () => {
  (canMount ? it : it.skip).each([
    ['full', 'size=300k', 'ENOSPC'],
    ['read-only', 'size=20m,ro', 'EROFS'],
  ])(
    `%s: the trainer ends as always and is told the file and the reason; all is written later${whyNot}`,
    async (_name, bad, code) => {
      const runs = join(project.path, 'runs');
      mountSmall(runs, 20_000);
      remount(runs, bad);
      const ending = await train(project.path, script('r', 8000), ENV).ended;
      expect(ending.code).toBe(0);
      expect(report(ending.stdout)).toMatchObject({ emitted: 16_002, delivered: 16_002, pending: 0 });
      expect(ending.stderr).toMatch(
        new RegExp(
          `everything is delivered; the collector is still writing the files, which it could not so far \\(.*${runs}/.*${code}`,
        ),
      );
      const { stdout } = await runKymo(['status'], project.path);
      expect(stdout).toMatch(new RegExp(`^collector .* degraded: jsonl is retrying: .*${code}`));
      expect(stdout).toMatch(/\njsonl +retrying /);
      remount(runs, 'size=20m,rw');
      await until('everything to be written', () => steps('r').length === 8000 || undefined);
      expect(steps('r')).toEqual(count(8000));
    },
  );
});

onSmallDisk(
  'a full disk under everything: nothing acknowledged or kept in the spool is lost, the rest is told',
  async () => {
    const disk = project.path;
    mountSmall(disk, 1_400);
    const ending = await train(disk, script('r', 12_000, FINISH), ENV).ended;
    expect(ending.code).toBe(0);
    const { emitted, delivered, pending } = report(ending.stdout);
    expect(pending).toBeGreaterThan(0);
    expect(emitted).toBe(delivered + pending);
    const told =
      /(\d+) items are not delivered yet \((\d+) items found no room in the spool: .*\); (\d+) of them are kept in/.exec(
        ending.stderr,
      )!;
    expect(told.slice(1).map(Number)).toEqual([pending, pending - Number(told[3]), Number(told[3])]);
    remount(disk, 'size=40m');
    // A run event is an item too; two of a row's are points.
    const least = Math.floor((delivered + Number(told[3]) - 2) / 2);
    const patient = { KYMO_COLLECTOR_LINGER_MS: '100', KYMO_EXIT_TIMEOUT_MS: '30000' };
    expect(await train(disk, script('next', 1, 'await run.finish();'), patient).ended).toMatchObject({
      code: 0,
      stderr: '',
    });
    await until('everything that was kept to be written', () => steps('r').length >= least || undefined);
    expect(new Set(steps('r')).size).toBe(steps('r').length);
    expect(steps('next')).toEqual([0]);
  },
);

describe('a folder that is removed while a trainer runs', () => {
  const slow = (id: string) =>
    `const run = kymo.init({ project: 'p', id: '${id}' });
     for (let step = 0; step < 150; step++) {
       run.log({ loss: step }, { step });
       await new Promise(resolve => setTimeout(resolve, 10));
       if (step === 40) { await run.flush(); console.log('forty'); }
     }
     await run.finish();`;

  it('of the run: it is made again, said, and what comes after is written', async () => {
    const trainer = train(project.path, slow('r'), { KYMO_COLLECTOR_LINGER_MS: '100' });
    await trainer.said('forty');
    // Without a commit behind it the collector would write the same rows again, and nothing would be missing.
    const cursor = join(paths(project.path).journal, 'cursors/jsonl/current');
    await until(
      'a commit',
      () => (existsSync(cursor) && /"length":[1-9]/.test(readFileSync(cursor, 'utf8'))) || undefined,
    );
    rmSync(join(project.path, 'runs/r'), { recursive: true, maxRetries: 5 });
    expect(await trainer.ended).toMatchObject({ code: 0, stderr: '' });
    const after = steps('r');
    expect(after[0]).toBeGreaterThan(0);
    expect(after).toEqual(count(150).slice(after[0]));
    expect(readFileSync(paths(project.path).log, 'utf8')).toMatch(/runs\/r.*(removed|made again)/);
    expect(JSON.parse(readFileSync(join(project.path, 'runs/r/run.json'), 'utf8'))).toMatchObject({
      state: 'finished',
    });
  });

  it('.kymo: every row is still written, and processes that come later are let in', async () => {
    const trainer = train(project.path, slow('r'), { KYMO_COLLECTOR_LINGER_MS: '100' });
    await trainer.said('forty');
    await until('the first rows', () => steps('r').length > 20 || undefined);
    rmSync(join(project.path, '.kymo'), { recursive: true, maxRetries: 5 });
    const late = await train(project.path, script('late', 5), { KYMO_COLLECTOR_LINGER_MS: '100' }).ended;
    expect(late).toMatchObject({ code: 0 });
    expect(report(late.stdout).pending).toBe(0);
    expect((await trainer.ended).code).toBe(0);
    await until('all rows', () => steps('r').length === 150 || undefined);
    expect(steps('r')).toEqual(count(150));
    expect(steps('late')).toEqual(count(5));
  });
});
