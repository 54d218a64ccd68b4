// Writes a crash into the journal in the name of processes that vanished, so that every exporter sees it at one place.
import { RUN_STATE } from '../semconv/names.ts';
import type { CommittedState, Exporter, Ingest, Logger } from './component.ts';
import {
  createLifecycleWatcher,
  encodeCrashed,
  type LifecycleWatcher,
  runsOf,
  type Vanished,
} from './runs/lifecycle-watcher.ts';

/** How often silence is looked at. */
export const LOOK_INTERVAL_MS = 1_000;

export interface CrashWatch {
  /** Reads the journal like any exporter; its state is the list of processes that are still expected to finish. */
  readonly exporter: Exporter;
  /** A client's connection has ended, and what it left in the spool is in the journal. */
  gone(instance: string): void;
  /** Processes that announced themselves and have neither finished nor been marked as crashed. */
  watched(): readonly Vanished[];
  /** Appends a crash for each process that has vanished. Only while the reader has seen the whole journal. */
  look(): Promise<void>;
}

export function createCrashWatch(options: {
  readonly ingest: Ingest;
  readonly logger: Logger;
  readonly goneGraceMs?: number;
}): CrashWatch {
  const { ingest, logger, goneGraceMs } = options;
  const grace = goneGraceMs === undefined ? {} : { goneGraceMs };
  let watcher: LifecycleWatcher = createLifecycleWatcher(grace);
  /** Marked as crashed, until they are heard of again: the watcher goes on watching them, a later one need not. */
  const crashed = new Set<string>();
  const keyOf = (runId: string, instance: string) => JSON.stringify([runId, instance]);
  const expected = () =>
    watcher.watched().filter(({ run, instance }) => !crashed.has(keyOf(run.id, instance)));

  const append = async ({ run, instance }: Vanished): Promise<void> => {
    const bytes = encodeCrashed(run, instance, BigInt(Date.now()) * 1_000_000n);
    const result = await ingest.submit({ signal: 'logs', bytes, batchKey: '', items: 1 });
    if (result.kind === 'stored')
      logger.warn('a process has gone without a finish', { run: run.id, instance });
    else logger.warn('a crash cannot be recorded', { run: run.id, instance, reason: result.reason });
  };
  return {
    exporter: {
      start: committed => {
        watcher = createLifecycleWatcher({ ...grace, watched: watchedIn(committed), nowMs: Date.now() });
      },
      export: batch => {
        watcher.observe(batch, Date.now());
        if (crashed.size === 0) return;
        const tellsOfCrash = batch.logs.some(({ record }) => record.attributes[RUN_STATE] === 'crashed');
        if (!tellsOfCrash) for (const { id, instance } of runsOf(batch)) crashed.delete(keyOf(id, instance));
      },
      commit: () => ({ watched: expected() }),
      stop: () => {},
    },
    gone: instance => watcher.gone(instance, Date.now()),
    watched: expected,
    look: async () => {
      for (const vanished of watcher.vanished(Date.now())) {
        crashed.add(keyOf(vanished.run.id, vanished.instance));
        await append(vanished);
      }
    },
  };
}

function watchedIn(committed: CommittedState): readonly Vanished[] {
  const watched = committed?.watched;
  return Array.isArray(watched) ? (watched as readonly Vanished[]) : [];
}
