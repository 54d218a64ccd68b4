import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Batch } from '../../../../src/collector/component.ts';
import { attributesOf, BatchMaker } from '../../batches.ts';
import { contentOf, Driver } from './driver.ts';

/** What happens, in order. `run` says which run a batch is for. */
type Event =
  | {
      readonly kind: 'rows' | 'mixed' | 'logs' | 'spans' | 'config';
      readonly run: number;
      readonly size: number;
    }
  | { readonly kind: 'commit' }
  /** `lost`: the commit happened, but its cursor never reached the disk. `back`: the newest cursors are unreadable. */
  | { readonly kind: 'crash'; readonly lost: boolean; readonly back: number; readonly torn: boolean };

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'rows' as const,
        'mixed' as const,
        'logs' as const,
        'spans' as const,
        'config' as const,
      ),
      run: fc.nat({ max: 2 }),
      size: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ kind: 'commit' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('crash' as const),
      lost: fc.boolean(),
      back: fc.constantFrom(0, 0, 0, 1),
      torn: fc.boolean(),
    }),
  },
);

function batchOf(maker: BatchMaker, one: Extract<Event, { run: number }>): Batch {
  const sender = (run: number) => ({
    resource: { 'kymo.run.id': `r${run}`, 'service.instance.id': `i${maker.position % 3}` },
  });
  const many = Array.from({ length: one.size }, (_, i) => i);
  switch (one.kind) {
    case 'rows':
      return maker.rows(
        sender(one.run),
        many.map(i => ({ values: { loss: i - 0.5, [`m${i}`]: -0 }, step: i })),
      );
    case 'mixed':
      // Steps counted by us, and two runs in one batch.
      return maker.rows(
        sender(one.run),
        many.map(i => ({
          values: { a: Number.NaN, b: i },
          attributes: { 'kymo.run.id': `r${(one.run + i) % 3}` },
        })),
      );
    case 'logs':
      return maker.logs(sender(one.run), [
        {
          eventName: one.size > 2 ? 'kymo.run.finish' : 'kymo.run.start',
          attributes: { 'kymo.run.resume_step': 1 },
        },
        ...many.map(i => ({ body: `line ${i}` })),
      ]);
    case 'spans':
      return maker.spans(
        sender(one.run),
        many.map(i => ({ name: `s${i}` })),
      );
    case 'config':
      return maker.logs(sender(one.run), [
        {
          eventName: 'kymo.run.config',
          attributes: { 'kymo.run.config': attributesOf({ lr: maker.position, [`k${one.size}`]: 1 }) },
        },
      ]);
  }
}

/** What of a project is compared: everything in the run folders. */
function runsOf(driver: Driver): Record<string, string> {
  return Object.fromEntries(
    Object.entries(contentOf(driver.runs)).filter(([name]) => !name.endsWith('.old')),
  );
}

/** Half a line at the end of every file written since the last commit, as a crash in the middle of a write leaves it. */
function tear(driver: Driver, runs: ReadonlySet<number>): void {
  for (const run of runs) {
    for (const file of ['metrics', 'logs', 'spans']) {
      const place = path.join(driver.runs, `r${run}`, 'logs', `${file}.jsonl`);
      if (fs.existsSync(place)) fs.appendFileSync(place, '{"step":1,"tor');
    }
  }
}

describe('however often it crashes', () => {
  it('every file ends as if it had never crashed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(event, { minLength: 1, maxLength: 25 }),
        fc.integer({ min: 1, max: 3 }),
        async (events, maxOpenRuns) => {
          const calm = new Driver();
          const driver = new Driver({ max_open_runs: maxOpenRuns });
          try {
            const maker = new BatchMaker();
            await calm.start();
            await driver.start();
            let written = new Set<number>();
            for (const one of events) {
              if (one.kind === 'commit') {
                await driver.commit();
                written = new Set();
              } else if (one.kind === 'crash') {
                if (one.lost) await driver.commit({ stored: false });
                // The old one is left as it is, with what it has in memory; only its descriptors are given back.
                await driver.exporter.stop();
                if (one.torn) tear(driver, written);
                await driver.start(one.back);
                await driver.export();
              } else {
                const batch = batchOf(maker, one);
                await calm.export(batch);
                await driver.export(batch);
                for (const { run } of [...(batch.scalars?.resolved ?? []), ...batch.logs, ...batch.spans]) {
                  written.add(Number(run.id.slice(1)));
                }
              }
            }
            await calm.commit();
            await driver.commit();
            expect(runsOf(driver)).toEqual(runsOf(calm));
            expect(driver.lost('file_removed') + driver.lost('file_shortened')).toBe(0);
          } finally {
            await calm.dispose();
            await driver.dispose();
          }
        },
      ),
      { numRuns: 60 },
    );
  }, 60_000);
});

describe('after a crash', () => {
  const sender = (run: string) => ({ resource: { 'kymo.run.id': run } });
  const row = (maker: BatchMaker, run: string, a: number) =>
    maker.rows(sender(run), [{ values: { a }, step: a }]);

  it('start cuts open runs back, and makes run.json agree with them, before anything is read again', async () => {
    const driver = new Driver();
    const maker = new BatchMaker();
    await driver.start();
    await driver.export(row(maker, 'r', 1));
    await driver.commit();
    const before = contentOf(driver.runs);
    await driver.export(row(maker, 'r', 2));
    await driver.commit({ stored: false });
    expect(driver.lines('r')).toHaveLength(2);
    await driver.exporter.stop();
    await driver.start();
    expect(contentOf(driver.runs)).toEqual(before);
    await driver.dispose();
  });

  it('the state of a run that went on without a cursor is not believed once the run was cut back', async () => {
    const driver = new Driver({ max_open_runs: 1 });
    const maker = new BatchMaker();
    await driver.start();
    await driver.export(row(maker, 'r', 1));
    await driver.commit();
    await driver.export(row(maker, 'r', 2), row(maker, 'other', 1));
    // Run r leaves the cursor here, but the cursor never gets to the disk.
    await driver.commit({ stored: false });
    await driver.exporter.stop();
    await driver.start();
    await driver.exporter.stop();
    await driver.start(1);
    await driver.export();
    await driver.commit();
    expect(driver.lines('r').map(line => line.a)).toEqual([1, 2]);
    expect(driver.lost('file_shortened') + driver.lost('file_removed')).toBe(0);
    await driver.dispose();
  });

  it('before its first commit, with the state folder removed: no row is there twice', async () => {
    const driver = new Driver();
    const maker = new BatchMaker();
    await driver.start();
    await driver.export(row(maker, 'r', 1), row(maker, 'r', 2));
    fs.rmSync(driver.context.stateDirectory, { recursive: true });
    await driver.commit({ stored: false });
    await driver.exporter.stop();
    await driver.start();
    await driver.export();
    await driver.commit();
    expect(driver.lines('r').map(line => line.a)).toEqual([1, 2]);
    await driver.dispose();
  });

  it('a file that lost its end is reported, counted, and continued behind its last whole line', async () => {
    const driver = new Driver();
    const maker = new BatchMaker();
    await driver.start();
    await driver.export(row(maker, 'r', 1), row(maker, 'r', 2));
    await driver.commit();
    await driver.exporter.stop();
    const file = path.join(driver.runs, 'r/logs/metrics.jsonl');
    const length = fs.statSync(file).size;
    fs.truncateSync(file, length - 5);
    await driver.start();
    await driver.export(row(maker, 'r', 3));
    await driver.commit();
    expect(driver.lines('r').map(line => line.a)).toEqual([1, 3]);
    const missing = length / 2;
    expect(driver.lost('file_shortened')).toBe(missing);
    expect(driver.document('r').files).toMatchObject({
      'logs/metrics.jsonl': { bytes: length, missing_bytes: missing },
    });
    expect(driver.context.messages.filter(text => text.includes('shorter'))).toHaveLength(1);
    await driver.dispose();
  });

  it('a lost cursor destroys nothing: what was committed is kept beside the file', async () => {
    const driver = new Driver();
    const maker = new BatchMaker();
    await driver.start();
    await driver.export(row(maker, 'r', 1), row(maker, 'r', 2));
    await driver.commit();
    const before = driver.text('r', 'logs/metrics.jsonl');
    await driver.exporter.stop();
    driver.loseCursors();
    await driver.start();
    await driver.export(row(maker, 'r', 3));
    await driver.commit();
    expect(driver.lines('r').map(line => line.a)).toEqual([1, 2, 3]);
    const kept = fs.readdirSync(path.join(driver.runs, 'r/logs')).filter(name => name.endsWith('.old'));
    expect(kept).toHaveLength(1);
    expect(driver.text('r', `logs/${kept[0]}`)).toBe(before);
    await driver.dispose();
  });

  it('a run of which all state is lost is written on behind what is there', async () => {
    const driver = new Driver();
    await driver.start();
    await driver.export(row(new BatchMaker(), 'r', 1));
    await driver.commit();
    await driver.exporter.stop();
    fs.rmSync(path.join(driver.folder, 'state'), { recursive: true });
    const later = new Driver({}, { folder: driver.folder });
    await later.start();
    await later.export(row(new BatchMaker(), 'r', 2));
    await later.commit();
    expect(later.lines('r').map(line => line.a)).toEqual([1, 2]);
    expect(later.document('r')).toMatchObject({
      totals: { rows: 1 },
      files: { 'logs/metrics.jsonl': { adopted_bytes: expect.any(Number) } },
    });
    await later.dispose();
  });

  it('a new journal, whose positions begin again, is not taken for the old one', async () => {
    const driver = new Driver({ max_open_runs: 1 });
    const maker = new BatchMaker();
    await driver.start();
    await driver.export(...[1, 2, 3].map(a => row(maker, 'r', a)), row(maker, 'other', 1));
    await driver.commit();
    await driver.exporter.stop();
    const later = new Driver({ max_open_runs: 1 }, { folder: driver.folder });
    await later.start();
    const second = new BatchMaker();
    const received = 1_795_300_000_000_000_000n;
    await later.export(second.rows(sender('r'), [{ values: { a: 4 }, step: 4 }], received));
    await later.commit();
    expect(later.lines('r').map(line => line.a)).toEqual([1, 2, 3, 4]);
    await later.dispose();
  });
});
