// Each numbered example runs as a process of its own, and its run's files say what it said.

import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { rustCurves } from '../collector/exporters/tensorboard/readers.ts';
import { Project } from './run-example.ts';

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));
const MAX_LINES = 40;

// Processes on a machine that may be busy.
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

const numbered = fs.readdirSync(EXAMPLES).filter(name => /^\d\d-.*\.ts$/.test(name));

describe('the numbered examples', () => {
  it.each(numbered)('%s is small and listed', file => {
    const text = fs.readFileSync(EXAMPLES + file, 'utf8');
    expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(MAX_LINES);
    expect(fs.readFileSync(`${EXAMPLES}README.md`, 'utf8')).toContain(`](${file})`);
  });

  it('01-basic writes one row per call, text, config and event files', async () => {
    const { run, stdout, stderr } = await project.run('01-basic.ts');
    expect(stderr).toBe('');
    expect(stdout).toContain(run.path);
    const rows = run.lines('metrics.jsonl');
    expect(rows.map(row => row.step)).toEqual(Array.from({ length: 10_000 }, (_, step) => step));
    expect(rows.every(row => row['train/lr'] === 1e-2)).toBe(true);
    expect(rows[50]!['train/loss']).toBe(Math.exp(-50 / 2_000) + 0.05 * Math.sin(1));
    expect(texts(run.lines('logs.jsonl'))).toEqual([
      expect.objectContaining({ message: 'done', logger: 'trainer' }),
    ]);
    expect(run.json('config.json')).toEqual({ lr: 1e-2, layers: [64, 64] });
    expect(run.json('run.json')).toMatchObject({ state: 'finished', name: 'basic', project: 'examples' });
    expect(run.eventFiles()).toHaveLength(1);
  });

  it('02-text keeps levels, fields and the error', async () => {
    const { run, stderr } = await project.run('02-text.ts');
    expect(stderr).toBe('');
    const lines = texts(run.lines('logs.jsonl'));
    expect(lines.map(line => [line.level, line.message])).toEqual([
      ['DEBUG', 'reading the data'],
      ['INFO', 'ready'],
      ['WARN', 'a row was skipped'],
      ['ERROR', 'could not read the settings'],
    ]);
    expect(lines[2]!.attributes).toMatchObject({ shard: 7, row: 123, reason: 'no label' });
    expect(lines[3]!.attributes).toMatchObject({ 'exception.type': 'SyntaxError' });
    expect((lines[3]!.attributes as Record<string, string>)['exception.stacktrace']).toContain('02-text.ts');
  });

  it('03-timeit writes nested spans, timings, and the failure', async () => {
    const { run, stderr, stdout } = await project.run('03-timeit.ts');
    expect(stderr).toBe('');
    expect(stdout).toContain('the error came through (RangeError: the batch is empty)');
    const spans = run.lines('spans.jsonl');
    expect(count(spans.map(span => span.name))).toEqual({
      load: 9,
      mean: 9,
      batches: 3,
      epoch: 3,
      fragile: 1,
    });
    const epochs = new Set(spans.filter(span => span.name === 'epoch').map(span => span.span_id));
    for (const span of spans.filter(({ name }) => name === 'mean'))
      expect(epochs).toContain(span.parent_span_id);
    expect(spans.find(span => span.name === 'fragile')).toMatchObject({
      status: 'error',
      attributes: { 'error.type': 'RangeError' },
    });
    const rows = run.lines('metrics.jsonl');
    const timings = rows.flatMap(row => Object.keys(row).filter(key => key.startsWith('timings/')));
    expect(count(timings)).toEqual({
      'timings/load': 9,
      'timings/mean': 9,
      'timings/batches': 3,
      'timings/epoch': 3,
      'timings/fragile': 1,
    });
    // TensorBoard shows the same seconds; event files hold 32-bit floats.
    const epochRows = rows.filter(row => 'timings/epoch' in row);
    expect(rustCurves(run.path).get('timings/epoch')).toEqual(
      epochRows.map(row => [row.step, Math.fround(row['timings/epoch'] as number)]),
    );
  });

  it('04-histograms writes bins of two widths', async () => {
    const { run, stderr } = await project.run('04-histograms.ts');
    expect(stderr).toBe('');
    const histograms = run.lines('metrics.jsonl').filter(row => row.histogram !== undefined);
    expect(histograms).toHaveLength(100);
    const coarse = histograms.filter(row => row.histogram === 'weights/dense_0 (coarse)');
    expect(coarse.map(row => row.step)).toEqual(Array.from({ length: 50 }, (_, step) => step));
    for (const row of coarse) expect(row.counts).toHaveLength(8);
    for (const row of histograms) {
      expect((row.counts as number[]).reduce((sum, n) => sum + n, 0)).toBe(1_000);
      expect(row.max).toBeGreaterThan(row.min as number);
    }
  });

  it('05-modes keeps training and evaluation apart and collects rows', async () => {
    const { run, stderr } = await project.run('05-modes.ts');
    expect(stderr).toBe('');
    const rows = run.lines('metrics.jsonl');
    const training = rows.filter(row => row.mode === undefined);
    expect(training).toHaveLength(100);
    expect(training.every(row => 'loss' in row && 'gradient/norm' in row)).toBe(true);
    const evaluation = rows.filter(row => row.mode === 'eval');
    expect(evaluation.map(row => row.step)).toEqual([9, 19, 29, 39, 49, 59, 69, 79, 89, 99]);
    expect(evaluation[0]).toMatchObject({ 'eval/loss': 0.15, 'eval/accuracy': 0.09 });
    expect(rows.filter(row => row.mode === 'test')).toMatchObject([{ step: 99, 'test/accuracy': 0.97 }]);
    expect(run.json('config.json')).toEqual({ lr: 0.1, optimizer: 'sgd' });
    expect(run.json('run.json')).toMatchObject({ summary: { best_accuracy: 0.97 } });
  });

  it('06-processes writes the rows of four processes into one run', async () => {
    const { run, stderr } = await project.run('06-processes.ts');
    expect(stderr).toBe('');
    const rows = run.lines('metrics.jsonl');
    for (let rank = 0; rank < 4; rank++) {
      const own = rows.filter(row => (row.rank ?? 0) === rank);
      expect(own.map(row => row.loss)).toEqual(
        Array.from({ length: 200 }, (_, step) => (rank + 1) / (step + 1)),
      );
    }
    expect(rows).toHaveLength(800);
    expect(run.json('run.json')).toMatchObject({ state: 'finished' });
  });

  it('07-resume keeps both attempts, marks what is superseded, and takes a late step', async () => {
    const { run, stderr } = await project.run('07-resume.ts');
    expect(stderr).toBe('');
    const rows = run.lines('metrics.jsonl');
    const first = rows.filter(row => 'loss' in row && row.attempt === undefined);
    expect(first.map(row => row.step)).toEqual(Array.from({ length: 100 }, (_, step) => step));
    const second = rows.filter(row => 'loss' in row && row.attempt === 2);
    expect(second.map(row => row.step)).toEqual(Array.from({ length: 70 }, (_, i) => 80 + i));
    expect(rows.filter(row => 'score' in row).map(row => row.step)).toEqual([120, 90]);
    expect(rows.filter(row => row.superseded !== undefined)).toMatchObject([
      { superseded: { from_step: 80 } },
    ]);
    expect(run.json('run.json')).toMatchObject({ state: 'finished' });
  });

  it('08-opentelemetry brings spans, records and instruments of other libraries into the run', async () => {
    const { run, stderr } = await project.run('08-opentelemetry.ts');
    expect(stderr).toBe('');
    const spans = run.lines('spans.jsonl');
    expect(spans.map(span => [span.name, span.logger])).toEqual(
      Array.from({ length: 5 }, () => ['request', 'a-library']),
    );
    const traces = new Set(spans.map(span => span.trace_id));
    const lines = texts(run.lines('logs.jsonl'));
    expect(lines.map(line => line.message)).toEqual([0, 1, 2, 3, 4].map(step => `request ${step} came`));
    expect(new Set(lines.map(line => line.trace_id))).toEqual(traces);
    const rows = run.lines('metrics.jsonl');
    expect(new Set(rows.filter(row => 'latency' in row).map(row => row.trace_id))).toEqual(traces);
    expect(rows.filter(row => 'requests' in row).at(-1)).toMatchObject({ requests: 5 });
  });

  it('09-scopes-and-handlers brings each scope to its handlers, and everything to the run', async () => {
    const { run, stdout, stderr } = await project.run('09-scopes-and-handlers.ts');
    expect(stdout.split('\n').slice(0, 2)).toEqual(['episode_1: reset', 'episode_1.env: a goal was reached']);
    expect(stderr.trimEnd().split('\n')).toEqual([
      '[examples] Step 0 (train): lr = 0.0010, losses { policy=1.0000, value=2.0000 }',
      '[examples] Step 50 (train): lr = 0.0010, losses { policy=0.0196, value=0.0392 }',
      expect.stringMatching(/ - INFO - .*09-scopes-and-handlers\.ts:\d+ - heard on the console$/),
      '[examples] Step 100 (train): lr = 0.0010, losses { policy=0.0099, value=0.0198 }',
    ]);
    expect(texts(run.lines('logs.jsonl'))).toHaveLength(7);
    expect(run.lines('metrics.jsonl').filter(row => 'train/lr' in row)).toHaveLength(101);
  });

  it('10-custom-handler makes its handler in the child process too', async () => {
    const { run, stdout, stderr } = await project.run('10-custom-handler.ts');
    expect(stderr).toBe('');
    expect(stdout.trimEnd().split('\n')).toEqual([
      'rank 1: no progress since step 49',
      'rank 0: no progress since step 29',
    ]);
    expect(
      run.lines('metrics.jsonl').filter(row => 'train/loss' in row || 'train/loss/rank=1' in row),
    ).toHaveLength(200);
  });
});

/** Lines that are no events. */
function texts(lines: readonly Readonly<Record<string, unknown>>[]): Readonly<Record<string, unknown>>[] {
  return lines.filter(line => line.event === undefined);
}

function count(names: readonly unknown[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[String(name)] = (counts[String(name)] ?? 0) + 1;
  return counts;
}
