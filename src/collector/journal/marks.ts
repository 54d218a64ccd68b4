// Which batch numbers of each sender the journal already has, so that a retry is not stored twice.
import { MAX_KEY_BYTES } from '../../otlp/frame.ts';
import { DEFAULT_MARKS_MAX_AGE_MS, MAX_RANGES, MAX_SENDERS } from './limits.ts';

/** A batch key taken apart: `sender` is `<instance>/<sender>/<signal>`. */
export interface BatchName {
  readonly sender: string;
  readonly number: number;
}

/** Undefined for a key that is not ours: such a request is stored like one without a key. */
export function parseBatchKey(key: string, signal: string): BatchName | undefined {
  if (key.length === 0 || key.length > MAX_KEY_BYTES) return undefined;
  const slash = key.lastIndexOf('/');
  const sender = key.slice(0, Math.max(slash, 0));
  const digits = key.slice(slash + 1);
  const number = Number(digits);
  if (!/^[1-9]\d{0,15}$/.test(digits) || !Number.isSafeInteger(number)) return undefined;
  // The instance is the user's own and may hold slashes; sender and signal are the last two parts before the number.
  const parts = sender.split('/');
  if (parts.length < 3 || parts.at(-2) === '' || parts.at(-1) !== signal) return undefined;
  return { sender, number };
}

export interface MarksOptions {
  readonly maxAgeMs?: number;
  readonly maxSenders?: number;
  readonly maxRanges?: number;
}

/** `[sender, last heard (ms), high mark, ranges above it as start, end, start, end …]` */
export type SerializedMark = readonly [string, number, number, readonly number[]];

interface Mark {
  /** Every number from 1 to this one is there. */
  high: number;
  /** Numbers above `high + 1`, as inclusive ranges: start, end, start, end …, ascending, never touching. */
  ranges: number[];
  heardMs: number;
}

/**
 * Per sender the contiguous high mark and the ranges above it; batches come out of order. When a limit is reached something
 * is forgotten (and counted), never invented: a forgotten number can be stored twice, an invented one would lose a batch.
 */
export class BatchMarks {
  readonly #marks = new Map<string, Mark>();
  readonly #maxAgeMs: number;
  readonly #maxSenders: number;
  readonly #maxRanges: number;
  #forgotten = 0;

  constructor(options: MarksOptions = {}) {
    this.#maxAgeMs = options.maxAgeMs ?? DEFAULT_MARKS_MAX_AGE_MS;
    this.#maxSenders = options.maxSenders ?? MAX_SENDERS;
    this.#maxRanges = options.maxRanges ?? MAX_RANGES;
  }

  get senders(): number {
    return this.#marks.size;
  }
  /** Senders or ranges given up because of a limit. */
  get forgotten(): number {
    return this.#forgotten;
  }

  has(batch: BatchName): boolean {
    const mark = this.#marks.get(batch.sender);
    if (mark === undefined) return false;
    if (batch.number <= mark.high) return true;
    const at = rangeAtOrBefore(mark.ranges, batch.number);
    return at >= 0 && batch.number <= mark.ranges[at + 1]!;
  }

  add(batch: BatchName, nowMs: number): void {
    let mark = this.#marks.get(batch.sender);
    if (mark === undefined) {
      mark = { high: 0, ranges: [], heardMs: nowMs };
    } else {
      // Most recently heard last: the map's order is the order of forgetting.
      this.#marks.delete(batch.sender);
    }
    mark.heardMs = Math.max(mark.heardMs, nowMs);
    this.#marks.set(batch.sender, mark);
    addNumber(mark, batch.number);
    while (mark.ranges.length > this.#maxRanges * 2) {
      mark.ranges.splice(0, 2);
      this.#forgotten++;
    }
    while (this.#marks.size > this.#maxSenders) this.#forgetOldest();
  }

  /** Forgets senders that have been silent for longer than the age limit. */
  expire(nowMs: number): void {
    for (const [sender, mark] of this.#marks) {
      if (nowMs - mark.heardMs <= this.#maxAgeMs) return;
      this.#marks.delete(sender);
      this.#forgotten++;
    }
  }

  serialize(): SerializedMark[] {
    return Array.from(this.#marks, ([sender, mark]) => [sender, mark.heardMs, mark.high, mark.ranges]);
  }

  /** Adds what `serialize` gave. Throws TypeError for anything else. */
  restore(marks: unknown): void {
    if (!Array.isArray(marks)) throw new TypeError('marks are not a list');
    for (const entry of marks) {
      const [sender, heardMs, high, ranges] = Array.isArray(entry) ? entry : [];
      if (typeof sender !== 'string' || !isCount(heardMs) || !isCount(high) || !isRanges(ranges, high)) {
        throw new TypeError('an entry of the marks is not [sender, time, high mark, ranges]');
      }
      this.#marks.set(sender, { high, ranges: [...ranges], heardMs });
    }
  }

  #forgetOldest(): void {
    const oldest = this.#marks.keys().next();
    if (!oldest.done) this.#marks.delete(oldest.value);
    this.#forgotten++;
  }
}

/** Index of the last range that starts at or before `number`, or -1. */
function rangeAtOrBefore(ranges: readonly number[], number: number): number {
  let low = 0;
  let high = ranges.length >> 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[middle * 2]! <= number) low = middle + 1;
    else high = middle;
  }
  return low * 2 - 2;
}

function addNumber(mark: Mark, number: number): void {
  const { ranges } = mark;
  if (number <= mark.high) return;
  if (number === mark.high + 1) {
    mark.high = number;
    if (ranges.length > 0 && ranges[0] === number + 1) {
      mark.high = ranges[1]!;
      ranges.splice(0, 2);
    }
    return;
  }
  const at = rangeAtOrBefore(ranges, number);
  if (at >= 0 && number <= ranges[at + 1]!) return;
  const joinsLeft = at >= 0 && ranges[at + 1] === number - 1;
  const joinsRight = at + 2 < ranges.length && ranges[at + 2] === number + 1;
  if (joinsLeft && joinsRight) ranges.splice(at + 1, 2);
  else if (joinsLeft) ranges[at + 1] = number;
  else if (joinsRight) ranges[at + 2] = number;
  else ranges.splice(at + 2, 0, number, number);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
function isRanges(value: unknown, high: number): value is number[] {
  if (!Array.isArray(value) || value.length % 2 !== 0) return false;
  let last = high;
  for (let i = 0; i < value.length; i += 2) {
    if (!isCount(value[i]) || !isCount(value[i + 1]) || value[i] <= last + 1 || value[i + 1] < value[i]) {
      return false;
    }
    last = value[i + 1];
  }
  return true;
}
