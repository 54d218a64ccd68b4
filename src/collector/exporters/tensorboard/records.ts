// Reads TFRecord framing back from memory and from files, telling a file that still grows from a broken one.
import fs from 'node:fs';
import { maskedCrc32c } from './crc32c.ts';
import { CHUNK_BYTES, MAX_RECORD_BYTES } from './limits.ts';
import { RECORD_HEADER_BYTES, RECORD_OVERHEAD_BYTES } from './record-buffer.ts';

/** How a walk over records ended, and where the first record that was not visited begins. */
export type RecordsEnd =
  | { readonly kind: 'end'; readonly offset: number }
  /** The bytes stop inside a record: the file is still growing, or its writer died. */
  | { readonly kind: 'truncated'; readonly offset: number }
  /** What is there cannot be a record; nothing behind it can be trusted. */
  | { readonly kind: 'corrupt'; readonly offset: number; readonly reason: string };

/** `bytes[dataStart, dataEnd)` is the message of the record that begins at `offset` of the file. Valid only during the call. */
export type VisitRecord = (bytes: Uint8Array, dataStart: number, dataEnd: number, offset: number) => void;

/** Visits every whole record in `bytes`, whose first byte stands at `baseOffset` of the file. */
export function walkRecords(bytes: Uint8Array, baseOffset: number, visit: VisitRecord): RecordsEnd {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at < bytes.length) {
    const offset = baseOffset + at;
    if (bytes.length - at < RECORD_HEADER_BYTES) return { kind: 'truncated', offset };
    if (view.getUint32(at + 8, true) !== maskedCrc32c(bytes, at, at + 8)) {
      return { kind: 'corrupt', offset, reason: 'the CRC of the record length does not match' };
    }
    const length = view.getUint32(at, true);
    if (view.getUint32(at + 4, true) !== 0 || length > MAX_RECORD_BYTES) {
      return { kind: 'corrupt', offset, reason: `the record is longer than ${MAX_RECORD_BYTES} bytes` };
    }
    if (bytes.length - at < RECORD_OVERHEAD_BYTES + length) return { kind: 'truncated', offset };
    const dataStart = at + RECORD_HEADER_BYTES;
    const dataEnd = dataStart + length;
    if (view.getUint32(dataEnd, true) !== maskedCrc32c(bytes, dataStart, dataEnd)) {
      return { kind: 'corrupt', offset, reason: 'the CRC of the record data does not match' };
    }
    visit(bytes, dataStart, dataEnd, offset);
    at = dataEnd + 4;
  }
  return { kind: 'end', offset: baseOffset + at };
}

/** `walkRecords` over `[from, to)` of an open file, in chunks, letting other work run between them. */
export async function scanFile(
  fd: number,
  from: number,
  to: number,
  visit: VisitRecord,
): Promise<RecordsEnd> {
  let buffer = new Uint8Array(CHUNK_BYTES);
  let at = from;
  for (;;) {
    const wanted = Math.min(buffer.length, to - at);
    const got = readFully(fd, buffer, at, wanted);
    const end = walkRecords(buffer.subarray(0, got), at, visit);
    if (end.kind === 'corrupt') return end;
    if (got < wanted || at + got >= to) return end;
    if (end.offset === at) buffer = new Uint8Array(buffer.length * 2);
    at = end.offset;
    await new Promise(resolve => setImmediate(resolve));
  }
}

/** Reads until `length` bytes are there or the file ends; returns how many. */
export function readFully(fd: number, into: Uint8Array, position: number, length: number, at = 0): number {
  let got = 0;
  while (got < length) {
    const n = fs.readSync(fd, into, at + got, length - got, position + got);
    if (n === 0) break;
    got += n;
  }
  return got;
}
