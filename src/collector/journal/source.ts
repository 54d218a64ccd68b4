// What a reader of a journal sees, whether the journal is being written by this process or lies on disk.
import type { Signal } from '../../otlp/model.ts';
import type { Position } from '../component.ts';

export interface JournalRecord {
  readonly position: Position;
  readonly next: Position;
  readonly signal: Signal;
  readonly receivedUnixNano: bigint;
  readonly batchKey: string;
  /** The request as protobuf. Shared by all readers; nobody changes it. */
  readonly bytes: Uint8Array;
  /** As counted when the request was checked; undefined for records read back from disk. */
  readonly items: number | undefined;
}

/** A stretch of the journal that holds no readable record. `next` is where the next one stands. */
export interface Finding {
  readonly kind: 'corrupt' | 'torn' | 'missing' | 'header';
  readonly position: Position;
  readonly next: Position;
  readonly segment: string;
  readonly reason: string;
}

export interface JournalRead {
  /** In order; empty at the end of the journal and where only damage was found. */
  readonly records: readonly JournalRecord[];
  /** Where to read on. Beyond the last record's `next` when damage follows it. */
  readonly next: Position;
}

export interface JournalSource {
  readonly id: string;
  /** The oldest position still held. */
  readonly start: Position;
  /** The position after the last record. */
  readonly end: Position;
  /** Records from `position` on: at least one unless at the end or in damage, then as many as fit `maxBytes`. */
  read(position: Position, maxBytes?: number): Promise<JournalRead>;
}
