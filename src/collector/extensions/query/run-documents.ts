// Which runs there are and what their run.json and config.json say, read from the run folders.
import fs from 'node:fs';
import path from 'node:path';
import { escapeRunId } from '../../../semconv/run-folder.ts';
import { ConfinementError, confinedRead } from '../../runs/confined.ts';
import { MAX_RUN_ID_CHARACTERS } from '../../runs/folder.ts';
import { MAX_DOCUMENT_BYTES, MAX_KNOWN_RUNS } from './limits.ts';
import { BadRequest } from './parameters.ts';

export interface RunPlaceFound {
  readonly root: string;
  readonly folder: string;
}

/** What a list shows of a run. */
export interface RunEntry {
  readonly id: string;
  readonly name: string;
  readonly project: string;
  readonly group: string;
  readonly job_type: string;
  readonly tags: readonly string[];
  readonly state: string;
  readonly created: string;
  readonly updated: string;
  readonly finished: string | null;
  readonly points: number;
  readonly last_step: number | null;
  readonly summary: Readonly<Record<string, unknown>>;
}

interface Known {
  readonly changed: string;
  readonly entry: RunEntry | undefined;
}

/** A summary with more in it is looked up run by run. */
const MAX_LISTED_SUMMARY = 100;
const RUN_FILE = 'run.json';

export class RunDocuments {
  readonly #roots: readonly string[];
  readonly #known = new Map<string, Known>();

  constructor(roots: readonly string[]) {
    this.#roots = roots;
  }

  /** Where a run is. @throws BadRequest (404) when there is no such run. */
  find(id: string): RunPlaceFound {
    if (id.length > 0 && id.length <= MAX_RUN_ID_CHARACTERS) {
      for (const root of this.#roots) {
        for (const folder of new Set([escapeRunId(id, true), escapeRunId(id, false)])) {
          if (this.#entry(root, folder)?.id === id) return { root, folder };
        }
      }
    }
    throw new BadRequest(`there is no run ${JSON.stringify(id.slice(0, 200))}`, 'run', 404);
  }

  entry({ root, folder }: RunPlaceFound): RunEntry | undefined {
    return this.#entry(root, folder);
  }

  /** Newest first. `folders`: what there is below a root. */
  async list(folders: (root: string) => readonly string[]): Promise<RunEntry[]> {
    const entries: RunEntry[] = [];
    let read = 0;
    for (const root of this.#roots) {
      for (const folder of folders(root)) {
        const entry = this.#entry(root, folder);
        if (entry !== undefined) entries.push(entry);
        if (++read % 64 === 0) await new Promise(resolve => setImmediate(resolve));
      }
    }
    return entries.sort((a, b) =>
      a.created < b.created ? 1 : a.created > b.created ? -1 : a.id < b.id ? -1 : 1,
    );
  }

  /** run.json and config.json as they are, JSON text; the second undefined where there is none. */
  documents({ root, folder }: RunPlaceFound): { readonly run: string; readonly config: string | undefined } {
    const run = readText(root, [folder, runFile(root, folder)]);
    const config = readText(root, [folder, runFile(root, folder).replace(/^run/, 'config')]);
    if (run === undefined) throw new BadRequest('the run has gone', 'run', 404);
    return {
      run: checked(run, 'run.json'),
      config: config === undefined ? undefined : checked(config, 'config.json'),
    };
  }

  #entry(root: string, folder: string): RunEntry | undefined {
    const file = runFile(root, folder);
    const found = fs.statSync(path.join(root, folder, file), { throwIfNoEntry: false });
    if (found === undefined) return undefined;
    const key = `${root}\0${folder}`;
    const changed = `${found.mtimeMs} ${found.size} ${found.ino}`;
    const known = this.#known.get(key);
    if (known?.changed === changed) return known.entry;
    let entry: RunEntry | undefined;
    try {
      const text = readText(root, [folder, file]);
      entry = text === undefined ? undefined : entryOf(JSON.parse(text));
    } catch (error) {
      if (!(error instanceof SyntaxError) && !(error instanceof ConfinementError)) throw error;
    }
    if (this.#known.size >= MAX_KNOWN_RUNS) this.#known.clear();
    this.#known.set(key, { changed, entry });
    return entry;
  }
}

/** run.json, or where a second writer is alone, that one's. */
function runFile(root: string, folder: string): string {
  if (fs.existsSync(path.join(root, folder, RUN_FILE))) return RUN_FILE;
  try {
    return (
      fs.readdirSync(path.join(root, folder)).find(name => /^run\.[A-Za-z0-9_-]{1,64}\.json$/.test(name)) ??
      RUN_FILE
    );
  } catch {
    return RUN_FILE;
  }
}

function readText(root: string, segments: readonly string[]): string | undefined {
  const content = confinedRead(root, segments, MAX_DOCUMENT_BYTES + 1);
  if (content !== undefined && content.length > MAX_DOCUMENT_BYTES)
    throw new SyntaxError(`${segments.join('/')} is too large`);
  return content?.toString();
}

/** It goes into the answer as it is, so that no digit is lost; but only if it is JSON. */
function checked(text: string, what: string): string {
  try {
    JSON.parse(text);
  } catch (error) {
    throw new Error(`${what} of the run cannot be read`, { cause: error });
  }
  return text.trim();
}

function entryOf(document: unknown): RunEntry | undefined {
  if (typeof document !== 'object' || document === null) return undefined;
  const run = document as Record<string, unknown>;
  if (typeof run.id !== 'string') return undefined;
  const text = (key: string): string => (typeof run[key] === 'string' ? (run[key] as string) : '');
  const within = (key: string, inner: string): number | undefined => {
    const value = (run[key] as Record<string, unknown> | undefined)?.[inner];
    return typeof value === 'number' ? value : undefined;
  };
  const summary = Object.entries((run.summary as Record<string, unknown> | undefined) ?? {})
    .filter(([, value]) => typeof value !== 'object' || value === null)
    .slice(0, MAX_LISTED_SUMMARY);
  return {
    id: run.id,
    name: text('name'),
    project: text('project'),
    group: text('group'),
    job_type: text('job_type'),
    tags: Array.isArray(run.tags) ? run.tags.filter(tag => typeof tag === 'string') : [],
    state: text('state'),
    created: text('created'),
    updated: text('updated'),
    finished: text('finished') || null,
    points: within('totals', 'points') ?? 0,
    last_step: within('steps', 'last') ?? null,
    summary: Object.fromEntries(summary),
  };
}
