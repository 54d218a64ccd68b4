// Curves of several runs and metrics: a common grid, a series' buckets in it, and both as rows, wide or long.

import { MAX, MIN } from '../../query/block-table.ts';
import { Buckets, eachJoined, eachPoint, fillBuckets, type Grid, gridOf } from '../../query/buckets.ts';
import type { IndexSet } from '../../query/index-set.ts';
import type { RunIndex } from '../../query/run-index.ts';
import type { Series } from '../../query/series.ts';
import { MAX_CELLS, MAX_JOINED_POINTS, MAX_SERIES } from './limits.ts';
import { BadRequest } from './parameters.ts';
import type { RunPlaceFound } from './run-documents.ts';

export interface CurveRun extends RunPlaceFound {
  readonly id: string;
  /** What its column is called. */
  readonly label: string;
}
export interface CurvesRequest {
  readonly runs: readonly CurveRun[];
  readonly metrics: readonly string[];
  /** `step`, `time`, or the name of an axis or a metric. */
  readonly x: string;
  readonly from: number | undefined;
  readonly to: number | undefined;
  readonly points: number;
}

/** One series, a row per bucket that has points. NaN where there is no finite value. */
export interface Curve {
  readonly run: CurveRun;
  readonly metric: string;
  /** Points of the series in all, seen or not. */
  readonly total: number;
  readonly x: Float64Array;
  readonly min: Float64Array;
  readonly max: Float64Array;
  readonly last: Float64Array;
  readonly count: Float64Array;
  readonly nan: Float64Array;
  readonly positive: Float64Array;
  readonly negative: Float64Array;
  /** The bucket of each row; undefined where every point is a row. */
  readonly bucket: Float64Array | undefined;
}

export interface Curves {
  readonly x: string;
  readonly from: number | undefined;
  readonly to: number | undefined;
  /** Undefined where every point is a row of its own. */
  readonly width: number | undefined;
  readonly curves: readonly Curve[];
  /** Runs that have no such metric (or axis). */
  readonly missing: readonly { readonly run: string; readonly metric: string }[];
  /** Bytes of the runs' files that the index does not have yet. */
  readonly behindBytes: number;
}

interface Extent {
  readonly from: number;
  readonly to: number;
  readonly points: number;
  readonly integral: boolean;
  readonly span: number;
}

/** @throws BadRequest */
export async function readCurves(indexes: IndexSet, request: CurvesRequest): Promise<Curves> {
  const { runs, metrics, x, points } = request;
  const wanted = runs.length * metrics.length;
  if (wanted > MAX_SERIES)
    throw new BadRequest(
      `${runs.length} runs and ${metrics.length} metrics are ${wanted} series, at most ${MAX_SERIES} at a time`,
      'runs',
    );
  if (wanted * points > MAX_CELLS) {
    const most = Math.floor(MAX_CELLS / wanted);
    throw new BadRequest(`parameter points: at most ${most} for ${wanted} series`, 'points');
  }
  // First how far the series reach, then what is in the buckets: one run's index is in use at a time.
  const missing: { run: string; metric: string }[] = [];
  const extents: Extent[] = [];
  let behindBytes = 0;
  for (const run of runs) {
    await indexes.use(run.root, run.folder, index => {
      behindBytes += index.progress().behind;
      for (const metric of metrics) {
        const extent = extentOf(index, metric, x);
        if (extent === undefined) missing.push({ run: run.id, metric });
        else extents.push(extent);
      }
    });
  }
  const from = request.from ?? Math.min(...extents.map(extent => extent.from));
  const to = request.to ?? Math.max(...extents.map(extent => extent.to));
  const nothing = {
    x,
    from: request.from,
    to: request.to,
    width: undefined,
    curves: [],
    missing,
    behindBytes,
  };
  if (extents.length === 0 || !(from <= to)) return nothing;
  const isAxis = x !== 'step' && x !== 'time';
  const integral = x === 'step' && extents.every(extent => extent.integral);
  const span = Math.max(...extents.map(extent => extent.span));
  // Steps of several runs are mostly the same ones: integers have a row each anyway where they are few.
  const isRaw = !integral && extents.reduce((sum, extent) => sum + extent.points, 0) <= points;
  const grid = isRaw ? undefined : gridOf(from, to, points, integral, span);
  const curves: Curve[] = [];
  let joined = 0;
  for (const run of runs) {
    await indexes.use(run.root, run.folder, index => {
      for (const metric of metrics) {
        const series = index.metrics.get(metric);
        const axis = isAxis ? axisOf(index, x, metric) : undefined;
        if (series === undefined || (isAxis && axis === undefined)) continue;
        if (isAxis) {
          joined += series.count;
          if (joined > MAX_JOINED_POINTS)
            throw new BadRequest(
              `parameter x: the series have more than ${MAX_JOINED_POINTS} points, too many to join with ${JSON.stringify(x)}; ask for fewer runs or by step`,
              'x',
            );
        }
        const each = (take: (at: number, value: number) => void): void => {
          if (axis !== undefined)
            eachJoined(series, axis, (at, value) => at >= from && at <= to && take(at, value));
          else eachPoint(series, x as 'step' | 'time', from, to, take);
        };
        const shared = { run, metric, total: series.count };
        if (grid === undefined) curves.push({ ...shared, ...rawRows(each) });
        else curves.push({ ...shared, ...bucketRows(grid, series, axis, x, each) });
      }
    });
  }
  return {
    x,
    from,
    to,
    width: grid?.width === Number.MAX_VALUE ? to - from : grid?.width,
    curves,
    missing,
    behindBytes,
  };
}

/** An axis of the rows of this rank, else a metric. A metric of rank N is drawn over the axis of rank N. */
function axisOf(index: RunIndex, x: string, metric: string): Series | undefined {
  const rank = /\/rank=\d+$/.exec(metric)?.[0] ?? '';
  return index.axes.get(x + rank) ?? index.metrics.get(x + rank) ?? index.axes.get(x) ?? index.metrics.get(x);
}

function extentOf(index: RunIndex, metric: string, x: string): Extent | undefined {
  const series = index.metrics.get(metric);
  if (series === undefined) return undefined;
  const points = series.count;
  const { integral } = series;
  if (x === 'step' || x === 'time') {
    const range = x === 'step' ? series.steps : series.times;
    return (
      range && { from: range[0], to: range[1], points, integral, span: x === 'step' ? series.blockSpan : 0 }
    );
  }
  const axis = axisOf(index, x, metric);
  const range = axis && valueRange(axis);
  return range && { from: range[0], to: range[1], points, integral: false, span: 0 };
}

/** Lowest and highest finite value; undefined without one. */
export function valueRange(series: Series): readonly [number, number] | undefined {
  series.merge();
  const { blocks, tail } = series;
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < blocks.count; i++) {
    low = Math.min(low, blocks.get(i, MIN));
    high = Math.max(high, blocks.get(i, MAX));
  }
  for (let i = 0; i < tail.count; i++) {
    const value = tail.values[i]!;
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : undefined;
}

type Rows = Omit<Curve, 'run' | 'metric' | 'total'>;

function bucketRows(
  grid: Grid,
  series: Series,
  axis: Series | undefined,
  x: string,
  each: (take: (at: number, value: number) => void) => void,
): Rows {
  const buckets = new Buckets(grid);
  if (axis === undefined) fillBuckets(series, x as 'step' | 'time', buckets);
  else each((at, value) => buckets.add(at, value));
  let rows = 0;
  for (const count of buckets.count) if (count > 0) rows++;
  const column = (from: Float64Array): Float64Array => {
    const to = new Float64Array(rows);
    let at = 0;
    for (let i = 0; i < grid.count; i++) if (buckets.count[i]! > 0) to[at++] = from[i]!;
    return to;
  };
  return {
    x: column(buckets.x),
    min: column(buckets.min),
    max: column(buckets.max),
    last: column(buckets.last),
    count: column(buckets.count),
    nan: column(buckets.nan),
    positive: column(buckets.positive),
    negative: column(buckets.negative),
    bucket: column(Float64Array.from(buckets.count, (_, i) => i)),
  };
}

/** A row for each x. Points of equal x (an epoch's) share one. */
function rawRows(each: (take: (at: number, value: number) => void) => void): Rows {
  const points: (readonly [number, number])[] = [];
  each((at, value) => points.push([at, value]));
  // Stable: of equal x the later step comes later.
  points.sort((a, b) => a[0] - b[0]);
  const xs = [...new Set(points.map(([at]) => at))];
  // Every x is a bucket of its own: as many as there are different ones.
  const buckets = new Buckets({ from: 0, to: Math.max(0, xs.length - 1), width: 1, count: xs.length });
  let at = -1;
  let before = Number.NaN;
  for (const [x, value] of points) {
    if (x !== before) at++;
    before = x;
    buckets.add(at, value);
  }
  const { min, max, last, count, nan, positive, negative } = buckets;
  return { x: Float64Array.from(xs), min, max, last, count, nan, positive, negative, bucket: undefined };
}

/** A table by columns; null where a number is none. */
export interface Table {
  readonly columns: readonly TableColumn[];
  readonly rows: number;
}
export type TableColumn =
  | { readonly name: string; readonly kind: 'number'; readonly values: (number | null)[] }
  | { readonly name: string; readonly kind: 'text'; readonly values: string[] };

export function longTable({ curves }: Curves): Table {
  const rows = curves.reduce((sum, curve) => sum + curve.x.length, 0);
  const text = (name: string, of: (curve: Curve) => string): TableColumn => ({
    name,
    kind: 'text',
    values: curves.flatMap(curve => new Array<string>(curve.x.length).fill(of(curve))),
  });
  const number = (name: string, of: (curve: Curve) => Float64Array): TableColumn => ({
    name,
    kind: 'number',
    values: curves.flatMap(curve => Array.from(of(curve), finite)),
  });
  return {
    rows,
    columns: [
      text('run', curve => curve.run.id),
      text('metric', curve => curve.metric),
      number('x', curve => curve.x),
      number('last', curve => curve.last),
      number('min', curve => curve.min),
      number('max', curve => curve.max),
      number('count', curve => curve.count),
      number('nan', curve => curve.nan),
      number('positive_infinity', curve => curve.positive),
      number('negative_infinity', curve => curve.negative),
    ],
  };
}

export const STATISTICS = ['last', 'min', 'max', 'count'] as const;
export type Statistic = (typeof STATISTICS)[number];

/** One row per x, one column per series and statistic. `columns` names each series' columns. */
export function wideTable(
  { x, curves }: Curves,
  statistics: readonly Statistic[],
): Table & { readonly names: readonly (readonly string[])[] } {
  const keys = new Map<number, number>();
  for (const curve of curves) {
    for (let i = 0; i < curve.x.length; i++) {
      const key = (curve.bucket ?? curve.x)[i]!;
      const at = curve.x[i]!;
      const known = keys.get(key);
      if (known === undefined || at > known) keys.set(key, at);
    }
  }
  const ordered = [...keys.keys()].sort((a, b) => a - b);
  const rowOf = new Map(ordered.map((key, row) => [key, row]));
  const columns: TableColumn[] = [{ name: x, kind: 'number', values: ordered.map(key => keys.get(key)!) }];
  const taken = new Set([x]);
  const metrics = new Set(curves.map(curve => curve.metric));
  const names = curves.map(curve => {
    const base = metrics.size > 1 ? `${curve.run.label} ${curve.metric}` : curve.run.label;
    return statistics.map(statistic => {
      const name = unique(statistics.length > 1 ? `${base} ${statistic}` : base, taken);
      const values = new Array<number | null>(ordered.length).fill(null);
      for (let i = 0; i < curve.x.length; i++)
        values[rowOf.get((curve.bucket ?? curve.x)[i]!)!] = finite(curve[statistic][i]!);
      columns.push({ name, kind: 'number', values });
      return name;
    });
  });
  return { rows: ordered.length, columns, names };
}

/** Rows as JSON objects. Keys are written by hand, so that one called `__proto__` is a key like any other. */
export function rowsJson({ columns, rows }: Table): string {
  const keys = columns.map(({ name }) => `${JSON.stringify(name)}:`);
  const lines: string[] = [];
  for (let row = 0; row < rows; row++) {
    let line = '{';
    for (let i = 0; i < columns.length; i++) {
      const value = columns[i]!.values[row]!;
      line += (i === 0 ? '' : ',') + keys[i] + (typeof value === 'string' ? JSON.stringify(value) : value);
    }
    lines.push(`${line}}`);
  }
  return `[${lines.join(',')}]`;
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function unique(name: string, taken: Set<string>): string {
  let free = name;
  for (let i = 2; taken.has(free); i++) free = `${name} (${i})`;
  taken.add(free);
  return free;
}
