// What a command of `kymo` is, and how its arguments are read and its mistakes told.
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { didYouMean } from '../collector/config/problem.ts';
import { printable } from '../semconv/printable.ts';
import { layOut } from './terminal.ts';

export const EXIT_OK = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

export interface Command {
  /** Printed for `--help`: usage line, what it does, options. */
  readonly help: string;
  /** @returns the exit code */
  run(args: readonly string[]): Promise<number>;
}

/** The command line is wrong: its message is printed with a hint at `--help`, and the exit code is 2. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** Options by name (undefined where absent) and what is no option. Throws `UsageError`. */
export function readArguments<T extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: T,
  positionals = 0,
) {
  let parsed: ReturnType<typeof parseArgs<{ options: T; allowPositionals: true; strict: true }>>;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(argumentProblem(error, Object.keys(options)));
  }
  const extra = parsed.positionals[positionals];
  if (extra !== undefined) throw new UsageError(`unexpected argument "${extra}"`);
  return parsed;
}

function argumentProblem(error: unknown, known: readonly string[]): string {
  const message = error instanceof Error ? error.message : String(error);
  const unknown = /^Unknown option '(-[^']*)'/.exec(message)?.[1];
  if (unknown === undefined) return message.split('. ')[0]!.split('\n')[0]!;
  const hint = didYouMean(unknown.replace(/^-+/, ''), known).replace('mean "', 'mean "--');
  return `unknown option ${unknown}${hint}`;
}

/** Prints a line on stdout; control characters in it are shown, not obeyed. */
export function print(line: string): void {
  process.stdout.write(`${printable(line)}\n`);
}

/** The same on stderr. */
export function printError(line: string): void {
  process.stderr.write(`${printable(line)}\n`);
}

/** Rows as columns, two spaces apart; the last column is not padded. */
export function table(rows: readonly (readonly string[])[]): string[] {
  return layOut(rows.map(row => row.map(text => ({ text }))));
}
