// The example of device-resident histories, as a process of its own: statistics and the flight recording are in its run.
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, expect, it, jest } from '@jest/globals';
import { Project } from './run-example.ts';

jest.setTimeout(60_000);
const project = new Project();
afterAll(() => project.remove());

it('history.ts writes what it observed and its last frames', async () => {
  const { run, stdout, stderr } = await project.run('history.ts');
  expect(stderr).toBe('');
  const [, written, skipped] = /(\d+) looks, (\d+) skipped/.exec(stdout)!;
  expect(Number(written) + Number(skipped)).toBe(20);
  const rows = run.lines('metrics.jsonl').filter(row => 'history/reward/mean' in row);
  expect(rows).toHaveLength(Number(written));
  for (const row of rows) {
    expect(Number(row.step) % 50).toBe(0);
    // A walker's episode ends where its reward would be negative.
    expect(row['history/reward/min']).toBeGreaterThanOrEqual(0);
    expect(row['history/reward/max']).toBeLessThanOrEqual(1);
  }
  const [artifact] = run.lines('artifacts.jsonl' as 'logs.jsonl');
  expect(JSON.stringify(artifact)).toContain('"the end"');
  const folder = path.join(run.path, 'artifacts', 'flight-recorder.npz', 'v0');
  expect(fs.readFileSync(path.join(folder, 'flight-recorder.npz')).subarray(0, 2).toString()).toBe('PK');
});
