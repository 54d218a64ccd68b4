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
/** name, count, last, step of last, min, max, how many were NaN or infinite; sum, steps of min and max, the sender's name where it is another. */
export type PackedMetric = readonly [
  string,
  number,
  PackedNumber,
  PackedNumber,
  PackedNumber,
  PackedNumber,
  number,
  PackedNumber?,
  PackedNumber?,
  PackedNumber?,
  string?,
];

/** One metric of a run. `min` and `max` are over finite values. */
export class Metric {
  readonly name: string;
  /** As the sender wrote it, without scope, mode and labels. */
  readonly ownName: string;
  /** `,"name":` */
  readonly keyJson: string;
  count = 0;
  last = Number.NaN;
  lastStep = Number.NaN;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  minStep = Number.NaN;
  maxStep = Number.NaN;
  /** Of the finite values. */
  sum = 0;
  nonfinite = 0;
  /** Which line this metric was last seen in; two values of one name are never on one line. */
  mark = 0;

  constructor(name: string, ownName: string) {
    this.name = name;
    this.ownName = ownName;
    this.keyJson = `,${JSON.stringify(lineKey(name))}:`;
  }

  take(value: number, step: number): void {
    this.count++;
    this.last = value;
    this.lastStep = step;
    if (value - value !== 0) this.nonfinite++;
    else {
      this.sum += value;
      if (value < this.min) {
        this.min = value;
        this.minStep = step;
      }
      if (value > this.max) {
        this.max = value;
        this.maxStep = step;
      }
    }
  }
}

export class MetricsTable {
  readonly #listed = new Map<string, Metric>();
  readonly #others = new Map<string, Metric>();

  constructor(packed: readonly PackedMetric[] = []) {
    for (const [name, count, last, lastStep, min, max, nonfinite, sum, minStep, maxStep, own] of packed) {
      const metric = new Metric(name, own ?? name);
      metric.count = count;
      metric.last = Number(last);
      metric.lastStep = Number(lastStep);
      metric.min = Number(min);
      metric.max = Number(max);
      metric.nonfinite = nonfinite;
      metric.sum = Number(sum ?? Number.NaN);
      metric.minStep = Number(minStep ?? Number.NaN);
      metric.maxStep = Number(maxStep ?? Number.NaN);
      this.#listed.set(name, metric);
    }
  }

  find(name: string, ownName: string): Metric {
    const known = this.#listed.get(name) ?? this.#others.get(name);
    if (known !== undefined) return known;
    const metric = new Metric(name, ownName);
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
    return [...this.#listed.values()].map(packed);
  }
}

function packed(metric: Metric): PackedMetric {
  const { name, ownName, count, last, lastStep, min, max, nonfinite, sum, minStep, maxStep } = metric;
  const numbers = [name, count, pack(last), pack(lastStep), pack(min), pack(max), nonfinite] as const;
  const more = [pack(sum), pack(minStep), pack(maxStep)] as const;
  return ownName === name ? [...numbers, ...more] : [...numbers, ...more, ownName];
}

/** The key of a metric in a line. Undone by taking one `~` from the front. */
export function lineKey(name: string): string {
  return RESERVED_KEYS.has(name) || name.startsWith('~') ? `~${name}` : name;
}

function pack(value: number): PackedNumber {
  return Number.isFinite(value) && !Object.is(value, -0) ? value : numberJson(value).replaceAll('"', '');
}
