// `kymo runs`: the runs of a folder as a table, the newest first.
import { printable } from '../semconv/printable.ts';
import { shortDuration, shortNumber } from './amounts.ts';
import { type Command, EXIT_OK, printError, readArguments, UsageError } from './command.ts';
import { checkKey, comparison, keyOf, metricOf, parseCondition } from './run-filter.ts';
import type { RunEntry } from './run-folder.ts';
import { listRuns, runsDirectory, tellStrangers } from './run-list.ts';
import { type Cell, cut, layOut, type Style, wantsColour } from './terminal.ts';

/** Metrics in the last column where none are asked for. */
const SHOWN_METRICS = 4;
const MAX_NAME_COLUMNS = 60;
/** Ids are for copying, so they are whole unless they are absurd: one must not push the table off the screen. */
const MAX_ID_COLUMNS = 100;
const STATE_STYLES: Readonly<Record<string, Style>> = {
  running: 'cyan',
  starting: 'cyan',
  finished: 'green',
  failed: 'red',
  crashed: 'red',
  killed: 'yellow',
};

export const runsCommand: Command = {
  help: `Usage: kymo runs [DIR] [--filter CONDITION …] [--sort KEY] [--reverse] [--limit N] [--metrics NAME,NAME] [--json]

Lists runs, the newest first: name, id, state, attempts, last step, duration and last values of metrics. A run that is called
running but has given no sign of life for a minute is silent. What in the folder cannot be read is said on stderr.

  DIR                  Folder that holds the run folders (default: runs in the project folder)
  --filter CONDITION   Only runs for which it holds; several must all hold. A KEY, one of = != < <= > >= ~ !~ and a value:
                       state=failed   name~ppo   tag=best   loss<0.1   loss:min<0.05   config.lr>=1e-3   duration>2h
  --sort KEY           created (default), updated, name, id, state, attempts, steps, duration, a metric (loss, loss:max),
                       config.KEY or summary.KEY. Numbers and times begin with the largest, texts with A
  --reverse            The other way round
  --limit N            At most so many
  --metrics A,B        These metrics, a column each; a name may end in :min :max :mean :best :count
  --json               One JSON array with everything that each run.json holds, paths and problems included

Keys: id name project group job_type tag state attempts steps duration created updated, metrics, config.KEY, summary.KEY.
~ means "contains", in any letter case.`,

  async run(args) {
    const { values, positionals } = readArguments(
      args,
      {
        filter: { type: 'string', multiple: true },
        sort: { type: 'string' },
        reverse: { type: 'boolean' },
        limit: { type: 'string' },
        metrics: { type: 'string', multiple: true },
        json: { type: 'boolean' },
      },
      1,
    );
    const limit = values.limit === undefined ? Infinity : Number(values.limit);
    if (!(limit >= 0) || (Number.isFinite(limit) && !Number.isInteger(limit)))
      throw new UsageError(`--limit takes a whole number, not "${values.limit}"`);
    const conditions = (values.filter ?? []).map(parseCondition);
    const list = listRuns(await runsDirectory(positionals[0]));
    const key = values.sort ?? 'created';
    for (const asked of [...(values.filter ?? []).map(keyOf), key]) checkKey(asked, list.runs);
    const chosen = list.runs
      .filter(run => conditions.every(holds => holds(run)))
      .sort(comparison(key, isText(key) === (values.reverse === true)))
      .slice(0, limit);
    tellStrangers(list);
    if (values.json === true) {
      process.stdout.write(`${JSON.stringify(chosen.map(asJson), undefined, 2)}\n`);
      return EXIT_OK;
    }
    if (chosen.length === 0)
      printError(list.runs.length === 0 ? 'no run is here' : `none of ${list.runs.length} runs matches`);
    const metrics = (values.metrics ?? []).flatMap(text => text.split(',')).filter(name => name !== '');
    const { stdout } = process;
    const width = stdout.isTTY === true ? stdout.columns : undefined;
    const lines = layOut(tableOf(chosen, metrics), { colour: wantsColour(stdout), width });
    stdout.write(`${lines.join('\n')}\n`);
    return EXIT_OK;
  },
};

export function stateCell(run: RunEntry): Cell {
  if (run.silent) return { text: 'silent', style: 'yellow' };
  return { text: run.state, style: STATE_STYLES[run.state] };
}

function tableOf(runs: readonly RunEntry[], metrics: readonly string[]): Cell[][] {
  const head = ['NAME', 'ID', 'STATE', 'ATT', 'STEP', 'TIME', ...(metrics.length > 0 ? metrics : ['LAST'])];
  return [
    head.map((text, i) => ({ text, style: 'bold' as const, ...(isNumeric(i, metrics) && RIGHT) })),
    ...runs.map(run => [
      { text: cut(printable(run.name), MAX_NAME_COLUMNS) },
      { text: run.name === run.id ? '' : cut(printable(run.id), MAX_ID_COLUMNS), style: 'dim' as const },
      stateCell(run),
      { text: String(run.attempts), ...RIGHT },
      { text: run.steps === undefined ? '-' : shortNumber(run.steps.last), ...RIGHT },
      { text: shortDuration(run.durationMs), ...RIGHT },
      ...lastCells(run, metrics),
    ]),
  ];
}

const RIGHT = { align: 'right' } as const;

function isNumeric(column: number, metrics: readonly string[]): boolean {
  return (column > 2 && column < 6) || (column >= 6 && metrics.length > 0);
}

function lastCells(run: RunEntry, metrics: readonly string[]): Cell[] {
  if (metrics.length > 0)
    return metrics.map(name => {
      const value = metricOf(run, name);
      return { text: value === undefined ? '-' : shortNumber(value), ...RIGHT };
    });
  const shown = [...run.metrics].slice(0, SHOWN_METRICS);
  const more = run.metrics.size - shown.length;
  const texts = shown.map(([name, { last }]) => `${name}=${shortNumber(last)}`);
  return [{ text: texts.join(' ') + (more > 0 ? ` +${more}` : '') }];
}

function isText(key: string): boolean {
  return ['name', 'id', 'state', 'project', 'group', 'job_type', 'tag'].includes(key);
}

function asJson({ document, path, silent, durationMs }: RunEntry): unknown {
  return {
    ...document,
    path,
    ...(silent ? { silent } : {}),
    duration_seconds: Number.isNaN(durationMs) ? null : durationMs / 1_000,
  };
}
