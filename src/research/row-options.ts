// Options of `log`, `scalar` and `histogram`, and how they are checked at every call.
import type { Axes } from './axes.ts';
import { MAX_BINS } from './bins.ts';
import { unknownKey, wrongType } from './checks.ts';
import { INT64_MAX } from './numbers.ts';

/** What counts as a number: also booleans, bigints, and whatever holds exactly one number (a typed array, a tensor). */
export type Scalar =
  | number
  | bigint
  | boolean
  | ArrayLike<number | bigint>
  | { dataSync(): ArrayLike<number | bigint> };

/** Metric names to numbers. */
export type Row = Readonly<Record<string, Scalar>>;

/** What every measurement may say about itself. */
export interface PointOptions {
  /** A whole number from 0 to 2^53. It may be lower than an earlier one. */
  readonly step?: number;
  /** Part of the series' identity. Default: the name's first segment if that is train, eval, val or test; else train. */
  readonly mode?: string;
  /** True returns only when it is delivered, at most 5 s. Default: deliver in the background, unless `KYMO_ASYNC=0`. */
  readonly wait?: boolean;
}
export interface ScalarOptions extends PointOptions {
  /** What else the values may be drawn over: `{epoch: 3, 'env/frames': 12_000}`. See `defineMetric`. */
  readonly axes?: Axes;
}
export interface LogOptions extends ScalarOptions {
  /** False collects: the next call adds to the same row, the last value of a name wins. Default true. */
  readonly commit?: boolean;
  /** When it was measured, if not now: a Date, Unix milliseconds, or Unix nanoseconds as a bigint. */
  readonly time?: Date | number | bigint;
}
export interface HistogramOptions extends PointOptions {
  /** Buckets of equal width (default 64, at most 512), or their inner bounds, ascending. */
  readonly bins?: number | readonly number[];
}

export const SCALAR_OPTIONS = ['step', 'mode', 'axes', 'wait'] as const;
export const LOG_OPTIONS = ['step', 'mode', 'commit', 'time', 'axes', 'wait'] as const;
export const HISTOGRAM_OPTIONS = ['step', 'mode', 'bins', 'wait'] as const;

/** Throws for options of the wrong shape; runs at every call, so it is a loop over one or two keys and nothing else. */
export function checkCall(call: string, options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw wrongType(`${call}(…, options)`, 'an object such as {step: 5}', options);
  for (const key in options) if (!known.includes(key)) throw unknownKey(call, key, known);
  const { mode, wait } = options as { mode?: unknown; wait?: unknown };
  if (mode !== undefined && (typeof mode !== 'string' || mode === ''))
    throw wrongType(`${call}({mode})`, 'a string with something in it', mode);
  if (wait !== undefined && typeof wait !== 'boolean')
    throw wrongType(`${call}({wait})`, 'true or false', wait);
}

export function checkBins(bins: unknown): number | readonly number[] {
  if (typeof bins === 'number') {
    if (Number.isInteger(bins) && bins >= 1 && bins <= MAX_BINS) return bins;
  } else if (Array.isArray(bins)) {
    const ascending = bins.every((bound, i) => Number.isFinite(bound) && (i === 0 || bound > bins[i - 1]));
    if (ascending && bins.length >= 1 && bins.length < MAX_BINS) return bins as number[];
    throw new TypeError(
      `kymo: histogram({bins}) must be 1 to ${MAX_BINS - 1} finite bounds in ascending order`,
    );
  }
  throw wrongType('histogram({bins})', `a whole number from 1 to ${MAX_BINS} or an array of bounds`, bins);
}

/** Unix nanoseconds; undefined for what is no time. */
export function unixNanoOf(time: unknown): bigint | undefined {
  let unixNano: bigint | undefined;
  if (typeof time === 'bigint') unixNano = time;
  else {
    const ms = time instanceof Date ? time.getTime() : time;
    if (typeof ms === 'number' && Number.isFinite(ms)) unixNano = BigInt(Math.round(ms * 1e3)) * 1_000n;
  }
  return unixNano !== undefined && unixNano >= 0n && unixNano <= INT64_MAX ? unixNano : undefined;
}
