// The active segment: appends groups of bytes, takes back what was written only in part, makes it durable.
import fs from 'node:fs';
import path from 'node:path';
import type { Position } from '../component.ts';
import { errorCode, syncFolder } from './durable-file.ts';
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, segmentName } from './segment.ts';

/** What the writer asks of the file system; tests put failing disks here. */
export interface SegmentDisk {
  datasync(handle: fs.promises.FileHandle): Promise<void>;
}
export const REAL_DISK: SegmentDisk = { datasync: handle => handle.datasync() };

export class SegmentWriter {
  readonly path: string;
  readonly start: Position;
  readonly #handle: fs.promises.FileHandle;
  readonly #disk: SegmentDisk;
  #length: number;
  #syncedLength: number;
  #broken = false;

  private constructor(
    file: string,
    start: Position,
    handle: fs.promises.FileHandle,
    disk: SegmentDisk,
    length: number,
    syncedLength: number,
  ) {
    this.path = file;
    this.start = start;
    this.#handle = handle;
    this.#disk = disk;
    this.#length = length;
    this.#syncedLength = syncedLength;
  }

  /** A new, empty segment; a leftover of the same name held no records and is replaced. Throws what the file system throws. */
  static async create(
    directory: string,
    journal: string,
    start: Position,
    durable: boolean,
    disk: SegmentDisk,
  ): Promise<SegmentWriter> {
    const file = path.join(directory, segmentName(start));
    await fs.promises.mkdir(directory, { recursive: true });
    await fs.promises.rm(file, { force: true });
    const handle = await fs.promises.open(file, 'wx+', 0o644);
    try {
      const { bytesWritten } = await handle.write(
        encodeSegmentHeader({ journal, start }),
        0,
        SEGMENT_HEADER_BYTES,
        0,
      );
      if (bytesWritten < SEGMENT_HEADER_BYTES)
        throw new Error(`${file}: only ${bytesWritten} bytes of its header were written`);
      if (durable) {
        await disk.datasync(handle);
        await syncFolder(directory);
      }
    } catch (error) {
      await handle.close().catch(() => {});
      await fs.promises.rm(file, { force: true }).catch(() => {});
      throw error;
    }
    return new SegmentWriter(file, start, handle, disk, 0, 0);
  }

  /** Continues a segment after recovery, which has cut it to `length`. */
  static async reopen(
    file: string,
    start: Position,
    length: number,
    disk: SegmentDisk,
  ): Promise<SegmentWriter> {
    return new SegmentWriter(file, start, await fs.promises.open(file, 'r+'), disk, length, 0);
  }

  /** Record bytes in it that count. */
  get length(): number {
    return this.#length;
  }
  get end(): Position {
    return this.start + this.#length;
  }
  /** Nothing may be appended any more: the journal goes on in a new segment. */
  get broken(): boolean {
    return this.#broken;
  }
  /** Up to here a power cut loses nothing. */
  get durableEnd(): Position {
    return this.start + this.#syncedLength;
  }

  /**
   * Appends all of `buffers`, or nothing: after a failed or short write the file is cut back, and where even that fails
   * the segment is broken (readers never look beyond its good length). Throws what the file system throws.
   */
  async append(buffers: readonly Uint8Array[], bytes: number): Promise<void> {
    try {
      let rest = buffers;
      let offset = SEGMENT_HEADER_BYTES + this.#length;
      let left = bytes;
      while (left > 0) {
        const { bytesWritten } = await this.#handle.writev(rest, offset);
        if (bytesWritten === 0) throw new Error(`${this.path}: the disk took no bytes`);
        left -= bytesWritten;
        offset += bytesWritten;
        if (left > 0) rest = without(rest, bytesWritten);
      }
      this.#length += bytes;
    } catch (error) {
      await this.#cutBack(this.#length);
      throw error;
    }
  }

  /** Takes back the last `bytes`, whose fdatasync failed; what the disk holds of this segment is not known, so it is broken. */
  async takeBack(bytes: number): Promise<void> {
    this.#broken = true;
    this.#length -= bytes;
    await this.#cutBack(this.#length);
  }

  /**
   * fdatasync. After a failure the kernel may call the same pages clean without having written them, so asking again
   * proves nothing: the segment is broken. Throws what the file system throws.
   */
  async sync(): Promise<void> {
    const length = this.#length;
    if (length === this.#syncedLength) return;
    try {
      await this.#disk.datasync(this.#handle);
    } catch (error) {
      this.#broken = true;
      throw error;
    }
    this.#syncedLength = Math.max(this.#syncedLength, length);
  }

  /** The file under our path is no longer ours: somebody removed or replaced it. */
  async vanished(): Promise<boolean> {
    try {
      const [ours, theirs] = await Promise.all([this.#handle.stat(), fs.promises.stat(this.path)]);
      return ours.ino !== theirs.ino || ours.dev !== theirs.dev;
    } catch (error) {
      return errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR';
    }
  }

  markBroken(): void {
    this.#broken = true;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #cutBack(length: number): Promise<void> {
    try {
      await this.#handle.truncate(SEGMENT_HEADER_BYTES + length);
    } catch {
      this.#broken = true;
    }
  }
}

function without(buffers: readonly Uint8Array[], bytes: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = bytes;
  for (const buffer of buffers) {
    if (skip >= buffer.byteLength) skip -= buffer.byteLength;
    else {
      rest.push(buffer.subarray(skip));
      skip = 0;
    }
  }
  return rest;
}
