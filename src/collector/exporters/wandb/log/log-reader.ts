// Reads a transaction log from a file, record by record, while it may still grow.
import fs from 'node:fs';
import { WireError } from '../../../../otlp/wire-reader.ts';
import { FILE_HEADER, readFrame } from './frames.ts';
import type { LogRecord } from './model.ts';
import { readRecord } from './read-record.ts';

/** One read from the file. */
const READ_BYTES = 256 * 1024;

export type LogEntry =
  | { readonly kind: 'record'; readonly record: LogRecord; readonly from: number; readonly next: number }
  /** Bytes that cannot be read; reading goes on behind them. */
  | { readonly kind: 'damaged'; readonly from: number; readonly next: number };

/** The file is no transaction log. */
export class NotALogError extends Error {
  constructor(place: string) {
    super(`${place}: is no .wandb transaction log of a version that Kymo reads`);
    this.name = 'NotALogError';
  }
}

export class LogReader {
  readonly path: string;
  readonly #fd: number;
  #offset: number;
  /** Nothing at or beyond this is read. */
  #limit = Number.POSITIVE_INFINITY;
  #window: Buffer = Buffer.alloc(0);
  #windowAt = 0;
  /** The log ends in the middle of a record. */
  cut = false;

  /** @throws NotALogError, and what the file system throws */
  constructor(place: string, offset: number = FILE_HEADER.length) {
    this.path = place;
    this.#fd = fs.openSync(place, 'r');
    this.#offset = Math.max(offset, FILE_HEADER.length);
    const header = Buffer.alloc(FILE_HEADER.length);
    const read = fs.readSync(this.#fd, header, 0, header.length, 0);
    if (read !== header.length || !header.equals(FILE_HEADER)) {
      fs.closeSync(this.#fd);
      throw new NotALogError(place);
    }
  }

  /** Where the next record begins. */
  get offset(): number {
    return this.#offset;
  }

  /** The next record that ends at or before `limit`; undefined at the end. */
  next(limit: number = Number.POSITIVE_INFINITY): LogEntry | undefined {
    this.#limit = limit;
    const framed = readFrame(this.#readAt, this.#offset);
    if (framed.kind === 'end') {
      this.cut = framed.cut;
      return undefined;
    }
    const from = this.#offset;
    this.#offset = framed.next;
    if (framed.kind === 'damaged') return { kind: 'damaged', from, next: framed.next };
    try {
      return { kind: 'record', record: readRecord(framed.payload), from, next: framed.next };
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return { kind: 'damaged', from, next: framed.next };
    }
  }

  close(): void {
    fs.closeSync(this.#fd);
  }

  readonly #readAt = (offset: number, length: number): Uint8Array => {
    const wanted = Math.min(length, Math.max(0, this.#limit - offset));
    if (offset < this.#windowAt || offset + wanted > this.#windowAt + this.#window.length) {
      const buffer = Buffer.allocUnsafe(READ_BYTES);
      const read = fs.readSync(this.#fd, buffer, 0, READ_BYTES, offset);
      this.#window = buffer.subarray(0, read);
      this.#windowAt = offset;
    }
    const at = offset - this.#windowAt;
    return this.#window.subarray(at, at + wanted);
  };
}

/** Behind the last record of a file of `size` bytes that can be read, and how many there are. Damage ends it. */
export function readWholeRecords(fd: number, size: number): { length: number; records: number } {
  const whole = { length: 0, records: 0 };
  if (size < FILE_HEADER.length) return whole;
  whole.length = FILE_HEADER.length;
  const readAt = (offset: number, length: number): Uint8Array => {
    const buffer = Buffer.allocUnsafe(length);
    return buffer.subarray(0, fs.readSync(fd, buffer, 0, length, offset));
  };
  for (;;) {
    const framed = readFrame(readAt, whole.length);
    if (framed.kind !== 'record') return whole;
    whole.length = framed.next;
    whole.records++;
  }
}
