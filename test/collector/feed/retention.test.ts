// A full journal, and exporters that are on their way: they hurry before anybody is parked or pushed back.
import path from 'node:path';
import { expect, it } from '@jest/globals';
import { RetryableError } from '../../../src/collector/component.ts';
import { retentionFor } from '../../../src/collector/feed/retention.ts';
import { temporaryFolder } from '../journal/support.ts';
import { bench, LineExporter, linesOf } from './support.ts';

const LIMITS = { maxSizeBytes: 400_000, segmentBytes: 64 * 1024 };
const VALUES = Array.from({ length: 200 }, (_, i) => i);
/** More than the journal holds, several times over. */
const REQUESTS = 200;

it('a sender that fills the journal within one commit interval is not pushed back, and no file sink is parked', async () => {
  const directory = temporaryFolder();
  const at = await bench(directory, LIMITS);
  const files = ['jsonl', 'tensorboard'].map(id => path.join(directory, id));
  // Left to themselves they would commit once a minute.
  const slow = { commitIntervalMs: 60_000, idleCommitMs: 60_000 };
  const [record, other] = files.map((file, i) =>
    at.runner(() => new LineExporter(file), { id: path.basename(file), canonical: i === 0, ...slow }),
  );
  at.journal.retain(retentionFor(() => [record!, other!]));
  await Promise.all([record!.start(), other!.start()]);
  for (let i = 0; i < REQUESTS; i++) await at.send('a', ...VALUES);
  expect(at.journal.stats().refused.full).toBe(0);
  expect(at.journal.start).toBeGreaterThan(0);
  for (const runner of [record!, other!]) {
    await runner.progress(at.journal.end);
    expect(runner.stats()).toMatchObject({ missedBytes: 0, gaps: [] });
    await runner.stop({ drainMs: 1_000 });
  }
  for (const file of files) expect(linesOf(file)).toHaveLength(REQUESTS * VALUES.length);
  await at.journal.close();
});

it('a sender is pushed back when the record cannot be written, until it can', async () => {
  const directory = temporaryFolder();
  const at = await bench(directory, LIMITS);
  let broken = true;
  class Breaking extends LineExporter {
    override export(batch: Parameters<LineExporter['export']>[0]): void {
      if (broken) throw new RetryableError('the disk is full');
      super.export(batch);
    }
  }
  const file = path.join(directory, 'jsonl');
  const record = at.runner(() => new Breaking(file), { id: 'jsonl', canonical: true });
  at.journal.retain(retentionFor(() => [record]));
  await record.start();
  let sent = 0;
  await expect(
    (async () => {
      for (;;) {
        await at.send('a', ...VALUES);
        sent++;
      }
    })(),
  ).rejects.toThrow(/the journal is full/);
  broken = false;
  await record.progress(at.journal.end);
  for (let i = 0; i < REQUESTS; i++) await at.send('a', ...VALUES);
  await record.progress(at.journal.end);
  expect(linesOf(file)).toHaveLength((sent + REQUESTS) * VALUES.length);
  await record.stop({ drainMs: 1_000 });
  await at.journal.close();
});
