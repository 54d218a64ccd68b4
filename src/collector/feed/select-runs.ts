// The part of a batch that belongs to chosen runs, as a batch of its own.
import type { Batch } from '../component.ts';
import { partOfBatch } from './select.ts';

/** Undefined when nothing of the runs is in it; the batch itself when nothing else is. Adds the runs it met to `found`. */
export function batchOfRuns(
  batch: Batch,
  runIds: ReadonlySet<string>,
  found: Set<string>,
): { readonly batch: Batch; readonly items: number } | undefined {
  return partOfBatch(batch, {
    has: ({ run }) => {
      if (!runIds.has(run.id)) return false;
      found.add(run.id);
      return true;
    },
    noBytes: 'holds other runs too, so its bytes cannot be forwarded for one of them',
  });
}
