// From a script to W&B as a user goes: the embedded collector online, a replay, and `kymo sync` of what was written offline.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { until } from './bench.ts';
import { FakeWandb } from './fake-server.ts';
import { readRuns } from './logs.ts';

const ROOT = new URL('../../../../', import.meta.url);
const FROM_SOURCES = new URL('test/examples/from-sources.js', ROOT).href;
const EXAMPLE = fileURLToPath(new URL('examples/wandb.ts', ROOT));
const KYMO = fileURLToPath(new URL('src/cli/kymo.ts', ROOT));

let fake: FakeWandb;
let folder: string;
beforeEach(async () => {
  fake = new FakeWandb();
  await fake.listen();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-wandb-commands-'));
});
afterEach(async () => {
  await fake.close();
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
});

function node(args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<string> {
  const clean = Object.entries(process.env).filter(([name]) => !/^(KYMO|OTEL|NODE_|WANDB|RANK)/.test(name));
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: {
      ...Object.fromEntries(clean),
      ...{ KYMO_DIR: folder, HOME: folder, WANDB_BASE_URL: fake.url, WANDB_API_KEY: fake.apiKey, ...more },
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', chunk => (output += chunk));
  child.stderr.on('data', chunk => (output += chunk));
  return new Promise((resolve, reject) =>
    child.on('close', code =>
      code === 0 ? resolve(output) : reject(new Error(`ended with ${code}: ${output}`)),
    ),
  );
}

it('goes online from a script, is replayed into a log, which is read back and uploaded once', async () => {
  await node(['--import', FROM_SOURCES, EXAMPLE]);
  await until('the run is complete', () => [...fake.runs.values()].some(run => run.complete), 60_000);
  const { name, project, tags, exitCode } = [...fake.runs.values()][0]!;
  expect({ project, tags, exitCode }).toEqual({ project: 'examples', tags: ['example'], exitCode: 0 });
  const rows = fake.history(name);
  expect(rows.map(row => row._step)).toEqual(Array.from({ length: 1_001 }, (_, step) => step));
  expect(rows[1_000]).toMatchObject({
    samples: { _type: 'image-file', width: 32, height: 32, caption: 'noise' },
    errors: { _type: 'table-file', nrows: 1, ncols: 3 },
  });
  expect(fake.summary(name)).toMatchObject({ 'eval/accuracy': { max: 1 - Math.exp(-1_000 / 300) } });

  const replay = ['replay', '--exporter', 'wandb', name, '--into', 'again'];
  await node([KYMO, ...replay], { WANDB_MODE: 'offline' });
  const again = path.join(folder, 'again', 'wandb');
  const times = ({ _timestamp, _runtime, ...rest }: Record<string, unknown>) => rest;
  expect(readRuns(again)[0]!.rows.map(times)).toEqual(rows.map(times));

  const log = path.join(again, readRuns(again)[0]!.folder, `run-${name}.wandb`);
  expect(await node([KYMO, 'import', log, '--directory', 'imported'])).toContain('1,001 rows, 2 media');
  const lines = (runs: string) =>
    fs
      .readFileSync(path.join(folder, runs, name, 'logs', 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>);
  // Two calls for one step are one row there.
  const merged = new Map<unknown, Record<string, unknown>>();
  for (const { time, mode, ...line } of lines('runs'))
    merged.set(line.step, { ...merged.get(line.step), ...line });
  expect(lines('imported/runs').map(({ time, ...line }) => line)).toEqual([...merged.values()]);

  fake.runs.clear();
  expect(await node([KYMO, 'sync', again, '--project', 'other'])).toContain('1001 rows');
  expect(await node([KYMO, 'sync', again, '--project', 'other'])).toContain('uploaded already');
  expect(fake.history(name).map(times)).toEqual(rows.map(times));
  expect(fake.run(name)).toMatchObject({ project: 'other', complete: true });
  expect(fake.complaints).toEqual([]);
}, 120_000);
