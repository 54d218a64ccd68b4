// Finds the rows in scalar columns: which points one log() call wrote.
import type { Resource, RowTable, ScalarColumns, Scope, Series } from './model.ts';

/**
 * Points with equal (resource, scope, time, step) are a row. Rows come in the order of their time, rows of equal time in
 * the order of their first points; the points of a row stay in wire order. Linear in the number of points (the sort of
 * rows takes the logarithm of how often time goes back in the request).
 *
 * On the wire points stand series by series, so the next point of a series mostly belongs to the row after the one of the
 * point before: that row is tried first, and the hash table only where it is another.
 */
export function groupRows(columns: ScalarColumns): RowTable {
  const { count, seriesIndex, timeWords, step } = columns;
  const groupOf = scopeGroups(columns.series);
  const rowOf = new Uint32Array(count);
  const rows = new RowIndex();
  let previous = -1;
  for (let i = 0; i < count; i++) {
    const group = groupOf[seriesIndex[i]!]!;
    const low = timeWords[2 * i]!;
    const high = timeWords[2 * i + 1]!;
    const at = step[i]!;
    const next = previous + 1;
    previous = rows.is(next, group, low, high, at) ? next : rows.find(group, low, high, at);
    rowOf[i] = previous;
  }
  return collect(rowOf, rows);
}

/** Every pair of resource and scope gets a number. */
function scopeGroups(series: readonly Series[]): Uint32Array {
  const numbers = new Map<Resource, Map<Scope, number>>();
  const groups = new Uint32Array(series.length);
  let count = 0;
  for (let i = 0; i < series.length; i++) {
    const { resource, scope } = series[i]!;
    let scopes = numbers.get(resource);
    if (scopes === undefined) {
      scopes = new Map();
      numbers.set(resource, scopes);
    }
    let number = scopes.get(scope);
    if (number === undefined) {
      number = count++;
      scopes.set(scope, number);
    }
    groups[i] = number;
  }
  return groups;
}

/** Counting sort of the points by the place of their row in time. */
function collect(rowOf: Uint32Array, rows: RowIndex): RowTable {
  const { count } = rows;
  const order = rows.inTimeOrder();
  const first = new Uint32Array(count + 1);
  const place = new Uint32Array(count);
  for (let i = 0; i < rowOf.length; i++) place[rowOf[i]!]!++;
  let total = 0;
  for (let r = 0; r < count; r++) {
    const row = order === undefined ? r : order[r]!;
    first[r] = total;
    const size = place[row]!;
    place[row] = total;
    total += size;
  }
  first[count] = total;
  const points = new Uint32Array(rowOf.length);
  for (let i = 0; i < rowOf.length; i++) points[place[rowOf[i]!]!++] = i;
  return { count, first, points };
}

const FIRST_CAPACITY = 64;
/** Mixed into every hash, so that a sender cannot prepare points that all fall on one slot. */
const SEED = (Math.random() * 0x1_0000_0000) | 0;

/** The distinct rows seen so far, numbered as they came, with an open-addressed hash table over them. */
class RowIndex {
  count = 0;
  #capacity = FIRST_CAPACITY;
  #group = new Uint32Array(FIRST_CAPACITY);
  #low = new Uint32Array(FIRST_CAPACITY);
  #high = new Uint32Array(FIRST_CAPACITY);
  #step = new Float64Array(FIRST_CAPACITY);
  /** Row + 1, or 0 for a free slot; twice as many slots as rows at least. */
  #slots = new Uint32Array(FIRST_CAPACITY * 2);
  readonly #bits = new Float64Array(1);
  readonly #words = new Uint32Array(this.#bits.buffer);

  is(row: number, group: number, low: number, high: number, step: number): boolean {
    return (
      row < this.count &&
      this.#low[row] === low &&
      this.#high[row] === high &&
      this.#group[row] === group &&
      (this.#step[row] === step || (Number.isNaN(step) && Number.isNaN(this.#step[row]!)))
    );
  }

  /** The row with this key; a new one if there is none. */
  find(group: number, low: number, high: number, step: number): number {
    if (this.count === this.#capacity) this.#grow();
    const mask = this.#slots.length - 1;
    let slot = this.#hash(group, low, high, step) & mask;
    for (; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const row = this.#slots[slot]! - 1;
      if (this.is(row, group, low, high, step)) return row;
    }
    const row = this.count++;
    this.#slots[slot] = row + 1;
    this.#group[row] = group;
    this.#low[row] = low;
    this.#high[row] = high;
    this.#step[row] = step;
    return row;
  }

  /** Row numbers in the order of time, equal times as they came; undefined when they are in order already. */
  inTimeOrder(): Uint32Array | undefined {
    const { count } = this;
    // Where an ascending run of rows begins.
    const runs: number[] = [];
    for (let row = 0; row < count; row++) if (row === 0 || this.#later(row - 1, row)) runs.push(row);
    if (runs.length <= 1) return undefined;
    let from = new Uint32Array(count);
    for (let row = 0; row < count; row++) from[row] = row;
    let to = new Uint32Array(count);
    let starts = runs;
    while (starts.length > 1) {
      const merged: number[] = [];
      for (let k = 0; k < starts.length; k += 2) {
        const start = starts[k]!;
        const middle = starts[k + 1] ?? count;
        const end = starts[k + 2] ?? count;
        merged.push(start);
        this.#merge(from, to, start, middle, end);
      }
      [from, to] = [to, from];
      starts = merged;
    }
    return from;
  }

  #merge(from: Uint32Array, to: Uint32Array, start: number, middle: number, end: number): void {
    let left = start;
    let right = middle;
    for (let at = start; at < end; at++) {
      const takeRight = left >= middle || (right < end && this.#later(from[left]!, from[right]!));
      to[at] = takeRight ? from[right++]! : from[left++]!;
    }
  }

  /** Whether row a has a later time than row b. */
  #later(a: number, b: number): boolean {
    const high = this.#high[a]! - this.#high[b]!;
    return high !== 0 ? high > 0 : this.#low[a]! > this.#low[b]!;
  }

  #hash(group: number, low: number, high: number, step: number): number {
    // +0 and -0 are equal, as all NaNs are here: they must have one hash.
    this.#bits[0] = Number.isNaN(step) ? Number.NaN : step + 0;
    let hash = mix(SEED ^ low);
    hash = mix(hash ^ high);
    hash = mix(hash ^ this.#words[0]!);
    hash = mix(hash ^ this.#words[1]!);
    return mix(hash ^ group) >>> 0;
  }

  #grow(): void {
    this.#capacity *= 2;
    this.#group = grown(this.#group, new Uint32Array(this.#capacity));
    this.#low = grown(this.#low, new Uint32Array(this.#capacity));
    this.#high = grown(this.#high, new Uint32Array(this.#capacity));
    this.#step = grown(this.#step, new Float64Array(this.#capacity));
    this.#slots = new Uint32Array(this.#capacity * 2);
    const mask = this.#slots.length - 1;
    for (let row = 0; row < this.count; row++) {
      let slot = this.#hash(this.#group[row]!, this.#low[row]!, this.#high[row]!, this.#step[row]!) & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = row + 1;
    }
  }
}

/** One round of mixing: every bit of the result depends on every bit given. */
function mix(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function grown<T extends Uint32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
