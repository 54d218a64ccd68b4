// The collector that the SDK starts by itself: shared by the processes of one project folder, gone when the last of them has.
import { existsSync, mkdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SIGNALS, type Signal } from '../otlp/model.ts';
import { environmentValue } from '../semconv/env.ts';
import { type Environment, EXIT_BAD_CONFIG, PROJECT_FOLDER, paths } from '../semconv/local.ts';
import { COMPONENTS } from './components.ts';
import { loadExporterType } from './config/exporter-module.ts';
import { type Loaded, loadConfig } from './config/load.ts';
import { formatProblem } from './config/problem.ts';
import { type Collector, CollectorRunningError, startCollector } from './service.ts';
import { listenForWishes } from './standalone.ts';
import { createLogger, type RootLogger } from './telemetry/logger.ts';

export interface EmbeddedOptions {
  /** The project folder. */
  readonly directory: string;
  readonly env: Environment;
}

const DEFAULT_CONFIG = fileURLToPath(new URL('../../collector-config/default.yaml', import.meta.url));
/** Nobody has come so far: whoever started it gets this long, while it lives. */
const UNUSED_MS = 15_000;
const DEFAULT_LINGER_MS = 2_000;
const MAX_LOG_BYTES = 4 * 1024 * 1024;
const TICK_MS = 50;
/** Without any progress for this long, what is left stays in the journal for the next collector. */
const STUCK_MS = 30_000;
/** Everything is written when it stops by itself; on a signal this is the time for the rest. */
const DRAIN_MS = 10_000;
/** The process has ended and its spool is in the journal: nothing of it can still be on its way but a last request. */
const GONE_GRACE_MS = 200;
/** An embedded collector of the same folder that is just ending holds its journal for as long as it drains. */
const JOURNAL_PATIENCE_MS = DRAIN_MS + 5_000;

/** @returns the exit code; 0 also where another one runs already */
export async function runEmbedded({ directory, env }: EmbeddedOptions): Promise<number> {
  const project = resolve(directory);
  const local = paths(project);
  makeFolder(project, local.root);
  boundLog(local.log);
  const loaded = loadEmbeddedConfig(env, project);
  const logger = createLogger(loaded.config?.telemetry.logs ?? {});
  for (const warning of loaded.warnings) logger.warn(formatProblem(warning));
  if (loaded.config === undefined) {
    for (const problem of loaded.problems) logger.error(formatProblem(problem));
    return EXIT_BAD_CONFIG;
  }
  const wishes = listenForWishes();
  let collector: Collector;
  try {
    collector = await startCollector({
      config: loaded.config,
      baseDirectory: project,
      logger,
      journalDirectory: local.journal,
      tokenFile: local.token,
      spoolDirectory: local.spool,
      goneGraceMs: GONE_GRACE_MS,
      journalPatienceMs: JOURNAL_PATIENCE_MS,
      onStopRequested: () => wishes.wish('stop'),
    });
  } catch (error) {
    if (error instanceof CollectorRunningError) return 0;
    logger.error(`cannot start: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
  logger.info('collector started', { pid: process.pid, project, journal: collector.journal.id });
  const told = toldToStop(wishes);
  await untilUnused(collector, lingerMs(env), told, logger);
  wishes.forceNext();
  await collector.stop(DRAIN_MS);
  logger.info('collector ended', { pid: process.pid });
  return 0;
}

/** What the embedded collector runs: KYMO_CONFIG, or the exporters that KYMO_EXPORTERS names, or the default. */
export function loadEmbeddedConfig(env: Environment, project: string): Loaded {
  const file = environmentValue('KYMO_CONFIG', env);
  const named = environmentValue('KYMO_EXPORTERS', env);
  const common = { components: COMPONENTS, directory: project };
  if (file !== undefined) {
    const loaded = loadConfig({ ...common, sources: [resolve(project, file)], env });
    if (named === undefined) return loaded;
    const message = 'KYMO_EXPORTERS is not used: KYMO_CONFIG says what is written';
    return { ...loaded, warnings: [...loaded.warnings, { place: undefined, path: '', message }] };
  }
  if (named === undefined) return loadConfig({ ...common, sources: [DEFAULT_CONFIG], env });
  // Read as a source of that name, so that what is wrong with it is told of the variable.
  const source = { ...env, KYMO_EXPORTERS: configOfExporters(named, project) };
  return loadConfig({ ...common, sources: ['env:KYMO_EXPORTERS'], env: source });
}

/** A configuration with these exporters at their defaults; each gets the signals that it takes. */
function configOfExporters(named: string, project: string): string {
  const pipelines: Record<string, { receivers: string[]; exporters: string[] }> = {};
  const exporters: Record<string, unknown> = {};
  for (const text of named.split(',')) {
    const exporter = namedExporter(text.trim(), project);
    if (exporter === undefined || Object.hasOwn(exporters, exporter.id)) continue;
    exporters[exporter.id] = exporter.settings;
    for (const signal of exporter.signals) {
      pipelines[signal] ??= { receivers: ['local'], exporters: [] };
      pipelines[signal].exporters.push(exporter.id);
    }
  }
  return JSON.stringify({ receivers: { local: null }, exporters, service: { pipelines } });
}

/** An id, or the path of a module with an exporter (`./my-exporter.js`, from the project folder on). Checked with the rest. */
function namedExporter(
  text: string,
  project: string,
): { readonly id: string; readonly settings: unknown; readonly signals: readonly Signal[] } | undefined {
  if (text === '') return undefined;
  if (/^\.{0,2}[/\\]|\.[cm]?[jt]s$/.test(text)) {
    const id = basename(text)
      .replace(/\.[^.]*$/, '')
      .replace(/[^0-9a-zA-Z]+/g, '_')
      .replace(/^[^a-zA-Z]+/, '');
    const type = id === '' ? 'exporter' : id;
    const loaded = loadExporterType(text, type, project);
    return {
      id: type,
      settings: { module: text },
      signals: 'type' in loaded ? loaded.type.signals : SIGNALS,
    };
  }
  const type = text.split('/')[0] ?? text;
  const known = COMPONENTS.exporters.find(one => one.type === type || one.aliases?.includes(type) === true);
  return { id: text, settings: null, signals: known?.signals ?? SIGNALS };
}

/** The folder is nobody's to commit. */
function makeFolder(project: string, root: string): void {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const ignore = join(project, PROJECT_FOLDER, '.gitignore');
  if (!existsSync(ignore)) writeFileSync(ignore, '*\n');
}

/** Every collector of the folder appends to one log; an old one that has grown makes room for this one's. */
function boundLog(log: string): void {
  try {
    if (statSync(log).size > MAX_LOG_BYTES) truncateSync(log);
  } catch {
    // There is none yet.
  }
}

function lingerMs(env: Environment): number {
  const text = environmentValue('KYMO_COLLECTOR_LINGER_MS', env);
  const value = Number(text);
  return text !== undefined && Number.isFinite(value) && value >= 0 ? value : DEFAULT_LINGER_MS;
}

function toldToStop(wishes: ReturnType<typeof listenForWishes>): { readonly stop: boolean } {
  const told = { stop: false };
  void (async () => {
    while ((await wishes.next()) !== 'stop');
    told.stop = true;
  })();
  return told;
}

/** Resolves when nobody is attached any more (and nobody came back), and everything is written or stuck. */
async function untilUnused(
  collector: Collector,
  linger: number,
  told: { readonly stop: boolean },
  logger: RootLogger,
): Promise<void> {
  const startedAt = Date.now();
  const starter = process.ppid;
  let idleSince: number | undefined;
  let written = 0;
  let movedAt = Date.now();
  while (!told.stop) {
    await new Promise(resolve => setTimeout(resolve, TICK_MS));
    const now = Date.now();
    if (collector.clients().length > 0) {
      idleSince = undefined;
      continue;
    }
    idleSince ??= now;
    if (collector.departing() > 0 || now - idleSince < linger) continue;
    // Of several that start at once, a late one may come up when the others' work is done already.
    const isAwaited = now - startedAt < UNUSED_MS && process.ppid === starter;
    if (collector.attachments() === 0 && isAwaited) continue;
    if ((await collector.drainSpool()) > 0 || (await collector.missAbsent())) continue;
    const stats = collector.exporters.map(({ runner }) => runner.stats());
    const behind = stats.filter(one => one.committed < collector.journal.end || one.remaining > 0);
    const committed = stats.reduce((sum, one) => sum + one.committed - one.remaining, 0);
    if (committed !== written) {
      written = committed;
      movedAt = now;
    }
    if (behind.length === 0) return;
    if (now - Math.max(movedAt, idleSince) > STUCK_MS) {
      const ids = behind.map(({ id }) => id);
      logger.warn('ending although not everything is written: the next start goes on with it', {
        exporters: ids,
      });
      return;
    }
  }
}
