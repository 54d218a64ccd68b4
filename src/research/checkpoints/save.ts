// Writes one checkpoint: buffer, state, then the manifest that makes them count. Until that is there, nothing has changed.
import { rmdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { machineId } from '../../semconv/local.ts';
import { isAlive } from '../runs/processes.ts';
import {
  BUFFERS_FOLDER,
  CHECKPOINTS_FOLDER,
  cleanUp,
  entries,
  markBest,
  removeBuffers,
  removeLeftovers,
  SAVING,
  stepFolder,
  stepFolders,
} from './folder.ts';
import { type Manifest, manifestName, manifestText, type SavedBuffer } from './manifest.ts';
import type { SavedCheckpoint } from './options.ts';
import { CBOR, type EncodedValue } from './serializer.ts';
import { makeFolder, syncFolder, type WrittenFile, writeWhole } from './whole-file.ts';
import type { Work } from './work.ts';

export interface SaveTask {
  /** The run's folder. */
  readonly run: string;
  readonly manifest: Omit<Manifest, 'state' | 'buffer'>;
  readonly state: EncodedValue;
  /** Bytes of a new buffer, an earlier one that still belongs to the state, or none. */
  readonly buffer: EncodedValue | SavedBuffer | undefined;
  readonly isBest: boolean;
  readonly keep: number | undefined;
  /** Tells what went wrong after the checkpoint was safe. */
  tell(problem: string): void;
}

export interface Saved {
  readonly checkpoint: SavedCheckpoint;
  readonly buffer: SavedBuffer | undefined;
}

/** Digits of the checksum in names, so that a new file never takes the place of one that counts. */
const NAME_DIGITS = 16;

/** Throws what the file system throws. */
export function* saveCheckpoint(task: SaveTask): Work<Saved> {
  const { manifest, run } = task;
  const { rank, step } = manifest;
  const checkpoints = join(run, CHECKPOINTS_FOLDER);
  const folder = join(checkpoints, stepFolder(step));
  const ofRank = rank === 0 ? '' : `.r${rank}`;
  const temporary = `${SAVING}${machineId()}-${process.pid}-r${rank}`;
  const nameOf = (base: string, value: EncodedValue) => (sha256: string) =>
    `${base}${ofRank}.${sha256.slice(0, NAME_DIGITS)}.${value.serializer === CBOR ? 'cbor' : 'bin'}`;
  let newBuffer: WrittenFile | undefined;
  let committed = false;
  makeFolder(folder);
  try {
    let buffer = task.buffer;
    if (buffer !== undefined && 'pieces' in buffer) {
      const buffers = join(run, BUFFERS_FOLDER);
      makeFolder(buffers);
      newBuffer = yield* writeWhole(buffers, temporary, buffer.pieces, nameOf(`step_${step}`, buffer));
      yield* syncFolder(buffers);
      buffer = { ...entry(newBuffer, buffer), step };
    }
    const state = yield* writeWhole(folder, temporary, task.state.pieces, nameOf('state', task.state));
    yield* syncFolder(folder);
    const whole: Manifest = {
      ...manifest,
      state: entry(state, task.state),
      ...(buffer !== undefined && { buffer }),
    };
    yield* writeWhole(folder, temporary, [Buffer.from(manifestText(whole))], () => manifestName(rank));
    committed = true;
    yield* syncFolder(folder);
    if (task.isBest) {
      markBest(checkpoints, step);
      yield* syncFolder(checkpoints);
    }
    afterwards(task, checkpoints, folder, state.name);
    const bytes = state.bytes + (newBuffer?.bytes ?? 0);
    const checkpoint = { step, path: folder, isBest: task.isBest, bytes, bufferStep: buffer?.step };
    return { checkpoint, buffer };
  } finally {
    if (!committed) undo(checkpoints, folder, newBuffer);
  }
}

/** Removes what processes that are no more left half-written. Before a process's first save. */
export function removeHalfWritten(run: string): void {
  const checkpoints = join(run, CHECKPOINTS_FOLDER);
  for (const { path } of stepFolders(checkpoints)) {
    removeAbandoned(path);
    // An empty one was made for what has just been removed.
    if (entries(path).length === 0) rmdirSync(path);
  }
  removeLeftovers(checkpoints);
  const buffers = join(run, BUFFERS_FOLDER);
  removeAbandoned(buffers);
  const old = entries(buffers).filter(
    ({ name }) => BUFFER_NAME.test(name) && ageMs(join(buffers, name)) > LEFT_ALONE_MS,
  );
  removeBuffers(checkpoints, new Set(old.map(({ name }) => name)));
}

/** A buffer that no manifest names may be one whose manifest is being written, but not for so long. */
const LEFT_ALONE_MS = 3_600_000;
const BUFFER_NAME = /^step_\d+(\.r\d+)?\.[0-9a-f]{16}\.\w+$/;

function removeAbandoned(folder: string): void {
  for (const { name } of entries(folder)) {
    if (!name.startsWith(SAVING)) continue;
    const [, machine, pid] = /^(.*)-(\d+)-r\d+$/.exec(name.slice(SAVING.length)) ?? [];
    const here = machine === machineId();
    const abandoned = here
      ? Number(pid) === process.pid || !isAlive(Number(pid))
      : ageMs(join(folder, name)) > LEFT_ALONE_MS;
    if (abandoned) rmSync(join(folder, name), { force: true });
  }
}

function ageMs(file: string): number {
  return Date.now() - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
}

function entry({ name, bytes, sha256 }: WrittenFile, { serializer }: EncodedValue) {
  return { file: name, bytes, sha256, serializer };
}

/** Tidies up. The checkpoint is safe: what goes wrong here is only told. */
function afterwards(
  { manifest, keep, tell }: SaveTask,
  checkpoints: string,
  folder: string,
  state: string,
): void {
  try {
    // States that this one has replaced: saved again at the same step.
    const own =
      manifest.rank === 0
        ? /^state\.[0-9a-f]{16}\.\w+$/
        : new RegExp(`^state\\.r${manifest.rank}\\.[0-9a-f]{16}\\.\\w+$`);
    for (const { name } of entries(folder)) if (own.test(name) && name !== state) rmSync(join(folder, name));
    if (keep !== undefined && manifest.rank === 0) cleanUp(checkpoints, keep, folder);
  } catch (error) {
    tell(
      `the checkpoint of step ${manifest.step} is saved; tidying up failed: ${error instanceof Error ? error.message : error}`,
    );
  }
}

function undo(checkpoints: string, folder: string, buffer: WrittenFile | undefined): void {
  try {
    if (buffer !== undefined) removeBuffers(checkpoints, new Set([buffer.name]));
    rmdirSync(folder);
  } catch {
    // It holds something: an earlier checkpoint of this step, or somebody's files.
  }
}
