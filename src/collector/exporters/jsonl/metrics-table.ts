// The metrics of one run: each name's JSON key, made once, and its last, smallest and largest value.
import { numberJson } from '../../runs/json.ts';
import { MAX_LISTED_METRICS, MAX_LISTED_NAME_CHARACTERS, MAX_REMEMBERED_METRICS } from './limits.ts';

/** Keys of a row that are not metrics. A metric of this name, or one that begins with `~`, gets `~` in front. */
export const RESERVED_KEYS: ReadonlySet<string> = new Set([
  'step',
  'time',
  'mode',
  'scope',
  'instance',
  'rank',
  'attempt',
  'trace_id',
  'span_id',
  'axes',
  'histogram',
  'superseded',
]);

/** A number as JSON.stringify keeps it: what it cannot keep is text. */
export type PackedNumber = number | string;
/** name, count, last, step of last, min, max, how many were NaN or infinite. */
export type PackedMetric = readonly [
  string,
  number,
  PackedNumber,
  PackedNumber,
  PackedNumber,
  PackedNumber,
  number,
];

/** One metric of a run. `min` and `max` are over finite values. */
export class Metric {
  readonly name: string;
  /** `,"name":` */
  readonly keyJson: string;
  count = 0;
  last = Number.NaN;
  lastStep = Number.NaN;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  nonfinite = 0;
  /** Which line this metric was last seen in; two values of one name are never on one line. */
  mark = 0;

  constructor(name: string) {
    this.name = name;
    this.keyJson = `,${JSON.stringify(lineKey(name))}:`;
  }

  take(value: number, step: number): void {
    this.count++;
    this.last = value;
    this.lastStep = step;
    if (value - value !== 0) this.nonfinite++;
    else {
      if (value < this.min) this.min = value;
      if (value > this.max) this.max = value;
    }
  }
}

export class MetricsTable {
  readonly #listed = new Map<string, Metric>();
  readonly #others = new Map<string, Metric>();

  constructor(packed: readonly PackedMetric[] = []) {
    for (const [name, count, last, lastStep, min, max, nonfinite] of packed) {
      const metric = new Metric(name);
      metric.count = count;
      metric.last = Number(last);
      metric.lastStep = Number(lastStep);
      metric.min = Number(min);
      metric.max = Number(max);
      metric.nonfinite = nonfinite;
      this.#listed.set(name, metric);
    }
  }

  find(name: string): Metric {
    const known = this.#listed.get(name) ?? this.#others.get(name);
    if (known !== undefined) return known;
    const metric = new Metric(name);
    if (this.#listed.size < MAX_LISTED_METRICS && name.length <= MAX_LISTED_NAME_CHARACTERS) {
      this.#listed.set(name, metric);
    } else {
      this.#others.set(name, metric);
    }
    return metric;
  }

  /** Between batches only: within a row, one name must be one object. */
  trim(): void {
    if (this.#others.size > MAX_REMEMBERED_METRICS) this.#others.clear();
  }

  get listed(): Iterable<Metric> {
    return this.#listed.values();
  }
  packed(): PackedMetric[] {
    return [...this.#listed.values()].map(metric => [
      metric.name,
      metric.count,
      pack(metric.last),
      pack(metric.lastStep),
      pack(metric.min),
      pack(metric.max),
      metric.nonfinite,
    ]);
  }
}

/** The key of a metric in a line. Undone by taking one `~` from the front. */
export function lineKey(name: string): string {
  return RESERVED_KEYS.has(name) || name.startsWith('~') ? `~${name}` : name;
}

function pack(value: number): PackedNumber {
  return Number.isFinite(value) && !Object.is(value, -0) ? value : numberJson(value).replaceAll('"', '');
}
