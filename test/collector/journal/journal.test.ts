import fs from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { JournalIngest } from '../../../src/collector/journal/ingest.ts';
import { summarizeJournal } from '../../../src/collector/journal/inspect.ts';
import { type Journal, type JournalOptions, openJournal } from '../../../src/collector/journal/journal.ts';
import { openJournalReader } from '../../../src/collector/journal/reader.ts';
import { listSegments, SEGMENT_HEADER_BYTES } from '../../../src/collector/journal/segment.ts';
import { FRAME_HEADER_BYTES, writeFrame } from '../../../src/otlp/frame.ts';
import { jsonToProtobuf } from '../../../src/otlp/json.ts';
import { body, readAll, recordingLogger, temporaryFolder, textOf } from './support.ts';

const open: Journal[] = [];
afterEach(async () => {
  for (const journal of open.splice(0)) await journal.close();
});
async function journalIn(directory: string, options: Partial<JournalOptions> = {}): Promise<Journal> {
  const journal = await openJournal({ directory, logger: recordingLogger(), ...options });
  open.push(journal);
  return journal;
}
async function append(journal: Journal, text: string, batchKey = ''): Promise<number> {
  const result = await journal.append({ signal: 'metrics', bytes: body(text), batchKey });
  if (result.kind !== 'stored') throw new Error(result.reason);
  return result.position;
}
/** Copies a journal as a crash would leave it: without what `close` does. */
function crashCopy(directory: string): string {
  const copy = path.join(temporaryFolder(), 'crashed');
  fs.cpSync(directory, copy, { recursive: true });
  return copy;
}

describe('journal', () => {
  it.each(['always', 'interval', 'never'] as const)(
    'keeps what it acknowledged, in order, with fsync %s',
    async fsync => {
      const directory = temporaryFolder();
      const journal = await journalIn(directory, { fsync });
      const texts = Array.from(
        { length: 200 },
        (_, i) => `request ${i} ${'x'.repeat(i % 7 === 0 ? 20_000 : i)}`,
      );
      const positions = await Promise.all(texts.map(text => append(journal, text)));
      expect(positions).toEqual([...positions].sort((a, b) => a - b));
      expect((await readAll(journal)).map(textOf)).toEqual(texts);
      const id = journal.id;
      await journal.close();
      const again = await journalIn(directory);
      expect(again.id).toBe(id);
      const records = await readAll(again);
      expect(records.map(textOf)).toEqual(texts);
      expect(records.map(record => record.next)).toEqual(positions);
      expect(again.end).toBe(positions.at(-1));
    },
  );

  it('writes requests that come together in one group', async () => {
    const journal = await journalIn(temporaryFolder());
    await Promise.all(Array.from({ length: 500 }, (_, i) => append(journal, `${i}`)));
    expect(journal.stats().groups).toBeLessThan(5);
    expect(journal.stats().appendedRecords).toBe(500);
  });

  it('goes on in new segments, and reads across them', async () => {
    const directory = temporaryFolder();
    const journal = await journalIn(directory, { segmentBytes: 64 * 1024, tailBytes: 0 });
    const texts: string[] = [];
    for (let i = 0; i < 60; i++) {
      texts.push(`${i} ${'y'.repeat(10_000)}`);
      await append(journal, texts[i]!);
    }
    const segments = await listSegments(directory);
    expect(segments.length).toBeGreaterThan(5);
    expect((await readAll(journal)).map(textOf)).toEqual(texts);
    const reader = await openJournalReader(directory);
    expect((await readAll(reader)).map(textOf)).toEqual(texts);
    await reader.close();
  });

  it('takes a request that is larger than a segment', async () => {
    const journal = await journalIn(temporaryFolder(), { segmentBytes: 64 * 1024, tailBytes: 0 });
    await append(journal, 'before');
    await append(journal, 'z'.repeat(3_000_000));
    await append(journal, 'after');
    expect((await readAll(journal)).map(record => record.bytes.byteLength)).toEqual([6, 3_000_000, 5]);
  });

  it('cuts a torn end at whatever byte it is torn, keeps what is before, and goes on', async () => {
    const directory = temporaryFolder();
    const journal = await journalIn(directory);
    await append(journal, 'one', 'i/s/metrics/1');
    const before = await append(journal, 'two', 'i/s/metrics/2');
    const after = await append(journal, 'three', 'i/s/metrics/3');
    const crashed = crashCopy(directory);
    const segment = (await listSegments(crashed))[0]!.path;
    const whole = fs.readFileSync(segment);
    for (let length = before; length <= after; length++) {
      fs.writeFileSync(segment, whole.subarray(0, SEGMENT_HEADER_BYTES + length));
      const torn = await openJournal({ directory: crashed, logger: recordingLogger() });
      const kept = length === after ? ['one', 'two', 'three'] : ['one', 'two'];
      expect((await readAll(torn)).map(textOf)).toEqual(kept);
      expect(torn.end).toBe(length === after ? after : before);
      // The sender was not told, or it was: its retry decides, and is stored exactly once either way.
      await append(torn, 'three', 'i/s/metrics/3');
      expect((await readAll(torn)).map(textOf)).toEqual(['one', 'two', 'three']);
      await torn.close();
      fs.rmSync(path.join(crashed, 'marks.json'));
    }
  });

  it('cuts an end of zeros, which a power cut leaves', async () => {
    const directory = temporaryFolder();
    const journal = await journalIn(directory);
    const end = await append(journal, 'kept');
    const crashed = crashCopy(directory);
    const segment = (await listSegments(crashed))[0]!.path;
    fs.appendFileSync(segment, Buffer.alloc(100_000));
    const again = await journalIn(crashed);
    expect(again.end).toBe(end);
    await append(again, 'next');
    expect((await readAll(again)).map(textOf)).toEqual(['kept', 'next']);
  });

  it('survives a flipped bit anywhere in a record, and reports it once', async () => {
    const directory = temporaryFolder();
    const journal = await journalIn(directory);
    const start = await append(journal, 'one');
    const next = await append(journal, 'two is damaged');
    await append(journal, 'three');
    await append(journal, 'four');
    const crashed = crashCopy(directory);
    const segment = (await listSegments(crashed))[0]!.path;
    const whole = fs.readFileSync(segment);
    for (let byte = start; byte < next; byte++) {
      const damaged = Buffer.from(whole);
      damaged[SEGMENT_HEADER_BYTES + byte]! ^= 1 << (byte % 8);
      fs.writeFileSync(segment, damaged);
      const logger = recordingLogger();
      const again = await openJournal({ directory: crashed, logger, tailBytes: 0 });
      expect((await readAll(again)).map(textOf)).toEqual(['one', 'three', 'four']);
      expect(again.findings).toMatchObject([{ kind: 'corrupt', position: start, next }]);
      expect(logger.lines.filter(line => line.level === 'error')).toHaveLength(byte === start ? 1 : 0);
      await again.close();
    }
    const report = fs
      .readFileSync(path.join(crashed, 'quarantine', 'journal.jsonl'), 'utf8')
      .trim()
      .split('\n');
    expect(report).toHaveLength(1);
    expect(JSON.parse(report[0]!)).toMatchObject({ kind: 'corrupt', position: start, next });
  });

  it('does not believe a header that a sender put into its request when the request is damaged', async () => {
    const directory = temporaryFolder();
    const journal = await journalIn(directory);
    // An intact header inside a body, whose length reaches over the record behind.
    const behind = 'behind the trap';
    const reach = 4 + FRAME_HEADER_BYTES + behind.length;
    const [header] = writeFrame({
      signal: 'metrics',
      encoding: 0,
      receivedUnixNano: 0n,
      batchKey: '',
      body: Buffer.alloc(reach),
    });
    for (const trap of ['AAAA', ''].map(text =>
      Buffer.concat([Buffer.from(text), header, Buffer.from('BBBB')]),
    )) {
      const start = journal.end;
      await journal.append({ signal: 'metrics', bytes: trap, batchKey: '' });
      await append(journal, behind);
      const crashed = crashCopy(directory);
      const segment = (await listSegments(crashed))[0]!.path;
      const damaged = fs.readFileSync(segment);
      damaged[SEGMENT_HEADER_BYTES + start]! ^= 1;
      fs.writeFileSync(segment, damaged);
      const again = await journalIn(crashed);
      expect((await readAll(again)).map(textOf).at(-1)).toBe(behind);
      expect(again.end).toBe(journal.end);
    }
  });

  it('refuses a format version it does not know, says what to do, and changes nothing', async () => {
    const directory = temporaryFolder();
    const journal = await journalIn(directory);
    await append(journal, 'one');
    await journal.close();
    const segment = (await listSegments(directory))[0]!.path;
    const bytes = fs.readFileSync(segment);
    bytes.writeUInt32LE(9, 8);
    fs.writeFileSync(segment, Buffer.concat([bytes, Buffer.from('torn')]));
    const before = fs.readFileSync(segment);
    await expect(openJournal({ directory, logger: recordingLogger() })).rejects.toThrow(
      /version 9.*reads version 1.*move the folder/,
    );
    expect(fs.readFileSync(segment)).toEqual(before);
  });

  it('is opened by one collector at a time', async () => {
    const directory = temporaryFolder();
    const journal = await journalIn(directory);
    await expect(openJournal({ directory, logger: recordingLogger() })).rejects.toThrow(/another collector/);
    await journal.close();
    await journalIn(directory);
  });

  it('tells followers when the end moves', async () => {
    const journal = await journalIn(temporaryFolder());
    let told = 0;
    journal.subscribe(() => told++);
    const waiting = journal.changed(journal.end);
    await append(journal, 'x');
    await waiting;
    expect(told).toBe(1);
  });

  it('refuses after close, and closing writes what was queued', async () => {
    const directory = temporaryFolder();
    const journal = await journalIn(directory);
    const queued = append(journal, 'queued');
    await journal.close();
    await queued;
    expect(await journal.append({ signal: 'logs', bytes: body('late'), batchKey: '' })).toMatchObject({
      kind: 'refused',
    });
    expect((await readAll(await journalIn(directory))).map(textOf)).toEqual(['queued']);
  });
});

describe('batch keys in the journal', () => {
  it('are stored once, in any order, also after a crash and after a restart', async () => {
    const directory = temporaryFolder();
    const journal = await journalIn(directory);
    for (const n of [3, 1, 5, 2]) await append(journal, `batch ${n}`, `i/s/metrics/${n}`);
    const end = journal.end;
    for (const n of [1, 2, 3, 5]) {
      expect(
        await journal.append({ signal: 'metrics', bytes: body('again'), batchKey: `i/s/metrics/${n}` }),
      ).toEqual({
        kind: 'stored',
        position: end,
        duplicate: true,
      });
    }
    const crashed = await journalIn(crashCopy(directory));
    await journal.close();
    for (const reopened of [crashed, await journalIn(directory)]) {
      for (const n of [5, 4, 3, 2, 1]) await append(reopened, `batch ${n}`, `i/s/metrics/${n}`);
      const texts = (await readAll(reopened)).map(textOf);
      expect(texts).toEqual(['batch 3', 'batch 1', 'batch 5', 'batch 2', 'batch 4']);
      expect(reopened.stats().duplicates).toBe(4);
    }
  });

  it('are not needed for what the SDK sent and something in between passed on: its content names it', async () => {
    const directory = temporaryFolder();
    const request = (run: string, distro: string) =>
      jsonToProtobuf(
        'logs',
        JSON.stringify({
          resourceLogs: [
            {
              resource: {
                attributes: [
                  { key: 'kymo.run.id', value: { stringValue: run } },
                  { key: distro, value: { stringValue: 'kymo' } },
                ],
              },
              scopeLogs: [{ logRecords: [{ timeUnixNano: '1', body: { stringValue: 'the same' } }] }],
            },
          ],
        }),
      );
    const send = (journal: Journal, run: string, distro = 'telemetry.distro.name') =>
      journal.append({ signal: 'logs', bytes: request(run, distro), batchKey: '' });
    const journal = await journalIn(directory);
    const both = await Promise.all([send(journal, 'a'), send(journal, 'a')]);
    expect(both).toMatchObject([{ duplicate: false }, { duplicate: true }]);
    expect(await send(journal, 'b')).toMatchObject({ duplicate: false });
    // Somebody else may say the same thing twice, and mean it.
    for (let i = 0; i < 2; i++) expect(await send(journal, 'a', 'other')).toMatchObject({ duplicate: false });
    const crashed = await journalIn(crashCopy(directory));
    await journal.close();
    for (const reopened of [crashed, await journalIn(directory)]) {
      expect(await send(reopened, 'a')).toMatchObject({ duplicate: true });
      expect(await send(reopened, 'c')).toMatchObject({ duplicate: false });
    }
  });

  it('of a batch that is still being written wait for that one', async () => {
    const journal = await journalIn(temporaryFolder(), { fsync: 'always' });
    const results = await Promise.all(
      Array.from({ length: 5 }, () =>
        journal.append({ signal: 'logs', bytes: body('x'), batchKey: 'i/s/logs/1' }),
      ),
    );
    expect(results.map(result => result.kind === 'stored' && result.duplicate)).toEqual([
      false,
      true,
      true,
      true,
      true,
    ]);
    expect(await readAll(journal)).toHaveLength(1);
  });

  it('outlive the data they came with', async () => {
    const directory = temporaryFolder();
    const journal = await journalIn(directory, { segmentBytes: 64 * 1024 });
    for (let n = 1; n <= 30; n++) await append(journal, 'x'.repeat(10_000), `i/s/metrics/${n}`);
    journal.retain({ needed: () => journal.end });
    await journal.trim();
    expect(journal.start).toBeGreaterThan(0);
    const crashed = await journalIn(crashCopy(directory));
    expect(crashed.start).toBe(journal.start);
    await append(crashed, 'again', 'i/s/metrics/1');
    expect(crashed.stats()).toMatchObject({ duplicates: 1, appendedRecords: 0 });
  });

  it('are rebuilt from the journal when marks.json is damaged, or of a journal that lost its end', async () => {
    const directory = temporaryFolder();
    const journal = await journalIn(directory);
    const first = await append(journal, 'one', 'i/s/metrics/1');
    await append(journal, 'two', 'i/s/metrics/2');
    await journal.close();
    const marks = path.join(directory, 'marks.json');
    const text = fs.readFileSync(marks, 'utf8');
    for (const damaged of [text.slice(0, 40), text.replace('"i/s/metrics"', '"j/s/metrics"'), '']) {
      fs.writeFileSync(marks, damaged);
      const again = await openJournal({ directory, logger: recordingLogger() });
      await append(again, 'again', 'i/s/metrics/2');
      expect(again.stats().duplicates).toBe(1);
      await again.close();
    }
    fs.truncateSync((await listSegments(directory))[0]!.path, SEGMENT_HEADER_BYTES + first);
    const shorter = await journalIn(directory);
    await append(shorter, 'two', 'i/s/metrics/2');
    expect((await readAll(shorter)).map(textOf)).toEqual(['one', 'two']);
  });
});

describe('room', () => {
  it('deletes what no reader needs, then lets laggards be parked, then refuses, and recovers', async () => {
    const journal = await journalIn(temporaryFolder(), { maxSizeBytes: 1_000_000, segmentBytes: 100_000 });
    let needed = 0;
    let parkable = 0;
    journal.retain({
      needed: () => needed,
      onPressure: () => {
        if (parkable === 0) return false;
        parkable--;
        needed = 400_000;
        return true;
      },
    });
    const send = () => journal.append({ signal: 'metrics', bytes: Buffer.alloc(20_000, 1), batchKey: '' });
    for (let i = 0; i < 48; i++) expect((await send()).kind).toBe('stored');
    let result = await send();
    for (let i = 0; i < 5 && result.kind === 'stored'; i++) result = await send();
    expect(result).toMatchObject({
      kind: 'refused',
      retryAfterMs: 5_000,
      reason: expect.stringContaining('full'),
    });
    expect(journal.sizeBytes).toBeLessThanOrEqual(1_000_000);
    parkable = 1;
    expect((await send()).kind).toBe('stored');
    expect(journal.start).toBeGreaterThan(0);
    expect(journal.start).toBeLessThanOrEqual(400_000);
    needed = journal.end;
    for (let i = 0; i < 100; i++) {
      expect((await send()).kind).toBe('stored');
      needed = journal.end;
    }
    expect(journal.sizeBytes).toBeLessThanOrEqual(1_000_000);
  });

  it('keeps everything with keep: all', async () => {
    const journal = await journalIn(temporaryFolder(), {
      maxSizeBytes: 400_000,
      segmentBytes: 100_000,
      keep: 'all',
    });
    journal.retain({ needed: () => Infinity, onPressure: () => true });
    const results = [];
    for (let i = 0; i < 30; i++) {
      results.push(await journal.append({ signal: 'metrics', bytes: Buffer.alloc(20_000), batchKey: '' }));
    }
    expect(results.some(result => result.kind === 'refused')).toBe(true);
    expect(journal.start).toBe(0);
  });

  it('never deletes without knowing who reads', async () => {
    const journal = await journalIn(temporaryFolder(), { segmentBytes: 64 * 1024 });
    for (let i = 0; i < 20; i++) await append(journal, 'x'.repeat(10_000));
    await journal.trim();
    expect(journal.start).toBe(0);
  });

  it('reserves memory up to its bound', async () => {
    const ingest = new JournalIngest(await journalIn(temporaryFolder()), { maxInFlightBytes: 100 });
    expect(ingest.reserve(60)).toBe(true);
    expect(ingest.reserve(60)).toBe(false);
    ingest.release(60);
    expect(ingest.reserve(100)).toBe(true);
    ingest.release(100);
    expect(() => ingest.release(1)).toThrow(/more than were reserved/);
    expect(await ingest.submit({ signal: 'logs', bytes: body('x'), batchKey: '', items: 1 })).toMatchObject({
      kind: 'stored',
      journal: expect.stringMatching(/^[0-9a-f-]{36}$/),
      duplicate: false,
    });
  });
});

describe('inspect', () => {
  it('sums up a live journal and a damaged one', async () => {
    const directory = temporaryFolder();
    const journal = await journalIn(directory, {
      segmentBytes: 64 * 1024,
      now: () => 1_700_000_000_000_000_000n,
    });
    for (let n = 1; n <= 20; n++) await append(journal, 'x'.repeat(10_000), `i/s/metrics/${n}`);
    await journal.append({ signal: 'logs', bytes: body('log'), batchKey: '' });
    const live = await summarizeJournal(directory);
    expect(live).toMatchObject({
      id: journal.id,
      start: 0,
      end: journal.end,
      keyed: 20,
      findingCount: 0,
      marks: { kind: 'missing' },
    });
    expect(live.bySignal).toMatchObject({
      metrics: { records: 20, bytes: 200_000 },
      logs: { records: 1, bytes: 3 },
      traces: { records: 0 },
    });
    expect(live.firstReceivedUnixNano).toBe(1_700_000_000_000_000_000n);
    const crashed = crashCopy(directory);
    const segments = await listSegments(crashed);
    const first = fs.readFileSync(segments[0]!.path);
    first[SEGMENT_HEADER_BYTES + 100]! ^= 1;
    fs.writeFileSync(segments[0]!.path, first);
    fs.appendFileSync(segments.at(-1)!.path, 'torn');
    const dead = await summarizeJournal(crashed);
    expect(dead.findings.map(finding => finding.kind)).toEqual(['corrupt', 'torn']);
    expect(dead.bySignal.metrics.records).toBe(19);
    expect(dead.end).toBe(journal.end);
    expect(fs.readFileSync(segments.at(-1)!.path).subarray(-4).toString()).toBe('torn');
  });
});
