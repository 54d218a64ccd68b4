// A transaction log that grows by whole records and can be cut back to a length that was committed.
import fs from 'node:fs';
import path from 'node:path';
import { WireWriter } from '../../../../otlp/wire-writer.ts';
import { confinedOpen, systemCode } from '../../../runs/confined.ts';
import { FLUSH_BYTES } from '../limits.ts';
import { FILE_HEADER, frame, framedBytes } from './frames.ts';
import { readWholeRecords } from './log-reader.ts';
import type { LogRecord } from './model.ts';
import { writeHistory, writeRecord } from './write-record.ts';

/** What has to be known about a log to go on with it. */
export interface LogState {
  /** Bytes that belong to it. Anything beyond was written after the last commit. */
  readonly length: number;
  /** Records in it: the next one's number is one higher. */
  readonly records: number;
}
export const NEW_LOG: LogState = { length: 0, records: 0 };

/** One message at a time, for all logs. */
const wire = new WireWriter(64 * 1024);

export class LogWriter {
  readonly path: string;
  readonly #root: string;
  readonly #segments: readonly string[];
  #fd: number | undefined;
  #written: number;
  #records: number;
  #buffer: Buffer | undefined;
  #used = 0;
  #unsynced = false;
  #isNew = false;

  constructor(root: string, segments: readonly string[], state: LogState) {
    this.#root = root;
    this.#segments = segments;
    this.path = path.join(root, ...segments);
    this.#written = state.length;
    this.#records = state.records;
  }

  /** Of this moment; after `flush` also of the file. */
  get state(): LogState {
    return { length: this.#written + this.#used, records: this.#records };
  }
  get length(): number {
    return this.#written + this.#used;
  }
  get bufferedBytes(): number {
    return this.#buffer?.length ?? 0;
  }
  get isOpen(): boolean {
    return this.#fd !== undefined;
  }

  append(record: Exclude<LogRecord, { kind: 'other' }>): void {
    wire.reset();
    writeRecord(wire, record, ++this.#records);
    this.#append(wire.bytes());
  }

  appendHistory(step: number, encodedKeys: readonly Uint8Array[], values: readonly string[]): void {
    wire.reset();
    writeHistory(wire, ++this.#records, step, encodedKeys, values);
    this.#append(wire.bytes());
  }

  /** Writes what is buffered. Throws what the file system throws; the file may then end in half a record. */
  flush(): void {
    if (this.#used === 0) return;
    const end = this.#used;
    try {
      const fd = this.#fd ?? this.#open();
      for (let at = 0; at < end; ) at += fs.writeSync(fd, this.#buffer!, at, end - at);
    } catch (error) {
      throw this.#named(error);
    }
    this.#written += end;
    this.#used = 0;
    this.#unsynced = true;
  }

  release(): void {
    if (this.#used === 0) this.#buffer = undefined;
  }

  /** Makes what was flushed durable. True when the file's name is new and its folders have to be made durable too. */
  async sync(): Promise<boolean> {
    if (!this.#unsynced) return false;
    const fd = this.#fd ?? this.#open();
    await new Promise<void>((resolve, reject) =>
      fs.fdatasync(fd, error => (error === null ? resolve() : reject(this.#named(error)))),
    );
    this.#unsynced = false;
    const isNew = this.#isNew;
    this.#isNew = false;
    return isNew;
  }

  /** Opens the file and cuts it back. Returns how many committed bytes were missing; the log then goes on behind its last whole record. */
  open(): number {
    const expected = this.#written;
    this.#open();
    return expected - this.#written;
  }

  close(): void {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    fs.closeSync(fd);
  }

  /** Closes, and forgets what is buffered. */
  abandon(): void {
    this.#used = 0;
    this.release();
    try {
      this.close();
    } catch {
      // Nothing more can be done about a descriptor that cannot be closed.
    }
  }

  #append(payload: Uint8Array): void {
    if (this.length === 0) {
      this.#room(FILE_HEADER.length).set(FILE_HEADER, 0);
      this.#used = FILE_HEADER.length;
    }
    const buffer = this.#room(framedBytes(payload.length));
    this.#used = frame(buffer, this.#used, this.length, payload);
    if (this.#used >= FLUSH_BYTES) this.flush();
  }

  #open(): number {
    this.close();
    const fd = confinedOpen(this.#root, ...this.#segments);
    try {
      const { size } = fs.fstatSync(fd);
      if (size === 0) this.#isNew = true;
      if (size > this.#written) {
        fs.ftruncateSync(fd, this.#written);
        this.#unsynced = true;
      } else if (size < this.#written) {
        const whole = readWholeRecords(fd, size);
        if (whole.length < size) fs.ftruncateSync(fd, whole.length);
        this.#written = whole.length;
        this.#records = whole.records;
        this.#unsynced = true;
      }
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    this.#fd = fd;
    return fd;
  }

  #room(bytes: number): Buffer {
    const needed = this.#used + bytes;
    if (this.#buffer !== undefined && this.#buffer.length >= needed) return this.#buffer;
    let size = this.#buffer?.length ?? 16 * 1024;
    while (size < needed) size *= 2;
    const grown = Buffer.allocUnsafeSlow(size);
    if (this.#buffer !== undefined) grown.set(this.#buffer.subarray(0, this.#used));
    this.#buffer = grown;
    return grown;
  }

  /** What the file system says about a descriptor does not name the file. */
  #named(error: unknown): unknown {
    if (systemCode(error) === undefined || 'path' in (error as object)) return error;
    return Object.assign(error as object, { path: this.path });
  }
}
