// The `filter` processor: leaves out what a condition matches.
import { z } from 'zod';
import type { Instruments, ProcessorType } from '../../component.ts';
import { type Condition, compileCondition } from './condition.ts';
import type { Subject } from './fields.ts';
import { filtered } from './filtered.ts';
import { ConditionError } from './parse.ts';

const MAX_CONDITIONS = 1_000;

const conditions = (subject: Subject) =>
  z
    .array(
      z.string().superRefine((text, context) => {
        const problem = problemOf(text, subject);
        if (problem !== undefined) context.addIssue({ code: 'custom', message: problem, input: text });
      }),
    )
    .max(MAX_CONDITIONS)
    .default([])
    .describe('Conditions; what one of them matches is left out');

const filterConfig = z.strictObject({
  error_mode: z
    .enum(['ignore', 'silent', 'propagate'])
    .default('propagate')
    .describe('Accepted: no condition of this language can fail'),
  metrics: z.strictObject({ metric: conditions('metric'), datapoint: conditions('datapoint') }).prefault({}),
  logs: z.strictObject({ log_record: conditions('log') }).prefault({}),
  traces: z.strictObject({ span: conditions('span'), spanevent: conditions('spanevent') }).prefault({}),
});

/** Upstream's names, with the reason by which `kymo status` shows them. */
const COUNTERS = {
  points: 'otelcol_processor_filter_datapoints_filtered',
  logs: 'otelcol_processor_filter_logs_filtered',
  spans: 'otelcol_processor_filter_spans_filtered',
} as const;

export const filterProcessor: ProcessorType<typeof filterConfig> = {
  kind: 'processor',
  type: 'filter',
  signals: ['traces', 'metrics', 'logs'],
  stability: 'beta',
  config: filterConfig,
  effect: () => 'drops',
  check: ({ metrics, logs, traces }) =>
    [metrics.metric, metrics.datapoint, logs.log_record, traces.span, traces.spanevent].every(
      list => list.length === 0,
    )
      ? [{ path: [], message: 'has no conditions: it would leave out nothing' }]
      : [],
  create: ({ instruments }, { metrics, logs, traces }) => {
    const all = {
      metric: compiled(metrics.metric, 'metric'),
      datapoint: compiled(metrics.datapoint, 'datapoint'),
      span: compiled(traces.span, 'span'),
      spanevent: compiled(traces.spanevent, 'spanevent'),
      log: compiled(logs.log_record, 'log'),
    };
    const left = (kind: keyof typeof COUNTERS, amount: number) => count(instruments, kind, amount);
    return { process: batch => filtered(batch, all, left) };
  },
};

function count(instruments: Instruments, kind: keyof typeof COUNTERS, amount: number): void {
  if (amount > 0) instruments.count(COUNTERS[kind], amount, { reason: 'filtered' });
}

function compiled(texts: readonly string[], subject: Subject): Condition[] {
  return texts.map(text => compileCondition(text, subject));
}

function problemOf(text: string, subject: Subject): string | undefined {
  try {
    compileCondition(text, subject);
    return undefined;
  } catch (error) {
    if (error instanceof ConditionError) return error.message;
    throw error;
  }
}
