// The jsonl exporter: every run as a folder of JSON lines, the canonical record of what was measured.
import path from 'node:path';
import { z } from 'zod';
import type { ExporterType } from '../../component.ts';
import { JsonlExporter } from './exporter.ts';

const config = z.strictObject({
  directory: z
    .string()
    .min(1)
    .default('runs')
    .describe('Folder that holds the run folders. A relative path starts at the project folder.'),
  max_open_runs: z
    .int()
    .min(1)
    .max(10_000)
    .default(256)
    .describe('Runs kept open at a time. Others are closed and opened again with their next line.'),
});

export const jsonlExporter: ExporterType<typeof config> = {
  kind: 'exporter',
  type: 'jsonl',
  signals: ['metrics', 'logs', 'traces'],
  stability: 'beta',
  local: true,
  keepsRuns: ({ directory }) => directory,
  config,
  create: (context, settings) =>
    new JsonlExporter(context, {
      root: path.resolve(context.baseDirectory, settings.directory),
      maxOpenRuns: settings.max_open_runs,
    }),
};
