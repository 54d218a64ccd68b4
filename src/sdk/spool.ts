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
  readonly file: SpoolFile;
  readonly offset: number;
  readonly length: number;
}
interface SpoolFile {
  readonly fd: number;
  /** Where the next batch goes. */
  end: number;
  /** Batches in it that are not acknowledged. */
  live: number;
}

/** The spool of one process. Synchronous: it is written from the worker only, and last of all while the process ends. */
export class Spool {
  private readonly directory: string;
  private readonly path: string;
  private readonly header: Buffer;
  private readonly maxBytes: number;
  private file: SpoolFile | undefined;
  /** Why the last batch that found no place did not; empty when all did. */
  problem = '';

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
    try {
      const file = this.open();
      const offset = file.end;
      if (offset + length > this.maxBytes) {
        this.problem = `it has its ${this.maxBytes / 1024 ** 2} MiB (KYMO_SPOOL_MAX_MIB)`;
        return undefined;
      }
      let written = 0;
      try {
        written = writevSync(file.fd, [frame[0], frame[1]], offset);
      } finally {
        if (written !== length) ftruncateSync(file.fd, offset);
      }
      if (written !== length) throw new Error('the disk is full');
      file.end = offset + length;
      file.live++;
      return { file, offset, length };
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
      return undefined;
    }
  }

  /** The body of a spooled batch; undefined when the file no longer gives it back whole. */
  read({ file, offset, length }: SpoolPlace): Uint8Array | undefined {
    try {
      const bytes = Buffer.allocUnsafe(length);
      if (readSync(file.fd, bytes, 0, length, offset) !== length) return undefined;
      const result = readFrame(bytes, 0, bytes.length);
      return result.kind === 'frame' ? result.frame.body : undefined;
    } catch {
      return undefined;
    }
  }

  /** False when somebody has removed the file: what is in it ends with this process. */
  keeps(place: SpoolPlace): boolean {
    return place.file === this.file && isThere(place.file);
  }

  /** A spooled batch was acknowledged, or has found another place. With the last one the file goes. */
  release({ file }: SpoolPlace): void {
    file.live--;
    if (file.live > 0) return;
    const isCurrent = file === this.file;
    if (isCurrent) this.file = undefined;
    try {
      // A file that was removed has no name any more; the one that has its name now is another.
      if (isCurrent && isThere(file)) unlinkSync(this.path);
      closeSync(file.fd);
    } catch {
      // Left behind at worst: whoever drains it finds batches that the journal knows already.
    }
  }

  /** A file without its header would be nobody's: it is made whole or not at all. */
  private open(): SpoolFile {
    if (this.file !== undefined && isThere(this.file)) return this.file;
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
    const fd = openSync(this.path, flags, 0o600);
    let end = 0;
    try {
      end = writevSync(fd, [this.header], 0);
    } finally {
      if (end !== this.header.length) {
        closeSync(fd);
        unlinkSync(this.path);
      }
    }
    if (end !== this.header.length) throw new Error('the disk is full');
    this.file = { fd, end, live: 0 };
    return this.file;
  }
}

function isThere(file: SpoolFile): boolean {
  return fstatSync(file.fd).nlink > 0;
}
