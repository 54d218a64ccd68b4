// The file with a run's sealed points: slots of one size, each with a block of one series, written once and never changed in place.
import fs from 'node:fs';
import { BLOCK_POINTS, MAX_CACHED_BLOCKS } from './limits.ts';
import type { SortedPoints } from './points.ts';

const BYTES_PER_POINT = 3 * 8 + 2;
export const SLOT_BYTES = BLOCK_POINTS * BYTES_PER_POINT;

/** Columns of one block, to be read only. Beyond the block's count there is something else in them. */
export interface BlockColumns {
  readonly steps: Float64Array;
  readonly times: Float64Array;
  readonly values: Float64Array;
  readonly attempts: Uint16Array;
}

/** Blocks read last, of all files: a live page asks for the same buckets again and again. */
const cache = new Map<number, BlockColumns>();
let files = 0;
/** Slots of one file: far more than a disk holds. */
const SLOTS_PER_FILE = 2 ** 32;

/**
 * A slot is free again once no committed index names it: so a crash finds everything that the last commit means. `slots` and `free`
 * are kept by the index.
 */
export class BlockFile {
  slots: number;
  readonly #free: number[];
  /** Given up since the last commit. */
  #released: number[] = [];
  readonly #fd: number;
  readonly #cacheKey = files++ * SLOTS_PER_FILE;
  readonly #bytes = new ArrayBuffer(SLOT_BYTES);
  readonly #view = new Uint8Array(this.#bytes);
  readonly #columns: BlockColumns = columnsOf(this.#bytes);

  constructor(fd: number, slots: number, free: readonly number[]) {
    this.#fd = fd;
    this.slots = slots;
    this.#free = [...free];
  }

  /** Writes points `from` to `to`, at most a block of them, and returns their slot. Throws what the file system throws. */
  write(points: SortedPoints, from: number, to: number): number {
    const { steps, times, values, attempts } = this.#columns;
    steps.set(points.steps.subarray(from, to));
    times.set(points.times.subarray(from, to));
    values.set(points.values.subarray(from, to));
    attempts.set(points.attempts.subarray(from, to));
    const slot = this.#free.pop() ?? this.slots++;
    cache.delete(this.#cacheKey + slot);
    let written = 0;
    while (written < SLOT_BYTES)
      written += fs.writeSync(
        this.#fd,
        this.#view,
        written,
        SLOT_BYTES - written,
        slot * SLOT_BYTES + written,
      );
    return slot;
  }

  read(slot: number): BlockColumns {
    const key = this.#cacheKey + slot;
    const known = cache.get(key);
    if (known !== undefined) {
      cache.delete(key);
      cache.set(key, known);
      return known;
    }
    const bytes = new ArrayBuffer(SLOT_BYTES);
    const view = new Uint8Array(bytes);
    let read = 0;
    while (read < SLOT_BYTES) {
      const more = fs.readSync(this.#fd, view, read, SLOT_BYTES - read, slot * SLOT_BYTES + read);
      if (more === 0) throw new Error(`the column file ends before slot ${slot}`);
      read += more;
    }
    const columns = columnsOf(bytes);
    if (cache.size >= MAX_CACHED_BLOCKS)
      for (const oldest of cache.keys()) {
        cache.delete(oldest);
        break;
      }
    cache.set(key, columns);
    return columns;
  }

  /** Nobody in memory needs the slot any more; the last commit may. */
  release(slot: number): void {
    this.#released.push(slot);
  }

  /** Begins a commit: the slots that will be free once what is in memory now is committed. Tell with `end` how it went. */
  beginCommit(): { readonly free: readonly number[]; end(committed: boolean): void } {
    const released = this.#released;
    this.#released = [];
    return {
      free: [...this.#free, ...released],
      end: committed => (committed ? this.#free : this.#released).push(...released),
    };
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.fdatasync(this.#fd, error => (error === null ? resolve() : reject(error)));
    });
  }

  close(): void {
    fs.closeSync(this.#fd);
  }
}

function columnsOf(bytes: ArrayBuffer): BlockColumns {
  return {
    steps: new Float64Array(bytes, 0, BLOCK_POINTS),
    times: new Float64Array(bytes, BLOCK_POINTS * 8, BLOCK_POINTS),
    values: new Float64Array(bytes, BLOCK_POINTS * 16, BLOCK_POINTS),
    attempts: new Uint16Array(bytes, BLOCK_POINTS * 24, BLOCK_POINTS),
  };
}
