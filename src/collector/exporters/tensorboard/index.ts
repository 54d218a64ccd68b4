// The `tensorboard` exporter: runs as event files that TensorBoard shows, live, in both of its readers. README.md says how.
import { z } from 'zod';
import type { ExporterType } from '../../component.ts';
import { duration, mebibytes, positiveDuration } from '../../config/values.ts';
import { TensorboardExporter } from './exporter.ts';

/** A record of this size is still read back (MAX_RECORD_BYTES). */
const MAX_MEDIA_MIB = 48;

const config = z.strictObject({
  directory: z
    .string()
    .min(1)
    .default('runs')
    .describe('Folder that holds the run folders; give it to `tensorboard --logdir`.'),
  flush_interval: duration()
    .prefault('200ms')
    .describe('How long points may wait before they are written to a file.'),
  rewrite_interval: positiveDuration()
    .prefault('2s')
    .describe(
      'How long late points may wait before they are put in order. The pause grows where putting them in order takes long.',
    ),
  max_open_runs: z
    .int()
    .min(1)
    .max(65_536)
    .default(256)
    .describe('Runs kept open, and files with them. Further ones close the one not used for longest.'),
  max_tags_per_run: z
    .int()
    .min(1)
    .default(10_000)
    .describe(
      "Tags of one run. Further ones are counted and not written: TensorBoard's page takes minutes for as many.",
    ),
  max_media_mib: mebibytes()
    .max(MAX_MEDIA_MIB)
    .default(16)
    .describe(
      'Size of one picture, GIF, sound or text. Larger ones are counted and left out: they would fill the page.',
    ),
  max_file_mib: mebibytes().default(512).describe('Size at which the next event file of a run is begun.'),
});

export const tensorboardExporter: ExporterType<typeof config> = {
  kind: 'exporter',
  type: 'tensorboard',
  signals: ['metrics', 'logs', 'traces'],
  stability: 'beta',
  local: true,
  config,
  create: (context, settings) =>
    new TensorboardExporter(context, {
      directory: settings.directory,
      maxOpenRuns: settings.max_open_runs,
      maxTagsPerRun: settings.max_tags_per_run,
      flushIntervalMs: settings.flush_interval,
      rewriteIntervalMs: settings.rewrite_interval,
      maxMediaBytes: settings.max_media_mib * 1024 * 1024,
      maxFileBytes: settings.max_file_mib * 1024 * 1024,
    }),
};
