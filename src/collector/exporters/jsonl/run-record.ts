// What is known about one run: identity, totals, metrics, processes. No files; all of it can be kept as JSON and continued exactly.
import { newAttributes } from '../../../otlp/attributes.ts';
import type { AnyValue, Attributes } from '../../../otlp/model.ts';
import { isMap, parseJson, valueJson } from '../../runs/json.ts';
import { type Counts, type LifecycleSnapshot, RunLifecycle } from '../../runs/lifecycle.ts';
import type { Run } from '../../runs/run.ts';
import { StepCounter, type StepCounts } from '../../runs/step-counter.ts';
import type { FileState } from './append-file.ts';
import { MAX_SUMMARY_BYTES } from './limits.ts';
import type { MediaState } from './media.ts';
import { type MetricDefinition, MetricDefinitions } from './metric-definitions.ts';
import { type Metric, MetricsTable, type PackedMetric } from './metrics-table.ts';

/** Version of `RunState` in cursors and side files, and of run.json. */
export const FORMAT = 1;

/** Lines in the files of a run, by kind; `points` are the values in rows. */
export interface Totals {
  points: number;
  rows: number;
  histograms: number;
  logs: number;
  spans: number;
  /** Events with and without their files. */
  media: number;
  artifacts: number;
  rollouts: number;
  evaluations: number;
}

export const FILE_KEYS = ['metrics', 'logs', 'spans', 'media', 'artifacts', 'rollouts', 'system'] as const;
export type FileKey = (typeof FILE_KEYS)[number];
export type FileStates = { readonly [key in FileKey]: FileState };
/** Listed in run.json also while they are empty. */
const USUAL_FILES: ReadonlySet<FileKey> = new Set(['metrics', 'logs', 'spans']);

/** What a run is continued from: in the cursor while it is open, in the state directory afterwards. */
export interface RunState {
  readonly format: typeof FORMAT;
  readonly folder: string;
  /** Empty, or `.<writer>` in the names of all files, when another writer has the plain ones. */
  readonly part: string;
  /** Journal position behind the last batch that is in here, and the latest received time (Unix ns) of one. */
  readonly position: number;
  readonly received: string;
  /** A run of an earlier version has fewer. */
  readonly files: Partial<FileStates>;
  readonly identity: Identity;
  readonly totals: Readonly<Totals>;
  readonly steps: readonly [number, number] | null;
  readonly created: string;
  /** The instance whose lines do not name it: the first one seen. */
  readonly firstInstance: string | null;
  readonly metrics: readonly PackedMetric[];
  readonly lifecycle: LifecycleSnapshot;
  readonly counts: StepCounts;
  /** As JSON text, because numbers in it may be what JSON.stringify does not keep. */
  readonly summary: string;
  readonly definitions?: readonly MetricDefinition[];
  readonly media?: MediaState;
  /** See `Rollouts`. */
  readonly awaited?: readonly string[];
}

/** What the run's media and rollouts want kept. */
export interface RunExtras {
  readonly media: MediaState | undefined;
  readonly awaited: readonly string[];
}

export interface Identity {
  readonly id: string;
  readonly project: string;
  readonly name: string;
  readonly group: string;
  readonly jobType: string;
  readonly tags: readonly string[];
}

export class RunRecord {
  identity: Identity;
  readonly totals: Totals;
  readonly metrics: MetricsTable;
  readonly lifecycle: RunLifecycle;
  readonly steps: StepCounter;
  readonly definitions: MetricDefinitions;
  /** The instance whose lines do not name it: the first one seen. */
  firstInstance: string | undefined;
  #lowestStep: number;
  #highestStep: number;
  #created: bigint;
  #position: number;
  #received: bigint;
  #summary: Attributes;

  constructor(identity: Identity, state?: RunState) {
    this.identity = state?.identity ?? identity;
    this.totals = { ...NO_TOTALS, ...state?.totals };
    this.metrics = new MetricsTable(state?.metrics);
    this.lifecycle = new RunLifecycle(state?.lifecycle);
    this.steps = new StepCounter(state?.counts);
    this.definitions = new MetricDefinitions(state?.definitions);
    this.firstInstance = state?.firstInstance ?? undefined;
    this.#lowestStep = state?.steps?.[0] ?? Number.POSITIVE_INFINITY;
    this.#highestStep = state?.steps?.[1] ?? Number.NEGATIVE_INFINITY;
    this.#created = BigInt(state?.created ?? 0);
    this.#position = state?.position ?? 0;
    this.#received = BigInt(state?.received ?? 0);
    const summary = state === undefined ? undefined : parseJson(state.summary);
    this.#summary = isMap(summary) ? summary : newAttributes();
  }

  /** True for a batch that is in here already: the journal is read again from an older place. */
  has(position: number, receivedUnixNano: bigint): boolean {
    // The received time too: after the journal was replaced by a new one, positions begin again, time does not.
    return position < this.#position && receivedUnixNano <= this.#received;
  }

  /** Notes a batch as taken. */
  took(next: number, receivedUnixNano: bigint): void {
    this.#position = next;
    if (receivedUnixNano > this.#received) this.#received = receivedUnixNano;
    if (this.#created === 0n) this.#created = receivedUnixNano;
  }

  /** What a sender says about the run; empty says nothing. */
  describe(run: Run): void {
    this.firstInstance ??= run.instance;
    const known = this.identity;
    const own = run.name === run.id;
    if (
      (own || run.name === known.name) &&
      (run.group === '' || run.group === known.group) &&
      (run.jobType === '' || run.jobType === known.jobType) &&
      (run.tags.length === 0 || run.tags === known.tags)
    ) {
      return;
    }
    this.identity = {
      ...known,
      name: own ? known.name : run.name,
      group: run.group || known.group,
      jobType: run.jobType || known.jobType,
      tags: run.tags.length === 0 ? known.tags : run.tags,
    };
  }

  step(step: number): void {
    if (step < this.#lowestStep) this.#lowestStep = step;
    if (step > this.#highestStep) this.#highestStep = step;
  }

  /** False when the summary would become too large; it then stays as it was. */
  mergeSummary(values: Attributes): boolean {
    const merged = mergeMaps(this.#summary, values);
    if (valueJson(merged).length > MAX_SUMMARY_BYTES) return false;
    this.#summary = merged;
    return true;
  }

  state(folder: string, part: string, files: FileStates, { media, awaited }: RunExtras): RunState {
    const definitions = this.definitions.list;
    return {
      format: FORMAT,
      folder,
      part,
      position: this.#position,
      received: this.#received.toString(),
      files,
      identity: this.identity,
      totals: { ...this.totals },
      steps: this.#lowestStep <= this.#highestStep ? [this.#lowestStep, this.#highestStep] : null,
      created: this.#created.toString(),
      firstInstance: this.firstInstance ?? null,
      metrics: this.metrics.packed(),
      lifecycle: this.lifecycle.snapshot(),
      counts: this.steps.snapshot(),
      summary: valueJson(this.#summary),
      ...(definitions.length > 0 && { definitions }),
      ...(media !== undefined && { media }),
      ...(awaited.length > 0 && { awaited }),
    };
  }

  /**
   * run.json. A function of what was taken, never of the clock: the same journal gives the same file. `mediaWaiting`: contents and events
   * of which something is still to come.
   */
  document(
    writer: string,
    fileNames: Readonly<Record<FileKey, string>>,
    files: FileStates,
    mediaWaiting: number,
  ): string {
    const { identity, lifecycle } = this;
    const instances = [...lifecycle.instances];
    const ended = lifecycle.state === 'running' ? undefined : latest(instances.map(one => one.finished));
    const exitCode = instances.findLast(one => one.exitCode !== undefined)?.exitCode;
    const listed = [...this.metrics.listed];
    const listedPoints = listed.reduce((sum, metric) => sum + metric.count, 0);
    const steps = this.#lowestStep <= this.#highestStep;
    return valueJson(
      map({
        format: FORMAT,
        id: identity.id,
        name: identity.name,
        project: identity.project,
        group: identity.group || undefined,
        job_type: identity.jobType || undefined,
        tags: identity.tags.length > 0 ? identity.tags : undefined,
        state: lifecycle.state,
        exit_code: exitCode,
        created: isoTime(earliest(this.#created, lifecycle.attempts)),
        updated: isoTime(this.#received),
        finished: ended === undefined ? undefined : isoTime(ended),
        totals: totalsOf(this.totals),
        media_waiting: mediaWaiting || undefined,
        steps: steps ? map({ first: this.#lowestStep, last: this.#highestStep }) : undefined,
        emitted: sum(instances.map(one => one.emitted)),
        dropped: sum(instances.map(one => one.dropped)),
        metrics: named(listed.map(metric => [metric.name, metricEntry(metric, this.definitions)])),
        metric_definitions: this.definitions.document(),
        points_of_other_metrics: this.totals.points - listedPoints || undefined,
        summary: this.#summary,
        attempts: lifecycle.attempts.map(one =>
          map({ attempt: one.attempt, started: isoTime(BigInt(one.started)), resume_step: one.resumeStep }),
        ),
        superseded: lifecycle.superseded.map(one => map({ attempt: one.attempt, from_step: one.fromStep })),
        instance: this.firstInstance,
        instances: instances.map(one =>
          map({
            instance: one.instance,
            rank: one.rank,
            attempt: one.attempt,
            state: one.state,
            announced: one.announced,
            started: isoTime(BigInt(one.started)),
            finished: one.finished === undefined ? undefined : isoTime(BigInt(one.finished)),
            last_seen: isoTime(BigInt(one.lastSeen)),
            exit_code: one.exitCode,
          }),
        ),
        instances_not_listed: lifecycle.unlisted || undefined,
        files: named(
          FILE_KEYS.filter(key => USUAL_FILES.has(key) || files[key].length > 0).map(key => [
            fileNames[key],
            map({
              bytes: files[key].length,
              missing_bytes: files[key].missing || undefined,
              adopted_bytes: files[key].adopted || undefined,
            }),
          ]),
        ),
        writer,
      }),
      true,
    );
  }
}

const NO_TOTALS: Totals = {
  points: 0,
  rows: 0,
  histograms: 0,
  logs: 0,
  spans: 0,
  media: 0,
  artifacts: 0,
  rollouts: 0,
  evaluations: 0,
};

/** The first five always; the others once there are some. */
function totalsOf({ media, artifacts, rollouts, evaluations, ...usual }: Totals): Attributes {
  return map({
    ...usual,
    media: media || undefined,
    artifacts: artifacts || undefined,
    rollouts: rollouts || undefined,
    evaluations: evaluations || undefined,
  });
}

function metricEntry(metric: Metric, definitions: MetricDefinitions): Attributes {
  const anyFinite = metric.min <= metric.max;
  const definition = definitions.find(metric.ownName, metric.name);
  const goal = anyFinite ? definition?.goal : undefined;
  return map({
    last: metric.last,
    last_step: metric.lastStep,
    min: anyFinite ? metric.min : undefined,
    max: anyFinite ? metric.max : undefined,
    mean: anyFinite && !Number.isNaN(metric.sum) ? metric.sum / (metric.count - metric.nonfinite) : undefined,
    best: goal === undefined ? undefined : goal === 'minimize' ? metric.min : metric.max,
    best_step: goal === undefined ? undefined : goal === 'minimize' ? metric.minStep : metric.maxStep,
    count: metric.count,
    nonfinite: metric.nonfinite || undefined,
    summary: definition?.summary === undefined ? undefined : [...definition.summary],
    step_metric: definition?.stepMetric,
  });
}

/** `into` with the entries of `from`; maps in both are merged, everything else is replaced. */
export function mergeMaps(into: Attributes, from: Attributes): Attributes {
  const merged = newAttributes();
  for (const key of Object.keys(into)) merged[key] = into[key]!;
  for (const key of Object.keys(from)) {
    const old = merged[key];
    const value = from[key]!;
    merged[key] = isMap(old) && isMap(value) ? mergeMaps(old, value) : value;
  }
  return merged;
}

/** Milliseconds are enough for people; lines have more digits. */
function isoTime(unixNano: bigint): string {
  return new Date(Number(unixNano / 1_000_000n)).toISOString();
}

/** A map without the entries that are undefined. */
function map(entries: Readonly<Record<string, AnyValue | undefined>>): Attributes {
  return named(Object.entries(entries));
}
function named(entries: readonly (readonly [string, AnyValue | undefined])[]): Attributes {
  const result = newAttributes();
  for (const [key, value] of entries) if (value !== undefined) result[key] = value;
  return result;
}

function latest(times: readonly (string | undefined)[]): bigint | undefined {
  let found: bigint | undefined;
  for (const time of times)
    if (time !== undefined && (found === undefined || BigInt(time) > found)) found = BigInt(time);
  return found;
}

/** Undefined when nobody reported anything. */
function sum(counts: readonly (Counts | undefined)[]): Attributes | undefined {
  const total = newAttributes();
  let any = false;
  for (const one of counts) {
    for (const [name, count] of Object.entries(one ?? {})) {
      total[name] = ((total[name] as number | undefined) ?? 0) + count;
      any = true;
    }
  }
  return any ? total : undefined;
}

/** When the run began: the clock of its first launch where that says so, else when the first of it came in. */
function earliest(received: bigint, attempts: readonly { readonly started: string }[]): bigint {
  let first = received;
  for (const { started } of attempts) {
    const at = BigInt(started);
    if (at > 0n && at < first) first = at;
  }
  return first;
}
