// Assembles a collector from a checked configuration: journal, exporters, local endpoint, receivers; and takes it apart again.
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { SIGNALS } from '../otlp/model.ts';
import { processLives } from '../otlp/spool-file.ts';
import { collectorKey, FORMAT_VERSION, realPath } from '../semconv/local.ts';
import { packageVersion } from '../semconv/version.ts';
import type { Authenticator, Extension, Health, Ingest, Position, Receiver } from './component.ts';
import type { CollectorConfig } from './config/config.ts';
import { type CrashWatch, createCrashWatch, LOOK_INTERVAL_MS } from './crash-watch.ts';
import { makeRunner, makeRunners, type RunningExporter } from './exporter-runners.ts';
import { exporterFolder } from './feed/cursor-store.ts';
import { Feed } from './feed/feed.ts';
import { DEFAULT_FEED_BYTES } from './feed/limits.ts';
import { retentionFor } from './feed/retention.ts';
import type { ExporterRunner, StopReport } from './feed/runner.ts';
import { JournalIngest } from './journal/ingest.ts';
import { type Journal, openJournal } from './journal/journal.ts';
import { DEFAULT_TAIL_BYTES } from './journal/limits.ts';
import { isHeldJournal } from './journal/lock.ts';
import { localEndpoint } from './local-endpoint.ts';
import {
  type Departure,
  type LocalClient,
  type LocalServer,
  type Progress,
  startLocalServer,
} from './local-server.ts';
import { MemoryLimiter } from './memory/limiter.ts';
import { defaultMemoryLimits, processMemory, totalMemoryBytes } from './memory/process-memory.ts';
import { memoryLimitsOf } from './processors/memory_limiter/index.ts';
import { routedIngest } from './routed-ingest.ts';
import { drainSpool } from './spool-drain.ts';
import {
  type CollectorStatus,
  collectorStatus,
  exportersHealth,
  ITEM_NAMES,
  observeCollector,
} from './status.ts';
import { createLogger, type RootLogger } from './telemetry/logger.ts';
import { createRegistry, observeProcess, type Registry } from './telemetry/metrics.ts';
import { type MetricsServer, servePrometheus } from './telemetry/prometheus.ts';
import { newToken, publishToken } from './token.ts';

export interface CollectorOptions {
  readonly config: CollectorConfig;
  /** Relative paths in the configuration start here. */
  readonly baseDirectory: string;
  readonly logger?: RootLogger;
  /** Instead of the configuration's. */
  readonly journalDirectory?: string;
  /** Where clients of the local endpoint find the token; by default in the journal's folder. */
  readonly tokenFile?: string;
  /** Folder in which clients of the local endpoint leave what they could not deliver. */
  readonly spoolDirectory?: string;
  /** After a client's connection closed: time for what is still on its way. */
  readonly goneGraceMs?: number;
  /** Another collector may be closing the journal right now: how long to wait for it. */
  readonly journalPatienceMs?: number;
  /** A client of the local endpoint asked the collector to end. */
  readonly onStopRequested?: () => void;
}

export interface Collector {
  readonly journal: Journal;
  readonly ingest: Ingest;
  readonly registry: Registry;
  readonly exporters: readonly RunningExporter[];
  /** Processes attached to the local endpoint. */
  clients(): readonly LocalClient[];
  /** How often a process has attached since the start. */
  attachments(): number;
  /** Clients that left and whose leftovers are still being looked after. */
  departing(): number;
  status(): CollectorStatus;
  health(): Health;
  /** Takes over what processes that have gone left in the spool; returns how many batches. */
  drainSpool(): Promise<number>;
  /** Takes every announced process that is not attached for gone; true while there are such that are not marked yet. For the end of an embedded collector. */
  missAbsent(): Promise<boolean>;
  /** Receivers drained, exporters drained within the time, cursors committed, journal closed. */
  stop(drainTimeoutMs: number): Promise<readonly StopReport[]>;
}

/** The local endpoint of this journal is held by another collector. */
export class CollectorRunningError extends Error {
  constructor(journalDirectory: string) {
    super(
      `another collector runs on the journal ${journalDirectory}: stop that one (kymo status shows it), or give this one another journal::directory`,
    );
    this.name = 'CollectorRunningError';
  }
}

/** Requests under way get this long when receivers stop; senders try again elsewhere or later. */
const RECEIVER_STOP_MS = 5_000;
/** A killed process closes its connection before its pid is free; longer than this it has not ended at all. */
const PID_PATIENCE_MS = 2_000;
const PID_POLL_MS = 20;
const CRASH_WATCH_ID = 'kymo_crash_watch';
const LOCAL_ID = 'local';
const JOURNAL_RETRY_MS = 50;
const MIB = 1024 * 1024;

/** Starts everything, receivers last. Throws when any part cannot start; what had started is stopped again. */
export async function startCollector(options: CollectorOptions): Promise<Collector> {
  const service = new CollectorService(options);
  try {
    await service.start();
  } catch (error) {
    await service.abandon();
    throw error;
  }
  return service;
}

interface RunningReceiver {
  readonly id: string;
  readonly receiver: Receiver;
}

class CollectorService implements Collector {
  readonly registry: Registry = createRegistry();
  readonly ingest: Ingest;
  readonly #options: CollectorOptions;
  readonly #logger: RootLogger;
  readonly #journalDirectory: string;
  readonly #key: string;
  readonly #token = newToken();
  readonly #startedAt = new Date();
  readonly #crashWatch: CrashWatch;
  readonly #limiter: MemoryLimiter;
  readonly #departures = new Set<Promise<void>>();
  #state: Health['state'] = 'starting';
  #attachments = 0;
  #journal: Journal | undefined;
  #journalIngest: JournalIngest | undefined;
  #server: LocalServer | undefined;
  #exporters: readonly RunningExporter[] = [];
  #watchRunner: ExporterRunner | undefined;
  #runners: ExporterRunner[] = [];
  #receivers: RunningReceiver[] = [];
  #extensions: Extension[] = [];
  readonly #authenticators = new Map<string, Authenticator>();
  #metricsServer: MetricsServer | undefined;
  #draining: Promise<number> = Promise.resolve(0);
  #look: NodeJS.Timeout | undefined;
  #stopping: Promise<readonly StopReport[]> | undefined;

  constructor(options: CollectorOptions) {
    const { config, baseDirectory } = options;
    this.#options = options;
    this.#logger = options.logger ?? createLogger(config.telemetry.logs);
    this.#journalDirectory = resolve(baseDirectory, options.journalDirectory ?? config.journal.directory);
    mkdirSync(this.#journalDirectory, { recursive: true, mode: 0o750 });
    this.#key = collectorKey(this.#journalDirectory);
    this.#limiter = new MemoryLimiter(
      memoryLimitsOf(config, totalMemoryBytes()) ?? defaultMemoryLimits(),
      processMemory(),
      this.#logger.with({ component: 'memory_limiter' }),
    );
    this.ingest = routedIngest({
      journal: () => this.#journalIngest,
      signals: new Set(config.pipelines.map(pipeline => pipeline.signal)),
      logger: this.#logger,
      instruments: this.registry.instruments({}),
    });
    this.#crashWatch = createCrashWatch({
      ingest: this.ingest,
      logger: this.#logger,
      ...(options.goneGraceMs === undefined ? {} : { goneGraceMs: options.goneGraceMs }),
    });
  }

  get journal(): Journal {
    if (this.#journal === undefined) throw new Error('the journal is not open yet');
    return this.#journal;
  }
  get exporters(): readonly RunningExporter[] {
    return this.#exporters;
  }

  async start(): Promise<void> {
    const { tokenFile = join(this.#journalDirectory, 'token') } = this.#options;
    await this.#bindLocalEndpoint();
    await this.#openJournal();
    await this.#startExtensions();
    await this.#startExporters();
    await this.drainSpool();
    await this.#startReceivers();
    this.#look = setInterval(() => {
      void this.#lookForCrashes();
      this.#keepToken(tokenFile);
    }, LOOK_INTERVAL_MS);
    this.#look.unref();
    this.#limiter.start();
    this.#state = 'ok';
    // The token is what clients wait for: from here on they are let in.
    publishToken(tokenFile, this.#token);
  }

  clients(): readonly LocalClient[] {
    return this.#server?.clients() ?? [];
  }

  attachments(): number {
    return this.#attachments;
  }

  departing(): number {
    return this.#departures.size;
  }

  health(): Health {
    return this.#state === 'ok' ? exportersHealth(this.#exporters) : { state: this.#state };
  }

  status(): CollectorStatus {
    const server = this.#server;
    const local = {
      id: LOCAL_ID,
      addresses: () => (server === undefined ? [] : [shownAddress(server.address)]),
    };
    const others = this.#receivers.filter(({ id }) => id !== LOCAL_ID);
    return collectorStatus({
      startedAt: this.#startedAt,
      directory: realPath(this.#options.baseDirectory),
      config: this.#options.config,
      registry: this.registry,
      journal: this.journal,
      memory: this.#limiter.stats(),
      receivers: [
        ...others.map(({ id, receiver }) => ({ id, addresses: () => receiver.addresses() })),
        local,
      ],
      exporters: this.#exporters,
      health: this.health(),
      clients: this.clients(),
      watched: this.#crashWatch.watched(),
    });
  }

  drainSpool(): Promise<number> {
    const { spoolDirectory } = this.#options;
    if (spoolDirectory === undefined) return Promise.resolve(0);
    // One after the other: two at once would take the same files.
    this.#draining = this.#draining.then(() =>
      drainSpool({
        directory: spoolDirectory,
        endpoint: `local:${this.#key}`,
        ingest: this.ingest,
        logger: this.#logger,
        instruments: this.registry.instruments({}),
      }),
    );
    return this.#draining;
  }

  async missAbsent(): Promise<boolean> {
    const present = new Set(this.clients().map(client => client.instance));
    const absent = this.#crashWatch.watched().filter(({ instance }) => !present.has(instance));
    for (const { instance } of absent) this.#crashWatch.gone(instance);
    await this.#lookForCrashes();
    return absent.length > 0;
  }

  stop(drainTimeoutMs: number): Promise<readonly StopReport[]> {
    this.#stopping ??= this.#stop(drainTimeoutMs);
    return this.#stopping;
  }

  /** After a failed start: lets go of everything at once. */
  async abandon(): Promise<void> {
    this.#state = 'stopping';
    clearInterval(this.#look);
    this.#limiter.stop();
    await Promise.allSettled([
      this.#server?.close(0),
      this.#metricsServer?.stop(),
      ...this.#receivers.map(({ receiver }) => receiver.stop(0)),
      ...this.#extensions.map(async extension => extension.stop()),
      ...this.#runners.map(runner => runner.stop({ drainMs: 0 })),
    ]);
    await this.#journal?.close();
    this.#logger.flush();
  }

  async #stop(drainTimeoutMs: number): Promise<readonly StopReport[]> {
    const deadline = Date.now() + drainTimeoutMs;
    const receiverMs = Math.min(RECEIVER_STOP_MS, drainTimeoutMs);
    this.#state = 'stopping';
    clearInterval(this.#look);
    this.#limiter.stop();
    // The local endpoint goes first: a collector that is started meanwhile binds it and waits for the journal.
    await Promise.all([
      this.#server?.close(receiverMs),
      ...this.#receivers.map(({ receiver }) => receiver.stop(receiverMs)),
    ]);
    await Promise.all(this.#departures);
    const drainMs = Math.max(0, deadline - Date.now());
    const reports = await Promise.all(this.#runners.map(runner => runner.stop({ drainMs })));
    await this.journal.close();
    // Until here the health check says that the collector is stopping.
    await Promise.allSettled([
      this.#metricsServer?.stop(),
      ...this.#extensions.map(async extension => extension.stop()),
    ]);
    const told = reports.filter(report => report.id !== CRASH_WATCH_ID);
    for (const report of told) tellUndelivered(report, this.#logger);
    this.#logger.flush();
    return told;
  }

  async #bindLocalEndpoint(): Promise<void> {
    const result = await startLocalServer({
      address: localEndpoint(this.#key),
      token: this.#token,
      ingest: this.ingest,
      logger: this.#logger.with({ component: LOCAL_ID }),
      instruments: this.registry.instruments({}),
      control: {
        attached: () => {
          this.#attachments++;
          return {
            version: packageVersion(),
            format: FORMAT_VERSION,
            journal: this.journal.id,
            pid: process.pid,
            directory: realPath(this.#options.baseDirectory),
          };
        },
        detached: (client, how) => this.#clientLeft(client, how),
        progress: (position, timeoutMs, signal) => progressOf(this.#exporters, position, timeoutMs, signal),
        status: () => this.status(),
        stop: () => this.#options.onStopRequested?.(),
      },
    });
    if (result.kind === 'taken') throw new CollectorRunningError(this.#journalDirectory);
    this.#server = result.server;
  }

  async #openJournal(): Promise<void> {
    const { journal } = this.#options.config;
    const giveUpAt = Date.now() + (this.#options.journalPatienceMs ?? 0);
    for (;;) {
      try {
        this.#journal = await openJournal({
          directory: this.#journalDirectory,
          fsync: journal.fsync,
          fsyncIntervalMs: journal.fsync_interval,
          maxSizeBytes: journal.max_size_mib * MIB,
          segmentBytes: journal.segment_mib * MIB,
          keep: journal.keep,
          tailBytes: Math.min(DEFAULT_TAIL_BYTES, this.#limiter.shares.tailBytes),
          ...(journal.retention === undefined ? {} : { keepForMs: journal.retention }),
          logger: this.#logger.with({ component: 'journal' }),
        });
        const opened = this.#journal;
        this.#limiter.onPressure(() => opened.forgetTail());
        this.#journalIngest = new JournalIngest(opened, { limiter: this.#limiter });
        return;
      } catch (error) {
        if (!isHeldJournal(error) || Date.now() >= giveUpAt) throw error;
        await new Promise(resolve => setTimeout(resolve, JOURNAL_RETRY_MS));
      }
    }
  }

  async #startExtensions(): Promise<void> {
    const { config, baseDirectory } = this.#options;
    const { address, level } = config.telemetry.metrics;
    observeProcess(this.registry);
    if (address !== undefined && level !== 'none') {
      this.#metricsServer = await servePrometheus(address, this.registry);
      this.#logger.info(`metrics at http://${this.#metricsServer.address}/metrics`);
    }
    const kept = config.exporters.flatMap(({ type, settings }) => type.keepsRuns?.(settings) ?? []);
    const runDirectories = [...new Set(kept.map(directory => resolve(baseDirectory, directory)))];
    // Who is let in must be known before anybody listens.
    const first = config.extensions.filter(({ type }) => type.authenticates !== undefined);
    const others = config.extensions.filter(({ type }) => type.authenticates === undefined);
    for (const { id, type, settings } of [...first, ...others]) {
      const extension = type.create(
        {
          id,
          logger: this.#logger.with({ component: `extensions::${id}` }),
          instruments: this.registry.instruments({}),
          baseDirectory,
          health: () => this.health(),
          stateDirectory: join(this.#journalDirectory, 'state', exporterFolder(`extension ${id}`)),
          runDirectories,
          authenticators: this.#authenticators,
        },
        settings,
      );
      this.#extensions.push(extension);
      await extension.start();
      if (extension.authenticator !== undefined) this.#authenticators.set(id, extension.authenticator);
    }
  }

  async #startExporters(): Promise<void> {
    const { config, baseDirectory } = this.#options;
    const maxBytes = Math.min(DEFAULT_FEED_BYTES, this.#limiter.shares.feedBytes);
    const feed = new Feed(this.journal, { maxBytes });
    this.#limiter.onPressure(() => feed.forgetAll());
    const common = {
      journal: this.journal,
      feed,
      baseDirectory,
      logger: this.#logger,
      registry: this.registry,
      authenticators: this.#authenticators,
    };
    this.#exporters = makeRunners({ ...common, exporters: config.exporters });
    this.#watchRunner = makeRunner(common, CRASH_WATCH_ID, () => this.#crashWatch.exporter, {});
    this.#runners = [...this.#exporters.map(({ runner }) => runner), this.#watchRunner];
    this.journal.retain(retentionFor(() => this.#runners));
    observeCollector(this.registry, this.journal, this.#exporters);
    this.#observeMemory();
    for (const runner of this.#runners) await runner.start();
  }

  async #startReceivers(): Promise<void> {
    const { config, baseDirectory } = this.#options;
    for (const { id, type, settings } of config.receivers) {
      const receiver = type.create(
        {
          id,
          logger: this.#logger.with({ component: `receivers::${id}` }),
          instruments: this.registry.instruments({}),
          baseDirectory,
          authenticators: this.#authenticators,
          ingest: this.ingest,
        },
        settings,
      );
      this.#receivers.push({ id, receiver });
      await receiver.start();
    }
  }

  #observeMemory(): void {
    this.registry.observe(report => {
      const { hardBytes, softBytes, refusing, refused, collections } = this.#limiter.stats();
      report('gauge', 'kymo_memory_limit_bytes', { limit: 'hard' }, hardBytes);
      report('gauge', 'kymo_memory_limit_bytes', { limit: 'soft' }, softBytes);
      report('gauge', 'kymo_memory_refusing', {}, refusing ? 1 : 0);
      report('counter', 'kymo_memory_refused_requests', {}, refused);
      report('counter', 'kymo_memory_collections', {}, collections);
    });
  }

  #clientLeft(client: LocalClient, how: Departure): void {
    if (this.#state !== 'ok') return;
    const departure = this.#lookAfter(client, how)
      .catch(error => this.#logger.error('looking after a client that left failed', { error }))
      .finally(() => this.#departures.delete(departure));
    this.#departures.add(departure);
  }

  /** What a client left behind comes into the journal before anybody says that it crashed. */
  async #lookAfter(client: LocalClient, how: Departure): Promise<void> {
    // Who says goodbye may live on, and has nothing left to deliver.
    if (how === 'vanished') await endOf(client.pid);
    await this.drainSpool();
    const isBack = this.clients().some(other => other.instance === client.instance);
    if (!isBack) this.#crashWatch.gone(client.instance);
  }

  /** Whoever removes the folder while we run would lock everybody out until we end: we hold the endpoint. */
  #keepToken(tokenFile: string): void {
    try {
      if (!existsSync(tokenFile)) publishToken(tokenFile, this.#token);
    } catch (error) {
      this.#logger.warn('the token of the local endpoint cannot be written; new clients are not let in', {
        file: tokenFile,
        error,
      });
    }
  }

  async #lookForCrashes(): Promise<void> {
    // Only somebody who has read everything can say that nothing came.
    if (this.#watchRunner === undefined || this.#watchRunner.stats().position < this.journal.end) return;
    await this.#crashWatch.look();
  }
}

/** Waits for the local exporters, which hold a run's files. */
async function progressOf(
  exporters: readonly RunningExporter[],
  position: Position,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Progress> {
  const local = exporters.filter(exporter => exporter.local);
  const late = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const waits = await Promise.allSettled(local.map(({ runner }) => runner.progress(position, late)));
  return {
    reached: waits.every(wait => wait.status === 'fulfilled'),
    exporters: exporters.map(({ id, runner }) => {
      const { committed, lagBytes, lastError } = runner.stats();
      return { id, position: committed, lagBytes, lastError };
    }),
  };
}

function tellUndelivered(report: StopReport, logger: RootLogger): void {
  const { id, undelivered, undeliveredBatches, exact, lastError } = report;
  if (undeliveredBatches === 0) return;
  const items = SIGNALS.filter(signal => undelivered[signal] > 0)
    .map(signal => `${undelivered[signal]} ${ITEM_NAMES[signal].replace('_', ' ')}`)
    .join(', ');
  logger.warn(`${id}: ${exact ? '' : 'at least '}${items} not delivered; the next start goes on with them`, {
    requests: undeliveredBatches,
    committed: report.committed,
    ...(lastError === undefined ? {} : { lastError }),
  });
}

/** Resolves once no process has the pid any more, or after a while. */
async function endOf(pid: number): Promise<void> {
  const giveUpAt = Date.now() + PID_PATIENCE_MS;
  while (pid > 0 && processLives(pid) && Date.now() < giveUpAt) {
    await new Promise(resolve => setTimeout(resolve, PID_POLL_MS));
  }
}

/** An abstract socket begins with a zero byte, which tools write as `@`. */
function shownAddress(address: string): string {
  return address.startsWith('\0') ? `unix @${address.slice(1)}` : `unix ${address}`;
}
