// One run as its folder says: run.json read with care, because anything may stand in it, or half of it.
import fs from 'node:fs';
import { basename, join } from 'node:path';

/** The version of run.json that this Kymo reads. */
const FORMAT = 1;
/** 500 metrics and 4,096 processes are far below it; what is larger was not written by Kymo. */
const MAX_RUN_JSON_BYTES = 16 * 1024 * 1024;
const MAX_CONFIG_BYTES = 16 * 1024 * 1024;
/** A living process says so every 10 s; after this the collector would have called it crashed, were there one. */
export const SILENT_MS = 60_000;
/** Not on Windows. It keeps a pipe called run.json from holding us up. */
const READ = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0);

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json | undefined;
}

/** What a table shows of a run. Times are Unix ms, NaN where unknown. */
export interface RunEntry {
  readonly path: string;
  readonly folder: string;
  readonly id: string;
  readonly name: string;
  readonly project: string;
  readonly group: string;
  readonly jobType: string;
  readonly tags: readonly string[];
  /** As run.json has it; `starting` before anything is in it. */
  readonly state: string;
  /** run.json says `running`, but nothing has come for a minute: neither data nor a sign of life. */
  readonly silent: boolean;
  readonly attempts: number;
  readonly steps: { readonly first: number; readonly last: number } | undefined;
  readonly created: number;
  readonly updated: number;
  readonly durationMs: number;
  readonly metrics: ReadonlyMap<string, MetricEntry>;
  /** Everything that run.json holds. */
  readonly document: JsonObject;
}
export interface MetricEntry {
  readonly last: number;
  readonly lastStep: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly best: number;
  readonly count: number;
}

export type ReadRun =
  | { readonly kind: 'run'; readonly run: RunEntry }
  /** Not a folder of Kymo's: no run.json. */
  | { readonly kind: 'foreign'; readonly folder: string }
  | { readonly kind: 'problem'; readonly folder: string; readonly reason: string };

/** Reads a run folder. Never throws. */
export function readRun(path: string, nowMs = Date.now()): ReadRun {
  const folder = basename(path);
  const problem = (reason: string): ReadRun => ({ kind: 'problem', folder, reason });
  let text: string | undefined;
  try {
    text = readSmallFile(join(path, 'run.json'), MAX_RUN_JSON_BYTES);
  } catch (error) {
    return problem(reasonOf(error));
  }
  if (text === undefined) return { kind: 'foreign', folder };
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return problem(
      text.trim() === '' ? 'run.json is empty' : 'run.json is no JSON: only half of it may have been written',
    );
  }
  if (!isObject(document)) return problem('run.json holds no object');
  if (typeof document.id !== 'string') return problem('run.json names no run id: it was not written by Kymo');
  if (typeof document.format === 'number' && document.format > FORMAT)
    return problem(
      `run.json has format ${document.format}, this Kymo reads ${FORMAT}: read it with a newer Kymo`,
    );
  return { kind: 'run', run: entryOf(path, folder, document, document.id, nowMs) };
}

/** The run's config.json; undefined where there is none. Throws for one that cannot be read. */
export function readConfig(path: string): JsonObject | undefined {
  const text = readSmallFile(join(path, 'config.json'), MAX_CONFIG_BYTES);
  if (text === undefined) return undefined;
  try {
    const config: unknown = JSON.parse(text);
    return isObject(config) ? config : undefined;
  } catch {
    throw new Error('config.json is no JSON: only half of it may have been written');
  }
}

/** Numbers as run.json writes them: what JSON has no number for is a string. */
export function numberOf(value: Json | undefined): number {
  if (typeof value === 'number') return value;
  return value === 'Infinity' || value === '-Infinity' ? Number(value) : Number.NaN;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An own entry: `constructor` is a metric like any other, or none. */
export function entryIn(object: Json | undefined, key: string): Json | undefined {
  return isObject(object) && Object.hasOwn(object, key) ? object[key] : undefined;
}

/** A regular file's text; undefined where there is none. Throws for anything else, and for what is too large. */
export function readSmallFile(path: string, maxBytes: number): string | undefined {
  let fd: number;
  try {
    fd = fs.openSync(path, READ);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFile()) throw new Error(`${basename(path)} is not a regular file`);
    if (stat.size > maxBytes) throw new Error(`${basename(path)} is larger than ${maxBytes} bytes`);
    return fs.readFileSync(fd, 'utf8');
  } finally {
    fs.closeSync(fd);
  }
}

export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'EACCES' || code === 'EPERM') return 'not readable: permission denied';
  return code === undefined ? message : `not readable: ${code}`;
}

function entryOf(path: string, folder: string, document: JsonObject, id: string, nowMs: number): RunEntry {
  const state = text(document.state) || 'starting';
  const created = time(document.created);
  const updated = time(document.updated);
  const finished = time(document.finished);
  const first = numberOf(entryIn(document.steps, 'first'));
  const last = numberOf(entryIn(document.steps, 'last'));
  const end = Number.isNaN(finished) ? updated : finished;
  let metrics: ReadonlyMap<string, MetricEntry> | undefined;
  return {
    path,
    folder,
    id,
    name: text(document.name) || id,
    project: text(document.project),
    group: text(document.group),
    jobType: text(document.job_type),
    tags: Array.isArray(document.tags) ? document.tags.filter(tag => typeof tag === 'string') : [],
    state,
    silent: (state === 'running' || state === 'starting') && nowMs - (updated || 0) > SILENT_MS,
    attempts: Array.isArray(document.attempts) ? Math.max(1, document.attempts.length) : 1,
    steps: Number.isNaN(first) || Number.isNaN(last) ? undefined : { first, last },
    created,
    updated,
    durationMs: Math.max(0, end - created),
    // Of a thousand runs few are shown.
    get metrics() {
      metrics ??= metricsOf(document.metrics);
      return metrics;
    },
    document,
  };
}

function metricsOf(value: Json | undefined): ReadonlyMap<string, MetricEntry> {
  const metrics = new Map<string, MetricEntry>();
  if (!isObject(value)) return metrics;
  for (const [name, entry] of Object.entries(value)) {
    if (!isObject(entry)) continue;
    metrics.set(name, {
      last: numberOf(entry.last),
      lastStep: numberOf(entry.last_step),
      min: numberOf(entry.min),
      max: numberOf(entry.max),
      mean: numberOf(entry.mean),
      best: numberOf(entry.best),
      count: numberOf(entry.count),
    });
  }
  return metrics;
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}

function time(value: Json | undefined): number {
  return typeof value === 'string' ? Date.parse(value) : Number.NaN;
}
