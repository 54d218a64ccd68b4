import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { type JournalOptions, openJournal } from '../../../src/collector/journal/journal.ts';
import { listSegments } from '../../../src/collector/journal/segment.ts';
import { onSmallDisk, SmallDisk } from '../../small-disk.ts';
import { body, readAll, recordingLogger, temporaryFolder, textOf, until } from './support.ts';

describe('a disk that fails', () => {
  onSmallDisk('because it is full: refuses, loses nothing, and works again once there is room', async () => {
    const disk = new SmallDisk(temporaryFolder(), 4);
    try {
      const logger = recordingLogger();
      const journal = await openJournal({
        directory: path.join(disk.folder, 'journal'),
        logger,
        segmentBytes: 1 << 20,
      });
      const stored: string[] = [];
      const send = async (text: string) => {
        const result = await journal.append({ signal: 'logs', bytes: body(text), batchKey: '' });
        if (result.kind === 'stored') stored.push(text);
        return result;
      };
      fs.writeFileSync(path.join(disk.folder, 'ballast'), Buffer.alloc(2_000_000));
      let refused = 0;
      for (let i = 0; i < 60; i++) {
        const result = await send(`${i} ${'x'.repeat(50_000)}`);
        if (result.kind === 'refused') {
          refused++;
          expect(result.reason).toMatch(/ENOSPC|no space/i);
          expect(result.retryAfterMs).toBe(1_000);
        }
      }
      expect(refused).toBeGreaterThan(0);
      expect(stored.length).toBeGreaterThan(20);
      fs.rmSync(path.join(disk.folder, 'ballast'));
      for (let i = 0; i < 10; i++) expect((await send(`after ${i}`)).kind).toBe('stored');
      expect((await readAll(journal)).map(textOf)).toEqual(stored);
      await journal.close();
      const again = await openJournal({ directory: path.join(disk.folder, 'journal'), logger });
      expect((await readAll(again)).map(textOf)).toEqual(stored);
      expect(again.stats().damaged).toBe(0);
      await again.close();
    } finally {
      disk.remove();
    }
  });

  /** fdatasync cannot be made to fail on a healthy disk, so this one call is replaced. */
  async function journalOnFailingDisk(fsync: 'always' | 'interval', failing: { now: boolean }) {
    const logger = recordingLogger();
    const options: JournalOptions = {
      directory: temporaryFolder(),
      logger,
      fsync,
      fsyncIntervalMs: 5,
      disk: {
        datasync: handle =>
          failing.now ? Promise.reject(new Error('EIO: i/o error, fdatasync')) : handle.datasync(),
      },
    };
    return { journal: await openJournal(options), options, logger };
  }

  it('at fdatasync, fsync always: refuses the group and goes on in a new segment', async () => {
    const failing = { now: false };
    const { journal, options } = await journalOnFailingDisk('always', failing);
    const send = (n: number) =>
      journal.append({ signal: 'logs', bytes: body(`${n}`), batchKey: `i/s/logs/${n}` });
    await send(1);
    failing.now = true;
    expect(await send(2)).toMatchObject({ kind: 'refused', reason: expect.stringContaining('EIO') });
    expect(await send(3)).toMatchObject({ kind: 'refused' });
    failing.now = false;
    expect(await send(2)).toMatchObject({ kind: 'stored', duplicate: false });
    await send(3);
    expect((await readAll(journal)).map(textOf)).toEqual(['1', '2', '3']);
    expect(await listSegments(options.directory)).toHaveLength(2);
    await journal.close();
    const again = await openJournal(options);
    expect((await readAll(again)).map(textOf)).toEqual(['1', '2', '3']);
    await again.close();
  });

  it('at fdatasync, fsync interval: says so, goes on in a new segment, keeps what can be read', async () => {
    const failing = { now: false };
    const { journal, options, logger } = await journalOnFailingDisk('interval', failing);
    const send = (text: string) => journal.append({ signal: 'logs', bytes: body(text), batchKey: '' });
    await send('one');
    failing.now = true;
    await send('two');
    await until('the failed fdatasync', () => journal.stats().fsyncFailures > 0);
    failing.now = false;
    await journal.durable(journal.end);
    await send('three');
    expect(await listSegments(options.directory)).toHaveLength(2);
    expect(logger.lines.some(line => line.level === 'error' && line.message.includes('fdatasync'))).toBe(
      true,
    );
    expect((await readAll(journal)).map(textOf)).toEqual(['one', 'two', 'three']);
    await journal.close();
  });

  it('because the folder was removed: makes it again and goes on', async () => {
    const directory = temporaryFolder();
    const logger = recordingLogger();
    const journal = await openJournal({ directory, logger });
    await journal.append({ signal: 'logs', bytes: body('before'), batchKey: '' });
    fs.rmSync(directory, { recursive: true });
    await until('the loss being noticed', () =>
      logger.lines.some(line => line.message.includes('was removed')),
    );
    await journal.append({ signal: 'logs', bytes: body('after'), batchKey: '' });
    await journal.close();
    const again = await openJournal({ directory, logger });
    expect((await readAll(again)).map(textOf)).toEqual(['after']);
    await again.close();
  });
});
