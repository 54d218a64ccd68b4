// The column index of one run: reads what its metrics files have grown by, keeps a column per series, and commits both together.
import fs from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { confinedFolder, confinedOpenAnywhere, confinedOpenExisting } from '../runs/confined.ts';
import type { Superseded } from '../runs/lifecycle.ts';
import { sinkName } from '../runs/series-name.ts';
import { BlockFile } from './block-file.ts';
import { type Counts, readIndex, type Source, writeIndex } from './index-file.ts';
import {
  CHECKED_BYTES,
  MAX_LINE_BYTES,
  MAX_MARKS,
  MAX_SERIES_PER_RUN,
  MAX_SOURCES_PER_RUN,
  READ_BYTES,
} from './limits.ts';
import { metricOf, type RowSink, readRows } from './rows.ts';
import { Series } from './series.ts';

const COLUMNS = 'columns';
const INDEX = 'index';
const LINE_FEED = 10;
const METRICS_FILE = /^metrics(?:\.[A-Za-z0-9_-]{1,64})?\.jsonl$/;

export interface RunPlace {
  /** The folder that holds the run folders, and the run's. */
  readonly root: string;
  readonly folder: string;
  /** Where the run's index is kept: a folder of its own below `indexes`. */
  readonly indexes: string;
  readonly key: string;
}

export class RunIndex implements RowSink {
  readonly place: RunPlace;
  /** By name; of ranks above 0 with `/rank=N` behind it. */
  readonly metrics = new Map<string, Series>();
  /** What rows carry beside their step, by name. */
  readonly axes = new Map<string, Series>();
  counts: Counts = { unreadable: 0, leftOut: 0 };
  /** Who works with it now: it must not be closed. */
  users = 0;
  /** Reading or writing failed on the way: it must be opened again from its last commit. */
  spoiled = false;
  /** When the first line after the last commit was read; undefined where nothing is to be written. */
  dirtySinceMs: number | undefined;
  lastReadMs = 0;
  #blocks: BlockFile;
  #sources = new Map<string, Source>();
  #marks: Superseded[] = [];
  /** Lines are full of the same few keys: by rank, the series of each. */
  #byKey = new Map<number, Map<string, Series | null>>();
  #committing: Promise<void> | undefined;
  #closed = false;

  /** Opens what was committed, or begins anew. Throws what the file system throws, and ConfinementError. */
  constructor(place: RunPlace) {
    this.place = place;
    const fd = openColumns(place);
    try {
      const loaded = readIndex(path.join(place.indexes, place.key, INDEX), fd);
      if (loaded === undefined) {
        fs.ftruncateSync(fd, 0);
        this.#blocks = new BlockFile(fd, 0, []);
        return;
      }
      this.#blocks = loaded.blocks;
      for (const source of loaded.sources) this.#sources.set(source.file, { ...source });
      this.#marks = [...loaded.marks];
      this.counts = { ...loaded.counts };
      for (const [name, series] of loaded.metrics) this.metrics.set(name, series);
      for (const [name, series] of loaded.axes) this.axes.set(name, series);
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
  }

  /**
   * Reads one piece more of what the run's metrics files have; false when there is nothing more. A file that is not the one that
   * was read (cut, replaced) makes the index begin anew.
   */
  readMore(): boolean {
    const { root, folder } = this.place;
    for (const file of metricsFiles(this.place)) {
      let source = this.#sources.get(file);
      if (source === undefined) {
        if (this.#sources.size >= MAX_SOURCES_PER_RUN) continue;
        source = { file, offset: 0, check: 0 };
      }
      const fd = confinedOpenExisting(root, folder, 'logs', file);
      if (fd === undefined) continue;
      try {
        const { size } = fs.fstatSync(fd);
        if (size < source.offset || !isSame(fd, source)) {
          // The commit under way would put the old one back.
          if (this.#committing !== undefined) return false;
          this.#beginAnew();
          return true;
        }
        if (size > source.offset && this.#read(fd, source, size)) return true;
      } finally {
        fs.closeSync(fd);
      }
    }
    return false;
  }

  /** Bytes of the metrics files that are not read yet, and in all. */
  progress(): { readonly behind: number; readonly size: number } {
    let behind = 0;
    let all = 0;
    for (const file of metricsFiles(this.place)) {
      const place = path.join(this.place.root, this.place.folder, 'logs', file);
      const size = fs.statSync(place, { throwIfNoEntry: false })?.size ?? 0;
      all += size;
      behind += Math.max(0, size - (this.#sources.get(file)?.offset ?? 0));
    }
    return { behind, size: all };
  }

  point(key: string, rank: number, step: number, time: number, value: number, attempt: number): void {
    if (this.#marks.length > 0 && this.#isSuperseded(attempt, step)) return;
    let byKey = this.#byKey.get(rank);
    if (byKey === undefined) {
      byKey = new Map();
      this.#byKey.set(rank, byKey);
    }
    let series = byKey.get(key);
    if (series === undefined) {
      series = this.#find(this.metrics, metricOf(key), rank) ?? null;
      if (byKey.size < MAX_SERIES_PER_RUN) byKey.set(key, series);
    }
    if (series === null) this.counts.leftOut++;
    else series.put(step, time, value, attempt);
  }

  axis(name: string, rank: number, step: number, time: number, value: number, attempt: number): void {
    if (this.#marks.length > 0 && this.#isSuperseded(attempt, step)) return;
    const series = this.#find(this.axes, name, rank);
    if (series === undefined) this.counts.leftOut++;
    else series.put(step, time, value, attempt);
  }

  mark(attempt: number, fromStep: number): void {
    const known = this.#marks.some(mark => mark.attempt === attempt && mark.fromStep <= fromStep);
    if (known || this.#marks.length >= MAX_MARKS) return;
    this.#marks.push({ attempt, fromStep });
    for (const series of this.metrics.values()) series.supersede(attempt, fromStep);
    for (const series of this.axes.values()) series.supersede(attempt, fromStep);
  }

  unreadable(): void {
    this.counts.unreadable++;
  }

  /** About what it takes in memory. */
  get bytes(): number {
    let bytes = 0;
    for (const series of this.metrics.values()) bytes += series.bytes;
    for (const series of this.axes.values()) bytes += series.bytes;
    return bytes;
  }

  /** Makes what was read durable: columns first, then the index that means them. Not while reading goes on. */
  async commit(): Promise<void> {
    this.#committing ??= this.#commit().finally(() => {
      this.#committing = undefined;
    });
    return this.#committing;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#blocks.close();
  }

  async #commit(): Promise<void> {
    if (this.dirtySinceMs === undefined || this.#closed) return;
    for (const series of this.metrics.values()) series.merge();
    for (const series of this.axes.values()) series.merge();
    this.dirtySinceMs = undefined;
    const folder = path.join(this.place.indexes, this.place.key);
    try {
      await writeIndex(
        path.join(folder, INDEX),
        {
          sources: [...this.#sources.values()],
          marks: this.#marks,
          counts: this.counts,
          metrics: this.metrics,
          axes: this.axes,
        },
        this.#blocks,
      );
    } catch (error) {
      this.dirtySinceMs ??= Date.now();
      throw error;
    }
  }

  /** True when it read something. */
  #read(fd: number, source: Source, size: number): boolean {
    for (let bytes = READ_BYTES; ; bytes *= 4) {
      const from = Math.max(0, source.offset - CHECKED_BYTES);
      const buffer = readAt(fd, from, Math.min(size, source.offset + bytes) - from);
      const end = buffer.lastIndexOf(LINE_FEED) + 1;
      const before = source.offset - from;
      if (end <= before) {
        // The rest of the line has not come, or the line is longer than one read.
        if (source.offset + bytes >= size) return false;
        if (bytes < MAX_LINE_BYTES) continue;
        source.offset += bytes;
        this.counts.unreadable++;
        source.check = crc32(
          readAt(fd, Math.max(0, source.offset - CHECKED_BYTES), Math.min(source.offset, CHECKED_BYTES)),
        );
        this.#touch(source);
        return true;
      }
      readRows(buffer.toString('utf8', before, end), this);
      source.offset = from + end;
      source.check = crc32(buffer.subarray(Math.max(0, end - CHECKED_BYTES), end));
      this.#touch(source);
      return true;
    }
  }

  #touch(source: Source): void {
    this.#sources.set(source.file, source);
    this.lastReadMs = Date.now();
    this.dirtySinceMs ??= this.lastReadMs;
  }

  #beginAnew(): void {
    this.#blocks.close();
    const columns = openColumns(this.place);
    // No committed index may mean what is about to be overwritten.
    fs.rmSync(path.join(this.place.indexes, this.place.key, INDEX), { force: true });
    fs.ftruncateSync(columns, 0);
    this.#blocks = new BlockFile(columns, 0, []);
    this.metrics.clear();
    this.axes.clear();
    this.#byKey.clear();
    this.#sources.clear();
    this.#marks = [];
    this.counts = { unreadable: 0, leftOut: 0 };
  }

  #isSuperseded(attempt: number, step: number): boolean {
    for (const mark of this.#marks) if (mark.attempt > attempt && step >= mark.fromStep) return true;
    return false;
  }

  #find(among: Map<string, Series>, name: string, rank: number): Series | undefined {
    const full = sinkName(name, rank);
    let series = among.get(full);
    if (series === undefined) {
      if (this.metrics.size + this.axes.size >= MAX_SERIES_PER_RUN) return undefined;
      series = new Series(full, this.#blocks);
      among.set(full, series);
    }
    return series;
  }
}

/** Names of the run's metrics files: its own, and those of other writers. */
function metricsFiles({ root, folder }: RunPlace): string[] {
  try {
    return fs
      .readdirSync(path.join(root, folder, 'logs'))
      .filter(name => METRICS_FILE.test(name))
      .sort();
  } catch {
    return [];
  }
}

function openColumns({ indexes, key }: RunPlace): number {
  confinedFolder(indexes, key);
  return confinedOpenAnywhere(indexes, key, COLUMNS);
}

function isSame(fd: number, source: Source): boolean {
  if (source.offset === 0) return true;
  const from = Math.max(0, source.offset - CHECKED_BYTES);
  const read = readAt(fd, from, source.offset - from);
  return read.length === source.offset - from && crc32(read) === source.check;
}

function readAt(fd: number, from: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafe(length);
  let read = 0;
  while (read < length) {
    const more = fs.readSync(fd, buffer, read, length - read, from + read);
    if (more === 0) break;
    read += more;
  }
  return buffer.subarray(0, read);
}
