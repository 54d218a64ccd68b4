// The part of a batch that somebody wants, as a batch of its own.
import type { ScalarColumns } from '../../otlp/model.ts';
import { groupRows } from '../../otlp/rows.ts';
import type { Batch, ResolvedLog, ScalarBatch } from '../component.ts';
import type { Run } from '../runs/run.ts';
import { changedBatch } from './changed-batch.ts';

/** What every item of a batch belongs to. */
export interface Owner {
  readonly run: Run;
  readonly scope: string;
}

/** What to take. Asked once per series and once per record. */
export interface Selection {
  has(owner: Owner): boolean;
  /** For log records alone; `has` by default. */
  hasLog?(log: ResolvedLog): boolean;
  /** Why a request of which only a part is wanted has no bytes: `the request at position 12 …`. */
  readonly noBytes: string;
}

/** Undefined when nothing wanted is in it; the batch itself when nothing else is. */
export function partOfBatch(
  batch: Batch,
  selection: Selection,
): { readonly batch: Batch; readonly items: number } | undefined {
  const has = (owner: Owner): boolean => selection.has(owner);
  const logs = batch.logs.filter(log => (selection.hasLog === undefined ? has(log) : selection.hasLog(log)));
  const spans = batch.spans.filter(has);
  const histograms = batch.histograms.filter(histogram => has(histogram.resolved));
  const scalars = batch.scalars === undefined ? undefined : scalarsOf(batch.scalars, has);
  const taken = logs.length + spans.length + histograms.length + (scalars?.columns.count ?? 0);
  const all =
    batch.logs.length + batch.spans.length + batch.histograms.length + (batch.scalars?.columns.count ?? 0);
  if (taken === 0) return undefined;
  if (taken === all) return { batch, items: taken };
  const selected = changedBatch(batch, { scalars, histograms, logs, spans }, selection.noBytes);
  return { batch: selected, items: taken };
}

function scalarsOf(scalars: ScalarBatch, has: (owner: Owner) => boolean): ScalarBatch | undefined {
  const { columns, resolved } = scalars;
  const wanted = resolved.map(has);
  if (wanted.every(is => is)) return scalars;
  const points: number[] = [];
  for (let i = 0; i < columns.count; i++) if (wanted[columns.seriesIndex[i]!]) points.push(i);
  if (points.length === 0) return undefined;
  const picked = pickPoints(columns, points);
  return { columns: picked, resolved, rows: groupRows(picked) };
}

/** The given points of `columns`, in their order, with the same table of series. */
export function pickPoints(columns: ScalarColumns, points: readonly number[]): ScalarColumns {
  const count = points.length;
  const timeUnixNano = new BigUint64Array(count);
  const picked = {
    count,
    series: columns.series,
    seriesIndex: new Uint32Array(count),
    timeUnixNano,
    timeWords: new Uint32Array(timeUnixNano.buffer),
    value: new Float64Array(count),
    bigValue: pickEntries(columns.bigValue, points),
    step: new Float64Array(count),
    context: pickEntries(columns.context, points),
  };
  for (const [to, from] of points.entries()) {
    picked.seriesIndex[to] = columns.seriesIndex[from]!;
    picked.timeUnixNano[to] = columns.timeUnixNano[from]!;
    picked.value[to] = columns.value[from]!;
    picked.step[to] = columns.step[from]!;
  }
  return picked;
}

function pickEntries<T>(
  entries: ReadonlyMap<number, T> | undefined,
  points: readonly number[],
): ReadonlyMap<number, T> | undefined {
  if (entries === undefined) return undefined;
  const picked = new Map<number, T>();
  for (const [to, from] of points.entries()) {
    const entry = entries.get(from);
    if (entry !== undefined) picked.set(to, entry);
  }
  return picked.size === 0 ? undefined : picked;
}
