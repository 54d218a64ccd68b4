// A run's folder with its layout, for code that keeps files itself: checkpoints, logs, videos, artifacts, a configuration.
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { escapeRunId } from '../../semconv/run-folder.ts';
import {
  bestFolder,
  CHECKPOINTS_FOLDER,
  cleanUp,
  markBest,
  stepFolder,
  stepFolders,
} from '../checkpoints/folder.ts';
import { CheckpointError } from '../checkpoints/manifest.ts';
import { checkOptions, shown, wrongType } from '../checks.ts';
import { type Configuration, loadConfiguration, saveConfiguration } from '../configuration.ts';
import { isStep } from '../numbers.ts';
import { readRunFile } from './run-file.ts';
import { newRunId } from './run-id.ts';

export interface RunDirOptions {
  /** Default `runs`, in the current folder. */
  readonly baseDir?: string;
  /** An existing run's folder to open again, or a name for a new one. Default: `<experiment>_<UTC time>_<4 random characters>`. */
  readonly runId?: string;
}

/** How often a name may be taken by somebody else at the same moment. */
const MAX_TRIES = 20;
const FOLDERS = [CHECKPOINTS_FOLDER, 'logs', 'videos', 'artifacts'] as const;

/**
 * Makes or opens `<baseDir>/<runId>` with `checkpoints/`, `logs/`, `videos/` and `artifacts/`. A run of `init` has the same layout: `RunDir.of(run)`.
 * Two made in one moment have two folders.
 *
 * Throws a TypeError for a wrong call, a RunError for a folder that is none of a run's, and what the file system throws.
 *
 * @example
 * const dir = new RunDir('dqn_cartpole');
 * using logger = new MetricsLogger(dir.logPath());
 */
export class RunDir {
  /** Absolute. */
  readonly root: string;
  readonly runId: string;

  constructor(experimentName = 'default', options: RunDirOptions = {}) {
    if (typeof experimentName !== 'string' || experimentName === '')
      throw wrongType('RunDir(experimentName)', 'a string with something in it', experimentName);
    checkOptions('RunDir', options, ['baseDir', 'runId']);
    for (const key of ['baseDir', 'runId'] as const)
      if (options[key] !== undefined && (typeof options[key] !== 'string' || options[key] === ''))
        throw wrongType(`RunDir({${key}})`, 'a string with something in it', options[key]);
    const base = resolve(options.baseDir ?? 'runs');
    if (options.runId === undefined) {
      mkdirSync(base, { recursive: true });
      this.runId = newFolder(base, experimentName);
      this.root = join(base, this.runId);
    } else {
      this.runId = options.runId;
      this.root = join(base, escapeRunId(options.runId));
      readRunFile(this.root);
    }
    for (const folder of FOLDERS) mkdirSync(join(this.root, folder), { recursive: true });
  }

  /** The folder of a run of `init`. */
  static of(run: { readonly id: string; readonly dir: string }): RunDir {
    return new RunDir('default', { baseDir: resolve(run.dir, '..'), runId: run.id });
  }

  get checkpoints(): string {
    return join(this.root, CHECKPOINTS_FOLDER);
  }
  get logs(): string {
    return join(this.root, 'logs');
  }
  get videos(): string {
    return join(this.root, 'videos');
  }
  get artifacts(): string {
    return join(this.root, 'artifacts');
  }

  /** The folder's path, so that `path.join(String(dir), …)` works. */
  toString(): string {
    return this.root;
  }

  /** The path of a file in `logs/`. */
  logPath(name = 'metrics.jsonl'): string {
    return join(this.logs, checkName('logPath', name));
  }

  /** The path of a step's video in `videos/`: `eval_step_500.mp4`. */
  videoPath(step: number, prefix = 'eval'): string {
    return join(
      this.videos,
      `${checkName('videoPath', prefix)}_${stepFolder(checkStep('videoPath', step))}.mp4`,
    );
  }

  /** The folder of a step's checkpoint, made if it is not there. */
  checkpointDir(step: number): string {
    const folder = join(this.checkpoints, stepFolder(checkStep('checkpointDir', step)));
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  /** The checkpoints' folders, by step. Anything else in `checkpoints/` is left out. */
  listCheckpoints(): string[] {
    return stepFolders(this.checkpoints).map(({ path }) => path);
  }

  /** The folder with the highest step; undefined when there is none. `run.loadCheckpoint` also knows which were undone by a resume. */
  latestCheckpoint(): string | undefined {
    return this.listCheckpoints().at(-1);
  }

  /** The folder that was marked as best; undefined when none was, or when it has gone. */
  bestCheckpoint(): string | undefined {
    return bestFolder(this.checkpoints);
  }

  /** Makes `checkpoints/best` a link to a step's folder, in one step. Throws a CheckpointError when that is not there. */
  markBest(step: number): void {
    const folder = join(this.checkpoints, stepFolder(checkStep('markBest', step)));
    if (!existsSync(folder))
      throw new CheckpointError('missing', folder, 'there is no such checkpoint to mark as best');
    markBest(this.checkpoints, step);
  }

  /** Removes all checkpoints but the newest `keep` and the best; returns the folders that went. Throws a RangeError for a `keep` below 1. */
  cleanupCheckpoints(keep = 5): string[] {
    if (!Number.isSafeInteger(keep) || keep < 1)
      throw new RangeError(
        `kymo: cleanupCheckpoints(keep) must be a whole number from 1 on, not ${String(keep)}`,
      );
    return cleanUp(this.checkpoints, keep);
  }

  /** Writes config.json. Of a run that the collector writes, `run.config` is the way. */
  saveConfig(config: object): void {
    if (existsSync(join(this.root, 'run.json')))
      throw new TypeError(
        `kymo: config.json of the run ${shown(this.runId)} is written from run.config; set that instead`,
      );
    saveConfiguration(config, join(this.root, 'config.json'));
  }

  /** What config.json says. Throws a ConfigurationError when it is not there or is broken. */
  loadConfig(): Configuration {
    return loadConfiguration(join(this.root, 'config.json'));
  }
}

/** Made by this call alone: whoever comes at the same moment finds the name taken, and takes another. */
function newFolder(base: string, experimentName: string): string {
  for (let tries = 1; ; tries++) {
    const id = newRunId(experimentName, new Date());
    try {
      mkdirSync(join(base, id));
      return id;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || tries === MAX_TRIES) throw error;
    }
  }
}

function checkStep(call: string, step: unknown): number {
  if (!isStep(step)) throw wrongType(`${call}(step)`, 'a whole number from 0 on', step);
  return step;
}

/** One file's name, which leads nowhere else. */
function checkName(call: string, name: unknown): string {
  if (typeof name !== 'string' || name === '' || name === '.' || name === '..' || /[/\\\0]/.test(name))
    throw wrongType(`${call}(name)`, 'the name of a file, without a folder', name);
  return name;
}
