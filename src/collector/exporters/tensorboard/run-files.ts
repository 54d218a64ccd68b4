// The event files of one run: the parts written so far, the one being written, and mends that put late points in order.
import fs from 'node:fs';
import path from 'node:path';
import type { Logger } from '../../component.ts';
import { confinedOpen } from '../../runs/confined.ts';
import {
  appendAll,
  eventFileName,
  fileError,
  filePath,
  isForgotten,
  listEventFiles,
  openExisting,
  type Place,
  removeFile,
  retireFile,
  unfinishedName,
} from './event-file.ts';
import { newHead, readHead, visitTags } from './event-reader.ts';
import { encodeFileVersion, encodeSessionStart } from './events.ts';
import type { LateFile } from './late-file.ts';
import { FLUSH_BYTES, MARK_BYTES, MAX_PARTS } from './limits.ts';
import { collect, collectLate, copyRecords, datasync, Places, type Source, stepOrder } from './mend.ts';
import { RecordBuffer } from './record-buffer.ts';
import { scanFile } from './records.ts';

/** One event file of ours. Readers take a run's parts one after the other. */
export interface Part {
  readonly name: string;
  length: number;
  /** Step of the START at its head; undefined without one. */
  readonly start: number | undefined;
  /** That START means that the training went back. */
  readonly rewind: boolean;
  largestStep: number;
  /** See `Source.marks`. */
  readonly marks: number[];
}

/** How a part begins. */
interface Head {
  readonly start: number;
  readonly rewind: boolean;
}

export interface RunFilesOptions {
  readonly place: Place;
  readonly logger: Logger;
  readonly maxFileBytes: number;
  /** Number of the commit under way; part of the names of files begun now. */
  readonly generation: () => number;
  /** Written into the note of each START. */
  readonly note: () => string;
}

/** What a scan hears of each value, in the order in which readers read. */
export interface ScanListener {
  start(step: number, rewind: boolean, note: string): void;
  tag(tag: string, plugin: string, step: number): void;
}

export class RunFiles {
  /** Records that wait for the next write. Fill it after `begin`. */
  readonly buffer = new RecordBuffer();
  readonly #options: RunFilesOptions;
  #parts: Part[];
  /** The part that is being written is `#parts.at(-1)` when this is true; otherwise the next record begins one. */
  #writing = false;
  #fd: number | undefined;
  #nextHead: Head | undefined;
  /** Head of the part whose file does not exist yet, its records being in `buffer` only. */
  #unborn: Head | undefined;
  #largestStep = -Infinity;
  #unsynced = false;
  #folderUnsynced = false;
  /** Files that a mend replaced; to be emptied once a commit is durable that does not name them. */
  #replaced: string[] = [];

  constructor(options: RunFilesOptions, parts: readonly Part[] = []) {
    this.#options = options;
    this.#parts = [...parts];
  }

  get parts(): readonly Part[] {
    return this.#parts;
  }
  get isEmpty(): boolean {
    return this.#parts.length === 0 && this.#unborn === undefined;
  }
  get hasOpenFile(): boolean {
    return this.#fd !== undefined;
  }
  /** Whether anything was mended or rewound, so that the parts hold records that no longer count. */
  get hasSuperseded(): boolean {
    return this.#parts.some((part, index) => index > 0 && part.start !== undefined);
  }

  /**
   * Makes the files what they were at the commit: empties what was begun later, cuts what was appended. Where a committed file is missing nothing is
   * emptied, because what is there may be all that is left. Returns what could not be found, in words.
   */
  restore(): string[] {
    const { place } = this.#options;
    const problems: string[] = [];
    for (const part of this.#parts) {
      const fd = openExisting(place, part.name, fs.constants.O_RDWR);
      if (fd === undefined) {
        problems.push(`${filePath(place, part.name)}: has gone`);
        continue;
      }
      try {
        const { size } = fs.fstatSync(fd);
        if (size > part.length) fs.ftruncateSync(fd, part.length);
        else if (size < part.length) {
          problems.push(`${filePath(place, part.name)}: has ${size} bytes, ${part.length} were written`);
          part.length = size;
        }
      } catch (error) {
        throw fileError(error, filePath(place, part.name));
      } finally {
        fs.closeSync(fd);
      }
    }
    if (problems.length === 0) this.#retireUnknown();
    removeFile(place, unfinishedName(place.owner));
    return problems;
  }

  /** Finds the parts of a run that was closed: every file of ours begun for a commit up to `committed`. Later ones were never committed and are emptied. */
  find(committed: number): void {
    const { place } = this.#options;
    for (const { name, generation } of listEventFiles(place).own) {
      if (isForgotten(place, name)) removeFile(place, name);
      else if (generation > committed) retireFile(place, name);
      else {
        this.#parts.push({
          name,
          length: -1,
          start: undefined,
          rewind: false,
          largestStep: -Infinity,
          marks: [],
        });
      }
    }
  }

  /** Reads all parts once: where the run stands, and the marks that later mends want. Missing and damaged parts are reported and cut from the list. */
  async scan(listener: ScanListener): Promise<void> {
    const { place, logger } = this.#options;
    const scanned: Part[] = [];
    const head = newHead();
    for (const part of this.#parts) {
      const fd = openExisting(place, part.name, fs.constants.O_RDONLY);
      if (fd === undefined) {
        logger.warn('tensorboard: an event file has gone; what it held is lost to TensorBoard', {
          file: filePath(place, part.name),
        });
        continue;
      }
      try {
        const length = part.length >= 0 ? part.length : fs.fstatSync(fd).size;
        let { start, rewind } = part;
        let largest = -Infinity;
        const marks: number[] = [];
        let lastMark = 0;
        const end = await scanFile(fd, 0, length, (bytes, dataStart, dataEnd, offset) => {
          if (offset - lastMark >= MARK_BYTES) {
            marks.push(offset, largest);
            lastMark = offset;
          }
          readHead(bytes, dataStart, dataEnd, head);
          if (head.isStart) {
            start = head.step;
            rewind = head.note.startsWith(REWIND_NOTE);
            listener.start(head.step, rewind, head.note.slice(REWIND_NOTE.length));
          }
          if (head.summaryStart < 0) return;
          if (head.step > largest) largest = head.step;
          const { step } = head;
          visitTags(bytes, head.summaryStart, head.summaryEnd, (tag, plugin) =>
            listener.tag(tag, plugin, step),
          );
        });
        if (end.kind !== 'end') {
          logger.error(
            'tensorboard: an event file cannot be read to its end; no reader shows what is behind',
            {
              file: filePath(place, part.name),
              offset: end.offset,
              reason: end.kind === 'corrupt' ? end.reason : 'the last record is not whole',
            },
          );
        }
        scanned.push({ name: part.name, length: end.offset, start, rewind, largestStep: largest, marks });
      } finally {
        fs.closeSync(fd);
      }
    }
    this.#parts = scanned;
  }

  /** Call before a record is put into `buffer`: makes sure that there is a part for it. */
  begin(wallTime: number, step: number): void {
    if (this.#unborn === undefined && !this.#writing) {
      encodeFileVersion(this.buffer, wallTime);
      const head = this.#nextHead ?? this.#firstHead(step);
      if (head !== undefined) encodeSessionStart(this.buffer, wallTime, head.start, this.#note(head));
      this.#unborn = head ?? NO_HEAD;
      this.#nextHead = undefined;
      this.#largestStep = -Infinity;
    }
    if (step > this.#largestStep) this.#largestStep = step;
  }

  /** Begins a part with START at this step: the training went back. @throws RetryableError */
  rewind(wallTime: number, step: number): void {
    this.endPart();
    this.#nextHead = { start: step, rewind: true };
    this.begin(wallTime, -Infinity);
  }

  /** The next record begins a new part. @throws RetryableError */
  endPart(): void {
    this.flush();
    this.#writing = false;
    this.closeFile();
  }

  /** Writes what waits, in one write. @throws RetryableError, ConfinementError */
  flush(): void {
    const { buffer } = this;
    if (buffer.length === 0) return;
    if (this.#unborn !== undefined) this.#create(this.#unborn);
    const fd = this.#reopen();
    const part = this.#parts.at(-1)!;
    const file = filePath(this.#options.place, part.name);
    appendAll(fd, buffer.bytes, buffer.length, part.length, file);
    part.length += buffer.length;
    part.largestStep = this.#largestStep;
    addMark(part);
    buffer.clear(FLUSH_BYTES);
    this.#unsynced = true;
    if (part.length >= this.#options.maxFileBytes) {
      this.#writing = false;
      this.closeFile();
    }
  }

  /** Makes everything flushed durable. @throws RetryableError */
  async sync(): Promise<void> {
    const { place } = this.#options;
    try {
      if (this.#unsynced && this.#fd !== undefined) await datasync(this.#fd);
      this.#unsynced = false;
      if (this.#folderUnsynced) await syncFolder(path.join(place.root, place.folder));
      this.#folderUnsynced = false;
    } catch (error) {
      throw fileError(error, path.join(place.root, place.folder));
    }
  }

  /** Gives the descriptor back; the part is opened again when there is more to write. @throws RetryableError */
  closeFile(): void {
    const fd = this.#fd;
    if (fd === undefined) return;
    this.#fd = undefined;
    try {
      if (this.#unsynced) fs.fdatasyncSync(fd);
      this.#unsynced = false;
    } catch (error) {
      throw fileError(error, filePath(this.#options.place, this.#parts.at(-1)?.name ?? ''));
    } finally {
      fs.closeSync(fd);
    }
  }

  /** Gives the descriptor back whatever state the file is in. */
  abandon(): void {
    if (this.#fd !== undefined) fs.closeSync(this.#fd);
    this.#fd = undefined;
  }

  /**
   * Writes late points into their place: the records from the lowest late step on, or the whole run, once more in order of
   * step into a new last part whose START makes readers forget what they had from there. The folder is right for readers before
   * and after the rename that ends it, and what the last commit names stays untouched. @throws RetryableError, MendTooLargeError
   */
  async mend(late: LateFile | undefined, whole: boolean): Promise<void> {
    const { place, logger } = this.#options;
    this.flush();
    late?.flush();
    if (this.#parts.length === 0) return;
    // START would make the Python reader forget the other writers' points too, so beside them only whole rewrites without START are right.
    const alone = listEventFiles(place).others === 0;
    const all = whole || !alone || late === undefined || this.#parts.length >= MAX_PARTS;
    const from = all ? -Infinity : late.lowest;
    const sources: Source[] = [];
    try {
      for (const part of this.#parts) {
        const fd = openExisting(place, part.name, fs.constants.O_RDONLY);
        if (fd === undefined) {
          logger.warn('tensorboard: an event file has gone; what it held is lost to TensorBoard', {
            file: filePath(place, part.name),
          });
        } else sources.push({ ...part, fd });
      }
      const places = new Places();
      await collect(places, sources, from, (source, end) => {
        logger.error('tensorboard: an event file cannot be read to its end; what is behind is left out', {
          file: filePath(place, source.name),
          offset: end.offset,
        });
      });
      const fds = sources.map(source => source.fd);
      if (late !== undefined) {
        await collectLate(places, late.open(), late.bytes, fds.length, end => {
          logger.error('tensorboard: late points cannot be read back; they are lost to TensorBoard', {
            file: late.name,
            offset: end.offset,
          });
        });
        fds.push(late.open());
      }
      const order = stepOrder(places.step, places.count);
      const lowest = order.length === 0 ? 0 : places.step[order[0]!]!;
      const start = !alone ? undefined : all ? Math.min(0, lowest) : from;
      await this.#writeMended(places, order, fds, start, all);
    } finally {
      for (const source of sources) fs.closeSync(source.fd);
    }
  }

  /** Files that `retire` may have once the state of this moment is durable. */
  takeReplaced(): string[] {
    const names = this.#replaced;
    this.#replaced = [];
    return names;
  }

  /** Empties files that a mend replaced, and removes those that were emptied long ago. @throws RetryableError */
  retire(names: readonly string[]): void {
    if (names.length === 0) return;
    for (const name of names) retireFile(this.#options.place, name);
    this.#retireUnknown();
  }

  #retireUnknown(): void {
    const { place } = this.#options;
    const known = new Set([...this.#parts.map(part => part.name), ...this.#replaced]);
    for (const { name } of listEventFiles(place).own) {
      if (known.has(name)) continue;
      if (isForgotten(place, name)) removeFile(place, name);
      else retireFile(place, name);
    }
  }

  async #writeMended(
    places: Places,
    order: Uint32Array,
    fds: readonly number[],
    start: number | undefined,
    all: boolean,
  ): Promise<void> {
    const { place } = this.#options;
    const temporary = unfinishedName(place.owner);
    const file = filePath(place, temporary);
    removeFile(place, temporary);
    const head = new RecordBuffer();
    // TensorBoard measures relative time from a run's first event.
    const wallTime = Number.isFinite(places.earliest) ? places.earliest : Date.now() / 1000;
    encodeFileVersion(head, wallTime);
    if (start !== undefined) {
      encodeSessionStart(head, wallTime, start, this.#note({ start, rewind: false }));
    }
    const part: Part = { name: '', length: 0, start, rewind: false, largestStep: -Infinity, marks: [] };
    const fd = confinedOpen(place.root, place.folder, temporary);
    let name = '';
    try {
      const write = (bytes: Uint8Array, length: number) => {
        appendAll(fd, bytes, length, part.length, file);
        part.length += length;
      };
      write(head.bytes, head.length);
      await copyRecords(places, order, fds, write, (_, largest) => {
        part.largestStep = largest;
        addMark(part);
      });
      await datasync(fd);
      // Whatever can fail comes before the rename: from then on, readers follow the new file.
      this.closeFile();
      name = eventFileName(place.owner, listEventFiles(place).lastSeconds, this.#options.generation());
      fs.renameSync(file, filePath(place, name));
    } catch (error) {
      fs.closeSync(fd);
      removeFile(place, temporary);
      throw fileError(error, file);
    }
    if (all) {
      for (const old of this.#parts) this.#replaced.push(old.name);
      this.#parts = [];
    }
    this.#parts.push({ ...part, name });
    this.#fd = fd;
    this.#writing = true;
    this.#unsynced = false;
    this.#folderUnsynced = true;
    this.#largestStep = part.largestStep;
  }

  /** The head of a run's first part. A part that goes on after others has none: its START would undo them. */
  #firstHead(step: number): Head | undefined {
    if (this.#parts.length > 0) return undefined;
    const { history, others } = listEventFiles(this.#options.place);
    if (others > 0) return undefined;
    // Files that we do not remember stay; from our first step on, ours count.
    return { start: history > 0 ? step : Math.min(0, step), rewind: false };
  }

  #create(head: Head): void {
    const { place, generation } = this.#options;
    const name = eventFileName(place.owner, listEventFiles(place).lastSeconds, generation());
    try {
      this.#fd = confinedOpen(place.root, place.folder, name);
    } catch (error) {
      throw fileError(error, filePath(place, name));
    }
    this.#parts.push({
      name,
      length: 0,
      start: head === NO_HEAD ? undefined : head.start,
      rewind: head.rewind,
      largestStep: -Infinity,
      marks: [],
    });
    this.#unborn = undefined;
    this.#writing = true;
    this.#folderUnsynced = true;
  }

  /** The descriptor of the part being written. A file that was removed under us is made again from what we can still read. */
  #reopen(): number {
    const { place } = this.#options;
    const part = this.#parts.at(-1)!;
    const file = filePath(place, part.name);
    try {
      this.#fd ??= confinedOpen(place.root, place.folder, part.name);
      const found = fs.fstatSync(this.#fd);
      if (found.nlink === 0) this.#writeAgain(this.#fd, part, file);
      else if (found.size < part.length) {
        this.#options.logger.warn(
          'tensorboard: an event file became shorter; what it held is lost to TensorBoard',
          {
            file,
            bytes: part.length - found.size,
          },
        );
        part.length = found.size;
        if (found.size === 0) this.#writeHead(this.#fd, part, file);
      }
      return this.#fd;
    } catch (error) {
      throw fileError(error, file);
    }
  }

  #writeAgain(removed: number, part: Part, file: string): void {
    const { place, logger } = this.#options;
    const fd = confinedOpen(place.root, place.folder, part.name);
    const buffer = Buffer.allocUnsafe(MARK_BYTES);
    let at = 0;
    for (;;) {
      const got = fs.readSync(removed, buffer, 0, Math.min(buffer.length, part.length - at), at);
      if (got === 0) break;
      appendAll(fd, buffer, got, at, file);
      at += got;
    }
    fs.closeSync(removed);
    this.#fd = fd;
    this.#folderUnsynced = true;
    logger.warn('tensorboard: an event file was removed while it was written; it is there again', {
      file,
      bytes: at,
      partsLost: this.#parts.length - 1,
    });
  }

  /** A file that lost everything needs its first records again, or readers treat it as a format of old. */
  #writeHead(fd: number, part: Part, file: string): void {
    const head = new RecordBuffer();
    encodeFileVersion(head, Date.now() / 1000);
    appendAll(fd, head.bytes, head.length, 0, file);
    part.length = head.length;
    this.#folderUnsynced = true;
  }

  #note(head: Head): string {
    return `${head.rewind ? REWIND_NOTE : KEEP_NOTE}${this.#options.note()}`;
  }
}

/** Notes of STARTs begin with one of these, of equal length; the rest is the writer's. */
const REWIND_NOTE = 'rewind ';
const KEEP_NOTE = 'copied ';
const NO_HEAD: Head = { start: 0, rewind: false };

function addMark(part: Part): void {
  const last = part.marks.at(-2) ?? 0;
  if (part.length - last >= MARK_BYTES) part.marks.push(part.length, part.largestStep);
}

async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await fs.promises.open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
