// The framing of a `.wandb` transaction log: LevelDB's log format behind a header of 7 bytes, with plain CRC-32 checksums.
import { crc32 } from 'node:zlib';

/** `:W&B`, the magic number 0xBEE1 (little-endian), version 0. */
export const FILE_HEADER: Uint8Array = Uint8Array.of(0x3a, 0x57, 0x26, 0x42, 0xe1, 0xbe, 0);
/** Chunks never cross a block; blocks are counted from the file's start, its header included. */
export const BLOCK_BYTES = 32_768;
const CHUNK_HEADER_BYTES = 7;
/** A record larger than this was not written by anybody: media and artifacts lie in files of their own. */
export const MAX_RECORD_BYTES = 512 * 1024 * 1024;

const FULL = 1;
const FIRST = 2;
const MIDDLE = 3;
const LAST = 4;

/** CRC-32 of the first byte of each chunk, its type: the checksum goes on from there over the payload. */
const TYPE_CRC = [0, FULL, FIRST, MIDDLE, LAST].map(type => crc32(Uint8Array.of(type)));

/** Most bytes that a record of `length` bytes takes in the file, wherever it begins. */
export function framedBytes(length: number): number {
  const chunks = Math.ceil(length / (BLOCK_BYTES - CHUNK_HEADER_BYTES)) + 2;
  return length + chunks * CHUNK_HEADER_BYTES + CHUNK_HEADER_BYTES;
}

/**
 * Writes one record into `out` from `at` on, as it has to look at offset `fileOffset` of the file. `out` must have room for
 * `framedBytes` of it. Returns the index after it.
 */
export function frame(out: Buffer, at: number, fileOffset: number, payload: Uint8Array): number {
  let from = 0;
  let place = at;
  let first = true;
  for (;;) {
    const left = BLOCK_BYTES - ((fileOffset + (place - at)) % BLOCK_BYTES);
    if (left < CHUNK_HEADER_BYTES) {
      out.fill(0, place, place + left);
      place += left;
      continue;
    }
    const size = Math.min(payload.length - from, left - CHUNK_HEADER_BYTES);
    const last = from + size === payload.length;
    const type = first ? (last ? FULL : FIRST) : last ? LAST : MIDDLE;
    const chunk = payload.subarray(from, from + size);
    out.writeUInt32LE(crc32(chunk, TYPE_CRC[type]!), place);
    out.writeUInt16LE(size, place + 4);
    out[place + 6] = type;
    out.set(chunk, place + CHUNK_HEADER_BYTES);
    place += CHUNK_HEADER_BYTES + size;
    from += size;
    first = false;
    if (last) return place;
  }
}

/** What reading at one place gave. */
export type Framed =
  /** A record, and where the next one begins. */
  | { readonly kind: 'record'; readonly payload: Uint8Array; readonly next: number }
  /** Bytes that are no record: the reader goes on behind them. */
  | { readonly kind: 'damaged'; readonly from: number; readonly next: number }
  /** Nothing more, or not all of it yet: the log may still grow. `at` is where the record begins. */
  | { readonly kind: 'end'; readonly at: number; readonly cut: boolean };

/** Reads `length` bytes of the file at `offset`; fewer at its end. The bytes need only stay until the next call. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

/**
 * The record at `offset`, which is 7 or what an earlier call returned as `next`. After a bad checksum everything up to the
 * next block is skipped, as the official readers do; a chunk that the file cuts off is an `end`.
 */
export function readFrame(readAt: ReadAt, offset: number): Framed {
  let place = offset;
  let parts: Uint8Array[] | undefined;
  let bytes = 0;
  let began = offset;
  for (;;) {
    const left = BLOCK_BYTES - (place % BLOCK_BYTES);
    if (left < CHUNK_HEADER_BYTES) {
      place += left;
      if (parts === undefined) began = place;
      continue;
    }
    const header = readAt(place, left);
    if (header.length < CHUNK_HEADER_BYTES)
      return { kind: 'end', at: began, cut: parts !== undefined || header.length > 0 };
    const sum = (header[0]! | (header[1]! << 8) | (header[2]! << 16) | (header[3]! << 24)) >>> 0;
    const size = header[4]! | (header[5]! << 8);
    const type = header[6]!;
    const nextBlock = place + left;
    if (size > left - CHUNK_HEADER_BYTES || type < FULL || type > LAST)
      return { kind: 'damaged', from: began, next: nextBlock };
    if (header.length < CHUNK_HEADER_BYTES + size) return { kind: 'end', at: began, cut: true };
    const chunk = header.subarray(CHUNK_HEADER_BYTES, CHUNK_HEADER_BYTES + size);
    if (crc32(chunk, TYPE_CRC[type]!) !== sum) return { kind: 'damaged', from: began, next: nextBlock };
    const opens = type === FULL || type === FIRST;
    // What came before has no end: it is given up, and this chunk is read again as a beginning.
    if (opens && parts !== undefined) return { kind: 'damaged', from: began, next: place };
    place += CHUNK_HEADER_BYTES + size;
    if (!opens && parts === undefined) return { kind: 'damaged', from: began, next: place };
    if (type === FULL) return { kind: 'record', payload: new Uint8Array(chunk), next: place };
    parts ??= [];
    bytes += size;
    if (bytes > MAX_RECORD_BYTES) return { kind: 'damaged', from: began, next: place };
    parts.push(new Uint8Array(chunk));
    if (type === LAST) return { kind: 'record', payload: Buffer.concat(parts), next: place };
  }
}
