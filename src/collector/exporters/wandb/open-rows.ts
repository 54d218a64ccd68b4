// Rows whose step may still get values: held for a moment, merged, and handed out in the order of their steps.

import { MAX_OPEN_CHARACTERS, MAX_OPEN_ROWS, MAX_ROW_CHARACTERS } from './limits.ts';
import type { MetricFields } from './log/model.ts';
import { encodeKey } from './log/write-record.ts';

/** A name in the rows of one run, once. */
export interface RowName {
  /** A plain name, or a place in a nested value. */
  readonly name: string;
  readonly path: readonly string[];
  /** As `writeHistory` takes it. */
  readonly encoded: Uint8Array;
  /** Its definition is in the log. */
  isDefined: boolean;
  /** A step axis beside the metrics: it may be said again by each call of a step. */
  isAxis: boolean;
  /** How it is summed up; undefined: the last value. */
  definition: MetricFields | undefined;
  /** Last value as JSON, for the summary; it is to be written again. */
  last: string;
  isDirty: boolean;
  min: number;
  max: number;
  sum: number;
  count: number;
  first: string;
}

export function newRowName(name: string, path: readonly string[] = []): RowName {
  return {
    name,
    path,
    encoded: encodeKey(name, path),
    isDefined: false,
    isAxis: false,
    definition: undefined,
    last: '',
    isDirty: false,
    min: Number.POSITIVE_INFINITY,
    max: Number.NEGATIVE_INFINITY,
    sum: 0,
    count: 0,
    first: '',
  };
}

export interface OpenRow {
  readonly step: number;
  readonly timeUnixNano: bigint;
  /** When its first value was received: by the journal, not the clock, so that reading again gives the same rows. */
  readonly receivedUnixNano: bigint;
  readonly names: RowName[];
  /** JSON of each. */
  readonly values: string[];
  characters: number;
}

/** As the cursor keeps a row. */
export type PackedRow = readonly [
  step: number,
  timeUnixNano: string,
  receivedUnixNano: string,
  names: readonly (string | readonly string[])[],
  values: readonly string[],
];

/** Beside the value: quotes, colon, comma. */
const OVERHEAD_CHARACTERS = 4;

export class OpenRows {
  /** In the order of their steps. */
  readonly #rows: OpenRow[] = [];
  readonly #emit: (row: OpenRow) => void;
  #characters = 0;

  constructor(emit: (row: OpenRow) => void) {
    this.#emit = emit;
  }

  get size(): number {
    return this.#rows.length;
  }
  get characters(): number {
    return this.#characters;
  }

  /**
   * Takes what one call wrote for a step; the arrays are the row's from then on. It joins the row of its step unless a name is there
   * already (an axis may say the same again) or the row would become too long: then the older row is handed out first.
   */
  add(row: Omit<OpenRow, 'characters'>): void {
    const { names, values } = row;
    let characters = 0;
    for (let i = 0; i < values.length; i++)
      characters += names[i]!.name.length + values[i]!.length + OVERHEAD_CHARACTERS;
    const at = this.#placeOf(row.step);
    const found = this.#rows[at];
    if (found !== undefined && found.step === row.step) {
      if (found.characters + characters <= MAX_ROW_CHARACTERS && mergeInto(found, names, values)) {
        found.characters += characters;
        this.#characters += characters;
        this.#bound();
        return;
      }
      this.emitThrough(row.step);
      this.#rows.unshift({ ...row, characters });
    } else {
      this.#rows.splice(at, 0, { ...row, characters });
    }
    this.#characters += characters;
    this.#bound();
  }

  /** Hands out every row that was first received before `receivedUnixNano`, and those of lower steps before it. */
  emitReceivedBefore(receivedUnixNano: bigint): void {
    let last = -1;
    for (let i = 0; i < this.#rows.length; i++)
      if (this.#rows[i]!.receivedUnixNano < receivedUnixNano) last = i;
    this.#emitFirst(last + 1);
  }

  emitThrough(step: number): void {
    let count = 0;
    while (count < this.#rows.length && this.#rows[count]!.step <= step) count++;
    this.#emitFirst(count);
  }

  emitAll(): void {
    this.#emitFirst(this.#rows.length);
  }

  packed(): PackedRow[] {
    return this.#rows.map(row => [
      row.step,
      row.timeUnixNano.toString(),
      row.receivedUnixNano.toString(),
      row.names.map(({ name, path }) => (path.length === 0 ? name : path)),
      [...row.values],
    ]);
  }

  #bound(): void {
    let count = 0;
    let left = this.#characters;
    while (left > MAX_OPEN_CHARACTERS || this.#rows.length - count > MAX_OPEN_ROWS) {
      left -= this.#rows[count]!.characters;
      count++;
    }
    if (count > 0) this.#emitFirst(count);
  }

  #emitFirst(count: number): void {
    for (const row of this.#rows.splice(0, count)) {
      this.#characters -= row.characters;
      this.#emit(row);
    }
  }

  /** Where a row of this step is or belongs; nearly always the end. */
  #placeOf(step: number): number {
    let at = this.#rows.length;
    while (at > 0 && this.#rows[at - 1]!.step >= step) at--;
    return at;
  }
}

/** False, with nothing changed, where a name has another value already. */
function mergeInto(row: OpenRow, names: readonly RowName[], values: readonly string[]): boolean {
  const known = new Map<RowName, number>();
  for (let i = 0; i < row.names.length; i++) known.set(row.names[i]!, i);
  const fresh: number[] = [];
  for (let i = 0; i < names.length; i++) {
    const at = known.get(names[i]!);
    if (at === undefined) fresh.push(i);
    // The same value once more is a second measurement, not the same one.
    else if (!names[i]!.isAxis || row.values[at] !== values[i]) return false;
  }
  for (const i of fresh) {
    row.names.push(names[i]!);
    row.values.push(values[i]!);
  }
  return true;
}
