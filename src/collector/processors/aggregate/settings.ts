// The settings of the aggregate processor: trieye's metric list, key by key, and what is around it.
import { z } from 'zod';
import type { ProcessorSurroundings } from '../../component.ts';
import { didYouMean } from '../../config/problem.ts';
import { duration } from '../../config/values.ts';
import { MAX_METRICS } from './limits.ts';
import { PRESET_NAMES, PRESETS } from './preset.ts';

const AGGREGATIONS = ['mean', 'sum', 'min', 'max', 'latest', 'rate', 'count', 'std'] as const;
const MAX_NAME_CHARACTERS = 1_000;
const name = () => z.string().min(1).max(MAX_NAME_CHARACTERS);

const metricSchema = z
  .strictObject({
    name: name().describe('What the result is called; each only once'),
    aggregation: z.enum(AGGREGATIONS).describe('What is made of the values of one interval'),
    raw_event_name: name()
      .optional()
      .describe('The event, or metric, that is aggregated; the name itself by default'),
    from: z
      .enum(['any', 'events', 'scalars'])
      .default('any')
      .describe('Only events, or only metrics, where both have the name'),
    context_key: name()
      .optional()
      .describe("The entry of the event's context that is the value; its own value is then ignored"),
    rate_numerator_event: name()
      .optional()
      .describe('For rate: the event whose values are summed up and divided by the seconds'),
    log_frequency_steps: z.int().min(0).default(1).describe('A result every so many steps; 0: not by steps'),
    log_frequency_seconds: z
      .number()
      .min(0)
      .max(1e9)
      .default(0)
      .describe('A result every so many seconds; 0: not by time'),
    log_to: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .describe('The exporters that get it; by default all behind this processor'),
    x_axis: z
      .enum(['global_step', 'wall_time', 'episode'])
      .default('global_step')
      .describe('What the step of the result is'),
    source: z.string().default('custom').describe('For people: who sends the events'),
  })
  .superRefine((metric, context) => {
    const say = (path: string[], message: string) =>
      context.addIssue({ code: 'custom', path, message, input: metric });
    const isRate = metric.aggregation === 'rate';
    if (isRate && metric.rate_numerator_event === undefined)
      say(
        [],
        `"${metric.name}" is a rate of what? Add rate_numerator_event: the event whose values are summed up, such as step_completed`,
      );
    if (!isRate && metric.rate_numerator_event !== undefined)
      say(['rate_numerator_event'], 'only a metric with aggregation: rate has a numerator');
    if (isRate && metric.raw_event_name !== undefined)
      say(['raw_event_name'], 'a rate takes its values from rate_numerator_event');
    if (isRate && metric.context_key !== undefined)
      say(['context_key'], 'a rate sums the values of its rate_numerator_event');
  });

export type MetricSettings = z.infer<typeof metricSchema>;

export const aggregateSchema = z
  .strictObject({
    preset: z.enum(PRESET_NAMES).optional().describe('A list of metrics that comes with Kymo'),
    metrics: z
      .array(metricSchema)
      .max(MAX_METRICS)
      .default([])
      .describe('Metrics beside those of the preset; one of the same name takes its place'),
    keep_sources: z
      .boolean()
      .default(true)
      .describe('false leaves out the events and points that were aggregated'),
    max_wait: duration()
      .prefault('5s')
      .describe('How long an interval waits for slower processes after the first one has left it'),
  })
  .superRefine(({ preset, metrics }, context) => {
    if (preset === undefined && metrics.length === 0)
      context.addIssue({
        code: 'custom',
        path: [],
        message: 'aggregates nothing: list metrics, or take preset: default',
        input: metrics,
      });
    const first = new Map<string, number>();
    for (const [i, metric] of metrics.entries()) {
      const before = first.get(metric.name);
      if (before === undefined) first.set(metric.name, i);
      else
        context.addIssue({
          code: 'custom',
          path: ['metrics', i, 'name'],
          message: `"${metric.name}" is the name of metrics::${before} already: give each metric a name of its own`,
          input: metric.name,
        });
    }
  });

export type AggregateSettings = z.infer<typeof aggregateSchema>;

/** Those of the preset and those that are listed. */
export function metricsOf({ preset, metrics }: AggregateSettings): readonly MetricSettings[] {
  if (preset === undefined) return metrics;
  const own = new Set(metrics.map(metric => metric.name));
  const preset_ = PRESETS[preset].filter(metric => !own.has(metric.name));
  return [...preset_.map(metric => metricSchema.parse(metric)), ...metrics];
}

/** `log_to` names exporters, which must be there and behind this processor. */
export function checkTargets(settings: AggregateSettings, { exporters, behind }: ProcessorSurroundings) {
  return settings.metrics.flatMap((metric, i) =>
    (metric.log_to ?? []).flatMap((target, j) => {
      if (behind.includes(target)) return [];
      const message = exporters.includes(target)
        ? `exporter "${target}" is in no pipeline with this processor: put it into one, or take it from the list`
        : `no exporter "${target}" is configured${didYouMean(target, exporters)}: configure it, or take it from the list (behind this processor ${behind.length === 1 ? 'is' : 'are'} ${behind.join(', ')})`;
      return [{ path: ['metrics', i, 'log_to', j], message }];
    }),
  );
}
