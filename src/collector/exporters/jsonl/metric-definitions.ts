// How metrics of a name or pattern are to be read, as `kymo.metric.definition` events say: their step axis, and what sums them up.
import { newAttributes } from '../../../otlp/attributes.ts';
import type { Attributes } from '../../../otlp/model.ts';
import { METRIC_GOAL, METRIC_PATTERN, METRIC_STEP_METRIC, METRIC_SUMMARY } from '../../../semconv/names.ts';
import { MAX_DEFINITIONS, MAX_LISTED_NAME_CHARACTERS } from './limits.ts';

export interface MetricDefinition {
  /** A name, or the beginning of names and a star. */
  readonly pattern: string;
  readonly stepMetric?: string;
  readonly summary?: readonly string[];
  readonly goal?: 'minimize' | 'maximize';
}

const SUMMARIES: ReadonlySet<string> = new Set(['min', 'max', 'mean', 'last', 'best', 'none']);

export class MetricDefinitions {
  readonly #byPattern = new Map<string, MetricDefinition>();

  constructor(definitions: readonly MetricDefinition[] = []) {
    for (const one of definitions) this.#byPattern.set(one.pattern, one);
  }

  /** A definition replaces an earlier one of its pattern. False for what is none, and for one too many. */
  add(attributes: Attributes): boolean {
    const pattern = attributes[METRIC_PATTERN];
    if (typeof pattern !== 'string' || pattern === '' || pattern.length > MAX_LISTED_NAME_CHARACTERS)
      return false;
    if (!this.#byPattern.has(pattern) && this.#byPattern.size >= MAX_DEFINITIONS) return false;
    const stepMetric = attributes[METRIC_STEP_METRIC];
    const summary = attributes[METRIC_SUMMARY];
    const goal = attributes[METRIC_GOAL];
    const listed = (Array.isArray(summary) ? summary : [summary]).filter(one => SUMMARIES.has(one as string));
    this.#byPattern.set(pattern, {
      pattern,
      ...(typeof stepMetric === 'string' && { stepMetric: stepMetric.slice(0, MAX_LISTED_NAME_CHARACTERS) }),
      ...(listed.length > 0 && { summary: listed as string[] }),
      ...((goal === 'minimize' || goal === 'maximize') && { goal }),
    });
    return true;
  }

  /** What holds for a metric: the definition of its very name, else the one with the longest beginning. Any of `names` may match. */
  find(...names: readonly string[]): MetricDefinition | undefined {
    if (this.#byPattern.size === 0) return undefined;
    for (const name of names) {
      const exact = this.#byPattern.get(name);
      if (exact !== undefined) return exact;
    }
    let best: MetricDefinition | undefined;
    for (const one of this.#byPattern.values()) {
      const { pattern } = one;
      if (!pattern.endsWith('*') || pattern.length <= (best?.pattern.length ?? 0)) continue;
      const beginning = pattern.slice(0, -1);
      if (names.some(name => name.startsWith(beginning))) best = one;
    }
    return best;
  }

  get list(): readonly MetricDefinition[] {
    return [...this.#byPattern.values()];
  }

  /** For run.json; undefined when there are none. */
  document(): Attributes | undefined {
    if (this.#byPattern.size === 0) return undefined;
    const document = newAttributes();
    for (const { pattern, stepMetric, summary, goal } of this.#byPattern.values()) {
      const entry = newAttributes();
      if (stepMetric !== undefined) entry.step_metric = stepMetric;
      if (summary !== undefined) entry.summary = [...summary];
      if (goal !== undefined) entry.goal = goal;
      document[pattern] = entry;
    }
    return document;
  }
}
