// Which run a piece of telemetry belongs to, in which scope and mode, and what sinks call its series.
import type {
  AnyValue,
  Attributes,
  LogRecord,
  Resource,
  Scope,
  Series,
  SpanRecord,
} from '../../otlp/model.ts';
import {
  FOREIGN_RUN_IDS,
  GLOBAL_SCOPE,
  MODE,
  RANK,
  RUN_ATTEMPT,
  RUN_GROUP,
  RUN_ID,
  RUN_JOB_TYPE,
  RUN_NAME,
  RUN_TAGS,
  SCOPE,
  SERVICE_INSTANCE_ID,
  SERVICE_NAME,
  STEP_METRIC,
} from '../../semconv/names.ts';
import { USUALLY_CASE_SENSITIVE } from '../../semconv/run-folder.ts';
import { createRunFolders, MAX_RUN_ID_CHARACTERS, parseRunId } from './folder.ts';
import type { ResolvedSeries, Run, RunFolder, RunId } from './run.ts';
import { capName, fullName, modeOf, sinkName } from './series-name.ts';

/** Runs kept so that equal ones are one object. One that fell out is made again; nothing is lost by it. */
export const MAX_INTERNED_RUNS = 4_096;
/** Names, groups, projects and instance ids end here, as run ids do. */
const MAX_TEXT_CHARACTERS = 1_024;
/** Scopes and modes become part of every name of their series. */
const MAX_SCOPE_CHARACTERS = 500;
const MAX_MODE_CHARACTERS = 100;
const MAX_TAGS = 100;
/** What OpenTelemetry calls a service that gives no name. */
const UNKNOWN_SERVICE = 'unknown_service';
/** The first attempt, and that of senders that do not count. */
export const FIRST_ATTEMPT = 1;
const NS_PER_DAY = 86_400_000_000_000n;
const NO_ATTRIBUTES: Attributes = Object.freeze(Object.create(null) as Attributes);

export interface Place {
  readonly run: Run;
  readonly scope: string;
}

/**
 * A pure function of what it is given: the same telemetry and received time mean the same run and names, in every process
 * and after any restart. Objects are shared where possible, so identity may be used as a cache key, never as proof of difference.
 */
export interface Resolver {
  /** Also for a histogram's series. */
  series(series: Omit<Series, 'kind'>, receivedUnixNano: bigint): ResolvedSeries;
  log(record: LogRecord, receivedUnixNano: bigint): Place;
  span(record: SpanRecord, receivedUnixNano: bigint): Place;
}

export interface ResolverOptions {
  /** Of the file system that holds the run folders. By default what the platform usually has, as the SDK takes it for `run.dir`. */
  readonly caseSensitive?: boolean;
  readonly maxRuns?: number;
}

export function createResolver(options: ResolverOptions = {}): Resolver {
  const caseSensitive = options.caseSensitive ?? USUALLY_CASE_SENSITIVE;
  const runs = new RunTable(createRunFolders({ caseSensitive }), options.maxRuns ?? MAX_INTERNED_RUNS);
  /** Series live as long as their request; the day matters only where it names the run. */
  const resolvedSeries = new WeakMap<object, { readonly day: bigint; readonly resolved: ResolvedSeries }>();

  const place = (own: Attributes, scope: Scope, resource: Resource, day: bigint): Place => ({
    run: runs.find(own, scope, resource, day),
    scope:
      nearestText(SCOPE, own, scope.attributes, resource.attributes, MAX_SCOPE_CHARACTERS) || GLOBAL_SCOPE,
  });

  return {
    series(series, receivedUnixNano) {
      const day = receivedUnixNano / NS_PER_DAY;
      const cached = resolvedSeries.get(series);
      if (cached !== undefined && cached.day === day) return cached.resolved;
      const { attributes, name } = series;
      const where = place(attributes, series.scope, series.resource, day);
      const explicit = nearestText(
        MODE,
        attributes,
        series.scope.attributes,
        series.resource.attributes,
        MAX_MODE_CHARACTERS,
      );
      const resolved = nameSeries(where, explicit, name, attributes);
      resolvedSeries.set(series, { day, resolved });
      return resolved;
    },
    log(record, receivedUnixNano) {
      return place(record.attributes, record.scope, record.resource, receivedUnixNano / NS_PER_DAY);
    },
    span(record, receivedUnixNano) {
      return place(record.attributes, record.scope, record.resource, receivedUnixNano / NS_PER_DAY);
    },
  };
}

/** A series at a place. `explicitMode` is empty where nobody gave one. */
export function nameSeries(
  where: Place,
  explicitMode: string,
  name: string,
  attributes: Attributes,
): ResolvedSeries {
  const mode = modeOf(explicitMode, name);
  return {
    run: where.run,
    scope: where.scope,
    mode,
    sinkName: sinkName(fullName(where.scope, mode, name, attributes), where.run.rank),
    companion: name === STEP_METRIC,
  };
}

/** The explicit mode of a log record or span; empty where there is none. */
export function explicitMode(record: {
  readonly attributes: Attributes;
  readonly scope: Scope;
  readonly resource: Resource;
}): string {
  const { attributes, scope, resource } = record;
  return nearestText(MODE, attributes, scope.attributes, resource.attributes, MAX_MODE_CHARACTERS);
}

/** What a resource says about a run when nothing nearer does. */
interface ResourceRuns {
  /** `kymo.run.id` here, else undefined. */
  readonly id: RunId | undefined;
  /** The run of everything under the resource that names none itself; per day where the day is part of the id. */
  readonly byDay: boolean;
  day: bigint;
  run: Run | undefined;
}

class RunTable {
  readonly #folderOf: (id: RunId) => RunFolder;
  readonly #limit: number;
  /** Least recently used first. */
  readonly #runs = new Map<string, Run>();
  readonly #resources = new WeakMap<Resource, ResourceRuns>();
  /** Scopes that name neither run nor rank nor attempt: nearly all. */
  readonly #plainScopes = new WeakMap<Scope, boolean>();

  constructor(folderOf: (id: RunId) => RunFolder, limit: number) {
    this.#folderOf = folderOf;
    this.#limit = limit;
  }

  find(own: Attributes, scope: Scope, resource: Resource, day: bigint): Run {
    let known = this.#resources.get(resource);
    if (known === undefined) {
      const { attributes } = resource;
      const id = idIn(attributes, RUN_ID);
      const named = id !== undefined || FOREIGN_RUN_IDS.some(key => idIn(attributes, key) !== undefined);
      const byDay = !named && textOf(attributes[SERVICE_INSTANCE_ID]) === '';
      known = { id, byDay, day, run: undefined };
      this.#resources.set(resource, known);
    }
    let plain = this.#plainScopes.get(scope);
    if (plain === undefined) {
      plain = isPlain(scope.attributes);
      this.#plainScopes.set(scope, plain);
    }
    if (!plain || !isPlain(own)) return this.#resolve(own, scope.attributes, resource.attributes, day);
    if (known.run === undefined || (known.byDay && known.day !== day)) {
      known.run = this.#resolve(NO_ATTRIBUTES, NO_ATTRIBUTES, resource.attributes, day);
      known.day = day;
    }
    return known.run;
  }

  #resolve(own: Attributes, scope: Attributes, resource: Attributes, day: bigint): Run {
    const project = capName(textOf(resource[SERVICE_NAME]) || UNKNOWN_SERVICE, MAX_TEXT_CHARACTERS);
    const instance = capName(textOf(resource[SERVICE_INSTANCE_ID]), MAX_TEXT_CHARACTERS);
    const id = findId(own, scope, resource) ?? ownId(project, instance, day);
    // A process may have several runs under one resource: what that says about its own run is not said about another.
    const namedHere = findId(NO_ATTRIBUTES, NO_ATTRIBUTES, resource);
    const about = namedHere === undefined || namedHere === id ? resource : NO_ATTRIBUTES;
    const say = (key: string) => nearestText(key, own, scope, about, MAX_TEXT_CHARACTERS);
    const tags = own[RUN_TAGS] ?? scope[RUN_TAGS] ?? about[RUN_TAGS];
    return this.#intern({
      id,
      project,
      name: say(RUN_NAME) || id,
      group: say(RUN_GROUP),
      jobType: say(RUN_JOB_TYPE),
      tags: tagList(tags),
      instance,
      rank: nearestCount(RANK, own, scope, resource) ?? 0,
      attempt: nearestCount(RUN_ATTEMPT, own, scope, about) ?? FIRST_ATTEMPT,
    });
  }

  #intern(found: Omit<Run, 'folder'>): Run {
    // As JSON, because any separator may stand in a name. Everything counts: what a sender says later must not depend
    // on what happened to be kept from before.
    const key = JSON.stringify(Object.values(found));
    let run = this.#runs.get(key);
    if (run === undefined) {
      run = Object.freeze({ ...found, folder: this.#folderOf(found.id) });
      if (this.#runs.size >= this.#limit) {
        const oldest = this.#runs.keys().next().value;
        if (oldest !== undefined) this.#runs.delete(oldest);
      }
    } else {
      this.#runs.delete(key);
    }
    this.#runs.set(key, run);
    return run;
  }
}

/** Says nothing about the run: the resource decides. */
function isPlain(attributes: Attributes): boolean {
  if (attributes[RUN_ID] !== undefined || attributes[RANK] !== undefined) return false;
  if (attributes[RUN_ATTEMPT] !== undefined || attributes[RUN_NAME] !== undefined) return false;
  if (attributes[RUN_GROUP] !== undefined || attributes[RUN_JOB_TYPE] !== undefined) return false;
  if (attributes[RUN_TAGS] !== undefined) return false;
  for (const key of FOREIGN_RUN_IDS) if (attributes[key] !== undefined) return false;
  return true;
}

/** Nearest `kymo.run.id`; only then the foreign ids, each nearest first too. */
function findId(own: Attributes, scope: Attributes, resource: Attributes): RunId | undefined {
  for (const key of [RUN_ID, ...FOREIGN_RUN_IDS]) {
    const id = idIn(own, key) ?? idIn(scope, key) ?? idIn(resource, key);
    if (id !== undefined) return id;
  }
  return undefined;
}

/** An id that is too long still tells its run from others by the hash at its end. */
function idIn(attributes: Attributes, key: string): RunId | undefined {
  const value = attributes[key];
  return value === undefined ? undefined : parseRunId(capName(textOf(value), MAX_RUN_ID_CHARACTERS));
}

/** A sender without a run id: one run per process, or per service and day where processes cannot be told apart. */
function ownId(project: string, instance: string, day: bigint): RunId {
  const last = instance || new Date(Number(day) * 86_400_000).toISOString().slice(0, 10);
  return parseRunId(capName(`${project}/${last}`, MAX_RUN_ID_CHARACTERS))!;
}

function nearestText(
  key: string,
  own: Attributes,
  scope: Attributes,
  resource: Attributes,
  limit: number,
): string {
  const text = textOf(own[key]) || textOf(scope[key]) || textOf(resource[key]);
  return text.length <= limit ? text : capName(text, limit);
}

function nearestCount(
  key: string,
  own: Attributes,
  scope: Attributes,
  resource: Attributes,
): number | undefined {
  return countOf(own[key]) ?? countOf(scope[key]) ?? countOf(resource[key]);
}

function textOf(value: AnyValue | undefined): string {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean'
    ? String(value)
    : '';
}

/** A whole number from 0 on; also as text, which is how `OTEL_RESOURCE_ATTRIBUTES` gives every value. */
function countOf(value: AnyValue | undefined): number | undefined {
  const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

function tagList(value: AnyValue | undefined): readonly string[] {
  const list = Array.isArray(value) ? value : typeof value === 'string' ? value.split(',') : [];
  const tags: string[] = [];
  for (const item of list as readonly AnyValue[]) {
    const tag = capName(textOf(item).trim(), MAX_TEXT_CHARACTERS);
    if (tag !== '' && !tags.includes(tag)) tags.push(tag);
    if (tags.length === MAX_TAGS) break;
  }
  return Object.freeze(tags);
}
