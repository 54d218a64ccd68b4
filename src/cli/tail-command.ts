// `kymo tail`: rows and text of a run as they come.
import fs from 'node:fs';
import { join } from 'node:path';
import { printable } from '../semconv/printable.ts';
import { localTime, shortNumber } from './amounts.ts';
import { type Command, EXIT_FAILED, EXIT_OK, printError, readArguments, UsageError } from './command.ts';
import { FollowedFile } from './follow-file.ts';
import { entryIn, isObject, type Json, type JsonObject, numberOf, readRun } from './run-folder.ts';
import { findRun, runsDirectory } from './run-list.ts';
import { paint, type Style, wantsColour } from './terminal.ts';

const POLL_MS = 200;
const DEFAULT_LINES = 10;
const MAX_LINES = 100_000;
/** A message may be a whole file; the line on the terminal need not be. */
const MAX_MESSAGE_CHARACTERS = 2_000;
/** With --until-end: a folder that is gone for so long does not come back. */
const REMOVED_PATIENCE_MS = 5_000;
/** Keys of a line that are not metrics. Others have one `~` more than the metric's name where they begin with one. */
const LINE_KEYS: ReadonlySet<string> = new Set([
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
const LEVEL_STYLES: Readonly<Record<string, Style>> = {
  WARN: 'yellow',
  WARNING: 'yellow',
  ERROR: 'red',
  CRITICAL: 'red',
  FATAL: 'red',
  DEBUG: 'dim',
};

export const tailCommand: Command = {
  help: `Usage: kymo tail [RUN] [--directory DIR] [--lines N] [--until-end] [--rows | --logs] [--metrics NAME,NAME] [--json]

Shows rows and text of a run as they are written, until Ctrl-C. It goes on when files are replaced or removed and come
back, and does not repeat what a restarted collector writes again.

  RUN              Path, id, name, or the beginning of one (default: the newest run). Of one name, the newest
  --directory DIR  Folder that holds the run folders (default: runs in the project folder)
  --lines N        So many of the lines that are there already, of each file (default ${DEFAULT_LINES})
  --until-end      Ends when the run does: exit code 0 for a run that finished, 1 for any other end
  --rows, --logs   Only rows, only text
  --metrics A,B    Only these metrics, and only rows that have one of them
  --json           The lines of the files as they are`,

  async run(args) {
    const { values, positionals } = readArguments(
      args,
      {
        directory: { type: 'string' },
        lines: { type: 'string', default: String(DEFAULT_LINES) },
        'until-end': { type: 'boolean' },
        rows: { type: 'boolean' },
        logs: { type: 'boolean' },
        metrics: { type: 'string', multiple: true },
        json: { type: 'boolean' },
      },
      1,
    );
    const lines = Number(values.lines);
    if (!Number.isInteger(lines) || lines < 0 || lines > MAX_LINES)
      throw new UsageError(`--lines takes a whole number up to ${MAX_LINES}, not "${values.lines}"`);
    if (values.rows === true && values.logs === true) throw new UsageError('give either --rows or --logs');
    const run = findRun(positionals[0], await runsDirectory(values.directory));
    const wanted = (values.metrics ?? []).flatMap(text => text.split(',')).filter(name => name !== '');
    const metrics = wanted.length === 0 ? undefined : new Set(wanted);
    const colour = wantsColour(process.stdout);
    const show = (line: string, kind: Kind): string | undefined => {
      if (values.json === true) return line;
      return kind === 'metrics' ? rowText(line, metrics, colour) : logText(line, colour);
    };
    const kinds: Kind[] =
      values.rows === true ? ['metrics'] : values.logs === true ? ['logs'] : ['metrics', 'logs'];
    const followed = new Followed(run.path, metrics === undefined ? kinds : ['metrics'], lines);
    return follow(run.path, followed, show, values['until-end'] === true);
  },
};

type Kind = 'metrics' | 'logs';

/** The files of a run, those of further writers included as they appear. */
class Followed {
  readonly #folder: string;
  readonly #kinds: readonly Kind[];
  readonly #lines: number;
  readonly #files = new Map<string, { readonly kind: Kind; readonly file: FollowedFile }>();

  constructor(path: string, kinds: readonly Kind[], lines: number) {
    this.#folder = join(path, 'logs');
    this.#kinds = kinds;
    this.#lines = lines;
    this.#look(lines);
  }

  /** What has come, in order of time as far as the lines say it. */
  read(): { readonly kind: Kind; readonly line: string; readonly time: number }[] {
    this.#look(Infinity);
    const found: { kind: Kind; line: string; time: number }[] = [];
    for (const { kind, file } of this.#files.values()) {
      let time = 0;
      for (const line of file.read()) {
        time = timeOf(line) ?? time;
        found.push({ kind, line, time });
      }
    }
    return this.#files.size < 2 ? found : found.sort((a, b) => a.time - b.time);
  }

  get passedOver(): number {
    return [...this.#files.values()].reduce((sum, { file }) => sum + file.passedOver, 0);
  }

  /** A file that appears later is shown from its beginning. */
  #look(lines: number): void {
    for (const kind of this.#kinds) this.#add(kind, `${kind}.jsonl`, this.#lines);
    let names: string[] = [];
    try {
      names = fs.readdirSync(this.#folder);
    } catch {
      // Not there (yet, or any more).
    }
    for (const name of names) {
      const kind = /^(metrics|logs)\..+\.jsonl$/.exec(name)?.[1] as Kind | undefined;
      if (kind !== undefined && this.#kinds.includes(kind)) this.#add(kind, name, lines);
    }
  }

  #add(kind: Kind, name: string, lines: number): void {
    if (this.#files.has(name)) return;
    this.#files.set(name, { kind, file: new FollowedFile(join(this.#folder, name), lines) });
  }
}

async function follow(
  path: string,
  followed: Followed,
  show: (line: string, kind: Kind) => string | undefined,
  untilEnd: boolean,
): Promise<number> {
  let stopped = false;
  let wake = (): void => undefined;
  const stop = (): void => {
    stopped = true;
    wake();
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  let removedAt: number | undefined;
  let passedOver = 0;
  for (;;) {
    // The state first: what was written before it ended is then read in this round.
    const read = readRun(path);
    const found = followed.read();
    const text = found
      .map(({ kind, line }) => show(line, kind))
      .filter(line => line !== undefined)
      .map(line => `${line}\n`)
      .join('');
    // A reader that is slower than the run holds us back, not our memory.
    if (text !== '' && !process.stdout.write(text))
      await new Promise<void>(resolve => process.stdout.once('drain', resolve));
    if (followed.passedOver > passedOver) {
      passedOver = followed.passedOver;
      printError(`${passedOver} lines are too long to be shown`);
    }
    if (stopped) return EXIT_OK;
    // There may be more.
    if (found.length > 0) continue;
    if (read.kind === 'run') removedAt = undefined;
    else if (removedAt === undefined && !fs.existsSync(path)) {
      removedAt = Date.now();
      printError(`${path} was removed; going on when it comes back`);
    }
    if (untilEnd) {
      if (removedAt !== undefined && Date.now() - removedAt > REMOVED_PATIENCE_MS) return EXIT_FAILED;
      if (read.kind === 'run' && read.run.state !== 'running' && read.run.state !== 'starting') {
        printError(`the run ${read.run.state}`.replace('the run killed', 'the run was killed'));
        return read.run.state === 'finished' ? EXIT_OK : EXIT_FAILED;
      }
    }
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, POLL_MS);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** `12:00:03  step 40  train/loss=0.31 …`; undefined for a line without a metric that is wanted. */
function rowText(text: string, wanted: ReadonlySet<string> | undefined, colour: boolean): string | undefined {
  const line = parsed(text);
  if (line === undefined) return `${printable(text.slice(0, MAX_MESSAGE_CHARACTERS))}`;
  const at = (rest: string) =>
    `${paint(clock(line.time), 'dim', colour)}  ${ownerText(line)}step ${stepText(line.step)}  ${rest}`;
  if (isObject(line.superseded)) {
    const { attempt, from_step: from } = line.superseded;
    return `${paint(clock(line.time), 'dim', colour)}  attempt ${stepText(attempt)} writes again from step ${stepText(from)} on`;
  }
  if (typeof line.histogram === 'string') {
    if (wanted !== undefined && !wanted.has(line.histogram)) return undefined;
    const range = [line.min, line.max].every(one => one !== undefined)
      ? ` from ${shortNumber(numberOf(line.min))} to ${shortNumber(numberOf(line.max))}`
      : '';
    return at(`${printable(line.histogram)}: ${stepText(line.count)} values${range}`);
  }
  const values: string[] = [];
  for (const [key, value] of Object.entries(line)) {
    if (LINE_KEYS.has(key)) continue;
    const name = key.startsWith('~') ? key.slice(1) : key;
    if (wanted !== undefined && !wanted.has(name)) continue;
    const number = numberOf(value);
    const shown = `${printable(name)}=${shortNumber(number)}`;
    values.push(Number.isFinite(number) ? shown : paint(shown, 'yellow', colour));
  }
  return values.length === 0 ? undefined : at(values.join('  '));
}

/** `12:00:03  INFO  trainer  done  seed=3`. */
function logText(text: string, colour: boolean): string {
  const line = parsed(text);
  if (line === undefined) return printable(text.slice(0, MAX_MESSAGE_CHARACTERS));
  const level = typeof line.level === 'string' ? line.level : '';
  const said =
    typeof line.message === 'string'
      ? line.message
      : line.body === undefined
        ? ''
        : JSON.stringify(line.body);
  const place = isObject(line.attributes) ? placeText(line.attributes) : '';
  const attributes = isObject(line.attributes)
    ? Object.entries(line.attributes)
        .filter(([key]) => !key.startsWith('code.'))
        .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    : [];
  const parts = [
    typeof line.event === 'string' ? `[${line.event}]` : level,
    typeof line.logger === 'string' ? line.logger : '',
    said,
    line.step === undefined ? '' : `step=${stepText(line.step)}`,
    ...attributes,
    place,
  ].filter(part => part !== '');
  const whole = printable(parts.join('  ').slice(0, MAX_MESSAGE_CHARACTERS));
  return `${paint(clock(line.time), 'dim', colour)}  ${paint(whole, LEVEL_STYLES[level.toUpperCase()], colour)}`;
}

/** `train.ts:12`, where the line was logged. */
function placeText(attributes: JsonObject): string {
  const file = entryIn(attributes, 'code.file.path');
  const line = entryIn(attributes, 'code.line.number');
  return typeof file === 'string' ? `${file.split(/[/\\]/).at(-1)}:${stepText(line)}` : '';
}

function parsed(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function ownerText(line: JsonObject): string {
  const parts = ['scope', 'mode', 'rank', 'attempt']
    .filter(key => entryIn(line, key) !== undefined)
    .map(key => `${key} ${String(entryIn(line, key))}`);
  return parts.length === 0 ? '' : `${printable(parts.join(' '))}  `;
}

function stepText(value: Json | undefined): string {
  return typeof value === 'number' ? String(value) : '-';
}

function clock(time: Json | undefined): string {
  return typeof time === 'number' ? localTime(time * 1_000).slice(-8) : '--:--:--';
}

/** Without parsing the line: its keys come in a known order. */
function timeOf(line: string): number | undefined {
  const time = Number(/"time":([0-9.]+)/.exec(line.slice(0, 200))?.[1]);
  return Number.isNaN(time) ? undefined : time;
}
