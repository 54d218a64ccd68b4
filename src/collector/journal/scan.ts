// Reading a segment's bytes back as records, stepping over damage so that its neighbours survive.
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import {
  FRAME_HEADER_BYTES,
  type Frame,
  type FrameResult,
  MAX_FRAME_BODY_BYTES,
  nextFrame,
  readFrame,
} from '../../otlp/frame.ts';
import type { Position } from '../component.ts';
import { errorText } from './durable-file.ts';
import { HUNT_FACTOR, READ_CHUNK_BYTES } from './limits.ts';
import type { JournalRecord } from './source.ts';

export interface Damage {
  /** `torn`: the bytes end before the record does, and nothing readable follows. */
  readonly kind: 'corrupt' | 'torn';
  readonly position: Position;
  readonly next: Position;
  readonly reason: string;
}

export interface Scanned {
  readonly records: readonly JournalRecord[];
  readonly damage: readonly Damage[];
  /** Where to scan on; `to` at the end. */
  readonly next: Position;
}

/** Returns the bytes from a position on; fewer than asked for only at the end of the file. */
export type ReadAt = (position: Position, length: number) => Promise<Buffer>;

/**
 * Scans from `from` about `chunkBytes` far, never beyond `to`. A record that is larger than the chunk is read whole.
 * Always gets ahead: `next > from` unless `from >= to`.
 */
export async function scanChunk(
  readAt: ReadAt,
  from: Position,
  to: Position,
  chunkBytes: number = READ_CHUNK_BYTES,
): Promise<Scanned> {
  const records: JournalRecord[] = [];
  const damage: Damage[] = [];
  if (from >= to) return { records, damage, next: from };
  let bytes = await readAt(from, Math.min(Math.max(chunkBytes, FRAME_HEADER_BYTES), to - from));
  let at = 0;
  for (;;) {
    const position = from + at;
    const result: FrameResult = readFrame(bytes, at, bytes.length);
    if (result.kind === 'frame') {
      const next = from + result.next;
      const body = storedBody(result.frame);
      if (body instanceof Uint8Array) records.push(toRecord(result.frame, body, position, next));
      else damage.push({ kind: 'corrupt', position, next, reason: body.reason });
      at = result.next;
      if (at === bytes.length) return { records, damage, next };
      continue;
    }
    if (result.kind === 'torn' && from + bytes.length < to) {
      // The chunk ends, not the segment. What is whole so far goes first; a large record gets a chunk of its own.
      if (at > 0) return { records, damage, next: position };
      const wanted = Math.min(bytes.length + result.missing, to - from);
      const more = await readAt(from, wanted);
      if (more.length <= bytes.length)
        return endInside(readAt, records, damage, position, to, 'the file ends here');
      bytes = more;
      continue;
    }
    if (result.kind === 'torn') {
      return endInside(readAt, records, damage, position, to, 'the record is not whole');
    }
    const headerIntact = nextFrame(bytes, at, at + FRAME_HEADER_BYTES) === at;
    const skipTo = result.skipTo === undefined ? undefined : from + result.skipTo;
    if (headerIntact && skipTo !== undefined && (await frameOrEndAt(readAt, skipTo, to))) {
      damage.push({ kind: 'corrupt', position, next: skipTo, reason: result.reason });
      if (skipTo >= from + bytes.length) return { records, damage, next: skipTo };
      at = skipTo - from;
      continue;
    }
    return endInside(readAt, records, damage, position, to, result.reason);
  }
}

/** A damaged record's length is believed only where it leads to another record: the header may be one that a sender made up. */
async function frameOrEndAt(readAt: ReadAt, position: Position, to: Position): Promise<boolean> {
  if (position === to) return true;
  const header = await readAt(position, Math.min(FRAME_HEADER_BYTES, to - position));
  return nextFrame(header, 0, header.length) === 0;
}

/** Nothing whole begins at `position`: either damage with whole records behind it, or the torn end. */
async function endInside(
  readAt: ReadAt,
  records: JournalRecord[],
  damage: Damage[],
  position: Position,
  to: Position,
  reason: string,
): Promise<Scanned> {
  const next = await findWholeFrame(readAt, position + 1, to);
  damage.push(
    next === undefined
      ? { kind: 'torn', position, next: to, reason }
      : { kind: 'corrupt', position, next, reason },
  );
  return { records, damage, next: next ?? to };
}

/** The next position at or after `from` where a frame's header is intact. */
async function findHeader(readAt: ReadAt, from: Position, to: Position): Promise<Position | undefined> {
  let start = from;
  while (to - start >= FRAME_HEADER_BYTES) {
    const bytes = await readAt(start, Math.min(READ_CHUNK_BYTES, to - start));
    const found = nextFrame(bytes, 0, bytes.length);
    if (found !== undefined) return start + found;
    if (bytes.length < FRAME_HEADER_BYTES) return undefined;
    // Windows overlap, so that a header across their border is seen.
    start += bytes.length - FRAME_HEADER_BYTES + 1;
  }
  return undefined;
}

/**
 * The next position where a frame is whole, checksums included. A header alone does not do here: one that a sender put
 * into its request may claim any length, and must not make us cut off what stands behind it.
 */
async function findWholeFrame(readAt: ReadAt, from: Position, to: Position): Promise<Position | undefined> {
  let budget = Math.max((to - from) * HUNT_FACTOR, READ_CHUNK_BYTES);
  for (
    let at = await findHeader(readAt, from, to);
    at !== undefined;
    at = await findHeader(readAt, at + 1, to)
  ) {
    const header = await readAt(at, FRAME_HEADER_BYTES);
    const peek = readFrame(header, 0, header.length);
    const length = peek.kind === 'torn' ? header.length + peek.missing : header.length;
    if (at + length > to) continue;
    budget -= length;
    if (budget < 0) return undefined;
    const bytes = await readAt(at, length);
    if (readFrame(bytes, 0, bytes.length).kind === 'frame') return at;
  }
  return undefined;
}

/** The journal writes bodies as they are; compressed ones are understood for journals written otherwise. */
function storedBody(frame: Frame): Uint8Array | { reason: string } {
  if (frame.encoding === 0) return frame.body;
  try {
    const limits = { maxOutputLength: MAX_FRAME_BODY_BYTES };
    return frame.encoding === 1 ? gunzipSync(frame.body, limits) : zstdDecompressSync(frame.body, limits);
  } catch (error) {
    return { reason: `cannot be inflated: ${errorText(error)}` };
  }
}

function toRecord(frame: Frame, bytes: Uint8Array, position: Position, next: Position): JournalRecord {
  return {
    position,
    next,
    signal: frame.signal,
    receivedUnixNano: frame.receivedUnixNano,
    batchKey: frame.batchKey,
    bytes,
    items: undefined,
  };
}
