// What a journal holds, for `kymo journal inspect`: read only, on a live journal or a dead one. Prints nothing.
import fs from 'node:fs';
import type { Signal } from '../../otlp/model.ts';
import type { Position } from '../component.ts';
import { MAX_FINDINGS } from './limits.ts';
import { loadMarks } from './marks-file.ts';
import { openJournalReader } from './reader.ts';
import { marksFile } from './recover.ts';
import type { Finding } from './source.ts';

export interface SignalTotals {
  records: number;
  bytes: number;
}
export interface SegmentSummary {
  readonly path: string;
  readonly start: Position;
  readonly end: Position;
  readonly fileBytes: number;
  readonly records: number;
  readonly damaged: number;
  readonly firstReceivedUnixNano: bigint | undefined;
  readonly lastReceivedUnixNano: bigint | undefined;
}
export interface JournalSummary {
  readonly directory: string;
  readonly id: string;
  readonly start: Position;
  /** The position after the last whole record. */
  readonly end: Position;
  readonly fileBytes: number;
  readonly segments: readonly SegmentSummary[];
  readonly bySignal: Readonly<Record<Signal, SignalTotals>>;
  readonly firstReceivedUnixNano: bigint | undefined;
  readonly lastReceivedUnixNano: bigint | undefined;
  /** Records with a batch key. */
  readonly keyed: number;
  /** Damage: the first thousand stretches, and how many there are. `torn` at the end may also be a record being written right now. */
  readonly findings: readonly Finding[];
  readonly findingCount: number;
  readonly marks:
    | { readonly kind: 'loaded'; readonly position: Position; readonly senders: number }
    | { readonly kind: 'missing' }
    | { readonly kind: 'unreadable'; readonly reason: string };
}

/** Yields each segment as it is read and returns the whole. Throws when the folder or a format version cannot be read. */
export async function* inspectJournal(directory: string): AsyncGenerator<SegmentSummary, JournalSummary> {
  const reader = await openJournalReader(directory);
  try {
    const bySignal: Record<Signal, SignalTotals> = {
      traces: { records: 0, bytes: 0 },
      metrics: { records: 0, bytes: 0 },
      logs: { records: 0, bytes: 0 },
    };
    const segments: SegmentSummary[] = [];
    let keyed = 0;
    let end = reader.start;
    for (const [index, segment] of reader.segments.entries()) {
      const until = reader.segments[index + 1]?.start ?? segment.end;
      let records = 0;
      let first: bigint | undefined;
      let last: bigint | undefined;
      const damagedBefore = reader.findings.length;
      let position = segment.start;
      while (position < until) {
        const read = await reader.read(position);
        for (const record of read.records) {
          records++;
          bySignal[record.signal].records++;
          bySignal[record.signal].bytes += record.bytes.byteLength;
          if (record.batchKey !== '') keyed++;
          first ??= record.receivedUnixNano;
          last = record.receivedUnixNano;
          end = record.next;
        }
        position = read.next;
      }
      const summary: SegmentSummary = {
        path: segment.path,
        start: segment.start,
        end: segment.end,
        fileBytes: await fileSize(segment.path),
        records,
        damaged: reader.findings.length - damagedBefore,
        firstReceivedUnixNano: first,
        lastReceivedUnixNano: last,
      };
      segments.push(summary);
      yield summary;
    }
    const loaded = await loadMarks(marksFile(directory));
    return {
      directory,
      id: reader.id,
      start: reader.start,
      end,
      fileBytes: segments.reduce((sum, segment) => sum + segment.fileBytes, 0),
      segments,
      bySignal,
      firstReceivedUnixNano: segments.find(segment => segment.records > 0)?.firstReceivedUnixNano,
      lastReceivedUnixNano: segments.findLast(segment => segment.records > 0)?.lastReceivedUnixNano,
      keyed,
      findings: reader.findings.slice(0, MAX_FINDINGS),
      findingCount: reader.findings.length,
      marks:
        loaded.kind === 'loaded'
          ? { kind: 'loaded', position: loaded.snapshot.position, senders: loaded.snapshot.marks.length }
          : loaded,
    };
  } finally {
    await reader.close();
  }
}

/** The whole of `inspectJournal` at once. */
export async function summarizeJournal(directory: string): Promise<JournalSummary> {
  const segments = inspectJournal(directory);
  for (;;) {
    const step = await segments.next();
    if (step.done === true) return step.value;
  }
}

/** 0 for a segment that a running collector has deleted meanwhile. */
async function fileSize(file: string): Promise<number> {
  return fs.promises.stat(file).then(
    stat => stat.size,
    () => 0,
  );
}
