// Which processes vanished without saying goodbye, and the record that says so in their place.
import { newAttributes } from '../../otlp/attributes.ts';
import { encodeLogRecord, encodeResource, encodeScope } from '../../otlp/encode-records.ts';
import { encodeLogsRequest } from '../../otlp/encode-requests.ts';
import { WireWriter } from '../../otlp/wire-writer.ts';
import {
  EVENT_RUN_FINISH,
  RANK,
  RUN_ATTEMPT,
  RUN_ID,
  RUN_NAME,
  RUN_STATE,
  SERVICE_INSTANCE_ID,
  SERVICE_NAME,
} from '../../semconv/names.ts';
import type { Batch } from '../component.ts';
import { type Counts, lifecycleEvent } from './lifecycle.ts';
import type { Run } from './run.ts';

/** Without data or heartbeat (one every 10 s) for this long, a process is taken for gone. */
export const VANISH_AFTER_MS = 60_000;
/** After a client's connection closed: time for what is still on its way through the journal. */
export const GONE_GRACE_MS = 2_000;
/** Processes watched at a time; of more, the longest silent ones are watched no longer. */
export const MAX_WATCHED = 65_536;
/** OTLP's number for WARN. */
const SEVERITY_WARN = 13;

export interface Vanished {
  readonly run: Run;
  readonly instance: string;
  /** What it said of itself last, with a heartbeat: items it emitted, and dropped by reason. */
  readonly emitted?: Counts;
  readonly dropped?: Counts;
}

export interface LifecycleWatcher {
  /** Shows it a batch, in the journal's order. `nowMs` is the clock at this moment, also when the batch is an old one. */
  observe(batch: Batch, nowMs: number): void;
  /** The client with this `service.instance.id` is known to have gone (its connection closed). */
  gone(instance: string, nowMs: number): void;
  /**
   * Processes that started, did not finish, and are gone or were silent for too long: each once, until data comes again.
   * Ask only while everything journaled so far has been observed.
   */
  vanished(nowMs: number): Vanished[];
  /** The processes it watches, for a later watcher to start with (they count as seen when that starts). */
  watched(): Vanished[];
}

export function createLifecycleWatcher(options?: {
  readonly vanishAfterMs?: number;
  readonly goneGraceMs?: number;
  /** From `watched()` of an earlier one. */
  readonly watched?: readonly Vanished[];
  readonly nowMs?: number;
}): LifecycleWatcher {
  const vanishAfterMs = options?.vanishAfterMs ?? VANISH_AFTER_MS;
  const goneGraceMs = options?.goneGraceMs ?? GONE_GRACE_MS;
  interface Entry extends Vanished {
    lastSeenMs: number;
    /** Set by `gone`. */
    goneMs: number | undefined;
    reported: boolean;
  }
  /** Announced and not finished, longest silent first. */
  const entries = new Map<string, Entry>();
  const keyOf = (run: Run) => JSON.stringify([run.id, run.instance]);

  const watch = (run: Run, nowMs: number): void => {
    const key = keyOf(run);
    entries.delete(key);
    if (entries.size >= MAX_WATCHED) entries.delete(entries.keys().next().value!);
    entries.set(key, { run, instance: run.instance, lastSeenMs: nowMs, goneMs: undefined, reported: false });
  };
  const see = (run: Run, nowMs: number): void => {
    const key = keyOf(run);
    const entry = entries.get(key);
    if (entry === undefined) return;
    entries.delete(key);
    // Before the report, data may be the last of a process that is gone; after it, the process lives, or its spool arrives.
    const goneMs = entry.reported ? undefined : entry.goneMs;
    entries.set(key, { ...entry, lastSeenMs: nowMs, goneMs, reported: false });
  };
  const hear = (run: Run, { emitted, dropped }: Pick<Vanished, 'emitted' | 'dropped'>): void => {
    const key = keyOf(run);
    const entry = entries.get(key);
    if (entry !== undefined && emitted !== undefined)
      entries.set(key, { ...entry, emitted, ...(dropped !== undefined && { dropped }) });
  };
  for (const one of options?.watched ?? []) {
    watch(one.run, options?.nowMs ?? Date.now());
    hear(one.run, one);
  }

  return {
    observe(batch, nowMs) {
      // The journal tells of a crash after the fact: that record is no sign of life.
      const events = batch.logs.map(log => ({ log, event: lifecycleEvent(log, batch.receivedUnixNano) }));
      const crashed = events.every(({ event }) => event?.kind === 'finish' && event.state === 'crashed');
      if (!crashed || batch.logs.length === 0) for (const run of runsOf(batch)) see(run, nowMs);
      for (const { log, event } of events) {
        if (event?.kind === 'start') watch(log.run, nowMs);
        else if (event?.kind === 'heartbeat') hear(log.run, event);
        else if (event?.kind === 'finish' && event.state !== 'crashed') entries.delete(keyOf(log.run));
      }
    },
    gone(instance, nowMs) {
      for (const entry of entries.values()) if (entry.instance === instance) entry.goneMs ??= nowMs;
    },
    vanished(nowMs) {
      const found: Vanished[] = [];
      for (const entry of entries.values()) {
        const silent = nowMs - entry.lastSeenMs >= vanishAfterMs;
        const left = entry.goneMs !== undefined && nowMs - entry.goneMs >= goneGraceMs;
        if (entry.reported || !(silent || left)) continue;
        entry.reported = true;
        found.push({ run: entry.run, instance: entry.instance });
      }
      return found;
    },
    watched: () =>
      [...entries.values()].map(({ run, instance, emitted, dropped }) => ({
        run,
        instance,
        ...(emitted !== undefined && { emitted }),
        ...(dropped !== undefined && { dropped }),
      })),
  };
}

/**
 * An `ExportLogsServiceRequest` with `kymo.run.finish`, state `crashed`, in the name of an instance. The collector appends it
 * to its own journal, so that every exporter, and every replay, sees the crash at the same place.
 */
export function encodeCrashed(run: Run, instance: string, timeUnixNano: bigint): Uint8Array {
  const resource = newAttributes();
  resource[SERVICE_NAME] = run.project;
  if (instance !== '') resource[SERVICE_INSTANCE_ID] = instance;
  resource[RUN_ID] = run.id;
  resource[RUN_NAME] = run.name;
  resource[RUN_ATTEMPT] = run.attempt;
  if (run.rank > 0) resource[RANK] = run.rank;
  const attributes = newAttributes();
  attributes[RUN_STATE] = 'crashed';
  const writer = new WireWriter();
  encodeLogRecord(writer, {
    timeUnixNano,
    observedTimeUnixNano: timeUnixNano,
    severityNumber: SEVERITY_WARN,
    severityText: 'WARN',
    eventName: EVENT_RUN_FINISH,
    body: 'gone without a finish',
    attributes,
    traceId: '',
    spanId: '',
    flags: 0,
  });
  return encodeLogsRequest([
    {
      resourceBytes: encodeResource(resource),
      scopeBytes: encodeScope('kymo.collector', '', newAttributes()),
      recordBytes: [writer.copy()],
    },
  ]);
}

/** The runs that anything in a batch belongs to: one object per process and run. */
export function runsOf(batch: Batch): Set<Run> {
  const runs = new Set<Run>();
  for (const { run } of batch.scalars?.resolved ?? []) runs.add(run);
  for (const { resolved } of batch.histograms) runs.add(resolved.run);
  for (const { run } of batch.logs) runs.add(run);
  for (const { run } of batch.spans) runs.add(run);
  return runs;
}
