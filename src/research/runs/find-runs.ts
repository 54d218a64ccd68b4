// The runs in a folder, oldest first.
import { type Dirent, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { checkOptions, wrongType } from '../checks.ts';
import { readRunFile } from './run-file.ts';
import { slug } from './run-id.ts';

export interface FindOptions {
  /** Only runs of this project (or, for bare run folders, this experiment). */
  readonly project?: string;
  /** Called for each folder that looks like a run and cannot be read as one. Default: they are left out. */
  readonly onBroken?: (error: Error) => void;
}

export interface FoundRun {
  readonly id: string;
  readonly path: string;
  readonly project: string;
  readonly name: string;
  /** `running`, `finished`, `failed`, `crashed`, `killed`, or `unknown` for a folder that `RunDir` made. */
  readonly state: string;
  readonly created: Date;
  /** @internal */
  readonly undone: readonly { readonly attempt: number; readonly fromStep: number }[];
}

/** Folders looked at: more are no runs of one experiment. */
const MAX_FOLDERS = 100_000;
/** `<experiment>_<UTC yyyymmdd_HHMMSS>`, with or without our suffix. */
const RUN_NAME = /^(.+)_(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)(?:_[0-9a-z]{4})?$/;

/** A missing folder has no runs. Throws a TypeError for a wrong call, and what the file system throws for a folder that cannot be read. */
export function findRuns(baseDir = 'runs', options: FindOptions = {}): FoundRun[] {
  if (typeof baseDir !== 'string' || baseDir === '')
    throw wrongType('findRuns(baseDir)', 'the path of a folder', baseDir);
  checkOptions('findRuns', options, ['project', 'onBroken']);
  const { project, onBroken } = options;
  const runs: FoundRun[] = [];
  for (const entry of folders(baseDir)) {
    let run: FoundRun | undefined;
    try {
      run = describe(join(baseDir, entry.name), entry.name);
    } catch (error) {
      onBroken?.(error as Error);
    }
    if (
      run !== undefined &&
      (project === undefined || run.project === project || run.project === slug(project))
    )
      runs.push(run);
  }
  return runs.sort((a, b) => a.created.getTime() - b.created.getTime() || (a.id < b.id ? -1 : 1));
}

function describe(path: string, folder: string): FoundRun | undefined {
  const file = readRunFile(path);
  if (file !== undefined) {
    const { id, project, name, state, undone, createdMs } = file;
    return { id, path, project, name, state, undone, created: new Date(createdMs) };
  }
  const [, experiment, ...time] = RUN_NAME.exec(folder) ?? [];
  if (experiment === undefined) return undefined;
  const [year, month, day, hour, minute, second] = time.map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const started = Date.UTC(year, month - 1, day, hour, minute, second);
  const created = new Date(Number.isNaN(started) ? statSync(path).mtimeMs : started);
  return { id: folder, path, project: experiment, name: folder, state: 'unknown', undone: [], created };
}

function folders(baseDir: string): Dirent[] {
  try {
    return readdirSync(baseDir, { withFileTypes: true })
      .filter(entry => entry.isDirectory() && !entry.name.startsWith('.'))
      .slice(0, MAX_FOLDERS);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
