// What a running collector says about itself: for `kymo status`, for health checks and for Prometheus.
import { SIGNALS, type Signal } from '../otlp/model.ts';
import { packageVersion } from '../semconv/version.ts';
import type { Health } from './component.ts';
import type { CollectorConfig } from './config/config.ts';
import type { RunningExporter } from './exporter-runners.ts';
import type { ItemCounts } from './feed/count-left.ts';
import type { RunnerStats } from './feed/runner.ts';
import type { Journal, JournalStats } from './journal/journal.ts';
import type { LocalClient } from './local-server.ts';
import type { LimiterStats } from './memory/limiter.ts';
import type { Vanished } from './runs/lifecycle-watcher.ts';
import type { Labels, Registry } from './telemetry/metrics.ts';

export interface ReceiverStatus {
  readonly id: string;
  readonly addresses: readonly string[];
  readonly accepted: ItemCounts;
  readonly refused: ItemCounts;
  readonly failed: ItemCounts;
}

export interface ExporterStatus extends RunnerStats {
  readonly type: string;
  readonly local: boolean;
  /** Items that the exporter left out by itself, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
  /** Media and artifacts that it stored or showed since the collector started. */
  readonly media: { readonly events: number; readonly bytes: number };
}

export interface CollectorStatus {
  readonly version: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly directory: string;
  readonly health: Health;
  readonly receivers: readonly ReceiverStatus[];
  readonly journal: JournalStats & { readonly fsync: string };
  readonly memory: LimiterStats;
  readonly exporters: readonly ExporterStatus[];
  readonly clients: readonly LocalClient[];
  /** Processes that have announced a run and not finished it. */
  readonly runs: readonly {
    readonly id: string;
    readonly project: string;
    readonly instance: string;
    /** As its process said with its last heartbeat: items emitted, and dropped by reason. */
    readonly emitted?: number;
    readonly dropped?: Readonly<Record<string, number>>;
  }[];
}

/** Upstream's names for the items of a signal. */
export const ITEM_NAMES: Readonly<Record<Signal, string>> = {
  traces: 'spans',
  metrics: 'metric_points',
  logs: 'log_records',
};

/** An exporter this far behind makes the collector `degraded`. */
const DEGRADED_LAG_MS = 60_000;

export interface StatusSources {
  readonly startedAt: Date;
  readonly directory: string;
  readonly config: CollectorConfig;
  readonly registry: Registry;
  readonly journal: Journal;
  readonly memory: LimiterStats;
  readonly receivers: readonly { readonly id: string; addresses(): readonly string[] }[];
  readonly exporters: readonly RunningExporter[];
  readonly health: Health;
  readonly clients: readonly LocalClient[];
  readonly watched: readonly Vanished[];
}

export function collectorStatus(sources: StatusSources): CollectorStatus {
  const { registry, config, journal } = sources;
  return {
    version: packageVersion(),
    pid: process.pid,
    startedAt: sources.startedAt.toISOString(),
    directory: sources.directory,
    health: sources.health,
    receivers: sources.receivers.map(receiver => ({
      id: receiver.id,
      addresses: receiver.addresses(),
      accepted: itemsOf(registry, 'otelcol_receiver_accepted', { receiver: receiver.id }),
      refused: itemsOf(registry, 'otelcol_receiver_refused', { receiver: receiver.id }),
      failed: itemsOf(registry, 'otelcol_receiver_failed', { receiver: receiver.id }),
    })),
    journal: { ...journal.stats(), fsync: config.journal.fsync },
    memory: sources.memory,
    exporters: sources.exporters.map(({ id, type, local, runner }) => ({
      ...runner.stats(),
      type,
      local,
      dropped: droppedBy(registry, id),
      media: {
        events: registry.total('kymo_media_events', { exporter: id }),
        bytes: registry.total('kymo_media_bytes', { exporter: id }),
      },
    })),
    clients: sources.clients,
    runs: sources.watched.map(({ run, instance, emitted, dropped }) => ({
      id: run.id,
      project: run.project,
      instance,
      ...(emitted !== undefined && { emitted: sumOf(emitted) }),
      ...(dropped !== undefined && { dropped }),
    })),
  };
}

function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, n) => sum + n, 0);
}

/** Whether something waits that should not: said in words, so that a probe's answer explains itself. */
export function exportersHealth(exporters: readonly RunningExporter[]): Health {
  const troubles = exporters.flatMap(({ id, runner }) => {
    const { state, parked, lagMs, lastError } = runner.stats();
    if (parked) return [`${id} lags and is no longer waited for`];
    if (state === 'retrying') return [`${id} is retrying: ${lastError ?? 'unknown error'}`];
    if (lagMs !== undefined && lagMs > DEGRADED_LAG_MS)
      return [`${id} is ${Math.round(lagMs / 1000)} s behind`];
    return [];
  });
  return troubles.length === 0 ? { state: 'ok' } : { state: 'degraded', detail: troubles.join('; ') };
}

/** Puts what journal and runners count into the registry, under upstream's names where it has any. */
export function observeCollector(
  registry: Registry,
  journal: Journal,
  exporters: readonly RunningExporter[],
): void {
  registry.observe(report => {
    const { sizeBytes, maxSizeBytes, appendedRecords, duplicates, refused, damagedBytes, fsyncFailures } =
      journal.stats();
    report('gauge', 'kymo_journal_size_bytes', {}, sizeBytes);
    report('gauge', 'kymo_journal_max_size_bytes', {}, maxSizeBytes);
    report('counter', 'kymo_journal_appended_requests', {}, appendedRecords);
    report('counter', 'kymo_journal_duplicate_requests', {}, duplicates);
    report('counter', 'kymo_journal_damaged_bytes', {}, damagedBytes);
    report('counter', 'kymo_journal_fsync_failures', {}, fsyncFailures);
    for (const [reason, count] of Object.entries(refused)) {
      report('counter', 'kymo_journal_refused_requests', { reason }, count);
    }
    for (const { id, runner } of exporters) {
      const stats = runner.stats();
      const labels = { exporter: id };
      for (const signal of SIGNALS) {
        report('counter', `otelcol_exporter_sent_${ITEM_NAMES[signal]}`, labels, stats.delivered[signal]);
        report(
          'counter',
          `otelcol_exporter_send_failed_${ITEM_NAMES[signal]}`,
          labels,
          stats.quarantined[signal],
        );
      }
      if (stats.lagRecords !== undefined) {
        report('gauge', 'otelcol_exporter_queue_size', labels, stats.lagRecords);
      }
      report('gauge', 'kymo_exporter_lag_bytes', labels, stats.lagBytes);
      report('gauge', 'kymo_exporter_parked', labels, stats.parked ? 1 : 0);
      report('counter', 'kymo_exporter_missed_bytes', labels, stats.missedBytes);
      report('counter', 'kymo_exporter_restarts', labels, stats.restarts);
    }
  });
}

function itemsOf(registry: Registry, prefix: string, labels: Labels): ItemCounts {
  const of = (signal: Signal) => registry.total(`${prefix}_${ITEM_NAMES[signal]}`, labels);
  return { traces: of('traces'), metrics: of('metrics'), logs: of('logs') };
}

/** What an exporter counted under a reason: `{late_step: 3}`. */
function droppedBy(registry: Registry, exporter: string): Record<string, number> {
  const dropped: Record<string, number> = Object.create(null);
  for (const { labels, value, name } of registry.snapshot()) {
    if (labels.exporter !== exporter || labels.reason === undefined || value === 0) continue;
    if (!name.startsWith('kymo_') && !name.startsWith('otelcol_')) continue;
    dropped[labels.reason] = (dropped[labels.reason] ?? 0) + value;
  }
  return dropped;
}
