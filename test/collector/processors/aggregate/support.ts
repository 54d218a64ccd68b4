// Events and points for the aggregate processor, and the results that it makes of them.
import type { Batch, CommittedState, Processor, ProcessorType } from '../../../../src/collector/component.ts';
import { aggregateProcessor } from '../../../../src/collector/processors/aggregate/index.ts';
import { createRegistry } from '../../../../src/collector/telemetry/metrics.ts';
import { logBatchOf, type TestLog } from '../../../../src/collector/testing/index.ts';
import { processorContext } from '../contract.ts';

export const registry = createRegistry();

export function aggregate(config: object, committed?: CommittedState, exporter = 'jsonl'): Processor {
  const processor = (aggregateProcessor as ProcessorType).create(
    { ...processorContext(exporter), id: 'aggregate', instruments: registry.instruments({ exporter }) },
    aggregateProcessor.config.parse(config),
  );
  processor.start?.(committed);
  return processor;
}

/** A processor with one metric. */
export const one = (metric: object, more: object = {}): Processor =>
  aggregate({ metrics: [metric], ...more });

export interface Event extends TestLog {
  readonly name: string;
  readonly value?: number;
  readonly step?: number;
  readonly context?: Readonly<Record<string, number | string>>;
  /** Seconds after the first moment. */
  readonly at?: number;
  readonly rank?: number;
}

export const FIRST_NANO = 1_795_262_400_000_000_000n;
export const secondsAfter = (seconds: number): bigint => FIRST_NANO + BigInt(Math.round(seconds * 1e9));

export function events(...list: readonly Event[]): Batch {
  return logBatchOf(
    list.map(({ name, value = 1, step, context, at, rank, ...rest }) => ({
      eventName: 'kymo.event',
      attributes: {
        'kymo.event.name': name,
        'kymo.event.value': value,
        ...(step === undefined ? {} : { 'kymo.step': step }),
        ...(context === undefined ? {} : { 'kymo.event.context': context }),
      },
      ...(at === undefined ? {} : { timeUnixNano: secondsAfter(at) }),
      ...(rank === undefined ? {} : { instance: `rank-${rank}`, resource: { 'kymo.rank': rank } }),
      ...rest,
    })),
  );
}

/** What a process says when it begins and ends. */
export const started = (more: TestLog = {}): Batch =>
  logBatchOf([{ eventName: 'kymo.run.start', attributes: { 'kymo.run.state': 'running' }, ...more }]);
export const finished = (more: TestLog = {}): Batch =>
  logBatchOf([{ eventName: 'kymo.run.finish', attributes: { 'kymo.run.state': 'finished' }, ...more }]);

/** `[name, step, value]` of what the processor itself adds to the batches. */
export function results(processor: Processor, batches: readonly Batch[]): [string, number, number][] {
  return batches.flatMap(batch => resultsIn(processor.process(batch)));
}

export function resultsIn(batch: Batch | undefined): [string, number, number][] {
  if (batch?.scalars === undefined) return [];
  const { columns, resolved, rows } = batch.scalars;
  return Array.from(rows.points)
    .filter(point => columns.series[columns.seriesIndex[point]!]!.scope.name === 'kymo.aggregate')
    .map(point => [
      resolved[columns.seriesIndex[point]!]!.sinkName,
      columns.step[point]!,
      columns.value[point]!,
    ]);
}
