// How many items stand in a stretch of the journal: what an exporter leaves undelivered.
import { checkRequest } from '../../otlp/check.ts';
import type { Signal } from '../../otlp/model.ts';
import type { Position } from '../component.ts';
import type { JournalSource } from '../journal/source.ts';

/** Points, log records and spans, by the signal they came with. */
export type ItemCounts = Record<Signal, number>;

export function noItems(): ItemCounts {
  return { traces: 0, metrics: 0, logs: 0 };
}

export interface Left {
  readonly bytes: number;
  readonly batches: number;
  readonly items: ItemCounts;
  /** False when the deadline or an unreadable disk ended the count: there is at least this much. */
  readonly exact: boolean;
}

/** Counts the items of the given signals from `from` to the journal's end. */
export async function countLeft(
  source: JournalSource,
  from: Position,
  signals: ReadonlySet<Signal>,
  deadlineMs: number,
): Promise<Left> {
  const items = noItems();
  let batches = 0;
  let position = Math.max(from, source.start);
  const end = source.end;
  let exact = true;
  try {
    while (position < end) {
      if (Date.now() >= deadlineMs) {
        exact = false;
        break;
      }
      const read = await source.read(position);
      for (const record of read.records) {
        if (!signals.has(record.signal)) continue;
        batches++;
        items[record.signal] += record.items ?? count(record.signal, record.bytes);
      }
      position = read.next;
    }
  } catch {
    exact = false;
  }
  return { bytes: Math.max(0, end - from), batches, items, exact };
}

function count(signal: Signal, bytes: Uint8Array): number {
  const checked = checkRequest(signal, bytes);
  return checked.ok ? checked.items : 0;
}
