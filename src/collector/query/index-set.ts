// The indexes of all runs below some directories: kept up with what their files grow by, written now and then, closed when memory is short.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { confinedFolder } from '../runs/confined.ts';
import {
  ACTIVE_MS,
  BUSY_COMMIT_MS,
  LOOK_AT_ALL_MS,
  LOOK_INTERVAL_MS,
  MAX_OPEN_BYTES,
  MAX_OPEN_RUNS,
  MAX_RUNS,
  QUIET_COMMIT_MS,
} from './limits.ts';
import { RunIndex, type RunPlace } from './run-index.ts';

/** How long a query waits for what its runs' files have more than their indexes. */
export const CATCH_UP_MS = 10_000;
const KEY_DIGITS = 24;

export interface IndexSetOptions {
  /** Folders that hold run folders; absolute. */
  readonly roots: readonly string[];
  /** Where the indexes are kept. */
  readonly directory: string;
  readonly tell: (message: string, error: unknown) => void;
}

/** What the last look found. A run whose files have the same size needs no look inside. */
interface KnownRun {
  readonly place: RunPlace;
  size: number;
  changedMs: number;
}

export class IndexSet {
  readonly #options: IndexSetOptions;
  /** Least recently used first. */
  readonly #open = new Map<string, RunIndex>();
  /** By root and folder. */
  readonly #known = new Map<string, KnownRun>();
  readonly #closing = new Map<string, Promise<void>>();
  readonly #told = new Set<string>();
  #lookedAtAllMs = 0;
  #looking: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: IndexSetOptions) {
    this.#options = options;
    fs.mkdirSync(options.directory, { recursive: true, mode: 0o750 });
  }

  /** Begins to keep up. */
  start(): void {
    const look = (): void => {
      this.#looking = this.#look()
        .catch(error => this.#options.tell('looking after the indexes failed; it goes on', error))
        .finally(() => {
          if (!this.#stopped) this.#timer = setTimeout(look, LOOK_INTERVAL_MS);
        });
    };
    look();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#looking;
    for (const index of [...this.#open.values()]) await this.#close(index);
  }

  /** Works with the index of a run once it has all that its files hold, as far as the time allows. `work` must not keep the index. */
  async use<T>(root: string, folder: string, work: (index: RunIndex) => T): Promise<T> {
    const index = await this.#find(root, folder);
    index.users++;
    try {
      await this.#read(index, Date.now() + CATCH_UP_MS);
      return work(index);
    } finally {
      index.users--;
    }
  }

  /** Folders of runs, newest name first. */
  folders(root: string): string[] {
    try {
      const found = fs.readdirSync(root, { withFileTypes: true });
      const names = found.filter(entry => entry.isDirectory() && !entry.name.startsWith('.'));
      return names
        .map(entry => entry.name)
        .sort()
        .reverse()
        .slice(0, MAX_RUNS);
    } catch {
      return [];
    }
  }

  async #find(root: string, folder: string): Promise<RunIndex> {
    const { place } = this.#run(root, folder);
    // Two at once would write the same files.
    while (this.#closing.has(place.key)) await this.#closing.get(place.key);
    let index = this.#open.get(place.key);
    if (index?.spoiled === true && index.users === 0) {
      await this.#close(index);
      return this.#find(root, folder);
    }
    if (index === undefined) index = new RunIndex(place);
    else this.#open.delete(place.key);
    this.#open.set(place.key, index);
    return index;
  }

  #run(root: string, folder: string): KnownRun {
    const name = `${root}\0${folder}`;
    let run = this.#known.get(name);
    if (run === undefined) {
      const key = createHash('sha256').update(name).digest('hex').slice(0, KEY_DIGITS);
      const place = { root, folder, indexes: this.#options.directory, key };
      run = { place, size: 0, changedMs: Date.now() };
      this.#known.set(name, run);
    }
    return run;
  }

  async #look(): Promise<void> {
    const everyone = Date.now() - this.#lookedAtAllMs >= LOOK_AT_ALL_MS;
    if (everyone) this.#lookedAtAllMs = Date.now();
    const there = new Set<string>();
    for (const root of this.#options.roots) {
      for (const folder of this.folders(root)) {
        if (this.#stopped) return;
        const run = this.#run(root, folder);
        there.add(run.place.key);
        if (!everyone && Date.now() - run.changedMs > ACTIVE_MS) continue;
        await this.#lookAt(run);
      }
    }
    await this.#commitDue();
    if (everyone) this.#removeOrphans(there);
  }

  async #lookAt(run: KnownRun): Promise<void> {
    const { root, folder } = run.place;
    const size = metricsSize(root, folder);
    if (run.size === size) return;
    run.changedMs = Date.now();
    // Also where it fails: tried again when it has grown.
    run.size = size;
    try {
      await this.#keepUp(root, folder);
      await this.#makeRoom();
    } catch (error) {
      const where = path.join(root, folder);
      if (!this.#told.has(where)) this.#options.tell(`the run in ${where} is not indexed`, error);
      this.#told.add(where);
    }
    await turn();
  }

  async #keepUp(root: string, folder: string): Promise<void> {
    const index = await this.#find(root, folder);
    index.users++;
    try {
      await this.#read(index, Number.POSITIVE_INFINITY);
    } finally {
      index.users--;
    }
  }

  async #read(index: RunIndex, giveUpAt: number): Promise<void> {
    try {
      while (!this.#stopped && index.readMore() && Date.now() < giveUpAt) await turn();
    } catch (error) {
      // It may hold half of a piece: what is committed stands.
      index.spoiled = true;
      throw error;
    }
  }

  async #commitDue(): Promise<void> {
    const now = Date.now();
    for (const index of [...this.#open.values()]) {
      const { dirtySinceMs, lastReadMs } = index;
      if (dirtySinceMs === undefined) continue;
      if (now - lastReadMs < QUIET_COMMIT_MS && now - dirtySinceMs < BUSY_COMMIT_MS) continue;
      await this.#commit(index);
    }
  }

  async #makeRoom(): Promise<void> {
    let bytes = 0;
    const newestFirst = [...this.#open.values()].reverse();
    for (const [i, index] of newestFirst.entries()) {
      bytes += index.bytes;
      // The newest stays, however large it is.
      const tooMuch = i > 0 && (i >= MAX_OPEN_RUNS || bytes > MAX_OPEN_BYTES);
      if ((tooMuch || index.spoiled) && index.users === 0) await this.#close(index);
    }
  }

  async #close(index: RunIndex): Promise<void> {
    const { key } = index.place;
    this.#open.delete(key);
    const closing = this.#commit(index).finally(() => {
      index.close();
      this.#closing.delete(key);
    });
    this.#closing.set(key, closing);
    await closing;
  }

  async #commit(index: RunIndex): Promise<void> {
    try {
      if (!index.spoiled) await index.commit();
    } catch (error) {
      this.#options.tell('an index cannot be written; what it lacks is read again after a restart', error);
    }
  }

  /** Indexes of runs that somebody removed. */
  #removeOrphans(there: ReadonlySet<string>): void {
    const { directory } = this.#options;
    for (const [name, run] of this.#known) if (!there.has(run.place.key)) this.#known.delete(name);
    for (const key of fs.readdirSync(directory)) {
      if (there.has(key) || !new RegExp(`^[0-9a-f]{${KEY_DIGITS}}$`).test(key)) continue;
      const index = this.#open.get(key);
      if (this.#closing.has(key) || (index !== undefined && index.users > 0)) continue;
      index?.close();
      this.#open.delete(key);
      fs.rmSync(confinedFolder(directory, key), { recursive: true, force: true });
    }
  }
}

/** Size of all metrics files of a run; 0 without any. */
function metricsSize(root: string, folder: string): number {
  const logs = path.join(root, folder, 'logs');
  let size = 0;
  try {
    for (const name of fs.readdirSync(logs)) {
      if (name.startsWith('metrics.') && name.endsWith('.jsonl'))
        size += fs.statSync(path.join(logs, name), { throwIfNoEntry: false })?.size ?? 0;
    }
  } catch {
    return 0;
  }
  return size;
}

/** Lets queries have their turn. */
function turn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve));
}
