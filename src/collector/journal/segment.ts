// A segment's name and header: where in the journal its first record stands, and which journal it belongs to.

import fs from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import type { Position } from '../component.ts';

/** Raised when a reader of the old version would misread the new one. */
export const SEGMENT_VERSION = 1;
export const SEGMENT_HEADER_BYTES = 64;

const MAGIC = Buffer.from('KYMOJRNL', 'latin1');
const NAME = /^(\d{20})\.log$/;

export interface SegmentHeader {
  /** The journal's uuid. */
  readonly journal: string;
  readonly start: Position;
}

/** A segment on disk. Header bytes do not count in positions: record at `start + n` stands at file offset `SEGMENT_HEADER_BYTES + n`. */
export interface Segment {
  readonly path: string;
  readonly start: Position;
}

/** The file cannot be read as a segment; `reason` says whether it is unfinished, damaged, or of another version. */
export class SegmentHeaderError extends Error {
  readonly reason: 'unfinished' | 'damaged' | 'version';
  constructor(reason: 'unfinished' | 'damaged' | 'version', message: string) {
    super(message);
    this.name = 'SegmentHeaderError';
    this.reason = reason;
  }
}

export function segmentName(start: Position): string {
  return `${String(start).padStart(20, '0')}.log`;
}

/** All segments of a folder in order of position; other files are ignored. Throws what reading the folder throws. */
export async function listSegments(directory: string): Promise<Segment[]> {
  const segments: Segment[] = [];
  for (const name of await fs.promises.readdir(directory)) {
    const match = NAME.exec(name);
    if (match === null) continue;
    const start = Number(match[1]);
    if (Number.isSafeInteger(start)) segments.push({ path: path.join(directory, name), start });
  }
  return segments.sort((a, b) => a.start - b.start);
}

/** Layout: magic 8, version u32, CRC u32 of what follows, start u64, journal id 36 characters, zeros. Little-endian. */
export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  MAGIC.copy(bytes, 0);
  bytes.writeUInt32LE(SEGMENT_VERSION, 8);
  bytes.writeBigUInt64LE(BigInt(header.start), 16);
  bytes.write(header.journal, 24, 36, 'latin1');
  bytes.writeUInt32LE(crc32(bytes.subarray(16)), 12);
  return bytes;
}

/** Throws SegmentHeaderError. The version is judged before anything else, so that a newer layout is never called damaged. */
export function decodeSegmentHeader(bytes: Uint8Array, file: string): SegmentHeader {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < SEGMENT_HEADER_BYTES) {
    throw new SegmentHeaderError('unfinished', `${file}: ends inside its header`);
  }
  if (!buffer.subarray(0, 8).equals(MAGIC)) {
    throw new SegmentHeaderError('damaged', `${file}: is not a segment of a Kymo journal`);
  }
  const version = buffer.readUInt32LE(8);
  if (version !== SEGMENT_VERSION) {
    throw new SegmentHeaderError(
      'version',
      `${file}: has format version ${version}, this Kymo reads version ${SEGMENT_VERSION}. ` +
        'Open the journal with the version that wrote it, or move the folder away to start a new one; nothing was changed.',
    );
  }
  if (buffer.readUInt32LE(12) !== crc32(buffer.subarray(16, SEGMENT_HEADER_BYTES))) {
    throw new SegmentHeaderError('damaged', `${file}: the header's checksum is wrong`);
  }
  const start = Number(buffer.readBigUInt64LE(16));
  return { journal: buffer.toString('latin1', 24, 60), start };
}

/** Reads and checks one segment's header. Throws SegmentHeaderError, or what the file system throws. */
export async function readSegmentHeader(segment: Segment): Promise<SegmentHeader> {
  const handle = await fs.promises.open(segment.path, 'r');
  try {
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
    const { bytesRead } = await handle.read(bytes, 0, SEGMENT_HEADER_BYTES, 0);
    const header = decodeSegmentHeader(bytes.subarray(0, bytesRead), segment.path);
    if (header.start !== segment.start) {
      throw new SegmentHeaderError(
        'damaged',
        `${segment.path}: its header says that it starts at ${header.start}; was it renamed?`,
      );
    }
    return header;
  } finally {
    await handle.close();
  }
}
