// The runs of a folder, and the one run that a name, an id or its beginning means.
import fs from 'node:fs';
import { join, resolve } from 'node:path';
import { didYouMean } from '../collector/config/problem.ts';
import { findProjectDirectory } from '../semconv/local.ts';
import { escapeRunId } from '../semconv/run-folder.ts';
import { printError } from './command.ts';
import { type RunEntry, readRun, reasonOf } from './run-folder.ts';

const DEFAULT_DIRECTORY = 'runs';
/** Folders that are no runs are named up to this many; the rest are counted. */
const MAX_NAMED = 10;
/** Candidates shown where a name means several runs. */
const MAX_CANDIDATES = 8;

export interface RunList {
  readonly directory: string;
  readonly runs: readonly RunEntry[];
  /** A line for each folder that cannot be read. */
  readonly problems: readonly string[];
  /** Folders without run.json. */
  readonly foreign: readonly string[];
}

/** The folder that holds the run folders: the one named, else where `KYMO_CONFIG` has them, else `runs` in the project folder. */
export async function runsDirectory(
  named: string | undefined,
  project = findProjectDirectory(process.env, process.cwd()),
): Promise<string> {
  if (named !== undefined) return resolve(named);
  const config = process.env.KYMO_CONFIG?.trim() ?? '';
  if (config === '') return join(project, DEFAULT_DIRECTORY);
  // Reading YAML takes as long as all the rest: only where it is needed.
  const { configuredRuns } = await import('./configured-runs.ts');
  return resolve(project, configuredRuns(resolve(project, config)) ?? DEFAULT_DIRECTORY);
}

/** All runs of a folder, or the one that the folder itself is. Throws when it cannot be read at all. */
export function listRuns(directory: string): RunList {
  const nowMs = Date.now();
  if (fs.existsSync(join(directory, 'run.json'))) {
    const read = readRun(directory, nowMs);
    if (read.kind === 'run') return { directory, runs: [read.run], problems: [], foreign: [] };
  }
  const runs: RunEntry[] = [];
  const problems: string[] = [];
  const foreign: string[] = [];
  for (const path of runFolders(directory)) {
    const read = readRun(path, nowMs);
    if (read.kind === 'run') runs.push(read.run);
    else if (read.kind === 'foreign') foreign.push(read.folder);
    else problems.push(`${join(directory, read.folder)}: ${read.reason}`);
  }
  return { directory, runs, problems, foreign };
}

/** Says on stderr what is in the folder that is no run, in few lines. */
export function tellStrangers({ directory, problems, foreign }: RunList): void {
  for (const line of problems.slice(0, MAX_NAMED)) printError(line);
  if (problems.length > MAX_NAMED) printError(`and ${problems.length - MAX_NAMED} more that cannot be read`);
  if (foreign.length === 0) return;
  const more = foreign.length > MAX_NAMED ? ` and ${foreign.length - MAX_NAMED} more` : '';
  printError(`no runs (without run.json) in ${directory}: ${foreign.slice(0, MAX_NAMED).join(', ')}${more}`);
}

/**
 * The run that is meant by a path, an id, a name, or the beginning of one; without any, the newest. Several of one name: the newest.
 * Throws when there is none, or when the beginning fits several.
 */
export function findRun(wanted: string | undefined, directory: string): RunEntry {
  if (wanted !== undefined) {
    const direct = [
      wanted,
      join(directory, escapeRunId(wanted)),
      join(directory, escapeRunId(wanted, false)),
    ];
    for (const path of direct) {
      if (!fs.existsSync(join(path, 'run.json'))) continue;
      const read = readRun(resolve(path));
      if (read.kind === 'run') return read.run;
      if (read.kind === 'problem') throw new Error(`${path}: ${read.reason}`);
    }
  }
  const { runs } = listRuns(directory);
  const newestFirst = [...runs].sort((a, b) => (b.created || 0) - (a.created || 0));
  if (wanted === undefined) {
    if (newestFirst[0] === undefined) throw new Error(`no runs in ${directory}`);
    return newestFirst[0];
  }
  const named = newestFirst.filter(run => run.name === wanted || run.id === wanted);
  if (named[0] !== undefined) {
    if (named.length > 1)
      printError(`${named.length} runs are called ${wanted}: this is the newest, ${named[0].id}`);
    return named[0];
  }
  const begin = newestFirst.filter(run =>
    [run.id, run.folder, run.name].some(text => text.startsWith(wanted)),
  );
  if (begin.length === 1) return begin[0]!;
  if (begin.length > 1) {
    const shown = begin.slice(0, MAX_CANDIDATES).map(run => run.id);
    const more = begin.length > shown.length ? ` and ${begin.length - shown.length} more` : '';
    throw new Error(`"${wanted}" fits ${begin.length} runs: ${shown.join(', ')}${more}`);
  }
  const known = runs.flatMap(run => (run.id === run.name ? [run.id] : [run.id, run.name]));
  throw new Error(`no run "${wanted}" in ${directory}${didYouMean(wanted, known)}; kymo runs lists them`);
}

/** Folders, and links to folders elsewhere; a link to a neighbour (`latest`) would only show a run twice. */
function runFolders(directory: string): string[] {
  let entries: fs.Dirent[];
  try {
    entries = fs.readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new Error(`no folder ${directory}; name the one that holds the run folders`);
    if (code === 'ENOTDIR') throw new Error(`${directory} is not a folder`);
    throw new Error(`${directory}: ${reasonOf(error)}`);
  }
  return entries
    .filter(entry => !entry.name.startsWith('.') && (entry.isDirectory() || leadsElsewhere(directory, entry)))
    .map(entry => join(directory, entry.name));
}

function leadsElsewhere(directory: string, entry: fs.Dirent): boolean {
  if (!entry.isSymbolicLink()) return false;
  try {
    const real = fs.realpathSync(join(directory, entry.name));
    return fs.statSync(real).isDirectory() && resolve(real, '..') !== fs.realpathSync(directory);
  } catch {
    return false;
  }
}
