// Between the threads: packing, chunks, what was sent before, files that change, the limit on memory, a media thread that dies.
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { encodeLogRecord, encodeResource } from '../../src/otlp/encode-records.ts';
import { encodeLogsRequest } from '../../src/otlp/encode-requests.ts';
import { decodeLogs } from '../../src/otlp/logs.ts';
import { openSpoolFile } from '../../src/otlp/spool-file.ts';
import { WireWriter } from '../../src/otlp/wire-writer.ts';
import * as layout from '../../src/sdk/layout.ts';
import { MediaGate } from '../../src/sdk/media/gate.ts';
import {
  CHUNK_BYTES,
  MAX_DESCRIPTION_BYTES,
  MAX_MEDIA_RECORD_BYTES,
  type MediaJob,
  packJob,
  unpackJob,
} from '../../src/sdk/media/job.ts';
import { MediaQueue } from '../../src/sdk/media/queue.ts';
import { KnownContent, Records } from '../../src/sdk/media/records.ts';
import { resumeMedia } from '../../src/sdk/media/resume.ts';
import { MAX_SPILLED_BYTES, Spill, type SpilledJob, spilledJob } from '../../src/sdk/media/spill.ts';
import type { Target, Transport } from '../../src/sdk/transport.ts';
import { received } from './media-content.ts';

const EMPTY = new Uint8Array(0);
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kymo-media-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const JOB: MediaJob = {
  event: 'media',
  title: 'text "t"',
  source: { as: 'bytes', mimeType: 'text/plain' },
};

function baseRecord(eventName: string, nameKey: string, filler = 0): Uint8Array {
  const writer = new WireWriter();
  encodeLogRecord(writer, {
    timeUnixNano: 7n,
    observedTimeUnixNano: 7n,
    severityNumber: 9,
    severityText: 'INFO',
    eventName,
    body: null,
    attributes: { [nameKey]: 't', ...(filler === 0 ? {} : { filler: 'x'.repeat(filler) }) },
    traceId: '',
    spanId: '',
    flags: 0,
  });
  return writer.copy();
}

function logsOf(recordBytes: readonly Uint8Array[]) {
  const empty = new Uint8Array(0);
  return decodeLogs(encodeLogsRequest([{ resourceBytes: empty, scopeBytes: empty, recordBytes }]));
}

describe('a packed job', () => {
  it('comes out as it went in, its content where any typed array may begin', () => {
    for (const extra of [0, 1, 2, 3, 4, 5, 6, 7]) {
      const job: MediaJob = { ...JOB, title: `text "${'ü'.repeat(extra)}"` };
      const packed = packJob(job, Uint8Array.of(1, 2, 3), Uint8Array.of(9, 8), () => true)!;
      const unpacked = unpackJob(packed);
      expect(unpacked.job).toEqual(job);
      expect([...unpacked.record]).toEqual([1, 2, 3]);
      expect([...unpacked.content]).toEqual([9, 8]);
      expect(unpacked.content.byteOffset % 8).toBe(0);
      expect(packed.buffer.byteLength).toBe(packed.length);
    }
  });
  it('takes no memory where it may not, and asks for exactly what it takes', () => {
    let asked = 0;
    const content = new Uint8Array(1000);
    expect(packJob(JOB, new Uint8Array(3), content, bytes => bytes < 0)).toBeUndefined();
    const packed = packJob(JOB, new Uint8Array(3), content, bytes => {
      asked = bytes;
      return true;
    })!;
    expect(asked).toBe(packed.length);
  });
});

describe('records', () => {
  const recordsFor = (
    event: 'media' | 'artifact',
    known = new KnownContent(),
    run = 1,
    base?: Uint8Array,
  ) => {
    const out: Uint8Array[] = [];
    const eventName = `kymo.${event}`;
    const records = new Records(
      event,
      base ?? baseRecord(eventName, `${eventName}.name`),
      run,
      known,
      async record => {
        out.push(record);
      },
    );
    return { records, out };
  };
  const content = (size: number, seed = 1) => {
    const bytes = Buffer.alloc(size);
    for (let i = 0; i < size; i++) bytes[i] = (i * seed) % 251;
    return bytes;
  };

  it.each([0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 5])(
    'hold %d bytes in as few chunks as need be',
    async size => {
      const bytes = content(size);
      const { records, out } = recordsFor('media');
      await records.bytes(bytes, { 'kymo.media.mime_type': 'text/plain' });
      const [whole, ...others] = received(logsOf(out));
      expect(others).toEqual([]);
      expect(out).toHaveLength(Math.max(1, Math.ceil(size / CHUNK_BYTES)));
      expect(whole!.bytes!.equals(bytes)).toBe(true);
      expect(whole!.mimeType).toBe('text/plain');
      expect(whole!.record.timeUnixNano).toBe(7n);
      if (size <= CHUNK_BYTES) expect(whole!.attributes).not.toHaveProperty(['kymo.media.chunk.count']);
    },
  );
  it('stay below their limit with the longest description', async () => {
    const base = baseRecord('kymo.media', 'kymo.media.name', MAX_DESCRIPTION_BYTES - 200);
    const { records, out } = recordsFor('media', new KnownContent(), 1, base);
    await records.bytes(content(2 * CHUNK_BYTES), { 'kymo.media.mime_type': 'text/plain' });
    for (const record of out) expect(record.length).toBeLessThan(MAX_MEDIA_RECORD_BYTES);
  });
  it('refer to content that the same run has sent, with hash and size, and send it again for another run', async () => {
    const known = new KnownContent();
    const { records, out } = recordsFor('media', known);
    const bytes = content(CHUNK_BYTES + 1);
    await records.bytes(bytes, {});
    await records.bytes(Buffer.from(bytes), {});
    await records.bytes(content(10, 3), {});
    const other = recordsFor('media', known, 2);
    await other.records.bytes(bytes, {});
    const [first, second, third] = received(logsOf(out));
    expect(second!.bytes).toBeUndefined();
    expect(second!.sha256).toBe(first!.sha256);
    expect(second!.attributes['kymo.media.size']).toBe(bytes.length);
    expect(third!.bytes).toEqual(content(10, 3));
    expect(received(logsOf(other.out))[0]!.bytes!.equals(bytes)).toBe(true);
  });
  it('remember a bounded number of hashes', () => {
    const known = new KnownContent();
    for (let i = 0; i < 20_000; i++) known.add(1, `hash ${i}`);
    expect(known.has(1, 'hash 0')).toBe(false);
    expect(known.has(1, 'hash 19999')).toBe(true);
    for (let run = 2; run < 40; run++) known.add(run, 'x');
    expect(known.has(1, 'hash 19999')).toBe(false);
  });
  it('stream a file chunk by chunk, each below the limit', async () => {
    const path = join(folder, 'file.bin');
    const bytes = content(2 * CHUNK_BYTES + 17);
    writeFileSync(path, bytes);
    const { size, mtimeMs } = statSync(path);
    const { records, out } = recordsFor('artifact');
    await records.file({ path, size, mtimeMs }, { 'kymo.artifact.path': 'file.bin' });
    const [whole] = received(logsOf(out), 'artifact');
    expect(whole!.sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
    expect(whole!.chunks).toBe(3);
  });
  it.each(['longer', 'shorter', 'other'])(
    'never make a whole of a file that became %s meanwhile',
    async change => {
      const path = join(folder, 'file.bin');
      writeFileSync(path, content(3 * CHUNK_BYTES));
      const { size, mtimeMs } = statSync(path);
      const out: Uint8Array[] = [];
      const base = baseRecord('kymo.artifact', 'kymo.artifact.name');
      const known = new KnownContent();
      const records = new Records('artifact', base, 1, known, async record => {
        out.push(record);
        if (out.length > 1) return;
        if (change === 'longer') appendFileSync(path, 'x');
        else if (change === 'shorter') truncateSync(path, CHUNK_BYTES + 1);
        else writeFileSync(path, content(3 * CHUNK_BYTES, 7));
      });
      await expect(records.file({ path, size, mtimeMs }, {})).rejects.toThrow(/changed|shorter/);
      expect(out.length).toBeLessThan(3);
      const sha256 = logsOf(out)[0]!.attributes['kymo.artifact.sha256'] as string;
      expect(known.has(1, sha256)).toBe(false);
    },
  );
  it('send nothing of a file that has changed since the call', async () => {
    const path = join(folder, 'file.bin');
    writeFileSync(path, 'now');
    const { records, out } = recordsFor('artifact');
    await expect(records.file({ path, size: 2, mtimeMs: 1 }, {})).rejects.toThrow(
      `${path} changed after it was logged`,
    );
    expect(out).toEqual([]);
  });
});

const queueOf = (hasRoom = () => true, spill?: Spill) => {
  const records: { scope: number; bytes: Uint8Array; items: number }[] = [];
  const told: string[] = [];
  const counts = { freed: 0, failed: 0 };
  const queue = new MediaQueue({
    runOf: () => 1,
    record: (scope, bytes, items) => records.push({ scope, bytes: new Uint8Array(bytes), items }),
    hasRoom,
    freed: bytes => {
      counts.freed += bytes;
    },
    failed: items => {
      counts.failed += items;
    },
    tell: line => told.push(line),
    ...(spill === undefined
      ? {}
      : {
          spill: {
            keep: (number, { packed }) =>
              spill.keep(number, { packed, resourceBytes: EMPTY, scopeBytes: EMPTY }),
            has: number => spill.has(number),
            drop: number => spill.drop(number),
          },
        }),
  });
  return { queue, records, told, counts };
};
const textJob = (value: string) =>
  packJob(JOB, baseRecord('kymo.media', 'kymo.media.name'), Buffer.from(value), () => true)!;

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 20_000; !condition(); ) {
    if (Date.now() > deadline) throw new Error('waited in vain');
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

describe('the queue', () => {
  const open = queueOf;
  const text = textJob;
  /** What the worker's loop does every few ms. */
  const settled = async (queue: MediaQueue): Promise<void> => {
    const deadline = Date.now() + 10_000;
    while (!queue.idle && Date.now() < deadline) {
      queue.pump();
      await queue.settled(5);
    }
    expect(queue.idle).toBe(true);
  };

  it('counts a job as one item, frees its memory, and lets what waits for it go after it', async () => {
    const { queue, records, counts } = open();
    const first = text('x'.repeat(2 * CHUNK_BYTES));
    const size = first.length;
    queue.add(5, first);
    queue.addLast(6, Uint8Array.of(1));
    expect(records).toEqual([]);
    await settled(queue);
    expect(records.map(record => [record.scope, record.items])).toEqual([
      [5, 0],
      [5, 1],
      [6, 1],
    ]);
    expect(counts).toEqual({ freed: size, failed: 0 });
    queue.addLast(6, Uint8Array.of(2));
    expect(records).toHaveLength(4);
  });
  it('takes no more than there is room for, and nothing is lost by waiting', async () => {
    let room = 2;
    const { queue, records } = open(() => room-- > 0);
    queue.add(1, text('y'.repeat(20 * CHUNK_BYTES)));
    const deadline = Date.now() + 10_000;
    while (records.length < 2 && Date.now() < deadline) await queue.settled(5);
    for (let i = 0; i < 20; i++) {
      queue.pump();
      await queue.settled(5);
    }
    expect(records).toHaveLength(2);
    room = Number.POSITIVE_INFINITY;
    await settled(queue);
    expect(received(logsOf(records.map(record => record.bytes)))[0]!.bytes!.length).toBe(20 * CHUNK_BYTES);
  });
  it('survives a media thread that dies: what it had is counted, the next job gets a new one', async () => {
    const { queue, records, told, counts } = open();
    const garbage = new Uint8Array(64).fill(0xff);
    queue.add(1, garbage);
    await settled(queue);
    expect(counts).toEqual({ freed: 64, failed: 1 });
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/media thread failed/);
    queue.add(1, text('alive'));
    await settled(queue);
    expect(received(logsOf(records.map(record => record.bytes)))[0]!.bytes!.toString()).toBe('alive');
  });
});

describe('media that wait', () => {
  const spillIn = (directory: string, maxBytes = 1e9) =>
    new Spill({ directory, endpoint: 'e', instance: 'i', sender: 's', run: 'r', maxBytes });
  const job = (size: number): SpilledJob => ({
    resourceBytes: Uint8Array.of(1, 2, 3),
    scopeBytes: new Uint8Array(0),
    packed: new Uint8Array(size).map((_, i) => i),
  });

  it('come back from the disk as they went, each in memory of its own, until they are dropped', () => {
    const spill = spillIn(join(folder, 'media'));
    expect(spill.keep(7, job(100))).toBe(true);
    expect([spill.has(7), spill.has(8)]).toEqual([true, false]);
    const [name] = readdirSync(join(folder, 'media'));
    const file = openSpoolFile(join(folder, 'media', name!))!;
    expect(file.header).toMatchObject({ endpoint: 'e', instance: 'i', run: 'r', pid: process.pid });
    const frames = [...file.frames()];
    expect(frames).toHaveLength(1);
    const back = spilledJob(frames[0]!.body)!;
    expect(back).toEqual(job(100));
    expect(back.packed.byteOffset).toBe(0);
    spill.drop(7);
    expect(readdirSync(join(folder, 'media'))).toEqual([]);
    expect(spill.has(7)).toBe(false);
  });
  it('are not kept above the limits, nor where the disk takes nothing; what was dropped makes room', () => {
    const spill = spillIn(join(folder, 'media'), 1_000);
    expect([spill.keep(1, job(600)), spill.keep(2, job(600))]).toEqual([true, false]);
    spill.drop(1);
    expect(spill.keep(3, job(600))).toBe(true);
    const large = { ...job(0), packed: new Uint8Array(MAX_SPILLED_BYTES + 1) };
    expect(spillIn(join(folder, 'media')).keep(1, large)).toBe(false);
    writeFileSync(join(folder, 'file'), '');
    expect(spillIn(join(folder, 'file')).keep(1, job(1))).toBe(false);
  });
  it('are no jobs where a frame is another one', () => {
    for (const body of [new Uint8Array(0), new Uint8Array(8), Uint8Array.of(9, 0, 0, 0, 9, 0, 0, 0, 1)])
      expect(spilledJob(body)).toBeUndefined();
  });

  it('for others are kept while these are encoded, and gone when they have gone', async () => {
    const spill = spillIn(join(folder, 'media'));
    const kept = () => (existsSync(join(folder, 'media')) ? readdirSync(join(folder, 'media')).length : 0);
    let room = false;
    const { queue, records } = queueOf(() => room, spill);
    const large = 'x'.repeat(3 * 1024 * 1024);
    for (let i = 0; i < 4; i++) queue.add(1, textJob(large + i));
    // The first goes to the thread at once, and is kept for its size.
    expect(kept()).toBe(1);
    await until(() => {
      queue.pump();
      return kept() === 4;
    });
    expect(queue.keepAll()).toBe(4);
    room = true;
    await until(() => {
      queue.pump();
      return queue.idle;
    });
    expect(records.filter(record => record.items === 1)).toHaveLength(4);
    queue.dropKept();
    expect(kept()).toBe(0);
  });

  it('of a process that was killed are encoded with its resource and scope; one that cannot be is told and dropped', async () => {
    const directory = join(folder, 'media');
    const spill = spillIn(directory);
    const resourceBytes = encodeResource({ 'kymo.run.id': 'killed' });
    const keep = (number: number, packed: Uint8Array) =>
      spill.keep(number, { packed, resourceBytes, scopeBytes: new Uint8Array(0) });
    keep(1, textJob('first'));
    keep(2, new Uint8Array(64).fill(0xff));
    keep(3, textJob('third'));
    // As if another process had written them, which has gone.
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      const bytes = readFileSync(path);
      const end = bytes.indexOf(10);
      const header = { ...(JSON.parse(bytes.subarray(0, end).toString()) as object), pid: 2 ** 22 - 3 };
      writeFileSync(
        path,
        Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), bytes.subarray(end + 1)]),
      );
    }
    // Two that were being written: one when a process was killed long ago, one that may be another's right now.
    for (const name of ['killed.spool.tmp', 'living.spool.tmp']) writeFileSync(join(directory, name), 'half');
    const longAgo = new Date(Date.now() - 3_600_000);
    utimesSync(join(directory, 'killed.spool.tmp'), longAgo, longAgo);
    const told: string[] = [];
    const sent: { key: string; body: Uint8Array }[] = [];
    await resumeMedia({
      directory,
      endpoint: 'e',
      maxAgeMs: 1e9,
      instance: 'me',
      transport: {
        send: async (_to: unknown, _signal: unknown, key: string, body: Uint8Array) => {
          sent.push({ key, body });
          return { kind: 'stored', rejected: 0, message: '', position: undefined };
        },
      } as unknown as Transport,
      target: () => ({ kind: 'url' }) as unknown as Target,
      tell: line => told.push(line),
    });
    const logs = sent.flatMap(({ body }) => decodeLogs(body));
    expect(received(logs).map(({ bytes }) => bytes!.toString())).toEqual(['first', 'third']);
    for (const log of logs) expect(log.resource.attributes['kymo.run.id']).toBe('killed');
    expect(new Set(sent.map(({ key }) => key)).size).toBe(sent.length);
    for (const { key } of sent) expect(key).toMatch(/^me\/m[0-9a-f]+\/logs\/\d+$/);
    expect(told.join()).toMatch(/media thread failed/);
    expect(readdirSync(directory)).toEqual(['living.spool.tmp']);
  });
});

describe('the limit on media under way', () => {
  const gateOf = (maxBytes: number, overflow: 'block' | 'drop', onWait = () => undefined) => {
    const memory = new SharedArrayBuffer(layout.CONTROL_BYTES);
    const control = new Int32Array(memory, 0, layout.CONTROL_WORDS);
    const counters = new Float64Array(memory, layout.CONTROL_WORDS * 4, layout.COUNTERS);
    Atomics.store(control, layout.WORKER_STATE, layout.WORKER_RUNNING);
    const options = { control, counters, maxBytes, overflow, blockMaxMs: 200, onWait, wake: () => undefined };
    return { gate: new MediaGate(options), control, counters };
  };

  it('lets in what fits, and one larger than all of it when nothing else is under way', () => {
    const { gate, counters } = gateOf(100, 'drop');
    expect([60, 40, 1].map(bytes => gate.enter(bytes))).toEqual([true, true, false]);
    counters[layout.MEDIA_FREED] = 100;
    expect([1_000, 101].map(bytes => gate.enter(bytes))).toEqual([true, false]);
    gate.leave(1_000);
    expect([60, 40, 1].map(bytes => gate.enter(bytes))).toEqual([true, true, false]);
  });
  it('leaves half of itself to small ones while one larger than all of it is under way', () => {
    const { gate, counters } = gateOf(100, 'drop');
    expect([1_000, 30, 20, 1].map(bytes => gate.enter(bytes))).toEqual([true, true, true, false]);
    counters[layout.MEDIA_FREED] = 1_000;
    expect([50, 1].map(bytes => gate.enter(bytes))).toEqual([true, false]);
    counters[layout.MEDIA_FREED] = 1_100;
    expect([100, 1].map(bytes => gate.enter(bytes))).toEqual([true, false]);
  });
  it('waits while the worker lives, at most KYMO_BLOCK_MAX_MS, and then not again before something was freed', () => {
    let waits = 0;
    const { gate, control, counters } = gateOf(100, 'block', () => {
      Atomics.add(control, layout.BEAT, 1);
      if (++waits === 2) counters[layout.MEDIA_FREED] = 50;
      return undefined;
    });
    expect(gate.enter(100)).toBe(true);
    expect(gate.enter(50)).toBe(true);
    expect(waits).toBe(2);
    const started = performance.now();
    expect(gate.enter(50)).toBe(false);
    const waited = performance.now() - started;
    expect(waited).toBeGreaterThanOrEqual(190);
    expect(waited).toBeLessThan(1_000);
    const again = performance.now();
    expect(gate.enter(50)).toBe(false);
    expect(performance.now() - again).toBeLessThan(50);
  });
  it('does not wait for a worker that is gone', () => {
    const { gate, control } = gateOf(100, 'block');
    gate.enter(100);
    Atomics.store(control, layout.WORKER_STATE, layout.WORKER_DEAD);
    const started = performance.now();
    expect(gate.enter(1)).toBe(false);
    expect(performance.now() - started).toBeLessThan(100);
  });
});
