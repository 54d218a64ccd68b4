// Compares what a sink holds with what producers recorded: nothing lost, doubled, invented, changed or torn.
import { metricAt, nameOf, type Plan, placeOf, readName, stepsOf, valueAt } from './plan.ts';

/** A point as a sink shows it. */
export interface SeenPoint {
  readonly run: string;
  readonly name: string;
  readonly step: number;
  readonly value: number;
  /** The same for all points that the sink shows as one row (a line, an event), different for others. */
  readonly row: string | number;
  /** 0 where the sink does not say it. */
  readonly attempt: number;
}

/** The sink must not hold the row, may hold it (whole), must hold it. */
export type Claim = 'absent' | 'maybe' | 'there';

export interface Expected {
  readonly plan: Plan;
  /** By place in `stepsOf(plan)`: what is claimed of the row recorded at that place. */
  claim(recordedAt: number): Claim;
}

export type Precision = 'double' | 'float32';

export interface Fault {
  readonly kind: 'lost' | 'doubled' | 'invented' | 'changed' | 'torn';
  readonly text: string;
}

export interface Verdict {
  readonly sink: string;
  /** Points that were found right. */
  readonly points: number;
  /** Rows that are missing altogether, whether they may or not. */
  readonly missingRows: readonly MissingRow[];
  readonly faults: readonly Fault[];
  /** Faults beyond those listed. */
  readonly furtherFaults: number;
}
export interface MissingRow {
  readonly plan: Plan;
  readonly recordedAt: number;
}

/** A wrong sink is wrong in thousands of points; the first few tell what happened. */
const MAX_LISTED_FAULTS = 20;

export function judge(
  sink: string,
  precision: Precision,
  expected: readonly Expected[],
  points: Iterable<SeenPoint>,
): Verdict {
  const faults: Fault[] = [];
  let further = 0;
  const fault = (kind: Fault['kind'], text: string): void => {
    if (faults.length < MAX_LISTED_FAULTS) faults.push({ kind, text });
    else further++;
  };
  const ledgers = new Map<string, Ledger[]>();
  for (const one of expected) {
    const key = ledgerKey(one.plan.run, one.plan.prefix);
    ledgers.set(key, [...(ledgers.get(key) ?? []), new Ledger(one)]);
  }

  let right = 0;
  for (const point of points) {
    const place = `${sink}: ${point.run} ${point.name} step ${point.step}`;
    const known = readName(point.name);
    const candidates = known === undefined ? [] : (ledgers.get(ledgerKey(point.run, known.prefix)) ?? []);
    const ledger = candidates.find(
      one => one.knows(point.step) && (point.attempt === 0 || point.attempt === one.expected.plan.attempt),
    );
    const k = ledger === undefined ? -1 : placeOf(ledger.expected.plan, point.step, known!.metric);
    if (ledger === undefined || k < 0) {
      fault('invented', `${place} = ${point.value} was never recorded, or not before the process ended`);
      continue;
    }
    if (ledger.isMarked(point.step, k)) {
      fault('doubled', `${place} is there more than once`);
      continue;
    }
    ledger.mark(point.step, k);
    const wanted = valueAt(ledger.expected.plan, point.step, known!.metric);
    const exact = precision === 'float32' ? Math.fround(wanted) : wanted;
    if (!Object.is(point.value, exact)) {
      fault('changed', `${place} is ${point.value}, recorded was ${wanted}`);
      continue;
    }
    if (!ledger.sameRow(point.step, point.row)) {
      fault('torn', `${place} is not in the row (${point.row}) that the others of its call are in`);
      continue;
    }
    right++;
  }

  const missingRows: MissingRow[] = [];
  for (const all of ledgers.values()) {
    for (const ledger of all) {
      const { plan } = ledger.expected;
      for (const { step, claim, recordedAt } of ledger.rows()) {
        const seen = ledger.seenIn(step);
        if (seen === plan.perRow) continue;
        const place = `${sink}: ${plan.run} ${plan.prefix} attempt ${plan.attempt} row ${recordedAt} step ${step}`;
        if (seen === 0) missingRows.push({ plan, recordedAt });
        if (seen === 0 && claim === 'maybe') continue;
        if (seen === 0) fault('lost', `${place} is missing`);
        else fault(claim === 'there' ? 'lost' : 'torn', `${place} has ${seen} of ${plan.perRow} points`);
      }
    }
  }
  return { sink, points: right, missingRows, faults, furtherFaults: further };
}

/** What has been seen of one producer's rows. */
class Ledger {
  readonly expected: Expected;
  readonly #recordedAt: Int32Array;
  readonly #marks: Uint8Array;
  readonly #counts: Uint32Array;
  readonly #rows = new Map<number, string | number>();

  constructor(expected: Expected) {
    const { plan } = expected;
    this.expected = expected;
    this.#recordedAt = new Int32Array(plan.rows).fill(-1);
    for (const [i, step] of stepsOf(plan).entries()) this.#recordedAt[step - plan.firstStep] = i;
    this.#marks = new Uint8Array(plan.rows * plan.perRow);
    this.#counts = new Uint32Array(plan.rows);
  }

  /** Whether a row of this step may be in the sink at all. */
  knows(step: number): boolean {
    const at = this.#recordedAt[step - this.expected.plan.firstStep];
    return at !== undefined && at >= 0 && this.expected.claim(at) !== 'absent';
  }
  isMarked(step: number, k: number): boolean {
    return this.#marks[this.#index(step, k)] === 1;
  }
  mark(step: number, k: number): void {
    this.#marks[this.#index(step, k)] = 1;
    this.#counts[step - this.expected.plan.firstStep]!++;
  }
  sameRow(step: number, row: string | number): boolean {
    const first = this.#rows.get(step);
    if (first === undefined) this.#rows.set(step, row);
    return first === undefined || first === row;
  }
  seenIn(step: number): number {
    return this.#counts[step - this.expected.plan.firstStep]!;
  }
  *rows(): Iterable<{ readonly step: number; readonly claim: Claim; readonly recordedAt: number }> {
    for (const [i, recordedAt] of this.#recordedAt.entries()) {
      const claim = this.expected.claim(recordedAt);
      if (claim !== 'absent') yield { step: this.expected.plan.firstStep + i, claim, recordedAt };
    }
  }
  #index(step: number, k: number): number {
    return (step - this.expected.plan.firstStep) * this.expected.plan.perRow + k;
  }
}

function ledgerKey(run: string, prefix: string): string {
  return `${run}\n${prefix}`;
}

/** The points that a perfect sink would hold; for the judge's own test. */
export function* perfectPoints(expected: readonly Expected[], precision: Precision): Iterable<SeenPoint> {
  for (const { plan, claim } of expected) {
    for (const [i, step] of stepsOf(plan).entries()) {
      if (claim(i) === 'absent') continue;
      for (let k = 0; k < plan.perRow; k++) {
        const metric = metricAt(plan, step, k);
        const value = valueAt(plan, step, metric);
        yield {
          run: plan.run,
          name: nameOf(plan, metric),
          step,
          value: precision === 'float32' ? Math.fround(value) : value,
          row: `${plan.prefix} ${step}`,
          attempt: plan.attempt,
        };
      }
    }
  }
}
