// `kymo export`: the rows of a run as a table for other programs.
import fs from 'node:fs';
import { extname } from 'node:path';
import { didYouMean } from '../collector/config/problem.ts';
import { counted } from './amounts.ts';
import { type Command, EXIT_OK, printError, readArguments, UsageError } from './command.ts';
import { csvText, jsonText, writeParquet } from './export-formats.ts';
import { longTable, wideTable } from './export-table.ts';
import { findRun, runsDirectory } from './run-list.ts';
import { rowFiles, surveyRows } from './run-rows.ts';

const FORMATS = ['csv', 'parquet', 'jsonl'] as const;
type Format = (typeof FORMATS)[number];
/** More columns than this is more than spreadsheets and most readers take. */
const MANY_COLUMNS = 16_384;

export const exportCommand: Command = {
  help: `Usage: kymo export [RUN] --csv | --parquet | --jsonl [--wide | --long] [--output FILE] [--force] [--all] [--directory DIR]

Writes the rows of a run as one table, from its metrics.jsonl.

  RUN              Path, id, name, or the beginning of one (default: the newest run). Of one name, the newest
  --csv            RFC 4180; texts that a spreadsheet would read as formulas get an apostrophe in front
  --parquet        Doubles, int64 steps, text as UTF-8; needs --output
  --jsonl          One object a line; NaN and infinities as strings
  --wide           A column per metric and a line per step (default). Values of one step that follow each other share a line;
                   a metric called like another column (time, step, …) has a ~ in front
  --long           A line per value: time, step, scope, mode, metric, value
  --output FILE    Where to; the format may follow from .csv, .parquet or .jsonl (default: standard output)
  --force          Replaces a file that is there
  --all            What a resumed run wrote again, in both versions
  --directory DIR  Folder that holds the run folders (default: runs in the project folder)

Histograms, text and media are not in it.`,

  async run(args) {
    const { values, positionals } = readArguments(
      args,
      {
        csv: { type: 'boolean' },
        parquet: { type: 'boolean' },
        jsonl: { type: 'boolean' },
        wide: { type: 'boolean' },
        long: { type: 'boolean' },
        output: { type: 'string', short: 'o' },
        force: { type: 'boolean' },
        all: { type: 'boolean' },
        directory: { type: 'string' },
      },
      1,
    );
    const { output } = values;
    const format = formatOf(
      FORMATS.filter(one => values[one] === true),
      output,
    );
    if (values.wide === true && values.long === true) throw new UsageError('give either --wide or --long');
    if (format === 'parquet' && output === undefined)
      throw new UsageError('--parquet needs --output: its end is written first');
    if (output !== undefined && values.force !== true && fs.existsSync(output))
      throw new Error(`${output} is there already: --force replaces it`);

    const run = findRun(positionals[0], await runsDirectory(values.directory));
    const files = rowFiles(run.path);
    const survey = surveyRows(files);
    const options = { files, survey, all: values.all === true };
    const table = values.long === true ? longTable(options) : wideTable(options);
    if (survey.unreadable > 0)
      printError(`${counted(survey.unreadable, 'line')} that cannot be read: left out`);
    if (survey.histograms > 0) printError(`${counted(survey.histograms, 'histogram')}: not in the table`);
    if (table.columns.length > MANY_COLUMNS)
      printError(`${table.columns.length} columns: many programs take less; --long has six`);
    if (output === undefined) await toStdout(format === 'csv' ? csvText(table) : jsonText(table));
    else await toFile(output, path => writeTo(path, format, table));
    return EXIT_OK;
  },
};

function formatOf(asked: readonly Format[], output: string | undefined): Format {
  if (asked.length > 1) throw new UsageError(`give one format: ${asked.map(one => `--${one}`).join(' or ')}`);
  if (asked[0] !== undefined) return asked[0];
  const extension = output === undefined ? '' : extname(output).slice(1).toLowerCase();
  const found = FORMATS.find(one => one === extension);
  if (found !== undefined) return found;
  const hint = extension === '' ? '' : `; .${extension} is none of them${didYouMean(extension, FORMATS)}`;
  throw new UsageError(`which format? --csv, --parquet or --jsonl${hint}`);
}

async function writeTo(path: string, format: Format, table: ReturnType<typeof wideTable>): Promise<void> {
  if (format === 'parquet') return writeParquet(table, path);
  const fd = fs.openSync(path, 'w');
  try {
    for (const piece of format === 'csv' ? csvText(table) : jsonText(table)) fs.writeFileSync(fd, piece);
  } finally {
    fs.closeSync(fd);
  }
}

/** Beside it first: half an export never has the name of a whole one. */
async function toFile(output: string, write: (path: string) => Promise<void>): Promise<void> {
  const temporary = `${output}.${process.pid}.tmp`;
  try {
    await write(temporary);
    fs.renameSync(temporary, output);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
}

async function toStdout(pieces: Iterable<string>): Promise<void> {
  for (const piece of pieces) {
    if (!process.stdout.write(piece))
      await new Promise<void>(resolve => process.stdout.once('drain', resolve));
  }
}
