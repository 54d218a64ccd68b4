// Event files as files: how they are named, found, opened, written and cut.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { RetryableError } from '../../component.ts';
import { ConfinementError } from '../../runs/confined.ts';
import type { RunFolder } from '../../runs/run.ts';
import { encodeFileVersion } from './events.ts';
import { FORGET_RETIRED_AFTER_MS } from './limits.ts';
import { RecordBuffer } from './record-buffer.ts';

/** Where a run's files are, and who writes them. */
export interface Place {
  /** The folder that holds the run folders. */
  readonly root: string;
  readonly folder: RunFolder;
  readonly owner: Owner;
}

/** Whose files are whose. `epoch` changes when the exporter loses its memory, so that what it does not remember is not taken for its own. */
export interface Owner {
  readonly writerId: string;
  readonly epoch: string;
}

/** What a listing of a run folder tells. */
export interface Listing {
  /** Ours, in the order readers take them. */
  readonly own: readonly OwnFile[];
  /** Event files that an earlier memory of this writer left. */
  readonly history: number;
  /** Event files of other writers. */
  readonly others: number;
  /** Seconds in the last event file's name; 0 without any. */
  readonly lastSeconds: number;
}
export interface OwnFile {
  readonly name: string;
  /** Number of the commit that the file was begun for. */
  readonly generation: number;
}

/**
 * `events.out.tfevents.<seconds>.<host>.<writer>-<epoch>.<generation>`. Readers take the files of a folder in the order of their names
 * and must never meet an older file behind a newer one, so the seconds always grow, whatever the clock does.
 */
export function eventFileName(owner: Owner, lastSeconds: number, generation: number): string {
  const seconds = Math.max(Math.floor(Date.now() / 1000), lastSeconds + 1);
  return `${PREFIX}${String(seconds).padStart(10, '0')}.${hostName()}.${owner.writerId}-${owner.epoch}.${String(generation).padStart(8, '0')}`;
}

/** Name of a file under construction; no reader takes it for an event file. */
export function unfinishedName(owner: Owner): string {
  return `.mending.${owner.writerId}-${owner.epoch}`;
}

/** Looks at a run folder; empty when there is none. @throws ConfinementError when it is a link or no folder. */
export function listEventFiles(place: Place): Listing {
  const own: OwnFile[] = [];
  let history = 0;
  let others = 0;
  let lastSeconds = 0;
  for (const name of readFolder(place)) {
    // What both readers take for an event file.
    if (!name.includes('tfevents')) continue;
    const seconds = Number(/tfevents\.(\d{10})\./.exec(name)?.[1] ?? 0);
    // A name from beyond the year 2286 cannot be overtaken within ten digits.
    if (seconds > lastSeconds && seconds < 9_999_000_000) lastSeconds = seconds;
    const generation = name.slice(name.lastIndexOf('.') + 1);
    const stem = name.slice(0, -generation.length - 1);
    const { writerId, epoch } = place.owner;
    if (!/^\d{8,}$/.test(generation)) others++;
    else if (stem.endsWith(`.${writerId}-${epoch}`)) own.push({ name, generation: Number(generation) });
    else if (stem.endsWith(`.${writerId}-`, stem.length - epoch.length)) history++;
    else others++;
  }
  own.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { own, history, others, lastSeconds };
}

/** Opens a file that exists; undefined when it does not. @throws ConfinementError */
export function openExisting(place: Place, name: string, flags: number): number | undefined {
  checkFolder(place);
  try {
    return fs.openSync(filePath(place, name), flags | (fs.constants.O_NOFOLLOW ?? 0));
  } catch (error) {
    if (code(error) === 'ENOENT') return undefined;
    if (code(error) === 'ELOOP') throw new ConfinementError(filePath(place, name), 'is a symbolic link');
    throw fileError(error, filePath(place, name));
  }
}

/**
 * Empties a file that readers shall not take anything more from: cut to its version record. It is not removed at once, because TensorBoard's Python reader
 * opens the file it stands in by name for each read, and stays there for ever when it has gone; at its end, it goes on to the next. @throws RetryableError, ConfinementError
 */
export function retireFile(place: Place, name: string): void {
  const fd = openExisting(place, name, fs.constants.O_RDWR);
  if (fd === undefined) return;
  try {
    if (fs.fstatSync(fd).size > versionBytes()) fs.ftruncateSync(fd, versionBytes());
  } catch (error) {
    throw fileError(error, filePath(place, name));
  } finally {
    fs.closeSync(fd);
  }
}

/** A retired file that readers have had enough time to leave. */
export function isForgotten(place: Place, name: string): boolean {
  const found = fs.lstatSync(filePath(place, name), { throwIfNoEntry: false });
  return (
    found !== undefined &&
    found.size <= versionBytes() &&
    Date.now() - found.mtimeMs > FORGET_RETIRED_AFTER_MS
  );
}

export function removeFile(place: Place, name: string): void {
  checkFolder(place);
  try {
    fs.rmSync(filePath(place, name), { force: true });
  } catch (error) {
    throw fileError(error, filePath(place, name));
  }
}

export function filePath(place: Place, name: string): string {
  return path.join(place.root, place.folder, name);
}

/**
 * Appends `length` bytes in one write. `size` is the file's length before it; what a failed write left behind it is taken back, because no
 * reader gets past a torn record. @throws RetryableError naming the file
 */
export function appendAll(fd: number, bytes: Uint8Array, length: number, size: number, file: string): void {
  try {
    // One write does it on a local file system; it may be shorter where the disk is about to be full.
    for (let done = 0; done < length; ) done += fs.writeSync(fd, bytes, done, length - done);
  } catch (error) {
    try {
      fs.ftruncateSync(fd, size);
    } catch {
      // The next start cuts it.
    }
    throw fileError(error, file);
  }
}

/** The file system's error as one that the runner may try again, naming the file and the way out. */
export function fileError(error: unknown, file: string): Error {
  if (error instanceof RetryableError || error instanceof ConfinementError) return error;
  const reason = (error as { readonly message?: unknown } | null)?.message ?? error;
  return new RetryableError(`${file}: ${String(reason)}${ADVICE[code(error)] ?? ''}`, { cause: error });
}

export function code(error: unknown): string {
  const found = (error as { readonly code?: unknown } | null)?.code;
  return typeof found === 'string' ? found : '';
}

const PREFIX = 'events.out.tfevents.';

function versionBytes(): number {
  const record = new RecordBuffer();
  encodeFileVersion(record, 0);
  return record.length;
}

/** Tools that read the host from the name expect no further dot in it. */
function hostName(): string {
  const name = os.hostname().replace(/[^A-Za-z0-9-]/g, '-');
  return name.slice(0, 48) || 'localhost';
}

const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: '; free some space, writing goes on by itself',
  EDQUOT: '; free some space or raise the quota, writing goes on by itself',
  EROFS: '; mount it writable or choose another directory',
  EACCES: '; allow the collector to write there or choose another directory',
  EPERM: '; allow the collector to write there or choose another directory',
  EMFILE: '; raise the limit of open files or lower max_open_runs',
};

function readFolder(place: Place): string[] {
  checkFolder(place);
  try {
    return fs.readdirSync(path.join(place.root, place.folder));
  } catch (error) {
    if (code(error) === 'ENOENT') return [];
    throw fileError(error, path.join(place.root, place.folder));
  }
}

function checkFolder(place: Place): void {
  const folder = path.join(place.root, place.folder);
  let found: fs.Stats | undefined;
  try {
    found = fs.lstatSync(folder, { throwIfNoEntry: false });
  } catch (error) {
    throw fileError(error, folder);
  }
  if (found === undefined) return;
  if (found.isSymbolicLink()) throw new ConfinementError(folder, 'is a symbolic link');
  if (!found.isDirectory()) throw new ConfinementError(folder, 'is not a folder');
}
