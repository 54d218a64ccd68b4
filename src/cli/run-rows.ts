// The rows of a run as its metrics.jsonl has them, one after the other: files larger than memory are read in pieces.
import fs from 'node:fs';
import { join } from 'node:path';
import { modeOf } from '../collector/runs/series-name.ts';
import { DEFAULT_MODE, GLOBAL_SCOPE } from '../semconv/names.ts';
import { isObject, type JsonObject, numberOf } from './run-folder.ts';

const CHUNK_BYTES = 1024 * 1024;
/** Rows of 100,000 metrics fit; a longer line is counted as unreadable. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;
/** A pipe called metrics.jsonl must not hold us up. Not on Windows. */
const READ = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0);
/** Whole numbers that JSON.parse may round. */
const LONG_INTEGER = /[:[,]-?\d{16,}[,}\]]/;
const OWN_KEYS: ReadonlySet<string> = new Set([
  'step',
  'time',
  'mode',
  'scope',
  'instance',
  'rank',
  'attempt',
  'trace_id',
  'span_id',
  'axes',
]);

/** One line of metrics.jsonl that holds values. */
export interface RunRow {
  readonly step: number;
  /** Unix seconds. */
  readonly time: number;
  readonly scope: string;
  /** Undefined where the names of the values say it. */
  readonly mode: string | undefined;
  readonly instance: string;
  readonly rank: number;
  readonly attempt: number;
  /** By key of the line: a metric called like one of its own keys has a `~` in front. */
  readonly values: readonly (readonly [key: string, value: number | bigint])[];
}

/** What a first reading finds. */
export interface RowSurvey {
  /** Every key, in order of appearance; true where a value is an integer that a double does not hold. */
  readonly keys: ReadonlyMap<string, { readonly long: boolean; readonly whole: boolean }>;
  readonly superseded: readonly Mark[];
  readonly rows: number;
  readonly histograms: number;
  /** Lines that are no JSON, the half one at the end of a file left out. */
  readonly unreadable: number;
  readonly hasRanks: boolean;
  readonly hasInstances: boolean;
  readonly hasAttempts: boolean;
  readonly hasScopes: boolean;
  readonly wholeSteps: boolean;
}
interface Mark {
  readonly attempt: number;
  readonly fromStep: number;
}

/** The files with rows, each with its length now: both readings see the same, also while the run goes on. */
export interface RowFile {
  readonly path: string;
  readonly bytes: number;
}

export function rowFiles(runPath: string): RowFile[] {
  const folder = join(runPath, 'logs');
  let names: string[];
  try {
    names = fs.readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return names
    .filter(name => /^metrics(\..+)?\.jsonl$/.test(name))
    .sort()
    .map(name => ({ path: join(folder, name), bytes: fs.statSync(join(folder, name)).size }));
}

/** Reads everything once, for what has to be known before the first row is written. */
export function surveyRows(files: readonly RowFile[]): RowSurvey {
  const keys = new Map<string, { long: boolean; whole: boolean }>();
  const superseded: Mark[] = [];
  const found = { rows: 0, histograms: 0, unreadable: 0, wholeSteps: true };
  const has = { hasRanks: false, hasInstances: false, hasAttempts: false, hasScopes: false };
  for (const text of linesOf(files)) {
    const line = parseLine(text);
    if (line === undefined) {
      found.unreadable++;
      continue;
    }
    const mark = markOf(line);
    if (mark !== undefined) superseded.push(mark);
    else if ('histogram' in line) found.histograms++;
    else {
      found.rows++;
      const row = rowOf(line);
      if (!Number.isSafeInteger(row.step)) found.wholeSteps = false;
      if (row.rank > 0) has.hasRanks = true;
      if (row.instance !== '') has.hasInstances = true;
      if (row.attempt !== 1) has.hasAttempts = true;
      if (row.scope !== GLOBAL_SCOPE) has.hasScopes = true;
      for (const [key, value] of row.values) {
        let known = keys.get(key);
        if (known === undefined) {
          known = { long: false, whole: true };
          keys.set(key, known);
        }
        if (typeof value === 'bigint') known.long = true;
        else if (!Number.isSafeInteger(value) || Object.is(value, -0)) known.whole = false;
      }
    }
  }
  return { keys, superseded, ...found, ...has };
}

/** The rows; what a later attempt wrote again is left out unless `all` is asked for. */
export function* rowsOf(
  files: readonly RowFile[],
  superseded: readonly Mark[],
  all: boolean,
): Generator<RunRow> {
  for (const text of linesOf(files)) {
    const line = parseLine(text);
    if (line === undefined || 'superseded' in line || 'histogram' in line) continue;
    const row = rowOf(line);
    if (!all && superseded.some(mark => mark.attempt > row.attempt && mark.fromStep <= row.step)) continue;
    yield row;
  }
}

/**
 * Rows of one step as one, as long as they follow each other, come from one process and scope, and no key repeats: calls that log one value
 * each make one line. The time is that of the first.
 */
export function* mergedRows(rows: Iterable<RunRow>): Generator<RunRow> {
  let open: { readonly row: RunRow; readonly values: Map<string, number | bigint> } | undefined;
  for (const row of rows) {
    if (
      open !== undefined &&
      belongsTo(row, open.row) &&
      !row.values.some(([key]) => open!.values.has(key))
    ) {
      for (const [key, value] of row.values) open.values.set(key, value);
      continue;
    }
    if (open !== undefined) yield { ...open.row, values: [...open.values] };
    open = { row, values: new Map(row.values) };
  }
  if (open !== undefined) yield { ...open.row, values: [...open.values] };
}

/** Scope, mode and metric of one value, as the csv exporter's columns have them. */
export function seriesOf(row: RunRow, key: string): { readonly mode: string; readonly metric: string } {
  let name = key.startsWith('~') ? key.slice(1) : key;
  if (row.scope !== GLOBAL_SCOPE && name.startsWith(`${row.scope}/`)) name = name.slice(row.scope.length + 1);
  return {
    mode: row.mode ?? modeOf('', name),
    metric: row.rank > 0 ? `${name}/rank=${row.rank}` : name,
  };
}

function belongsTo(row: RunRow, open: RunRow): boolean {
  return (
    row.step === open.step &&
    row.scope === open.scope &&
    row.rank === open.rank &&
    row.instance === open.instance &&
    row.attempt === open.attempt
  );
}

/** Whole lines; half a line at the end of a file is still being written. */
function* linesOf(files: readonly RowFile[]): Generator<string> {
  for (const { path, bytes } of files) {
    const fd = fs.openSync(path, READ);
    try {
      if (!fs.fstatSync(fd).isFile()) throw new Error(`${path} is not a regular file`);
      let buffer = Buffer.allocUnsafe(CHUNK_BYTES);
      let used = 0;
      let at = 0;
      let skipping = false;
      while (at < bytes) {
        const got = fs.readSync(fd, buffer, used, Math.min(buffer.length - used, bytes - at), at);
        if (got === 0) break;
        at += got;
        const end = used + got;
        let from = 0;
        for (
          let feed = buffer.indexOf(0x0a, used);
          feed >= 0 && feed < end;
          feed = buffer.indexOf(0x0a, from)
        ) {
          if (skipping) skipping = false;
          else if (feed > from) yield buffer.toString('utf8', from, feed);
          from = feed + 1;
        }
        buffer.copy(buffer, 0, from, end);
        used = end - from;
        if (used < buffer.length) continue;
        if (buffer.length < MAX_LINE_BYTES) {
          const larger = Buffer.allocUnsafe(buffer.length * 2);
          buffer.copy(larger, 0, 0, used);
          buffer = larger;
        } else {
          // Counted as unreadable once, by what is no JSON.
          if (!skipping) yield '';
          skipping = true;
          used = 0;
        }
      }
    } finally {
      fs.closeSync(fd);
    }
  }
}

function parseLine(text: string): JsonObject | undefined {
  try {
    const value: unknown = LONG_INTEGER.test(text) ? parseExactly(text) : JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function parseExactly(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) => {
    if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
    const source = context?.source ?? '';
    return /^-?\d+$/.test(source) ? BigInt(source) : value;
  });
}

function markOf({ superseded }: JsonObject): Mark | undefined {
  if (!isObject(superseded)) return undefined;
  return { attempt: numberOf(superseded.attempt), fromStep: numberOf(superseded.from_step) };
}

function rowOf(line: JsonObject): RunRow {
  const values: [string, number | bigint][] = [];
  for (const [key, value] of Object.entries(line)) {
    if (OWN_KEYS.has(key)) continue;
    if (typeof value === 'number' || typeof value === 'bigint') values.push([key, value]);
    else if (value === 'NaN' || value === 'Infinity' || value === '-Infinity')
      values.push([key, Number(value)]);
  }
  const { mode } = line;
  return {
    step: numberOf(line.step),
    time: numberOf(line.time),
    scope: typeof line.scope === 'string' ? line.scope : GLOBAL_SCOPE,
    mode: typeof mode === 'string' && mode !== DEFAULT_MODE ? mode : undefined,
    instance: typeof line.instance === 'string' ? line.instance : '',
    rank: typeof line.rank === 'number' ? line.rank : 0,
    attempt: typeof line.attempt === 'number' ? line.attempt : 1,
    values,
  };
}
