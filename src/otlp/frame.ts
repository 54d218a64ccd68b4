// The framing of requests on disk, shared by the journal and the spool: what was received, when, under which batch key.
import { crc32 } from 'node:zlib';
import { SIGNALS, type Signal } from './model.ts';

/*
 * A frame, little-endian:
 *
 *   0  magic        3 bytes  6b 79 6d ("kym")
 *   3  version      u8       1
 *   4  signal       u8       0 traces, 1 metrics, 2 logs
 *   5  encoding     u8       how the body is stored: 0 as it is, 1 gzip, 2 zstd
 *   6  key length   u16      at most MAX_KEY_BYTES
 *   8  body length  u32      at most MAX_FRAME_BODY_BYTES
 *  12  content CRC  u32      CRC-32 of bytes 0–11, bytes 16–23, key and body, in this order
 *  16  received     u64      Unix time in ns
 *  24  header CRC   u32      CRC-32 of bytes 0–23
 *  28  batch key    UTF-8
 *      body         protobuf export request
 *
 * The header has a CRC of its own so that the lengths in it can be trusted when the body cannot: a reader steps over a
 * damaged body, and after a damaged header looks for the next place where magic and header CRC fit.
 */

export const FRAME_VERSION = 1;
export const FRAME_HEADER_BYTES = 28;
/** The largest request a receiver takes is 64 MiB after inflating; a megabyte more for one that JSON made longer. */
export const MAX_FRAME_BODY_BYTES = 65 * 1024 * 1024;
/** `<instance>/<sender>/<signal>/<n>`: three names and a number. */
export const MAX_KEY_BYTES = 512;

/** How a body is stored: 0 as it is, 1 gzip, 2 zstd. */
export type FrameEncoding = 0 | 1 | 2;

export interface FrameInput {
  readonly signal: Signal;
  readonly encoding: FrameEncoding;
  readonly receivedUnixNano: bigint;
  /** At most MAX_KEY_BYTES of UTF-8; empty for senders without one. */
  readonly batchKey: string;
  readonly body: Uint8Array;
}

/** A frame that was read and whose checksums fit. `body` is a view of the buffer it was read from. */
export interface Frame extends FrameInput {
  readonly version: number;
}

export type FrameResult =
  /** `next` is the offset after the frame. */
  | { readonly kind: 'frame'; readonly frame: Frame; readonly next: number }
  /** The bytes end before the frame does: `missing` more, at least, are wanted. */
  | { readonly kind: 'torn'; readonly missing: number }
  /** Not what was written. `skipTo` is where the next frame begins, as far as the given bytes show one. */
  | { readonly kind: 'corrupt'; readonly reason: string; readonly skipTo: number | undefined };

const MAGIC = Buffer.from('kym');
const ENCODINGS: readonly FrameEncoding[] = [0, 1, 2];
const CONTENT_CRC = 12;
const RECEIVED = 16;
const HEADER_CRC = 24;

/** Bytes that a frame takes. */
export function frameSize(batchKey: string, bodyBytes: number): number {
  return FRAME_HEADER_BYTES + Buffer.byteLength(batchKey) + bodyBytes;
}

/** Header with key, and the body itself, ready for one `writev`. Throws RangeError beyond the limits above. */
export function writeFrame(input: FrameInput): [Uint8Array, Uint8Array] {
  const { body } = input;
  const keyBytes = Buffer.byteLength(input.batchKey);
  if (keyBytes > MAX_KEY_BYTES)
    throw new RangeError(`batch key of ${keyBytes} bytes; a frame takes ${MAX_KEY_BYTES}`);
  if (body.length > MAX_FRAME_BODY_BYTES)
    throw new RangeError(`request of ${body.length} bytes; a frame takes ${MAX_FRAME_BODY_BYTES}`);
  const head = Buffer.allocUnsafe(FRAME_HEADER_BYTES + keyBytes);
  MAGIC.copy(head);
  head[3] = FRAME_VERSION;
  head[4] = SIGNALS.indexOf(input.signal);
  head[5] = input.encoding;
  head.writeUInt16LE(keyBytes, 6);
  head.writeUInt32LE(body.length, 8);
  head.writeBigUInt64LE(input.receivedUnixNano, RECEIVED);
  head.write(input.batchKey, FRAME_HEADER_BYTES);
  head.writeUInt32LE(contentCrc(head, body), CONTENT_CRC);
  head.writeUInt32LE(crc32(head.subarray(0, HEADER_CRC)), HEADER_CRC);
  return [head, body];
}

/** Reads the frame at `offset` of `buffer`, whose first `length` bytes are valid. Never throws. */
export function readFrame(buffer: Uint8Array, offset: number, length: number): FrameResult {
  const bytes = asBuffer(buffer);
  const available = length - offset;
  if (available < FRAME_HEADER_BYTES) return { kind: 'torn', missing: FRAME_HEADER_BYTES - available };
  const wrong = headerFault(bytes, offset);
  if (wrong !== undefined) return corrupt(wrong, nextFrame(bytes, offset + 1, length));
  const keyEnd = offset + FRAME_HEADER_BYTES + bytes.readUInt16LE(offset + 6);
  const next = keyEnd + bytes.readUInt32LE(offset + 8);
  if (next > length) return { kind: 'torn', missing: next - length };
  const head = bytes.subarray(offset, keyEnd);
  const body = buffer.subarray(keyEnd, next);
  if (contentCrc(head, body) !== head.readUInt32LE(CONTENT_CRC))
    return corrupt('the checksum of key and body does not fit', next);
  const version = head[3]!;
  const signal = SIGNALS[head[4]!];
  const encoding = ENCODINGS[head[5]!];
  if (version !== FRAME_VERSION)
    return corrupt(`frame version ${version}; this reader knows ${FRAME_VERSION}`, next);
  if (signal === undefined) return corrupt(`unknown signal ${head[4]}`, next);
  if (encoding === undefined) return corrupt(`unknown encoding ${head[5]}`, next);
  const frame: Frame = {
    version,
    signal,
    encoding,
    receivedUnixNano: head.readBigUInt64LE(RECEIVED),
    batchKey: head.toString('utf8', FRAME_HEADER_BYTES),
    body,
  };
  return { kind: 'frame', frame, next };
}

/**
 * The first offset at or after `from` where a header is whole and its checksum fits; undefined when there is none below
 * `length`. Whoever reads a file in windows must let them overlap by FRAME_HEADER_BYTES.
 */
export function nextFrame(buffer: Uint8Array, from: number, length: number): number | undefined {
  const bytes = asBuffer(buffer);
  const last = length - FRAME_HEADER_BYTES;
  for (let at = bytes.indexOf(MAGIC, from); at >= 0 && at <= last; at = bytes.indexOf(MAGIC, at + 1)) {
    if (headerFault(bytes, at) === undefined) return at;
  }
  return undefined;
}

/** What is wrong with the header at `offset`, all of which is there. */
function headerFault(bytes: Buffer, offset: number): string | undefined {
  if (bytes[offset] !== MAGIC[0] || bytes[offset + 1] !== MAGIC[1] || bytes[offset + 2] !== MAGIC[2])
    return 'no frame begins here';
  const header = bytes.subarray(offset, offset + HEADER_CRC);
  if (crc32(header) !== bytes.readUInt32LE(offset + HEADER_CRC))
    return 'the checksum of the header does not fit';
  if (header.readUInt16LE(6) > MAX_KEY_BYTES) return 'the header names a key beyond the limit';
  if (header.readUInt32LE(8) > MAX_FRAME_BODY_BYTES) return 'the header names a body beyond the limit';
  return undefined;
}

function contentCrc(head: Buffer, body: Uint8Array): number {
  let crc = crc32(head.subarray(0, CONTENT_CRC));
  crc = crc32(head.subarray(RECEIVED, HEADER_CRC), crc);
  crc = crc32(head.subarray(FRAME_HEADER_BYTES), crc);
  return crc32(body, crc);
}

function corrupt(reason: string, skipTo: number | undefined): FrameResult {
  return { kind: 'corrupt', reason, skipTo };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
