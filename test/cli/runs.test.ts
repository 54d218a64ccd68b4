import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { UsageError } from '../../src/cli/command.ts';
import { exportCommand } from '../../src/cli/export-command.ts';
import { comparison, parseCondition } from '../../src/cli/run-filter.ts';
import { findRun, listRuns } from '../../src/cli/run-list.ts';
import { runsCommand } from '../../src/cli/runs-command.ts';
import {
  KYMO,
  removeFolder,
  runKymo,
  startKymo,
  temporaryFolder,
  until,
} from '../collector/service/collector-process.ts';
import { maker, sender, wholeRun, writeRuns } from './run-folders.ts';

jest.setTimeout(60_000);
let folder: string;
const kymo = (...args: string[]) => runKymo(args, folder);
const lines = (text: string) => text.trimEnd().split('\n');

beforeAll(async () => {
  folder = fs.realpathSync(temporaryFolder());
  fs.writeFileSync(path.join(folder, 'package.json'), '{}');
  await writeRuns(folder, [
    ...wholeRun('alpha-1', [{ loss: 3 }, { loss: 1 }], { name: 'ppo', tags: ['best'] }),
    ...wholeRun('beta-2', [{ loss: 0.5, 'eval/acc': 0.9 }], {
      state: 'failed',
      config: { lr: 0.01, model: 'big' },
    }),
    ...wholeRun('gamma-3', [{ loss: Number.NaN }], { name: 'ppo', state: 'running' }),
    ...wholeRun('\u001b[31mred\n列車', [{ '\u001b]0;x': 1 }]),
  ]);
  const runs = path.join(folder, 'runs');
  // Long ago: its processes and its collector are gone.
  const gamma = path.join(runs, 'gamma-3', 'run.json');
  fs.writeFileSync(
    gamma,
    fs
      .readFileSync(gamma, 'utf8')
      .replace(/("updated": ")[^"]+/, (_, key) => `${key}2020-01-01T00:00:00.000Z`),
  );
  fs.mkdirSync(path.join(runs, 'foreign'));
  fs.mkdirSync(path.join(runs, 'half'));
  fs.writeFileSync(path.join(runs, 'half', 'run.json'), '{"format": 1, "id": "ha');
  fs.mkdirSync(path.join(runs, 'newer'));
  fs.writeFileSync(path.join(runs, 'newer', 'run.json'), '{"format": 2, "id": "x"}');
  fs.mkdirSync(path.join(runs, 'pipe'));
  spawnSync('mkfifo', [path.join(runs, 'pipe', 'run.json')]);
  fs.writeFileSync(path.join(runs, 'a-file'), '');
  fs.symlinkSync('alpha-1', path.join(runs, 'latest'));
});
afterAll(() => removeFolder(folder));

describe('kymo runs', () => {
  it('lists runs, the newest first, and says what is none; control characters are shown, not obeyed', async () => {
    const { code, stdout, stderr } = await kymo('runs');
    expect(code).toBe(0);
    const rows = lines(stdout).map(line => line.split(/ {2,}/));
    expect(rows[0]!.slice(0, 6)).toEqual(['NAME', 'ID', 'STATE', 'ATT', 'STEP', 'TIME']);
    expect(rows.map(row => row[0])).toEqual(['NAME', '\\u{1b}[31mred\\n列車', 'ppo', 'beta-2', 'ppo']);
    expect(rows[2]).toEqual(expect.arrayContaining(['gamma-3', 'silent', 'loss=NaN']));
    expect(rows[4]!.slice(1)).toEqual(['alpha-1', 'finished', '1', '1', '6s', 'loss=1']);
    expect(stdout).not.toContain('\u001b');
    const runs = path.join(folder, 'runs');
    expect(lines(stderr).sort()).toEqual([
      expect.stringContaining(`${runs}/half: run.json is no JSON: only half of it may have been written`),
      `${runs}/newer: run.json has format 2, this Kymo reads 1: read it with a newer Kymo`,
      `${runs}/pipe: run.json is not a regular file`,
      `no runs (without run.json) in ${runs}: foreign`,
    ]);
  });

  it('filters, sorts, limits, chooses metrics, and gives JSON', async () => {
    const { runs } = listRuns(path.join(folder, 'runs'));
    const ids = (filters: readonly string[], sort = 'created', descending = true) =>
      runs
        .filter(run => filters.map(parseCondition).every(holds => holds(run)))
        .sort(comparison(sort, descending))
        .map(run => run.id)
        .filter(id => /-\d$/.test(id));
    expect(ids(['state=failed'])).toEqual(['beta-2']);
    expect(ids(['loss<=1'], 'loss')).toEqual(['alpha-1', 'beta-2']);
    expect(ids(['loss<=1'], 'loss', false)).toEqual(['beta-2', 'alpha-1']);
    // What a run does not have comes last in either direction; NaN is no number to sort by.
    expect(ids([], 'eval/acc', false)[0]).toBe('beta-2');
    expect(ids(['loss=NaN'])).toEqual(['gamma-3']);
    expect(ids(['name=ppo'])).toEqual(['gamma-3', 'alpha-1']);
    expect(ids(['tag=best'])).toEqual(['alpha-1']);
    expect(ids(['config.lr<0.05'])).toEqual(['beta-2']);
    expect(ids(['config.model~BI'])).toEqual(['beta-2']);
    expect(ids(['loss:max>2'])).toEqual(['alpha-1']);
    expect(ids(['state!=finished', 'state!=silent'])).toEqual(['beta-2']);
    expect(ids(['duration<1m', 'duration>1s', 'id!~mm'])).toEqual(['beta-2', 'alpha-1']);
    const { stdout } = await kymo(
      'runs',
      '--metrics',
      'loss,eval/acc,loss:min',
      '--filter',
      'loss>0',
      '--sort',
      'loss',
      '--reverse',
      '--limit',
      '2',
    );
    expect(lines(stdout).map(line => line.split(/ {2,}/).slice(-3))).toEqual([
      ['loss', 'eval/acc', 'loss:min'],
      ['0.5', '0.9', '0.5'],
      ['1', '-', '1'],
    ]);
    const json = JSON.parse((await kymo('runs', '--json', '--filter', 'id=beta-2')).stdout);
    expect(json).toEqual([
      expect.objectContaining({ id: 'beta-2', state: 'failed', path: path.join(folder, 'runs/beta-2') }),
    ]);
  });

  it.each([
    [['--filter', 'loss'], '--filter "loss": write KEY and one of'],
    [['--filter', 'los<1'], 'no run has "los" (did you mean "loss"?)'],
    [['--sort', 'stat'], 'no run has "stat" (did you mean "state"?)'],
    [['--limit', 'x'], '--limit takes a whole number, not "x"'],
  ])('%j is a mistake of use', async (args, said) => {
    const mistake = runsCommand.run([path.join(folder, 'runs'), ...args]);
    await expect(mistake).rejects.toThrow(UsageError);
    await expect(mistake).rejects.toThrow(said);
  });

  it('looks where KYMO_CONFIG has the runs', async () => {
    fs.writeFileSync(path.join(folder, 'mine.yaml'), 'exporters: {jsonl/x: {directory: elsewhere-still}}\n');
    const { stderr } = await runKymo(['runs'], folder, { KYMO_CONFIG: 'mine.yaml' });
    expect(stderr).toContain(`no folder ${folder}/elsewhere-still;`);
  });

  it('says where nothing is', async () => {
    const { code, stderr } = await kymo('runs', 'nowhere');
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `kymo runs: no folder ${folder}/nowhere; name the one that holds the run folders\n`,
    });
    expect((await kymo('runs', 'runs/a-file')).stderr).toContain('a-file is not a folder');
  });

  it('says when no run matches', async () => {
    const { code, stderr } = await kymo('runs', '--filter', 'state=crash');
    expect(code).toBe(0);
    expect(stderr).toMatch(/none of \d runs matches\n/);
  });

  it('ends quietly when its reader does', async () => {
    const child = spawn('sh', ['-c', `"${process.execPath}" "${KYMO}" runs --json 2>&1 | head -1`], {
      cwd: folder,
    });
    let output = '';
    child.stdout.on('data', data => {
      output += data;
    });
    await new Promise(resolve => child.on('close', resolve));
    expect(output).not.toContain('EPIPE');
  });
});

describe('kymo show', () => {
  it('shows who a run is, its config, metrics and files, and what is wrong with it', async () => {
    const { code, stdout } = await kymo('show', 'beta');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^run {2,}beta-2\n/);
    expect(stdout).toMatch(/state {2,}failed\n/);
    expect(stdout).toMatch(/ {2}lr {2,}0\.01\n {2}model {2,}big\n/);
    expect(stdout).toMatch(/\neval\/acc {2,}0\.9 {2,}0 /);
    expect(stdout).toMatch(/\nlogs\/metrics\.jsonl {2,}\d+ B\n/);
    const { stdout: other } = await kymo('show', 'gamma');
    expect(other).toMatch(/PROBLEMS\n(.*\n)* {2}loss was NaN or infinite 1 time\n/);
  });

  it('finds a run by path, id, name (the newest of several) and beginning, without any the newest; says what it cannot find', async () => {
    const runs = path.join(folder, 'runs');
    const idOf = (wanted?: string) => findRun(wanted, runs).id;
    expect(idOf(path.join(runs, 'alpha-1'))).toBe('alpha-1');
    expect(idOf('alp')).toBe('alpha-1');
    expect(idOf()).toBe('\u001b[31mred\n列車');
    expect(idOf('\u001b[31mred\n列車')).toBe('\u001b[31mred\n列車');
    expect(() => idOf('pp')).toThrow('"pp" fits 2 runs: gamma-3, alpha-1');
    expect(() => idOf('beta-3')).toThrow(
      `no run "beta-3" in ${runs} (did you mean "beta-2"?); kymo runs lists them`,
    );
    expect(() => idOf('half')).toThrow('run.json is no JSON');
    expect(JSON.parse((await kymo('show', '--json', 'alpha-1')).stdout)).toMatchObject({
      id: 'alpha-1',
      config: { lr: 0.1 },
    });
    expect((await kymo('show', 'ppo')).stderr).toContain(
      '2 runs are called ppo: this is the newest, gamma-3',
    );
  });
});

describe('kymo tail', () => {
  it('shows the last rows and texts and ends with the run, by its state', async () => {
    const [failed, finished] = await Promise.all([
      kymo('tail', 'beta-2', '--until-end'),
      kymo('tail', 'alpha-1', '--until-end', '--rows', '--lines', '1', '--json'),
    ]);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain('the run failed');
    expect(failed.stdout).toMatch(/step 0 {2}loss=0\.5 {2}eval\/acc=0\.9\n/);
    expect(failed.stdout).toMatch(/\[kymo\.run\.finish\] {2}kymo\.run\.state=failed\n/);
    expect(finished.code).toBe(0);
    expect(lines(finished.stdout).map(line => JSON.parse(line))).toEqual([
      { step: 1, time: expect.any(Number), loss: 1 },
    ]);
  });

  it('follows what comes, also after the folder was removed and came back, until Ctrl-C', async () => {
    const run = path.join(folder, 'elsewhere/live');
    const row = (step: number) => `{"step":${step},"time":1795262400.5,"loss":${step}}\n`;
    const write = (step: number) => {
      fs.mkdirSync(path.join(run, 'logs'), { recursive: true });
      fs.writeFileSync(path.join(run, 'run.json'), '{"format":1,"id":"live","state":"running"}');
      fs.appendFileSync(path.join(run, 'logs/metrics.jsonl'), row(step));
    };
    write(1);
    const tail = startKymo(['tail', run], folder);
    try {
      await until('the first row', () => /step 1 /.test(tail.output()) || undefined);
      fs.appendFileSync(path.join(run, 'logs/metrics.jsonl'), row(2));
      await until('the second row', () => /step 2 /.test(tail.output()) || undefined);
      fs.rmSync(run, { recursive: true });
      await until(
        'the news',
        () => /was removed; going on when it comes back/.test(tail.output()) || undefined,
      );
      write(3);
      await until('the third row', () => /step 3 /.test(tail.output()) || undefined);
    } finally {
      tail.child.kill('SIGINT');
    }
    const { code, stdout } = await tail.ended;
    expect(code).toBe(0);
    expect(stdout.match(/step \d/g)).toEqual(['step 1', 'step 2', 'step 3']);
  });
});

describe('kymo export', () => {
  beforeAll(async () => {
    const first = sender('table', { instance: 'one' });
    const again = sender('table', { instance: 'two', attempt: 2 });
    await writeRuns(folder, [
      maker.rows(first, [
        { values: { loss: 3, big: 2n ** 60n }, step: 0 },
        { values: { loss: 2 }, step: 1 },
        { values: { '=sum': 1, 'a,b': Number.POSITIVE_INFINITY, time: -0 }, step: 1 },
        { values: { loss: 1.5 }, step: 2 },
      ]),
      maker.logs(again, [{ eventName: 'kymo.run.start', attributes: { 'kymo.run.resume_step': 2 } }]),
      maker.rows({ ...again, scopeAttributes: { 'kymo.scope': 'env' } }, [
        { values: { loss: 1 }, step: 2, attributes: { 'kymo.mode': 'eval' } },
      ]),
    ]);
  });

  it('--wide has a column per metric, one line per step, without what was superseded', async () => {
    const { stdout } = await kymo('export', 'table', '--csv');
    expect(stdout.replace(/\d{10}\.\d{6}/g, 'T').split('\r\n')).toEqual([
      `time,step,scope,instance,attempt,loss,big,'=sum,"a,b",~time,env/eval/loss`,
      'T,0,global,,1,3,1152921504606846976,,,,',
      'T,1,global,,1,2,,1,Infinity,-0,',
      'T,2,env,two,2,,,,,,1',
      '',
    ]);
    expect((await kymo('export', 'table', '--csv', '--all')).stdout).toContain(',2,global,,1,1.5,');
  });

  it('--long is what the csv exporter wrote, byte for byte', async () => {
    const [{ stdout: all }, { stdout: superseded }] = await Promise.all([
      kymo('export', 'table', '--csv', '--long', '--all'),
      kymo('export', 'table', '--csv', '--long'),
    ]);
    expect(all).toBe(fs.readFileSync(path.join(folder, 'runs/table/logs/metrics.csv'), 'utf8'));
    expect(lines(superseded)).toHaveLength(lines(all).length - 1);
  });

  it('--parquet keeps every value: doubles, int64, text, and nothing where there was nothing', async () => {
    const { parquetReadObjects, asyncBufferFromFile } = await import('hyparquet');
    const output = path.join(folder, 'table.parquet');
    expect(await kymo('export', 'table', '--output', output)).toMatchObject({ code: 0, stdout: '' });
    const rows = await parquetReadObjects({ file: await asyncBufferFromFile(output) });
    expect(rows.map(({ time: _, ...row }) => row)).toEqual([
      { step: 0n, scope: 'global', instance: '', attempt: 1n, loss: 3, big: 2n ** 60n, ...NOTHING },
      {
        step: 1n,
        scope: 'global',
        instance: '',
        attempt: 1n,
        loss: 2,
        big: null,
        ...NOTHING,
        '=sum': 1,
        'a,b': Infinity,
        '~time': -0,
      },
      {
        step: 2n,
        scope: 'env',
        instance: 'two',
        attempt: 2n,
        loss: null,
        big: null,
        ...NOTHING,
        'env/eval/loss': 1,
      },
    ]);
    expect(await kymo('export', 'table', '--output', output)).toMatchObject({
      code: 1,
      stderr: `kymo export: ${output} is there already: --force replaces it\n`,
    });
    expect((await kymo('export', 'table', '--output', output, '--force')).code).toBe(0);
    expect(fs.readdirSync(folder).filter(name => name.endsWith('.tmp'))).toEqual([]);
  });

  it('--jsonl leaves out what is not there; half a line and damage are left out and said', async () => {
    const file = path.join(folder, 'runs/table/logs/metrics.jsonl');
    fs.appendFileSync(file, '{"step":3,"time":1,"attempt":2,"loss":9}\nno json\n{"step":4,"ti');
    const { stdout, stderr } = await kymo('export', 'table', '--jsonl');
    const rows = lines(stdout).map(line => JSON.parse(line));
    expect(rows).toHaveLength(4);
    expect(rows[1]).toEqual({
      time: expect.any(Number),
      step: 1,
      scope: 'global',
      instance: '',
      attempt: 1,
      loss: 2,
      '=sum': 1,
      'a,b': 'Infinity',
      '~time': -0,
    });
    expect(rows[3]).toMatchObject({ step: 3, loss: 9 });
    expect(stderr).toBe('1 line that cannot be read: left out\n');
  });

  it.each([
    [['table'], 'which format? --csv, --parquet or --jsonl'],
    [['table', '--output', 'x.pq'], '.pq is none of them'],
    [['table', '--csv', '--jsonl'], 'give one format: --csv or --jsonl'],
    [['table', '--parquet'], '--parquet needs --output'],
  ])('%j is a mistake of use', async (args, said) => {
    const mistake = exportCommand.run(args);
    await expect(mistake).rejects.toThrow(UsageError);
    await expect(mistake).rejects.toThrow(said);
  });
});

const NOTHING = { '=sum': null, 'a,b': null, '~time': null, 'env/eval/loss': null };
