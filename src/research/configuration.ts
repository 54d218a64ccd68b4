// Configuration files: read (YAML 1.2 or JSON, checked against any Standard Schema), written whole or not at all, printed.
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type * as Yaml from 'yaml';
import { checkOptions, kindOf, wrongType } from './checks.ts';
import { type ConfigurationValue, configurationValue } from './configuration-values.ts';
import { jsonErrorOffset, lineAndColumn } from './json-position.ts';

/** A configuration is written by hand, or by a sweep: larger ones are data. */
export const MAX_CONFIGURATION_BYTES = 16 * 1024 * 1024;
/** Issues of a schema that a message lists. */
const MAX_ISSUES = 20;
/** Expansions of anchors: more is an attack ("billion laughs"). */
const MAX_ALIASES = 1_000;
const INDENT = 2;

export interface LoadOptions<Schema extends StandardSchemaV1 | undefined = StandardSchemaV1 | undefined> {
  /** A zod, Valibot, ArkType … schema, or any other that is a Standard Schema. What it makes of the file is what is returned. */
  readonly schema?: Schema;
}

/** Settings by name. */
export type Configuration = Record<string, unknown>;

export interface ConfigurationIssue {
  readonly message: string;
  /** Where in the configuration, such as `model.layers[0]`; empty for the whole. */
  readonly path: string;
  /** From 1; 0 where the file has no such place. */
  readonly line: number;
  readonly column: number;
}

/** A file that is not there, is no YAML or JSON, or does not keep to its schema. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  readonly file: string;
  readonly issues: readonly ConfigurationIssue[];
  /** Of the system, such as `ENOENT`. */
  readonly code: string | undefined;

  constructor(
    file: string,
    issues: readonly ConfigurationIssue[],
    options: { cause?: unknown; code?: string } = {},
  ) {
    super(`kymo: ${issues.map(issue => issueText(file, issue)).join('\n  ')}`, { cause: options.cause });
    this.file = file;
    this.issues = issues;
    this.code = options.code;
  }
}

/**
 * The settings in a file, by its ending YAML 1.2 (`.yaml`, `.yml`) or JSON (`.json`). An empty file is `{}`. Whole numbers beyond 2^53 are
 * bigints. `console.log` shows the result in full.
 *
 * Throws a ConfigurationError that names file, line and column when the file is missing, is broken, holds no map, has a key twice or one
 * named `__proto__`, or does not keep to the schema; a TypeError for a path or option of the wrong type, or a schema that has to be awaited.
 *
 * @example
 * const config = loadConfiguration('config.yaml', { schema: z.object({ lr: z.number() }) });
 * const run = init({ config });
 */
export function loadConfiguration<Schema extends StandardSchemaV1>(
  path: string | URL,
  options: { readonly schema: Schema },
): StandardSchemaV1.InferOutput<Schema>;
export function loadConfiguration(path: string | URL, options?: LoadOptions): Configuration;
export function loadConfiguration(path: string | URL, options: LoadOptions = {}): unknown {
  const file = checkPath('loadConfiguration', path);
  checkOptions('loadConfiguration', options, ['schema']);
  const { schema } = options;
  const validate = schema?.['~standard']?.validate;
  if (schema !== undefined && typeof validate !== 'function')
    throw wrongType('loadConfiguration({schema})', 'a Standard Schema (zod, Valibot, ArkType, …)', schema);
  const format = formatOf('loadConfiguration', file);
  const text = read(file);
  const document = format === 'json' ? parseJson(file, text) : parseYaml(file, text);
  if (schema === undefined) return showInFull(document.settings);
  const result = schema['~standard'].validate(document.settings);
  if (result instanceof Promise) {
    result.catch(() => undefined);
    throw new TypeError(
      'kymo: loadConfiguration({schema}) validates asynchronously; await its own validate instead',
    );
  }
  if (result.issues === undefined) return showInFull(result.value);
  throw new ConfigurationError(
    file,
    result.issues.slice(0, MAX_ISSUES).map(issue => locate(document, issue)),
  );
}

/**
 * Writes settings to a file, by its ending as YAML or JSON: into a new file beside it first, which then takes its place, so that
 * a reader sees the old or the new one whole. Folders are made as needed. Dates become ISO texts, typed arrays and sets lists.
 *
 * Throws a TypeError, before anything is written, that names what the format cannot say (functions, cycles, NaN in JSON), and what
 * the file system throws.
 */
export function saveConfiguration(configuration: object, path: string | URL): void {
  const file = checkPath('saveConfiguration', path, 1);
  const format = formatOf('saveConfiguration', file);
  const settings = settingsOf('saveConfiguration(configuration)', configuration);
  const text = format === 'json' ? toJson(settings) : toYaml(settings);
  writeWhole(file, text);
}

/** The settings as YAML, for people. Throws a TypeError for what is no configuration. */
export function prettyConfig(configuration: object): string {
  return toYaml(settingsOf('prettyConfig(configuration)', configuration)).trimEnd();
}

interface Document {
  readonly settings: Configuration;
  /** Where a setting stands; undefined where the file has no such place. */
  readonly find: (path: readonly PropertyKey[]) => { line: number; column: number } | undefined;
}

function parseYaml(file: string, text: string): Document {
  const yaml = loadYaml();
  const lines = new yaml.LineCounter();
  const documents = yaml.parseAllDocuments(text, { lineCounter: lines, intAsBigInt: true, merge: true });
  const [document] = documents;
  if (document === undefined || !('contents' in document)) return { settings: {}, find: () => undefined };
  if (documents.length > 1) {
    const { line, col } = lines.linePos((documents[1] as Yaml.Document.Parsed).range[0]);
    throw broken(file, 'a second document begins here; a configuration is one', line, col);
  }
  // A tag that nobody knows (`!!python/object`) is only a warning to the parser, but its value is not what was meant.
  const error = document.errors[0] ?? document.warnings[0];
  if (error !== undefined) {
    const { line, col } = error.linePos?.[0] ?? { line: 0, col: 0 };
    throw broken(
      file,
      error.message.split('\n')[0]!.replace(/ at line \d+, column \d+:?$/, ''),
      line,
      col,
      error,
    );
  }
  const place = (node: unknown): { line: number; column: number } => {
    const range = yaml.isNode(node) ? node.range : undefined;
    if (!range) return { line: 0, column: 0 };
    const { line, col } = lines.linePos(range[0]);
    return { line, column: col };
  };
  yaml.visit(document, {
    Pair(_key, pair) {
      if (!yaml.isScalar(pair.key) || pair.key.value !== '__proto__') return;
      const { line, column } = place(pair.key);
      throw broken(file, '"__proto__" is no name for a setting', line, column);
    },
    Scalar(_key, scalar) {
      const { value } = scalar;
      if (typeof value === 'bigint' && Number.isSafeInteger(Number(value))) scalar.value = Number(value);
    },
  });
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (problem) {
    throw broken(file, (problem as Error).message, 0, 0, problem);
  }
  return {
    settings: mapOf(file, value, place(document.contents)),
    find: path => {
      for (let depth = path.length; depth > 0; depth--) {
        const keys = path.slice(0, depth).map(key => (typeof key === 'symbol' ? String(key) : key));
        const pair = document.getIn(keys, true);
        if (yaml.isNode(pair)) return place(pair);
      }
      return undefined;
    },
  };
}

function parseJson(file: string, text: string): Document {
  if (text.trim() === '') return { settings: {}, find: () => undefined };
  let value: unknown;
  try {
    value = JSON.parse(text, (key, item: unknown, context?: { source?: string }) => {
      if (key === '__proto__') throw new RefusedKey();
      const source = context?.source;
      return typeof item === 'number' &&
        source !== undefined &&
        /^-?\d+$/.test(source) &&
        !Number.isSafeInteger(item)
        ? BigInt(source)
        : item;
    });
  } catch (error) {
    if (error instanceof RefusedKey) {
      const { line, column } = lineAndColumn(text, Math.max(0, text.indexOf('"__proto__"')));
      throw broken(file, '"__proto__" is no name for a setting', line, column);
    }
    const { line, column } = lineAndColumn(text, jsonErrorOffset(text) ?? 0);
    throw broken(file, `no JSON: ${(error as Error).message.split('\n')[0]}`, line, column, error);
  }
  return { settings: mapOf(file, value, { line: 1, column: 1 }), find: () => undefined };
}

class RefusedKey extends Error {}

function mapOf(file: string, value: unknown, place: { line: number; column: number }): Configuration {
  if (value === null || value === undefined) return {};
  if (typeof value === 'object' && !Array.isArray(value)) return value as Configuration;
  throw broken(file, `a configuration is a map of settings, not ${kindOf(value)}`, place.line, place.column);
}

function locate(document: Document, issue: StandardSchemaV1.Issue): ConfigurationIssue {
  const keys = (issue.path ?? []).map(segment => (typeof segment === 'object' ? segment.key : segment));
  let path = '';
  for (const key of keys)
    path += typeof key === 'number' ? `[${key}]` : path === '' ? String(key) : `.${String(key)}`;
  const { line, column } = document.find(keys) ?? { line: 0, column: 0 };
  return { message: issue.message, path, line, column };
}

function issueText(file: string, issue: ConfigurationIssue): string {
  const place = issue.line > 0 ? `${file}:${issue.line}:${issue.column}` : file;
  return `${place}: ${issue.path === '' ? '' : `${issue.path}: `}${issue.message}`;
}

function broken(
  file: string,
  message: string,
  line: number,
  column: number,
  cause?: unknown,
): ConfigurationError {
  return new ConfigurationError(file, [{ message, path: '', line, column }], { cause });
}

function read(file: string): string {
  try {
    const { size } = statSync(file);
    if (size > MAX_CONFIGURATION_BYTES)
      throw broken(file, `${size} bytes; a configuration has at most ${MAX_CONFIGURATION_BYTES}`, 0, 0);
    return readFileSync(file, 'utf8').replace(/^\ufeff/, '');
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    const { code = '', message } = error as NodeJS.ErrnoException;
    const problem =
      code === 'ENOENT' ? `there is no such file (looked in ${dirname(resolve(file))})` : message;
    throw new ConfigurationError(file, [{ message: problem, path: '', line: 0, column: 0 }], {
      cause: error,
      code,
    });
  }
}

function settingsOf(argument: string, configuration: unknown): ConfigurationValue {
  if (typeof configuration !== 'object' || configuration === null || Array.isArray(configuration))
    throw wrongType(argument, 'an object such as {lr: 0.1}', configuration);
  return configurationValue(configuration, argument.replace(/\(.*/, ''));
}

function toYaml(settings: ConfigurationValue): string {
  const yaml = loadYaml();
  const document = new yaml.Document(settings, { aliasDuplicateObjects: false });
  yaml.visit(document, {
    Scalar(_key, scalar) {
      if (!isWholeAndInexact(scalar.value)) return;
      scalar.format = 'EXP';
      scalar.source = String(scalar.value);
    },
  });
  return document.toString({ indent: INDENT, lineWidth: 0 });
}

function toJson(settings: ConfigurationValue): string {
  const raw = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;
  const json = JSON.stringify(
    settings,
    (key, value: unknown) => {
      if (typeof value === 'bigint') return raw(String(value));
      if (isWholeAndInexact(value)) return raw(value.toExponential());
      if (typeof value === 'number' && !Number.isFinite(value))
        throw new TypeError(
          `kymo: saveConfiguration: ${key} is ${value}, which JSON has no number for; save it as .yaml`,
        );
      return value;
    },
    INDENT,
  );
  return `${json}\n`;
}

/** A double beyond 2^53, as against an integer of so many digits: it keeps an exponent, by which it is read as a double again. */
function isWholeAndInexact(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value);
}

function writeWhole(file: string, text: string): void {
  const target = throughLink(file);
  mkdirSync(dirname(target), { recursive: true });
  const temporary = `${target}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
  try {
    const descriptor = openSync(temporary, 'wx');
    try {
      writeFileSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** A link stays a link. */
function throughLink(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}

function checkPath(call: string, path: unknown, position = 0): string {
  if (path instanceof URL) return fileURLToPath(path);
  if (typeof path === 'string' && path !== '' && !path.includes('\0')) return path;
  throw wrongType(`${call}(${position === 0 ? 'path' : 'configuration, path'})`, 'the path of a file', path);
}

function formatOf(call: string, file: string): 'yaml' | 'json' {
  const ending = extname(file).toLowerCase();
  if (ending === '.yaml' || ending === '.yml') return 'yaml';
  if (ending === '.json') return 'json';
  throw wrongType(`${call}(path)`, 'a path that ends in .yaml, .yml or .json', file);
}

/** Node shows nested objects as `[Object]`; a configuration is short and worth seeing. */
function showInFull<T>(settings: T): T {
  if (typeof settings === 'object' && settings !== null && Object.isExtensible(settings))
    Object.defineProperty(settings, Symbol.for('nodejs.util.inspect.custom'), {
      enumerable: false,
      configurable: true,
      writable: true,
      value(this: object): string {
        try {
          return prettyConfig(this);
        } catch {
          // A schema may have made something of it that no file can hold.
          return inspect({ ...this }, { depth: null });
        }
      },
    });
  return settings;
}

const require = createRequire(import.meta.url);

/** Loaded at first use: most programs have no configuration file, and `import 'kymo'` is to be quick. */
function loadYaml(): typeof Yaml {
  return require('yaml') as typeof Yaml;
}
