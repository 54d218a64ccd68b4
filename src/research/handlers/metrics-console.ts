// Prints metrics on stderr every so many steps, one line per step: `[P] Step 100: lr = 0.0010, losses { policy=0.1234, value=0.5000 }`.
import { GLOBAL_SCOPE } from '../../semconv/names.ts';
import { printable } from '../../semconv/printable.ts';
import { checkOptions, wrongType } from '../checks.ts';
import type { Handler, HandlerEvent, RowEvent } from './event.ts';
import { writeLine } from './terminal.ts';

export interface MetricsConsoleOptions {
  /** Default: `kymo.metrics-console`. */
  readonly name?: string;
  /** What stands in the brackets. Default: the run's project. */
  readonly prefix?: string;
  /** Steps that it divides are printed, step 0 too. Default: 1, every step. */
  readonly every?: number;
  /** Takes a whole line without its line break. Default: stderr. */
  readonly write?: (line: string) => void;
}

export const METRICS_CONSOLE_NAME = 'kymo.metrics-console';
const OPTIONS = ['name', 'prefix', 'every', 'write'] as const;
/** Scopes whose step is collected at once; beyond it the oldest is printed as it is. */
const MAX_OPEN_STEPS = 1_000;
/** Names of one line; the rest is only counted. */
const MAX_SHOWN_NAMES = 200;
const DECIMALS = 4;

/** The values of one step of one scope so far. */
interface OpenStep {
  readonly prefix: string;
  readonly scope: string;
  readonly runId: string;
  readonly step: number;
  readonly values: Map<string, number | bigint>;
}

/**
 * A step's rows are collected until the scope goes on to another step, its run ends or the handler is closed: so all of them
 * are in its one line. Values without a step belong to the step under way. Histograms and media are left out.
 */
export class MetricsConsole implements Handler {
  readonly name: string;
  readonly #prefix: string | undefined;
  readonly #every: number;
  readonly #write: (line: string) => void;
  /** Oldest first. */
  readonly #open = new Map<string, OpenStep>();

  constructor(options: MetricsConsoleOptions = {}) {
    checkOptions('MetricsConsole', options, OPTIONS);
    const { name = METRICS_CONSOLE_NAME, prefix, every = 1, write = writeLine } = options;
    if (prefix !== undefined && typeof prefix !== 'string')
      throw wrongType('MetricsConsole({prefix})', 'a string', prefix);
    if (!Number.isSafeInteger(every) || every < 1)
      throw wrongType('MetricsConsole({every})', 'a whole number of steps from 1 on', every);
    if (typeof write !== 'function')
      throw wrongType('MetricsConsole({write})', 'a function that takes a line', write);
    this.name = name;
    this.#prefix = prefix;
    this.#every = every;
    this.#write = write;
  }

  handle(event: HandlerEvent): void {
    const prefix = this.#prefix ?? event.run.project;
    if (event.kind === 'row') this.#collect(event, prefix);
    else if (event.kind === 'config') {
      const names = Object.keys(event.values);
      if (names.length === 0) return;
      const shown = names.slice(0, MAX_SHOWN_NAMES).map(name => `${name}=${shownValue(event.values[name])}`);
      this.#write(
        `[${printable(prefix)}] Hyperparameters: ${printable(shown.join(', '))}${more(names.length)}`,
      );
    } else if (event.kind === 'run' && event.state !== 'running') {
      for (const [key, open] of this.#open) if (open.runId === event.run.id) this.#print(key, open);
    }
  }

  close(): void {
    for (const [key, open] of this.#open) this.#print(key, open);
  }

  #collect(event: RowEvent, prefix: string): void {
    const key = `${event.scope}\0${event.run.id}`;
    let open = this.#open.get(key);
    if (event.step !== undefined && event.step !== open?.step) {
      if (open !== undefined) this.#print(key, open);
      open = { prefix, scope: event.scope, runId: event.run.id, step: event.step, values: new Map() };
      if (this.#open.size >= MAX_OPEN_STEPS) {
        const [oldest] = this.#open;
        if (oldest !== undefined) this.#print(...oldest);
      }
      this.#open.set(key, open);
    }
    if (open === undefined || open.step % this.#every !== 0) return;
    for (const name of Object.keys(event.values)) open.values.set(name, event.values[name]!);
  }

  #print(key: string, { prefix, scope, step, values }: OpenStep): void {
    this.#open.delete(key);
    if (values.size === 0) return;
    const where = scope === GLOBAL_SCOPE ? '' : ` (${scope})`;
    const head = printable(`[${prefix}] Step ${step}${where}: `);
    this.#write(head + printable(tagsOf(values)) + more(values.size));
  }
}

/** `tag = v` for a name alone, `tag { k=v, … }` for the names that begin with `tag/`, in order of appearance. */
function tagsOf(values: ReadonlyMap<string, number | bigint>): string {
  const groups = new Map<string, string[]>();
  let shown = 0;
  for (const [name, value] of values) {
    if (shown++ === MAX_SHOWN_NAMES) break;
    const slash = name.indexOf('/');
    const inGroup = slash > 0 && slash + 1 < name.length;
    // No two of them meet: a name alone holds its whole text, a group ends in a slash.
    const key = inGroup ? name.slice(0, slash + 1) : name;
    const entry = inGroup ? `${name.slice(slash + 1)}=${fixed(value)}` : fixed(value);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [entry]);
    else group.push(entry);
  }
  return [...groups]
    .map(([key, entries]) =>
      key.endsWith('/') && key.length > 1
        ? `${key.slice(0, -1)} { ${entries.join(', ')} }`
        : `${key} = ${entries.join(', ')}`,
    )
    .join(', ');
}

function more(names: number): string {
  return names > MAX_SHOWN_NAMES ? ` and ${names - MAX_SHOWN_NAMES} more` : '';
}

function fixed(value: number | bigint): string {
  return typeof value === 'bigint' ? String(value) : value.toFixed(DECIMALS);
}

function shownValue(value: unknown): string {
  if (typeof value === 'string') return value;
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}
