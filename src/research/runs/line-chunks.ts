// A file in pieces that hold whole lines, in memory that does not grow with the file.
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

/** Read at a time. */
export const CHUNK_BYTES = 1024 * 1024;
/** A longer line is no row of metrics: the file is something else. */
export const MAX_LINE_BYTES = 256 * 1024 * 1024;

/** Some lines: the first `length` bytes of `bytes`, until the next piece is asked for. */
export interface LineChunk {
  readonly bytes: Buffer;
  readonly length: number;
  /** The last line may have no line feed: the file ends with it. */
  readonly last: boolean;
}

/** Blocking; a file that is not there has no lines. Throws what the file system throws. */
export function* lineChunks(file: string): Generator<LineChunk, void, undefined> {
  let fd: number;
  try {
    fd = openSync(file, constants.O_RDONLY);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  try {
    const lines = new LineBuffer(file);
    for (;;) {
      const room = lines.room();
      const read = readSync(fd, room, 0, room.length, null);
      const chunk = lines.took(read);
      if (chunk !== undefined) yield chunk;
      if (read === 0) return;
    }
  } finally {
    closeSync(fd);
  }
}

/** The same, letting others have their turn. */
export async function* streamLineChunks(file: string): AsyncGenerator<LineChunk, void, undefined> {
  let handle: FileHandle;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  try {
    const lines = new LineBuffer(file);
    for (;;) {
      const room = lines.room();
      const { bytesRead } = await handle.read(room, 0, room.length, null);
      const chunk = lines.took(bytesRead);
      if (chunk !== undefined) yield chunk;
      if (bytesRead === 0) return;
    }
  } finally {
    await handle.close();
  }
}

/** 0 for a file that is not there. */
export function sizeOf(file: string): number {
  try {
    const fd = openSync(file, constants.O_RDONLY);
    try {
      return fstatSync(fd).size;
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}

class LineBuffer {
  private readonly file: string;
  private bytes = Buffer.allocUnsafeSlow(2 * CHUNK_BYTES);
  /** Whole lines that were handed out, and all bytes so far. */
  private given = 0;
  private used = 0;

  constructor(file: string) {
    this.file = file;
  }

  /** Where the next bytes of the file go. */
  room(): Buffer {
    this.bytes.copyWithin(0, this.given, this.used);
    this.used -= this.given;
    this.given = 0;
    if (this.bytes.length - this.used < CHUNK_BYTES) {
      if (this.used > MAX_LINE_BYTES)
        throw new RangeError(
          `kymo: ${this.file} has a line of more than ${MAX_LINE_BYTES} bytes: these are no metrics`,
        );
      const larger = Buffer.allocUnsafeSlow(this.bytes.length * 2);
      this.bytes.copy(larger, 0, 0, this.used);
      this.bytes = larger;
    }
    return this.bytes.subarray(this.used, this.used + CHUNK_BYTES);
  }

  /** After a read of so many bytes: the whole lines so far. None read: the file's end. */
  took(read: number): LineChunk | undefined {
    const before = this.used;
    this.used += read;
    const end =
      read === 0 ? this.used : this.bytes.subarray(before, this.used).lastIndexOf(0x0a) + before + 1;
    if (end === 0 || (read > 0 && end === before)) return undefined;
    this.given = end;
    return { bytes: this.bytes, length: end, last: read === 0 };
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}
