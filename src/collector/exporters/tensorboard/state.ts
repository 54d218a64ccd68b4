// What the exporter's cursor keeps: which commit it is, and where the open runs' files stood.
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { CommittedState } from '../../component.ts';
import type { RunFolder } from '../../runs/run.ts';
import { fileError } from './event-file.ts';
import { PARTS_FOLDER } from './media.ts';
import { LATE_PREFIX, type RunState } from './run-writer.ts';

export interface ExporterState {
  /** Part of the names of this exporter's files; see `Owner`. */
  readonly epoch: string;
  /** Number of this commit. Files of a later number were begun after it. */
  readonly generation: number;
  readonly runs: readonly (readonly [folder: RunFolder, state: RunState])[];
}

export function writeState(state: ExporterState): CommittedState {
  return { version: STATE_VERSION, ...state };
}

/** The state of a commit; undefined when there has been none. Throws for one of another version. */
export function readState(committed: CommittedState): ExporterState | undefined {
  if (committed === undefined) return undefined;
  if (committed.version !== STATE_VERSION) {
    throw new Error(
      `the cursor of the tensorboard exporter has version ${String(committed.version)}, this Kymo reads ${STATE_VERSION}; run the version that wrote it`,
    );
  }
  return committed as unknown as ExporterState;
}

/**
 * The epoch of an exporter that has never committed. A crash before the first commit must find its own files again, so the name is
 * kept in a file until that commit; an exporter that lost its cursor gets a new name and leaves the files of the old one alone.
 */
export function firstEpoch(stateDirectory: string): string {
  const file = path.join(stateDirectory, FIRST_EPOCH);
  try {
    const known = fs.readFileSync(file, 'utf8');
    if (/^[0-9a-f]{8}$/.test(known)) return known;
  } catch {
    // There is none.
  }
  const epoch = randomBytes(4).toString('hex');
  try {
    fs.writeFileSync(file, epoch, { mode: 0o640, flush: true });
  } catch (error) {
    throw fileError(error, file);
  }
  return epoch;
}

/** The first commit is durable. */
export function forgetFirstEpoch(stateDirectory: string): void {
  fs.rmSync(path.join(stateDirectory, FIRST_EPOCH), { force: true });
}

/** Cuts late files to what was committed and removes those that were begun later. @throws RetryableError */
export function restoreLateFiles(stateDirectory: string, state: ExporterState | undefined): void {
  const lengths = new Map<string, number>();
  for (const [, run] of state?.runs ?? []) {
    if (run.late !== undefined) lengths.set(run.late.name, run.late.length);
  }
  try {
    for (const name of fs.readdirSync(stateDirectory)) {
      if (!name.startsWith(LATE_PREFIX)) continue;
      const file = path.join(stateDirectory, name);
      const length = lengths.get(name);
      if (length === undefined) fs.rmSync(file, { force: true });
      else if (fs.statSync(file).size > length) fs.truncateSync(file, length);
    }
  } catch (error) {
    throw fileError(error, stateDirectory);
  }
}

/** Removes what came of media of runs that no state names. */
export function removeStrayParts(stateDirectory: string, state: ExporterState | undefined): void {
  const folder = path.join(stateDirectory, PARTS_FOLDER);
  const open = new Set<string>((state?.runs ?? []).map(([run]) => run));
  try {
    if (!fs.existsSync(folder)) return;
    for (const run of fs.readdirSync(folder)) {
      if (!open.has(run)) fs.rmSync(path.join(folder, run), { recursive: true, force: true });
    }
  } catch (error) {
    throw fileError(error, folder);
  }
}

const STATE_VERSION = 1;
const FIRST_EPOCH = 'first-epoch';
