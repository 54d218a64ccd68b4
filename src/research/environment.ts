// What the environment says about the run a process belongs to, and what a run tells the processes that it starts.
import { tell } from './complaints.ts';

type Environment = Record<string, string | undefined>;

/** The run as a parent process or a launcher has described it. */
export interface InheritedRun {
  /** Undefined: this process is to make a run of its own. */
  readonly id: string | undefined;
  readonly project: string | undefined;
  readonly name: string | undefined;
  readonly group: string | undefined;
  readonly jobType: string | undefined;
  readonly tags: readonly string[] | undefined;
  readonly attempt: number | undefined;
}

export interface Ranks {
  readonly rank: number | undefined;
  readonly worldSize: number | undefined;
  readonly localRank: number | undefined;
}

/** What the processes that a run starts find in their environment. */
export interface ExportedRun {
  readonly id: string;
  readonly project: string;
  readonly name: string;
  readonly group: string;
  readonly jobType: string;
  readonly tags: readonly string[];
  readonly attempt: number;
  readonly givenRank: number | undefined;
}

/** Launchers' variables, ours first. */
const RANK_NAMES = ['KYMO_RANK', 'RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'];
const WORLD_SIZE_NAMES = ['KYMO_WORLD_SIZE', 'WORLD_SIZE', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE'];
const LOCAL_RANK_NAMES = ['KYMO_LOCAL_RANK', 'LOCAL_RANK', 'SLURM_LOCALID', 'OMPI_COMM_WORLD_LOCAL_RANK'];

/** Shared by duplicate installs: which variables this process has set itself, and what stood there before. */
const EXPORTED = Symbol.for('kymo.exported.v1');

/** A variable that this process has set for its children says nothing about itself: then what stood there before counts. */
export function inheritedRun(env: Environment = process.env): InheritedRun {
  const read = (name: string): string | undefined => {
    const own = env === process.env ? exported().get(name) : undefined;
    return (own !== undefined && own.value === env[name] ? own.before : env[name])?.trim() || undefined;
  };
  return {
    id: read('KYMO_RUN_ID'),
    project: read('KYMO_PROJECT'),
    name: read('KYMO_RUN_NAME'),
    group: read('KYMO_RUN_GROUP'),
    jobType: read('KYMO_JOB_TYPE'),
    tags: readTags(read('KYMO_TAGS')),
    attempt: readCount('KYMO_RUN_ATTEMPT', read('KYMO_RUN_ATTEMPT')),
  };
}

export function ranks(env: Environment = process.env): Ranks {
  const first = (names: readonly string[]): number | undefined => {
    const name = names.find(candidate => (env[candidate] ?? '').trim() !== '');
    return name === undefined ? undefined : readCount(name, env[name]);
  };
  return { rank: first(RANK_NAMES), worldSize: first(WORLD_SIZE_NAMES), localRank: first(LOCAL_RANK_NAMES) };
}

/** Lets processes started from now on join this run; `restoreRun` takes it back. */
export function exportRun(run: ExportedRun): void {
  set('KYMO_RUN_ID', run.id);
  set('KYMO_PROJECT', run.project);
  set('KYMO_RUN_NAME', run.name);
  set('KYMO_RUN_GROUP', run.group);
  set('KYMO_JOB_TYPE', run.jobType);
  set('KYMO_TAGS', run.tags.length === 0 ? '' : JSON.stringify(run.tags));
  set('KYMO_RUN_ATTEMPT', String(run.attempt));
  set('KYMO_RANK', run.givenRank === undefined ? '' : String(run.givenRank));
}

/** After a run's end its children are not its children: what stood in the environment before is put back. */
export function restoreRun(id: string): void {
  const own = exported();
  if (own.get('KYMO_RUN_ID')?.value !== id) return;
  for (const [name, { before }] of own) {
    if (before === undefined) delete process.env[name];
    else process.env[name] = before;
  }
  own.clear();
}

function set(name: string, value: string): void {
  const own = exported();
  const entry = own.get(name);
  const before = entry === undefined ? process.env[name] : entry.before;
  if (value !== '') process.env[name] = value;
  else if (before === undefined) delete process.env[name];
  else process.env[name] = before;
  own.set(name, { value, before });
}

function exported(): Map<string, { value: string; before: string | undefined }> {
  const holder = globalThis as { [EXPORTED]?: Map<string, { value: string; before: string | undefined }> };
  holder[EXPORTED] ??= new Map();
  return holder[EXPORTED];
}

/** `a,b` or, for tags with commas, a JSON list. */
function readTags(text: string | undefined): readonly string[] | undefined {
  if (text === undefined) return undefined;
  if (text.startsWith('[')) {
    try {
      const list: unknown = JSON.parse(text);
      if (Array.isArray(list)) return list.map(String);
    } catch {
      // Not JSON: a list with commas whose first tag begins with a bracket.
    }
  }
  return text
    .split(',')
    .map(tag => tag.trim())
    .filter(tag => tag !== '');
}

function readCount(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text.trim())) return Number(text);
  tell(`${name}=${JSON.stringify(text)} is no whole number from 0 on; left out`);
  return undefined;
}
