// Rows of a metrics file into columns, byte by byte: rows have the same keys in the same order again and again, which it expects.
import { DecimalReader } from './decimal.ts';

/** Rows that later attempts have undone. */
export interface Mark {
  readonly attempt: number;
  readonly fromStep: number;
}

/** Columns of a file: with more, it is read column by column name, which `columns: […]` does. */
const MAX_COLUMNS = 100_000;

interface Column {
  readonly name: string;
  /** The key as it stands in the lines, quotes and colon included. */
  readonly key: Uint8Array;
  /** The same, four bytes at a time; the last four overlap. */
  readonly words: Int32Array;
  /** Values are kept, not only passed over. */
  readonly wanted: boolean;
  data: Float64Array;
  /** A row of the present batch has a number here. */
  filled: boolean;
}

export interface ScannerOptions {
  /** Undefined: all that hold numbers. */
  readonly columns: readonly string[] | undefined;
  /** What is undone. `find`: as the lines themselves say, for a file that is scanned as a whole before `take`. */
  readonly marks: readonly Mark[] | 'find';
  /** Rows for which memory is taken at first. */
  readonly capacity: number;
}

export class RowScanner {
  rows = 0;
  private readonly columns = new Map<string, Column>();
  private readonly options: ScannerOptions;
  private readonly only: ReadonlySet<string> | undefined;
  /** Known before the rows that they undo; those found are applied at the end. */
  private readonly known: readonly Mark[];
  private readonly found: Mark[] = [];
  private readonly decimal = new DecimalReader();
  private readonly step: Column;
  private readonly attempt: Column;
  /** The columns of the row before, in their order, of which the first `seen` are those of the present row. */
  private readonly order: Column[] = [];
  private seen = 0;
  private capacity: number;

  constructor(options: ScannerOptions) {
    this.options = options;
    this.only = options.columns === undefined ? undefined : new Set(options.columns);
    this.known = options.marks === 'find' ? [] : options.marks;
    this.capacity = Math.max(16, options.capacity);
    for (const name of options.columns ?? []) this.add(name);
    this.step = this.find('step');
    this.attempt = this.find('attempt');
  }

  /**
   * Takes the lines in `bytes` from `at` until `end`, or until `maxRows` rows are there. Returns where it stopped; `unreadable` is called with
   * the place of a line that is no object, and returns whether to go on behind it.
   */
  scan(
    bytes: Buffer,
    from: number,
    end: number,
    maxRows: number,
    unreadable: (start: number, end: number) => boolean,
  ): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = from;
    while (at < end && this.rows < maxRows) {
      const start = at;
      at = this.row(bytes, view, at, end);
      if (at >= 0) continue;
      this.forget();
      const feed = bytes.indexOf(0x0a, start);
      at = feed < 0 || feed >= end ? end : feed + 1;
      const line = bytes.toString('utf8', start, at);
      if (line.trim() === '') continue;
      if (!this.slowRow(line) && !unreadable(start, at)) return at;
    }
    return at;
  }

  /** The columns with a number in some row so far, and those that were asked for; begins anew. */
  take(): { rows: number; columns: Map<string, Float64Array> } {
    if (this.found.length > 0) this.dropUndone();
    const { rows } = this;
    const taken = new Map<string, Float64Array>();
    for (const column of this.columns.values()) {
      const asked = this.only === undefined ? column.filled : this.only.has(column.name);
      if (asked) taken.set(column.name, ofLength(column.data, rows));
      column.data = NOTHING;
      column.filled = false;
    }
    this.rows = 0;
    return { rows, columns: taken };
  }

  /** The place behind a line's end, or -1 for a line that is not of the usual kind. */
  private row(bytes: Buffer, view: DataView, from: number, end: number): number {
    let at = from;
    this.seen = 0;
    if (bytes[at] !== 0x7b) return bytes[at] === 0x0a ? at + 1 : -1;
    at++;
    if (bytes[at] === 0x7d) return this.endOfLine(bytes, at + 1, end, true);
    const { decimal, order } = this;
    const row = this.rows;
    for (let position = 0; ; position++) {
      while (bytes[at] === 0x20) at++;
      let column = order[position];
      if (column !== undefined && hasKey(bytes, view, at, column)) at += column.key.length;
      else {
        const behind = this.keyEnd(bytes, at, end);
        if (behind < 0) return -1;
        column = this.find(keyOf(bytes, at, behind));
        order[position] = column;
        at = behind + 1;
      }
      this.seen = position + 1;
      while (bytes[at] === 0x20) at++;
      const byte = bytes[at]!;
      let value = Number.NaN;
      let isNumber = true;
      if ((byte >= 0x30 && byte <= 0x39) || byte === 0x2d) {
        if (column.wanted) {
          value = decimal.read(bytes, view, at);
          at = decimal.end;
          if (at < 0) return -1;
        } else at = numberEnd(bytes, at);
      } else if (byte === 0x22) {
        const behind = stringEnd(bytes, at, end);
        if (behind < 0) return -1;
        if (column.name === 'histogram') {
          // No row. Arrays of buckets follow, which are not looked at.
          this.forget();
          return this.endOfLine(bytes, bytes.indexOf(0x0a, behind), end, false);
        }
        const number = column.wanted ? NONFINITE.get(shortText(bytes, at + 1, behind - 1)) : undefined;
        isNumber = number !== undefined;
        if (number !== undefined) value = number;
        at = behind;
      } else if (byte === 0x7b || byte === 0x5b) {
        if (column.name === 'superseded') {
          this.forget();
          const feed = bytes.indexOf(0x0a, at);
          this.noteMark(parseRecord(bytes.toString('utf8', from, feed < 0 || feed > end ? end : feed)));
          return this.endOfLine(bytes, feed, end, false);
        }
        at = nestedEnd(bytes, at, end);
        if (at < 0) return -1;
        isNumber = false;
      } else if (startsWith(bytes, at, TRUE)) {
        value = 1;
        at += 4;
      } else if (startsWith(bytes, at, FALSE)) {
        value = 0;
        at += 5;
      } else if (startsWith(bytes, at, NULL)) {
        isNumber = false;
        at += 4;
      } else return -1;
      if (isNumber && column.wanted) {
        if (row >= column.data.length) this.grow(column, row);
        column.data[row] = value;
        column.filled = true;
      }
      while (bytes[at] === 0x20) at++;
      const separator = bytes[at];
      if (at >= end) return -1;
      if (separator === 0x2c) at++;
      else if (separator === 0x7d) return this.endOfLine(bytes, at + 1, end, true);
      else return -1;
    }
  }

  private endOfLine(bytes: Buffer, from: number, end: number, isRow: boolean): number {
    let at = from;
    if (at < 0) return -1;
    while (at < end && (bytes[at] === 0x20 || bytes[at] === 0x0d)) at++;
    if (at > end || (at < end && bytes[at] !== 0x0a)) return -1;
    if (isRow) this.finishRow();
    return Math.min(at + 1, end);
  }

  private finishRow(): void {
    if (this.known.length > 0 && this.isUndone(this.rows)) this.forget();
    else this.rows++;
  }

  /** Takes back what the present row has put into columns. */
  private forget(): void {
    for (let i = 0; i < this.seen; i++) {
      const { data } = this.order[i]!;
      if (this.rows < data.length) data[this.rows] = Number.NaN;
    }
    this.seen = 0;
  }

  private isUndone(row: number, marks = this.known): boolean {
    const step = this.step.data[row] ?? Number.NaN;
    const own = this.attempt.data[row] ?? Number.NaN;
    return isUndoneRow(marks, step, Number.isNaN(own) ? 1 : own);
  }

  /** Closes the gaps of the rows that marks in the file have undone. */
  private dropUndone(): void {
    const kept: number[] = [];
    for (let row = 0; row < this.rows; row++) if (!this.isUndone(row, this.found)) kept.push(row);
    for (const { data } of this.columns.values())
      for (let row = 0; row < kept.length; row++)
        if (row < data.length) data[row] = data[kept[row]!] ?? Number.NaN;
    this.rows = kept.length;
  }

  private noteMark(record: Record<string, unknown> | undefined): void {
    const mark = this.options.marks === 'find' ? markOf(record) : undefined;
    if (mark !== undefined) this.found.push(mark);
  }

  /** A line with what the quick way does not read. False when it is no object. */
  private slowRow(line: string): boolean {
    const record = parseRecord(line);
    if (record === undefined) return false;
    if (!isRow(record)) {
      this.noteMark(record);
      return true;
    }
    this.seen = 0;
    for (const [name, given] of Object.entries(record)) {
      const column = this.find(name);
      const value = typeof given === 'boolean' ? Number(given) : given;
      this.order[this.seen++] = column;
      if (typeof value !== 'number' || !column.wanted) continue;
      if (this.rows >= column.data.length) this.grow(column, this.rows);
      column.data[this.rows] = value;
      column.filled = true;
    }
    this.finishRow();
    return true;
  }

  private find(name: string): Column {
    return this.columns.get(name) ?? this.add(name);
  }

  private add(name: string): Column {
    if (this.columns.size >= MAX_COLUMNS && this.only !== undefined && !this.only.has(name)) return OTHER;
    if (this.columns.size >= MAX_COLUMNS)
      throw new RangeError(
        `kymo: more than ${MAX_COLUMNS} different names in one file; say which are wanted: {columns: ['step', 'loss']}`,
      );
    const needed =
      (this.options.marks === 'find' || this.known.length > 0) && (name === 'step' || name === 'attempt');
    const wanted = needed || this.only === undefined || this.only.has(name);
    const key = Buffer.from(`${JSON.stringify(name)}:`);
    const column = { name, key, words: wordsOf(key), wanted, data: NOTHING, filled: false };
    this.columns.set(name, column);
    return column;
  }

  private grow(column: Column, row: number): void {
    if (row >= this.capacity) this.capacity = Math.max(this.capacity * 2, row + 1);
    const data = new Float64Array(this.capacity).fill(Number.NaN);
    data.set(column.data);
    column.data = data;
  }

  /** The place of the colon behind a key that begins at `at`, or -1. */
  private keyEnd(bytes: Buffer, at: number, end: number): number {
    if (bytes[at] !== 0x22) return -1;
    let behind = stringEnd(bytes, at, end);
    if (behind < 0) return -1;
    while (bytes[behind] === 0x20) behind++;
    return bytes[behind] === 0x3a ? behind : -1;
  }
}

/** Whether some mark says that a row counts no more. */
export function isUndoneRow(marks: readonly Mark[], step: number, attempt: number): boolean {
  return marks.some(mark => mark.attempt > attempt && mark.fromStep <= step);
}

/** The mark that a line is, if it is one. */
export function markOf(record: Record<string, unknown> | undefined): Mark | undefined {
  const { attempt, from_step } = (record?.superseded ?? {}) as { attempt?: unknown; from_step?: unknown };
  return typeof attempt === 'number' && typeof from_step === 'number'
    ? { attempt, fromStep: from_step }
    : undefined;
}

/** A line as an object, NaN and the infinities as numbers, also as Python writes them; undefined for what is none. */
export function parseRecord(line: string): Record<string, unknown> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    if (!/NaN|Infinity/.test(line)) return undefined;
    try {
      // Texts are passed over; what stands between them is quoted.
      value = JSON.parse(
        line.replace(/"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g, word =>
          word[0] === '"' ? word : `"${word}"`,
        ),
      );
    } catch {
      return undefined;
    }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const record = value as Record<string, unknown>;
  for (const key of Object.keys(record)) {
    const item = record[key];
    if (typeof item === 'string' && NONFINITE.has(item) && !TEXTS.has(key)) record[key] = NONFINITE.get(item);
  }
  return record;
}

/** Histograms and marks share the file with rows. */
export function isRow(record: Record<string, unknown>): boolean {
  return (
    typeof record.histogram !== 'string' &&
    (typeof record.superseded !== 'object' || record.superseded === null)
  );
}

const NOTHING = new Float64Array(0);
const NONFINITE = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);
/** Keys of lines whose value is a text, whatever it says. */
const TEXTS: ReadonlySet<string> = new Set(['mode', 'scope', 'instance', 'trace_id', 'span_id', 'histogram']);
/** Stands for any column that nobody has asked for. No key is like its own. */
const OTHER: Column = {
  name: '',
  key: Buffer.of(0),
  words: new Int32Array(0),
  wanted: false,
  data: NOTHING,
  filled: false,
};
const TRUE = Buffer.from('true');
const FALSE = Buffer.from('false');
const NULL = Buffer.from('null');
function wordsOf(key: Buffer): Int32Array {
  if (key.length < 4) return new Int32Array(0);
  const words: number[] = [];
  for (let at = 0; at + 4 <= key.length; at += 4) words.push(key.readInt32LE(at));
  if (key.length % 4 !== 0) words.push(key.readInt32LE(key.length - 4));
  return Int32Array.from(words);
}

function hasKey(bytes: Uint8Array, view: DataView, at: number, { key, words }: Column): boolean {
  const last = words.length - 1;
  if (last < 0 || at + key.length > view.byteLength) return startsWith(bytes, at, key);
  for (let i = 0; i < last; i++) if (view.getInt32(at + 4 * i, true) !== words[i]) return false;
  return view.getInt32(at + key.length - 4, true) === words[last];
}

function startsWith(bytes: Uint8Array, at: number, key: Uint8Array): boolean {
  for (let i = 0; i < key.length; i++) if (bytes[at + i] !== key[i]) return false;
  return true;
}

/** The place behind what can stand in a number. */
function numberEnd(bytes: Uint8Array, from: number): number {
  let at = from + 1;
  for (let byte = bytes[at]!; byte > 0x2c && byte < 0x66; byte = bytes[at]!) at++;
  return at;
}

/** The place behind a text's closing quote, or -1. */
function stringEnd(bytes: Buffer, from: number, end: number): number {
  for (let at = from + 1; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === 0x5c) at++;
    else if (byte === 0x22) return at + 1;
    else if (byte === 0x0a) return -1;
  }
  return -1;
}

/** The place behind a map or list, or -1. */
function nestedEnd(bytes: Buffer, from: number, end: number): number {
  let depth = 0;
  for (let at = from; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === 0x22) {
      at = stringEnd(bytes, at, end) - 1;
      if (at < 0) return -1;
    } else if (byte === 0x7b || byte === 0x5b) depth++;
    else if (byte === 0x7d || byte === 0x5d) {
      if (--depth === 0) return at + 1;
    } else if (byte === 0x0a) return -1;
  }
  return -1;
}

/** A text as long as a name of what JSON has no number for; others are of no interest. */
function shortText(bytes: Buffer, from: number, to: number): string {
  return to - from < 3 || to - from > 9 ? '' : bytes.toString('latin1', from, to);
}

/** Rows at the end may lack the column. */
function ofLength(data: Float64Array, rows: number): Float64Array {
  if (data.length >= rows) return data.subarray(0, rows);
  const whole = new Float64Array(rows).fill(Number.NaN);
  whole.set(data);
  return whole;
}

function keyOf(bytes: Buffer, at: number, colon: number): string {
  const quoted = bytes.toString('utf8', at, colon).trimEnd();
  if (!quoted.includes('\\')) return quoted.slice(1, -1);
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return quoted;
  }
}
