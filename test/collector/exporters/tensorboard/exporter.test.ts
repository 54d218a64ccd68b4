import fs from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { CommittedState } from '../../../../src/collector/component.ts';
import { appendAll } from '../../../../src/collector/exporters/tensorboard/event-file.ts';
import { attributes, type Process, type Row, Sender } from './batches.ts';
import { Bench } from './bench-folder.ts';
import { eventFiles, events, filledFiles, pythonCurves, rustCurves } from './readers.ts';

const benches: Bench[] = [];
afterEach(async () => {
  for (const bench of benches.splice(0)) {
    await bench.exporter.stop();
    bench.remove();
  }
});
async function bench(
  settings: Record<string, unknown> = {},
  writerId?: string,
  folder?: string,
): Promise<Bench> {
  const made = new Bench(settings, writerId, folder);
  benches.push(made);
  return made.start();
}

const RUN: Process = { run: 'r' };
const rows = (from: number, to: number, name = 'a', every = 1): Row[] => {
  const made: Row[] = [];
  for (let step = from; step < to; step += every) made.push({ step, values: { [name]: step } });
  return made;
};
const identity = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => [from + i, from + i]);
/** Both readers' models must show this. */
function expectCurves(folder: string, curves: Record<string, readonly (readonly number[])[]>): void {
  for (const read of [rustCurves, pythonCurves]) {
    const shown = Object.fromEntries(
      [...read(folder)].filter(([tag]) => tag in curves).map(([tag, curve]) => [tag, curve]),
    );
    expect(shown).toEqual(curves);
  }
}

describe('tensorboard exporter', () => {
  it('writes one event per row, beginning with version and START', async () => {
    const b = await bench();
    const sender = new Sender();
    await b.export(
      sender.rows(RUN, [
        { step: 0, time: 1_700_000_000.5, values: { 'train/loss': 0.1, 'ü b': -0 } },
        { step: 1, time: 1_700_000_001.5, values: { 'train/loss': Number.NaN, 'ü b': -Infinity } },
      ]),
    );
    await b.commit();
    const folder = path.join(b.runs, 'r');
    expect(eventFiles(folder)[0]).toMatch(/^events\.out\.tfevents\.\d{10}\.[^.]+\.w1-[0-9a-f]{8}\.00000001$/);
    const found = events(folder);
    expect(found.map(event => [event.step, event.wallTime])).toEqual([
      [0, 1_700_000_000.5],
      [0, 1_700_000_000.5],
      [0, 1_700_000_000.5],
      [1, 1_700_000_001.5],
    ]);
    expect(found[0]!.fileVersion).toBe('brain.Event:2');
    expect(found[1]!.start).toBe(true);
    expect(found[2]!.values.map(value => [value.tag, value.scalar])).toEqual([
      ['train/loss', Math.fround(0.1)],
      ['ü b', -0],
    ]);
    expect(found[3]!.values.map(value => value.scalar)).toEqual([Number.NaN, -Infinity]);
  });

  it('counts on for points without a step, also after a restart', async () => {
    const b = await bench();
    const sender = new Sender();
    await b.export(
      sender.rows(RUN, [{ values: { a: 1, b: 1 } }, { values: { a: 2 } }, { step: 7, values: { a: 3 } }]),
    );
    await b.commit();
    await b.crash();
    await b.export(sender.rows(RUN, [{ values: { a: 4, b: 2 } }]));
    await b.commit();
    expectCurves(path.join(b.runs, 'r'), {
      a: [
        [0, 1],
        [1, 2],
        [7, 3],
        [8, 4],
      ],
      b: [
        [0, 1],
        [1, 2],
      ],
    });
  });

  it('ignores the companion gauge and names series as sinks do', async () => {
    const b = await bench();
    const sender = new Sender();
    await b.export(
      sender.rows(RUN, [{ step: 0, values: { 'kymo.step': 0, loss: 1 } }]),
      sender.rows({ run: 'r', instance: 'i2', rank: 3 }, [{ step: 0, values: { loss: 2 } }]),
    );
    await b.commit();
    expect([...rustCurves(path.join(b.runs, 'r')).keys()]).toEqual(['loss', 'loss/rank=3']);
  });

  it('puts late points in order, with the suffix only, and goes on in the new file', async () => {
    const b = await bench();
    const sender = new Sender();
    const folder = path.join(b.runs, 'r');
    await b.export(sender.rows(RUN, [...rows(0, 5), ...rows(6, 10)]));
    await b.export(sender.rows(RUN, rows(0, 3, 'epoch')));
    await b.commit();
    await b.export(sender.rows(RUN, rows(5, 6)));
    expect(b.context.counts.get('kymo_tensorboard_late_points')).toBe(1);
    await b.commit();
    // Late points are mended when nothing followed them for a moment, or at the end; here the end of the run does it.
    await b.export(sender.rows(RUN, rows(10, 12)));
    expect(Object.keys(b.committed!)).toContain('runs');
    await b.exporter.stop();
    expectCurves(folder, { a: identity(0, 12), epoch: identity(0, 3) });
    const [, second] = eventFiles(folder);
    const steps = events(folder).map(event => event.step);
    expect(second).toBeDefined();
    expect(steps.filter(step => step === 0).length).toBeLessThanOrEqual(5);
  });

  it('mends quiet runs with a commit, and removes late files after it', async () => {
    const b = await bench();
    const sender = new Sender();
    await b.export(sender.rows(RUN, [...rows(0, 5), ...rows(6, 10), ...rows(5, 6)]));
    await b.commit();
    const state = path.join(b.folder, 'state-w1');
    expect(fs.readdirSync(state).filter(name => name.startsWith('late-'))).toHaveLength(1);
    const deadline = Date.now() + 5_000;
    while (fs.readdirSync(state).some(name => name.startsWith('late-')) && Date.now() < deadline) {
      await b.commit();
      await new Promise(resolve => setTimeout(resolve, 50));
    }
    expect(fs.readdirSync(state)).toEqual([]);
    expectCurves(path.join(b.runs, 'r'), { a: identity(0, 10) });
  });

  it('mends by itself when no commit comes', async () => {
    const b = await bench({ flush_interval: '10ms', rewrite_interval: '50ms' });
    const sender = new Sender();
    await b.export(sender.rows(RUN, [...rows(0, 5), ...rows(6, 10), ...rows(5, 6)]));
    const folder = path.join(b.runs, 'r');
    const deadline = Date.now() + 5_000;
    while ((rustCurves(folder).get('a')?.length ?? 0) < 10 && Date.now() < deadline) {
      await new Promise(resolve => setTimeout(resolve, 20));
    }
    expectCurves(folder, { a: identity(0, 10) });
  });

  it('ends a finished run with one file, hparams and its end', async () => {
    const b = await bench();
    const sender = new Sender();
    const folder = path.join(b.runs, 'r');
    await b.export(
      sender.events(RUN, [
        { name: 'kymo.run.start' },
        {
          name: 'kymo.run.config',
          attributes: attributes({
            'kymo.run.config': attributes({ lr: 0.1, optim: attributes({ name: 'adam' }) }),
          }),
        },
      ]),
      sender.rows(RUN, [...rows(0, 5), ...rows(6, 10)]),
    );
    await b.commit();
    await b.export(sender.rows(RUN, rows(5, 6)));
    await b.commit();
    await b.export(
      sender.events(RUN, [
        { name: 'kymo.run.finish', attributes: attributes({ 'kymo.run.state': 'finished' }) },
      ]),
    );
    await b.commit();
    // The file that was replaced is empty, not gone: a reader that stands in it must be able to leave it.
    expect(eventFiles(folder)).toHaveLength(2);
    expect(filledFiles(folder)).toEqual(eventFiles(folder).slice(1));
    expectCurves(folder, { a: identity(0, 10) });
    const tags = events(folder).flatMap(event => event.values.map(value => value.tag));
    for (const tag of ['_hparams_/session_start_info', 'config', '_hparams_/session_end_info']) {
      expect(tags.filter(one => one === tag)).toHaveLength(1);
    }
    const config = events(folder)
      .flatMap(event => event.values)
      .find(value => value.tag === 'config');
    expect(Buffer.from(config!.strings[0]!).toString()).toContain('"name": "adam"');
  });

  it('makes a resumed run one clean curve', async () => {
    const b = await bench();
    const sender = new Sender();
    const folder = path.join(b.runs, 'r');
    await b.export(sender.rows(RUN, [...rows(0, 100), ...rows(0, 100, 'only_first')]));
    await b.commit();
    const second: Process = { run: 'r', instance: 'i2', attempt: 2, resumeStep: 50 };
    await b.export(
      sender.rows(second, [
        { step: 50, values: { a: -50 } },
        { step: 51, values: { a: -51 } },
      ]),
      // What the first attempt still had on its way.
      sender.rows(RUN, [...rows(100, 103), { step: 20, values: { late: 1 } }]),
    );
    await b.export(sender.events(second, [{ name: 'kymo.run.finish' }]));
    await b.commit();
    expect(b.context.counts.get('kymo_tensorboard_superseded_points')).toBe(3);
    expectCurves(folder, {
      a: [...identity(0, 50), [50, -50], [51, -51]],
      only_first: identity(0, 50),
      late: [[20, 1]],
    });
    // The same resume seen again after a restart, and after the run was forgotten, changes nothing.
    await b.crash();
    await b.export(sender.rows(second, [{ step: 52, values: { a: -52 } }]));
    await b.commit();
    b.committed = { ...b.committed, runs: [] };
    await b.crash();
    await b.export(sender.rows(second, [{ step: 53, values: { a: -53 } }]));
    await b.commit();
    expectCurves(folder, {
      a: [...identity(0, 50), [50, -50], [51, -51], [52, -52], [53, -53]],
      only_first: identity(0, 50),
      late: [[20, 1]],
    });
  });

  it('cuts what was not committed and never appends to an old file', async () => {
    const b = await bench();
    const sender = new Sender();
    const folder = path.join(b.runs, 'r');
    await b.export(sender.rows(RUN, rows(0, 5)));
    await b.commit();
    const [first] = eventFiles(folder);
    const { size } = fs.statSync(path.join(folder, first!));
    const lost = [sender.rows(RUN, rows(5, 10)), sender.rows({ run: 'other' }, rows(0, 5))];
    await b.export(...lost);
    // Everything reaches the disk, nothing is committed.
    await b.exporter.commit();
    fs.appendFileSync(path.join(folder, first!), Buffer.of(1, 2, 3));
    await b.crash();
    expect(fs.statSync(path.join(folder, first!)).size).toBe(size);
    expectCurves(folder, { a: identity(0, 5) });
    await b.export(...lost);
    await b.commit();
    expect(eventFiles(folder)).toHaveLength(2);
    expectCurves(folder, { a: identity(0, 10) });
    expectCurves(path.join(b.runs, 'other'), { a: identity(0, 5) });
    expect(fs.statSync(path.join(folder, first!)).size).toBe(size);
  });

  it('finds its own files again after a crash before the first commit', async () => {
    const b = await bench();
    const sender = new Sender();
    const batch = sender.rows(RUN, rows(0, 5));
    await b.export(batch);
    await b.exporter.commit();
    await b.crash();
    await b.export(batch);
    await b.commit();
    expect(filledFiles(path.join(b.runs, 'r'))).toHaveLength(1);
    expectCurves(path.join(b.runs, 'r'), { a: identity(0, 5) });
  });

  it('leaves files alone that it does not remember, and wins over them from its first step on', async () => {
    const b = await bench();
    const sender = new Sender();
    await b.export(sender.rows(RUN, rows(0, 10)));
    await b.commit();
    const [old] = eventFiles(path.join(b.runs, 'r'));
    b.committed = undefined;
    await b.crash();
    await b.export(sender.rows(RUN, [{ step: 5, values: { a: -5 } }]));
    await b.commit();
    expect(eventFiles(path.join(b.runs, 'r'))[0]).toBe(old);
    expectCurves(path.join(b.runs, 'r'), { a: [...identity(0, 5), [5, -5]] });
  });

  it('keeps off the points of another writer of the same run', async () => {
    const one = await bench();
    const two = await bench({}, 'w2', one.folder);
    const sender = new Sender();
    const other: Process = { run: 'r', instance: 'i2', rank: 1 };
    await one.export(sender.rows(RUN, rows(0, 5)));
    await one.commit();
    await two.export(sender.rows(other, [...rows(0, 3), ...rows(4, 5)]));
    await two.commit();
    await two.export(sender.rows(other, rows(3, 4)));
    await two.export(sender.events(other, [{ name: 'kymo.run.finish' }]));
    await two.commit();
    expectCurves(path.join(one.runs, 'r'), { a: identity(0, 5), 'a/rank=1': identity(0, 5) });
  });

  it('survives a crash at any moment without losing or doubling a point', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            {
              weight: 4,
              arbitrary: fc.record({
                tag: fc.constantFrom('a', 'b'),
                steps: fc.array(fc.nat(30), { minLength: 1, maxLength: 6 }),
              }),
            },
            { weight: 2, arbitrary: fc.constant('commit' as const) },
            { weight: 1, arbitrary: fc.constant('crash in commit' as const) },
            { weight: 1, arbitrary: fc.constant('crash' as const) },
            { weight: 1, arbitrary: fc.constant('forget' as const) },
            { weight: 1, arbitrary: fc.constant('finish' as const) },
          ),
          { maxLength: 25 },
        ),
        async actions => {
          const b = new Bench({ max_file_mib: 1 });
          try {
            await b.start();
            const sender = new Sender();
            const expected = { a: new Map<number, number>(), b: new Map<number, number>() };
            let sinceCommit: Parameters<Bench['export']> = [];
            const again = async () => {
              await b.crash();
              await b.export(...sinceCommit);
            };
            let value = 0;
            for (const action of [...actions, 'finish' as const, 'commit' as const]) {
              if (action === 'commit') {
                await b.commit();
                sinceCommit = [];
              } else if (action === 'crash') await again();
              else if (action === 'crash in commit') {
                await b.exporter.commit();
                await again();
              } else if (action === 'forget') {
                // The run is closed: everything settled, its state gone from the cursor.
                await b.export(sender.events(RUN, [{ name: 'kymo.run.finish' }]));
                await b.commit();
                sinceCommit = [];
                b.committed = { ...b.committed, runs: [] } as CommittedState;
                await b.crash();
              } else {
                const batch =
                  action === 'finish'
                    ? sender.events({ ...RUN, instance: `i${value}` }, [{ name: 'kymo.run.finish' }])
                    : sender.rows(
                        RUN,
                        // Points of equal step are all written; which of them a reader shows is its own business.
                        action.steps
                          .filter(
                            (step, i, all) => !expected[action.tag].has(step) && all.indexOf(step) === i,
                          )
                          .map(step => {
                            expected[action.tag].set(step, ++value);
                            return { step, values: { [action.tag]: value } };
                          }),
                      );
                await b.export(batch);
                sinceCommit.push(batch);
              }
            }
            await b.exporter.stop();
            const sorted = (map: Map<number, number>) => [...map].sort((x, y) => x[0] - y[0]);
            const want = Object.fromEntries(
              Object.entries(expected)
                .filter(([, map]) => map.size > 0)
                .map(([tag, map]) => [tag, sorted(map)]),
            );
            expectCurves(path.join(b.runs, 'r'), want);
          } finally {
            await b.exporter.stop();
            b.remove();
          }
        },
      ),
      { numRuns: 150 },
    );
  }, 30_000);

  it('writes a removed run folder again', async () => {
    const b = await bench();
    const sender = new Sender();
    await b.export(sender.rows(RUN, rows(0, 5)));
    await b.commit();
    fs.rmSync(b.runs, { recursive: true });
    await b.export(sender.rows(RUN, rows(5, 10)));
    await b.commit();
    expectCurves(path.join(b.runs, 'r'), { a: identity(0, 10) });
    expect(b.context.said.join('\n')).toMatch(/warn .*removed while it was written/);
  });

  it('refuses a run folder that is a link, and goes on with the others', async () => {
    const b = await bench();
    const sender = new Sender();
    const outside = path.join(b.folder, 'outside');
    fs.mkdirSync(outside);
    fs.mkdirSync(b.runs);
    fs.symlinkSync(outside, path.join(b.runs, 'r'));
    await b.export(sender.rows(RUN, rows(0, 5)), sender.rows({ run: 'good' }, rows(0, 5)));
    await b.commit();
    expect(fs.readdirSync(outside)).toEqual([]);
    expectCurves(path.join(b.runs, 'good'), { a: identity(0, 5) });
    expect(b.context.said.join('\n')).toMatch(/symbolic link/);
    expect(b.context.counts.get('kymo_tensorboard_dropped_points{run_refused}')).toBe(5);
  });

  it('says which file cannot be written, and can try again', async () => {
    const b = await bench();
    const sender = new Sender();
    const batch = sender.rows(RUN, rows(0, 5));
    fs.writeFileSync(b.runs, 'in the way');
    await expect(b.export(batch)).rejects.toMatchObject({
      name: 'RetryableError',
      message: expect.stringContaining(path.join(b.runs, 'r')),
    });
    fs.rmSync(b.runs);
    await b.crash();
    await b.export(batch);
    await b.commit();
    expectCurves(path.join(b.runs, 'r'), { a: identity(0, 5) });
  });

  (process.platform === 'linux' ? it : it.skip)(
    'names the file and the way out when the disk is full',
    () => {
      const full = fs.openSync('/dev/full', 'r+');
      try {
        expect(() => appendAll(full, Buffer.from('record'), 6, 0, '/runs/r/events')).toThrow(
          expect.objectContaining({
            name: 'RetryableError',
            message: expect.stringMatching(/^\/runs\/r\/events: ENOSPC.*free some space/),
          }),
        );
      } finally {
        fs.closeSync(full);
      }
    },
  );

  it('bounds the tags of a run and says so once', async () => {
    const b = await bench({ max_tags_per_run: 3 });
    const sender = new Sender();
    await b.export(sender.rows(RUN, [{ step: 0, values: { a: 1, b: 1, c: 1, d: 1, e: 1 } }]));
    await b.commit();
    expect([...rustCurves(path.join(b.runs, 'r')).keys()]).toEqual(['a', 'b', 'c']);
    expect(b.context.counts.get('kymo_tensorboard_dropped_points{too_many_tags}')).toBe(2);
    expect(b.context.said.filter(line => line.includes('max_tags_per_run'))).toHaveLength(1);
  });

  it('keeps few files open and closes runs that are too many', async () => {
    const b = await bench({ max_open_runs: 2 });
    const sender = new Sender();
    for (let round = 0; round < 3; round++) {
      for (let run = 0; run < 30; run++) {
        await b.export(sender.rows({ run: `r${run}` }, rows(round * 5, round * 5 + 5)));
      }
      await b.commit();
      expect((b.committed!.runs as unknown[]).length).toBeLessThanOrEqual(18);
    }
    for (let run = 0; run < 30; run++) expectCurves(path.join(b.runs, `r${run}`), { a: identity(0, 15) });
  });

  it('leaves the files of a closed run as its last commit did', async () => {
    const b = await bench({ max_open_runs: 1 });
    const sender = new Sender();
    const all = Array.from({ length: 12 }, (_, i) => ({ run: `r${i}` }));
    for (const run of all) await b.export(sender.rows(run, rows(0, 5)));
    // The commit is durable, and before the exporter hears of it more comes for a run that this commit closed.
    b.committed = JSON.parse(JSON.stringify(await b.exporter.commit())) as CommittedState;
    const open = (b.committed!.runs as [string, unknown][]).map(([folder]) => folder);
    const closed = all.find(({ run }) => !open.includes(run))!;
    const more = sender.rows(closed, rows(5, 10));
    await b.export(more);
    await b.exporter.commit();
    await b.crash();
    await b.export(more);
    await b.commit();
    expectCurves(path.join(b.runs, closed.run), { a: identity(0, 10) });
    expect(filledFiles(path.join(b.runs, closed.run))).toHaveLength(2);
  });

  it('removes emptied files once no reader can stand in them any more', async () => {
    const b = await bench();
    const sender = new Sender();
    const folder = path.join(b.runs, 'r');
    const endings = async (n: number) => {
      await b.export(sender.rows(RUN, [...rows(n, n + 5), ...rows(n - 2, n)]));
      await b.export(sender.events(RUN, [{ name: 'kymo.run.finish' }]));
      await b.commit();
    };
    await endings(10);
    const [emptied] = eventFiles(folder);
    fs.utimesSync(path.join(folder, emptied!), 0, Date.now() / 1000 - 700);
    await endings(20);
    expect(eventFiles(folder)).not.toContain(emptied);
    expectCurves(folder, { a: [...identity(8, 15), ...identity(18, 25)] });
  });

  it('begins a new file when one is large, in an order that readers keep', async () => {
    const b = await bench({ max_file_mib: 1 });
    const sender = new Sender();
    const folder = path.join(b.runs, 'r');
    const wide = (from: number, to: number): Row[] =>
      rows(from, to).map(row => ({
        ...row,
        values: Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`metric/${i}`, row.step!])),
      }));
    await b.export(sender.rows(RUN, wide(0, 1000)), sender.rows(RUN, wide(1001, 2500)));
    await b.export(sender.rows(RUN, wide(1000, 1001)));
    await b.export(sender.rows(RUN, wide(2500, 2600)));
    await b.exporter.stop();
    expect(eventFiles(folder).length).toBeGreaterThan(2);
    expectCurves(folder, { 'metric/0': identity(0, 2600), 'metric/39': identity(0, 2600) });
  });

  it('writes histograms as rows of finite edges', async () => {
    const b = await bench();
    const sender = new Sender();
    const folder = path.join(b.runs, 'r');
    const shown = () =>
      events(folder)
        .flatMap(event => event.values)
        .map(value => [...new Float64Array(Uint8Array.from(value.content).buffer)]);
    await b.export(
      sender.rows(
        RUN,
        [],
        [
          { name: 'h', step: 0, bounds: [0, 1, 2], counts: [0, 2, 3, 0] },
          { name: 'h', step: 1, bounds: [0, 1], counts: [1, 0, 4], min: -3, max: 7 },
          { name: 'h', step: 2, bounds: [], counts: [5], min: 1, max: 2 },
          { name: 'h', step: 3, bounds: [0], counts: [0, 0] },
          { name: 'h', step: 4, bounds: [0], counts: [3, 0] },
        ],
      ),
    );
    await b.commit();
    expect(shown()).toEqual([
      [0, 1, 2, 1, 2, 3],
      [-3, 0, 1, 0, 1, 0, 1, 7, 4],
      [1, 2, 5],
      [0, 0, 0],
      [0, 0, 3],
    ]);
  });

  it('turns cumulative histograms into what came since', async () => {
    const b = await bench();
    const sender = new Sender();
    const one = (step: number, counts: number[]) =>
      ({ name: 'h', step, bounds: [0, 1, 2], counts, temporality: 'cumulative' }) as const;
    await b.export(sender.rows(RUN, [], [one(0, [0, 1, 2, 0]), one(1, [0, 1, 5, 0]), one(2, [0, 1, 1, 0])]));
    await b.commit();
    const counts = events(path.join(b.runs, 'r'))
      .flatMap(event => event.values)
      .map(value =>
        [...new Float64Array(Uint8Array.from(value.content).buffer)].filter((_, i) => i % 3 === 2),
      );
    expect(counts).toEqual([[1, 2], [3], [1, 1]]);
  });

  it('takes odd steps, times and values', async () => {
    const b = await bench();
    const sender = new Sender();
    await b.export(
      sender.rows(RUN, [
        { step: -5, time: 0, values: { a: 1e308, b: 5e-324 } },
        { step: 2.9, values: { a: 16777217 } },
        { step: 2 ** 60, values: { a: 3 } },
      ]),
    );
    await b.commit();
    const folder = path.join(b.runs, 'r');
    expectCurves(folder, {
      a: [
        [-5, Infinity],
        [2, 16777216],
        [2 ** 60, 3],
      ],
      b: [[-5, 0]],
    });
    expect(events(folder).every(event => event.wallTime > 1_600_000_000)).toBe(true);
  });
});
