import { describe, expect, it } from '@jest/globals';
import { isWholeRow, rowsFromLogs } from '../../../src/collector/runs/rows-from-logs.ts';
import type { AnyValue } from '../../../src/otlp/model.ts';
import { attributesOf, BatchMaker, T0, type TestLog } from '../batches.ts';

const SENDER = { resource: { 'kymo.run.id': 'r' }, scope: 'client' };
const map = (entries: Readonly<Record<string, AnyValue>>): AnyValue => attributesOf(entries);
const row = (attributes: Readonly<Record<string, AnyValue>>, more: TestLog = {}): TestLog => ({
  eventName: 'kymo.row',
  attributes,
  ...more,
});

/** Rows as plain objects. */
function rowsOf(records: readonly TestLog[], sender: object = SENDER): unknown[] {
  const batch = rowsFromLogs(new BatchMaker().logs(sender, records).logs);
  if (batch === undefined) return [];
  const { columns, resolved, rows } = batch;
  return Array.from({ length: rows.count }, (_, r) => {
    const points = [...rows.points.subarray(rows.first[r], rows.first[r + 1])];
    const lead = points[0]!;
    const context = columns.context?.get(lead);
    return {
      step: columns.step[lead],
      time: columns.timeUnixNano[lead],
      values: Object.fromEntries(
        points.map(p => [
          resolved[columns.seriesIndex[p]!]!.sinkName,
          columns.bigValue?.get(p) ?? columns.value[p],
        ]),
      ),
      ...(context !== undefined && { axes: { ...context.attributes } }),
    };
  });
}

describe('rowsFromLogs', () => {
  it('takes the values from the map attribute, the body, or the numeric attributes, in this order', () => {
    const values = map({ loss: 0.5, 'eval/acc': 1, big: 2n ** 60n + 1n });
    expect(
      rowsOf([
        row({ 'kymo.step': 1, 'kymo.row.values': values, epoch: 2 }, { timeUnixNano: T0 }),
        row({ 'kymo.step': 2, x: 5 }, { body: map({ y: 6 }), timeUnixNano: T0 + 1n }),
        row({ step: 3, x: 7, ok: true, 'kymo.mode': 'eval' }, { timeUnixNano: T0 + 2n }),
        row({ x: 8 }, { timeUnixNano: T0 + 3n }),
      ]),
    ).toEqual([
      { step: 1, time: T0, values: { loss: 0.5, 'eval/acc': 1, big: 2n ** 60n + 1n }, axes: { epoch: 2 } },
      { step: 2, time: T0 + 1n, values: { y: 6 }, axes: { x: 5 } },
      { step: 3, time: T0 + 2n, values: { 'eval/x': 7, 'eval/ok': 1 } },
      { step: Number.NaN, time: T0 + 3n, values: { x: 8 } },
    ]);
  });

  it('puts rows in order of time, and keeps those of one time as they came', () => {
    const at = (timeUnixNano: bigint, x: number) => row({ x }, { timeUnixNano });
    const values = rowsOf([at(T0 + 2n, 1), at(T0, 2), at(T0 + 2n, 3), at(T0 + 1n, 4)]).map(
      one => (one as { values: { x: number } }).values.x,
    );
    expect(values).toEqual([2, 4, 1, 3]);
  });

  it('keeps the trace of the record', () => {
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const spanId = 'b7ad6b7169203331';
    const { logs } = new BatchMaker().logs(SENDER, [row({ x: 1 }, { traceId, spanId })]);
    expect(rowsFromLogs(logs)!.columns.context!.get(0)).toMatchObject({ traceId, spanId });
  });

  it('is nothing for other events and for events without numbers', () => {
    expect(
      rowsOf([{ eventName: 'other', attributes: { x: 1 } }, row({ x: 'text' }), { body: map({ x: 1 }) }]),
    ).toEqual([]);
  });

  it('tells which event became points in full', () => {
    const whole = (attributes: Readonly<Record<string, AnyValue>>, body: AnyValue = null) =>
      isWholeRow(new BatchMaker().logs(SENDER, [row(attributes, { body })]).logs[0]!.record);
    expect(whole({ 'kymo.row.values': map({ x: 1 }), note: 'text' })).toBe(true);
    expect(whole({ 'kymo.row.values': map({ x: 1, y: 'text' }) })).toBe(false);
    expect(whole({})).toBe(false);
    expect(whole({}, map({ x: 1 }))).toBe(true);
  });

  it('takes a key __proto__ for a name like any other', () => {
    const values = attributesOf({});
    Object.defineProperty(values, '__proto__', { value: 3, enumerable: true });
    const batch = rowsFromLogs(new BatchMaker().logs(SENDER, [row({ 'kymo.row.values': values })]).logs)!;
    expect(batch.resolved.map(one => one.sinkName)).toEqual(['__proto__']);
  });
});
