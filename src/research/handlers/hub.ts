// Which handlers are attached where, and bringing events to them: prefix scopes, one call per handler, errors kept away from callers.
import { environmentValue } from '../../semconv/env.ts';
import { GLOBAL_SCOPE } from '../../semconv/names.ts';
import { coversScope } from '../../semconv/scopes.ts';
import { shown } from '../checks.ts';
import { tell } from '../complaints.ts';
import type { EventRun, Handler, HandlerEvent } from './event.ts';

/** Attached to it, a handler hears every scope. */
export const ANY_SCOPE = '*';
/** Handlers of one process; each event asks all of them once per scope. */
const MAX_HANDLERS = 1_000;
/** Scopes of one handler. */
const MAX_SCOPES = 10_000;
/** Promises that handlers have returned and that `finish` would wait for. Beyond it a handler is only watched. */
const MAX_PENDING = 10_000;
const DEFAULT_PATIENCE_MS = 10_000;

/** A handler that was made by name, so that another process can make it too. */
export interface Recipe {
  readonly name: string;
  readonly module: string | undefined;
  readonly options: unknown;
}

interface Attached {
  readonly handler: Handler;
  readonly name: string;
  readonly recipe: Recipe | undefined;
  readonly scopes: Set<string>;
  /** It is handling an event right now: what it logs meanwhile is not brought to it again. */
  busy: boolean;
  failures: number;
}

/** Shared by duplicate installs of one process, like the runtime. */
interface Hub {
  /** The one thing that a call looks at while nobody listens. */
  listening: boolean;
  /** Changes with every attach and detach. */
  version: number;
  attached: readonly Attached[];
  /** Promises under way, with the handler's name. */
  readonly pending: Map<Promise<unknown>, string>;
  /** Runs open: while there are any, the end of the process is theirs to tell before handlers are closed. */
  runs: number;
  exitWatched: boolean;
}

const HUB = Symbol.for('kymo.handlers.v1');
const holder = globalThis as { [HUB]?: Hub };
holder[HUB] ??= {
  listening: false,
  version: 0,
  attached: [],
  pending: new Map(),
  runs: 0,
  exitWatched: false,
};
/** `listening` is worth asking before an event is made. */
export const hub: Hub = holder[HUB];

/** Who says something: a scope of a run. Remembers who listens to it. */
export class EventOrigin {
  readonly run: EventRun;
  readonly scope: string;
  readonly logger: string;
  private version = -1;
  private listeners: readonly Attached[] = [];

  constructor(run: EventRun, scope: string, logger: string) {
    this.run = { id: run.id, name: run.name, project: run.project };
    this.scope = scope;
    this.logger = logger;
  }

  /** @param make called once per handler that hears this scope, so that each has an event of its own */
  publish(make: (origin: EventOrigin) => HandlerEvent): void {
    if (this.version !== hub.version) {
      this.listeners = hub.attached.filter(
        ({ scopes }) => scopes.has(ANY_SCOPE) || coversScope(scopes, this.scope),
      );
      this.version = hub.version;
    }
    for (const attached of this.listeners) deliver(attached, () => attached.handler.handle(make(this)));
  }
}

/** Adds scopes to the handler of this name, or attaches `handler` under it. */
export function attachHandler(
  handler: Handler,
  scopes: readonly string[],
  recipe: Recipe | undefined,
): Handler {
  const known = find(handler.name);
  if (known !== undefined) {
    addScopes(known, scopes);
    return known.handler;
  }
  if (hub.attached.length >= MAX_HANDLERS)
    throw new RangeError(`kymo: attach: ${MAX_HANDLERS} handlers are attached already; detach some`);
  const attached: Attached = {
    handler,
    name: handler.name,
    recipe,
    scopes: new Set(),
    busy: false,
    failures: 0,
  };
  if (!deliver(attached, () => handler.open?.())) return handler;
  addScopes(attached, scopes);
  change([...hub.attached, attached]);
  watchExit();
  return handler;
}

/** The handler attached under this name, its own or that of its recipe. */
export function find(name: string): Attached | undefined {
  return (
    hub.attached.find(attached => attached.name === name) ??
    hub.attached.find(attached => attached.recipe?.name === name)
  );
}

export function addScopes(attached: Attached, scopes: readonly string[]): void {
  for (const scope of scopes) {
    if (attached.scopes.size >= MAX_SCOPES)
      throw new RangeError(`kymo: attach: ${shown(attached.name)} has ${MAX_SCOPES} scopes already`);
    attached.scopes.add(scope);
  }
  hub.version++;
}

/** Takes scopes from a handler, all of them by default; without any left it is closed. */
export function detachHandler(attached: Attached, scope: string | undefined): void {
  if (scope === undefined) attached.scopes.clear();
  else attached.scopes.delete(scope);
  if (attached.scopes.size > 0) hub.version++;
  else {
    change(hub.attached.filter(other => other !== attached));
    close(attached);
  }
}

/** Closes every handler, at the end of the process. */
export function closeHandlers(): void {
  const all = hub.attached;
  change([]);
  for (const attached of all) close(attached);
}

/** Resolves once what handlers have returned so far is settled, or after `KYMO_EXIT_TIMEOUT_MS`; says whom it leaves. */
export async function handlersSettled(): Promise<void> {
  if (hub.pending.size === 0) return;
  const configured = Number(environmentValue('KYMO_EXIT_TIMEOUT_MS') ?? DEFAULT_PATIENCE_MS);
  const patienceMs = Number.isFinite(configured) && configured >= 0 ? configured : DEFAULT_PATIENCE_MS;
  let timer: NodeJS.Timeout | undefined;
  const waited = [...hub.pending.keys()];
  await Promise.race([
    Promise.allSettled(waited),
    new Promise<void>(resolve => {
      timer = setTimeout(resolve, patienceMs);
    }),
  ]);
  clearTimeout(timer);
  const late = new Set(waited.map(promise => hub.pending.get(promise)).filter(name => name !== undefined));
  for (const promise of waited) hub.pending.delete(promise);
  if (late.size > 0)
    tell(`not waiting any longer for ${[...late].map(shown).join(', ')}: no end after ${patienceMs} ms`);
}

function close(attached: Attached): void {
  attached.busy = false;
  deliver(attached, () => attached.handler.close?.());
  if (attached.failures > 1) tell(`handler ${shown(attached.name)} failed ${attached.failures} times in all`);
}

function change(attached: readonly Attached[]): void {
  hub.attached = attached;
  hub.listening = attached.length > 0;
  hub.version++;
}

/** False when it threw. What a promise rejects with later is told as well. */
function deliver(attached: Attached, call: () => unknown): boolean {
  if (attached.busy) return true;
  attached.busy = true;
  try {
    const result = call();
    if (isThenable(result)) watch(attached, Promise.resolve(result));
    return true;
  } catch (error) {
    failed(attached, error);
    return false;
  } finally {
    attached.busy = false;
  }
}

function watch(attached: Attached, result: Promise<unknown>): void {
  const done = result.then(
    () => undefined,
    error => failed(attached, error),
  );
  if (hub.pending.size >= MAX_PENDING) return;
  hub.pending.set(done, attached.name);
  void done.then(() => hub.pending.delete(done));
}

function failed(attached: Attached, error: unknown): void {
  attached.failures++;
  if (attached.failures > 1) return;
  let text: string;
  try {
    text = error instanceof Error ? (error.stack ?? String(error)) : String(error);
  } catch {
    text = 'an error that cannot be shown';
  }
  tell(`handler ${shown(attached.name)} failed; further failures are only counted\n${text}`);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}

function watchExit(): void {
  if (hub.exitWatched) return;
  hub.exitWatched = true;
  process.on('exit', () => {
    if (hub.runs === 0) closeHandlers();
  });
}

/** Where a handler listens that says nothing about it. */
export const DEFAULT_SCOPES: readonly string[] = [GLOBAL_SCOPE];
