// The console by one call: `configure` as goggles has it, `setupLogging` as vibe-rl has it, both as often as one likes.
import { checkOptions, wrongType } from '../checks.ts';
import { type Level, levelNumber } from '../text.ts';
import { attach, checkScopes, detach, forgetInherited } from './attach.ts';
import {
  CONSOLE_FORMATS,
  CONSOLE_NAME,
  type ConsoleFormat,
  type ConsoleOptions,
  checkOneOf,
  PATH_STYLES,
  type PathStyle,
} from './console.ts';
import { ANY_SCOPE, DEFAULT_SCOPES, find } from './hub.ts';

export interface ConfigureOptions {
  /** True prints text on stderr, false takes the console away again. Default: as it is, which is silent at first. */
  readonly console?: boolean;
  /** Text below it is not printed. Default: `info`. */
  readonly level?: Level;
  /** Default: `relative` to the working directory. */
  readonly pathStyle?: PathStyle;
  /** See `ConsoleHandler`. Default: `goggles`. */
  readonly format?: ConsoleFormat;
  /** Whom to print. Default: `global`. */
  readonly scopes?: readonly string[];
}

export interface LoggingOptions {
  /** Text below it is not printed. Default: `info`. */
  readonly level?: Level;
  /** Default: `compact`. */
  readonly format?: ConsoleFormat;
  /** Whom to print. Default: everybody. */
  readonly scopes?: readonly string[];
}

const CONFIGURE_OPTIONS = ['console', 'level', 'pathStyle', 'format', 'scopes'] as const;
const LOGGING_OPTIONS = ['level', 'format', 'scopes'] as const;

/**
 * Sets what this process, and those that a run of it starts, print. Nothing by default; a second call replaces what the
 * first has set. Throws a TypeError for options of the wrong shape.
 */
export function configure(options: ConfigureOptions = {}): void {
  checkOptions('configure', options, CONFIGURE_OPTIONS);
  const { console, level = 'info', pathStyle = 'relative', format = 'goggles', scopes } = options;
  if (console !== undefined && typeof console !== 'boolean')
    throw wrongType('configure({console})', 'true or false', console);
  levelNumber('configure({level})', level);
  checkOneOf('configure({pathStyle})', pathStyle, PATH_STYLES);
  checkOneOf('configure({format})', format, CONSOLE_FORMATS);
  if (console === false) removeConsole();
  if (console === true) replaceConsole({ level, pathStyle, format }, scopes ?? DEFAULT_SCOPES);
}

/** Prints the text of all loggers on stderr, one line each. Calling it again replaces level and format, and doubles nothing. */
export function setupLogging(options: LoggingOptions = {}): void {
  checkOptions('setupLogging', options, LOGGING_OPTIONS);
  const { level = 'info', format = 'compact', scopes = [ANY_SCOPE] } = options;
  levelNumber('setupLogging({level})', level);
  checkOneOf('setupLogging({format})', format, CONSOLE_FORMATS);
  replaceConsole({ level, format }, scopes);
}

function replaceConsole(options: ConsoleOptions, scopes: readonly string[]): void {
  checkScopes('scopes', scopes);
  removeConsole();
  attach(CONSOLE_NAME, { scopes, options });
}

function removeConsole(): void {
  forgetInherited(CONSOLE_NAME);
  if (find(CONSOLE_NAME) !== undefined) detach(CONSOLE_NAME);
}
