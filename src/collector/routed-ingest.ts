// What stands between receivers and the journal: not open yet, or signals that no pipeline takes.
import type { Signal } from '../otlp/model.ts';
import type { Ingest, Instruments, Logger } from './component.ts';
import { ITEM_NAMES } from './status.ts';

const STARTING = { kind: 'refused', reason: 'the collector is starting', retryAfterMs: 100 } as const;

/**
 * The local endpoint is bound before the journal is open: until then senders are told to come again. What no pipeline
 * takes is journaled all the same, counted, and told once per signal.
 */
export function routedIngest(options: {
  readonly journal: () => Ingest | undefined;
  readonly signals: ReadonlySet<Signal>;
  readonly logger: Logger;
  readonly instruments: Instruments;
}): Ingest {
  const { journal, signals, logger, instruments } = options;
  const told = new Set<Signal>();
  return {
    submit: async request => {
      const result = await (journal()?.submit(request) ?? STARTING);
      const { signal, items } = request;
      if (result.kind !== 'stored' || result.duplicate || signals.has(signal)) return result;
      instruments.count(`kymo_collector_unrouted_${ITEM_NAMES[signal]}`, items);
      if (!told.has(signal)) logger.warn(`no pipeline takes ${signal}: they are journaled and go nowhere`);
      told.add(signal);
      return result;
    },
    reserve: bytes => journal()?.reserve(bytes) ?? false,
    release: bytes => journal()?.release(bytes),
    get maxRequestBytes() {
      return journal()?.maxRequestBytes ?? Number.POSITIVE_INFINITY;
    },
  };
}
