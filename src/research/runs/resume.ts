// Whether a run is continued, and from where: what `init({resume})` finds on the disk before the run begins.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_FOLDER } from '../../semconv/local.ts';
import { GLOBAL_SCOPE } from '../../semconv/names.ts';
import { escapeRunId } from '../../semconv/run-folder.ts';
import { isUndone } from '../checkpoints/checkpoints.ts';
import { CHECKPOINTS_FOLDER, manifestOf, readCheckpoints, stepFolder } from '../checkpoints/folder.ts';
import { missing } from '../checkpoints/load.ts';
import type { Manifest, SavedSteps } from '../checkpoints/manifest.ts';
import { nearest, shown } from '../checks.ts';
import { tell } from '../complaints.ts';
import { AWAY_ALIVE_MS, type Writer, writersOf } from './claims.ts';
import { configChanges } from './config-changes.ts';
import { findRuns } from './find-runs.ts';
import { RunError } from './run-error.ts';
import { isEmptyFolder, type RunFile, readRunFile } from './run-file.ts';

export const RESUME_MODES = ['must', 'allow', 'auto', 'never'] as const;
export type ResumeMode = (typeof RESUME_MODES)[number];

export interface ResumeOptions {
  /** As `resume: mode`. Without it the run is continued at its word, and nothing is looked at. */
  readonly mode?: ResumeMode;
  /** Rows of earlier attempts from this step on are superseded. Default: as the checkpoint says that the run goes on from. */
  readonly step?: number;
  /** Go back to the checkpoint of this step instead of the newest. */
  readonly checkpoint?: number;
  /** Which attempt this is, where a launcher counts them. */
  readonly attempt?: number;
  /** What a configuration is that differs from the run's: an error (default), or the new one. */
  readonly configChanges?: 'refuse' | 'take';
}

/** Where a run goes on. */
export interface Resumption {
  /** Undefined: a new run, named as ever. */
  readonly id: string | undefined;
  readonly resumed: boolean;
  /** NaN: nothing is superseded. */
  readonly resumeStep: number;
  readonly steps: readonly SavedSteps[];
  /** Seconds of training before. */
  readonly wallTime: number;
  readonly undone: readonly { readonly attempt: number; readonly fromStep: number }[];
}

/** What is asked of a resume. */
export interface ResumeRequest {
  readonly mode: ResumeMode;
  readonly options: ResumeOptions;
  /** As `init` or the environment names it. */
  readonly id: string | undefined;
  readonly project: string;
  readonly projectDirectory: string;
  readonly runsFolder: string;
  readonly rank: number;
  /** Processes of this attempt are colleagues, not the past. Infinity where it is still to be counted. */
  readonly attempt: number;
  readonly config: object | undefined;
}

const NEW: Omit<Resumption, 'id'> = {
  resumed: false,
  resumeStep: Number.NaN,
  steps: [],
  wallTime: 0,
  undone: [],
};

/** Looks, and changes nothing. Throws a RunError or a CheckpointError that names the place and the way out. */
export function settleResume(request: ResumeRequest): Resumption {
  const { mode, runsFolder, projectDirectory } = request;
  const id = request.id ?? (mode === 'auto' ? newestUnfinished(request) : undefined);
  if (id === undefined) {
    if (mode === 'auto') return { id, ...NEW };
    throw new TypeError(
      `kymo: init({resume: '${mode}'}) needs the run's id: init({id, resume}); 'auto' finds the project's newest`,
    );
  }
  const folder = join(runsFolder, escapeRunId(id));
  const file = runAt(folder, id);
  const writers = writersOf(projectDirectory, id);
  const exists = file !== undefined || writers.known || wasHere(projectDirectory, id, folder);
  if (!exists && !isEmptyFolder(folder))
    throw new RunError(
      'foreign_folder',
      folder,
      `${folder} holds no run.json, and nothing that kymo has written; move it away, or choose another id`,
    );
  if (mode === 'never') {
    if (!exists) return { id, ...NEW };
    throw new RunError(
      'run_exists',
      folder,
      `there is a run ${shown(id)} already (${folder}); choose another id, or continue it with resume: 'must'`,
    );
  }
  if (!exists) {
    if (mode === 'must') throw noSuchRun(id, folder, runsFolder);
    return { id, ...NEW };
  }
  refuseLiving(id, folder, file, writers, request);
  if (request.config !== undefined && request.options.configChanges !== 'take')
    refuseChanges(id, folder, request.config);
  return { id, ...goOn(folder, file, request) };
}

/** Counters and clock of the checkpoint that the run goes on from; without one, what run.json knows. */
function goOn(
  folder: string,
  file: RunFile | undefined,
  { rank, options }: ResumeRequest,
): Omit<Resumption, 'id'> {
  const undone = file?.undone ?? [];
  const checkpoints = join(folder, CHECKPOINTS_FOLDER);
  let manifest: Manifest | undefined;
  if (options.checkpoint !== undefined) {
    const path = join(checkpoints, stepFolder(options.checkpoint));
    manifest = manifestOf(path, rank);
    if (manifest === undefined) throw missing(path, rank);
  } else {
    const until = options.step ?? Number.POSITIVE_INFINITY;
    manifest = readCheckpoints(checkpoints, rank, one => isUndone(one, undone) || one.resume_step > until).at(
      -1,
    )?.manifest;
  }
  const resumeStep = options.step ?? manifest?.resume_step ?? Number.NaN;
  const last = file?.lastStep ?? -1;
  const next = Number.isNaN(resumeStep) ? last + 1 : resumeStep;
  return {
    resumed: true,
    resumeStep,
    steps: manifest?.steps ?? (next > 0 ? [{ scope: GLOBAL_SCOPE, next, highest: next - 1 }] : []),
    wallTime: manifest?.wall_time ?? file?.wallTime ?? 0,
    undone,
  };
}

/** The run.json of a folder, which must be this run's. */
function runAt(folder: string, id: string): RunFile | undefined {
  const file = readRunFile(folder);
  if (file === undefined || file.id === id) return file;
  throw new RunError(
    'foreign_folder',
    folder,
    `${folder} holds the run ${shown(file.id)}, not ${shown(id)}; move it away, or choose another id`,
  );
}

/** A run whose run.json is not (or never) here may have left other traces: its attempts, its checkpoints. */
function wasHere(projectDirectory: string, id: string, folder: string): boolean {
  const attempts = join(projectDirectory, PROJECT_FOLDER, 'attempts');
  const begin = `${escapeRunId(id)}.`;
  try {
    if (readdirSync(attempts).some(name => name.startsWith(begin) && /^\d+$/.test(name.slice(begin.length))))
      return true;
  } catch {
    // No run of this project was ever resumed.
  }
  return (
    existsSync(folder) &&
    readCheckpoints(join(folder, CHECKPOINTS_FOLDER), 0).some(one => one.manifest.run === id)
  );
}

function refuseLiving(
  id: string,
  folder: string,
  file: RunFile | undefined,
  { known, living }: { known: boolean; living: readonly Writer[] },
  { rank, attempt }: ResumeRequest,
): void {
  const other = living.find(writer => writer.rank === rank && writer.attempt < attempt);
  if (other !== undefined) {
    const where =
      other.mark.pid === process.pid
        ? 'this process itself: finish() it first'
        : `process ${other.mark.pid} on ${other.machine}`;
    throw stillWritten(id, folder, where);
  }
  // Clients of other languages leave no note; a sign of life is what the collector has written.
  const quietMs = Date.now() - (file?.updatedMs ?? 0);
  if (!known && file?.state === 'running' && quietMs < AWAY_ALIVE_MS)
    throw stillWritten(id, folder, `somebody who wrote ${Math.round(quietMs / 1_000)} s ago`);
}

function stillWritten(id: string, folder: string, by: string): RunError {
  return new RunError(
    'still_written',
    folder,
    `the run ${shown(id)} is still being written by ${by}; end that one first, or join it with init({id}) without resume`,
  );
}

function refuseChanges(id: string, folder: string, config: object): void {
  const changes = configChanges(folder, config);
  if (changes.length === 0) return;
  throw new RunError(
    'config_changed',
    join(folder, 'config.json'),
    `the run ${shown(id)} was started with another configuration:\n  ${changes.join('\n  ')}\n` +
      `go on with the run's own, or say resume: {mode, configChanges: 'take'}, or start a new run`,
  );
}

function noSuchRun(id: string, folder: string, runsFolder: string): RunError {
  let near: string | undefined;
  try {
    near = nearest(id, readdirSync(runsFolder));
  } catch {
    // No runs at all.
  }
  const hint = near === undefined ? '' : ` (did you mean ${shown(near)}?)`;
  return new RunError(
    'no_such_run',
    folder,
    `there is no run ${shown(id)} to resume${hint}: ${folder} is not there; resume: 'allow' starts it when it is new`,
  );
}

/** The id of the project's newest run, unless that has finished. Runs that others write at this moment are passed over. */
function newestUnfinished({
  runsFolder,
  project,
  projectDirectory,
  rank,
}: ResumeRequest): string | undefined {
  const runs = findRuns(runsFolder, {
    project,
    onBroken: error => tell(`resume: 'auto' passes over a folder: ${error.message.replace(/^kymo: /, '')}`),
  });
  for (const run of runs.reverse()) {
    if (run.state === 'unknown') continue;
    if (writersOf(projectDirectory, run.id).living.some(writer => writer.rank === rank)) continue;
    return run.state === 'finished' ? undefined : run.id;
  }
  return undefined;
}
