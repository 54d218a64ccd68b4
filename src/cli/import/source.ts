// What can be imported: which files a path means, of which kind they are, and whose run they become.
import fs from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { isObject, type JsonObject, readConfig, readRun } from '../run-folder.ts';
import type { ImportedRun } from './batch.ts';

/** `rows`: lines of metrics, vibe-rl's or ours; `text`, `spans`: ours; `events`: TensorBoard's. */
export type FileKind = 'rows' | 'text' | 'spans' | 'events';
export interface SourceFile {
  readonly path: string;
  /** Names the file in the progress that is kept: its path below the source. */
  readonly key: string;
  readonly kind: FileKind;
}

export interface Source {
  /** Real path of what was named. */
  readonly path: string;
  readonly files: readonly SourceFile[];
  readonly run: ImportedRun;
  /** The instance whose lines do not name it. */
  readonly instance: string | undefined;
  /** Sent with the start; undefined where the files' own events say it. */
  readonly config: JsonObject | undefined;
  /** The files have the run's own start and finish events. */
  readonly hasLifecycle: boolean;
  /** How the run ended where its files do not say it. */
  readonly endState: string | undefined;
  /** Folders that hold something an import does not take. */
  readonly leftOut: readonly string[];
}

const EVENT_FILE = /tfevents/;
/** Contents that are no lines: they are copied with the folder, not imported. */
const NOT_IMPORTED = ['media', 'artifacts', 'checkpoints', 'videos'];
const NOT_IMPORTED_LOGS = ['media.jsonl', 'artifacts.jsonl', 'rollouts.jsonl'];

/** Looks at a file or folder. Throws with a reason and a way out when nothing in it can be imported. */
export function findSource(named: string): Source {
  let path: string;
  try {
    path = fs.realpathSync(named);
  } catch {
    throw new Error(`${named}: no such file or folder`);
  }
  const stat = fs.statSync(path);
  if (stat.isFile()) return fileSource(path);
  if (!stat.isDirectory()) throw new Error(`${named} is neither a file nor a folder`);
  return folderSource(path);
}

function fileSource(path: string): Source {
  const name = basename(path);
  const kind: FileKind | undefined = EVENT_FILE.test(name)
    ? 'events'
    : /\.(jsonl|ndjson|json)$/i.test(name)
      ? 'rows'
      : undefined;
  if (kind === undefined)
    throw new Error(`${path}: neither JSON lines (.jsonl) nor an event file of TensorBoard (…tfevents…)`);
  const folder = basename(dirname(path)) === 'logs' ? dirname(dirname(path)) : dirname(path);
  const own = basename(name, extname(name));
  const id = kind === 'rows' && own !== 'metrics' ? own : basename(folder);
  return { ...plain(path, id), files: [{ path, key: name, kind }] };
}

function folderSource(path: string): Source {
  const read = readRun(path);
  if (read.kind === 'problem') throw new Error(`${path}: ${read.reason}`);
  const logs = join(path, 'logs');
  const lines = namesIn(logs).filter(name => /^(metrics|logs|spans)(\..+)?\.jsonl$/.test(name));
  const leftOut = [
    ...namesIn(path).filter(name => NOT_IMPORTED.includes(name)),
    ...namesIn(logs)
      .filter(name => NOT_IMPORTED_LOGS.includes(name))
      .map(name => `logs/${name}`),
  ];
  if (read.kind === 'run') {
    const { run } = read;
    const { document } = run;
    // Rows before text: the finish events that are in the text end the run.
    const files = [...lines].sort((a, b) => order(a) - order(b) || (a < b ? -1 : 1));
    return {
      ...plain(path, run.id),
      run: {
        id: run.id,
        name: run.name,
        project: run.project,
        group: run.group,
        jobType: run.jobType,
        tags: run.tags,
      },
      files: files.map(name => ({ path: join(logs, name), key: `logs/${name}`, kind: kindOf(name) })),
      instance: typeof document.instance === 'string' ? document.instance : undefined,
      config: undefined,
      hasLifecycle: files.some(name => name.startsWith('logs')),
      endState: run.state === 'finished' || run.state === 'running' ? undefined : run.state,
      leftOut,
    };
  }
  const rows = lines.filter(name => name.startsWith('metrics'));
  if (rows.length > 0) {
    return {
      ...plain(path, basename(path)),
      files: rows.map(name => ({ path: join(logs, name), key: `logs/${name}`, kind: 'rows' })),
      config: configOf(path),
      leftOut,
    };
  }
  const events = namesIn(path).filter(
    name => EVENT_FILE.test(name) && fs.statSync(join(path, name)).isFile(),
  );
  if (events.length > 0) {
    const files = events.sort().map(name => ({ path: join(path, name), key: name, kind: 'events' as const }));
    return { ...plain(path, basename(path)), files };
  }
  if (fs.existsSync(join(path, 'metrics.jsonl')))
    return { ...fileSource(join(path, 'metrics.jsonl')), config: configOf(path) };
  const below = namesIn(path).filter(name => namesIn(join(path, name)).some(inner => EVENT_FILE.test(inner)));
  const hint =
    below.length === 0
      ? ': it has neither logs/metrics.jsonl nor event files of TensorBoard'
      : `: the event files are in its folders, each of which is a run: name ${below.slice(0, 5).join(', ')}`;
  throw new Error(`${path}: nothing to import here${hint}`);
}

function plain(path: string, id: string): Source {
  const name = id === '' ? 'imported' : id;
  return {
    path: resolve(path),
    files: [],
    run: { id: name, name, project: 'imported', group: '', jobType: '', tags: [] },
    instance: undefined,
    config: undefined,
    hasLifecycle: false,
    endState: undefined,
    leftOut: [],
  };
}

function configOf(path: string): JsonObject | undefined {
  const config = readConfig(path);
  return isObject(config) ? config : undefined;
}

function kindOf(name: string): FileKind {
  return name.startsWith('metrics') ? 'rows' : name.startsWith('logs') ? 'text' : 'spans';
}

function order(name: string): number {
  return ['rows', 'spans', 'text'].indexOf(kindOf(name));
}

function namesIn(path: string): string[] {
  try {
    return fs.readdirSync(path);
  } catch {
    return [];
  }
}
