// `kymo replay`: runs an exporter over the journal again, for chosen runs, into a folder of its own.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { startAuthenticators } from '../collector/authenticators.ts';
import { COMPONENTS } from '../collector/components.ts';
import type { CollectorConfig } from '../collector/config/config.ts';
import { loadConfig } from '../collector/config/load.ts';
import { didYouMean, formatProblem } from '../collector/config/problem.ts';
import { loadEmbeddedConfig } from '../collector/embedded.ts';
import { createExporter, exporterContext } from '../collector/exporter-runners.ts';
import { Feed } from '../collector/feed/feed.ts';
import { replay } from '../collector/feed/replay.ts';
import { openJournalReader } from '../collector/journal/reader.ts';
import { createLogger } from '../collector/telemetry/logger.ts';
import { createRegistry } from '../collector/telemetry/metrics.ts';
import { findProjectDirectory } from '../semconv/local.ts';
import { counted } from './amounts.ts';
import {
  type Command,
  EXIT_FAILED,
  EXIT_OK,
  print,
  printError,
  readArguments,
  UsageError,
} from './command.ts';
import { collectorPlaces } from './local-client.ts';

const DEFAULT_INTO = 'replayed';

export const replayCommand: Command = {
  help: `Usage: kymo replay --run ID [--run ID …] | RUN … --exporter NAME [--config FILE] [--journal DIR] [--into DIR]

Writes runs again from what the journal still holds, with an exporter as the configuration has it. Files go into a folder
of their own, so that a collector which is running is not disturbed; exporters that send do send again.

  --run ID         Run id, as the run's sender gave it
  --exporter NAME  Exporter id, as in the configuration; or the type of one, with its default settings
  --config FILE    Configuration that has it (default: what the embedded collector runs)
  --journal DIR    Journal to read (default: the configuration's, or the project folder's)
  --into DIR       Folder to write to, new or empty (default: ${DEFAULT_INTO})`,

  async run(args) {
    const { values, positionals } = readArguments(
      args,
      {
        run: { type: 'string', multiple: true },
        exporter: { type: 'string' },
        config: { type: 'string', multiple: true },
        journal: { type: 'string' },
        into: { type: 'string', default: DEFAULT_INTO },
      },
      Number.MAX_SAFE_INTEGER,
    );
    const wanted = [...(values.run ?? []), ...positionals];
    if (wanted.length === 0 || values.exporter === undefined) {
      throw new UsageError('--run and --exporter are needed');
    }
    const project = findProjectDirectory(process.env, process.cwd());
    const loaded =
      values.config === undefined
        ? loadEmbeddedConfig(process.env, project)
        : loadConfig({ sources: values.config, env: process.env, components: COMPONENTS });
    if (loaded.config === undefined) {
      for (const problem of loaded.problems) printError(formatProblem(problem));
      return EXIT_FAILED;
    }
    const exporter = findExporter(loaded.config, values.exporter);
    const journal =
      values.journal ??
      collectorPlaces({ config: values.config }).find(place => existsSync(place.journal))?.journal;
    if (journal === undefined || !existsSync(journal))
      throw new Error('no journal here; name it with --journal');
    const into = resolve(values.into);
    const settings = redirected(exporter.settings, into);
    if (settings !== exporter.settings && existsSync(into) && readdirSync(into).length > 0) {
      throw new Error(`${into} is not empty: give another folder with --into`);
    }

    const scratch = mkdtempSync(join(tmpdir(), 'kymo-replay-'));
    const source = await openJournalReader(journal);
    try {
      const around = {
        baseDirectory: process.cwd(),
        logger: createLogger({ level: exporter.type.local ? 'warn' : 'info' }),
        registry: createRegistry(),
      };
      const feed = new Feed(source);
      const { authenticators, stop } = await startAuthenticators(loaded.config.extensions, around);
      const context = exporterContext(
        { ...around, authenticators, journal: { directory: scratch } },
        exporter.id,
        'replay',
      );
      const report = await replay({
        source,
        feed,
        exporter: createExporter({ ...exporter, settings }, context, { ...around, resolver: feed.resolver }),
        runIds: new Set(wanted),
      }).finally(stop);
      const { metrics, logs, traces } = report.items;
      print(
        `${report.found.size} of ${wanted.length} runs: ${metrics - report.companions} points, ${logs} log records, ${traces} spans${report.companions > 0 ? `, and ${counted(report.companions, 'point')} of kymo.step beside them` : ''}`,
      );
      if (settings !== exporter.settings) print(`written to ${into}`);
      const missing = wanted.filter(id => !report.found.has(id));
      for (const id of missing) printError(`the journal holds nothing of run ${id}`);
      return missing.length > 0 ? EXIT_FAILED : EXIT_OK;
    } finally {
      await source.close();
      rmSync(scratch, { recursive: true, force: true });
    }
  },
};

function findExporter(
  config: CollectorConfig,
  id: string,
): Omit<CollectorConfig['exporters'][number], 'takes'> {
  const found = config.exporters.find(one => one.id === id);
  if (found !== undefined) return found;
  const type = COMPONENTS.exporters.find(one => one.type === id);
  if (type !== undefined) {
    const settings = type.config.safeParse({});
    if (!settings.success)
      throw new UsageError(
        `the ${id} exporter has settings without a default: name a configuration that has it`,
      );
    return { id, type, settings: settings.data, scopes: undefined, processors: new Map() };
  }
  const ids = config.exporters.map(one => one.id);
  throw new UsageError(
    `no exporter "${id}" in the configuration${didYouMean(id, ids)}; it has ${ids.join(', ')}`,
  );
}

/** The settings with another folder, for exporters that write to one. */
function redirected(settings: unknown, directory: string): unknown {
  if (typeof settings !== 'object' || settings === null || !('directory' in settings)) return settings;
  return { ...settings, directory };
}
