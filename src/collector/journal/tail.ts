// The newest records in memory, so that exporters that keep up never read the disk.
import type { Position } from '../component.ts';
import { RECORD_OVERHEAD_BYTES } from './limits.ts';
import type { JournalRecord } from './source.ts';

/** Contiguous records up to the journal's end, oldest given up first. */
export class Tail {
  readonly #maxBytes: number;
  #records: (JournalRecord | undefined)[] = [];
  /** Records before this index are gone; the array is compacted now and then. */
  #first = 0;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes held, bookkeeping included. */
  get bytes(): number {
    return this.#bytes;
  }

  push(record: JournalRecord): void {
    const last = this.#records.at(-1);
    if (last !== undefined && last.next !== record.position) this.clear();
    this.#records.push(record);
    this.#bytes += cost(record);
    while (this.#bytes > this.#maxBytes && this.#first < this.#records.length) {
      this.#bytes -= cost(this.#records[this.#first]!);
      this.#records[this.#first++] = undefined;
    }
    if (this.#first > 1024 && this.#first * 2 > this.#records.length) {
      this.#records = this.#records.slice(this.#first);
      this.#first = 0;
    }
  }

  /** The record that starts at `position`, if it is held. */
  at(position: Position): JournalRecord | undefined {
    return this.#records[this.#indexOf(position)];
  }

  /** Records from `position` on, at least one, up to `maxBytes`; undefined when the record at `position` is not held. */
  from(position: Position, maxBytes: number): JournalRecord[] | undefined {
    const index = this.#indexOf(position);
    if (index < 0) return undefined;
    const records: JournalRecord[] = [];
    let bytes = 0;
    for (let i = index; i < this.#records.length; i++) {
      const record = this.#records[i]!;
      bytes += record.bytes.byteLength;
      if (i > index && bytes > maxBytes) break;
      records.push(record);
    }
    return records;
  }

  /** How many records stand from `position` to the end; undefined when that is not known from memory. */
  countFrom(position: Position): number | undefined {
    const index = this.#indexOf(position);
    return index < 0 ? undefined : this.#records.length - index;
  }

  clear(): void {
    this.#records = [];
    this.#first = 0;
    this.#bytes = 0;
  }

  #indexOf(position: Position): number {
    let low = this.#first;
    let high = this.#records.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const at = this.#records[middle]!.position;
      if (at === position) return middle;
      if (at < position) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }
}

function cost(record: JournalRecord): number {
  return record.bytes.byteLength + RECORD_OVERHEAD_BYTES;
}
