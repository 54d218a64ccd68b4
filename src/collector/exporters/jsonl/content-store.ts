// The bytes of a run's media and artifacts: each content once under its hash, with names for people that are hard links to it.
import fs from 'node:fs';
import path from 'node:path';
import { Assemblies, type OpenContent } from '../../runs/assembly.ts';
import {
  ConfinementError,
  confinedFolder,
  confinedLink,
  syncFolder,
  systemCode,
} from '../../runs/confined.ts';
import type { Chunk } from '../../runs/media-events.ts';
import { MAX_KNOWN_CONTENTS, SYNCS_AT_ONCE } from './limits.ts';

/** Folder of a run that holds every content, named by its SHA-256. */
export const STORE_FOLDER = '.store';
/** In it, what is not whole yet. */
const PARTS_FOLDER = 'parts';

/** What a file system says that cannot give a file this second name, or none at all. The content is then named by its place in the store. */
const NO_LINK = new Set([
  ...['EEXIST', 'ENOTDIR', 'EISDIR', 'ELOOP', 'EMLINK', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EXDEV'],
  ...['ENAMETOOLONG', 'EINVAL', 'ENOSYS', 'EILSEQ'],
]);

export interface ContentStoreOptions {
  /** The folder that holds the run folders, and the run's. */
  readonly root: string;
  readonly folder: string;
  /** Empty, or `.<writer>`: see `RunState.part`. */
  readonly part: string;
  readonly onIncomplete: (sha256: string, chunks: number, count: number) => void;
}

export class ContentStore {
  readonly #options: ContentStoreOptions;
  readonly #assemblies: Assemblies;
  /** Whole and right, but not in the store before the next commit. */
  readonly #whole = new Set<string>();
  /** Found in the store before. */
  readonly #known = new Set<string>();
  readonly #unsyncedFolders = new Set<string>();

  constructor(options: ContentStoreOptions, open: readonly OpenContent[] = []) {
    this.#options = options;
    this.#assemblies = new Assemblies(
      {
        root: options.root,
        folder: [options.folder, STORE_FOLDER, PARTS_FOLDER],
        suffix: `${options.part}.part`,
        onIncomplete: options.onIncomplete,
      },
      open,
    );
  }

  /** Whether the whole content is here. */
  has(sha256: string): boolean {
    if (this.#whole.has(sha256) || this.#known.has(sha256)) return true;
    const found = fs.lstatSync(this.#place(sha256), { throwIfNoEntry: false });
    if (!found?.isFile()) return false;
    if (this.#known.size >= MAX_KNOWN_CONTENTS) this.#known.clear();
    this.#known.add(sha256);
    return true;
  }

  /** Contents of which some chunks are here. */
  get openContents(): number {
    return this.#assemblies.size;
  }
  isOpen(sha256: string): boolean {
    return this.#assemblies.has(sha256);
  }

  /** Takes bytes that were found to have this hash. */
  addWhole(sha256: string, bytes: Uint8Array): void {
    this.#assemblies.put(sha256, bytes);
    this.#whole.add(sha256);
  }
  /** See Assemblies.add. */
  addChunk(chunk: Chunk, receivedUnixNano: bigint): 'open' | 'whole' | 'refused' {
    return this.#assemblies.add(chunk, receivedUnixNano);
  }
  /** Whether a content whose last chunk came is what its hash says. */
  async finish(sha256: string): Promise<boolean> {
    const right = await this.#assemblies.finish(sha256);
    if (right) this.#whole.add(sha256);
    return right;
  }
  forget(sha256: string): void {
    this.#assemblies.forget(sha256);
  }
  expire(receivedUnixNano: bigint): void {
    this.#assemblies.expire(receivedUnixNano);
  }

  /** Before anything else: what an earlier process left unfinished goes, and a store that is no folder is found. */
  restore(): void {
    const { root, folder } = this.#options;
    if (fs.lstatSync(path.join(root, folder, STORE_FOLDER), { throwIfNoEntry: false }) === undefined) return;
    confinedFolder(root, folder, STORE_FOLDER);
    this.#assemblies.removeStrays();
  }

  /** Makes everything durable, and puts what is whole into the store. Only then may it be named. */
  async settle(): Promise<void> {
    const { root, folder } = this.#options;
    if (this.#whole.size > 0) {
      const waiting = this.#whole.values();
      const store = confinedFolder(root, folder, STORE_FOLDER);
      const lane = async () => {
        for (const sha256 of waiting) {
          const file = await this.#assemblies.release(sha256);
          fs.renameSync(file, path.join(store, sha256));
          this.#known.add(sha256);
        }
      };
      await Promise.all(Array.from({ length: SYNCS_AT_ONCE }, lane));
      this.#whole.clear();
      this.#unsyncedFolders.add(store);
    }
    await this.#assemblies.sync();
  }

  /** Bytes of a content; undefined when it is not in the store. */
  sizeOf(sha256: string): number | undefined {
    const found = fs.lstatSync(this.#place(sha256), { throwIfNoEntry: false });
    if (found?.isFile()) return found.size;
    this.#known.delete(sha256);
    return undefined;
  }

  /**
   * Gives a content of the store the first of these names that is free or is its own already. Returns its path below the run folder: that
   * in the store where it can have no other.
   */
  link(sha256: string, folders: readonly string[], names: readonly string[]): string {
    const { root, folder } = this.#options;
    const source = this.#place(sha256);
    const stored = fs.lstatSync(source);
    try {
      const place = confinedFolder(root, folder, ...folders);
      for (const name of names) {
        try {
          confinedLink(source, place, name);
          for (let i = folders.length, at = place; i >= 0; i--, at = path.dirname(at)) {
            this.#unsyncedFolders.add(at);
          }
        } catch (error) {
          if (systemCode(error) !== 'EEXIST') throw error;
          const found = fs.lstatSync(path.join(place, name));
          if (found.ino !== stored.ino || found.dev !== stored.dev) continue;
        }
        return [...folders, name].join('/');
      }
    } catch (error) {
      if (!(error instanceof ConfinementError) && !NO_LINK.has(systemCode(error) ?? '')) throw error;
    }
    return `${STORE_FOLDER}/${sha256}`;
  }

  /** Makes names durable: those given by `link`, and those in further folders. */
  syncNames(folders: readonly string[]): void {
    for (const folder of [...this.#unsyncedFolders, ...folders])
      if (fs.existsSync(folder)) syncFolder(folder);
    this.#unsyncedFolders.clear();
  }

  state(): OpenContent[] {
    return this.#assemblies.state();
  }

  #place(sha256: string): string {
    const { root, folder } = this.#options;
    return path.join(root, folder, STORE_FOLDER, sha256);
  }
}
