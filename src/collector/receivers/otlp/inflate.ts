// Undoes gzip, deflate and zstd within a limit that holds while inflating, in memory that was reserved before.
import zlib from 'node:zlib';
import type { Reservation } from './reservation.ts';

export type Encoding = 'identity' | 'gzip' | 'deflate' | 'zstd';
export const ENCODINGS: readonly Encoding[] = ['identity', 'gzip', 'deflate', 'zstd'];

export type Inflated =
  | { readonly kind: 'ok'; readonly bytes: Buffer }
  | { readonly kind: 'too_large' }
  /** The collector has no memory for it now. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'broken'; readonly reason: string };

/** A decoder keeps a window of what it wrote; RFC 8878 asks for 8 MiB at least, and a hostile frame could ask for 2 GiB. */
const ZSTD_MAX_WINDOW_LOG = 23;
/** A sender that flushes often makes several frames; each costs a trip to a thread, so there is an end to it. */
export const MAX_ZSTD_FRAMES = 256;
/** Telemetry shrinks 3 to 12 times; the first try reserves for this much and a second one for the limit. */
const FIRST_GUESS_RATIO = 16;
const FIRST_GUESS_MIN_BYTES = 64 * 1024;
const MAX_CHUNK_BYTES = 256 * 1024;

/**
 * The body behind one Content-Encoding; `limit` is for its inflated size. What it takes is added to `reservation`, which
 * already covers `compressed`.
 */
export async function inflate(
  encoding: Encoding,
  compressed: Buffer,
  limit: number,
  reservation: Reservation,
): Promise<Inflated> {
  if (encoding === 'identity') {
    return compressed.length > limit ? { kind: 'too_large' } : { kind: 'ok', bytes: compressed };
  }
  const before = reservation.held;
  const guess = Math.min(limit, Math.max(FIRST_GUESS_MIN_BYTES, compressed.length * FIRST_GUESS_RATIO));
  for (const bound of guess < limit ? [guess, limit] : [limit]) {
    if (!reservation.growTo(before + bound)) return { kind: 'refused' };
    const inflated =
      encoding === 'zstd'
        ? await inflateZstd(compressed, bound)
        : await inflateOnce(encoding, compressed, bound);
    if (inflated.kind === 'too_large' && bound < limit) continue;
    if (inflated.kind === 'ok') reservation.shrinkTo(before + inflated.bytes.length);
    return inflated;
  }
  return { kind: 'too_large' };
}

/** Node stops after a body's first zstd frame and says nothing about the rest, so the frames are told apart here. */
async function inflateZstd(compressed: Buffer, limit: number): Promise<Inflated> {
  const frames = zstdFrames(compressed);
  if (typeof frames === 'string') return { kind: 'broken', reason: frames };
  const parts: Buffer[] = [];
  let left = limit;
  for (const frame of frames) {
    const part = await inflateOnce('zstd', frame, left);
    if (part.kind !== 'ok') return part;
    parts.push(part.bytes);
    left -= part.bytes.length;
  }
  return { kind: 'ok', bytes: parts.length === 1 ? parts[0]! : Buffer.concat(parts) };
}

function inflateOnce(
  encoding: 'gzip' | 'deflate' | 'zstd',
  compressed: Buffer,
  limit: number,
): Promise<Inflated> {
  return new Promise(resolve => {
    const done = (error: NodeJS.ErrnoException | null, bytes: Buffer): void => {
      if (error === null) resolve(bytes.length > limit ? { kind: 'too_large' } : { kind: 'ok', bytes });
      else if (error.code === 'ERR_BUFFER_TOO_LARGE') resolve({ kind: 'too_large' });
      else resolve({ kind: 'broken', reason: `the ${encoding} body cannot be inflated: ${error.message}` });
    };
    // A limit of 0 would be refused by zlib; whatever comes out is compared with it above.
    const maxOutputLength = Math.max(limit, 1);
    const chunkSize = Math.min(MAX_CHUNK_BYTES, Math.max(16 * 1024, compressed.length * 4));
    if (encoding === 'gzip') zlib.gunzip(compressed, { maxOutputLength, chunkSize }, done);
    else if (encoding === 'deflate') zlib.inflate(compressed, { maxOutputLength, chunkSize }, done);
    else {
      const params = { [zlib.constants.ZSTD_d_windowLogMax]: ZSTD_MAX_WINDOW_LOG };
      zlib.zstdDecompress(compressed, { maxOutputLength, chunkSize, params }, done);
    }
  });
}

const ZSTD_MAGIC = 0xfd2fb528;
const ZSTD_SKIPPABLE_MAGIC = 0x184d2a50;
const BLOCK_RLE = 1;
const BLOCK_RESERVED = 3;

/**
 * The data frames of a zstd body, skippable ones left out; a sentence when it is not made of whole frames.
 * Layout: RFC 8878, sections 3.1.1 and 3.1.2.
 */
function zstdFrames(body: Buffer): Buffer[] | string {
  const frames: Buffer[] = [];
  let at = 0;
  while (at < body.length) {
    if (at + 8 > body.length) return 'the zstd body ends inside a frame';
    const magic = body.readUInt32LE(at);
    if ((magic & 0xfffffff0) >>> 0 === ZSTD_SKIPPABLE_MAGIC) {
      at += 8 + body.readUInt32LE(at + 4);
      if (at > body.length) return 'the zstd body ends inside a frame';
      continue;
    }
    if (magic !== ZSTD_MAGIC) return 'the zstd body does not begin with a frame, or has something behind one';
    const end = zstdFrameEnd(body, at);
    if (end === undefined) return 'the zstd body ends inside a frame';
    if (frames.length === MAX_ZSTD_FRAMES) return `the zstd body has more than ${MAX_ZSTD_FRAMES} frames`;
    frames.push(body.subarray(at, end));
    at = end;
  }
  return frames.length > 0 ? frames : 'the zstd body is empty';
}

function zstdFrameEnd(body: Buffer, start: number): number | undefined {
  const descriptor = body[start + 4]!;
  const singleSegment = (descriptor & 0x20) !== 0;
  const dictionaryIdBytes = [0, 1, 2, 4][descriptor & 3]!;
  const contentSizeFlag = descriptor >>> 6;
  const contentSizeBytes = contentSizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << contentSizeFlag;
  let at = start + 5 + (singleSegment ? 0 : 1) + dictionaryIdBytes + contentSizeBytes;
  for (;;) {
    if (at + 3 > body.length) return undefined;
    const header = body.readUIntLE(at, 3);
    const type = (header >>> 1) & 3;
    if (type === BLOCK_RESERVED) return undefined;
    at += 3 + (type === BLOCK_RLE ? 1 : header >>> 3);
    if ((header & 1) === 1) break;
  }
  at += (descriptor & 4) === 0 ? 0 : 4;
  return at <= body.length ? at : undefined;
}
