// What conditions leave of a batch.
import { groupRows } from '../../../otlp/rows.ts';
import type { Batch, ResolvedSpan, ScalarBatch } from '../../component.ts';
import { changedBatch } from '../../feed/changed-batch.ts';
import { ABOUT_THE_RUN } from '../../feed/scoped.ts';
import { pickPoints } from '../../feed/select.ts';
import type { Condition } from './condition.ts';
import type { Item, Subject } from './fields.ts';

type Conditions = Readonly<Record<Subject, readonly Condition[]>>;

/**
 * The batch itself where nothing is left out, undefined where nothing is left. Events that a run tells about itself (start, config,
 * end …) are always kept: without them the rest could not be read.
 */
export function filtered(
  batch: Batch,
  conditions: Conditions,
  left: (kind: 'points' | 'logs' | 'spans', amount: number) => void,
): Batch | undefined {
  const scalars = batch.scalars === undefined ? undefined : keptPoints(batch.scalars, conditions);
  const histograms = batch.histograms.filter(({ point: { series, timeUnixNano } }) => {
    const item = { series, timeUnixNano };
    return !anyOf(conditions.metric, item) && !anyOf(conditions.datapoint, item);
  });
  const logs = batch.logs.filter(
    ({ record }) => ABOUT_THE_RUN.has(record.eventName) || !anyOf(conditions.log, { log: record }),
  );
  const spans = keptSpans(batch.spans, conditions);

  const points = pointsOf(batch) - (scalars?.columns.count ?? 0) - histograms.length;
  left('points', points);
  left('logs', batch.logs.length - logs.length);
  left('spans', batch.spans.length - spans.length);
  const isWhole =
    points === 0 && logs.length === batch.logs.length && spans.every((span, i) => span === batch.spans[i]);
  if (isWhole && spans.length === batch.spans.length) return batch;
  const remaining = (scalars?.columns.count ?? 0) + histograms.length + logs.length + spans.length;
  if (remaining === 0) return undefined;
  const why = 'was filtered, so its bytes cannot be forwarded';
  return changedBatch(batch, { scalars, histograms, logs, spans }, why);
}

function keptPoints(scalars: ScalarBatch, conditions: Conditions): ScalarBatch | undefined {
  const { columns, resolved } = scalars;
  const perSeries = conditions.datapoint.filter(condition => !condition.perPoint);
  const perPoint = conditions.datapoint.filter(condition => condition.perPoint);
  const gone = columns.series.map(series => {
    const item = { series };
    return anyOf(conditions.metric, item) || anyOf(perSeries, item);
  });
  if (perPoint.length === 0 && !gone.includes(true)) return scalars;
  const points: number[] = [];
  for (let i = 0; i < columns.count; i++) {
    const at = columns.seriesIndex[i]!;
    if (gone[at]) continue;
    const item = {
      series: columns.series[at]!,
      value: columns.bigValue?.get(i) ?? columns.value[i],
      timeUnixNano: columns.timeUnixNano[i]!,
    };
    if (perPoint.length === 0 || !anyOf(perPoint, item)) points.push(i);
  }
  if (points.length === columns.count) return scalars;
  if (points.length === 0) return undefined;
  const picked = pickPoints(columns, points);
  return { columns: picked, resolved, rows: groupRows(picked) };
}

/** A span is left intact when all its events go. */
function keptSpans(spans: readonly ResolvedSpan[], conditions: Conditions): ResolvedSpan[] {
  const kept = spans.filter(({ record }) => !anyOf(conditions.span, { span: record }));
  if (conditions.spanevent.length === 0) return kept;
  return kept.map(span => {
    const { record } = span;
    const events = record.events.filter(
      spanEvent => !anyOf(conditions.spanevent, { span: record, spanEvent }),
    );
    return events.length === record.events.length ? span : { ...span, record: { ...record, events } };
  });
}

function anyOf(conditions: readonly Condition[], item: Item): boolean {
  for (const condition of conditions) if (condition.matches(item)) return true;
  return false;
}

function pointsOf({ scalars, histograms }: Batch): number {
  return (scalars?.columns.count ?? 0) + histograms.length;
}
