// Run folders and bare metrics files, as vibe-rl's users know them: layout, best, cleanup, finding; rows, backends, torn ends.
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import * as tf from '@tensorflow/tfjs';
import { findRuns } from '../../../src/research/runs/find-runs.ts';
import { type LogBackend, MetricsLogger } from '../../../src/research/runs/metrics-logger.ts';
import { readMetrics } from '../../../src/research/runs/read-metrics.ts';
import { RunDir } from '../../../src/research/runs/run-dir.ts';

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'kymo-dirs-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));
const dir = (name?: string, runId?: string): RunDir =>
  new RunDir(name, { baseDir: base, ...(runId !== undefined && { runId }) });

describe('a run folder', () => {
  it('is named after experiment and time, with its four folders, and two of one moment are two', () => {
    const many = Array.from({ length: 50 }, () => dir('dqn_cartpole'));
    expect(new Set(many.map(one => one.root)).size).toBe(50);
    const [one] = many;
    expect(one!.runId).toMatch(/^dqn_cartpole_\d{8}_\d{6}_[0-9a-z]{4}$/);
    expect(one!.root).toBe(join(base, one!.runId));
    expect(readdirSync(one!.root).sort()).toEqual(['artifacts', 'checkpoints', 'logs', 'videos']);
    expect(`${one}`).toBe(one!.root);
    expect(dir().runId).toMatch(/^default_/);
    for (const hostile of ['../../evil', '/etc', 'a/b', '..']) expect(dirname(dir(hostile).root)).toBe(base);
  });

  it('is opened again by its id, whatever the id is', () => {
    const one = dir('x');
    writeFileSync(join(one.logs, 'kept'), '');
    expect(readdirSync(dir(undefined, one.runId).logs)).toEqual(['kept']);
    const hostile = dir(undefined, '../evil');
    expect(readdirSync(base)).toContain(basename(hostile.root));
    expect(existsSync(join(base, '../evil'))).toBe(false);
  });

  it('has paths for logs, videos, checkpoints; names that lead elsewhere are refused', () => {
    const one = dir('x');
    expect(one.logPath()).toBe(join(one.root, 'logs/metrics.jsonl'));
    expect(one.logPath('eval.jsonl')).toBe(join(one.root, 'logs/eval.jsonl'));
    expect(one.videoPath(500)).toBe(join(one.root, 'videos/eval_step_500.mp4'));
    expect(one.videoPath(5, 'train')).toBe(join(one.root, 'videos/train_step_5.mp4'));
    expect(statSync(one.checkpointDir(7)).isDirectory()).toBe(true);
    expect(one.checkpointDir(7)).toBe(join(one.checkpoints, 'step_7'));
    for (const name of ['../x', 'a/b', '..', '', 'a\\b', 5])
      expect(() => one.logPath(name as string)).toThrow(TypeError);
    for (const step of [-1, 1.5, '5', Number.NaN])
      expect(() => one.checkpointDir(step as number)).toThrow(/whole number/);
  });

  it('keeps a configuration: plain, frozen, nested; a run’s own is left to the run', () => {
    const one = dir('x');
    const config = Object.freeze({ algo: 'dqn', lr: 1e-3, net: { layers: [64, 64] } });
    one.saveConfig(config);
    expect({ ...one.loadConfig() }).toEqual(config);
    expect(() => dir('y').loadConfig()).toThrow(/config\.json/);
    writeFileSync(join(one.root, 'run.json'), '{}');
    expect(() => one.saveConfig({})).toThrow(/written from run\.config; set that instead/);
  });

  it('lists checkpoints by step and leaves out what is none', () => {
    const one = dir('x');
    expect([one.latestCheckpoint(), one.bestCheckpoint(), one.listCheckpoints()]).toEqual([
      undefined,
      undefined,
      [],
    ]);
    for (const step of [100, 5, 20]) one.checkpointDir(step);
    for (const other of ['step_x', 'step_', 'final', 'step_05', 'STEP_7'])
      mkdirSync(join(one.checkpoints, other));
    writeFileSync(join(one.checkpoints, 'step_999'), 'a file');
    expect(one.listCheckpoints().map(path => basename(path))).toEqual(['step_5', 'step_20', 'step_100']);
    expect(basename(one.latestCheckpoint()!)).toBe('step_100');
  });

  it('marks the best by a link, and marks another one', () => {
    const one = dir('x');
    for (const step of [1, 2]) one.checkpointDir(step);
    one.markBest(1);
    const link = join(one.checkpoints, 'best');
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(readlinkSync(link)).toBe('step_1');
    one.markBest(2);
    expect(one.bestCheckpoint()).toBe(join(one.checkpoints, 'step_2'));
    expect(readdirSync(one.checkpoints).sort()).toEqual(['best', 'step_1', 'step_2']);
    expect(() => one.markBest(3)).toThrow(/step_3: there is no such checkpoint to mark as best/);
    rmSync(link);
    symlinkSync('/etc', link);
    expect(one.bestCheckpoint()).toBeUndefined();
  });

  it('cleans up: the newest stay, and the best, never fewer than one', () => {
    const one = dir('x');
    for (let step = 1; step <= 8; step++) writeFileSync(join(one.checkpointDir(step), 'weights'), 'w');
    one.markBest(2);
    expect(one.cleanupCheckpoints(3).map(path => basename(path))).toEqual([
      'step_1',
      'step_3',
      'step_4',
      'step_5',
    ]);
    expect(one.listCheckpoints().map(path => basename(path))).toEqual([
      'step_2',
      'step_6',
      'step_7',
      'step_8',
    ]);
    expect(one.cleanupCheckpoints()).toEqual([]);
    for (const keep of [0, -1, 1.5]) expect(() => one.cleanupCheckpoints(keep)).toThrow(RangeError);
    expect(one.bestCheckpoint()).toBe(join(one.checkpoints, 'step_2'));
  });
});

describe('finding runs', () => {
  it('gives them oldest first, by experiment if one is asked for; a missing or empty folder has none', () => {
    expect(findRuns(join(base, 'nowhere'))).toEqual([]);
    expect(findRuns(base)).toEqual([]);
    for (const name of [
      'b_20260102_000000',
      'a_20260103_000000_x1y2',
      'b_20260101_235959',
      'notes',
      '.hidden_20260101_000000',
    ])
      mkdirSync(join(base, name));
    mkdirSync(join(base, 'kymo'));
    writeFileSync(
      join(base, 'kymo/run.json'),
      '{"format":1,"id":"kymo","project":"b","name":"seed 1","state":"finished","created":"2026-01-02T12:00:00.000Z"}',
    );
    expect(findRuns(base).map(run => run.id)).toEqual([
      'b_20260101_235959',
      'b_20260102_000000',
      'kymo',
      'a_20260103_000000_x1y2',
    ]);
    expect(findRuns(base, { project: 'b' }).map(run => [run.id, run.state])).toEqual([
      ['b_20260101_235959', 'unknown'],
      ['b_20260102_000000', 'unknown'],
      ['kymo', 'finished'],
    ]);
    expect(findRuns(base, { project: 'c' })).toEqual([]);
    expect(findRuns(base)[2]).toMatchObject({
      project: 'b',
      name: 'seed 1',
      path: join(base, 'kymo'),
      created: new Date('2026-01-02T12:00:00Z'),
    });
  });

  it('passes over folders that cannot be read, and says so to whom it concerns', () => {
    mkdirSync(join(base, 'x_20260101_000000'));
    writeFileSync(join(base, 'x_20260101_000000/run.json'), '{"format": 1, ');
    const errors: string[] = [];
    expect(findRuns(base, { onBroken: error => errors.push(error.message) })).toEqual([]);
    expect(errors).toEqual([expect.stringMatching(/run\.json:1:\d+: is no JSON/)]);
  });
});

describe('a bare metrics file', () => {
  const file = (): string => join(base, 'deep/er/metrics.jsonl');
  const lines = (): string[] => readFileSync(file(), 'utf8').split('\n').slice(0, -1);

  it('has one line per row, written at once, folders made; fields may differ', () => {
    using logger = new MetricsLogger(file());
    expect(logger.path).toBe(file());
    logger.write({ step: 1, loss: 0.42 });
    expect(readMetrics(file())).toEqual([{ step: 1, loss: 0.42, wall_time: expect.any(Number) }]);
    logger.write({ step: 2, reward: 195, done: true, note: 'ü "q"', list: [1, { a: null }] });
    expect(readMetrics(file())[1]).toMatchObject({
      step: 2,
      reward: 195,
      done: true,
      note: 'ü "q"',
      list: [1, { a: null }],
    });
  });

  it('adds wall_time with three digits, unless it is given', () => {
    using logger = new MetricsLogger(file());
    logger.write({ step: 1 });
    logger.write({ step: 2, wall_time: 99.5 });
    expect(lines()[0]).toMatch(/"wall_time":\d+(\.\d{1,3})?}$/);
    expect(readMetrics(file())[1]!.wall_time).toBe(99.5);
  });

  it('takes typed arrays and tensors of one number, bigints, NaN; refuses several and writes nothing then', () => {
    using logger = new MetricsLogger(file());
    logger.write({
      a: Float32Array.of(0.5),
      b: tf.scalar(2),
      c: 2n ** 60n,
      d: Number.NaN,
      e: undefined,
      f: Number.NEGATIVE_INFINITY,
    });
    expect(lines()[0]).toMatch(
      /^\{"a":0\.5,"b":2,"c":1152921504606846976,"d":"NaN","f":"-Infinity","wall_time":/,
    );
    expect(readMetrics(file(), { columns: ['d', 'f'] }).columns.get('f')![0]).toBe(Number.NEGATIVE_INFINITY);
    expect(() => logger.write({ loss: Float32Array.of(1, 2) })).toThrow(
      /"loss" must hold one number, not Float32Array of several/,
    );
    expect(() => logger.write([] as never)).toThrow(/write\(record\) must be an object/);
    expect(lines()).toHaveLength(1);
  });

  it('is appended to, its wall time goes on, and half a line at its end is cut off', () => {
    new MetricsLogger(file()).write({ step: 1, wall_time: 5_000 });
    appendFileSync(file(), '{"step":2,"lo');
    {
      using logger = new MetricsLogger(file());
      logger.write({ step: 3 });
    }
    expect(readMetrics(file()).map(row => row.step)).toEqual([1, 3]);
    expect(readMetrics(file())[1]!.wall_time).toBeGreaterThanOrEqual(5_000);
    // A whole line without its end is kept.
    appendFileSync(file(), '{"step":4}');
    new MetricsLogger(file()).write({ step: 5 });
    expect(readMetrics(file()).map(row => row.step)).toEqual([1, 3, 4, 5]);
  });

  it('that holds something else is refused and left as it is', () => {
    for (const text of ['hello', 'notes\n{"step":1', '[1, 2]\n', '# title\n']) {
      const other = join(base, 'other.txt');
      writeFileSync(other, text);
      expect(() => new MetricsLogger(other)).toThrow(/holds something else than rows of metrics/);
      expect(readFileSync(other, 'utf8')).toBe(text);
    }
  });

  it('tells its backends each row and closes them, and an error of one reaches nobody', () => {
    const heard: unknown[] = [];
    const good: LogBackend = {
      log: (record, step) => heard.push([record.loss, step]),
      close: () => heard.push('closed'),
    };
    const bad: LogBackend = {
      log() {
        throw new Error('no network');
      },
    };
    const logger = new MetricsLogger(file(), { backends: [bad, good] });
    logger.write({ step: 3, loss: 1 });
    logger.write({ loss: tf.scalar(2) });
    logger.close();
    logger.close();
    expect(heard).toEqual([[1, 3], [2, undefined], 'closed']);
    expect(() => logger.write({ loss: 1 })).toThrow(/is closed/);
    expect(readMetrics(file())).toHaveLength(2);
    expect(() => new MetricsLogger(file(), { backends: [{}] as never })).toThrow(/backends/);
  });

  it('of a run that the collector writes is left alone', () => {
    mkdirSync(join(base, 'run/logs'), { recursive: true });
    writeFileSync(join(base, 'run/run.json'), '{}');
    expect(() => new MetricsLogger(join(base, 'run/logs/metrics.jsonl'))).toThrow(
      /belongs to a run, whose files the collector writes; log to the run/,
    );
    expect(existsSync(join(base, 'run/logs/metrics.jsonl'))).toBe(false);
  });
});
