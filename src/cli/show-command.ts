// `kymo show`: everything worth knowing about one run on one screen.
import fs from 'node:fs';
import { join } from 'node:path';
import { printable } from '../semconv/printable.ts';
import { counted, localTime, shortDuration, shortNumber } from './amounts.ts';
import { type Command, EXIT_OK, readArguments } from './command.ts';
import {
  entryIn,
  isObject,
  type Json,
  type JsonObject,
  type RunEntry,
  readConfig,
  reasonOf,
} from './run-folder.ts';
import { findRun, runsDirectory } from './run-list.ts';
import { stateCell } from './runs-command.ts';
import { bytes } from './status-command.ts';
import { type Cell, cut, layOut, paint, wantsColour } from './terminal.ts';

/** Lines of a section; `--all` shows the rest. */
const MAX_METRICS = 40;
const MAX_CONFIG = 60;
const MAX_INSTANCES = 16;
const MAX_FILES = 40;
/** A value of a config on one line. */
const MAX_VALUE_COLUMNS = 100;
/** Files counted in folders of media and artifacts; beyond it the sum is said to be more. */
const MAX_COUNTED_FILES = 100_000;

export const showCommand: Command = {
  help: `Usage: kymo show [RUN] [--directory DIR] [--all] [--json]

Shows one run: who it is, how it ended, its config, the last, smallest, largest and mean value of its metrics, its
processes and files, and what is wrong with it.

  RUN              Path, id, name, or the beginning of one (default: the newest run). Of one name, the newest
  --directory DIR  Folder that holds the run folders (default: runs in the project folder)
  --all            Every metric, config key, process and file
  --json           run.json with config and problems, as JSON`,

  async run(args) {
    const { values, positionals } = readArguments(
      args,
      { directory: { type: 'string' }, all: { type: 'boolean' }, json: { type: 'boolean' } },
      1,
    );
    const run = findRun(positionals[0], await runsDirectory(values.directory));
    const problems = problemsOf(run);
    let config: JsonObject | undefined;
    try {
      config = readConfig(run.path);
    } catch (error) {
      problems.push(reasonOf(error));
    }
    const files = filesOf(run.path);
    if (values.json === true) {
      const { document, path } = run;
      process.stdout.write(
        `${JSON.stringify({ ...document, path, config, problems, on_disk: files }, undefined, 2)}\n`,
      );
      return EXIT_OK;
    }
    const all = values.all === true ? Infinity : undefined;
    const colour = wantsColour(process.stdout);
    const lines = [
      ...identity(run, colour),
      ...section(titled('CONFIG', config), all ?? MAX_CONFIG, colour),
      ...section(metricRows(run), all ?? MAX_METRICS, colour),
      ...section(titled('SUMMARY', run.document.summary), all ?? MAX_CONFIG, colour),
      ...section(processRows(run), all ?? MAX_INSTANCES, colour),
      ...section(fileRows(files), all ?? MAX_FILES, colour),
    ];
    if (problems.length > 0) {
      lines.push('', paint('PROBLEMS', 'red', colour));
      for (const problem of problems) lines.push(`  ${printable(problem)}`);
    }
    process.stdout.write(`${lines.join('\n')}\n`);
    return EXIT_OK;
  },
};

function identity(run: RunEntry, colour: boolean): string[] {
  const { document } = run;
  const state = stateCell(run);
  const exit = document.exit_code;
  const rows: [string, string, Cell?][] = [
    ['run', run.name],
    ['id', run.id],
    ['state', state.text, state],
    ['project', [run.project, run.group, run.jobType].filter(text => text !== '').join(' / ')],
    ['tags', run.tags.join(', ')],
    ['created', localTime(run.created)],
    [
      'duration',
      `${shortDuration(run.durationMs)}${run.silent ? `, silent for ${shortDuration(Date.now() - run.updated)}` : ''}`,
    ],
    ['steps', run.steps === undefined ? '-' : `${run.steps.first} to ${run.steps.last}`],
    ['attempts', attemptsText(run)],
    ['exit code', typeof exit === 'number' ? String(exit) : ''],
    ['counts', countsText(document.totals)],
    ['folder', run.path],
  ];
  return layOut(
    rows
      .filter(([, text]) => text !== '')
      .map(([label, text, cell]) => [
        { text: label, style: 'dim' },
        { text, style: cell?.style },
      ]),
    { colour },
  );
}

function attemptsText({ attempts, document }: RunEntry): string {
  if (attempts === 1) return '';
  const resumes = Array.isArray(document.attempts) ? document.attempts : [];
  const steps = resumes.map(one => entryIn(one, 'resume_step')).filter(step => typeof step === 'number');
  return steps.length === 0 ? String(attempts) : `${attempts} (resumed at step ${steps.join(', ')})`;
}

function countsText(totals: Json | undefined): string {
  if (!isObject(totals)) return '';
  return Object.entries(totals)
    .filter(([, count]) => typeof count === 'number' && count > 0)
    .map(([what, count]) => counted(Number(count), what.replace(/s$/, ''), what))
    .join(', ');
}

function section(rows: readonly Cell[][], limit: number, colour: boolean): string[] {
  const [head, ...body] = rows;
  if (head === undefined || body.length === 0) return [];
  const bold = head.map(cell => ({ ...cell, style: 'bold' as const }));
  const lines = layOut([bold, ...body.slice(0, limit)], { colour });
  const more = body.length - limit;
  return ['', ...lines, ...(more > 0 ? [paint(`and ${more} more: --all shows them`, 'dim', colour)] : [])];
}

function metricRows(run: RunEntry): Cell[][] {
  if (run.metrics.size === 0) return [];
  const right = (text: string): Cell => ({ text, align: 'right' });
  const number = (value: number) => right(Number.isNaN(value) ? '-' : shortNumber(value));
  // Only metrics that were given a goal have a best value.
  const goals = [...run.metrics.values()].some(metric => !Number.isNaN(metric.best));
  const rows = [...run.metrics].map(([name, metric]) => [
    { text: name },
    // A last value may be NaN itself, which is worth seeing.
    right(shortNumber(metric.last)),
    number(metric.lastStep),
    ...[metric.min, metric.max, metric.mean].map(number),
    ...(goals ? [number(metric.best)] : []),
    number(metric.count),
  ]);
  const head = ['METRIC', 'LAST', 'AT STEP', 'MIN', 'MAX', 'MEAN', ...(goals ? ['BEST'] : []), 'COUNT'];
  return [head.map((text, i) => (i === 0 ? { text } : right(text))), ...rows];
}

function titled(title: string, value: Json | undefined): Cell[][] {
  return [[{ text: title }], ...flat(value)];
}

/** Nested maps as `a.b.c`; lists on one line. */
function flat(value: Json | undefined, prefix = ''): Cell[][] {
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([key, inner]): Cell[][] => {
    const name = `${prefix}${key}`;
    if (isObject(inner) && Object.keys(inner).length > 0) return flat(inner, `${name}.`);
    const text = typeof inner === 'string' ? inner : (JSON.stringify(inner) ?? '');
    return [[{ text: `  ${name}` }, { text: cut(printable(text), MAX_VALUE_COLUMNS) }]];
  });
}

function processRows({ document }: RunEntry): Cell[][] {
  const instances = Array.isArray(document.instances) ? document.instances.filter(isObject) : [];
  if (instances.length < 2) return [];
  const rows = instances.map(one => [
    { text: String(one.instance ?? '') },
    { text: String(one.rank ?? 0), align: 'right' as const },
    { text: String(one.attempt ?? 1), align: 'right' as const },
    { text: String(one.state ?? '') },
    { text: localTime(Date.parse(String(one.last_seen ?? ''))) },
  ]);
  const head = ['PROCESS', 'RANK', 'ATT', 'STATE', 'LAST SEEN'];
  return [
    head.map((text, i) => (i === 1 || i === 2 ? { text, align: 'right' as const } : { text })),
    ...rows,
  ];
}

interface FileEntry {
  readonly file: string;
  readonly bytes: number;
  /** Of a folder: how many files it holds. */
  readonly files?: number;
}

function fileRows(files: readonly FileEntry[]): Cell[][] {
  const rows = files.map(({ file, bytes: size, files: count }): Cell[] => [
    { text: file },
    { text: bytes(size), align: 'right' },
    { text: count === undefined ? '' : `${count} files` },
  ]);
  return [[{ text: 'FILE' }, { text: 'SIZE', align: 'right' }], ...rows];
}

/** Files of the run folder and of logs/; every other folder as one entry. */
function filesOf(path: string): FileEntry[] {
  const entries: FileEntry[] = [];
  for (const entry of listed(path)) {
    if (entry.name === 'logs' && entry.isDirectory()) {
      for (const log of listed(join(path, 'logs')))
        if (log.isFile())
          entries.push({ file: `logs/${log.name}`, bytes: sizeOf(join(path, 'logs', log.name)) });
    } else if (entry.isDirectory()) {
      entries.push({ file: `${entry.name}/`, ...folderSize(join(path, entry.name)) });
    } else if (entry.isFile()) entries.push({ file: entry.name, bytes: sizeOf(join(path, entry.name)) });
  }
  return entries.sort((a, b) => (a.file < b.file ? -1 : 1));
}

function folderSize(path: string): { readonly bytes: number; readonly files: number } {
  let total = 0;
  let files = 0;
  const waiting = [path];
  for (
    let folder = waiting.pop();
    folder !== undefined && files < MAX_COUNTED_FILES;
    folder = waiting.pop()
  ) {
    for (const entry of listed(folder)) {
      if (entry.isDirectory()) waiting.push(join(folder, entry.name));
      else if (entry.isFile()) {
        files++;
        total += sizeOf(join(folder, entry.name));
      }
    }
  }
  return { bytes: total, files };
}

/** What cannot be listed is told by the problems; here it is only not there. */
function listed(path: string): fs.Dirent[] {
  try {
    return fs.readdirSync(path, { withFileTypes: true });
  } catch {
    return [];
  }
}

function sizeOf(path: string): number {
  return fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** What somebody should know before trusting the numbers. */
function problemsOf(run: RunEntry): string[] {
  const { document } = run;
  const problems: string[] = [];
  if (run.silent)
    problems.push(
      'it is called running, but nothing has come for a minute: its processes and its collector may be gone',
    );
  const dropped = isObject(document.dropped)
    ? Object.entries(document.dropped).filter(([, count]) => typeof count === 'number' && count > 0)
    : [];
  if (dropped.length > 0)
    problems.push(
      `its processes dropped ${dropped.map(([reason, count]) => `${String(count)} (${reason})`).join(', ')}`,
    );
  const nonfinite = isObject(document.metrics)
    ? Object.entries(document.metrics).filter(([, metric]) => Number(entryIn(metric, 'nonfinite') ?? 0) > 0)
    : [];
  for (const [name, metric] of nonfinite.slice(0, MAX_INSTANCES))
    problems.push(`${name} was NaN or infinite ${counted(Number(entryIn(metric, 'nonfinite')), 'time')}`);
  if (isObject(document.files)) {
    for (const [file, entry] of Object.entries(document.files)) {
      const claimed = Number(entryIn(entry, 'bytes') ?? 0);
      const missing = Number(entryIn(entry, 'missing_bytes') ?? 0);
      if (missing > 0) problems.push(`${file}: ${bytes(missing)} were removed by somebody`);
      const found = sizeOf(join(run.path, file));
      if (found < claimed)
        problems.push(`${file}: has ${bytes(found)} of the ${bytes(claimed)} that were written`);
    }
  }
  const waiting = Number(document.media_waiting ?? 0);
  if (waiting > 0) problems.push(`${waiting} media or artifacts are not complete`);
  const unlisted = Number(document.points_of_other_metrics ?? 0);
  if (unlisted > 0)
    problems.push(`${unlisted} points belong to metrics beyond those listed: kymo export has them all`);
  const others = listed(run.path).filter(
    ({ name }) => /^run\..+\.json$/.test(name) && !name.endsWith('.tmp'),
  );
  if (others.length > 0)
    problems.push(
      `other collectors have written it too, and their counts are apart: ${others.map(({ name }) => name).join(', ')}`,
    );
  return problems;
}
