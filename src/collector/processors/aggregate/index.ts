// The `aggregate` processor: makes few numbers of many events, over steps, seconds and processes.
import type { Batch, CommittedState, Processor, ProcessorContext, ProcessorType } from '../../component.ts';
import { Aggregator } from './aggregator.ts';
import { type AggregateSettings, aggregateSchema, checkTargets } from './settings.ts';

export const aggregateProcessor: ProcessorType<typeof aggregateSchema> = {
  kind: 'processor',
  type: 'aggregate',
  // Points come as metrics; events, and the ends of runs, as logs.
  signals: ['metrics', 'logs'],
  needsAllSignals: true,
  stability: 'beta',
  config: aggregateSchema,
  effect: ({ keep_sources: keep }) => (keep ? 'keeps' : 'drops'),
  check: checkTargets,
  create: (context, settings) => new AggregateProcessor(context, settings),
};

/** Counters of what could not become part of a result, or came too late for its own. */
const COUNTERS = {
  late: 'kymo_aggregate_late_values',
  not_finite: 'kymo_aggregate_left_out',
  too_many_series: 'kymo_aggregate_left_out',
} as const;

class AggregateProcessor implements Processor {
  readonly #aggregator: Aggregator;

  constructor({ id, exporter, resolver, instruments }: ProcessorContext, settings: AggregateSettings) {
    this.#aggregator = new Aggregator({
      instance: id,
      exporter,
      resolver,
      settings,
      count: (what, amount) =>
        instruments.count(COUNTERS[what], amount, what === 'late' ? {} : { reason: what }),
    });
  }

  start(committed: CommittedState): void {
    this.#aggregator.restore(committed);
  }

  process(batch: Batch): Batch | undefined {
    return this.#aggregator.process(batch);
  }

  commit(): CommittedState {
    return this.#aggregator.state();
  }
}
