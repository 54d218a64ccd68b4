// Hostile run ids on their whole way through the embedded collector: nothing outside runs/ is touched, no two share a folder.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { endCollectors } from '../sdk/collectors.ts';
import { type Ending, train } from '../sdk/trainer.ts';

/** The project lies deep in it, so that whoever climbs out of runs/ is still seen. */
const around = realpathSync(mkdtempSync(join(tmpdir(), 'kymo-ids-')));
const project = join(around, 'a/b/project');
const IDS = [
  '../evil',
  '../../../evil',
  '..',
  '.',
  '/etc/kymo-evil',
  `${around}/evil`,
  'a/b',
  'a\\b',
  'Case',
  'case',
  'CASE',
  '__proto__',
  'constructor',
  'NUL',
  'con.txt',
  '~x',
  '-rf',
  '.hidden',
  'ends.',
  ' ',
  '%2e%2e%2f',
  'nul\u0000byte\n\u001b[2J',
  'пульс♥ 𝛼',
  '\ufffd',
  'run.json',
  `long ${'x'.repeat(900)}1`,
  `long ${'x'.repeat(900)}2`,
];

let ending: Ending;

beforeAll(async () => {
  mkdirSync(project, { recursive: true });
  // Forked children must join a run by such an id as well: one does, by the longest.
  ending = await train(
    project,
    `import { spawnSync } from 'node:child_process';
     if (process.argv[2] === 'child') kymo.log({ child: 1 });
     else {
       const dirs = {};
       for (const [n, id] of ${JSON.stringify(IDS)}.entries()) {
         const run = kymo.init({ project: 'p', id });
         run.log({ n }, { step: 0 });
         dirs[n] = run.dir;
         if (n === ${IDS.length - 1}) spawnSync(process.execPath, [process.argv[1], 'child'], { stdio: 'inherit' });
         await run.finish();
       }
       for (const id of ['', 'x'.repeat(10_000), 'half \\ud800', 5, null, {}])
         try { kymo.init({ id }); } catch (error) { console.error(error.name + ': ' + error.message); }
       console.log(JSON.stringify(dirs));
     }`,
    { KYMO_COLLECTOR_LINGER_MS: '0' },
  ).ended;
}, 60_000);
afterAll(async () => {
  await endCollectors(project);
  rmSync(around, { recursive: true, force: true, maxRetries: 5 });
});

const runs = () => readdirSync(join(project, 'runs'));
const read = (folder: string, file: string) => readFileSync(join(project, 'runs', folder, file), 'utf8');

describe('run ids', () => {
  it('each have a folder of their own directly below runs/, the one that the run names', () => {
    expect(ending.code).toBe(0);
    expect(runs()).toHaveLength(IDS.length);
    const dirs = JSON.parse(ending.stdout) as Record<string, string>;
    IDS.forEach((id, n) => {
      const dir = dirs[n]!;
      expect(dirname(dir)).toBe(join(project, 'runs'));
      const { id: kept, state } = JSON.parse(read(basename(dir), 'run.json')) as Record<string, string>;
      expect(kept).toBe(id);
      expect(state).toBe('finished');
      expect(read(basename(dir), 'logs/metrics.jsonl')).toContain(`"n":${n}}`);
      expect(readdirSync(dir).some(name => name.includes('tfevents'))).toBe(true);
    });
  });

  it('touch nothing outside runs/ and .kymo/', () => {
    expect(readdirSync(around)).toEqual(['a']);
    expect(readdirSync(join(around, 'a'))).toEqual(['b']);
    expect(readdirSync(join(around, 'a/b'))).toEqual(['project']);
    expect(
      readdirSync(project)
        .filter(name => !name.startsWith('train-'))
        .sort(),
    ).toEqual(['.kymo', 'runs']);
    expect(existsSync('/etc/kymo-evil')).toBe(false);
  });

  it('that differ only in case do not collide, also where file names ignore case', () => {
    // Here they may differ; test/collector/runs/folder.test.ts has the other kind of file system.
    const folders = IDS.filter(id => /^case$/i.test(id)).map(id => runs().find(name => name === id));
    expect(folders).toEqual(['Case', 'case', 'CASE']);
  });

  it('of hundreds of characters reach the processes that the run starts', () => {
    const folder = runs().find(name => read(name, 'logs/metrics.jsonl').includes('"child":1'))!;
    expect(JSON.parse(read(folder, 'run.json'))).toMatchObject({ id: IDS.at(-1) });
  });

  it('that cannot be are refused with the argument and what came', () => {
    expect(
      ending.stderr
        .trim()
        .split('\n')
        .filter(line => line.startsWith('TypeError')),
    ).toEqual([
      'TypeError: kymo: init({id}) must be a string with something in it, not string ""',
      'TypeError: kymo: init({id}) must have at most 1000 characters, not 10000',
      'TypeError: kymo: init({id}) must be well-formed Unicode, not "half \\ud800"',
      'TypeError: kymo: init({id}) must be a string with something in it, not number 5',
      'TypeError: kymo: init({id}) must be a string with something in it, not null',
      'TypeError: kymo: init({id}) must be a string with something in it, not object',
    ]);
  });
});
