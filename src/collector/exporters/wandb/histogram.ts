// An OTLP histogram as W&B draws one: counts between edges, every edge finite.
import type { HistogramPoint } from '../../../otlp/model.ts';
import { histogramRows } from '../tensorboard/histogram.ts';
import { extendedNumber } from './extended-json.ts';

/** The fields of the value, as JSON. */
export function histogramFields(point: HistogramPoint): readonly (readonly [field: string, json: string])[] {
  const rows = histogramRows(point, point.counts);
  const count = rows.length / 3;
  const bins = [extendedNumber(rows[0]!)];
  const values: string[] = [];
  for (let i = 0; i < count; i++) {
    bins.push(extendedNumber(rows[3 * i + 1]!));
    values.push(extendedNumber(rows[3 * i + 2]!));
  }
  return [
    ['_type', '"histogram"'],
    ['values', `[${values}]`],
    ['bins', `[${bins}]`],
  ];
}
