// A batch that holds something else than its request: a part of it, or what processors made of it.
import type { Batch } from '../component.ts';

export type BatchItems = Pick<Batch, 'scalars' | 'histograms' | 'logs' | 'spans'>;

/** @param noBytes why its bytes cannot be had: `the request at position 12 …` */
export function changedBatch(batch: Batch, items: Partial<BatchItems>, noBytes: string): Batch {
  const { position, next, signal, receivedUnixNano, batchKey } = batch;
  return {
    position,
    next,
    signal,
    receivedUnixNano,
    batchKey,
    get bytes(): Uint8Array {
      throw new Error(`the request at position ${position} ${noBytes}`);
    },
    scalars: 'scalars' in items ? items.scalars : batch.scalars,
    histograms: items.histograms ?? batch.histograms,
    logs: items.logs ?? batch.logs,
    spans: items.spans ?? batch.spans,
  };
}

export const CHANGED = 'was changed by processors, so its bytes cannot be forwarded';
