// What a producer records, as a pure function of its plan: the producer writes it, the judge knows it.
import { mix, Random } from './random.ts';

export type StepOrder = 'ascending' | 'descending' | 'shuffled' | 'windows' | 'interleaved';
export const STEP_ORDERS: readonly StepOrder[] = [
  'ascending',
  'descending',
  'shuffled',
  'windows',
  'interleaved',
];
/** Rows that swap places in the order `windows`: what data loaders and asynchronous evaluations do. */
const WINDOW = 16;

export interface Plan {
  readonly seed: number;
  readonly run: string;
  /** Begins every metric name, and tells producers apart in one run. No slash in it. */
  readonly prefix: string;
  readonly rows: number;
  /** Names in all, and values in each row. */
  readonly metrics: number;
  readonly perRow: number;
  readonly order: StepOrder;
  /** The lowest step. */
  readonly firstStep: number;
  readonly attempt: number;
}

export function newPlan(part: Partial<Plan> & Pick<Plan, 'seed' | 'run' | 'prefix' | 'rows'>): Plan {
  const metrics = part.metrics ?? 5;
  return { perRow: metrics, order: 'ascending', firstStep: 0, attempt: 1, ...part, metrics };
}

/** The steps in the order in which they are recorded; each once. */
export function stepsOf(plan: Plan): number[] {
  const steps = Array.from({ length: plan.rows }, (_, i) => plan.firstStep + i);
  const random = new Random(mix(plan.seed, 0x57e9));
  switch (plan.order) {
    case 'ascending':
      return steps;
    case 'descending':
      return steps.reverse();
    case 'shuffled':
      return random.shuffled(steps);
    case 'windows': {
      const out: number[] = [];
      for (let i = 0; i < steps.length; i += WINDOW) out.push(...random.shuffled(steps.slice(i, i + WINDOW)));
      return out;
    }
    case 'interleaved': {
      const half = Math.ceil(steps.length / 2);
      return steps.map((_, i) => steps[i % 2 === 0 ? i / 2 : half + (i - 1) / 2]!);
    }
  }
}

/** The metric at place `k` of a row; rows walk through the names when there are more names than places. */
export function metricAt(plan: Plan, step: number, k: number): number {
  return ((step - plan.firstStep) * plan.perRow + k) % plan.metrics;
}

/** Where a metric stands in the row of a step, or -1. */
export function placeOf(plan: Plan, step: number, metric: number): number {
  if (metric >= plan.metrics) return -1;
  const start = ((step - plan.firstStep) * plan.perRow) % plan.metrics;
  const place = (metric - start + plan.metrics) % plan.metrics;
  return place < plan.perRow ? place : -1;
}

export function nameOf(plan: Plan, metric: number): string {
  return `${plan.prefix}/m${metric}`;
}

/** Prefix and metric of a name that `nameOf` made; undefined for any other. */
export function readName(name: string): { readonly prefix: string; readonly metric: number } | undefined {
  const match = /^([^/]+)\/m(\d+)$/.exec(name);
  return match === null ? undefined : { prefix: match[1]!, metric: Number(match[2]) };
}

const bits = new DataView(new ArrayBuffer(8));
const SPECIAL = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -0,
  0,
  5e-324,
  Number.MAX_VALUE,
  Number.MAX_SAFE_INTEGER,
  0.1,
  16_777_217,
];

/** Any double may come; the odd ones come often. */
export function valueAt(plan: Plan, step: number, metric: number): number {
  const low = mix(plan.seed, plan.attempt, step, metric);
  if (low % 16 === 0) return SPECIAL[(low >>> 4) % SPECIAL.length]!;
  if (low % 4 === 1) return (low >>> 2) / 1000;
  bits.setUint32(0, low);
  bits.setUint32(4, mix(low, step, metric));
  const value = bits.getFloat64(0);
  // Which NaN it is no format keeps.
  return Number.isNaN(value) ? low : value;
}

export function rowOf(plan: Plan, step: number): Record<string, number> {
  const row: Record<string, number> = {};
  for (let k = 0; k < plan.perRow; k++) {
    const metric = metricAt(plan, step, k);
    row[nameOf(plan, metric)] = valueAt(plan, step, metric);
  }
  return row;
}
