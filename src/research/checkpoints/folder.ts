// The folder `checkpoints/` of a run: one folder per step, which is newest, which is best, and what may go.

import { randomBytes } from 'node:crypto';
import {
  type Dirent,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { CheckpointError, type Manifest, manifestName, readManifest } from './manifest.ts';

export const CHECKPOINTS_FOLDER = 'checkpoints';
export const BUFFERS_FOLDER = 'buffers';
/** Name of the best checkpoint: a link, or where links cannot be made a file with the folder's name in it. */
const BEST = 'best';
/** Begins the names of folders that are being removed, and of files that are being written. */
const REMOVED = '.removed-';
export const SAVING = '.saving-';

/** One checkpoint folder. Those that no `saveCheckpoint` wrote have no manifest. */
export interface CheckpointFolder {
  readonly step: number;
  readonly path: string;
  readonly manifest: Manifest | undefined;
}

export function stepFolder(step: number): string {
  return `step_${step}`;
}

/** All `step_<N>` folders, by step. Others are ignored; a missing folder has none. */
export function stepFolders(checkpoints: string): { readonly step: number; readonly path: string }[] {
  return entries(checkpoints)
    .filter(entry => entry.isDirectory())
    .map(({ name }) => ({ step: stepOf(name), path: join(checkpoints, name) }))
    .filter(({ step }) => !Number.isNaN(step))
    .sort((a, b) => a.step - b.step);
}

/**
 * The checkpoints of one rank, the one to go on from last: by attempt, then by step. Those that a later attempt has undone are not there
 * (`undone` says which). A folder without a manifest is not finished, or somebody else's. Throws a CheckpointError.
 */
export function readCheckpoints(
  checkpoints: string,
  rank: number,
  undone: (manifest: Manifest) => boolean = () => false,
): (CheckpointFolder & { readonly manifest: Manifest })[] {
  const found: (CheckpointFolder & { readonly manifest: Manifest })[] = [];
  for (const { step, path } of stepFolders(checkpoints)) {
    const manifest = manifestOf(path, rank);
    if (manifest === undefined || undone(manifest)) continue;
    if (manifest.step !== step)
      throw new CheckpointError(
        'damaged',
        join(path, manifestName(manifest.rank)),
        `is of step ${manifest.step}; give the folder back its name`,
      );
    found.push({ step, path, manifest });
  }
  return found.sort((a, b) => a.manifest.attempt - b.manifest.attempt || a.step - b.step);
}

/** A rank's own, else that of rank 0, which often saves for all. */
export function manifestOf(folder: string, rank: number): Manifest | undefined {
  const own = readManifest(join(folder, manifestName(rank)));
  return own ?? (rank === 0 ? undefined : readManifest(join(folder, manifestName(0))));
}

/** Makes `best` mean this folder; readers see the old or the new one. */
export function markBest(checkpoints: string, step: number): void {
  const target = stepFolder(step);
  const temporary = join(checkpoints, `.${BEST}-${randomBytes(4).toString('hex')}`);
  try {
    symlinkSync(target, temporary, 'dir');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
    // Windows gives links to some users only.
    writeFileSync(temporary, `${target}\n`);
  }
  try {
    // Windows does not rename over a link to a folder.
    if (process.platform === 'win32') rmSync(join(checkpoints, BEST), { force: true });
    renameSync(temporary, join(checkpoints, BEST));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** The folder that `best` means; undefined where none is marked, or where it has gone. */
export function bestFolder(checkpoints: string): string | undefined {
  const link = join(checkpoints, BEST);
  let name: string;
  try {
    name = lstatSync(link).isSymbolicLink() ? readlinkSync(link) : readFileSync(link, 'utf8').trim();
  } catch {
    return undefined;
  }
  // A link that leads elsewhere is none of ours.
  if (Number.isNaN(stepOf(name))) return undefined;
  const path = join(checkpoints, name);
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ? path : undefined;
}

/**
 * Removes all checkpoints but the newest `keep`, the best, and `spare`; returns the removed folders. Newest: of the latest attempt, then the
 * highest step. A folder disappears as a whole, and with it buffers that only it named.
 */
export function cleanUp(checkpoints: string, keep: number, spare?: string): string[] {
  removeLeftovers(checkpoints);
  const best = bestFolder(checkpoints);
  const folders = stepFolders(checkpoints).map(folder => ({ ...folder, attempt: attemptOf(folder.path) }));
  folders.sort((a, b) => a.attempt - b.attempt || a.step - b.step);
  const removed: string[] = [];
  const freed = new Set<string>();
  for (const { path } of folders.slice(0, Math.max(0, folders.length - keep))) {
    if (path === best || path === spare) continue;
    for (const buffer of namedBuffers(path) ?? []) freed.add(buffer);
    removeFolder(checkpoints, path);
    removed.push(path);
  }
  removeBuffers(checkpoints, freed);
  return removed;
}

/** What an interrupted removal left. */
export function removeLeftovers(checkpoints: string): void {
  for (const { name } of entries(checkpoints))
    if (name.startsWith(REMOVED)) rmSync(join(checkpoints, name), { recursive: true, force: true });
}

function removeFolder(checkpoints: string, path: string): void {
  const gone = join(checkpoints, `${REMOVED}${basename(path)}-${randomBytes(4).toString('hex')}`);
  renameSync(path, gone);
  rmSync(gone, { recursive: true, force: true });
}

/** Removes those buffers that no checkpoint names. */
export function removeBuffers(checkpoints: string, candidates: ReadonlySet<string>): void {
  if (candidates.size === 0) return;
  const named = new Set<string>();
  for (const { path } of stepFolders(checkpoints)) {
    const buffers = namedBuffers(path);
    // Where nobody can say what a checkpoint names, everything stays.
    if (buffers === undefined) return;
    for (const buffer of buffers) named.add(buffer);
  }
  for (const buffer of candidates)
    if (!named.has(buffer)) rmSync(join(checkpoints, '..', BUFFERS_FOLDER, buffer), { force: true });
}

/** The buffers that a checkpoint's manifests name, of all ranks; undefined when one cannot be read. */
function namedBuffers(folder: string): string[] | undefined {
  const buffers: string[] = [];
  for (const { name } of entries(folder)) {
    if (!/^checkpoint(\.rank\d+)?\.json$/.test(name)) continue;
    try {
      const buffer = readManifest(join(folder, name))?.buffer;
      if (buffer !== undefined) buffers.push(buffer.file);
    } catch {
      return undefined;
    }
  }
  return buffers;
}

/** For the order of removal only: what cannot be read is of no known attempt, and older. */
function attemptOf(folder: string): number {
  try {
    return readManifest(join(folder, manifestName(0)))?.attempt ?? 0;
  } catch {
    return 0;
  }
}

function stepOf(name: string): number {
  const digits = /^step_(0|[1-9]\d{0,15})$/.exec(name)?.[1];
  return digits === undefined ? Number.NaN : Number(digits);
}

export function entries(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
