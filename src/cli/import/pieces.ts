// Cuts a source file into pieces of whole lines or whole records, small enough to be one request and large enough to be fast.
import fs from 'node:fs';
import { MAX_RECORD_BYTES } from '../../collector/exporters/tensorboard/limits.ts';
import { walkRecords } from '../../collector/exporters/tensorboard/records.ts';
import type { FileKind } from './source.ts';

/** What one piece usually holds. */
export const PIECE_BYTES = 1024 * 1024;
/** A single line or record may need more; beyond this it is not one of ours. */
const MAX_PIECE_BYTES = MAX_RECORD_BYTES + 64;
const READ = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0);

export type Piece =
  | { readonly kind: 'piece'; readonly bytes: Buffer; readonly to: number }
  /** Nothing whole is left; `rest` bytes of something half are. */
  | { readonly kind: 'end'; readonly rest: number }
  | { readonly kind: 'broken'; readonly at: number; readonly reason: string };

/** The piece that begins at an offset; up to `to` where that is known from before. */
export function readPiece(
  path: string,
  kind: FileKind,
  from: number,
  to?: number,
  pieceBytes = PIECE_BYTES,
): Piece {
  const fd = fs.openSync(path, READ);
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFile()) throw new Error(`${path} is not a regular file`);
    if (stat.size < (to ?? from))
      return { kind: 'broken', at: from, reason: 'is shorter than what was imported of it' };
    if (to !== undefined) return { kind: 'piece', bytes: readAt(fd, from, to - from), to };
    for (let size = pieceBytes; ; size = Math.min(size * 2, MAX_PIECE_BYTES)) {
      const bytes = readAt(fd, from, Math.min(size, stat.size - from));
      const whole =
        kind === 'events' ? wholeRecords(bytes, from) : wholeLines(bytes, from + bytes.length >= stat.size);
      if (typeof whole !== 'number') return whole;
      if (whole > 0) return { kind: 'piece', bytes: bytes.subarray(0, whole), to: from + whole };
      if (from + bytes.length >= stat.size) return { kind: 'end', rest: bytes.length };
      if (size >= MAX_PIECE_BYTES)
        return {
          kind: 'broken',
          at: from,
          reason: `a line or record is longer than ${MAX_PIECE_BYTES} bytes`,
        };
    }
  } finally {
    fs.closeSync(fd);
  }
}

/** How many bytes are whole records; with damage in front, where and why. */
function wholeRecords(bytes: Buffer, from: number): number | Piece {
  const end = walkRecords(bytes, from, () => undefined);
  const whole = end.offset - from;
  if (end.kind === 'corrupt' && whole === 0) return { kind: 'broken', at: from, reason: end.reason };
  return whole;
}

/** A last line without a line feed counts when it is whole JSON: other writers do not end it. */
function wholeLines(bytes: Buffer, isEnd: boolean): number {
  const whole = bytes.lastIndexOf(0x0a) + 1;
  if (!isEnd || whole === bytes.length || bytes.at(-1) !== 0x7d) return whole;
  try {
    JSON.parse(bytes.toString('utf8', whole));
    return bytes.length;
  } catch {
    return whole;
  }
}

function readAt(fd: number, from: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let got = 0;
  while (got < length) {
    const read = fs.readSync(fd, bytes, got, length - got, from + got);
    if (read === 0) break;
    got += read;
  }
  return bytes.subarray(0, got);
}
