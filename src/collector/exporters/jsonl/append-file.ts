// A file that only grows by whole lines and can be cut back to a length that was committed.
import fs from 'node:fs';
import path from 'node:path';
import { confinedOpen, systemCode } from '../../runs/confined.ts';
import { FLUSH_BYTES, INITIAL_BUFFER_BYTES, MAX_TORN_BYTES } from './limits.ts';

/** What has to be known about a file to go on with it. */
export interface FileState {
  /** Bytes that belong to it. Anything beyond was written after the last commit. */
  readonly length: number;
  /** Bytes that were committed and are gone (the file was removed or cut by somebody else). */
  readonly missing: number;
  /** Bytes that were there before this exporter first opened it; the totals do not cover them. */
  readonly adopted: number;
}
export const NEW_FILE: FileState = { length: 0, missing: 0, adopted: 0 };

/** Shared by all files of an exporter: what their buffers hold together. */
export interface BufferBudget {
  bytes: number;
}

/** Told when committed bytes are gone: how many, and whether the whole file is. */
export type OnMissing = (file: AppendFile, bytes: number, removed: boolean) => void;

export class AppendFile {
  readonly path: string;
  readonly #root: string;
  readonly #segments: readonly string[];
  readonly #budget: BufferBudget;
  readonly #onMissing: OnMissing;
  readonly #head: string;
  #fd: number | undefined;
  /** Of the open file: a path that leads elsewhere means that somebody moved or removed it. */
  #identity = '';
  #realFolder = '';
  #length: number;
  #missing: number;
  readonly #adopted: number;
  #buffer: Buffer | undefined;
  #used = 0;
  #unsynced = false;
  /** The name of the file may not be durable yet. */
  #isNew = false;

  /** @param head what the file begins with: a whole line, written together with the first one and again after the file was removed */
  constructor(
    root: string,
    segments: readonly string[],
    state: FileState,
    budget: BufferBudget,
    onMissing: OnMissing,
    head = '',
  ) {
    this.#head = head;
    this.#root = root;
    this.#segments = segments;
    this.path = path.join(root, ...segments);
    this.#budget = budget;
    this.#onMissing = onMissing;
    this.#length = state.length;
    this.#missing = state.missing;
    this.#adopted = state.adopted;
  }

  /** Of this moment; after `flush` also of the file. */
  get state(): FileState {
    return { length: this.#length + this.#used, missing: this.#missing, adopted: this.#adopted };
  }
  get isOpen(): boolean {
    return this.#fd !== undefined;
  }
  get unsynced(): boolean {
    return this.#unsynced;
  }
  get folder(): string {
    return path.dirname(this.path);
  }

  /** Whole lines, each with its line feed. Written when there are enough of them. */
  append(text: string): void {
    let buffer = this.#buffer;
    const most = text.length * 3;
    if (buffer === undefined || buffer.length - this.#used < most) buffer = this.#room(most);
    this.#used += buffer.write(text, this.#used);
    if (this.#used >= FLUSH_BYTES) this.flush();
  }

  /** Writes what is buffered in one append. Throws what the file system throws; the file may then end in half a line. */
  flush(): void {
    if (this.#used === 0) return;
    const end = this.#used;
    try {
      const fd = this.#ensureOpen();
      if (this.#length === 0 && this.#head !== '') {
        const head = Buffer.from(this.#head);
        for (let at = 0; at < head.length; ) at += fs.writeSync(fd, head, at);
        this.#length = head.length;
      }
      for (let at = 0; at < end; ) at += fs.writeSync(fd, this.#buffer!, at, end - at);
    } catch (error) {
      throw this.#named(error);
    }
    this.#length += end;
    this.#used = 0;
    this.#unsynced = true;
  }

  /** Gives the buffer's memory back; call it after `flush`. */
  release(): void {
    if (this.#buffer === undefined || this.#used > 0) return;
    this.#budget.bytes -= this.#buffer.length;
    this.#buffer = undefined;
  }

  /** Makes what was written durable. True when the file's name is new and its folder has to be made durable too. */
  async sync(): Promise<boolean> {
    if (!this.#unsynced) return false;
    const fd = this.#fd ?? this.#open();
    await new Promise<void>((resolve, reject) =>
      fs.fdatasync(fd, error => (error ? reject(this.#named(error)) : resolve())),
    );
    this.#unsynced = false;
    const isNew = this.#isNew;
    this.#isNew = false;
    return isNew;
  }

  /** Opens the file now, cutting it back. Without this, the first write does. */
  open(): void {
    this.#ensureOpen();
  }

  /** Closes the descriptor; what is buffered stays, and the next write opens the file again. */
  close(): void {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    fs.closeSync(fd);
  }

  /** The exporter is done for: closes, and forgets what is buffered. */
  abandon(): void {
    this.#used = 0;
    this.release();
    try {
      this.close();
    } catch {
      // Nothing more can be done about a descriptor that cannot be closed.
    }
  }

  #ensureOpen(): number {
    if (this.#fd !== undefined) {
      if (this.#isInPlace()) return this.#fd;
      this.close();
    }
    return this.#open();
  }

  /** False when somebody moved or removed the file, or put a symbolic link above it. */
  #isInPlace(): boolean {
    const named = fs.lstatSync(this.path, { throwIfNoEntry: false });
    return (
      named !== undefined &&
      identityOf(named) === this.#identity &&
      fs.realpathSync.native(this.folder) === this.#realFolder
    );
  }

  #open(): number {
    const fd = confinedOpen(this.#root, ...this.#segments);
    try {
      const stat = fs.fstatSync(fd);
      if (stat.size > this.#length) {
        fs.ftruncateSync(fd, this.#length);
        this.#unsynced = true;
      } else if (stat.size < this.#length) {
        this.#goOnShorter(fd, stat.size);
      }
      this.#identity = identityOf(stat);
      this.#realFolder = fs.realpathSync.native(this.folder);
      if (stat.size === 0) this.#isNew = true;
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    this.#fd = fd;
    return fd;
  }

  /** Committed bytes are gone: go on behind the last whole line of what is there. */
  #goOnShorter(fd: number, size: number): void {
    const end = lastLineEnd(fd, size);
    if (end < size) fs.ftruncateSync(fd, end);
    const missing = this.#length - end;
    this.#length = end;
    this.#missing += missing;
    this.#unsynced = true;
    this.#onMissing(this, missing, size === 0);
  }

  /** What the file system says about a descriptor does not name the file. */
  #named(error: unknown): unknown {
    if (systemCode(error) === undefined) return error;
    return 'path' in (error as object) ? error : Object.assign(error as object, { path: this.path });
  }

  #room(bytes: number): Buffer {
    const needed = this.#used + bytes;
    let size = this.#buffer?.length ?? INITIAL_BUFFER_BYTES;
    while (size < needed) size *= 2;
    const grown = Buffer.allocUnsafeSlow(size);
    if (this.#buffer !== undefined) grown.set(this.#buffer.subarray(0, this.#used));
    this.#budget.bytes += size - (this.#buffer?.length ?? 0);
    this.#buffer = grown;
    return grown;
  }
}

/** Copies a file beside itself, under a name that is free; returns that name. For what is about to be cut off. */
export function keepCopy(file: string): string {
  let copy = `${file}.old`;
  for (let n = 2; fs.lstatSync(copy, { throwIfNoEntry: false }) !== undefined; n++) copy = `${file}.${n}.old`;
  fs.copyFileSync(file, copy, fs.constants.COPYFILE_EXCL);
  return copy;
}

function identityOf(stat: fs.Stats): string {
  return `${stat.dev}:${stat.ino}`;
}

/** The offset behind the last line feed before `size`; 0 when there is none. */
function lastLineEnd(fd: number, size: number): number {
  const chunk = Buffer.allocUnsafe(64 * 1024);
  for (let end = size; end > 0 && size - end < MAX_TORN_BYTES; ) {
    const from = Math.max(0, end - chunk.length);
    const read = fs.readSync(fd, chunk, 0, end - from, from);
    const at = chunk.subarray(0, read).lastIndexOf(0x0a);
    if (at >= 0) return from + at + 1;
    end = from;
  }
  return 0;
}
