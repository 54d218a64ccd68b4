// The `batch` processor of upstream's configurations. Here the journal and the exporters batch already: it does nothing.
import { z } from 'zod';
import type { ProcessorType } from '../../component.ts';
import { duration } from '../../config/values.ts';

const batchConfig = z.strictObject({
  timeout: duration().prefault('200ms').describe('Accepted and without effect'),
  send_batch_size: z.int().min(0).default(8192).describe('Accepted and without effect'),
  send_batch_max_size: z.int().min(0).default(0).describe('Accepted and without effect'),
  metadata_keys: z.array(z.string()).default([]).describe('Accepted and without effect'),
  metadata_cardinality_limit: z.int().min(0).default(1000).describe('Accepted and without effect'),
});

export const batchProcessor: ProcessorType<typeof batchConfig> = {
  kind: 'processor',
  type: 'batch',
  signals: ['traces', 'metrics', 'logs'],
  stability: 'beta',
  config: batchConfig,
  effect: () => 'none',
  check: ({ send_batch_size: size, send_batch_max_size: max }) =>
    max > 0 && max < size
      ? [{ path: ['send_batch_max_size'], message: 'must be 0 or at least send_batch_size' }]
      : [],
  create: () => ({ process: batch => batch }),
};
