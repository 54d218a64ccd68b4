// The open intervals of one run: which values fall into which, and when one is complete.
import type { Run } from '../../runs/run.ts';
import { HEARTBEAT_SLACK_NANO, MAX_CONTRIBUTORS, MAX_SERIES } from './limits.ts';
import type { MetricSettings } from './settings.ts';
import type { Dimensions, Kind, Place, Value } from './sources.ts';
import { toNumber } from './sources.ts';
import { type Cell, Window, type WindowState } from './window.ts';

/** A result, on its way to becoming a point. */
export interface Result {
  readonly about: About;
  readonly scope: string;
  readonly mode: string;
  readonly dimensions: Dimensions;
  readonly name: string;
  readonly value: number;
  /** NaN for none. */
  readonly step: number;
  /** Unix ns as a double. */
  readonly at: number;
}

/** What results say about their run. */
export type About = Pick<Run, 'id' | 'project' | 'name' | 'group' | 'jobType' | 'tags' | 'attempt'>;

/** What is counted, by a name for people. */
export type Count = (what: 'late' | 'not_finite' | 'too_many_series', amount: number) => void;

/** One process, at one place: how far it has come. */
interface Contributor {
  step: number;
  at: number;
}

/** Processes that write into one scope, points or events: they are waited for by each other. */
interface Progress {
  readonly ranks: Set<number>;
  readonly contributors: Map<string, Contributor>;
}

/** One metric at one place. */
interface Series {
  readonly metric: MetricSettings;
  readonly kind: Kind;
  readonly scope: string;
  readonly mode: string;
  readonly dimensions: Dimensions;
  /** In order. */
  readonly windows: Window[];
  /** The highest that was closed. */
  closed: Cell | undefined;
  /** For rates: the end of the last interval, Unix ns. */
  endedAt: number;
  /** Values so far. */
  seen: number;
  lastStep: number;
}

export interface RunState {
  readonly about: About;
  readonly beganAt: number | null;
  readonly clock: number;
  readonly worldSize: number;
  readonly lastRowAt: string;
  readonly announced: readonly string[];
  readonly finished: readonly string[];
  readonly progress: readonly {
    readonly key: string;
    readonly ranks: readonly number[];
    readonly contributors: readonly (readonly [string, number | null, number])[];
  }[];
  readonly series: readonly {
    readonly metric: string;
    readonly kind: Kind;
    readonly scope: string;
    readonly mode: string;
    readonly dimensions: Dimensions;
    readonly windows: readonly WindowState[];
    readonly closed: Cell | null;
    readonly endedAt: number | null;
    readonly seen: number;
    readonly lastStep: number | null;
  }[];
}

export interface WindowsOptions {
  readonly maxWaitNano: number;
  /** Points that were aggregated go on as well: results must not have their names. */
  readonly keepSources: boolean;
  readonly count: Count;
}

export class RunWindows {
  readonly about: About;
  /** Of the journal, as seen by this run: ns as a double. */
  clock = 0;
  /** The time of the last row of results. */
  lastRowAt = 0n;
  /** How many windows are open. */
  open = 0;
  readonly #options: WindowsOptions;
  /** First time of anything: intervals of seconds are counted from here. */
  #beganAt = Number.NaN;
  #worldSize = 1;
  /** Processes that said they began, and have not ended. */
  readonly #announced = new Set<string>();
  readonly #finished = new Set<string>();
  readonly #progress = new Map<string, Progress>();
  readonly #series = new Map<string, Series>();
  /** Rates among them, by place: every event there concerns them. */
  readonly #rates = new Map<string, Series[]>();

  constructor(about: About, options: WindowsOptions) {
    this.about = about;
    this.#options = options;
  }

  begin(instance: string): void {
    if (this.#announced.size < MAX_CONTRIBUTORS) this.#announced.add(instance);
  }

  /** It lives, and what it sends from now on is not from before this. */
  alive(instance: string, at: number): void {
    for (const { contributors } of this.#progress.values()) {
      const contributor = contributors.get(instance);
      if (contributor !== undefined) contributor.at = Math.max(contributor.at, at - HEARTBEAT_SLACK_NANO);
    }
  }

  end(instance: string): void {
    this.#announced.delete(instance);
    if (this.#finished.size < MAX_CONTRIBUTORS) this.#finished.add(instance);
    for (const { contributors } of this.#progress.values()) contributors.delete(instance);
  }

  reached(place: Place, step: number, at: number, worldSize: number): void {
    if (Number.isNaN(this.#beganAt)) this.#beganAt = at;
    if (worldSize > this.#worldSize) this.#worldSize = worldSize;
    const progress = this.#progressOf(place);
    const { instance, rank } = place.run;
    if (progress.ranks.size < MAX_CONTRIBUTORS) progress.ranks.add(rank);
    if (this.#finished.has(instance)) return;
    const known = progress.contributors.get(instance);
    if (known !== undefined) {
      known.at = Math.max(known.at, at);
      if (!(step <= known.step)) known.step = Number.isNaN(step) ? known.step : step;
    } else if (progress.contributors.size < MAX_CONTRIBUTORS) {
      progress.contributors.set(instance, { step, at });
    }
  }

  /** For each metric that is made of it. */
  take(metric: MetricSettings, place: Place, { value, step, at, context }: Value): void {
    const { context_key: key } = metric;
    const number = key === undefined ? value : toNumber(context?.[key]);
    if (!Number.isFinite(number)) {
      // An event without the entry is none for this metric.
      if (key === undefined || context?.[key] !== undefined) this.#options.count('not_finite', 1);
      return;
    }
    const series = this.#seriesOf(metric, place);
    if (series === undefined) return;
    series.seen++;
    const window = this.#windowFor(series, place, step, at);
    window.touch(at, step);
    const episode = toNumber(context?.episode);
    window.add(number, at, Number.isFinite(episode) ? episode : series.seen);
  }

  /** An event that some rate may have nothing to do with: its interval has seen it, though. */
  passBy(place: Place, step: number, at: number): void {
    for (const series of this.#rates.get(progressKey(place)) ?? NO_SERIES)
      this.#windowFor(series, place, step, at).touch(at, step);
  }

  /** What is complete now. With `all`, everything. */
  close(all: boolean): Result[] {
    const results: Result[] = [];
    for (const series of this.#series.values()) {
      this.#notePassed(series);
      let closed = 0;
      for (const window of series.windows) {
        if (!all && !this.#isComplete(series, window)) break;
        this.#finish(series, window, results);
        closed++;
      }
      if (closed > 0) series.windows.splice(0, closed);
      this.open -= closed;
    }
    return results;
  }

  /** The oldest window of the longest row of them, when there are too many. */
  closeOne(): Result[] {
    let longest: Series | undefined;
    for (const series of this.#series.values())
      if (series.windows.length > (longest?.windows.length ?? 0)) longest = series;
    const window = longest?.windows.shift();
    if (longest === undefined || window === undefined) return [];
    this.open--;
    const results: Result[] = [];
    this.#finish(longest, window, results);
    return results;
  }

  /** From when on slower processes are waited for. Newer windows were not noted before, older ones were. */
  #notePassed(series: Series): void {
    // Who has begun and sent nothing here yet is waited for too, also when all others have ended.
    const isAwaited = this.#progressOf(series).contributors.size === 0 && this.#announced.size > 0;
    for (const window of series.windows.toReversed()) {
      if (!Number.isNaN(window.passedAt)) return;
      if (isAwaited || this.#passedBy(series, window) > 0) window.passedAt = this.clock;
    }
  }

  #isComplete(series: Series, window: Window): boolean {
    const { contributors, ranks } = this.#progressOf(series);
    if (contributors.size === 0 && this.#announced.size === 0) return true;
    if (this.clock - window.passedAt >= this.#options.maxWaitNano) return true;
    const passed = this.#passedBy(series, window);
    return (
      passed === contributors.size &&
      passed > 0 &&
      ranks.size >= this.#worldSize &&
      [...this.#announced].every(instance => contributors.has(instance))
    );
  }

  #passedBy(series: Series, window: Window): number {
    let passed = 0;
    for (const contributor of this.#progressOf(series).contributors.values())
      if (this.#hasPassed(series, window, contributor)) passed++;
    return passed;
  }

  #hasPassed({ metric }: Series, { cell }: Window, { step, at }: Contributor): boolean {
    const now = this.#cellOf(metric, step, at);
    return now.steps > cell.steps || now.seconds > cell.seconds;
  }

  #cellOf(metric: MetricSettings, step: number, at: number): Cell {
    const { log_frequency_steps: steps, log_frequency_seconds: seconds } = metric;
    return {
      // A multiple is the last step of its interval: there it is logged. The sum makes 0 of -0.
      steps: steps > 0 && Number.isFinite(step) ? Math.ceil(step / steps) + 0 : 0,
      seconds: seconds > 0 ? Math.floor((at - this.#beganAt) / (seconds * 1e9)) + 0 : 0,
    };
  }

  #windowFor(series: Series, place: Place, step: number, at: number): Window {
    const { windows, closed, metric } = series;
    const { steps, seconds } = metricAxes(metric);
    // Without a step it belongs where its process is.
    const known =
      Number.isNaN(step) && steps ? this.#progressOf(place).contributors.get(place.run.instance) : undefined;
    let cell = this.#cellOf(metric, known?.step ?? step, at);
    const late = closed !== undefined && cell.steps <= closed.steps && cell.seconds <= closed.seconds;
    if (late) {
      this.#options.count('late', 1);
      if (windows[0] !== undefined) return windows[0];
      cell = { steps: steps ? closed.steps + 1 : 0, seconds: seconds ? closed.seconds + 1 : 0 };
    }
    let i = windows.length;
    while (i > 0 && compare(windows[i - 1]!.cell, cell) > 0) i--;
    const before = windows[i - 1];
    if (before !== undefined && compare(before.cell, cell) === 0) return before;
    const window = new Window(cell);
    // Nobody may ever come past an interval that somebody went back to.
    if (late) window.passedAt = this.clock;
    windows.splice(i, 0, window);
    this.open++;
    return window;
  }

  #finish(series: Series, window: Window, results: Result[]): void {
    const { metric, closed } = series;
    const { cell } = window;
    const byTime = metricAxes(metric).seconds && !metricAxes(metric).steps;
    const length = metric.log_frequency_seconds * 1e9;
    let seconds = 0;
    let at = window.lastAt;
    if (metric.aggregation === 'rate') {
      const isWhole = byTime && this.#someoneBeyond(series, window);
      const start = byTime ? this.#beganAt + cell.seconds * length : series.endedAt;
      const end = isWhole ? start + length : window.lastAt;
      seconds = (end - (Number.isNaN(start) ? window.firstAt : start)) / 1e9;
      // An interval in which nothing at all happened had no window, but its rate was 0.
      if (byTime && closed !== undefined && cell.seconds > closed.seconds + 1)
        this.#result(series, 0, series.lastStep, start, 0, results);
      series.endedAt = end;
      at = end;
    }
    if (!(window.step <= series.lastStep) && !Number.isNaN(window.step)) series.lastStep = window.step;
    series.closed = {
      steps: Math.max(cell.steps, closed?.steps ?? cell.steps),
      seconds: Math.max(cell.seconds, closed?.seconds ?? cell.seconds),
    };
    const value = window.value(metric.aggregation, seconds);
    if (value === undefined) return;
    this.#result(series, value, window.step, at, window.episode, results);
  }

  /** The interval is over, and not only cut off by the end of its processes. */
  #someoneBeyond(series: Series, window: Window): boolean {
    if (!Number.isNaN(window.passedAt) || this.#passedBy(series, window) > 0) return true;
    return series.windows.at(-1) !== window;
  }

  #result(
    { metric, scope, mode, dimensions, kind }: Series,
    value: number,
    step: number,
    at: number,
    episode: number,
    results: Result[],
  ): void {
    const { about } = this;
    const name = this.#resultName(metric, kind);
    const x =
      metric.x_axis === 'global_step'
        ? step
        : metric.x_axis === 'episode'
          ? episode
          : Math.max(0, Math.floor((at - this.#beganAt) / 1e9));
    results.push({ about, scope, mode, dimensions, name, value, step: x, at });
  }

  /** Points of the same name would be one curve with their own mean: it is called after the aggregation too. */
  #resultName({ name, raw_event_name: source = name, aggregation }: MetricSettings, kind: Kind): string {
    const isTaken = kind === 'scalar' && source === name && this.#options.keepSources;
    return isTaken ? `${name}/${aggregation}` : name;
  }

  #progressOf({ kind, scope }: Pick<Place, 'kind' | 'scope'>): Progress {
    const key = progressKey({ kind, scope });
    let progress = this.#progress.get(key);
    if (progress === undefined) {
      progress = { ranks: new Set(), contributors: new Map() };
      this.#progress.set(key, progress);
    }
    return progress;
  }

  #seriesOf(metric: MetricSettings, { kind, scope, mode, dimensions }: Place): Series | undefined {
    const key = seriesKey(metric.name, kind, scope, mode, dimensions);
    let series = this.#series.get(key);
    if (series === undefined) {
      if (this.#series.size >= MAX_SERIES) {
        this.#options.count('too_many_series', 1);
        return undefined;
      }
      const fresh = { closed: undefined, endedAt: Number.NaN, seen: 0, lastStep: Number.NaN };
      series = { metric, kind, scope, mode, dimensions, windows: [], ...fresh };
      this.#keep(key, series);
    }
    return series;
  }

  #keep(key: string, series: Series): void {
    this.#series.set(key, series);
    if (series.metric.aggregation !== 'rate') return;
    const place = progressKey(series);
    this.#rates.set(place, [...(this.#rates.get(place) ?? NO_SERIES), series]);
  }

  toState(): RunState {
    return {
      about: this.about,
      beganAt: orNull(this.#beganAt),
      clock: this.clock,
      worldSize: this.#worldSize,
      lastRowAt: String(this.lastRowAt),
      announced: [...this.#announced],
      finished: [...this.#finished],
      progress: [...this.#progress].map(([key, { ranks, contributors }]) => ({
        key,
        ranks: [...ranks],
        contributors: [...contributors].map(
          ([instance, { step, at }]) => [instance, orNull(step), at] as const,
        ),
      })),
      series: [...this.#series.values()].map(({ metric, windows, closed, endedAt, lastStep, ...rest }) => ({
        ...rest,
        metric: metric.name,
        windows: windows.map(window => window.toState()),
        closed: closed ?? null,
        endedAt: orNull(endedAt),
        lastStep: orNull(lastStep),
      })),
    };
  }

  /** @param metrics by name; what is open of one that is no longer configured is let go */
  static fromState(
    state: RunState,
    metrics: ReadonlyMap<string, MetricSettings>,
    options: WindowsOptions,
  ): RunWindows {
    const run = new RunWindows(state.about, options);
    run.clock = state.clock;
    run.lastRowAt = BigInt(state.lastRowAt);
    run.#beganAt = state.beganAt ?? Number.NaN;
    run.#worldSize = state.worldSize;
    for (const instance of state.announced) run.#announced.add(instance);
    for (const instance of state.finished) run.#finished.add(instance);
    for (const { key, ranks, contributors } of state.progress) {
      const known = contributors.map(
        ([instance, step, at]) => [instance, { step: step ?? Number.NaN, at }] as const,
      );
      run.#progress.set(key, { ranks: new Set(ranks), contributors: new Map(known) });
    }
    for (const { metric: name, windows, closed, endedAt, lastStep, ...rest } of state.series) {
      const metric = metrics.get(name);
      if (metric === undefined) continue;
      const { kind, scope, mode, dimensions } = rest;
      run.#keep(seriesKey(name, kind, scope, mode, dimensions), {
        ...rest,
        metric,
        windows: windows.map(window => Window.fromState(window)),
        closed: closed ?? undefined,
        endedAt: endedAt ?? Number.NaN,
        lastStep: lastStep ?? Number.NaN,
      });
      run.open += windows.length;
    }
    return run;
  }
}

const NO_SERIES: readonly Series[] = [];

function progressKey({ kind, scope }: Pick<Place, 'kind' | 'scope'>): string {
  return `${kind} ${scope}`;
}

function seriesKey(...parts: readonly unknown[]): string {
  return JSON.stringify(parts);
}

function metricAxes({ log_frequency_steps: steps, log_frequency_seconds: seconds }: MetricSettings) {
  return { steps: steps > 0, seconds: seconds > 0 };
}

function compare(a: Cell, b: Cell): number {
  return a.steps - b.steps || a.seconds - b.seconds;
}

function orNull(number: number): number | null {
  return Number.isFinite(number) ? number : null;
}
