// The worker's spool: batches that are not acknowledged soon, appended to a file that outlives the process.
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  unlinkSync,
  writevSync,
} from 'node:fs';
import { join } from 'node:path';
import { frameSize, readFrame, writeFrame } from '../otlp/frame.ts';
import type { Signal } from '../otlp/model.ts';
import { encodeSpoolHeader, spoolFileName } from '../otlp/spool-file.ts';

export interface SpoolPlace {
  readonly offset: number;
  readonly length: number;
}

/** The spool of one process. Synchronous: it is written from the worker only, and last of all while the process ends. */
export class Spool {
  private readonly directory: string;
  private readonly path: string;
  private readonly header: Buffer;
  private readonly maxBytes: number;
  private fd: number | undefined;
  private end = 0;
  private live = 0;

  constructor(options: {
    directory: string;
    endpoint: string;
    instance: string;
    sender: string;
    run: string;
    maxBytes: number;
  }) {
    this.directory = options.directory;
    this.path = join(options.directory, spoolFileName(options.instance, options.sender));
    this.maxBytes = options.maxBytes;
    this.header = encodeSpoolHeader({
      endpoint: options.endpoint,
      instance: options.instance,
      sender: options.sender,
      run: options.run,
      pid: process.pid,
      createdUnixMs: Date.now(),
    });
  }

  /** Appends a batch; undefined when the disk does not take it or the spool is at its limit. */
  append(signal: Signal, key: string, receivedUnixNano: bigint, body: Uint8Array): SpoolPlace | undefined {
    const frame = writeFrame({ signal, encoding: 0, receivedUnixNano, batchKey: key, body });
    const length = frameSize(key, body.length);
    if (this.end + length > this.maxBytes) return undefined;
    try {
      const fd = this.open();
      const offset = this.end;
      let written = 0;
      try {
        written = writevSync(fd, [frame[0], frame[1]], offset);
      } finally {
        if (written !== length) ftruncateSync(fd, offset);
      }
      if (written !== length) return undefined;
      this.end = offset + length;
      this.live++;
      return { offset, length };
    } catch {
      return undefined;
    }
  }

  /** The body of a spooled batch; undefined when the file no longer gives it back whole. */
  read(place: SpoolPlace): Uint8Array | undefined {
    if (this.fd === undefined) return undefined;
    try {
      const bytes = Buffer.allocUnsafe(place.length);
      if (readSync(this.fd, bytes, 0, place.length, place.offset) !== place.length) return undefined;
      const result = readFrame(bytes, 0, bytes.length);
      return result.kind === 'frame' ? result.frame.body : undefined;
    } catch {
      return undefined;
    }
  }

  /** A spooled batch was acknowledged. With the last one the file goes. */
  release(): void {
    this.live--;
    if (this.live > 0 || this.fd === undefined) return;
    try {
      closeSync(this.fd);
      unlinkSync(this.path);
    } catch {
      // Left behind at worst: whoever drains it finds batches that the journal knows already.
    }
    this.fd = undefined;
    this.end = 0;
  }

  private open(): number {
    if (this.fd !== undefined && fstatSync(this.fd).nlink > 0) return this.fd;
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
    this.fd = openSync(this.path, flags, 0o600);
    this.end = writevSync(this.fd, [this.header], 0);
    return this.fd;
  }
}
