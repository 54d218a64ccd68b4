// The journal: an append-only, segmented log of requests. What is acknowledged is in it; exporters read from it.
import fs from 'node:fs';
import { frameSize, MAX_FRAME_BODY_BYTES, MAX_KEY_BYTES } from '../../otlp/frame.ts';
import type { Logger, Position } from '../component.ts';
import { contentName } from './contents.ts';
import { errorText, syncFolder } from './durable-file.ts';
import { type AppendInput, type AppendResult, layOut, type Mark, type Pending } from './group.ts';
import {
  DEFAULT_FSYNC_INTERVAL_MS,
  DEFAULT_MARKS_MAX_AGE_MS,
  DEFAULT_MAX_SIZE_BYTES,
  DEFAULT_SEGMENT_BYTES,
  DEFAULT_TAIL_BYTES,
  HOUSEKEEPING_INTERVAL_MS,
  MARKS_SNAPSHOT_BYTES,
  MARKS_SNAPSHOT_INTERVAL_MS,
  MAX_GROUP_BYTES,
  MAX_GROUP_RECORDS,
  MAX_PENDING_REQUESTS,
  MIN_SEGMENT_BYTES,
  MIN_SEGMENTS_IN_LIMIT,
  READ_CHUNK_BYTES,
  RETRY_AFTER_BUSY_MS,
  RETRY_AFTER_DISK_MS,
  RETRY_AFTER_FULL_MS,
  ROOM_PATIENCE_MS,
  ROOM_POLL_MS,
} from './limits.ts';
import { type JournalLock, lockJournal } from './lock.ts';
import { type BatchMarks, parseBatchKey } from './marks.ts';
import { saveMarks } from './marks-file.ts';
import { marksFile, recoverJournal } from './recover.ts';
import { FindingsReport } from './report.ts';
import { scanChunk } from './scan.ts';
import { SegmentList } from './segment-list.ts';
import { SegmentReaders } from './segment-readers.ts';
import { REAL_DISK, type SegmentDisk, SegmentWriter } from './segment-writer.ts';
import type { Finding, JournalRead, JournalRecord, JournalSource } from './source.ts';
import { Tail } from './tail.ts';

export type FsyncMode = 'always' | 'interval' | 'never';

export interface JournalOptions {
  readonly directory: string;
  /** `always`: acknowledged after fdatasync. `interval` (default): fdatasync every `fsyncIntervalMs`. `never`: the kernel's own pace. */
  readonly fsync?: FsyncMode;
  readonly fsyncIntervalMs?: number;
  /** All segments together. */
  readonly maxSizeBytes?: number;
  /** At most a quarter of `maxSizeBytes`. */
  readonly segmentBytes?: number;
  /** `needed` (default): a segment goes once no exporter can come back to it. `all`: nothing is deleted. */
  readonly keep?: 'needed' | 'all';
  /** A segment that is no longer needed is kept for this long after it was sealed, unless room is short. */
  readonly keepForMs?: number;
  /** Newest records held in memory. */
  readonly tailBytes?: number;
  readonly marksMaxAgeMs?: number;
  readonly logger: Logger;
  /** Unix time in ns. */
  readonly now?: () => bigint;
  /** For tests of failing disks. */
  readonly disk?: SegmentDisk;
}

/** Who reads the journal, as far as deleting is concerned. */
export interface Retention {
  /** The lowest position that a reader may have to come back to. */
  needed(): Position;
  /**
   * The journal is full and `needed` holds everything in it: let go of something (park an exporter) and say whether that
   * was possible. First only of what will not move soon; with `last` of anything, before senders are pushed back.
   */
  onPressure?(last: boolean): boolean;
  /** Readers that are moving should commit now, so that `needed` moves. False when none is: then waiting is no use. */
  hurry?(): boolean;
}

export interface JournalStats {
  readonly id: string;
  readonly directory: string;
  readonly start: Position;
  readonly end: Position;
  readonly sizeBytes: number;
  readonly maxSizeBytes: number;
  readonly segments: number;
  readonly pendingRequests: number;
  readonly tailBytes: number;
  readonly appendedRecords: number;
  readonly appendedBytes: number;
  readonly groups: number;
  readonly duplicates: number;
  readonly refused: Readonly<Record<RefusalReason, number>>;
  readonly fsyncFailures: number;
  /** Damage found by this process: stretches and bytes. */
  readonly damaged: number;
  readonly damagedBytes: number;
  readonly senders: number;
  readonly forgottenMarks: number;
  readonly lastError: string | undefined;
}
export type RefusalReason = 'closed' | 'busy' | 'full' | 'disk' | 'too_large';

/** Recovers what is there and opens it for appending. Throws when the folder cannot be used or another collector has it open. */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  await fs.promises.mkdir(options.directory, { recursive: true });
  const lock = await lockJournal(options.directory);
  try {
    const report = await FindingsReport.open(options.directory, options.logger);
    const recovered = await recoverJournal(options.directory, {
      logger: options.logger,
      report,
      marks: { maxAgeMs: options.marksMaxAgeMs ?? DEFAULT_MARKS_MAX_AGE_MS },
    });
    const journal = new Journal(options, lock, report, recovered);
    await journal.open();
    return journal;
  } catch (error) {
    await lock.release();
    throw error;
  }
}

export class Journal implements JournalSource {
  readonly id: string;
  readonly directory: string;
  readonly #options: JournalOptions;
  readonly #fsync: FsyncMode;
  readonly #maxSizeBytes: number;
  readonly #segmentBytes: number;
  readonly #maxGroupBytes: number;
  readonly #logger: Logger;
  readonly #now: () => bigint;
  readonly #disk: SegmentDisk;
  readonly #lock: JournalLock;
  readonly #report: FindingsReport;
  readonly #marks: BatchMarks;
  readonly #contents: BatchMarks;
  readonly #readers = new SegmentReaders();
  readonly #tail: Tail;
  readonly #inFlight = new Map<string, Promise<AppendResult>>();
  readonly #listeners = new Set<() => void>();
  readonly #refused: Record<RefusalReason, number> = { closed: 0, busy: 0, full: 0, disk: 0, too_large: 0 };
  readonly #segments: SegmentList;
  #active: SegmentWriter | undefined;
  #end: Position;
  #durable: Position;
  #queue: Pending[] = [];
  #pumping: Promise<void> | undefined;
  #syncing: Promise<void> | undefined;
  #syncTimer: NodeJS.Timeout | undefined;
  #housekeepingTimer: NodeJS.Timeout | undefined;
  #housekeeping: Promise<void> | undefined;
  #savingMarks: Promise<void> | undefined;
  #marksPosition: Position;
  #marksSavedAtMs = Date.now();
  #retention: Retention | undefined;
  #closed = false;
  #appendedRecords = 0;
  #appendedBytes = 0;
  #groups = 0;
  #duplicates = 0;
  #fsyncFailures = 0;
  #lastError: string | undefined;

  /** Use `openJournal`. */
  constructor(
    options: JournalOptions,
    lock: JournalLock,
    report: FindingsReport,
    recovered: Awaited<ReturnType<typeof recoverJournal>>,
  ) {
    this.id = recovered.id;
    this.directory = options.directory;
    this.#options = options;
    this.#fsync = options.fsync ?? 'interval';
    this.#maxSizeBytes = options.maxSizeBytes ?? DEFAULT_MAX_SIZE_BYTES;
    this.#segmentBytes = Math.max(
      MIN_SEGMENT_BYTES,
      Math.min(options.segmentBytes ?? DEFAULT_SEGMENT_BYTES, this.#maxSizeBytes / MIN_SEGMENTS_IN_LIMIT),
    );
    this.#maxGroupBytes = Math.min(MAX_GROUP_BYTES, this.#segmentBytes);
    this.#logger = options.logger;
    this.#now = options.now ?? (() => BigInt(Date.now()) * 1_000_000n);
    this.#disk = options.disk ?? REAL_DISK;
    this.#lock = lock;
    this.#report = report;
    this.#marks = recovered.marks;
    this.#contents = recovered.contents;
    this.#marksPosition = recovered.marksPosition;
    this.#tail = new Tail(options.tailBytes ?? DEFAULT_TAIL_BYTES);
    this.#segments = new SegmentList(recovered.segments);
    this.#end = recovered.end;
    this.#durable = recovered.end;
  }

  /** Part of `openJournal`: everything that can fail happens before a receiver listens. */
  async open(): Promise<void> {
    const last = this.#segments.last;
    if (last !== undefined && last.end - last.start < this.#segmentBytes) {
      this.#active = await SegmentWriter.reopen(last.path, last.start, last.end - last.start, this.#disk);
      // What an earlier process wrote may still be in the page cache only.
      if (this.#fsync !== 'never') await this.#active.sync();
    } else {
      await this.#roll();
    }
    this.#housekeepingTimer = setInterval(() => this.#keepHouse(), HOUSEKEEPING_INTERVAL_MS);
    this.#housekeepingTimer.unref();
  }

  get start(): Position {
    return this.#segments.first?.start ?? this.#end;
  }
  get end(): Position {
    return this.#end;
  }
  get sizeBytes(): number {
    return this.#segments.sizeBytes;
  }
  /** Damage found by this process (the first thousand). */
  get findings(): readonly Finding[] {
    return this.#report.findings;
  }

  /** Who reads, for deleting what is no longer needed. Without it nothing is deleted. */
  retain(retention: Retention): void {
    this.#retention = retention;
  }

  /** Resolves once the request is stored as `fsync` asks, or refused. Never rejects. A batch key that is there already is not stored again. */
  append(input: AppendInput): Promise<AppendResult> {
    if (this.#closed)
      return Promise.resolve(this.#refuse('closed', 'the collector is stopping', RETRY_AFTER_DISK_MS));
    if (input.bytes.byteLength > MAX_FRAME_BODY_BYTES) {
      const reason = `a request of ${input.bytes.byteLength} bytes; the journal takes ${MAX_FRAME_BODY_BYTES}`;
      return Promise.resolve(this.#refuse('too_large', reason, RETRY_AFTER_FULL_MS));
    }
    const mark = this.#markOf(input);
    if (mark === undefined) return this.#enqueue(input, mark);
    if (mark.known.has(mark.name)) {
      this.#duplicates++;
      return Promise.resolve({ kind: 'stored', position: this.#end, duplicate: true });
    }
    const underWay = this.#inFlight.get(mark.text);
    if (underWay !== undefined) return underWay.then(result => this.#asDuplicate(result));
    const result = this.#enqueue(input, mark);
    this.#inFlight.set(mark.text, result);
    return result;
  }

  #markOf({ batchKey, signal, bytes }: AppendInput): Mark | undefined {
    const batch = parseBatchKey(batchKey, signal);
    if (batch !== undefined) return { known: this.#marks, name: batch, text: batchKey };
    const content = contentName(batchKey, signal, bytes);
    return content === undefined ? undefined : { known: this.#contents, name: content, text: content.sender };
  }

  async read(position: Position, maxBytes: number = READ_CHUNK_BYTES): Promise<JournalRead> {
    if (position >= this.#end) return { records: [], next: position };
    const held = this.#tail.from(position, maxBytes);
    if (held !== undefined) return { records: held, next: held.at(-1)!.next };
    const segment = this.#segments.at(position);
    if (segment === undefined) return { records: [], next: this.start };
    const from = Math.max(position, segment.start);
    const to = Math.min(segment.end, this.#end);
    const following = this.#segments.after(segment);
    if (from >= to) return { records: [], next: following?.start ?? this.#end };
    try {
      const scanned = await scanChunk(this.#readers.readAt(segment), from, to, maxBytes);
      for (const damage of scanned.damage)
        this.#report.add({ ...damage, kind: 'corrupt', segment: segment.path });
      return { records: scanned.records, next: scanned.next };
    } catch (error) {
      if (position < this.start) return { records: [], next: this.start };
      if (!(await missing(segment.path))) throw error;
      // Somebody removed the file. What follows can still be read.
      this.#report.add({
        kind: 'missing',
        position: from,
        next: to,
        segment: segment.path,
        reason: errorText(error),
      });
      return { records: [], next: to };
    }
  }

  /** The record at a position, if it is among the newest ones in memory. */
  recent(position: Position): JournalRecord | undefined {
    return this.#tail.at(position);
  }
  /** Records from a position to the end; undefined when that is not known without reading the disk. */
  countFrom(position: Position): number | undefined {
    return position >= this.#end ? 0 : this.#tail.countFrom(position);
  }

  /** Lets go of the newest records in memory: who still reads them reads the disk. */
  forgetTail(): void {
    this.#tail.clear();
  }

  /** Calls back, without details, each time the end has moved. Returns the way to stop it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves once the end is beyond `position`. */
  changed(position: Position): Promise<void> {
    if (this.#end > position) return Promise.resolve();
    return new Promise(resolve => {
      const stop = this.subscribe(() => {
        if (this.#end <= position) return;
        stop();
        resolve();
      });
    });
  }

  /**
   * Resolves once a power cut can no longer take what stands before `position` (at once with `fsync: never`). Exporters
   * ask before they commit, so that no cursor ever points beyond what the journal can prove. A disk that fails is
   * reported and counted, and does not hold them up.
   */
  async durable(position: Position): Promise<void> {
    if (this.#fsync === 'never') return;
    if (this.#durable < position) await this.#sync();
  }

  /** Deletes what no reader needs any more. */
  async trim(): Promise<void> {
    await this.#deleteUnneeded();
  }

  stats(): JournalStats {
    return {
      id: this.id,
      directory: this.directory,
      start: this.start,
      end: this.#end,
      sizeBytes: this.sizeBytes,
      maxSizeBytes: this.#maxSizeBytes,
      segments: this.#segments.length,
      pendingRequests: this.#queue.length,
      tailBytes: this.#tail.bytes,
      appendedRecords: this.#appendedRecords,
      appendedBytes: this.#appendedBytes,
      groups: this.#groups,
      duplicates: this.#duplicates,
      refused: { ...this.#refused },
      fsyncFailures: this.#fsyncFailures,
      damaged: this.#report.count,
      damagedBytes: this.#report.bytes,
      senders: this.#marks.senders,
      forgottenMarks: this.#marks.forgotten,
      lastError: this.#lastError,
    };
  }

  /** Takes nothing more, writes what is queued, makes it durable and lets go of the folder. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#housekeepingTimer);
    clearTimeout(this.#syncTimer);
    await this.#pumping;
    await this.#housekeeping;
    await this.#sync();
    await this.#saveMarks();
    await this.#active?.close().catch(error => this.#failed('closing a segment', error));
    await this.#readers.close();
    this.#tail.clear();
    await this.#lock.release();
  }

  #enqueue(input: AppendInput, mark: Mark | undefined): Promise<AppendResult> {
    if (this.#queue.length >= MAX_PENDING_REQUESTS) {
      const reason = `${MAX_PENDING_REQUESTS} requests are waiting for the disk`;
      return Promise.resolve(this.#refuse('busy', reason, RETRY_AFTER_BUSY_MS));
    }
    return new Promise(resolve => {
      const key = Buffer.byteLength(input.batchKey) > MAX_KEY_BYTES ? '' : input.batchKey;
      const bytes = frameSize(key, input.bytes.byteLength);
      this.#queue.push({ input, key, bytes, mark, resolve });
      this.#pumping ??= this.#pump();
    });
  }

  async #pump(): Promise<void> {
    // One turn later, so that requests that arrive together share a write.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      try {
        await this.#writeGroup(group);
      } catch (error) {
        this.#failed('writing', error);
        const reason = `the journal cannot be written: ${errorText(error)}`;
        for (const pending of group) this.#settle(pending, this.#refuse('disk', reason, RETRY_AFTER_DISK_MS));
      }
    }
    this.#pumping = undefined;
  }

  #takeGroup(): Pending[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && count < MAX_GROUP_RECORDS) {
      bytes += this.#queue[count]!.bytes;
      if (count > 0 && bytes > this.#maxGroupBytes) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  async #writeGroup(group: readonly Pending[]): Promise<void> {
    let bytes = 0;
    for (const pending of group) bytes += pending.bytes;
    if (!(await this.#makeRoom(bytes))) {
      const reason = `the journal is full (${this.sizeBytes} of ${this.#maxSizeBytes} bytes) with what exporters still have to read`;
      for (const pending of group) this.#settle(pending, this.#refuse('full', reason, RETRY_AFTER_FULL_MS));
      return;
    }
    const active = this.#active;
    if (
      active === undefined ||
      active.broken ||
      (active.length > 0 && active.length + bytes > this.#segmentBytes)
    ) {
      await this.#roll();
    }
    const segment = this.#active!;
    const received = this.#now();
    const { buffers, records } = layOut(group, segment.end, received);
    await segment.append(buffers, bytes);
    if (this.#fsync === 'always') {
      try {
        await segment.sync();
      } catch (error) {
        this.#fsyncFailures++;
        await segment.takeBack(bytes);
        throw error;
      }
      this.#durable = segment.end;
    }
    this.#segments.grow(segment.end);
    this.#end = segment.end;
    this.#groups++;
    this.#appendedRecords += group.length;
    this.#appendedBytes += bytes;
    const nowMs = Number(received / 1_000_000n);
    for (const [index, pending] of group.entries()) {
      const record = records[index]!;
      this.#tail.push(record);
      pending.mark?.known.add(pending.mark.name, nowMs);
      this.#settle(pending, { kind: 'stored', position: record.next, duplicate: false });
    }
    if (this.#fsync === 'interval') this.#syncSoon();
    this.#notify();
  }

  #notify(): void {
    for (const listener of this.#listeners) {
      try {
        listener();
      } catch (error) {
        this.#failed('telling a reader', error);
      }
    }
  }

  #settle(pending: Pending, result: AppendResult): void {
    if (pending.mark !== undefined) this.#inFlight.delete(pending.mark.text);
    pending.resolve(result);
  }

  #asDuplicate(result: AppendResult): AppendResult {
    if (result.kind === 'refused') return result;
    this.#duplicates++;
    return { ...result, duplicate: true };
  }

  /** Seals the active segment and starts the next one. Throws when that cannot be made; the journal then stays as it is. */
  async #roll(): Promise<void> {
    const sealed = this.#active;
    if (sealed !== undefined && !sealed.broken && this.#fsync !== 'never') await this.#sync();
    const start = this.#end;
    const next = await SegmentWriter.create(
      this.directory,
      this.id,
      start,
      this.#fsync !== 'never',
      this.#disk,
    );
    this.#active = next;
    // One that was broken before it held anything.
    const replaced = this.#segments.begin(next.path, start);
    if (replaced !== undefined) this.#readers.forget(replaced);
    // Records of a segment whose fdatasync failed are as durable as they will ever be.
    this.#durable = Math.max(this.#durable, start);
    await sealed?.close().catch(error => this.#failed('closing a segment', error));
  }

  #syncSoon(): void {
    if (this.#syncTimer !== undefined || this.#closed) return;
    this.#syncTimer = setTimeout(() => {
      this.#syncTimer = undefined;
      void this.#sync();
    }, this.#options.fsyncIntervalMs ?? DEFAULT_FSYNC_INTERVAL_MS);
    this.#syncTimer.unref();
  }

  /** fdatasync of everything written before this call; one at a time, shared by all who ask. Never rejects. */
  async #sync(): Promise<void> {
    const target = this.#end;
    while (this.#durable < target) {
      this.#syncing ??= this.#syncActive().finally(() => {
        this.#syncing = undefined;
      });
      await this.#syncing;
    }
  }

  async #syncActive(): Promise<void> {
    const segment = this.#active;
    if (segment === undefined) return;
    const end = this.#end;
    try {
      await segment.sync();
    } catch (error) {
      this.#fsyncFailures++;
      this.#failed('fdatasync, going on in a new segment', error);
    }
    this.#durable = Math.max(this.#durable, end);
  }

  /** True when `bytes` fit: after deleting what nobody needs, parking who lags, and waiting a moment for who does not. */
  async #makeRoom(bytes: number): Promise<boolean> {
    const fits = (): boolean => this.sizeBytes + bytes <= this.#maxSizeBytes;
    if (fits()) return true;
    await this.#deleteUnneeded(fits);
    if (this.#options.keep === 'all') return fits();
    const letGo = async (last: boolean): Promise<void> => {
      while (!fits() && this.#retention?.onPressure?.(last) === true) await this.#deleteUnneeded(fits);
    };
    await letGo(false);
    const giveUpAtMs = performance.now() + ROOM_PATIENCE_MS;
    while (!fits() && performance.now() < giveUpAtMs && this.#retention?.hurry?.() === true) {
      await new Promise(resolve => setTimeout(resolve, ROOM_POLL_MS));
      await this.#deleteUnneeded(fits);
    }
    await letGo(true);
    return fits();
  }

  /** With `enough`, age does not matter and it stops as soon as there is room. */
  async #deleteUnneeded(enough?: () => boolean): Promise<void> {
    if (this.#retention === undefined || this.#options.keep === 'all') return;
    const needed = this.#retention.needed();
    const newestToGo = Date.now() - (this.#options.keepForMs ?? 0);
    let deleted = false;
    for (;;) {
      const { first } = this.#segments;
      if (first === undefined || this.#segments.length < 2 || first.end > needed) break;
      if (enough === undefined ? this.#segments.sealedAtMs(first) > newestToGo : enough()) break;
      // The marks outlive the data they came from; only a full journal does not wait for that.
      if (this.#marksPosition < first.end) await this.#saveMarks();
      if (this.#marksPosition < first.end && enough === undefined) break;
      if (this.#segments.first !== first) continue;
      this.#segments.dropFirst();
      this.#readers.forget(first);
      deleted = true;
      await fs.promises
        .rm(first.path, { force: true })
        .catch(error => this.#failed('deleting a segment', error));
    }
    if (deleted && this.#fsync !== 'never') {
      await syncFolder(this.directory).catch(error => this.#failed('fsync of the folder', error));
    }
  }

  #keepHouse(): void {
    this.#housekeeping ??= this.#houseWork().finally(() => {
      this.#housekeeping = undefined;
    });
  }

  async #houseWork(): Promise<void> {
    if (this.#active !== undefined && !this.#active.broken && (await this.#active.vanished())) {
      this.#active.markBroken();
      this.#failed(
        'the folder',
        new Error(`${this.#active.path} was removed while it was being written; going on in a new segment`),
      );
    }
    const nowMs = Date.now();
    const due =
      this.#end - this.#marksPosition >= MARKS_SNAPSHOT_BYTES ||
      (this.#end > this.#marksPosition && nowMs - this.#marksSavedAtMs >= MARKS_SNAPSHOT_INTERVAL_MS);
    if (due) await this.#saveMarks();
    if (this.#segments.length > 1) await this.#deleteUnneeded();
  }

  /** Snapshots the marks. The records they came from are made durable first: a mark without its record would lose a retry. */
  #saveMarks(): Promise<void> {
    this.#savingMarks ??= this.#saveMarksNow().finally(() => {
      this.#savingMarks = undefined;
    });
    return this.#savingMarks;
  }

  async #saveMarksNow(): Promise<void> {
    try {
      this.#marks.expire(Date.now());
      const position = this.#end;
      this.#contents.expire(Date.now());
      const marks = structuredClone(this.#marks.serialize());
      const snapshot = { journal: this.id, position, marks, contents: this.#contents.serialize() };
      await this.#sync();
      await saveMarks(marksFile(this.directory), snapshot);
      this.#marksPosition = position;
      this.#marksSavedAtMs = Date.now();
    } catch (error) {
      this.#failed('saving the marks', error);
    }
  }

  #refuse(kind: RefusalReason, reason: string, retryAfterMs: number): AppendResult {
    this.#refused[kind]++;
    return { kind: 'refused', reason, retryAfterMs };
  }

  #failed(what: string, error: unknown): void {
    this.#lastError = `${what}: ${errorText(error)}`;
    this.#logger.error(`journal: ${this.#lastError}`, { directory: this.directory });
  }
}

async function missing(file: string): Promise<boolean> {
  return fs.promises.access(file).then(
    () => false,
    () => true,
  );
}
