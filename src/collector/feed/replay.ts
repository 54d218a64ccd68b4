// Running an exporter over the journal again for chosen runs only: `kymo replay --run ID --exporter X`.
import type { Exporter, Position, ScalarBatch } from '../component.ts';
import { errorText } from '../journal/durable-file.ts';
import type { JournalSource } from '../journal/source.ts';
import { type ItemCounts, noItems } from './count-left.ts';
import type { FeedBatch } from './decode.ts';
import { Feed } from './feed.ts';
import { batchOfRuns } from './select-runs.ts';

export interface ReplayOptions {
  readonly source: JournalSource;
  /** A fresh instance that writes where nobody else does; started without state, committed once at the end. */
  readonly exporter: Exporter;
  /** As the senders wrote them. */
  readonly runIds: ReadonlySet<string>;
  readonly feed?: Feed;
  /** Batches to leave out, for one that the exporter cannot take. */
  readonly skip?: ReadonlySet<Position>;
  readonly onProgress?: (progress: ReplayProgress) => void;
  readonly signal?: AbortSignal;
}
export interface ReplayProgress {
  readonly position: Position;
  readonly end: Position;
  readonly batches: number;
}
export interface ReplayReport {
  readonly from: Position;
  readonly to: Position;
  /** Batches with something of the chosen runs in them, and how many items that was. */
  readonly batches: number;
  readonly items: Readonly<ItemCounts>;
  /** Points of the companion gauge among them: steps, which row-keyed sinks do not show. */
  readonly companions: number;
  /** Chosen runs of which the journal holds something. */
  readonly found: ReadonlySet<string>;
}

/** The exporter could not take a batch. */
export class ReplayError extends Error {
  readonly position: Position;
  constructor(position: Position, cause: unknown) {
    super(`replay: the batch at position ${position} failed: ${errorText(cause)}`, { cause });
    this.name = 'ReplayError';
    this.position = position;
  }
}

/** From the journal's start to the end it had when called. Throws ReplayError, and what starting or committing throws; the exporter is stopped in any case. */
export async function replay(options: ReplayOptions): Promise<ReplayReport> {
  const { source, exporter, runIds } = options;
  const feed = options.feed ?? new Feed(source);
  const from = source.start;
  const to = source.end;
  const items = noItems();
  const found = new Set<string>();
  const reader = feed.reader(from);
  let batches = 0;
  let companions = 0;
  try {
    await exporter.start(undefined);
    while (reader.position < to && options.signal?.aborted !== true) {
      const batch = await reader.next();
      if (batch === undefined) break;
      if (options.skip?.has(batch.position) !== true) {
        const taken = await exportOne(exporter, batch, runIds, found);
        if (taken.items > 0) batches++;
        items[batch.signal] += taken.items;
        companions += taken.companions;
      }
      reader.advance(batch);
      options.onProgress?.({ position: reader.position, end: to, batches });
    }
    await exporter.commit();
    await exporter.committed?.();
    await exporter.drain?.(options.signal);
  } finally {
    reader.close();
    await exporter.stop();
  }
  return { from, to: reader.position, batches, items, companions, found };
}

async function exportOne(
  exporter: Exporter,
  batch: FeedBatch,
  runIds: ReadonlySet<string>,
  found: Set<string>,
): Promise<{ readonly items: number; readonly companions: number }> {
  try {
    const selected = batchOfRuns(batch, runIds, found);
    if (selected === undefined) return { items: 0, companions: 0 };
    await exporter.export(selected.batch);
    return { items: selected.items, companions: companionPoints(selected.batch.scalars) };
  } catch (error) {
    throw new ReplayError(batch.position, error);
  }
}

function companionPoints(scalars: ScalarBatch | undefined): number {
  if (scalars === undefined || !scalars.resolved.some(({ companion }) => companion)) return 0;
  const { columns, resolved } = scalars;
  let points = 0;
  for (let i = 0; i < columns.count; i++) if (resolved[columns.seriesIndex[i]!]!.companion) points++;
  return points;
}
