// From results to points in a batch, under a process of their own that the run does not wait for.
import { newAttributes } from '../../../otlp/attributes.ts';
import { ColumnBuilder } from '../../../otlp/columns.ts';
import type { Attributes, Resource, ScalarColumns, Scope, Series } from '../../../otlp/model.ts';
import { groupRows } from '../../../otlp/rows.ts';
import {
  DEFAULT_MODE,
  GLOBAL_SCOPE,
  MODE,
  RUN_ATTEMPT,
  RUN_GROUP,
  RUN_ID,
  RUN_JOB_TYPE,
  RUN_NAME,
  RUN_TAGS,
  SCOPE,
  SERVICE_INSTANCE_ID,
  SERVICE_NAME,
} from '../../../semconv/names.ts';
import type { Batch, ScalarBatch } from '../../component.ts';
import { CHANGED, changedBatch } from '../../feed/changed-batch.ts';
import type { Resolver } from '../../runs/resolve.ts';
import { rowsFromLogs } from '../../runs/rows-from-logs.ts';
import type { ResolvedSeries } from '../../runs/run.ts';
import type { About, Result, RunWindows } from './run-windows.ts';

/** The scope's name: the logger of these rows. */
const LOGGER = 'kymo.aggregate';
const INT64_MAX = 2n ** 63n - 1n;
const TWO_32 = 2n ** 32n;

/**
 * The batch with the results as further points. Results of one step are one row; the times of a run's rows only grow.
 * @param instance what stands as the process that wrote them
 */
export function withResults(
  batch: Batch,
  found: readonly { readonly run: RunWindows; readonly results: readonly Result[] }[],
  instance: string,
  resolver: Resolver,
): Batch {
  const before = batch.scalars ?? rowsFromLogs(batch.logs);
  const columns = new ColumnBuilder();
  const resolved: ResolvedSeries[] = [...(before?.resolved ?? [])];
  if (before !== undefined) copyPoints(before.columns, columns);

  const known = new Map<string, number>();
  for (const { run, results } of found) {
    const resource: Resource = { attributes: resourceOf(run.about, instance) };
    const scopes = new Map<string, Scope>();
    for (const { rows, timeUnixNano } of inRows(run, results)) {
      for (const result of rows) {
        const { scope, mode, dimensions, name, value, step } = result;
        const key = JSON.stringify([run.about.id, run.about.attempt, scope, mode, dimensions, name]);
        let index = known.get(key);
        if (index === undefined) {
          const shared = scopes.get(scope) ?? scopeOf(scope);
          scopes.set(scope, shared);
          const attributes = newAttributes();
          if (mode !== DEFAULT_MODE) attributes[MODE] = mode;
          for (const [dimension, of] of dimensions) attributes[dimension] = of;
          const series: Series = {
            resource,
            scope: shared,
            name,
            unit: '',
            description: '',
            attributes,
            kind: 'gauge',
          };
          index = columns.series.push(series) - 1;
          resolved.push(resolver.series(series, batch.receivedUnixNano));
          known.set(key, index);
        }
        columns.add(index, Number(timeUnixNano % TWO_32), Number(timeUnixNano / TWO_32), value, step);
      }
    }
  }
  const all = columns.finish();
  const scalars: ScalarBatch = { columns: all, resolved, rows: groupRows(all) };
  return changedBatch(batch, { scalars }, CHANGED);
}

function copyPoints(from: ScalarColumns, to: ColumnBuilder): void {
  to.series.push(...from.series);
  for (let i = 0; i < from.count; i++) {
    to.add(
      from.seriesIndex[i]!,
      from.timeWords[2 * i]!,
      from.timeWords[2 * i + 1]!,
      from.value[i]!,
      from.step[i]!,
    );
    const exact = from.bigValue?.get(i);
    if (exact !== undefined) to.exact(exact);
    const context = from.context?.get(i);
    if (context !== undefined) to.context(context);
  }
}

/** Results of one scope and step, with the time of their row. */
function inRows(run: RunWindows, results: readonly Result[]) {
  const rows = new Map<string, { at: number; readonly rows: Result[] }>();
  for (const result of results) {
    const key = `${result.step} ${result.scope}`;
    const row = rows.get(key) ?? { at: result.at, rows: [] };
    // A name stands in a row once: what was closed twice for one step is two rows.
    const isTaken = row.rows.some(
      other => other.name === result.name && other.mode === result.mode && same(other, result),
    );
    rows.set(isTaken ? `${key} ${rows.size}` : key, isTaken ? { at: result.at, rows: [result] } : row);
    if (isTaken) continue;
    row.at = Math.max(row.at, result.at);
    row.rows.push(result);
  }
  return [...rows.values()]
    .sort((a, b) => a.at - b.at)
    .map(({ at, rows: own }) => {
      const wanted = BigInt(Math.max(0, Math.round(at)));
      const next = wanted > run.lastRowAt ? wanted : run.lastRowAt + 1n;
      run.lastRowAt = next < INT64_MAX ? next : INT64_MAX;
      return { rows: own, timeUnixNano: run.lastRowAt };
    });
}

function same(a: Result, b: Result): boolean {
  return JSON.stringify(a.dimensions) === JSON.stringify(b.dimensions);
}

function resourceOf(
  { id, project, name, group, jobType, tags, attempt }: About,
  instance: string,
): Attributes {
  const attributes = newAttributes();
  attributes[SERVICE_NAME] = project;
  attributes[SERVICE_INSTANCE_ID] = instance;
  attributes[RUN_ID] = id;
  attributes[RUN_ATTEMPT] = attempt;
  if (name !== id) attributes[RUN_NAME] = name;
  if (group !== '') attributes[RUN_GROUP] = group;
  if (jobType !== '') attributes[RUN_JOB_TYPE] = jobType;
  if (tags.length > 0) attributes[RUN_TAGS] = tags;
  return attributes;
}

function scopeOf(scope: string): Scope {
  const attributes = newAttributes();
  if (scope !== GLOBAL_SCOPE) attributes[SCOPE] = scope;
  return { name: LOGGER, version: '', attributes };
}
