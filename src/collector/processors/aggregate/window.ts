// One interval of one metric: what its values come to so far, in a few numbers that JSON keeps exactly.
import type { MetricSettings } from './settings.ts';

type Aggregation = MetricSettings['aggregation'];

/** Which interval: how many multiples of the step frequency and of the seconds lie before its end. 0 where there is no such frequency. */
export interface Cell {
  readonly steps: number;
  readonly seconds: number;
}

export type WindowState = readonly (number | null)[];

export class Window {
  readonly cell: Cell;
  /** Finite values. */
  count = 0;
  sum = 0;
  /** By Welford's method, which loses no digits to large means. */
  mean = 0;
  squares = 0;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  latest = Number.NaN;
  latestAt = Number.NEGATIVE_INFINITY;
  /** Highest step of its values; NaN where none had one. */
  step = Number.NaN;
  /** Unix ns, as doubles: exact to a quarter of a microsecond. Of everything that fell into the interval. */
  firstAt = Number.POSITIVE_INFINITY;
  lastAt = Number.NEGATIVE_INFINITY;
  /** Highest episode that its values named, or how many of them there had been. */
  episode = 0;
  /** When the first process was seen beyond it, in ns of the journal's time; NaN as long as none was. */
  passedAt = Number.NaN;

  constructor(cell: Cell) {
    this.cell = cell;
  }

  /** Something happened in the interval. */
  touch(at: number, step: number): void {
    if (at < this.firstAt) this.firstAt = at;
    if (at > this.lastAt) this.lastAt = at;
    if (!(step <= this.step)) this.step = Number.isNaN(step) ? this.step : step;
  }

  /** @param value finite */
  add(value: number, at: number, episode: number): void {
    this.count++;
    this.sum = finite(this.sum + value);
    const off = finite(value - this.mean);
    this.mean = finite(this.mean + off / this.count);
    this.squares = finite(this.squares + off * (value - this.mean));
    if (value < this.min) this.min = value;
    if (value > this.max) this.max = value;
    if (at >= this.latestAt) {
      this.latest = value;
      this.latestAt = at;
    }
    if (episode > this.episode) this.episode = episode;
  }

  /**
   * Undefined where there is nothing to say.
   * @param seconds for a rate: how long the interval was
   */
  value(aggregation: Aggregation, seconds: number): number | undefined {
    if (aggregation === 'rate') return seconds > SHORTEST_RATE_S ? this.sum / seconds : undefined;
    if (this.count === 0) return undefined;
    switch (aggregation) {
      case 'mean':
        return Math.abs(this.sum) < Number.MAX_VALUE ? this.sum / this.count : this.mean;
      case 'sum':
        return this.sum;
      case 'min':
        return this.min;
      case 'max':
        return this.max;
      case 'latest':
        return this.latest;
      case 'count':
        return this.count;
      case 'std':
        return Math.sqrt(this.squares / this.count);
    }
  }

  toState(): WindowState {
    const { cell, count, sum, mean, squares, min, max, latest, latestAt } = this;
    const { step, firstAt, lastAt, episode, passedAt } = this;
    const all = [cell.steps, cell.seconds, count, sum, mean, squares, min, max, latest, latestAt, step];
    return [...all, firstAt, lastAt, episode, passedAt].map(number =>
      Number.isFinite(number) ? number : null,
    );
  }

  static fromState(state: WindowState): Window {
    const window = new Window({ steps: state[0] ?? 0, seconds: state[1] ?? 0 });
    window.count = state[2] ?? 0;
    window.sum = state[3] ?? 0;
    window.mean = state[4] ?? 0;
    window.squares = state[5] ?? 0;
    window.min = state[6] ?? Number.POSITIVE_INFINITY;
    window.max = state[7] ?? Number.NEGATIVE_INFINITY;
    window.latest = state[8] ?? Number.NaN;
    window.latestAt = state[9] ?? Number.NEGATIVE_INFINITY;
    window.step = state[10] ?? Number.NaN;
    window.firstAt = state[11] ?? Number.POSITIVE_INFINITY;
    window.lastAt = state[12] ?? Number.NEGATIVE_INFINITY;
    window.episode = state[13] ?? 0;
    window.passedAt = state[14] ?? Number.NaN;
    return window;
  }
}

/** Nothing can be said per second about less. */
const SHORTEST_RATE_S = 1e-6;

/** Sums stop at the largest double, so that they can be kept as JSON. */
function finite(number: number): number {
  return Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, number));
}
