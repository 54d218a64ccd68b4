// The official client as judge: of the fake server first, then of our logs, our uploads, and of what we make of its own logs.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { batchOf, histogramBatchOf, logBatchOf } from '../../../src/collector/testing/index.ts';
import { Bench } from '../../collector/exporters/wandb/bench.ts';
import { FakeWandb, type Json } from '../../collector/exporters/wandb/fake-server.ts';
import { describeWithPeers } from '../peers.ts';
import { run, temporaryFolder } from '../programs.ts';

const OFFICIAL = fileURLToPath(new URL('official.py', import.meta.url));
const READ_LOG = fileURLToPath(new URL('read_log.py', import.meta.url));
const KYMO = fileURLToPath(new URL('../../../src/cli/kymo.ts', import.meta.url));
/** The smallest PNG. */
const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==',
  'base64',
);

let fake: FakeWandb;
let folder: string;
beforeEach(async () => {
  fake = new FakeWandb();
  await fake.listen();
  folder = temporaryFolder();
});
afterEach(async () => {
  await fake.close();
  fs.rmSync(folder, { recursive: true, force: true });
});

const environment = (): NodeJS.ProcessEnv => ({
  WANDB_BASE_URL: fake.url,
  WANDB_API_KEY: fake.apiKey,
  WANDB_DIR: folder,
  WANDB_SILENT: 'true',
  WANDB_ERROR_REPORTING: 'false',
  HOME: folder,
});
const official = (program: string, ...args: string[]) => run(program, [OFFICIAL, ...args], environment());
/** The command beside the interpreter. */
const wandb = (program: string, ...args: string[]) =>
  run(path.join(path.dirname(program), 'wandb'), args, environment());

const NAME = 'ours-1';
const batches = () => [
  logBatchOf([
    {
      run: NAME,
      project: 'same',
      eventName: 'kymo.run.start',
      resource: { 'kymo.run.group': 'g', 'kymo.run.tags': ['a', 'b'] },
    },
    {
      run: NAME,
      project: 'same',
      eventName: 'kymo.run.config',
      attributes: { 'kymo.run.config': { lr: 0.1, net: { layers: [1, 2] } } },
    },
    {
      run: NAME,
      project: 'same',
      eventName: 'kymo.metric.definition',
      attributes: { 'kymo.metric.pattern': 'acc', 'kymo.metric.summary': ['max'] },
    },
  ]),
  batchOf(
    Array.from({ length: 3_000 }, (_, step) => ({
      ...{ run: NAME, project: 'same', step },
      values: {
        'train/loss': 1 / (step + 1),
        acc: step % 7,
        odd: step % 2 ? Number.NaN : Number.NEGATIVE_INFINITY,
      },
    })),
  ),
  histogramBatchOf([
    { run: NAME, project: 'same', name: 'w', bounds: [0, 1, 2], counts: [0, 5, 6, 0], step: 3_000 },
  ]),
  logBatchOf([
    { run: NAME, project: 'same', body: 'hello' },
    { run: NAME, project: 'same', body: 'oh', severityNumber: 17, severityText: 'ERROR' },
    {
      ...{ run: NAME, project: 'same', eventName: 'kymo.media' },
      attributes: {
        ...{
          'kymo.media.name': 'eval/image',
          'kymo.media.kind': 'image',
          'kymo.media.mime_type': 'image/png',
        },
        ...{ 'kymo.media.content': PIXEL, 'kymo.step': 3_001, 'kymo.media.width': 1, 'kymo.media.height': 1 },
      },
    },
    {
      run: NAME,
      project: 'same',
      eventName: 'kymo.run.finish',
      attributes: { 'process.exit.code': 4, 'kymo.run.state': 'failed' },
    },
  ]),
];

/** Everything about a run that does not depend on who sent it. */
function seen(name: string): Json {
  const { displayName, group, tags, exitCode, complete, config, files, lines } = fake.run(name);
  const { _wandb, ...wrapped } = config as { _wandb?: { value: Json } } & Record<string, Json>;
  // Older clients add an empty description to each.
  const own = Object.fromEntries(Object.entries(wrapped).map(([key, entry]) => [key, (entry as Json).value]));
  const console = (lines.get('output.log') ?? []).map(line =>
    line.replace(/\d{4}-\d\d-\d\dT[\d:.]+ /, '').replace(/\n$/, ''),
  );
  const media = [...files.keys()].filter(file => file.startsWith('media/'));
  const history = fake.history(name);
  const metrics = _wandb === undefined ? undefined : definitions(_wandb.value.m);
  return {
    displayName,
    group,
    tags,
    exitCode,
    complete,
    own,
    metrics,
    console,
    media,
    history,
    summary: fake.summary(name),
  };
}

for (const peer of ['wandb', 'wandb-older']) {
  describeWithPeers(`official client (${peer})`, [peer], program => {
    it('logs scalars, media, a table and a resumed run to the fake without complaint', async () => {
      // After an artifact the older one asks for more than the fake knows of.
      const table = peer === 'wandb';
      await official(program, 'online', 'judge', table ? 'table' : 'media');
      const count = table ? 43 : 42;
      expect(fake.complaints).toEqual([]);
      const rows = fake.history('judge');
      expect(rows).toHaveLength(count);
      expect(rows.map(row => row._step)).toEqual(Array.from({ length: count }, (_, i) => i));
      expect(rows.at(-1)).toMatchObject({ 'train/loss': 9, _step: count - 1 });
      expect(fake.run('judge')).toMatchObject({ complete: true, exitCode: 3, displayName: 'Official' });
      expect(fake.artifacts.filter(one => one.committed)).toHaveLength(table ? 1 : 0);
    });

    it('reads our log, record for record', async () => {
      const bench = await offline();
      const file = logIn(bench.root);
      const said = JSON.parse(await run(program, [READ_LOG, file])) as { counts: Json; rows: number };
      expect(said.rows).toBe(3_002);
      expect(said.counts).toMatchObject({
        run: 1,
        header: 1,
        exit: 1,
        final: 1,
        footer: 1,
        files: 1,
        output_raw: 2,
      });
      await bench.dispose();
    });

    it('uploads of our offline run what we upload online ourselves', async () => {
      const bench = await offline();
      await wandb(program, 'sync', path.dirname(logIn(bench.root)));
      expect(fake.complaints).toEqual([]);
      const theirs = seen(NAME);
      await bench.dispose();

      fake.runs.clear();
      const live = new Bench({ mode: 'online', base_url: fake.url, api_key: fake.apiKey });
      await live.start();
      await live.export(...batches());
      await live.commit();
      await live.exporter!.drain();
      await live.dispose();
      expect(fake.complaints).toEqual([]);
      const ours = seen(NAME);
      // The older one's sync leaves out W&B's own section of the configuration, and does not keep stdout and stderr in order.
      if (peer !== 'wandb')
        for (const one of [ours, theirs]) {
          delete one.metrics;
          (one.console as string[]).sort();
        }
      expect(withoutTimes(ours)).toEqual(withoutTimes(theirs));
    });

    it('writes offline runs that `kymo sync` uploads as the official client does online', async () => {
      await official(program, 'online', 'both');
      const theirs = fake.history('both').slice(0, 40);
      const { config, displayName, group, jobType, notes, tags } = fake.run('both');
      fake.runs.clear();
      fake.requests.length = 0;
      await official(program, 'offline', 'both');
      await run(process.execPath, [KYMO, 'sync', path.join(folder, 'wandb')], environment());
      expect(fake.complaints).toEqual([]);
      const times = ({ _timestamp, _runtime, ...rest }: Json) => rest;
      expect(fake.history('both').map(times)).toEqual(theirs.map(times));
      expect(fake.run('both')).toMatchObject({
        displayName,
        group,
        jobType,
        notes,
        tags,
        exitCode: 0,
        complete: true,
      });
      const { _wandb: ours, ...own } = fake.run('both').config as { _wandb: { value: Json } };
      const { _wandb: official_, ...other } = config as { _wandb: { value: Json } };
      expect(own).toEqual(other);
      expect(definitions(ours.value.m)).toEqual(definitions(official_.value.m));
    });
  });
}

/** In whatever order: the step metric by its name instead of its place. */
function definitions(section: unknown): unknown[] {
  const list = section as { 1?: string; 2?: string; 5?: number; 6?: number[] }[];
  return list
    .map(one => ({
      ...one,
      5: one[5] === undefined ? undefined : list[one[5] - 1]?.[1],
      6: one[6]?.toSorted(),
    }))
    .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

async function offline(): Promise<Bench> {
  const bench = new Bench({ mode: 'offline' });
  await bench.start();
  await bench.export(...batches());
  await bench.commit();
  await bench.stop();
  return bench;
}

function logIn(root: string): string {
  const [directory] = fs.readdirSync(root).filter(name => name.startsWith('offline-run-'));
  return path.join(root, directory!, `run-${NAME}.wandb`);
}

/** The two were made from batches of different times. */
function withoutTimes(run: Json): Json {
  const bare = ({ _timestamp, _runtime, _wandb, ...rest }: Json) => rest;
  return { ...run, history: (run.history as Json[]).map(bare), summary: bare(run.summary as Json) };
}
