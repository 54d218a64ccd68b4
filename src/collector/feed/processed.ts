// An exporter behind the processors of its pipelines, as the feed's runner is to see it.
import type { Signal } from '../../otlp/model.ts';
import type { Batch, CommittedState, Exporter, Processor, ProcessorType } from '../component.ts';
import type { Configured } from '../config/config.ts';

/** Keys of a cursor's state that holds processors' states beside the exporter's; no exporter has such keys. */
const PROCESSORS = 'kymo.processors';
const EXPORTER = 'kymo.exporter';

type Chains = ReadonlyMap<Signal, readonly Configured<ProcessorType>[]>;

/**
 * A processor that stands in several of the chains is one instance, made anew with the exporter. Its state is committed with
 * the exporter's, under one position: after a crash both begin at the same place in the journal. Processors may come, go and
 * change between two starts: a state is kept by id, and one that nobody wants any more is let go.
 */
export function processedExporter(
  exporter: Exporter,
  chains: Chains,
  create: (processor: Configured<ProcessorType>) => Processor,
): Exporter {
  const processors = new Map<string, Processor>();
  const bySignal = new Map<Signal, readonly Processor[]>();
  for (const [signal, chain] of chains) {
    const made = chain.map(configured => {
      const processor = processors.get(configured.id) ?? create(configured);
      processors.set(configured.id, processor);
      return processor;
    });
    if (made.length > 0) bySignal.set(signal, made);
  }

  const processed: Exporter = {
    start(committed) {
      const { states, own } = unwrap(committed);
      for (const [id, processor] of processors) processor.start?.(stateOf(states, id));
      return exporter.start(own);
    },
    export(batch) {
      let current: Batch | undefined = batch;
      for (const processor of bySignal.get(batch.signal) ?? NONE) {
        current = processor.process(current);
        if (current === undefined) return undefined;
      }
      return exporter.export(current);
    },
    async commit() {
      // Before the exporter's own: it may take its time, and nothing is exported meanwhile.
      const states = Object.fromEntries(
        [...processors]
          .filter(([, processor]) => processor.commit !== undefined)
          .map(([id, processor]) => [id, processor.commit?.()]),
      );
      const own = await exporter.commit();
      return Object.keys(states).length === 0 ? own : { [PROCESSORS]: states, [EXPORTER]: own };
    },
    stop: () => exporter.stop(),
  };
  if (exporter.committed !== undefined) processed.committed = () => exporter.committed?.();
  if (exporter.remaining !== undefined) processed.remaining = () => exporter.remaining?.() ?? 0;
  if (exporter.drain !== undefined) processed.drain = signal => exporter.drain?.(signal) ?? Promise.resolve();
  return processed;
}

const NONE: readonly Processor[] = [];

function unwrap(committed: CommittedState): { readonly states: object; readonly own: CommittedState } {
  if (committed === undefined || !Object.hasOwn(committed, PROCESSORS)) return { states: {}, own: committed };
  const states = committed[PROCESSORS];
  return {
    states: typeof states === 'object' && states !== null ? states : {},
    own: committed[EXPORTER] as CommittedState,
  };
}

function stateOf(states: object, id: string): CommittedState {
  return Object.hasOwn(states, id) ? (states as Record<string, CommittedState>)[id] : undefined;
}
