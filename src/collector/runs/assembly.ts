// Puts chunked contents together in part files: chunks in any order, repeated, interleaved, over crashes; each content whole or absent.
import { createHash, type Hash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { confinedFolder, confinedOpenAnywhere, confinedOpenExisting, systemCode } from './confined.ts';
import type { Chunk } from './media-events.ts';

/** Contents of one run that are put together at a time. Beyond it the one that nothing came for longest is given up. */
export const MAX_OPEN_CONTENTS = 256;
/** A content that no chunk came for in this long (by the time requests were received) is given up. */
export const MAX_WAIT_NANOS = 15n * 60n * 1_000_000_000n;
/** One read while a content is checked; other work gets its turn between two. */
const CHECK_BYTES = 4 * 1024 * 1024;

/** What the cursor keeps of a content under way. What lies in its file beyond this is written again, the same bytes in the same place. */
export interface OpenContent {
  readonly sha256: string;
  readonly size: number;
  readonly count: number;
  /** Bytes of each chunk but the last; 0 while only the last has come. */
  readonly chunkBytes: number;
  /** One bit per chunk that is there, base64. */
  readonly have: string;
  /** When the last chunk came: Unix ns as text. */
  readonly touched: string;
}

export interface AssembliesOptions {
  readonly root: string;
  /** Folder of the part files below the root, for nothing else. */
  readonly folder: readonly string[];
  /** Ends the names of our part files: another writer of the run has its own. */
  readonly suffix: string;
  /** Hears of a content that is given up, and how many of its chunks had come. */
  readonly onIncomplete: (sha256: string, chunks: number, count: number) => void;
}

export type Added = 'open' | 'whole' | 'refused';

export class Assemblies {
  readonly #options: AssembliesOptions;
  /** The one that nothing came for longest is first. */
  readonly #open = new Map<string, Assembly>();
  readonly #unsynced = new Set<string>();
  #checkedParts = false;

  constructor(options: AssembliesOptions, state: readonly OpenContent[] = []) {
    this.#options = options;
    for (const one of state) this.#open.set(one.sha256, new Assembly(one));
  }

  get size(): number {
    return this.#open.size;
  }
  has(sha256: string): boolean {
    return this.#open.has(sha256);
  }

  /**
   * Writes a chunk into its place. `whole`: it was the last one missing, `finish` says whether the bytes are right. `refused`: it does not
   * fit those that came before, and the content is given up. A chunk that is there already is passed over.
   */
  add(chunk: Chunk, receivedUnixNano: bigint): Added {
    const { sha256, index, bytes } = chunk;
    let assembly = this.#open.get(sha256);
    const fresh = assembly === undefined;
    if (assembly === undefined) {
      if (this.#open.size >= MAX_OPEN_CONTENTS) this.#giveUp(this.#open.keys().next().value!);
      assembly = new Assembly({
        sha256,
        size: chunk.size,
        count: chunk.count,
        chunkBytes: 0,
        have: '',
        touched: '0',
      });
    }
    const offset = assembly.offsetOf(chunk);
    if (offset === undefined) {
      if (!fresh) this.forget(sha256);
      return 'refused';
    }
    this.#open.delete(sha256);
    this.#open.set(sha256, assembly);
    assembly.touched = receivedUnixNano;
    if (assembly.has(index)) return 'open';
    this.#write(sha256, offset, bytes, fresh);
    this.#unsynced.add(sha256);
    assembly.take(chunk);
    return assembly.isWhole ? 'whole' : 'open';
  }

  /** Whether the bytes of a content that is whole are those that its hash names. If so it waits for `release`, if not it is forgotten. */
  async finish(sha256: string): Promise<boolean> {
    const assembly = this.#open.get(sha256);
    if (assembly === undefined) return false;
    const right = (await this.#digest(assembly)) === sha256;
    if (right) this.#open.delete(sha256);
    else this.forget(sha256);
    return right;
  }

  /** Writes a content that came in one piece and is right; it waits for `release`. */
  put(sha256: string, bytes: Uint8Array): void {
    this.#open.delete(sha256);
    this.#write(sha256, 0, bytes, true);
    this.#unsynced.add(sha256);
  }

  /** The bytes of a content that waits for `release`. */
  read(sha256: string): Buffer | undefined {
    const { root, folder } = this.#options;
    const fd = confinedOpenExisting(root, ...folder, this.#name(sha256));
    if (fd === undefined) return undefined;
    try {
      return fs.readFileSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  }

  /** Makes a whole content durable and hands out its file, which is the caller's from then on. */
  async release(sha256: string): Promise<string> {
    await this.#sync(sha256);
    const { root, folder } = this.#options;
    return path.join(root, ...folder, this.#name(sha256));
  }

  /** Removes a content and what there is of it. */
  forget(sha256: string): void {
    const { root, folder } = this.#options;
    this.#open.delete(sha256);
    this.#unsynced.delete(sha256);
    fs.rmSync(path.join(root, ...folder, this.#name(sha256)), { force: true });
  }

  /** Gives up what has waited for too long. */
  expire(receivedUnixNano: bigint): void {
    for (const [sha256, assembly] of this.#open) {
      if (receivedUnixNano - assembly.touched <= MAX_WAIT_NANOS) continue;
      this.#giveUp(sha256);
    }
  }

  /** Makes everything written so far durable, so that `state` is true after a power cut. */
  async sync(): Promise<void> {
    for (const sha256 of [...this.#unsynced]) await this.#sync(sha256);
  }

  state(): OpenContent[] {
    return [...this.#open.values()].map(assembly => assembly.state());
  }

  /** Removes part files of ours that no state names: they were begun after the last commit. */
  removeStrays(): void {
    const { root, folder, suffix } = this.#options;
    this.#checkedParts = true;
    const place = path.join(root, ...folder);
    if (fs.lstatSync(place, { throwIfNoEntry: false }) === undefined) return;
    const real = confinedFolder(root, ...folder);
    for (const name of fs.readdirSync(real)) {
      if (/^[0-9a-f]{64}/.test(name) && name.slice(64) === suffix && !this.#open.has(name.slice(0, 64))) {
        fs.rmSync(path.join(real, name), { force: true });
      }
    }
  }

  #write(sha256: string, offset: number, bytes: Uint8Array, fresh: boolean): void {
    if (!this.#checkedParts) this.removeStrays();
    const { root, folder } = this.#options;
    const fd = confinedOpenAnywhere(root, ...folder, this.#name(sha256));
    try {
      if (fresh) fs.ftruncateSync(fd, 0);
      for (let at = 0; at < bytes.length; ) {
        at += fs.writeSync(fd, bytes, at, bytes.length - at, offset + at);
      }
    } catch (error) {
      throw named(error, path.join(root, ...folder, this.#name(sha256)));
    } finally {
      fs.closeSync(fd);
    }
  }

  async #digest(assembly: Assembly): Promise<string> {
    const { hash, hashed } = assembly.takeHash();
    if (hashed === assembly.size) return hash.digest('hex');
    const { root, folder } = this.#options;
    const fd = confinedOpenExisting(root, ...folder, this.#name(assembly.sha256));
    if (fd === undefined) return '';
    try {
      const buffer = Buffer.allocUnsafe(Math.min(CHECK_BYTES, assembly.size - hashed));
      for (let at = hashed; at < assembly.size; ) {
        const got = await read(fd, buffer, Math.min(buffer.length, assembly.size - at), at);
        if (got === 0) return '';
        hash.update(buffer.subarray(0, got));
        at += got;
      }
      return hash.digest('hex');
    } finally {
      fs.closeSync(fd);
    }
  }

  async #sync(sha256: string): Promise<void> {
    const { root, folder } = this.#options;
    const fd = confinedOpenExisting(root, ...folder, this.#name(sha256));
    this.#unsynced.delete(sha256);
    if (fd === undefined) return;
    try {
      await new Promise<void>((resolve, reject) =>
        fs.fsync(fd, error => (error ? reject(error) : resolve())),
      );
    } catch (error) {
      throw named(error, path.join(root, ...folder, this.#name(sha256)));
    } finally {
      fs.closeSync(fd);
    }
  }

  #giveUp(sha256: string): void {
    const assembly = this.#open.get(sha256)!;
    this.forget(sha256);
    this.#options.onIncomplete(sha256, assembly.chunks, assembly.count);
  }

  #name(sha256: string): string {
    return `${sha256}${this.#options.suffix}`;
  }
}

/** One content under way. */
class Assembly {
  readonly sha256: string;
  readonly size: number;
  readonly count: number;
  chunks = 0;
  touched: bigint;
  #chunkBytes: number;
  readonly #have: Buffer;
  /** Over the chunks from the first on that came in order since this process began. */
  #hash: Hash | undefined = createHash('sha256');
  #hashed = 0;
  #nextIndex = 0;

  constructor(state: OpenContent) {
    this.sha256 = state.sha256;
    this.size = state.size;
    this.count = state.count;
    this.touched = BigInt(state.touched);
    this.#chunkBytes = state.chunkBytes;
    this.#have = Buffer.alloc(Math.ceil(state.count / 8));
    Buffer.from(state.have, 'base64').copy(this.#have);
    for (const byte of this.#have) for (let bits = byte; bits !== 0; bits &= bits - 1) this.chunks++;
  }

  get isWhole(): boolean {
    return this.chunks === this.count;
  }
  has(index: number): boolean {
    return (this.#have[index >> 3]! & (1 << (index & 7))) !== 0;
  }

  /** Where the chunk belongs; undefined when it does not fit the others. */
  offsetOf({ size, count, index, bytes }: Chunk): number | undefined {
    if (size !== this.size || count !== this.count) return undefined;
    const isLast = index === count - 1;
    const each = isLast ? this.#chunkBytes : bytes.length;
    if (each !== 0) {
      if (this.#chunkBytes !== 0 && each !== this.#chunkBytes) return undefined;
      // The last chunk is what is left, and there is something left.
      const left = size - (count - 1) * each;
      if (left <= 0 || left > each || (isLast && bytes.length !== left)) return undefined;
    } else if (bytes.length > size) return undefined;
    return isLast ? size - bytes.length : index * each;
  }

  take({ index, bytes, count }: Chunk): void {
    if (index < count - 1) this.#chunkBytes = bytes.length;
    this.#have[index >> 3]! |= 1 << (index & 7);
    this.chunks++;
    if (index !== this.#nextIndex) return;
    this.#hash?.update(bytes);
    this.#hashed += bytes.length;
    this.#nextIndex++;
  }

  takeHash(): { hash: Hash; hashed: number } {
    const hash = this.#hash;
    this.#hash = undefined;
    return hash === undefined ? { hash: createHash('sha256'), hashed: 0 } : { hash, hashed: this.#hashed };
  }

  state(): OpenContent {
    return {
      sha256: this.sha256,
      size: this.size,
      count: this.count,
      chunkBytes: this.#chunkBytes,
      have: this.#have.toString('base64'),
      touched: this.touched.toString(),
    };
  }
}

function read(fd: number, buffer: Buffer, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) =>
    fs.read(fd, buffer, 0, length, position, (error, got) => (error ? reject(error) : resolve(got))),
  );
}

/** What the file system says about a descriptor does not name the file. */
function named(error: unknown, place: string): unknown {
  if (systemCode(error) === undefined || 'path' in (error as object)) return error;
  return Object.assign(error as object, { path: place });
}
