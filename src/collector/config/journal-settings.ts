// Settings of the journal, which a configuration writes as the extension `journal`.
import { z } from 'zod';
import { mebibytes, positiveDuration } from './values.ts';

export const JOURNAL_TYPE = 'journal';

export const journalSchema = z.strictObject({
  directory: z
    .string()
    .min(1)
    .default('.kymo/journal')
    .describe('Folder of the segments; relative to the working directory.'),
  fsync: z
    .enum(['always', 'interval', 'never'])
    .default('interval')
    .describe('`always` acknowledges a request after fdatasync; `interval` syncs every `fsync_interval`.'),
  fsync_interval: positiveDuration()
    .prefault('500ms')
    .describe('With `fsync: interval`: the most that a power cut can take.'),
  max_size_mib: mebibytes()
    .default(10_240)
    .describe('Size at which senders are pushed back with a retryable answer.'),
  retention: positiveDuration()
    .optional()
    .describe(
      'How long what every exporter has passed is kept for `kymo replay`; by default, it goes at once.',
    ),
  keep: z
    .enum(['needed', 'all'])
    .default('needed')
    .describe('`all` deletes nothing: needed where no exporter keeps a canonical record of runs.'),
  segment_mib: mebibytes().default(64).describe('Size at which a new segment is begun.'),
});

export type JournalSettings = z.infer<typeof journalSchema>;
