// Reads metrics back: rows as objects, or columns of numbers; all at once, or piece by piece for files larger than memory.
import { lstatSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { checkOptions, wrongType } from '../checks.ts';
import { type LineChunk, lineChunks, sizeOf, streamLineChunks } from './line-chunks.ts';
import { isRow, isUndoneRow, type Mark, markOf, parseRecord, RowScanner } from './row-scanner.ts';

/** One line: values by name, and the keys that lines have (`step`, `time`, `mode`, …). */
export type MetricRecord = Record<string, unknown>;

/** Numbers by name, all of `rows` length; NaN where a row has none. */
export interface MetricColumns {
  readonly rows: number;
  readonly columns: ReadonlyMap<string, Float64Array>;
}

/** A metrics file, a run's folder, or a run. */
export type MetricsSource =
  | string
  | { readonly dir: string }
  | { readonly path: string }
  | { readonly root: string };

export interface ReadMetricsOptions {
  /** True: all columns that hold numbers; a list: these. Without it rows are objects. */
  readonly columns?: boolean | readonly string[];
  /** Rows that a resumed attempt has undone: left out unless this is `keep`. */
  readonly superseded?: 'drop' | 'keep';
  /** Objects only: histograms too. */
  readonly histograms?: boolean;
  /** `skip`: lines that are no objects are passed over. Default: an error that names the line. A last line that is not whole is never one. */
  readonly badLines?: 'throw' | 'skip';
}

export interface StreamMetricsOptions extends ReadMetricsOptions {
  /** Columns only: rows of one piece. Default 65,536. */
  readonly rows?: number;
}

const DEFAULT_ROWS = 65_536;
/** To guess how many rows a file has. */
const SAMPLE_BYTES = 64 * 1024;
const MARK = Buffer.from('{"superseded":');

/** A line in the middle of a file that is no row. */
export class MetricsFileError extends Error {
  override readonly name = 'MetricsFileError';
  readonly file: string;
  readonly line: number;
  constructor(file: string, line: number) {
    super(
      `kymo: ${file}:${line}: is no JSON object; if only that line is lost, read the rest with {badLines: 'skip'}`,
    );
    this.file = file;
    this.line = line;
  }
}

/**
 * The rows of a metrics file, of a run or of `MetricsLogger`. A file that is not there has none; empty lines and a torn last line are left
 * out. `"NaN"`, `"Infinity"` and `"-Infinity"` are the numbers they name, also where they stand without quotes.
 *
 * Throws a MetricsFileError for another line that is no row, a TypeError for a wrong call, and what the file system throws.
 *
 * @example
 * const rows = readMetrics(run);
 * const { columns } = readMetrics('runs/cartpole_1', { columns: ['step', 'train/loss'] });
 * columns.get('train/loss'); // Float64Array
 */
export function readMetrics(
  source: MetricsSource,
  options: ReadMetricsOptions & { readonly columns: true | readonly string[] },
): MetricColumns;
export function readMetrics(
  source: MetricsSource,
  options?: ReadMetricsOptions & { readonly columns?: false },
): MetricRecord[];
export function readMetrics(
  source: MetricsSource,
  options: ReadMetricsOptions = {},
): MetricRecord[] | MetricColumns {
  const file = fileOf('readMetrics', source);
  check('readMetrics', options, ['columns', 'superseded', 'histograms', 'badLines']);
  const drop = options.superseded !== 'keep';
  const count = new LineCount(file, options.badLines === 'skip');
  if (isFalse(options.columns)) {
    const rows: MetricRecord[] = [];
    const marks: Mark[] = [];
    for (const chunk of lineChunks(file)) {
      for (const record of recordsIn(chunk, count)) {
        const mark = drop ? markOf(record) : undefined;
        if (mark !== undefined) marks.push(mark);
        if (isKept(record, options, [])) rows.push(record);
      }
    }
    return marks.length === 0 ? rows : rows.filter(record => isKept(record, options, marks));
  }
  let scanner: RowScanner | undefined;
  for (const chunk of lineChunks(file)) {
    scanner ??= new RowScanner({
      columns: wanted(options),
      marks: drop ? 'find' : [],
      capacity: rowsIn(file, chunk),
    });
    const torn = (start: number, end: number) => count.unreadable(chunk, start, end);
    scanner.scan(chunk.bytes, 0, chunk.length, Number.POSITIVE_INFINITY, torn);
    count.passed(chunk);
  }
  scanner ??= new RowScanner({ columns: wanted(options), marks: [], capacity: 0 });
  return scanner.take();
}

/** The same, for files larger than memory: row by row, or columns of some rows at a time. */
export function streamMetrics(
  source: MetricsSource,
  options: StreamMetricsOptions & { readonly columns: true | readonly string[] },
): AsyncGenerator<MetricColumns, void, undefined>;
export function streamMetrics(
  source: MetricsSource,
  options?: StreamMetricsOptions & { readonly columns?: false },
): AsyncGenerator<MetricRecord, void, undefined>;
export function streamMetrics(
  source: MetricsSource,
  options: StreamMetricsOptions = {},
): AsyncGenerator<MetricRecord | MetricColumns, void, undefined> {
  const file = fileOf('streamMetrics', source);
  check('streamMetrics', options, ['columns', 'superseded', 'histograms', 'badLines', 'rows']);
  const { rows = DEFAULT_ROWS } = options;
  if (!Number.isSafeInteger(rows) || rows < 1)
    throw wrongType('streamMetrics({rows})', 'a whole number from 1 on', rows);
  return isFalse(options.columns) ? streamRecords(file, options) : streamColumns(file, options, rows);
}

async function* streamRecords(
  file: string,
  options: StreamMetricsOptions,
): AsyncGenerator<MetricRecord, void, undefined> {
  const marks = await streamMarks(file, options);
  const count = new LineCount(file, options.badLines === 'skip');
  for await (const chunk of streamLineChunks(file))
    for (const record of recordsIn(chunk, count)) if (isKept(record, options, marks)) yield record;
}

async function* streamColumns(
  file: string,
  options: StreamMetricsOptions,
  rows: number,
): AsyncGenerator<MetricColumns, void, undefined> {
  const marks = await streamMarks(file, options);
  const count = new LineCount(file, options.badLines === 'skip');
  const scanner = new RowScanner({ columns: wanted(options), marks, capacity: rows });
  for await (const chunk of streamLineChunks(file)) {
    const torn = (start: number, end: number) => count.unreadable(chunk, start, end);
    for (let at = 0; at < chunk.length; ) {
      at = scanner.scan(chunk.bytes, at, chunk.length, rows, torn);
      if (scanner.rows >= rows) yield scanner.take();
    }
    count.passed(chunk);
  }
  if (scanner.rows > 0) yield scanner.take();
}

async function streamMarks(file: string, options: ReadMetricsOptions): Promise<Mark[]> {
  const marks: Mark[] = [];
  if (options.superseded === 'keep') return marks;
  for await (const chunk of streamLineChunks(file)) marks.push(...marksIn(chunk));
  return marks;
}

function* recordsIn(chunk: LineChunk, count: LineCount): Generator<MetricRecord, void, undefined> {
  const { bytes, length } = chunk;
  for (let start = 0; start < length; ) {
    const feed = bytes.indexOf(0x0a, start);
    const end = feed < 0 || feed >= length ? length : feed + 1;
    const line = bytes.toString('utf8', start, end);
    const record = parseRecord(line);
    if (record === undefined) {
      if (line.trim() !== '') count.unreadable(chunk, start, end);
    } else yield record;
    start = end;
  }
  count.passed(chunk);
}

function isKept(
  record: MetricRecord,
  { histograms, superseded }: ReadMetricsOptions,
  marks: readonly Mark[],
): boolean {
  if (!isRow(record)) {
    const isHistogram = typeof record.histogram === 'string';
    if (isHistogram ? !histograms : superseded !== 'keep') return false;
  }
  if (marks.length === 0) return true;
  const attempt = typeof record.attempt === 'number' ? record.attempt : 1;
  return typeof record.step !== 'number' || !isUndoneRow(marks, record.step, attempt);
}

/** The marks among some lines, found without looking at the others. */
function marksIn({ bytes, length }: LineChunk): Mark[] {
  const marks: Mark[] = [];
  for (let at = bytes.indexOf(MARK); at >= 0 && at < length; at = bytes.indexOf(MARK, at + 1)) {
    if (at > 0 && bytes[at - 1] !== 0x0a) continue;
    const end = bytes.indexOf(0x0a, at);
    const mark = markOf(parseRecord(bytes.toString('utf8', at, end < 0 || end > length ? length : end)));
    if (mark !== undefined) marks.push(mark);
  }
  return marks;
}

/** Where in a file a line is that cannot be read: found only then. */
class LineCount {
  private readonly file: string;
  private readonly skip: boolean;
  private offset = 0;

  constructor(file: string, skip: boolean) {
    this.file = file;
    this.skip = skip;
  }

  /** True: go on behind it. Throws unless lines may be skipped, or it is the last one and has no end. */
  unreadable({ bytes, length, last }: LineChunk, start: number, end: number): boolean {
    const torn = last && end === length && bytes[end - 1] !== 0x0a;
    if (!torn && !this.skip) throw new MetricsFileError(this.file, this.lineAt(this.offset + start));
    return true;
  }

  passed({ length }: LineChunk): void {
    this.offset += length;
  }

  private lineAt(offset: number): number {
    let line = 1;
    let left = offset;
    for (const { bytes, length } of lineChunks(this.file)) {
      line += feedsIn(bytes, Math.min(length, left));
      left -= length;
      if (left <= 0) break;
    }
    return line;
  }
}

function feedsIn(bytes: Buffer, length: number): number {
  let feeds = 0;
  for (let at = bytes.indexOf(0x0a); at >= 0 && at < length; at = bytes.indexOf(0x0a, at + 1)) feeds++;
  return feeds;
}

/** About how many rows a file has, by its first lines. */
function rowsIn(file: string, { bytes, length }: LineChunk): number {
  const sample = Math.min(length, SAMPLE_BYTES);
  const lines = Math.max(1, feedsIn(bytes, sample));
  return Math.min(Math.ceil((sizeOf(file) / sample) * lines * 1.1), 2 ** 24);
}

function wanted({ columns }: ReadMetricsOptions): readonly string[] | undefined {
  return Array.isArray(columns) ? (columns as readonly string[]) : undefined;
}

function isFalse(columns: ReadMetricsOptions['columns']): boolean {
  return columns === undefined || columns === false;
}

/** The file that is meant. */
export function fileOf(call: string, source: unknown): string {
  let path: unknown = source;
  if (typeof source === 'object' && source !== null) {
    const { dir, path: own, root } = source as { dir?: unknown; path?: unknown; root?: unknown };
    path = dir ?? root ?? own;
  }
  if (typeof path !== 'string' || path === '')
    throw wrongType(`${call}(source)`, 'the path of a metrics file or a run’s folder, or a run', source);
  const found = lstatSync(path, { throwIfNoEntry: false });
  const folder = found?.isSymbolicLink() ? statSync(path, { throwIfNoEntry: false }) : found;
  // Of a run that has no folder yet, there is no file either.
  return folder?.isDirectory() ||
    (folder === undefined && typeof source === 'object' && source !== null && !('path' in source))
    ? join(path, 'logs', 'metrics.jsonl')
    : path;
}

function check(call: string, options: unknown, known: readonly string[]): void {
  checkOptions(call, options, known);
  const { columns, superseded, badLines, histograms } = options as ReadMetricsOptions;
  const isList = Array.isArray(columns) && columns.every(name => typeof name === 'string');
  if (columns !== undefined && typeof columns !== 'boolean' && !isList)
    throw wrongType(`${call}({columns})`, 'true, or a list of names', columns);
  if (superseded !== undefined && superseded !== 'drop' && superseded !== 'keep')
    throw wrongType(`${call}({superseded})`, '"drop" or "keep"', superseded);
  if (badLines !== undefined && badLines !== 'throw' && badLines !== 'skip')
    throw wrongType(`${call}({badLines})`, '"throw" or "skip"', badLines);
  if (histograms !== undefined && typeof histograms !== 'boolean')
    throw wrongType(`${call}({histograms})`, 'true or false', histograms);
}
