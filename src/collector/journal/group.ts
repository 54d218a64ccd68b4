// Requests that are written together: what is asked for, and the bytes and records they become.
import { writeFrame } from '../../otlp/frame.ts';
import type { Signal } from '../../otlp/model.ts';
import type { Position } from '../component.ts';
import { COPY_BELOW_BYTES } from './limits.ts';
import type { BatchMarks, BatchName } from './marks.ts';
import type { JournalRecord } from './source.ts';

export interface AppendInput {
  readonly signal: Signal;
  /** The journal keeps a reference: nobody may change the bytes afterwards. */
  readonly bytes: Uint8Array;
  readonly batchKey: string;
  readonly items?: number;
}
export type AppendResult =
  /** `position` is the one after the record (for a duplicate: the journal's end, which is not before it). */
  | { readonly kind: 'stored'; readonly position: Position; readonly duplicate: boolean }
  | { readonly kind: 'refused'; readonly reason: string; readonly retryAfterMs: number };

/** A request that waits for its write. */
export interface Pending {
  readonly input: AppendInput;
  /** Of its frame. */
  readonly bytes: number;
  /** The batch key as it is stored; empty where it is too long for a frame. */
  readonly key: string;
  /** Where the request is marked as known once it is stored; undefined where a retry could not be told from another one. */
  readonly mark: Mark | undefined;
  readonly resolve: (result: AppendResult) => void;
}

export interface Mark {
  readonly known: BatchMarks;
  readonly name: BatchName;
  /** The name as text, one of its kind. */
  readonly text: string;
}

/** The bytes of a group and the records they become. Small requests are copied next to their headers, large ones stay where they are. */
export function layOut(
  group: readonly Pending[],
  start: Position,
  receivedUnixNano: bigint,
): { buffers: Uint8Array[]; records: JournalRecord[] } {
  let copied = 0;
  for (const pending of group) {
    const body = pending.input.bytes.byteLength;
    copied += pending.bytes - (body < COPY_BELOW_BYTES ? 0 : body);
  }
  const arena = Buffer.allocUnsafeSlow(copied);
  const buffers: Uint8Array[] = [];
  const records: JournalRecord[] = [];
  let filled = 0;
  let flushed = 0;
  let position = start;
  for (const { input, key, bytes } of group) {
    const frame = {
      signal: input.signal,
      encoding: 0,
      receivedUnixNano,
      batchKey: key,
      body: input.bytes,
    } as const;
    const [head, body] = writeFrame(frame);
    arena.set(head, filled);
    filled += head.byteLength;
    let kept = body;
    if (body.byteLength < COPY_BELOW_BYTES) {
      arena.set(body, filled);
      kept = arena.subarray(filled, filled + body.byteLength);
      filled += body.byteLength;
    } else {
      buffers.push(arena.subarray(flushed, filled), body);
      flushed = filled;
    }
    records.push({
      position,
      next: position + bytes,
      signal: input.signal,
      receivedUnixNano,
      batchKey: key,
      bytes: kept,
      items: input.items,
    });
    position += bytes;
  }
  if (flushed < filled) buffers.push(arena.subarray(flushed, filled));
  return { buffers, records };
}
