// All runs under aggregation: which batch concerns which, when their intervals are closed, and what is kept over a restart.
import { groupRows } from '../../../otlp/rows.ts';
import type { Batch, CommittedState, ScalarBatch } from '../../component.ts';
import { changedBatch } from '../../feed/changed-batch.ts';
import { pickPoints } from '../../feed/select.ts';
import type { Resolver } from '../../runs/resolve.ts';
import type { Run } from '../../runs/run.ts';
import { IDLE_NANO, MAX_OPEN_WINDOWS, MAX_RUNS } from './limits.ts';
import { withResults } from './results.ts';
import { type Count, type Result, type RunState, RunWindows } from './run-windows.ts';
import { type AggregateSettings, type MetricSettings, metricsOf } from './settings.ts';
import { type Kind, type Place, type Reader, rawName, readBatch } from './sources.ts';

const FORMAT = 1;

export interface AggregatorOptions {
  /** The process that results are said to come from. */
  readonly instance: string;
  /** Only metrics for it are made. */
  readonly exporter: string;
  readonly resolver: Resolver;
  readonly settings: AggregateSettings;
  readonly count: Count;
}

interface State {
  readonly format: number;
  readonly clock: number;
  readonly runs: readonly RunState[];
}

export class Aggregator {
  readonly #options: AggregatorOptions;
  readonly #byName: ReadonlyMap<string, MetricSettings>;
  readonly #bySource: ReadonlyMap<string, readonly MetricSettings[]>;
  /** By id and attempt, least recently heard of first. */
  readonly #runs = new Map<string, RunWindows>();
  /** Of the journal, ns as a double. */
  #clock = 0;
  readonly #touched = new Set<RunWindows>();

  constructor(options: AggregatorOptions) {
    this.#options = options;
    const { exporter, settings } = options;
    const metrics = metricsOf(settings).filter(
      metric =>
        (metric.log_to?.includes(exporter) ?? true) &&
        (metric.log_frequency_steps > 0 || metric.log_frequency_seconds > 0),
    );
    this.#byName = new Map(metrics.map(metric => [metric.name, metric]));
    const bySource = new Map<string, MetricSettings[]>();
    for (const metric of metrics) {
      const source = metric.rate_numerator_event ?? metric.raw_event_name ?? metric.name;
      bySource.set(source, [...(bySource.get(source) ?? []), metric]);
    }
    this.#bySource = bySource;
  }

  process(batch: Batch): Batch | undefined {
    this.#clock = Math.max(this.#clock, Number(batch.receivedUnixNano));
    this.#touched.clear();
    readBatch(batch, this.#reader);
    const found: { run: RunWindows; results: Result[] }[] = [];
    const collect = (run: RunWindows, results: Result[]): void => {
      if (results.length > 0) found.push({ run, results });
    };
    for (const run of this.#touched) collect(run, run.close(false));
    // One after the other, so that what is closed does not depend on how the journal was read.
    for (const [key, run] of this.#runs) {
      if (run.clock > this.#clock - IDLE_NANO && this.#runs.size <= MAX_RUNS) break;
      collect(run, run.close(true));
      this.#runs.delete(key);
    }
    for (const run of this.#touched) collect(run, this.#makeRoom(run));
    const kept = this.#options.settings.keep_sources ? batch : this.#withoutSources(batch);
    if (found.length === 0) return kept;
    const { instance, resolver } = this.#options;
    return withResults(kept ?? emptied(batch), found, instance, resolver);
  }

  state(): CommittedState {
    const runs = [...this.#runs.values()].map(run => run.toState());
    const state: State = { format: FORMAT, clock: this.#clock, runs };
    return { ...state };
  }

  restore(committed: CommittedState): void {
    if (committed === undefined) return;
    const { format, clock, runs } = committed as unknown as State;
    if (format !== FORMAT)
      throw new Error(
        `aggregate: the state in the cursor has format ${String(format)}, this Kymo reads ${FORMAT}: run the version that wrote it`,
      );
    this.#clock = clock;
    for (const state of runs) {
      const run = RunWindows.fromState(state, this.#byName, this.#windowsOptions());
      this.#runs.set(keyOf(state.about), run);
    }
  }

  readonly #reader: Reader = {
    wants: name => this.#bySource.has(name),
    reached: (place, step, at, worldSize) => this.#runOf(place.run).reached(place, step, at, worldSize),
    take: (place, value) => {
      const run = this.#runOf(place.run);
      for (const metric of this.#bySource.get(value.name) ?? [])
        if (isFrom(metric, place.kind)) run.take(metric, place, value);
      run.passBy(place, value.step, value.at);
    },
    life: (of, what, at) => {
      const run = this.#runOf(of);
      if (what === 'start') run.begin(of.instance);
      else if (what === 'heartbeat') run.alive(of.instance, at);
      else run.end(of.instance);
    },
  };

  /** Heard of just now. */
  #runOf(of: Run): RunWindows {
    const key = keyOf(of);
    let run = this.#runs.get(key);
    if (run !== undefined && this.#touched.has(run)) return run;
    if (run === undefined) {
      const { id, project, name, group, jobType, tags, attempt } = of;
      run = new RunWindows({ id, project, name, group, jobType, tags, attempt }, this.#windowsOptions());
    } else this.#runs.delete(key);
    this.#runs.set(key, run);
    this.#touched.add(run);
    run.clock = this.#clock;
    return run;
  }

  #windowsOptions() {
    const { settings, count } = this.#options;
    return { maxWaitNano: settings.max_wait * 1e6, keepSources: settings.keep_sources, count };
  }

  /** Closes what is oldest in a run until all runs together have few enough windows. */
  #makeRoom(run: RunWindows): Result[] {
    let open = 0;
    for (const each of this.#runs.values()) open += each.open;
    const results: Result[] = [];
    for (; open > MAX_OPEN_WINDOWS && run.open > 0; open--) results.push(...run.closeOne());
    return results;
  }

  #withoutSources(batch: Batch): Batch | undefined {
    const scalars = batch.scalars === undefined ? undefined : this.#otherPoints(batch.scalars);
    const logs = batch.logs.filter(log => !this.#isSource(rawName(log), 'event'));
    if (scalars === batch.scalars && logs.length === batch.logs.length) return batch;
    const left = (scalars?.columns.count ?? 0) + logs.length + batch.histograms.length + batch.spans.length;
    if (left === 0) return undefined;
    return changedBatch(batch, { scalars, logs }, NO_BYTES);
  }

  #otherPoints(scalars: ScalarBatch): ScalarBatch | undefined {
    const { columns, resolved } = scalars;
    const isSource = columns.series.map(
      (series, i) => !resolved[i]!.companion && this.#isSource(series.name, 'scalar'),
    );
    if (!isSource.includes(true)) return scalars;
    const points: number[] = [];
    for (let i = 0; i < columns.count; i++) if (!isSource[columns.seriesIndex[i]!]) points.push(i);
    if (points.length === 0) return undefined;
    const picked = pickPoints(columns, points);
    return { columns: picked, resolved, rows: groupRows(picked) };
  }

  #isSource(name: string, kind: Kind): boolean {
    return this.#bySource.get(name)?.some(metric => isFrom(metric, kind)) === true;
  }
}

const NO_BYTES = 'had its aggregated events taken out, so its bytes cannot be forwarded';

function emptied(batch: Batch): Batch {
  return changedBatch(batch, { scalars: undefined, histograms: [], logs: [], spans: [] }, NO_BYTES);
}

function isFrom({ from }: MetricSettings, kind: Place['kind']): boolean {
  return from === 'any' || (from === 'events') === (kind === 'event');
}

function keyOf({ id, attempt }: Pick<Run, 'id' | 'attempt'>): string {
  return `${attempt} ${id}`;
}
