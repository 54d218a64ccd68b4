// Scalar points to lines: one for each row of a `log({...})` call, straight from the columns.
import type { PointContext, Series } from '../../../otlp/model.ts';
import { DEFAULT_MODE, GLOBAL_SCOPE, SYSTEM_LOGGER } from '../../../semconv/names.ts';
import type { ScalarBatch } from '../../component.ts';
import { keyJson, numberJson, valueJson } from '../../runs/json.ts';
import type { ResolvedSeries, Run } from '../../runs/run.ts';
import { fullName, unrankedName } from '../../runs/series-name.ts';
import { MAX_REMEMBERED_GROUPS } from './limits.ts';
import { contextJson, modeJson, ownerJson, unixSeconds } from './lines.ts';
import type { Metric } from './metrics-table.ts';
import type { RunRecord } from './run-record.ts';

/** Where a run's lines go. */
export interface RowSink {
  readonly record: RunRecord;
  readonly groups: RowGroups;
  /** A whole line with its line feed, into logs/metrics.jsonl. */
  addRow(line: string): void;
  /** The same for logs/system.jsonl. */
  addSystemRow(line: string): void;
}

/** Points that may share a line: of one run, scope, process and attempt. */
interface RowGroup {
  readonly sink: RowSink;
  readonly ownerJson: string;
}

/** The groups of one run, one object each, so that comparing them is comparing references. */
export class RowGroups {
  readonly #groups = new Map<string, RowGroup>();

  find(sink: RowSink, run: Run, scope: string): RowGroup {
    const owner = ownerJson(run, scope, sink.record.firstInstance);
    let group = this.#groups.get(owner);
    if (group === undefined) {
      group = { sink, ownerJson: owner };
      this.#groups.set(owner, group);
    }
    return group;
  }

  /** Between batches only, as for `MetricsTable.trim`. */
  trim(): void {
    if (this.#groups.size > MAX_REMEMBERED_GROUPS) this.#groups.clear();
  }
}

/** What is the same for all points of a series in a batch. */
interface SeriesPlan {
  readonly group: RowGroup;
  readonly metric: Metric;
  readonly keyJson: string;
  readonly mode: string;
  /** Tells series apart that have no steps and therefore count. */
  readonly counter: string;
}

let lastMark = 0;

/**
 * Writes all rows of a batch. `sinkOf` names the sink of a series' run, or nothing for a run that is left out. Points of one row
 * stand on one line unless a name repeats or they differ in owner, step or context; then on as few as keep every value.
 * The companion gauge `kymo.step` is no value.
 */
export function writeRows(batch: ScalarBatch, sinkOf: (run: Run) => RowSink | undefined): void {
  const { columns, rows } = batch;
  const plans = columns.series.map((series, i) => planOf(series, batch.resolved[i]!, sinkOf));
  const { seriesIndex, value, step: steps, timeUnixNano, context, bigValue } = columns;
  const { first, points } = rows;
  if (columns.series.some(isOfSystem)) writeSystemRows(batch, sinkOf);

  for (let row = 0; row < rows.count; row++) {
    const from = first[row]!;
    const to = first[row + 1]!;
    const mark = ++lastMark;
    let mode = '';
    let group: RowGroup | undefined;
    let lead = -1;
    let simple = true;
    for (let i = from; i < to; i++) {
      const point = points[i]!;
      const plan = plans[seriesIndex[point]!];
      if (plan === undefined) continue;
      if (group === undefined) {
        group = plan.group;
        mode = plan.mode;
        lead = point;
      } else if (plan.group !== group || (context !== undefined && !sameContext(context, lead, point))) {
        simple = false;
        break;
      }
      if (plan.metric.mark === mark) {
        simple = false;
        break;
      }
      plan.metric.mark = mark;
      // One call may log for two modes; each name says its own.
      if (plan.mode !== mode) mode = DEFAULT_MODE;
    }
    if (group === undefined) continue;
    const step = steps[lead]!;
    if (!simple || Number.isNaN(step)) {
      writeApart(batch, plans, from, to);
      continue;
    }
    const { sink } = group;
    const { totals } = sink.record;
    let line = `{"step":${numberJson(step)},"time":${unixSeconds(timeUnixNano[lead]!)}${modeJson(mode)}${group.ownerJson}`;
    if (context !== undefined) line += contextJson(context.get(lead));
    for (let i = from; i < to; i++) {
      const point = points[i]!;
      const plan = plans[seriesIndex[point]!];
      if (plan === undefined) continue;
      const v = value[point]!;
      line += plan.keyJson;
      // Not a call for the usual number.
      if (bigValue !== undefined || v === 0 || v - v !== 0) line += bigValue?.get(point) ?? numberJson(v);
      else line += v;
      plan.metric.take(v, step);
      totals.points++;
    }
    totals.rows++;
    sink.record.step(step);
    sink.addRow(`${line}}\n`);
  }
}

/** What the SDK measures of the process and its machine: it has a file of its own, so that the run's metrics stay readable. */
function isOfSystem({ scope }: Series): boolean {
  return scope.name === SYSTEM_LOGGER;
}

/** Without steps, and without a part in the run's totals and summaries. Names are without the scope, which all of them have. */
function writeSystemRows(
  { columns, resolved, rows }: ScalarBatch,
  sinkOf: (run: Run) => RowSink | undefined,
): void {
  const keys = columns.series.map((series, i) =>
    isOfSystem(series) && !resolved[i]!.companion
      ? keyJson(systemKey(fullName(GLOBAL_SCOPE, DEFAULT_MODE, series.name, series.attributes)))
      : undefined,
  );
  for (let row = 0; row < rows.count; row++) {
    let line = '';
    let sink: RowSink | undefined;
    for (let i = rows.first[row]!; i < rows.first[row + 1]!; i++) {
      const point = rows.points[i]!;
      const at = columns.seriesIndex[point]!;
      const key = keys[at];
      if (key === undefined) continue;
      const { run } = resolved[at]!;
      if (line === '') {
        sink = sinkOf(run);
        line = `{"time":${unixSeconds(columns.timeUnixNano[point]!)}${ownerJson(run, GLOBAL_SCOPE, sink?.record.firstInstance)}`;
      }
      line += `,${key}${numberJson(columns.value[point]!)}`;
    }
    if (line !== '') sink?.addSystemRow(`${line}}\n`);
  }
}

/** Anybody may log under this logger's name: a metric called like a key of the line has a `~` in front, as in other rows. */
function systemKey(name: string): string {
  return SYSTEM_KEYS.has(name) || name.startsWith('~') ? `~${name}` : name;
}
const SYSTEM_KEYS: ReadonlySet<string> = new Set(['time', 'instance', 'rank', 'attempt', 'facts']);

/** How many points of a batch belong to runs that `refused` holds, the companion gauge left out. */
export function countPoints(batch: ScalarBatch, refused: (run: Run) => boolean): number {
  const { columns, resolved } = batch;
  const counts = resolved.map(({ run, companion }) => !companion && refused(run));
  let points = 0;
  for (let i = 0; i < columns.count; i++) if (counts[columns.seriesIndex[i]!]) points++;
  return points;
}

function planOf(
  series: Series,
  resolved: ResolvedSeries,
  sinkOf: (run: Run) => RowSink | undefined,
): SeriesPlan | undefined {
  if (resolved.companion || isOfSystem(series)) return undefined;
  const sink = sinkOf(resolved.run);
  if (sink === undefined) return undefined;
  const group = sink.groups.find(sink, resolved.run, resolved.scope);
  const name = unrankedName(series, resolved);
  const metric = sink.record.metrics.find(name, series.name);
  const { keyJson } = metric;
  return { group, metric, keyJson, mode: resolved.mode, counter: group.ownerJson + keyJson };
}

/** The rare row that does not fit one line: points are dealt to lines by what they must share, repeated names in turn. */
function writeApart(
  { columns, rows }: ScalarBatch,
  plans: readonly (SeriesPlan | undefined)[],
  from: number,
  to: number,
): void {
  interface Line {
    readonly group: RowGroup;
    readonly step: number;
    readonly context: string;
    readonly points: number[];
    mode: string;
  }
  const lines: Line[] = [];
  const known = new Map<string, Line>();
  const groupIds = new Map<RowGroup, number>();
  const repeats = new Map<string, number>();
  for (let i = from; i < to; i++) {
    const point = rows.points[i]!;
    const plan = plans[columns.seriesIndex[point]!];
    if (plan === undefined) continue;
    const { group } = plan;
    const own = columns.step[point]!;
    const step = Number.isNaN(own) ? group.sink.record.steps.next(plan.counter) : own;
    const context = contextJson(columns.context?.get(point));
    if (!groupIds.has(group)) groupIds.set(group, groupIds.size);
    const shared = `${groupIds.get(group)} ${step} ${context}`;
    const repeatKey = `${shared}${plan.keyJson}`;
    const repeat = repeats.get(repeatKey) ?? 0;
    repeats.set(repeatKey, repeat + 1);
    const key = `${repeat} ${shared}`;
    let line = known.get(key);
    if (line === undefined) {
      line = { group, step, context, points: [], mode: plan.mode };
      known.set(key, line);
      lines.push(line);
    }
    line.points.push(point);
    if (plan.mode !== line.mode) line.mode = DEFAULT_MODE;
  }
  for (const { group, step, context, points, mode } of lines) {
    const { record } = group.sink;
    const time = unixSeconds(columns.timeUnixNano[points[0]!]!);
    let text = `{"step":${numberJson(step)},"time":${time}${modeJson(mode)}${group.ownerJson}${context}`;
    for (const point of points) {
      const plan = plans[columns.seriesIndex[point]!]!;
      const value = columns.value[point]!;
      text += plan.keyJson + (columns.bigValue?.get(point) ?? numberJson(value));
      plan.metric.take(value, step);
      record.totals.points++;
    }
    record.totals.rows++;
    record.step(step);
    group.sink.addRow(`${text}}\n`);
  }
}

function sameContext(contexts: ReadonlyMap<number, PointContext>, a: number, b: number): boolean {
  const one = contexts.get(a);
  const other = contexts.get(b);
  if (one === other) return true;
  if (one === undefined || other === undefined) return false;
  if (one.traceId !== other.traceId || one.spanId !== other.spanId) return false;
  if (one.attributes === other.attributes) return true;
  for (const key in one.attributes) {
    const left = one.attributes[key];
    const right = other.attributes[key];
    if (left !== right && valueJson(left) !== valueJson(right)) return false;
  }
  for (const key in other.attributes) if (one.attributes[key] === undefined) return false;
  return true;
}
