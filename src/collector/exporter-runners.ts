// One runner per exporter of the configuration, with the folders that it keeps beside the journal.
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { machineId } from '../semconv/local.ts';
import type { Authenticator, Exporter, ExporterContext } from './component.ts';
import type { ConfiguredExporter } from './config/config.ts';
import { CursorStore, exporterFolder } from './feed/cursor-store.ts';
import type { Feed } from './feed/feed.ts';
import { processedExporter } from './feed/processed.ts';
import { Quarantine } from './feed/quarantine.ts';
import { ExporterRunner } from './feed/runner.ts';
import { scopedExporter } from './feed/scoped.ts';
import type { Journal } from './journal/journal.ts';
import type { Resolver } from './runs/resolve.ts';
import type { RootLogger } from './telemetry/logger.ts';
import type { Registry } from './telemetry/metrics.ts';

export interface RunningExporter {
  readonly id: string;
  readonly type: string;
  /** Its files belong to the run: `finish()` waits for them. */
  readonly local: boolean;
  readonly runner: ExporterRunner;
}

export interface RunnersOptions {
  readonly exporters: readonly ConfiguredExporter[];
  readonly journal: Journal;
  readonly feed: Feed;
  readonly baseDirectory: string;
  readonly logger: RootLogger;
  readonly registry: Registry;
  readonly authenticators?: ReadonlyMap<string, Authenticator>;
}

/** Holds the record of runs from which others are rebuilt. */
const CANONICAL_TYPE = 'jsonl';
const MAX_WRITER_HOST_CHARACTERS = 15;

export function makeRunners(options: RunnersOptions): RunningExporter[] {
  const { exporters, journal } = options;
  // Without a canonical record nothing could be rebuilt: then the journal waits for everybody. One with a route lacks the
  // rest, as one behind a processor that drops does.
  const isRecord = (exporter: ConfiguredExporter) =>
    exporter.type.type === CANONICAL_TYPE && exporter.scopes === undefined && getsEverything(exporter);
  const hasRecord = exporters.some(isRecord);
  return exporters.map(exporter => {
    const { id, type, takes } = exporter;
    const context = exporterContext(options, id, writerId(journal.id));
    const processing = { ...options, resolver: options.feed.resolver };
    return {
      id,
      type: type.type,
      local: type.local,
      runner: makeRunner(options, id, () => createExporter(exporter, context, processing), {
        signals: [...takes],
        canonical: !hasRecord || isRecord(exporter),
      }),
    };
  });
}

/** What processors are created with beside their settings. */
export type Processing = Pick<RunnersOptions, 'baseDirectory' | 'logger' | 'registry'> & {
  readonly resolver: Resolver;
};

/** An instance of a configured exporter, behind its processors and its route. */
export function createExporter(
  { id, type, settings, scopes, processors }: Omit<ConfiguredExporter, 'takes'>,
  context: ExporterContext,
  { baseDirectory, logger, registry, resolver }: Processing,
): Exporter {
  // Somebody may have removed it since the last start.
  mkdirSync(context.stateDirectory, { recursive: true });
  const exporter = type.create(context, settings);
  const routed = scopes === undefined ? exporter : scopedExporter(exporter, scopes);
  return processedExporter(routed, processors, processor =>
    processor.type.create(
      {
        id: processor.id,
        exporter: id,
        logger: logger.with({ component: `processors::${processor.id}`, exporter: id }),
        instruments: registry.instruments({ processor: processor.id, exporter: id }),
        baseDirectory,
        resolver,
      },
      processor.settings,
    ),
  );
}

/** No processor before it leaves anything out. */
function getsEverything({ processors }: ConfiguredExporter): boolean {
  return [...processors.values()].flat().every(({ type, settings }) => type.effect(settings) !== 'drops');
}

/** A runner for anything that reads the journal under a cursor of its own. */
export function makeRunner(
  { journal, feed, logger }: Pick<RunnersOptions, 'journal' | 'feed' | 'logger'>,
  id: string,
  create: () => Exporter,
  more: { readonly signals?: readonly ('traces' | 'metrics' | 'logs')[]; readonly canonical?: boolean },
): ExporterRunner {
  const own = logger.with({ component: id });
  return new ExporterRunner({
    id,
    create,
    journal,
    feed,
    cursors: new CursorStore(join(journal.directory, 'cursors'), id, own),
    quarantine: new Quarantine(join(journal.directory, 'quarantine'), id, own),
    logger: own,
    ...more,
  });
}

/** What an exporter is created with. Its state folder is made. */
export function exporterContext(
  {
    journal,
    baseDirectory,
    logger,
    registry,
    authenticators,
  }: Pick<RunnersOptions, 'baseDirectory' | 'logger' | 'registry' | 'authenticators'> & {
    readonly journal: { readonly directory: string };
  },
  id: string,
  writer: string,
): ExporterContext {
  const stateDirectory = join(journal.directory, 'state', exporterFolder(id));
  mkdirSync(stateDirectory, { recursive: true });
  return {
    id,
    logger: logger.with({ component: `exporters::${id}` }),
    instruments: registry.instruments({ exporter: id }),
    baseDirectory,
    ...(authenticators === undefined ? {} : { authenticators }),
    stateDirectory,
    writerId: writer,
  };
}

/** One per journal, so that two collectors which write one run keep their files apart, and a restart goes on in its own. */
export function writerId(journalId: string): string {
  const host = machineId().slice(0, MAX_WRITER_HOST_CHARACTERS).replace(/-+$/, '');
  return `${host}-${createHash('sha256').update(journalId).digest('hex').slice(0, 8)}`;
}
