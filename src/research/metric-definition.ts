// `defineMetric`: how metrics of a name or pattern are to be read, sent as an event to whoever draws or summarises them.
import type { Attributes } from '../otlp/model.ts';
import {
  EVENT_METRIC,
  METRIC_GOAL,
  METRIC_PATTERN,
  METRIC_STEP_METRIC,
  METRIC_SUMMARY,
} from '../semconv/names.ts';
import { checkOptions, kindOf, nearest, wrongType } from './checks.ts';
import type { RowWriter } from './row-writer.ts';
import { MAX_NAME_LENGTH } from './series-table.ts';

export const SUMMARIES = ['min', 'max', 'mean', 'last', 'best', 'none'] as const;
export type MetricSummary = (typeof SUMMARIES)[number];
const GOALS = ['minimize', 'maximize'] as const;

/** Definitions of one run: patterns, not one per metric. */
export const MAX_DEFINITIONS = 1_000;

export interface MetricDefinition {
  /** The metric, or axis of `log({…}, {axes})`, that these metrics are drawn over instead of the step. */
  readonly stepMetric?: string;
  /** What the run's summary keeps of them: one of min, max, mean, last, best and none, or several. */
  readonly summary?: MetricSummary | readonly MetricSummary[];
  /** Which end `best` is. Needed with `best`, where the name does not tell. */
  readonly goal?: 'minimize' | 'maximize';
}

const OPTIONS = ['stepMetric', 'summary', 'goal'] as const;

/** The definitions of one run. A definition that stands already is not sent again. */
export class MetricDefinitions {
  private readonly known = new Map<string, string>();

  /** Throws a TypeError for a definition that means nothing, a RangeError for one too many. */
  define(writer: RowWriter, pattern: string, definition: MetricDefinition): void {
    checkPattern(pattern);
    const attributes = checkDefinition(definition);
    const text = JSON.stringify(attributes);
    if (this.known.get(pattern) === text) return;
    if (!this.known.has(pattern) && this.known.size >= MAX_DEFINITIONS)
      throw new RangeError(
        `kymo: defineMetric: more than ${MAX_DEFINITIONS} definitions in a run; one pattern such as "eval/*" serves many metrics`,
      );
    this.known.set(pattern, text);
    writer.event({ name: EVENT_METRIC, attributes: { [METRIC_PATTERN]: pattern, ...attributes } });
  }
}

function checkPattern(pattern: unknown): void {
  if (typeof pattern !== 'string' || pattern === '' || pattern.length > MAX_NAME_LENGTH)
    throw wrongType('defineMetric(name)', 'a metric\'s name or a pattern such as "eval/*"', pattern);
  const star = pattern.indexOf('*');
  if (star >= 0 && star < pattern.length - 1)
    throw new TypeError(`kymo: defineMetric(name) may have a * at its end only, not ${kindOf(pattern)}`);
}

function checkDefinition(definition: MetricDefinition): Attributes {
  checkOptions('defineMetric', definition, OPTIONS);
  const { stepMetric, summary, goal } = definition;
  const attributes: Attributes = {};
  if (stepMetric !== undefined) {
    if (typeof stepMetric !== 'string' || stepMetric === '' || stepMetric.length > MAX_NAME_LENGTH)
      throw wrongType('defineMetric({stepMetric})', 'the name of a metric or axis', stepMetric);
    attributes[METRIC_STEP_METRIC] = stepMetric;
  }
  if (summary !== undefined) attributes[METRIC_SUMMARY] = checkSummary(summary, goal);
  if (goal !== undefined) {
    if (!GOALS.includes(goal)) throw wrongType('defineMetric({goal})', GOALS.join(' or '), goal);
    attributes[METRIC_GOAL] = goal;
  }
  if (Object.keys(attributes).length === 0)
    throw new TypeError(`kymo: defineMetric needs one of ${OPTIONS.join(', ')}`);
  return attributes;
}

function checkSummary(summary: unknown, goal: unknown): string[] {
  const list: unknown[] = Array.isArray(summary) ? summary : [summary];
  for (const one of list)
    if (!(SUMMARIES as readonly unknown[]).includes(one)) {
      const near = typeof one === 'string' ? nearest(one, SUMMARIES) : undefined;
      const hint = near === undefined ? '' : ` (did you mean ${near}?)`;
      throw new TypeError(
        `kymo: defineMetric({summary}) must be one or several of ${SUMMARIES.join(', ')}, not ${kindOf(one)}${hint}`,
      );
    }
  const chosen = [...new Set(list as string[])];
  if (chosen.length === 0 || (chosen.includes('none') && chosen.length > 1))
    throw new TypeError(
      'kymo: defineMetric({summary}) must name at least one summary, and none stands alone',
    );
  if (chosen.includes('best') && goal === undefined)
    throw new TypeError(
      'kymo: defineMetric({summary: "best"}) needs {goal: "minimize"} or {goal: "maximize"}',
    );
  return chosen;
}
