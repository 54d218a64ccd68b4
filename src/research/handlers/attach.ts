// `attach` and `detach`, and the handlers that are known by name, which the processes that a run starts rebuild.
import { realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { checkOptions, kindOf, nearest, shown, wrongType } from '../checks.ts';
import { tell } from '../complaints.ts';
import { CONSOLE_NAME, ConsoleHandler, type ConsoleOptions } from './console.ts';
import type { Handler } from './event.ts';
import { addScopes, attachHandler, DEFAULT_SCOPES, detachHandler, find, hub, type Recipe } from './hub.ts';
import { METRICS_CONSOLE_NAME, MetricsConsole, type MetricsConsoleOptions } from './metrics-console.ts';

const MAX_SCOPE_LENGTH = 200;
const MAX_NAME_LENGTH = 200;
/** What the environment is asked to carry; systems allow 128 KiB for one variable, and all of them share 1 or 2 MiB. */
const MAX_EXPORTED_BYTES = 32 * 1024;
const VARIABLE = 'KYMO_HANDLERS';

export interface AttachOptions {
  /** Dotted scopes; the handler hears them and what is below them. `*` is every scope. Default: the handler's own, else `global`. */
  readonly scopes?: readonly string[];
  /** For a handler attached by name: what its factory gets. JSON, because other processes get it too. */
  readonly options?: unknown;
}

/** Makes a handler from what `attach` was given as options. */
export type HandlerFactory = (options: unknown) => Handler;

export interface RegisterOptions {
  /**
   * `import.meta.url` of the module that registers: processes that a run starts load it when they have not yet. Not used where
   * it is the program itself, which nobody wants to run a second time: give such a handler a file of its own.
   */
  readonly module?: string;
}

interface Registered {
  readonly factory: HandlerFactory;
  readonly module: string | undefined;
}

/** A handler that KYMO_HANDLERS asks for. Without a name: every handler that the module registers. */
interface Entry {
  readonly name: string | undefined;
  readonly module: string | undefined;
  readonly scopes: readonly string[] | undefined;
  readonly options: unknown;
}

interface Registry {
  readonly factories: Map<string, Registered>;
  /** Entries with a name for which no handler has been made so far; undefined before the variable was read. */
  waiting: Entry[] | undefined;
  /** Entries without one. */
  modules: readonly Entry[];
  /** The run has started: what is registered from now on is attached at once if an entry waits for it. */
  started: boolean;
  /** The entry whose module is being loaded. */
  loading: Entry | undefined;
}

const REGISTRY = Symbol.for('kymo.handler-registry.v1');
const holder = globalThis as { [REGISTRY]?: Registry };
holder[REGISTRY] ??= {
  factories: new Map([
    [CONSOLE_NAME, own(options => new ConsoleHandler(options as ConsoleOptions | undefined))],
    [METRICS_CONSOLE_NAME, own(options => new MetricsConsole(options as MetricsConsoleOptions | undefined))],
  ]),
  waiting: undefined,
  modules: [],
  started: false,
  loading: undefined,
};
const registry: Registry = holder[REGISTRY];

/**
 * Lets `handler` hear what loggers of these scopes say, and of the scopes below them: text, rows, histograms, media, a run's
 * start and end. Whoever is attached to several matching scopes is called once. A handler whose name is attached already is
 * not: its scopes are added to the first. It is opened once.
 *
 * A text names a handler that was made known with `registerHandler`; the processes that a run starts then have it too.
 *
 * Throws a TypeError when `handler` is none. What a handler throws is told once and never reaches the caller.
 *
 * @example
 * attach({ name: 'alerts', handle: event => { if (event.kind === 'log' && event.severity >= 17) page(event.message); } });
 */
export function attach(handler: Handler | string, options: AttachOptions = {}): void {
  checkOptions('attach', options, ['scopes', 'options']);
  if (options.scopes !== undefined) checkScopes('attach({scopes})', options.scopes);
  if (typeof handler === 'string') {
    attachByName(handler, options);
    return;
  }
  if (options.options !== undefined)
    throw new TypeError(
      'kymo: attach({options}) are for a handler attached by name; this one is made already',
    );
  checkHandler('attach(handler)', handler);
  attachHandler(handler, options.scopes ?? handler.scopes ?? DEFAULT_SCOPES, undefined);
}

/**
 * Takes one scope, or all, from a handler; without any left it is closed. Throws an Error when no handler of that name is
 * attached (to that scope).
 */
export function detach(name: string, scope?: string): void {
  if (typeof name !== 'string') throw wrongType('detach(name)', 'the name of a handler', name);
  if (scope !== undefined && typeof scope !== 'string')
    throw wrongType('detach(name, scope)', 'a scope', scope);
  const attached = find(name);
  if (attached === undefined) {
    const names = hub.attached.map(other => other.name);
    throw new Error(`kymo: detach: no handler ${shown(name)} is attached${hint(name, names)}`);
  }
  if (scope !== undefined && !attached.scopes.has(scope)) {
    const scopes = [...attached.scopes];
    throw new Error(`kymo: detach: ${shown(name)} is not attached to ${shown(scope)}${hint(scope, scopes)}`);
  }
  detachHandler(attached, scope);
  if (attached.recipe !== undefined) exportHandlers();
}

/**
 * Makes a handler known by name, so that `attach(name)` makes one, here and in the processes that a run starts. A second
 * factory of a name replaces the first; what is attached stays.
 *
 * @example
 * registerHandler('alerts', options => new Alerts(options), { module: import.meta.url });
 * attach('alerts', { scopes: ['eval'], options: { above: 0.9 } });
 */
export function registerHandler(name: string, factory: HandlerFactory, options: RegisterOptions = {}): void {
  checkName('registerHandler(name)', name);
  if (typeof factory !== 'function')
    throw wrongType('registerHandler(name, factory)', 'a function that makes a handler', factory);
  checkOptions('registerHandler', options, ['module']);
  const { module } = options;
  if (module !== undefined && (typeof module !== 'string' || !module.startsWith('file:')))
    throw wrongType('registerHandler({module})', 'the import.meta.url of a file', module);
  const { loading } = registry;
  registry.factories.set(name, {
    factory,
    module: module === undefined ? loading?.module : isProgram(module) ? undefined : module,
  });
  if (loading !== undefined && loading.name === undefined) rebuild({ ...loading, name });
  else if (registry.started) attachWaiting();
}

/** When a run starts: what KYMO_HANDLERS asks for is attached, once. */
export function attachInherited(): void {
  if (registry.started) return;
  registry.started = true;
  const named = waitingEntries();
  for (const entry of [...registry.modules, ...named])
    if (entry.name === undefined || !registry.factories.has(entry.name)) load(entry);
  attachWaiting();
}

/** Known by name in every process. */
function own(factory: HandlerFactory): Registered {
  return { factory, module: undefined };
}

/** @internal Whoever sets a handler of this name anew does not want the one that was passed on as well. */
export function forgetInherited(name: string): void {
  registry.waiting = waitingEntries().filter(entry => entry.name !== name);
}

function attachByName(name: string, { scopes, options }: AttachOptions): void {
  const known = find(name);
  if (known !== undefined) addScopes(known, scopes ?? known.handler.scopes ?? DEFAULT_SCOPES);
  else {
    const registered = registry.factories.get(name);
    if (registered === undefined) {
      const names = [...registry.factories.keys()];
      throw new Error(
        `kymo: attach: no handler ${shown(name)} is registered${hint(name, names)}. Exporters of the collector get their scopes in its configuration`,
      );
    }
    const recipe = { name, module: registered.module, options: asJson('attach({options})', options) };
    build(registered.factory, recipe, scopes);
  }
  exportHandlers();
}

function build(factory: HandlerFactory, recipe: Recipe, scopes: readonly string[] | undefined): void {
  const handler = factory(recipe.options);
  checkHandler(`the factory of ${shown(recipe.name)}`, handler);
  attachHandler(handler, scopes ?? handler.scopes ?? DEFAULT_SCOPES, recipe);
}

function attachWaiting(): void {
  for (const entry of [...waitingEntries()])
    if (entry.name !== undefined && registry.factories.has(entry.name)) rebuild(entry);
}

/** Attaches what an entry asks for. Nobody has called for it, so nothing is thrown. */
function rebuild(entry: Entry): void {
  registry.waiting = waitingEntries().filter(other => other !== entry);
  const name = entry.name!;
  const registered = registry.factories.get(name)!;
  const known = find(name);
  try {
    if (known !== undefined) addScopes(known, entry.scopes ?? known.handler.scopes ?? DEFAULT_SCOPES);
    else build(registered.factory, { name, module: registered.module, options: entry.options }, entry.scopes);
    exportHandlers();
  } catch (error) {
    tell(`${VARIABLE}: handler ${shown(name)} cannot be made: ${messageOf(error)}`);
  }
}

/** Loads the module of an entry, which registers its handlers. Synchronous, so that no event is missed. */
function load(entry: Entry): void {
  const { module } = entry;
  if (module === undefined) return;
  const outer = registry.loading;
  registry.loading = entry;
  try {
    createRequire(import.meta.url)(fileURLToPath(module));
    if (entry.name !== undefined && !registry.factories.has(entry.name))
      tell(`${VARIABLE}: ${fileURLToPath(module)} registers no handler ${shown(entry.name)}`);
  } catch (error) {
    // The module is this program's own and runs right now: it will register its handler by itself.
    const { code } = error instanceof Error ? (error as { code?: unknown }) : {};
    if (code !== 'ERR_REQUIRE_CYCLE_MODULE')
      tell(`${VARIABLE}: ${module} cannot be loaded: ${messageOf(error)}`);
  } finally {
    registry.loading = outer;
  }
}

/** Processes started from now on rebuild the handlers that were attached by name. */
function exportHandlers(): void {
  const waiting = waitingEntries();
  const own = hub.attached.flatMap(({ recipe, scopes }): Entry[] =>
    recipe === undefined ? [] : [{ ...recipe, scopes: [...scopes] }],
  );
  const entries = [...registry.modules, ...own, ...waiting];
  if (entries.length === 0) {
    delete process.env[VARIABLE];
    return;
  }
  const text = JSON.stringify(entries);
  if (Buffer.byteLength(text) > MAX_EXPORTED_BYTES) {
    tell(`handlers of more than ${MAX_EXPORTED_BYTES} bytes are not passed on to other processes`);
    return;
  }
  process.env[VARIABLE] = text;
}

function waitingEntries(): Entry[] {
  if (registry.waiting === undefined) {
    const entries = readEntries(process.env[VARIABLE]);
    registry.waiting = entries.filter(entry => entry.name !== undefined);
    registry.modules = entries.filter(entry => entry.name === undefined);
  }
  return registry.waiting;
}

/** `./alerts.js,./other.js`, or the JSON list that `exportHandlers` writes. */
function readEntries(text: string | undefined): Entry[] {
  const trimmed = text?.trim() ?? '';
  if (trimmed === '') return [];
  let list: unknown[] = trimmed.split(',').map(path => path.trim());
  if (trimmed.startsWith('[')) {
    try {
      const parsed: unknown = JSON.parse(trimmed);
      list = Array.isArray(parsed) ? parsed : [];
    } catch {
      tell(`${VARIABLE} is neither a list of module paths nor JSON; left out`);
      return [];
    }
  }
  return list.flatMap(item => {
    if (item === '') return [];
    const entry = readEntry(item);
    if (entry === undefined) tell(`${VARIABLE}: ${shown(String(item))} names no module or handler; left out`);
    return entry ?? [];
  });
}

function readEntry(item: unknown): Entry | undefined {
  const parts = typeof item === 'string' ? { module: item } : item;
  if (typeof parts !== 'object' || parts === null) return undefined;
  const { name, module, scopes, options } = parts as Record<string, unknown>;
  if (name !== undefined && (typeof name !== 'string' || name === '')) return undefined;
  if (module !== undefined && typeof module !== 'string') return undefined;
  if (name === undefined && module === undefined) return undefined;
  if (scopes !== undefined && !(Array.isArray(scopes) && scopes.every(isScope))) return undefined;
  const url = module === undefined ? undefined : moduleUrl(module);
  if (url === null) return undefined;
  return { name, module: url, scopes, options };
}

/** A file, from the working directory on; null for what is none. */
function moduleUrl(module: string): string | null {
  if (module.startsWith('file:')) return URL.canParse(module) ? module : null;
  // `node:`, `http:` and the like; one letter is a drive of Windows.
  if (/^[a-z][a-z0-9+.-]+:/i.test(module)) return null;
  return pathToFileURL(resolve(module)).href;
}

/** Whether the file is the one that this process was started with. */
function isProgram(module: string): boolean {
  const program = process.argv[1];
  if (program === undefined) return false;
  try {
    const path = fileURLToPath(module);
    // `node train` runs train.js.
    return [program, realpathSync(program)].some(
      one => path === one || path.replace(/\.[a-z]+$/, '') === one,
    );
  } catch {
    return false;
  }
}

function checkHandler(argument: string, handler: unknown): asserts handler is Handler {
  const expected = 'a handler such as {name: "alerts", handle: event => …}';
  if (typeof handler !== 'object' || handler === null) throw wrongType(argument, expected, handler);
  const { name, handle, open, close, scopes } = handler as Record<string, unknown>;
  checkName(`${argument}: name`, name);
  if (typeof handle !== 'function') throw wrongType(`${argument}: handle`, 'a function of an event', handle);
  for (const [key, value] of [
    ['open', open],
    ['close', close],
  ])
    if (value !== undefined && typeof value !== 'function')
      throw wrongType(`${argument}: ${key as string}`, 'a function', value);
  if (scopes !== undefined) checkScopes(`${argument}: scopes`, scopes);
}

function checkName(argument: string, name: unknown): void {
  if (typeof name !== 'string' || name === '' || name.length > MAX_NAME_LENGTH)
    throw wrongType(argument, `a string of 1 to ${MAX_NAME_LENGTH} characters`, name);
}

/** @internal */
export function checkScopes(argument: string, scopes: unknown): void {
  if (!Array.isArray(scopes) || scopes.length === 0) throw wrongType(argument, 'a list of scopes', scopes);
  for (const scope of scopes)
    if (!isScope(scope))
      throw wrongType(argument, `a list of strings of 1 to ${MAX_SCOPE_LENGTH} characters`, scope);
}

function isScope(scope: unknown): scope is string {
  return typeof scope === 'string' && scope !== '' && scope.length <= MAX_SCOPE_LENGTH;
}

/** What another process would get. */
function asJson(argument: string, value: unknown): unknown {
  if (value === undefined) return undefined;
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    // Told below.
  }
  if (text === undefined) throw wrongType(argument, 'JSON, as other processes get it too', value);
  return JSON.parse(text);
}

function hint(name: string, names: readonly string[]): string {
  const near = nearest(name, names);
  if (near !== undefined) return ` (did you mean ${shown(near)}?)`;
  return names.length === 0 ? ' (there is none)' : ` (there is ${names.map(shown).join(', ')})`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : kindOf(error);
}
