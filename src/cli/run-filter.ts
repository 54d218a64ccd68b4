// `--filter` and `--sort`: what can be asked of a run, and how two answers compare.
import { didYouMean } from '../collector/config/problem.ts';
import { UsageError } from './command.ts';
import { entryIn, type Json, numberOf, type RunEntry, readConfig } from './run-folder.ts';

const FIELDS = [
  'id',
  'name',
  'project',
  'group',
  'job_type',
  'tag',
  'state',
  'attempts',
  'steps',
  'duration',
  'created',
  'updated',
] as const;
type Field = (typeof FIELDS)[number];
const STATISTICS = ['last', 'min', 'max', 'mean', 'best', 'count'] as const;
const OPERATORS = ['!=', '>=', '<=', '!~', '=', '>', '<', '~'] as const;
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** One thing a run can be asked for; an array means any of them. */
type Value = string | number | boolean | undefined | readonly string[];
export type Condition = (run: RunEntry) => boolean;

/** `state=failed`, `loss<0.1`, `name~ppo`, `config.lr>=1e-3`, `tag=best`, `duration>2h`. Throws `UsageError`. */
export function parseCondition(text: string): Condition {
  const found = /^(.+?)(!=|>=|<=|!~|=|>|<|~)(.*)$/s.exec(text);
  if (found === null)
    throw new UsageError(`--filter "${text}": write KEY and one of ${OPERATORS.join(' ')} and a value`);
  const [, key = '', operator = '', wanted = ''] = found;
  const read = readerOf(key.trim());
  const value = wanted.trim();
  return run => {
    const actual = read(run);
    const all = Array.isArray(actual)
      ? (actual as readonly string[])
      : [actual as Exclude<Value, readonly string[]>];
    if (operator === '!=') return !all.some(one => matches(one, '=', value));
    if (operator === '!~') return !all.some(one => matches(one, '~', value));
    return all.some(one => matches(one, operator, value));
  };
}

/** Compares runs by a key; those that do not have it come last in either direction. */
export function comparison(key: string, descending: boolean): (a: RunEntry, b: RunEntry) => number {
  const read = readerOf(key);
  const sortable = (run: RunEntry): string | number | undefined => {
    const value = read(run);
    if (typeof value === 'number') return Number.isNaN(value) ? undefined : value;
    return value === undefined ? undefined : String(value);
  };
  const sign = descending ? -1 : 1;
  return (a, b) => {
    const x = sortable(a);
    const y = sortable(b);
    if (x === undefined || y === undefined) return x === y ? 0 : x === undefined ? 1 : -1;
    if (typeof x === 'number' && typeof y === 'number') return sign * (x - y);
    return sign * (String(x) < String(y) ? -1 : String(x) > String(y) ? 1 : 0);
  };
}

/** Keys that no run has are mistakes: says so when a list of runs knows none of them. */
export function checkKey(key: string, runs: readonly RunEntry[]): void {
  const name = key.replace(/:[a-z]+$/, '');
  if (runs.length === 0 || isField(name) || /^(config|summary)\./.test(name)) return;
  const metrics = new Set(runs.flatMap(run => [...run.metrics.keys()]));
  if (metrics.has(name) || metrics.has(key)) return;
  throw new UsageError(
    `no run has "${name}"${didYouMean(name, [...FIELDS, ...metrics])}; there are ${FIELDS.join(', ')}, metrics, config.KEY and summary.KEY`,
  );
}

/** The key of a condition, for `checkKey`. */
export function keyOf(condition: string): string {
  return (/^(.+?)(!=|>=|<=|!~|=|>|<|~)/s.exec(condition)?.[1] ?? '').trim();
}

function isField(key: string): key is Field {
  return (FIELDS as readonly string[]).includes(key);
}

function readerOf(key: string): (run: RunEntry) => Value {
  if (isField(key)) return run => fieldOf(run, key);
  if (key.startsWith('config.')) return run => scalar(at(configOf(run), key.slice('config.'.length)));
  if (key.startsWith('summary.'))
    return run => scalar(at(run.document.summary, key.slice('summary.'.length)));
  return run => metricOf(run, key);
}

function fieldOf(run: RunEntry, field: Field): Value {
  switch (field) {
    case 'id':
      return run.id;
    case 'name':
      return run.name;
    case 'project':
      return run.project;
    case 'group':
      return run.group;
    case 'job_type':
      return run.jobType;
    case 'tag':
      return run.tags;
    case 'state':
      return run.silent ? [run.state, 'silent'] : run.state;
    case 'attempts':
      return run.attempts;
    case 'steps':
      return run.steps?.last;
    case 'duration':
      return run.durationMs / 1_000;
    case 'created':
      return iso(run.created);
    case 'updated':
      return iso(run.updated);
  }
}

/** `loss` is its last value; `loss:min` another statistic. A name may have a colon of its own. */
export function metricOf(run: RunEntry, key: string): number | undefined {
  const whole = run.metrics.get(key);
  if (whole !== undefined) return whole.last;
  const colon = key.lastIndexOf(':');
  const statistic = STATISTICS.find(one => one === key.slice(colon + 1));
  return colon < 0 || statistic === undefined ? undefined : run.metrics.get(key.slice(0, colon))?.[statistic];
}

function configOf(run: RunEntry): Json | undefined {
  try {
    return readConfig(run.path);
  } catch {
    // A config that cannot be read has no value to compare; `kymo show` says why.
    return undefined;
  }
}

/** `model.layers` is a path of keys, or a key with a dot in it. */
function at(value: Json | undefined, path: string): Json | undefined {
  const whole = entryIn(value, path);
  if (whole !== undefined) return whole;
  const dot = path.indexOf('.');
  return dot < 0 ? undefined : at(entryIn(value, path.slice(0, dot)), path.slice(dot + 1));
}

function scalar(value: Json | undefined): Value {
  if (value === undefined || typeof value === 'number' || typeof value === 'boolean') return value;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function matches(actual: string | number | boolean | undefined, operator: string, wanted: string): boolean {
  if (actual === undefined || actual === '') return operator === '=' && wanted === '';
  if (operator === '~') return String(actual).toLowerCase().includes(wanted.toLowerCase());
  const number = numberFrom(wanted);
  if (typeof actual === 'number' && number !== undefined) {
    if (operator === '=') return Object.is(actual, number) || actual === number;
    if (operator === '<') return actual < number;
    if (operator === '>') return actual > number;
    return operator === '<=' ? actual <= number : actual >= number;
  }
  const text = String(actual);
  if (operator === '=') return text === wanted;
  if (operator === '<') return text < wanted;
  if (operator === '>') return text > wanted;
  return operator === '<=' ? text <= wanted : text >= wanted;
}

/** A number, or a duration in seconds: `2h`, `90s`. */
function numberFrom(text: string): number | undefined {
  if (text === 'NaN') return Number.NaN;
  const unit = /^([0-9.]+)([smhd])$/.exec(text);
  if (unit !== null) return Number(unit[1]) * UNITS[unit[2]!]!;
  const value = numberOf(text === '' ? undefined : /nfinity$/.test(text) ? text : Number(text));
  return Number.isNaN(value) ? undefined : value;
}

function iso(unixMs: number): string | undefined {
  return Number.isNaN(unixMs) ? undefined : new Date(unixMs).toISOString();
}
