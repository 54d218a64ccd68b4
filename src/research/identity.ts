// Who a run is: what `init` was told, what the environment adds, what is made up, and the OTLP resource of all that.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { arch, hostname, platform } from 'node:os';
import { basename, join } from 'node:path';
import type { Attributes } from '../otlp/model.ts';
import { namedEndpoint } from '../semconv/env.ts';
import * as names from '../semconv/names.ts';
import { escapeRunId } from '../semconv/run-folder.ts';
import { type CheckpointOptions, checkCheckpointOptions } from './checkpoints/options.ts';
import { checkOptions, nearest, shown, wrongType } from './checks.ts';
import { tell } from './complaints.ts';
import { inheritedRun, ranks } from './environment.ts';
import { isStep } from './numbers.ts';
import {
  RESUME_MODES,
  type ResumeMode,
  type ResumeOptions,
  type ResumeRequest,
  type Resumption,
} from './runs/resume.ts';
import { newRunId } from './runs/run-id.ts';

/** Run ids, names, groups, job types and tags are kept up to this many UTF-16 units; longer ones are refused. */
export const MAX_IDENTITY_LENGTH = 1_000;
const MAX_TAGS = 100;
/** Where run folders lie in the project folder, as the embedded collector writes them. */
export const RUNS_FOLDER = 'runs';

/** Options of `init`. All of them may be left out. */
export interface InitOptions {
  /** What the run belongs to. Default: `KYMO_PROJECT`, `OTEL_SERVICE_NAME`, the name in package.json, the project folder's name. */
  readonly project?: string;
  /** The run's name for people. Default: its id. */
  readonly name?: string;
  /**
   * Identity of the run: processes that name the same id write one run. Default: `KYMO_RUN_ID` (set for the processes
   * that a run starts), else `<project>_<UTC time>_<4 random characters>`.
   */
  readonly id?: string;
  /** Runs that belong together, such as the seeds of one experiment. */
  readonly group?: string;
  /** What this process does in the run: `train`, `eval`, … */
  readonly jobType?: string;
  readonly tags?: readonly string[];
  /** Hyperparameters: anything JSON can say. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** The project folder, in which `runs/` and `.kymo/` lie. Default: the nearest one with .kymo, package.json or .git. */
  readonly dir?: string;
  /**
   * Continue a run after an interruption, from its newest checkpoint: `must` (the run `id` has to be there), `allow` (it may be), `auto` (the
   * project's newest run, unless that has finished), `never` (it must not be there). Steps and wall time go on, and rows from the
   * checkpoint's step on are superseded. `true`, or a `step` alone, takes the run `id` at its word and looks at nothing.
   */
  readonly resume?: boolean | ResumeMode | ResumeOptions;
  /** How `saveCheckpoint` works. */
  readonly checkpoints?: CheckpointOptions;
  /** Rank of this process in a distributed training. Default: `KYMO_RANK`, `RANK`, `SLURM_PROCID`, `OMPI_COMM_WORLD_RANK`. */
  readonly rank?: number;
  /** URL of an OTLP/HTTP collector. Default: `KYMO_ENDPOINT`, `OTEL_EXPORTER_OTLP_ENDPOINT`, else the embedded collector. */
  readonly endpoint?: string;
  /** `disabled`: every call does nothing. Default: `KYMO_MODE`, else `online`. */
  readonly mode?: 'online' | 'disabled';
  /** Throw for bad values, names and steps instead of dropping them. Default: true when `NODE_ENV` is `test`. */
  readonly strict?: boolean;
  /** The part of a metric's name before its first slash is its mode and leaves the name: `eval/loss` is `loss` in `eval`. */
  readonly modeFromName?: boolean;
}

const OPTIONS = [
  'project',
  'name',
  'id',
  'group',
  'jobType',
  'tags',
  'config',
  'dir',
  'resume',
  'rank',
  'endpoint',
  'mode',
  'strict',
  'modeFromName',
  'checkpoints',
] as const satisfies readonly (keyof InitOptions)[];

/** What is settled about a run before it starts. */
export interface Identity {
  readonly id: string;
  readonly project: string;
  readonly name: string;
  readonly group: string;
  readonly jobType: string;
  readonly tags: readonly string[];
  readonly rank: number | undefined;
  /** Named by the caller, not by the launcher: the processes that the run starts cannot know it from elsewhere. */
  readonly givenRank: number | undefined;
  readonly worldSize: number | undefined;
  readonly localRank: number | undefined;
  /** 1 for the first launch, one more for each resume. */
  readonly attempt: number;
  readonly resumed: boolean;
  /** NaN unless the caller named it. */
  readonly resumeStep: number;
  /** Where the embedded collector writes the run. */
  readonly dir: string;
}

/** The attempts that this process has started, by run id: a run may be resumed by the process that finished it. */
const attempts = new Map<string, number>();

/** Throws a TypeError that names the option and the value's type. */
export function checkInitOptions(options: unknown): asserts options is InitOptions {
  checkOptions('init', options, OPTIONS);
  const given = options as Record<(typeof OPTIONS)[number], unknown>;
  for (const key of ['project', 'name', 'id', 'group', 'jobType', 'dir', 'endpoint'] as const) {
    if (given[key] !== undefined) checkText(`init({${key}})`, given[key]);
  }
  // Half a surrogate pair has no UTF-8: two such ids would be one run.
  if (given.id !== undefined && !(given.id as string).isWellFormed())
    throw new TypeError(`kymo: init({id}) must be well-formed Unicode, not ${shown(given.id as string)}`);
  if (given.tags !== undefined) checkTags(given.tags);
  if (given.config !== undefined && !isObject(given.config))
    throw wrongType('init({config})', 'an object', given.config);
  if (given.rank !== undefined && !isStep(given.rank))
    throw wrongType('init({rank})', 'a whole number from 0 on', given.rank);
  for (const key of ['strict', 'modeFromName'] as const) {
    if (given[key] !== undefined && typeof given[key] !== 'boolean')
      throw wrongType(`init({${key}})`, 'true or false', given[key]);
  }
  if (given.mode !== undefined && given.mode !== 'online' && given.mode !== 'disabled') {
    const near = typeof given.mode === 'string' ? nearest(given.mode, ['online', 'disabled']) : undefined;
    const hint = near === undefined ? '' : ` (did you mean "${near}"?)`;
    throw new TypeError(`${wrongType('init({mode})', '"online" or "disabled"', given.mode).message}${hint}`);
  }
  if (given.endpoint !== undefined && !/^https?:\/\/./i.test(given.endpoint as string))
    throw new TypeError(
      `kymo: init({endpoint}) must be an http:// or https:// URL, not ${shown(given.endpoint as string)}`,
    );
  if (given.resume !== undefined) checkResume(given.resume);
  if (given.checkpoints !== undefined) checkCheckpointOptions(given.checkpoints);
}

/** @param projectDirectory also says the project's name when nobody else does */
export function settleIdentity(
  options: InitOptions,
  projectDirectory: string,
  resumption?: Resumption,
  now = new Date(),
): Identity {
  const inherited = inheritedRun();
  const project = projectOf(options, projectDirectory);
  const id = resumption?.id ?? givenId(options) ?? newRunId(project, now);
  // What the environment says about a run is about the run it names.
  const same = id === inherited.id || inherited.id === undefined ? inherited : undefined;
  const dir = join(runsFolder(projectDirectory), escapeRunId(id));
  const launch = ranks();
  const rank = options.rank ?? launch.rank;
  const given = options.resume === undefined || options.resume === false ? undefined : options.resume;
  const resume = resumption?.resumed === false ? undefined : given;
  const resumeStep =
    resumption?.resumeStep ?? (typeof resume === 'object' ? (resume.step ?? Number.NaN) : Number.NaN);
  const attempt =
    (typeof resume === 'object' ? resume.attempt : undefined) ??
    (id === inherited.id ? inherited.attempt : undefined) ??
    (resume === undefined ? 1 : nextAttempt(projectDirectory, id, dir, rank ?? 0));
  attempts.set(id, attempt);
  return {
    id,
    project,
    name: options.name ?? same?.name ?? id,
    group: options.group ?? same?.group ?? '',
    jobType: options.jobType ?? same?.jobType ?? '',
    tags: options.tags ?? same?.tags ?? [],
    rank,
    givenRank: options.rank,
    worldSize: launch.worldSize,
    localRank: launch.localRank,
    attempt,
    resumed: resume !== undefined || attempt > 1,
    resumeStep,
    dir,
  };
}

/** The run's resource. What `OTEL_RESOURCE_ATTRIBUTES` adds stands beside it, unless it names the same attribute. */
export function runResource(run: Identity, base: Attributes): Attributes {
  const attributes: Attributes = { ...base };
  attributes[names.SERVICE_NAME] = run.project;
  attributes[names.RUN_ID] = run.id;
  attributes[names.RUN_NAME] = run.name;
  if (run.group !== '') attributes[names.RUN_GROUP] = run.group;
  if (run.jobType !== '') attributes[names.RUN_JOB_TYPE] = run.jobType;
  if (run.tags.length > 0) attributes[names.RUN_TAGS] = [...run.tags];
  attributes[names.RUN_ATTEMPT] = run.attempt;
  if (run.resumed) attributes[names.RUN_RESUMED] = true;
  if (!Number.isNaN(run.resumeStep)) attributes[names.RUN_RESUME_STEP] = run.resumeStep;
  if (run.rank !== undefined) attributes[names.RANK] = run.rank;
  if (run.worldSize !== undefined) attributes[names.WORLD_SIZE] = run.worldSize;
  if (run.localRank !== undefined) attributes[names.LOCAL_RANK] = run.localRank;
  attributes['host.name'] ??= hostname();
  attributes['host.arch'] ??= arch();
  attributes['os.type'] ??= platform();
  return attributes;
}

/** Where run folders lie. */
export function runsFolder(projectDirectory: string): string {
  return join(projectDirectory, RUNS_FOLDER);
}

/** What `init` is asked to look for before the run begins; undefined when it is to look for nothing. */
export function resumeRequest(options: InitOptions, projectDirectory: string): ResumeRequest | undefined {
  const { resume } = options;
  const mode = typeof resume === 'object' ? resume.mode : typeof resume === 'string' ? resume : undefined;
  if (mode === undefined) return undefined;
  const inherited = inheritedRun();
  const id = givenId(options);
  const details = typeof resume === 'object' ? resume : {};
  return {
    mode,
    options: details,
    id,
    project: projectOf(options, projectDirectory),
    projectDirectory,
    runsFolder: runsFolder(projectDirectory),
    rank: options.rank ?? ranks().rank ?? 0,
    attempt:
      details.attempt ?? (id === inherited.id ? inherited.attempt : undefined) ?? Number.POSITIVE_INFINITY,
    config: options.config,
  };
}

function projectOf(options: InitOptions, projectDirectory: string): string {
  return options.project ?? inheritedRun().project ?? serviceName() ?? nameOfFolder(projectDirectory);
}

function givenId(options: InitOptions): string | undefined {
  return options.id ?? fitting('KYMO_RUN_ID', inheritedRun().id);
}

/**
 * One more than this rank's last attempt. Kept per rank, because all ranks of a job count their restarts at the same
 * moment, some on one file system.
 */
function nextAttempt(projectDirectory: string, id: string, dir: string, rank: number): number {
  const folder = join(projectDirectory, '.kymo', 'attempts');
  const file = join(folder, `${escapeRunId(id)}.${rank}`);
  // Where a collector elsewhere keeps the runs, nothing here says whether this one ran before: a resume is taken at its word.
  const elsewhere = namedEndpoint();
  let last = attempts.get(id) ?? (elsewhere || existsSync(dir) ? 1 : 0);
  try {
    const text = readFileSync(file, 'utf8').trim();
    if (/^\d{1,9}$/.test(text)) last = Number(text);
  } catch {
    // The first resume of this run.
  }
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(file, `${last + 1}\n`);
  } catch (error) {
    tell(
      `cannot remember attempt ${last + 1} of run ${shown(id)}: ${error instanceof Error ? error.message : error}`,
    );
  }
  return last + 1;
}

function checkText(argument: string, value: unknown): void {
  if (typeof value !== 'string' || value === '')
    throw wrongType(argument, 'a string with something in it', value);
  if (value.length > MAX_IDENTITY_LENGTH)
    throw new TypeError(
      `kymo: ${argument} must have at most ${MAX_IDENTITY_LENGTH} characters, not ${value.length}`,
    );
}

function checkTags(tags: unknown): void {
  if (!Array.isArray(tags)) throw wrongType('init({tags})', 'an array of strings', tags);
  if (tags.length > MAX_TAGS)
    throw new TypeError(`kymo: init({tags}) must be at most ${MAX_TAGS} tags, not ${tags.length}`);
  for (const [i, tag] of tags.entries()) checkText(`init({tags})[${i}]`, tag);
}

function checkResume(resume: unknown): void {
  if (typeof resume === 'boolean') return;
  if (typeof resume === 'string') {
    checkMode('init({resume})', resume);
    return;
  }
  if (!isObject(resume))
    throw wrongType('init({resume})', 'true, false, a mode, or {mode, step, checkpoint, attempt}', resume);
  checkOptions('init({resume})', resume, ['mode', 'step', 'checkpoint', 'attempt', 'configChanges']);
  const { mode, configChanges, ...counts } = resume;
  for (const [key, value] of Object.entries(counts)) {
    if (value !== undefined && !isStep(value))
      throw wrongType(`init({resume: {${key}}})`, 'a whole number from 0 on', value);
  }
  if (mode !== undefined) checkMode('init({resume: {mode}})', mode);
  else if (counts.checkpoint !== undefined || configChanges !== undefined)
    throw new TypeError(
      "kymo: init({resume: {checkpoint, configChanges}}) needs a mode too: {mode: 'must', …} looks at the run",
    );
  if (counts.checkpoint !== undefined && counts.step !== undefined)
    throw new TypeError('kymo: init({resume}) takes one of {step} and {checkpoint}');
  if (configChanges !== undefined && configChanges !== 'refuse' && configChanges !== 'take')
    throw wrongType('init({resume: {configChanges}})', '"refuse" or "take"', configChanges);
}

function checkMode(argument: string, mode: unknown): void {
  if ((RESUME_MODES as readonly unknown[]).includes(mode)) return;
  const near = typeof mode === 'string' ? nearest(mode, RESUME_MODES) : undefined;
  const hint = near === undefined ? '' : ` (did you mean "${near}"?)`;
  throw new TypeError(
    `${wrongType(argument, `true, false, or one of ${RESUME_MODES.join(', ')}`, mode).message}${hint}`,
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fitting(name: string, value: string | undefined): string | undefined {
  if (value === undefined || value.length <= MAX_IDENTITY_LENGTH) return value;
  tell(`${name} has ${value.length} characters, more than ${MAX_IDENTITY_LENGTH}; left out`);
  return undefined;
}

function serviceName(): string | undefined {
  return process.env.OTEL_SERVICE_NAME?.trim() || undefined;
}

function nameOfFolder(folder: string): string {
  try {
    const { name } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: unknown };
    if (typeof name === 'string' && name !== '') return name;
  } catch {
    // No package here, or none that can be read: the folder has a name of its own.
  }
  return basename(folder) || 'run';
}
