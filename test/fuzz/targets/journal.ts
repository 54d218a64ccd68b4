// A segment of any bytes is read to its end: records and damage cover every byte once, and in whatever chunks it is read the records are the same.
import { crc32 } from 'node:zlib';
import { type Scanned, scanChunk } from '../../../src/collector/journal/scan.ts';
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  SegmentHeaderError,
} from '../../../src/collector/journal/segment.ts';
import { FRAME_HEADER_BYTES, frameSize, writeFrame } from '../../../src/otlp/frame.ts';
import { decodeSpoolHeader, encodeSpoolHeader } from '../../../src/otlp/spool-file.ts';
import { law, type Target } from '../target.ts';

const CHUNKS = [1, 64, 1 << 20];

const frame = (signal: 'traces' | 'metrics' | 'logs', batchKey: string, text: string) =>
  Buffer.concat(writeFrame({ signal, encoding: 0, receivedUnixNano: 5n, batchKey, body: Buffer.from(text) }));
const ID = '00000000-0000-4000-8000-000000000000';

export const target: Target = {
  name: 'journal',
  maxBytes: 1_024,
  covers: /\/src\/(otlp\/(frame|spool-file)|collector\/journal\/)/,
  words: ['kym', 'KYMOJRNL', frame('logs', 'a/b/logs/1', 'body'), Buffer.from([1, 0, 0])],
  seeds: () => [
    // An odd first byte means: mend the checksums, so that what is behind them is reached.
    Buffer.concat([
      Buffer.from([0]),
      frame('logs', 'i/s/logs/1', 'one'),
      frame('metrics', '', 'two'),
      frame('traces', 'i/s/traces/2', ''),
    ]),
    Buffer.concat([
      Buffer.from([1]),
      frame('logs', '', 'x'.repeat(100)),
      Buffer.from('rubbish'),
      frame('logs', '', 'kym'),
    ]),
    Buffer.concat([Buffer.from([1]), encodeSegmentHeader({ journal: ID, start: 0 })]),
    Buffer.concat([
      Buffer.from([1]),
      encodeSpoolHeader({
        endpoint: 'local:x',
        instance: 'i',
        sender: 's',
        run: 'r',
        pid: 1,
        createdUnixMs: 1,
      }),
      frame('logs', '', 'y'),
    ]),
  ],
  async run(input) {
    const bytes = Buffer.from(input.subarray(1));
    if (((input[0] ?? 0) & 1) === 1) mend(bytes);
    header(bytes);
    decodeSpoolHeader(bytes);
    const [first, ...others] = await Promise.all(CHUNKS.map(size => scanAll(bytes, size)));
    for (const other of others) law(same(first!, other), 'other chunks, other records');
  },
};

function header(bytes: Buffer): void {
  try {
    decodeSegmentHeader(bytes, 'f');
  } catch (error) {
    if (!(error instanceof SegmentHeaderError)) throw error;
  }
}

async function scanAll(bytes: Buffer, chunk: number): Promise<Scanned['records']> {
  const readAt = async (position: number, length: number) => bytes.subarray(position, position + length);
  const records: Scanned['records'][number][] = [];
  const pieces: { readonly position: number; readonly next: number }[] = [];
  let at = 0;
  while (at < bytes.length) {
    const scanned = await scanChunk(readAt, at, bytes.length, chunk);
    law(scanned.next > at, `does not get ahead at ${at}`);
    at = scanned.next;
    records.push(...scanned.records);
    pieces.push(...[...scanned.records, ...scanned.damage].sort((a, b) => a.position - b.position));
  }
  let end = 0;
  for (const { position, next } of pieces) {
    law(position === end && next > position, `a hole or an overlap at ${end}`);
    end = next;
  }
  law(end === bytes.length, `ends at ${end} of ${bytes.length}`);
  for (const { position, next, batchKey, bytes: body } of records) {
    // Compressed bodies are larger once inflated.
    if (bytes[position + 5] === 0)
      law(
        next - position === frameSize(batchKey, body.length) || batchKey.includes('\ufffd'),
        'a size that does not fit',
      );
  }
  return records;
}

function same(a: Scanned['records'], b: Scanned['records']): boolean {
  return (
    a.length === b.length && a.every((one, i) => one.position === b[i]!.position && one.next === b[i]!.next)
  );
}

/** Gives everything that begins like a frame or a segment the checksums that it would need. */
function mend(bytes: Buffer): void {
  for (
    let at = bytes.indexOf('kym');
    at >= 0 && at + FRAME_HEADER_BYTES <= bytes.length;
    at = bytes.indexOf('kym', at + 1)
  ) {
    const keyEnd = at + FRAME_HEADER_BYTES + bytes.readUInt16LE(at + 6);
    const end = Math.min(bytes.length, keyEnd + bytes.readUInt32LE(at + 8));
    let crc = crc32(bytes.subarray(at, at + 12));
    crc = crc32(bytes.subarray(at + 16, at + 24), crc);
    crc = crc32(bytes.subarray(at + FRAME_HEADER_BYTES, end), crc);
    bytes.writeUInt32LE(crc, at + 12);
    bytes.writeUInt32LE(crc32(bytes.subarray(at, at + 24)), at + 24);
  }
  if (bytes.length >= 64 && bytes.subarray(0, 8).equals(Buffer.from('KYMOJRNL')))
    bytes.writeUInt32LE(crc32(bytes.subarray(16, 64)), 12);
}
