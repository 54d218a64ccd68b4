import { closeSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openJournal } from '../../src/collector/journal/journal.ts';
import { createLogger } from '../../src/collector/telemetry/logger.ts';
import { jsonToProtobuf } from '../../src/otlp/json.ts';
import {
  pointRequest,
  removeFolder,
  runKymo,
  temporaryFolder,
} from '../collector/service/collector-process.ts';

let folder: string;
const journalFolder = () => join(folder, '.kymo/journal');

beforeAll(async () => {
  folder = temporaryFolder();
  writeFileSync(join(folder, 'package.json'), '{}');
  const journal = await openJournal({
    directory: journalFolder(),
    logger: createLogger({ write: () => {} }),
  });
  for (const [run, step] of [
    ['r1', 1],
    ['r2', 1],
    ['r1', 2],
    ['r1', 3],
  ] as const) {
    // The last one is what a sender puts beside its rows: the step as a gauge.
    const name = step === 3 ? 'kymo.step' : 'loss';
    const bytes = jsonToProtobuf('metrics', pointRequest(run, name, step, step));
    await journal.append({ signal: 'metrics', bytes, batchKey: '' });
  }
  await journal.close();
});
afterAll(() => removeFolder(folder));

describe('kymo replay', () => {
  it('writes the chosen run again, and only it, into a folder of its own', async () => {
    const { code, stdout } = await runKymo(['replay', '--run', 'r1', '--exporter', 'jsonl'], folder);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `1 of 1 runs: 2 points, 0 log records, 0 spans, and 1 point of kymo.step beside them\nwritten to ${join(folder, 'replayed')}\n`,
    });
    expect(readdirSync(join(folder, 'replayed'))).toEqual(['r1']);
    const rows = readFileSync(join(folder, 'replayed/r1/logs/metrics.jsonl'), 'utf8').trim().split('\n');
    expect(rows.map(row => JSON.parse(row).step)).toEqual([1, 2]);
  });

  it('never writes over what is there, and names what is missing', async () => {
    const again = await runKymo(['replay', '--run', 'r1', '--exporter', 'jsonl'], folder);
    expect(again).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is not empty: give another folder with --into'),
    });
    const missing = await runKymo(['replay', '--run', 'r9', '--exporter', 'jsonl', '--into', 'x'], folder);
    expect(missing).toMatchObject({ code: 1, stderr: 'the journal holds nothing of run r9\n' });
    const exporter = await runKymo(['replay', '--run', 'r1', '--exporter', 'jsnl'], folder);
    expect(exporter).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('(did you mean "jsonl"?); it has jsonl, tensorboard'),
    });
  });
});

describe('kymo journal inspect', () => {
  it('says what is in a journal, and with 1 that it is damaged', async () => {
    const good = await runKymo(['journal', 'inspect'], folder);
    expect(good.code).toBe(0);
    expect(good.stdout).toContain('metrics: 4 requests');
    expect(
      JSON.parse((await runKymo(['journal', 'inspect', journalFolder(), '--json'], folder)).stdout),
    ).toMatchObject({
      start: 0,
      bySignal: { metrics: { records: 4 } },
      findings: [],
    });
    const segment = join(journalFolder(), readdirSync(journalFolder()).find(name => name.endsWith('.log'))!);
    const file = openSync(segment, 'r+');
    writeSync(file, 'XXXX', 150);
    closeSync(file);
    const damaged = await runKymo(['journal', 'inspect'], folder);
    expect(damaged.code).toBe(1);
    expect(damaged.stdout).toMatch(/corrupt at \d+, \d+ bytes/);
  });

  it('names the folder that holds none', async () => {
    expect(await runKymo(['journal', 'inspect', 'nowhere'], folder)).toMatchObject({
      code: 1,
      stderr: 'kymo journal: no journal at nowhere\n',
    });
  });
});
