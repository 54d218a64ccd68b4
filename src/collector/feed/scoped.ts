// An exporter that hears only some scopes: goggles' "one handler per scope", for exporters of the collector.
import {
  EVENT_METRIC,
  EVENT_RUN_CONFIG,
  EVENT_RUN_FINISH,
  EVENT_RUN_HEARTBEAT,
  EVENT_RUN_START,
  EVENT_RUN_SUMMARY,
} from '../../semconv/names.ts';
import { coversScope } from '../../semconv/scopes.ts';
import type { Batch, Exporter, ResolvedLog } from '../component.ts';
import { partOfBatch, type Selection } from './select.ts';

/** Scopes that have been looked up; a sender may invent them without end. */
const MAX_KNOWN_SCOPES = 10_000;

/** What a run says about itself belongs to all its scopes: a route without it would have no state, config or step axes. */
export const ABOUT_THE_RUN: ReadonlySet<string> = new Set([
  EVENT_RUN_START,
  EVENT_RUN_HEARTBEAT,
  EVENT_RUN_CONFIG,
  EVENT_RUN_SUMMARY,
  EVENT_RUN_FINISH,
  EVENT_METRIC,
]);

/**
 * The exporter as the feed's runner is to see it: it gets what has one of the scopes or lies below one (`a` takes `a` and
 * `a.b`, `global` takes nothing but itself), and the events of the runs themselves. A pure function of the batch, so a second
 * reading gives the same.
 */
export function scopedExporter(exporter: Exporter, scopes: readonly string[]): Exporter {
  const selection = scopeSelection(scopes);
  const scoped: Exporter = {
    start: committed => exporter.start(committed),
    export: batch => {
      const part = partOfBatch(batch, selection);
      return part === undefined ? undefined : exporter.export(part.batch);
    },
    commit: () => exporter.commit(),
    stop: () => exporter.stop(),
  };
  if (exporter.committed !== undefined) scoped.committed = () => exporter.committed?.();
  if (exporter.remaining !== undefined) scoped.remaining = () => exporter.remaining?.() ?? 0;
  if (exporter.drain !== undefined) scoped.drain = signal => exporter.drain?.(signal) ?? Promise.resolve();
  return scoped;
}

/** The part of a batch that an exporter with these scopes gets. */
export function batchOfScopes(batch: Batch, scopes: readonly string[]): Batch | undefined {
  return partOfBatch(batch, scopeSelection(scopes))?.batch;
}

function scopeSelection(scopes: readonly string[]): Selection {
  const wanted = new Set(scopes);
  const known = new Map<string, boolean>();
  const wants = (scope: string): boolean => {
    let is = known.get(scope);
    if (is === undefined) {
      is = coversScope(wanted, scope);
      if (known.size >= MAX_KNOWN_SCOPES) known.clear();
      known.set(scope, is);
    }
    return is;
  };
  return {
    has: ({ scope }) => wants(scope),
    hasLog: (log: ResolvedLog) => wants(log.scope) || ABOUT_THE_RUN.has(log.record.eventName),
    noBytes: 'holds other scopes too, so its bytes cannot be forwarded for some of them',
  };
}
