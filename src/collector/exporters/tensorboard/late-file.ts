// The late points of one run until a mend puts them in order: records in a file of the state folder, so that they survive like any other.
import fs from 'node:fs';
import path from 'node:path';
import { appendAll, fileError } from './event-file.ts';
import { encodeSessionStart } from './events.ts';
import { FLUSH_BYTES } from './limits.ts';
import { datasync } from './mend.ts';
import { RecordBuffer } from './record-buffer.ts';

/** What the cursor keeps of it. */
export interface LateState {
  readonly name: string;
  readonly length: number;
  readonly lowest: number;
}

export class LateFile {
  readonly buffer = new RecordBuffer();
  readonly #file: string;
  readonly #name: string;
  #fd: number | undefined;
  #length: number;
  #lowest: number;
  #synced = false;

  /** Without `state` a new file, made with the first write. @throws RetryableError */
  constructor(directory: string, name: string, state?: LateState) {
    this.#name = name;
    this.#file = path.join(directory, name);
    this.#length = state?.length ?? 0;
    this.#lowest = state?.lowest ?? Infinity;
  }

  get lowest(): number {
    return this.#lowest;
  }
  get bytes(): number {
    return this.#length + this.buffer.length;
  }
  get name(): string {
    return this.#name;
  }

  /** A record of this step was put into `buffer`. */
  added(step: number): void {
    if (step < this.#lowest) this.#lowest = step;
  }

  /** The run went back to `step`: late points from there on do not count any more. */
  rewound(wallTime: number, step: number): void {
    encodeSessionStart(this.buffer, wallTime, step, '');
  }

  flush(): void {
    if (this.buffer.length === 0) return;
    const fd = this.open();
    appendAll(fd, this.buffer.bytes, this.buffer.length, this.#length, this.#file);
    this.#length += this.buffer.length;
    this.buffer.clear(FLUSH_BYTES);
    this.#synced = false;
  }

  async sync(): Promise<void> {
    if (this.#synced || this.#fd === undefined) return;
    await datasync(this.#fd).catch(error => Promise.reject(fileError(error, this.#file)));
    this.#synced = true;
  }

  open(): number {
    try {
      this.#fd ??= fs.openSync(this.#file, 'a+', 0o640);
      return this.#fd;
    } catch (error) {
      throw fileError(error, this.#file);
    }
  }

  state(): LateState {
    return { name: this.#name, length: this.#length, lowest: this.#lowest };
  }

  close(): void {
    if (this.#fd !== undefined) fs.closeSync(this.#fd);
    this.#fd = undefined;
  }
}
