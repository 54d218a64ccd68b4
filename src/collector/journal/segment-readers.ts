// Read-only access to segments with a bounded number of open files.
import fs from 'node:fs';
import type { Position } from '../component.ts';
import { MAX_OPEN_SEGMENTS } from './limits.ts';
import type { ReadAt } from './scan.ts';
import { SEGMENT_HEADER_BYTES, type Segment } from './segment.ts';

interface OpenSegment {
  readonly handle: Promise<fs.promises.FileHandle>;
  /** Reads under way; a file is closed when nobody reads it, because its number may be given to another file at once. */
  readers: number;
  retired: boolean;
}

export class SegmentReaders {
  /** By path, least recently used first. */
  readonly #open = new Map<string, OpenSegment>();
  readonly #maxOpen: number;

  constructor(maxOpen: number = MAX_OPEN_SEGMENTS) {
    this.#maxOpen = maxOpen;
  }

  get openFiles(): number {
    return this.#open.size;
  }

  /** Reads by position within one segment. Rejects with what the file system says. */
  readAt(segment: Segment): ReadAt {
    return async (position: Position, length: number) => {
      const open = this.#acquire(segment.path);
      try {
        const handle = await open.handle;
        const bytes = Buffer.allocUnsafeSlow(length);
        let filled = 0;
        while (filled < length) {
          const offset = SEGMENT_HEADER_BYTES + (position - segment.start) + filled;
          const { bytesRead } = await handle.read(bytes, filled, length - filled, offset);
          if (bytesRead === 0) break;
          filled += bytesRead;
        }
        return bytes.subarray(0, filled);
      } catch (error) {
        this.#retire(segment.path);
        throw error;
      } finally {
        open.readers--;
        if (open.retired && open.readers === 0) void closeQuietly(open);
      }
    };
  }

  /** Closes the file of a segment that is deleted, once nobody reads it. */
  forget(segment: Segment): void {
    this.#retire(segment.path);
  }

  async close(): Promise<void> {
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const file of open) file.retired = true;
    await Promise.all(open.filter(file => file.readers === 0).map(closeQuietly));
  }

  #acquire(path: string): OpenSegment {
    let open = this.#open.get(path);
    if (open === undefined) {
      open = { handle: fs.promises.open(path, 'r'), readers: 0, retired: false };
      open.handle.catch(() => {});
    }
    this.#open.delete(path);
    this.#open.set(path, open);
    open.readers++;
    for (const [other, file] of this.#open) {
      if (this.#open.size <= this.#maxOpen) break;
      if (file !== open) this.#retire(other);
    }
    return open;
  }

  #retire(path: string): void {
    const open = this.#open.get(path);
    if (open === undefined) return;
    this.#open.delete(path);
    open.retired = true;
    if (open.readers === 0) void closeQuietly(open);
  }
}

async function closeQuietly(open: OpenSegment): Promise<void> {
  try {
    await (await open.handle).close();
  } catch {
    // It was never opened, or closing a file that was only read failed: nothing is lost either way.
  }
}
