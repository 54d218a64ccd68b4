// Prints text on stderr, as goggles prints it (with the place of the call) or as vibe-rl does (compact, with the logger).
import { isAbsolute, relative, resolve } from 'node:path';
import { printable } from '../../semconv/printable.ts';
import { checkOptions, wrongType } from '../checks.ts';
import { type Level, levelNumber } from '../text.ts';
import type { Handler, HandlerEvent, LevelName, LogEvent } from './event.ts';
import { wantsColors, writeLine } from './terminal.ts';

export const CONSOLE_FORMATS = ['goggles', 'compact'] as const;
export type ConsoleFormat = (typeof CONSOLE_FORMATS)[number];
export const PATH_STYLES = ['relative', 'absolute'] as const;
export type PathStyle = (typeof PATH_STYLES)[number];

export interface ConsoleOptions {
  /** Default: `kymo.console`. */
  readonly name?: string;
  /** Text below it is not printed. Default: `notset`, everything. */
  readonly level?: Level;
  /**
   * `goggles`: `2026-02-15 14:30:22 - INFO - src/train.ts:12 - message`. `compact`: `I 2026-02-15 14:30:22.123 [name] message`.
   * Default: `goggles`.
   */
  readonly format?: ConsoleFormat;
  /** How `goggles` shows the file. Default: `relative` to the root, where it is below it. */
  readonly pathStyle?: PathStyle;
  /** Where relative paths start. Default: the working directory. */
  readonly projectRoot?: string;
  /** Default: on a terminal, as NO_COLOR and FORCE_COLOR say. */
  readonly colors?: boolean;
  /** Takes a whole line without its line break. Default: stderr. */
  readonly write?: (line: string) => void;
}

export const CONSOLE_NAME = 'kymo.console';
const OPTIONS = ['name', 'level', 'format', 'pathStyle', 'projectRoot', 'colors', 'write'] as const;

const COLORS: Readonly<Record<LevelName, number>> = {
  trace: 36,
  debug: 36,
  info: 34,
  warn: 33,
  error: 31,
  critical: 91,
};
const LEVEL_NAMES: Readonly<Record<LevelName, string>> = {
  trace: 'DEBUG',
  debug: 'DEBUG',
  info: 'INFO',
  warn: 'WARNING',
  error: 'ERROR',
  critical: 'CRITICAL',
};
const RESET = '\u001b[0m';

/** Prints log events, one line each; control characters in them are escaped. Everything else it leaves alone. */
export class ConsoleHandler implements Handler {
  readonly name: string;
  readonly #level: number;
  readonly #format: ConsoleFormat;
  readonly #root: string | undefined;
  readonly #colors: boolean;
  readonly #write: (line: string) => void;

  constructor(options: ConsoleOptions = {}) {
    checkOptions('ConsoleHandler', options, OPTIONS);
    const { name = CONSOLE_NAME, level = 'notset', format = 'goggles', pathStyle = 'relative' } = options;
    checkOneOf('ConsoleHandler({format})', format, CONSOLE_FORMATS);
    checkOneOf('ConsoleHandler({pathStyle})', pathStyle, PATH_STYLES);
    if (options.projectRoot !== undefined && typeof options.projectRoot !== 'string')
      throw wrongType('ConsoleHandler({projectRoot})', 'a folder', options.projectRoot);
    if (options.colors !== undefined && typeof options.colors !== 'boolean')
      throw wrongType('ConsoleHandler({colors})', 'true or false', options.colors);
    if (options.write !== undefined && typeof options.write !== 'function')
      throw wrongType('ConsoleHandler({write})', 'a function that takes a line', options.write);
    this.name = name;
    this.#level = levelNumber('ConsoleHandler({level})', level);
    this.#format = format;
    this.#root = pathStyle === 'absolute' ? undefined : resolve(options.projectRoot ?? '.');
    this.#colors = options.colors ?? wantsColors();
    this.#write = options.write ?? writeLine;
  }

  handle(event: HandlerEvent): void {
    if (event.kind !== 'log' || event.severity < this.#level) return;
    this.#write(this.#format === 'compact' ? this.#compact(event) : this.#goggles(event));
  }

  #goggles(event: LogEvent): string {
    const said = `${this.#place(event)} - ${printable(event.message)}`;
    const coloured = this.#colors ? `\u001b[${COLORS[event.level]}m${said}${RESET}` : said;
    return `${secondsOf(new Date(event.time))} - ${LEVEL_NAMES[event.level]} - ${coloured}`;
  }

  #compact(event: LogEvent): string {
    const time = new Date(event.time);
    const letter = LEVEL_NAMES[event.level][0]!;
    const shownLetter = this.#colors ? `\u001b[${COLORS[event.level]}m${letter}${RESET}` : letter;
    const millis = String(time.getMilliseconds()).padStart(3, '0');
    return `${shownLetter} ${secondsOf(time)}.${millis} [${printable(event.logger)}] ${printable(event.message)}`;
  }

  #place({ file, line }: LogEvent): string {
    if (file === undefined) return '<unknown>:0';
    let shown = file;
    if (this.#root !== undefined) {
      const inside = relative(this.#root, file);
      if (inside !== '' && !inside.startsWith('..') && !isAbsolute(inside)) shown = inside;
    }
    return `${printable(shown)}:${line ?? 0}`;
  }
}

export function checkOneOf(argument: string, value: unknown, known: readonly string[]): void {
  if (typeof value !== 'string' || !known.includes(value))
    throw wrongType(argument, `one of ${known.join(', ')}`, value);
}

/** Local time, as `2026-02-15 14:30:22`. */
function secondsOf(time: Date): string {
  const two = (number: number): string => String(number).padStart(2, '0');
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}
