// The transaction log: LevelDB framing at every place of a block, damage, and records that read back as they were written.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  BLOCK_BYTES,
  FILE_HEADER,
  frame,
  framedBytes,
  readFrame,
} from '../../../../src/collector/exporters/wandb/log/frames.ts';
import { LogReader, NotALogError } from '../../../../src/collector/exporters/wandb/log/log-reader.ts';
import { LogWriter, NEW_LOG } from '../../../../src/collector/exporters/wandb/log/log-writer.ts';
import type { LogRecord } from '../../../../src/collector/exporters/wandb/log/model.ts';
import { readRecord } from '../../../../src/collector/exporters/wandb/log/read-record.ts';
import { writeRecord } from '../../../../src/collector/exporters/wandb/log/write-record.ts';
import { WireWriter } from '../../../../src/otlp/wire-writer.ts';

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-wandb-log-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

function fileOf(payloads: readonly Uint8Array[]): Buffer {
  let file = Buffer.from(FILE_HEADER);
  for (const payload of payloads) {
    const room = Buffer.alloc(framedBytes(payload.length), 0xaa);
    const end = frame(room, 0, file.length, payload);
    file = Buffer.concat([file, room.subarray(0, end)]);
  }
  return file;
}
function framesOf(file: Buffer) {
  const readAt = (offset: number, length: number) => file.subarray(offset, offset + length);
  const payloads: Buffer[] = [];
  const damaged: number[] = [];
  let at = FILE_HEADER.length;
  for (;;) {
    const framed = readFrame(readAt, at);
    if (framed.kind === 'end') return { payloads, damaged, cut: framed.cut };
    if (framed.kind === 'record') payloads.push(Buffer.from(framed.payload));
    else damaged.push(framed.from);
    at = framed.next;
  }
}

describe('frames', () => {
  it('reads records of any length back, wherever in a block they begin', () => {
    const size = fc.oneof(
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: BLOCK_BYTES - 40, max: BLOCK_BYTES + 10 }),
      fc.integer({ min: 1, max: 3 * BLOCK_BYTES }),
    );
    fc.assert(
      fc.property(fc.array(size, { maxLength: 8 }), sizes => {
        const payloads = sizes.map((length, i) => Buffer.alloc(length, i + 1));
        const read = framesOf(fileOf(payloads));
        // Buffers of this size are compared by themselves: jest takes them apart.
        expect(read.payloads.map(one => one.length)).toEqual(sizes);
        expect(read.payloads.every((one, i) => one.equals(payloads[i]!))).toBe(true);
        expect(read.damaged).toEqual([]);
        expect(read.cut).toBe(false);
      }),
    );
  });

  it('writes the bytes that LevelDB has where 0 to 8 bytes are left in a block', () => {
    for (let left = 0; left <= 8; left++) {
      const first = Buffer.alloc(BLOCK_BYTES - FILE_HEADER.length - 7 - left, 1);
      const file = fileOf([first, Buffer.from('second')]);
      const [one, two] = framesOf(file).payloads;
      expect(one?.equals(first)).toBe(true);
      expect(String(two)).toBe('second');
      // Too few for a header: zeros; exactly a header: an empty first chunk.
      if (left < 7)
        expect(file.subarray(BLOCK_BYTES - left, BLOCK_BYTES).every(byte => byte === 0)).toBe(true);
      if (left === 7) expect(file[BLOCK_BYTES - 1]).toBe(2);
    }
  });

  it('skips a damaged block and finds the records behind it', () => {
    const payloads = Array.from({ length: 12 }, (_, i) => Buffer.alloc(10_000, i + 1));
    const file = fileOf(payloads);
    file[BLOCK_BYTES + 5_000] = 0xff;
    const read = framesOf(file);
    expect(read.damaged.length).toBeGreaterThan(0);
    expect(read.payloads.at(-1)!.equals(payloads.at(-1)!)).toBe(true);
    expect(read.payloads.length).toBeGreaterThan(6);
  });

  it('takes a record that the file cuts off for one that is still to come', () => {
    const file = fileOf([Buffer.from('whole'), Buffer.alloc(50_000, 7)]);
    for (const length of [file.length - 1, BLOCK_BYTES + 3, 30]) {
      const read = framesOf(file.subarray(0, length));
      expect([read.damaged, read.cut]).toEqual([[], true]);
      expect(read.payloads.map(String)).toEqual(['whole']);
    }
  });
});

describe('records', () => {
  const text = fc.string({ maxLength: 60 }).map(one => Buffer.from(one).toString());
  const item = fc.oneof(
    fc.record({ key: text, path: fc.constant([]), json: text }),
    fc.record({ key: fc.constant(''), path: fc.array(text, { minLength: 1, maxLength: 3 }), json: text }),
  );
  const record: fc.Arbitrary<Exclude<LogRecord, { kind: 'other' }>> = fc.oneof(
    fc.record({ kind: fc.constant('history' as const), items: fc.array(item), step: fc.nat() }),
    fc.record({
      kind: fc.constantFrom('summary' as const, 'config' as const),
      update: fc.array(item),
      remove: fc.array(item),
    }),
    fc.record({
      kind: fc.constant('output' as const),
      stream: fc.constantFrom('stdout' as const, 'stderr' as const),
      timeUnixNano: fc.bigInt({ min: 0n, max: 4_000_000_000_000_000_000n }),
      text,
    }),
    fc.record({ kind: fc.constant('exit' as const), exitCode: fc.nat(255), runtime: fc.nat() }),
    fc.record({ kind: fc.constantFrom('final' as const, 'footer' as const, 'preempting' as const) }),
  );

  it('read back as they were written', () => {
    fc.assert(
      fc.property(record, one => {
        const wire = new WireWriter();
        writeRecord(wire, one, 7);
        expect(readRecord(wire.copy())).toEqual(one);
      }),
    );
  });
});

describe('LogWriter', () => {
  it('cuts back to what was committed, and goes on behind the last whole record of a file that is shorter', () => {
    const line = (text: string) => ({
      ...{ kind: 'output' as const, stream: 'stdout' as const, timeUnixNano: 0n, text },
    });
    const log = new LogWriter(folder, ['run', 'run-a.wandb'], NEW_LOG);
    log.append(line('one'));
    log.append(line('two'));
    log.flush();
    const committed = log.state;
    log.append(line('x'.repeat(100_000)));
    log.flush();
    log.close();

    const again = new LogWriter(folder, ['run', 'run-a.wandb'], committed);
    expect(again.open()).toBe(0);
    again.append(line('three'));
    again.flush();
    again.close();
    expect(textsOf(log.path)).toEqual(['one', 'two', 'three']);

    fs.truncateSync(log.path, again.length - 3);
    const shorter = new LogWriter(folder, ['run', 'run-a.wandb'], again.state);
    expect(shorter.open()).toBeGreaterThan(0);
    expect(shorter.state).toEqual(committed);
    shorter.append(line('four'));
    shorter.flush();
    shorter.close();
    expect(textsOf(log.path)).toEqual(['one', 'two', 'four']);
  });

  it('refuses to read what is no log', () => {
    const place = path.join(folder, 'other.wandb');
    fs.writeFileSync(place, 'something else');
    expect(() => new LogReader(place)).toThrow(NotALogError);
  });
});

function textsOf(place: string): string[] {
  const reader = new LogReader(place);
  const texts: string[] = [];
  for (let entry = reader.next(); entry !== undefined; entry = reader.next())
    if (entry.kind === 'record' && entry.record.kind === 'output') texts.push(entry.record.text);
  reader.close();
  return texts;
}
