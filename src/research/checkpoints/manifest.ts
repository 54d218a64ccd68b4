// checkpoint.json: what a checkpoint is, which files hold it, and their checksums. Where it is, the checkpoint is; it comes last.
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { isStep } from '../numbers.ts';

/** Version of checkpoint.json and of what it names. */
export const CHECKPOINT_FORMAT = 1;
/** A manifest is a few hundred bytes, and one entry for each scope. */
const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

/** A checkpoint that cannot be used, and why. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError';
  readonly code: 'damaged' | 'newer_format' | 'wrong_checksum' | 'wrong_serializer' | 'missing';
  /** The file that is the trouble. */
  readonly file: string;
  constructor(code: CheckpointError['code'], file: string, message: string, cause?: unknown) {
    super(`kymo: ${file}: ${message}`, { cause });
    this.code = code;
    this.file = file;
  }
}

/** Bytes on disk: in the checkpoint's own folder, or in `buffers/` of the run. */
export interface SavedFile {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly serializer: string;
}

export interface SavedBuffer extends SavedFile {
  /** When the buffer was saved: it may be older than the checkpoint. */
  readonly step: number;
}

/** The step counter of one scope. */
export interface SavedSteps {
  readonly scope: string;
  readonly next: number;
  readonly highest: number;
}

export interface Manifest {
  readonly format: typeof CHECKPOINT_FORMAT;
  /** Id of the run. */
  readonly run: string;
  readonly project: string;
  readonly step: number;
  readonly rank: number;
  readonly attempt: number;
  /** First step that a run resumed from here writes again. */
  readonly resume_step: number;
  /** ISO 8601. */
  readonly saved: string;
  /** Seconds of training so far, over all attempts. */
  readonly wall_time: number;
  readonly steps: readonly SavedSteps[];
  readonly state: SavedFile;
  readonly buffer?: SavedBuffer;
}

/** The manifest of one rank: all of a job may save at the same step. */
export function manifestName(rank: number): string {
  return rank === 0 ? 'checkpoint.json' : `checkpoint.rank${rank}.json`;
}

export function manifestText(manifest: Manifest): string {
  return `${JSON.stringify({ ...manifest, check: checkOf(manifest) }, undefined, 2)}\n`;
}

/** The manifest in a file; undefined where there is none. Throws a CheckpointError for one that cannot be used. */
export function readManifest(file: string): Manifest | undefined {
  let text: string;
  try {
    const fd = openSync(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
    try {
      const { size } = fstatSync(fd);
      if (size > MAX_MANIFEST_BYTES)
        throw new CheckpointError('damaged', file, `has ${size} bytes, more than a manifest may have`);
      text = readFileSync(fd, 'utf8');
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (error instanceof CheckpointError) throw error;
    throw new CheckpointError('damaged', file, `cannot be read (${code ?? error}); ${WAY_OUT}`, error);
  }
  return parseManifest(file, text);
}

const WAY_OUT = 'load another checkpoint, such as loadCheckpoint({step}), or remove its folder';

function parseManifest(file: string, text: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CheckpointError('damaged', file, `is no JSON (${(error as Error).message}); ${WAY_OUT}`, error);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new CheckpointError('damaged', file, `is no object; ${WAY_OUT}`);
  const { check, ...manifest } = value as Manifest & { check?: unknown };
  const { format } = manifest as { format?: unknown };
  if (typeof format === 'number' && format > CHECKPOINT_FORMAT)
    throw new CheckpointError(
      'newer_format',
      file,
      `has format ${format}, and this version of kymo reads up to ${CHECKPOINT_FORMAT}; install the version that wrote it (or a later one), or ${WAY_OUT}`,
    );
  const problem = problemOf(manifest);
  if (problem !== undefined) throw new CheckpointError('damaged', file, `${problem}; ${WAY_OUT}`);
  if (check !== checkOf(manifest))
    throw new CheckpointError(
      'wrong_checksum',
      file,
      `was changed after it was written (its checksum is wrong); ${WAY_OUT}`,
    );
  return manifest;
}

/** Over the same fields in the same order, which JSON keeps. */
function checkOf(manifest: Manifest): string {
  return createHash('sha256').update(JSON.stringify(manifest)).digest('hex');
}

/** What is wrong with what somebody may have written by hand. Names of files lead nowhere else. */
function problemOf(manifest: Manifest): string | undefined {
  const { format, run, project, step, rank, attempt, resume_step, saved, wall_time, steps, state, buffer } =
    manifest;
  if (format !== CHECKPOINT_FORMAT)
    return `has format ${JSON.stringify(format)} instead of ${CHECKPOINT_FORMAT}`;
  if (typeof run !== 'string' || typeof project !== 'string') return 'names no run';
  for (const [key, value] of Object.entries({ step, rank, attempt, resume_step }))
    if (!isStep(value)) return `"${key}" is no whole number`;
  if (typeof saved !== 'string' || Number.isNaN(Date.parse(saved))) return '"saved" is no time';
  if (typeof wall_time !== 'number' || !(wall_time >= 0)) return '"wall_time" is no duration';
  if (!Array.isArray(steps) || !steps.every(isSavedSteps)) return '"steps" are no step counters';
  if (!isSavedFile(state)) return '"state" names no file';
  if (buffer !== undefined && !(isSavedFile(buffer) && isStep(buffer.step))) return '"buffer" names no file';
  return undefined;
}

function isSavedFile(value: unknown): value is SavedFile {
  const { file, bytes, sha256, serializer } = (value ?? {}) as Partial<SavedFile>;
  return (
    typeof file === 'string' &&
    /^[A-Za-z0-9][\w.-]{0,200}$/.test(file) &&
    isStep(bytes) &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256) &&
    typeof serializer === 'string'
  );
}

function isSavedSteps(value: unknown): value is SavedSteps {
  const { scope, next, highest } = (value ?? {}) as Partial<SavedSteps>;
  return typeof scope === 'string' && isStep(next) && (highest === -1 || isStep(highest));
}
