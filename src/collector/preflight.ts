// Tries a configuration out beside a collector that may be running, and changes nothing: what is found here cannot fail half-way.
import fs from 'node:fs';
import http from 'node:http';
import type net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { startAuthenticators } from './authenticators.ts';
import type { Authenticator, Ingest, ListenPlace } from './component.ts';
import type { CollectorConfig } from './config/config.ts';
import { createExporter, exporterContext } from './exporter-runners.ts';
import { CursorStore } from './feed/cursor-store.ts';
import { errorText } from './journal/durable-file.ts';
import { isHeldJournal, lockJournal } from './journal/lock.ts';
import { loadMarks } from './journal/marks-file.ts';
import { openJournalReader } from './journal/reader.ts';
import { journalFile, marksFile, readJournalFile } from './journal/recover.ts';
import { listenOn } from './listen.ts';
import { createResolver } from './runs/resolve.ts';
import { CollectorRunningError } from './service.ts';
import { createLogger } from './telemetry/logger.ts';
import { createRegistry } from './telemetry/metrics.ts';

export interface PreflightOptions {
  readonly config: CollectorConfig;
  readonly baseDirectory: string;
  /** What runs in this process now: its ports and its journal are taken by ourselves. */
  readonly running?: CollectorConfig;
}

const JOURNAL_SETTING = 'extensions::journal::directory';
const METRICS_SETTING = 'service::telemetry::metrics::address';
/** Nothing is kept of what is said while trying: a start says it again. */
const silent = createLogger({ write: () => {} });
const NO_INGEST: Ingest = {
  submit: async () => ({ kind: 'refused', reason: 'nothing is taken while trying', retryAfterMs: 0 }),
  reserve: () => false,
  release: () => {},
};

/** What would keep this configuration from starting, all of it at once; empty when nothing is known that would. Never throws. */
export async function preflight(options: PreflightOptions): Promise<readonly string[]> {
  const problems: string[] = [];
  const note = async (attempt: () => void | Promise<void>): Promise<void> => {
    try {
      await attempt();
    } catch (error) {
      problems.push(errorText(error));
    }
  };
  await note(() => tryJournal(options));
  await tryComponents(options, note);
  await tryPlaces(options, note);
  return problems;
}

async function tryJournal({ config, baseDirectory, running }: PreflightOptions): Promise<void> {
  const directory = path.resolve(baseDirectory, config.journal.directory);
  const isOurs =
    running !== undefined && path.resolve(baseDirectory, running.journal.directory) === directory;
  if (!fs.existsSync(directory)) {
    mustBeMakeable(directory);
    return;
  }
  mustBeUsable(directory);
  if (!isOurs) {
    // A journal of another version, or one that another collector has open, is found here, before anything is written to it.
    await (await openJournalReader(directory)).close();
    await readJournalFile(journalFile(directory));
    await loadMarks(marksFile(directory));
    await mustBeFree(directory);
  }
  for (const { id } of config.exporters)
    await new CursorStore(path.join(directory, 'cursors'), id, silent).load();
}

async function tryComponents(
  { config, baseDirectory }: PreflightOptions,
  note: (attempt: () => void | Promise<void>) => Promise<void>,
): Promise<void> {
  const common = { baseDirectory, logger: silent, registry: createRegistry() };
  const instruments = common.registry.instruments({});
  let authenticators: ReadonlyMap<string, Authenticator> = new Map();
  let stop = async (): Promise<void> => {};
  await note(async () => {
    ({ authenticators, stop } = await startAuthenticators(config.extensions, common));
  });
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-try-'));
  try {
    for (const exporter of config.exporters) {
      await note(async () => {
        const context = exporterContext(
          { ...common, authenticators, journal: { directory: scratch } },
          exporter.id,
          'try',
        );
        await createExporter(exporter, context, { ...common, resolver: createResolver() }).stop();
      });
    }
    for (const { id, type, settings } of config.receivers) {
      await note(async () => {
        const context = { id, logger: silent, instruments, baseDirectory, authenticators, ingest: NO_INGEST };
        await type.create(context, settings).prepare?.();
      });
    }
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
    await stop();
  }
}

/** Binds every place at once, so that two of one configuration are found too, and lets go of all. */
async function tryPlaces(
  { config, baseDirectory, running }: PreflightOptions,
  note: (attempt: () => void | Promise<void>) => Promise<void>,
): Promise<void> {
  const own = new Set((running === undefined ? [] : places(running, baseDirectory)).map(keyOf));
  const bound: net.Server[] = [];
  for (const place of places(config, baseDirectory)) {
    // What is ours becomes free when we stop.
    if (own.has(keyOf(place))) continue;
    await note(async () => {
      const { servers } = await listenOn(place.target, () => http.createServer(), place.setting);
      bound.push(...servers);
    });
  }
  await Promise.all(bound.map(server => new Promise<void>(resolve => server.close(() => resolve()))));
}

function places(config: CollectorConfig, baseDirectory: string): ListenPlace[] {
  const { address, level } = config.telemetry.metrics;
  const metrics: ListenPlace[] =
    address === undefined || level === 'none'
      ? []
      : [{ setting: METRICS_SETTING, target: { transport: 'tcp', endpoint: address } }];
  const components = [...config.receivers, ...config.extensions];
  return [
    ...metrics,
    ...components.flatMap(({ id, type, settings }) => [
      ...(type.listens?.(id, settings, baseDirectory) ?? []),
    ]),
  ];
}

/** The same port on another address may overlap with ours (`0.0.0.0` does): only a start can tell. Port 0 is never taken. */
function keyOf({ target }: ListenPlace): string {
  return target.transport === 'unix' ? target.path : `port ${target.endpoint.port}`;
}

async function mustBeFree(directory: string): Promise<void> {
  try {
    await (await lockJournal(directory)).release();
  } catch (error) {
    throw isHeldJournal(error) ? new CollectorRunningError(directory) : error;
  }
}

function mustBeMakeable(directory: string): void {
  let above = path.dirname(directory);
  while (!fs.existsSync(above) && path.dirname(above) !== above) above = path.dirname(above);
  mustBeUsable(above, ` (for ${directory})`);
}

function mustBeUsable(directory: string, what = ''): void {
  const where = `${JOURNAL_SETTING}: ${directory}${what}`;
  if (!fs.statSync(directory).isDirectory()) throw new Error(`${where} is not a folder; give another one`);
  try {
    fs.accessSync(directory, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK);
  } catch {
    throw new Error(`${where} may not be written to; give a folder of your own`);
  }
}
