import { describe, expect, it } from '@jest/globals';
import { Feed } from '../../../src/collector/feed/feed.ts';
import { openJournal } from '../../../src/collector/journal/journal.ts';
import { body, logsRequest, metricsRequest, recordingLogger, temporaryFolder } from '../journal/support.ts';

async function journalOf(count: number, tailBytes?: number) {
  const directory = temporaryFolder();
  const journal = await openJournal({
    directory,
    logger: recordingLogger(),
    ...(tailBytes === undefined ? {} : { tailBytes }),
  });
  for (let i = 0; i < count; i++) {
    await journal.append({ signal: 'metrics', bytes: metricsRequest('run', [i]), batchKey: '' });
  }
  return journal;
}

describe('feed', () => {
  it('decodes a record once for readers in step, also from disk', async () => {
    const journal = await journalOf(50, 0);
    const feed = new Feed(journal);
    const readers = [feed.reader(0), feed.reader(0), feed.reader(0)];
    for (let i = 0; i < 50; i++) {
      const batches = await Promise.all(readers.map(reader => reader.next()));
      expect(new Set(batches).size).toBe(1);
      expect(batches[0]!.scalars).toBe(batches[1]!.scalars);
      expect(batches[0]!.scalars!.columns.value[0]).toBe(i);
      for (const reader of readers) reader.advance(batches[0]!);
    }
    expect(await readers[0]!.next()).toBeUndefined();
    expect(feed.made).toBe(50);
    expect(feed.heldBytes).toBe(0);
    await journal.close();
  });

  it('stays within its bound when a reader lags, and lets that one read again', async () => {
    const journal = await journalOf(100, 0);
    const feed = new Feed(journal, { maxBytes: 10_000 });
    const fast = feed.reader(0);
    const slow = feed.reader(0);
    for (let i = 0; i < 100; i++) {
      fast.advance((await fast.next())!);
      expect(feed.heldBytes).toBeLessThanOrEqual(10_000);
    }
    for (let i = 0; i < 100; i++) {
      const batch = (await slow.next())!;
      expect(batch.scalars!.columns.value[0]).toBe(i);
      slow.advance(batch);
    }
    await journal.close();
  });

  it('decodes only what is asked for, and says of unreadable bytes each time that they are unreadable', async () => {
    const journal = await journalOf(0);
    await journal.append({ signal: 'logs', bytes: body('this is no request'), batchKey: '' });
    await journal.append({ signal: 'logs', bytes: logsRequest('r', 'hello'), batchKey: 'i/s/logs/1' });
    const feed = new Feed(journal);
    const reader = feed.reader(0);
    const broken = (await reader.next())!;
    expect(Buffer.from(broken.bytes).toString()).toBe('this is no request');
    expect(broken.scalars).toBeUndefined();
    expect(() => broken.logs).toThrow();
    expect(() => broken.logs).toThrow();
    reader.advance(broken);
    const good = (await reader.next())!;
    expect(good.batchKey).toBe('i/s/logs/1');
    expect(good.items).toBe(1);
    expect(good.logs.map(log => [log.run.id, log.scope, log.record.body])).toEqual([
      ['r', 'global', 'hello'],
    ]);
    expect(good.logs).toBe(good.logs);
    await journal.close();
  });
});
