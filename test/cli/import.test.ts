import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { ImportBatch, type Request } from '../../src/cli/import/batch.ts';
import { baseSeconds, importRun } from '../../src/cli/import/import-run.ts';
import { newProgress, ProgressFile } from '../../src/cli/import/progress.ts';
import { findSource, type Source } from '../../src/cli/import/source.ts';
import { BatchMaker } from '../collector/batches.ts';
import { removeFolder, runKymo, temporaryFolder } from '../collector/service/collector-process.ts';
import { maker, sender, wholeRun, writeRuns } from './run-folders.ts';
import { encodeRecord, type TestEvent } from './tf-records.ts';

jest.setTimeout(60_000);
let folder: string;
beforeEach(() => {
  folder = fs.realpathSync(temporaryFolder());
});
afterEach(() => removeFolder(folder));

/** A receiver that keeps each key once, as the journal does, and fails when told to. */
class Receiver {
  readonly kept = new Map<string, Request>();
  /** How many more requests go well; then one is lost, before or after it was kept. */
  patience = Infinity;
  lostAfterKept = false;

  deliver = async (request: Request, key: string): Promise<void> => {
    const fails = this.patience-- <= 0;
    if (!fails || this.lostAfterKept) {
      const known = this.kept.get(key);
      // A retry under a key that is known must be the same request, or something is lost.
      if (known !== undefined) expect(Buffer.from(known.bytes).equals(request.bytes)).toBe(true);
      else this.kept.set(key, { ...request, bytes: new Uint8Array(request.bytes) });
    }
    if (fails) throw new Error('the connection broke');
  };

  /** The values of a metric, in order of arrival. */
  values(name: string): number[] {
    const own = new BatchMaker();
    return [...this.kept.values()].flatMap(({ signal, bytes }) => {
      const columns = own.request(signal, bytes).scalars?.columns;
      if (columns === undefined) return [];
      const wanted = columns.series.findIndex(series => series.name === name);
      return [...columns.value].filter((_, i) => columns.seriesIndex[i] === wanted);
    });
  }

  /** What the sinks make of it. */
  async files(run: string, into = 'into'): Promise<{ metrics: string; logs: string }> {
    const own = new BatchMaker();
    const batches = [...this.kept.values()].map(({ signal, bytes }) => own.request(signal, bytes));
    const project = path.join(folder, into);
    await writeRuns(project, batches);
    const read = (name: string) => {
      const file = path.join(project, 'runs', run, 'logs', name);
      return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
    };
    return { metrics: read('metrics.jsonl'), logs: read('logs.jsonl') };
  }
}

async function importAll(source: Source, receiver: Receiver, pieceBytes?: number) {
  const file = new ProgressFile(path.join(folder, 'state'), source.path, source.run.id, 'there');
  await file.lock();
  try {
    const progress = file.read() ?? newProgress(source.path, source.run.id, 'there', baseSeconds(source));
    return await importRun(source, progress, file, receiver.deliver, () => undefined, pieceBytes);
  } finally {
    await file.unlock();
  }
}

const rows = (text: string) =>
  text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as Record<string, unknown>);

describe('an import of a run folder of Kymo', () => {
  it('gives the same lines again: rows, histograms, text, resumes', async () => {
    const from = sender('orig', { name: 'the name', instance: 'one' });
    const again = sender('orig', { instance: 'two', attempt: 2, rank: 1 });
    await writeRuns(folder, [
      ...wholeRun(
        'orig',
        [
          { loss: 3, step: 4 },
          { loss: Number.NaN, '~x': -0 },
        ],
        { instance: 'one', name: 'the name' },
      ),
      maker.rows({ ...from, scopeAttributes: { 'kymo.scope': 'env.a' } }, [
        {
          values: { 'eval/acc': 0.5, big: 2n ** 60n },
          step: 7,
          axes: { epoch: 3 },
          traceId: '0af7651916cd43dd8448eb211c80319c',
          spanId: 'b7ad6b7169203331',
        },
        { values: { acc: 0.5 }, step: 7, attributes: { 'kymo.mode': 'eval', layer: 3 } },
      ]),
      maker.histograms(from, [
        { name: 'w', bounds: [-1, 0.5], counts: [1, 2, 3], step: 7, sum: 4, min: -3, max: 9 },
      ]),
      maker.logs({ ...from, scope: 'trainer' }, [
        {
          body: 'hello',
          severityNumber: 9,
          severityText: 'INFO',
          attributes: { bytes: new Uint8Array([1, 2]), n: 2n ** 60n, 'kymo.step': 3 },
        },
      ]),
      maker.logs(again, [
        {
          eventName: 'kymo.run.start',
          attributes: { 'kymo.run.state': 'running', 'kymo.run.resume_step': 1 },
        },
      ]),
      maker.rows(again, [{ values: { loss: 2 }, step: 1 }]),
    ]);
    const original = path.join(folder, 'runs/orig');
    const receiver = new Receiver();
    await importAll(findSource(original), receiver);
    const { metrics, logs } = await receiver.files('orig');
    const originalRows = fs.readFileSync(path.join(original, 'logs/metrics.jsonl'), 'utf8');
    // The mark stands where its start event comes: behind the rows.
    expect(metrics.split('\n').sort()).toEqual(originalRows.split('\n').sort());
    expect(logs).toBe(fs.readFileSync(path.join(original, 'logs/logs.jsonl'), 'utf8'));
    const document = (project: string) =>
      JSON.parse(fs.readFileSync(path.join(project, 'runs/orig/run.json'), 'utf8'));
    const { id, name, project, created, steps, totals, attempts, superseded } = document(folder);
    expect(document(path.join(folder, 'into'))).toMatchObject({
      id,
      name,
      project,
      created,
      steps,
      totals,
      attempts,
      superseded,
    });
  });
});

describe('an import of vibe-rl', () => {
  const vibe = () => path.join(folder, 'ppo_20250101');
  const write = (text: string) => {
    fs.mkdirSync(path.join(vibe(), 'logs'), { recursive: true });
    fs.appendFileSync(path.join(vibe(), 'logs/metrics.jsonl'), text);
  };

  it('takes numbers of every kind with step and wall time, the config, and counts the rest', async () => {
    write('{"step": 10, "loss": 0.5, "done": true, "env": "Cart", "wall_time": 1.5}\n');
    write(
      '{"step": 10, "loss": NaN, "reward": -Infinity, "say": "NaN, \\"Infinity", "wall_time": 1.5}\nno json\n',
    );
    write('{"loss": 1, "wall_time": 4}');
    fs.writeFileSync(path.join(vibe(), 'config.json'), '{"lr": 0.1, "net": {"layers": [64]}}');
    fs.utimesSync(path.join(vibe(), 'logs/metrics.jsonl'), 1_000_004, 1_000_004);
    const receiver = new Receiver();
    const { progress } = await importAll(findSource(vibe()), receiver);
    const { metrics, logs } = await receiver.files('ppo_20250101');
    expect(rows(metrics)).toEqual([
      { step: 10, time: 1_000_001.5, loss: 0.5, done: 1 },
      { step: 10, time: 1_000_001.5, loss: 'NaN', reward: '-Infinity' },
      { step: 11, time: 1_000_004, loss: 1 },
    ]);
    expect(rows(logs).map(line => line.event)).toEqual([
      'kymo.run.start',
      'kymo.run.config',
      'kymo.run.finish',
    ]);
    expect(
      JSON.parse(fs.readFileSync(path.join(folder, 'into/runs/ppo_20250101/config.json'), 'utf8')),
    ).toEqual({ lr: 0.1, net: { layers: [64] } });
    expect(progress.skipped).toEqual({ lines: 1, values: 2, others: 0 });
  });

  it('arrives exactly once, however often it is interrupted and the file grows', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ patience: fc.nat(6), kept: fc.boolean(), more: fc.nat(30) }), { maxLength: 5 }),
        fc.integer({ min: 40, max: 400 }),
        async (stops, pieceBytes) => {
          fs.rmSync(folder, { recursive: true, force: true });
          let count = 0;
          const grow = (lines: number) => {
            for (const end = count + lines; count < end; count++)
              write(`{"step": ${count}, "a": ${count}, "wall_time": ${count / 8}}\n`);
          };
          grow(20);
          const receiver = new Receiver();
          for (const { patience, kept, more } of stops) {
            receiver.patience = patience;
            receiver.lostAfterKept = kept;
            await importAll(findSource(vibe()), receiver, pieceBytes).catch(() => undefined);
            grow(more);
          }
          receiver.patience = Infinity;
          await importAll(findSource(vibe()), receiver, pieceBytes);
          expect(receiver.values('a')).toEqual(Array.from({ length: count }, (_, i) => i));
          const sent = receiver.kept.size;
          await importAll(findSource(vibe()), receiver, pieceBytes);
          expect(receiver.kept.size).toBe(sent);
        },
      ),
      { numRuns: 8 },
    );
  });

  it('makes several requests of a row that is larger than one', async () => {
    const run = { id: 'r', name: 'r', project: 'p', group: '', jobType: '', tags: [] };
    const batch = new ImportBatch(run, 3);
    const origin = { instance: 'i', rank: 0, attempt: 1, scope: '', logger: '' };
    const values = Array.from({ length: 7 }, (_, i): [string, number] => [`m${i}`, i]);
    batch.addRow({ origin, timeUnixNano: 1_000_000_000n, step: 4, mode: '', values });
    const receiver = new Receiver();
    for (const [i, request] of batch.requests().entries()) await receiver.deliver(request, `k/${i}`);
    const lines = rows((await receiver.files('r')).metrics);
    expect(lines).toHaveLength(3);
    expect(Object.assign({}, ...lines)).toEqual({ step: 4, time: 1, ...Object.fromEntries(values) });
  });

  it('is done by one process at a time', async () => {
    const file = () => new ProgressFile(path.join(folder, 'state'), 'a source', 'a run', 'there');
    const first = file();
    await first.lock();
    await expect(file().lock()).rejects.toThrow('another process is importing a source as a run already');
    await first.unlock();
    const second = file();
    await second.lock();
    await second.unlock();
  });

  it('refuses to go on in a file that was changed where it was interrupted', async () => {
    write('{"step": 0, "a": 1}\n');
    const receiver = new Receiver();
    receiver.patience = 0;
    await expect(importAll(findSource(vibe()), receiver)).rejects.toThrow('the connection broke');
    const file = path.join(vibe(), 'logs/metrics.jsonl');
    fs.writeFileSync(file, '{"step": 0, "a": 2}\n');
    receiver.patience = Infinity;
    await expect(importAll(findSource(vibe()), receiver)).rejects.toThrow(
      `${file} has changed where an earlier import stopped: import it as another --run`,
    );
  });
});

describe('an import of event files', () => {
  it('takes scalars and histograms of both generations, and text; counts the rest; keeps restarts apart', async () => {
    const file = path.join(folder, 'tb', 'events.out.tfevents.1.host');
    fs.mkdirSync(path.dirname(file));
    const records: TestEvent[] = [
      {
        wallTime: 1000.5,
        step: 0,
        values: [
          { tag: 'loss', simple: 0.5 },
          { tag: 'acc', tensor: Math.PI },
        ],
      },
      {
        wallTime: 1001,
        step: 1,
        values: [{ tag: 'old', histo: { min: -1, max: 3, sum: 2, limits: [0, 1, 3], counts: [1, 0, 4] } }],
      },
      {
        wallTime: 1002,
        step: 5,
        values: [
          { tag: 'loss', simple: 7 },
          { tag: 'note', text: 'hello' },
          { tag: 'picture', image: true },
        ],
      },
      { wallTime: 1003, step: 3, start: true, values: [] },
      { wallTime: 1004, step: 3, values: [{ tag: 'loss', simple: 3 }] },
    ];
    fs.writeFileSync(file, Buffer.concat(records.map(encodeRecord)));
    const receiver = new Receiver();
    const { progress } = await importAll(findSource(path.dirname(file)), receiver);
    const { metrics, logs } = await receiver.files('tb');
    expect(rows(metrics).filter(row => !('superseded' in row))).toEqual([
      { step: 0, time: 1000.5, loss: 0.5, acc: Math.PI },
      { step: 5, time: 1002, loss: 7 },
      { step: 3, time: 1004, attempt: 2, loss: 3 },
      {
        step: 1,
        time: 1001,
        histogram: 'old',
        count: 5,
        sum: 2,
        min: -1,
        max: 3,
        bounds: [0, 1],
        counts: [1, 0, 4],
      },
    ]);
    expect(rows(metrics)).toContainEqual({ superseded: { attempt: 2, from_step: 3 }, time: 1003 });
    expect(rows(logs)).toContainEqual(
      expect.objectContaining({ message: 'hello', step: 5, attributes: { tag: 'note' } }),
    );
    expect(progress.skipped.others).toBe(1);
  });

  it('ends at damage and at half a record, saying so, and goes on when the file does', async () => {
    const file = path.join(folder, 'events.out.tfevents.1.host');
    const record = (step: number) =>
      encodeRecord({ wallTime: 1000 + step, step, values: [{ tag: 'a', simple: step }] });
    fs.writeFileSync(file, Buffer.concat([record(0), record(1).subarray(0, 20)]));
    const receiver = new Receiver();
    const first = await importAll(findSource(file), receiver);
    expect(first.notes).toEqual([
      `${file}: ends in 20 bytes of something half; a later import goes on there`,
    ]);
    fs.writeFileSync(file, Buffer.concat([record(0), record(1), Buffer.alloc(64, 7)]));
    const second = await importAll(findSource(file), receiver);
    expect(second.notes[0]).toContain('the CRC of the record length does not match');
    const run = path.basename(folder);
    expect(rows((await receiver.files(run)).metrics).map(row => row.a)).toEqual([0, 1]);
  });

  it('is not hurt by any bytes that have a right checksum', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 60 }), { minLength: 1, maxLength: 20 }),
        async messages => {
          const file = path.join(folder, 'events.out.tfevents.9.host');
          fs.rmSync(path.join(folder, 'state'), { recursive: true, force: true });
          fs.writeFileSync(file, Buffer.concat(messages.map(bytes => encodeRecord({ bytes }))));
          await importAll(findSource(file), new Receiver());
        },
      ),
      { numRuns: 15 },
    );
  });
});

describe('kymo import', () => {
  it('writes runs through the collector into every sink, once; a run that is there already is left alone', async () => {
    const project = path.join(folder, 'project');
    fs.mkdirSync(project);
    fs.writeFileSync(path.join(project, 'package.json'), '{}');
    await writeRuns(folder, wholeRun('orig', [{ loss: 3 }, { loss: 1 }], { instance: 'one' }));
    const original = path.join(folder, 'runs/orig');
    const env = { KYMO_COLLECTOR_LINGER_MS: '0', KYMO_EXPORTERS: 'jsonl,csv' };
    const kymo = (...args: string[]) => runKymo(['import', ...args], project, env);
    const first = await kymo(original);
    expect(first).toEqual({
      code: 0,
      stdout: `${original}: 2 rows, 3 logs → run orig\nwritten to ${project}/runs/orig\n`,
      stderr: '',
    });
    const logs = (name: string) => fs.readFileSync(path.join(project, 'runs/orig/logs', name), 'utf8');
    expect(logs('metrics.jsonl')).toBe(fs.readFileSync(path.join(original, 'logs/metrics.jsonl'), 'utf8'));
    expect(logs('metrics.csv')).toBe(fs.readFileSync(path.join(original, 'logs/metrics.csv'), 'utf8'));
    expect((await kymo(original)).stdout).toContain('nothing new → run orig');
    const copy = path.join(folder, 'copy', 'orig');
    fs.cpSync(original, copy, { recursive: true });
    const [taken, missing] = [await kymo(copy), await kymo('nowhere')];
    expect(taken.code).toBe(1);
    expect(taken.stderr).toContain(
      `is there already and did not come from ${copy}: give another --run, or --append`,
    );
    expect(missing).toMatchObject({ code: 1, stderr: 'kymo import: nowhere: no such file or folder\n' });
  });
});
