// The csv exporter: the scalars of every run as one long table that any spreadsheet or data frame reads.
import path from 'node:path';
import { z } from 'zod';
import type { ExporterType } from '../../component.ts';
import { CsvExporter } from './exporter.ts';

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

export const csvExporter: ExporterType<typeof config> = {
  kind: 'exporter',
  type: 'csv',
  // Logs too: clients that have nothing else send their rows as events.
  signals: ['metrics', 'logs'],
  stability: 'beta',
  local: true,
  config,
  create: (context, settings) =>
    new CsvExporter(context, {
      root: path.resolve(context.baseDirectory, settings.directory),
      maxOpenRuns: settings.max_open_runs,
    }),
};
