// Metric definitions of a run as W&B has them: `kymo.metric.definition` events in, MetricRecords out.
import type { Attributes } from '../../../otlp/model.ts';
import { METRIC_GOAL, METRIC_PATTERN, METRIC_STEP_METRIC, METRIC_SUMMARY } from '../../../semconv/names.ts';
import { type MetricFields, SUMMARY_KINDS, type SummaryKind } from './log/model.ts';
import { STEP_KEY } from './names.ts';

const MAX_NAME_CHARACTERS = 1_000;

/** Undefined for an event that defines nothing. */
export function definitionOf(attributes: Attributes): MetricFields | undefined {
  const pattern = attributes[METRIC_PATTERN];
  if (typeof pattern !== 'string' || pattern === '' || pattern.length > MAX_NAME_CHARACTERS) return undefined;
  const stepMetric = attributes[METRIC_STEP_METRIC];
  const summary = attributes[METRIC_SUMMARY];
  const goal = attributes[METRIC_GOAL];
  const kinds = (Array.isArray(summary) ? summary : [summary]).filter((one): one is SummaryKind =>
    (SUMMARY_KINDS as readonly unknown[]).includes(one),
  );
  const isGlob = pattern.endsWith('*');
  return {
    name: isGlob ? '' : pattern,
    glob: isGlob ? pattern : '',
    stepMetric: typeof stepMetric === 'string' && stepMetric !== '' ? stepMetric : STEP_KEY,
    stepSync: true,
    hidden: false,
    defined: !isGlob,
    summary: kinds,
    goal: goal === 'minimize' || goal === 'maximize' ? goal : undefined,
    expandedFromGlob: false,
  };
}

/** The definition of the very name, else that with the longest beginning. */
export function definitionFor(definitions: readonly MetricFields[], name: string): MetricFields | undefined {
  let best: MetricFields | undefined;
  for (const one of definitions) {
    if (one.name === name) return one;
    if (one.glob === '' || one.glob.length <= (best?.glob.length ?? 0)) continue;
    if (name.startsWith(one.glob.slice(0, -1))) best = one;
  }
  return best;
}
