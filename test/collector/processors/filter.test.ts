// The filter processor: which conditions match what, and what is left.
import { describe, expect, it } from '@jest/globals';
import type { Batch, ProcessorType } from '../../../src/collector/component.ts';
import { filterProcessor } from '../../../src/collector/processors/filter/index.ts';
import { createRegistry } from '../../../src/collector/telemetry/metrics.ts';
import { batchOf, histogramBatchOf, logBatchOf, spanBatchOf } from '../../../src/collector/testing/index.ts';
import { processorContext } from './contract.ts';

const filter = (config: object, context = processorContext()) =>
  (filterProcessor as ProcessorType).create(context, filterProcessor.config.parse(config));
const names = (batch: Batch | undefined): string[] => {
  const { columns, resolved } = batch?.scalars ?? {};
  const points = Array.from(columns?.seriesIndex ?? [], at => resolved![at]!.sinkName);
  return [...points, ...(batch?.histograms ?? []).map(({ resolved: { sinkName } }) => sinkName)];
};
const bodies = (batch: Batch | undefined) => batch?.logs.map(({ record }) => record.body);

/** Names of the points that a condition leaves of a few. */
const left = (metrics: object): string[] =>
  names(
    filter({ metrics }).process(
      batchOf([
        { step: 1, values: { loss: 0.5, 'loss/aux': 2, n: 3n }, attributes: { env: 'a' } },
        { step: 2, values: { loss: Number.NaN }, attributes: { env: 'b' }, resource: { host: 'h' } },
      ]),
    ),
  );
/** Whether a condition matches one log record. */
const drops = (condition: string, log: Parameters<typeof logBatchOf>[0][number]): boolean =>
  filter({ logs: { log_record: [condition] } }).process(logBatchOf([log])) === undefined;

const problem = (condition: string): string => {
  const result = filterProcessor.config.safeParse({ metrics: { datapoint: [condition] } });
  return result.success ? '' : result.error.issues[0]!.message;
};

describe('a condition', () => {
  it('on metrics leaves out their points', () => {
    const all = ['loss/env=a', 'loss/aux/env=a', 'n/env=a', 'loss/env=b'];
    expect(left({ metric: ['name == "loss"'] }).sort()).toEqual(['loss/aux/env=a', 'n/env=a']);
    expect(left({ metric: ['IsMatch(metric.name, "^loss")'] })).toEqual(['n/env=a']);
    expect(left({ metric: ['HasPrefix(name, "l") and not HasSuffix(name, "x")'] }).sort()).toEqual(
      ['loss/aux/env=a', 'n/env=a'].sort(),
    );
    expect(left({ metric: ['type == METRIC_DATA_TYPE_GAUGE'] })).toEqual([]);
    expect(left({ metric: ['unit == "s"', 'resource.attributes["none"] != nil'] }).sort()).toEqual(
      all.sort(),
    );
  });

  it('on points asks about their values, each for itself', () => {
    expect(left({ datapoint: ['value_double > 1'] }).sort()).toEqual(['loss/env=a', 'loss/env=b']);
    expect(left({ datapoint: ['value_int == 3'] })).not.toContain('n/env=a');
    expect(left({ datapoint: ['attributes["env"] == "a"'] })).toEqual(['loss/env=b']);
    expect(left({ datapoint: ['resource.attributes["host"] == "h"'] })).not.toContain('loss/env=b');
    expect(left({ datapoint: ['not (value_double >= 0)'] })).not.toContain('loss/env=b');
    expect(left({ datapoint: ['metric.name == "loss" and value_double < 1'] }).sort()).toEqual(
      ['loss/aux/env=a', 'n/env=a', 'loss/env=b'].sort(),
    );
  });

  it('matches histograms by name and attributes', () => {
    const batch = histogramBatchOf([{ name: 'w', bounds: [0], counts: [1, 2] }]);
    expect(filter({ metrics: { metric: ['type == METRIC_DATA_TYPE_HISTOGRAM'] } }).process(batch)).toBe(
      undefined,
    );
    expect(filter({ metrics: { metric: ['type == METRIC_DATA_TYPE_SUM'] } }).process(batch)).toBe(batch);
  });

  it('on log records knows body, severity, event name and nested attributes', () => {
    expect(drops('IsMatch(body, ".*password.*")', { body: 'the password is' })).toBe(true);
    expect(drops('IsMatch(body, "password")', { body: 'nothing' })).toBe(false);
    expect(drops('severity_number < SEVERITY_NUMBER_WARN', { severityNumber: 9 })).toBe(true);
    expect(drops('severity_number < SEVERITY_NUMBER_WARN', { severityNumber: 13 })).toBe(false);
    expect(drops('body["a"]["b"] == 1 or log.event_name == "x"', { body: { a: { b: 1 } } })).toBe(true);
    expect(drops('attributes["k"] == true', { attributes: { k: true } })).toBe(true);
    expect(drops('attributes["k"] == "true"', { attributes: { k: true } })).toBe(false);
    expect(drops('attributes["n"] > "1"', { attributes: { n: 2 } })).toBe(false);
    expect(drops('attributes["big"] == 9007199254740993', { attributes: { big: 2n ** 53n + 1n } })).toBe(
      true,
    );
    expect(drops('instrumentation_scope.name == "l" and scope.name == "l"', { logger: 'l' })).toBe(true);
  });

  it('leaves out spans, or only some of their events', () => {
    const batch = spanBatchOf([{ name: 'a', statusCode: 2 }, { name: 'b' }]);
    const kept = filter({ traces: { span: ['status.code == STATUS_CODE_ERROR'] } }).process(batch)!;
    expect(kept.spans.map(({ record }) => record.name)).toEqual(['b']);
    const events = { ...batch.spans[1]!.record, events: [{ timeUnixNano: 1n, name: 'e', attributes: {} }] };
    const withEvents = {
      ...batch,
      signal: batch.signal,
      scalars: undefined,
      histograms: [],
      logs: [],
      spans: [{ ...batch.spans[1]!, record: events }],
    };
    const stripped = filter({ traces: { spanevent: ['spanevent.name == "e" and span.name == "b"'] } });
    expect(stripped.process(withEvents)!.spans[0]!.record.events).toEqual([]);
  });

  it.each([
    ['', 'expected a value at 1, found the end'],
    ['name =', 'cannot read "=" at 6'],
    ['"a', 'the text that begins at 1 has no closing "'],
    ['nme == "x"', 'a datapoint has no "nme" (it has '],
    ['name == "x"', 'a datapoint has no "name"'],
    ['value_double > 1 value_double', 'expected and, or, a comparison or the end at 18, found value_double'],
    ['Len(attributes) > 1', 'knows no function "Len" (it knows IsMatch, HasPrefix, HasSuffix)'],
    ['IsMatch(metric.name, "(a+)+")', 'the pattern of IsMatch repeats a group'],
    ['IsMatch(metric.name)', 'IsMatch takes two values'],
    ['"text"', '"text" alone is no condition'],
    [`${'('.repeat(60)}true${')'.repeat(60)}`, 'is nested deeper than 50 levels'],
  ])('that cannot be read is told: %s', (condition, said) => {
    expect(problem(condition)).toContain(said);
  });
});

describe('the filter processor', () => {
  it('keeps what a run tells about itself, counts what it leaves out, and hands on a whole batch as it is', () => {
    const registry = createRegistry();
    const everything = filter(
      { logs: { log_record: ['true'] }, metrics: { metric: ['name == "a"'] } },
      { ...processorContext(), instruments: registry.instruments({ exporter: 'jsonl' }) },
    );
    const start = { eventName: 'kymo.run.start', attributes: { 'kymo.run.state': 'running' } };
    const batch = everything.process(logBatchOf([start, { body: 'gone' }]))!;
    expect(batch.logs.map(({ record }) => record.eventName)).toEqual(['kymo.run.start']);
    expect(bodies(batch)).not.toContain('gone');
    expect(everything.process(batchOf([{ values: { a: 1 } }, { values: { a: 2 } }]))).toBe(undefined);
    const other = batchOf([{ values: { b: 1 } }]);
    expect(everything.process(other)).toBe(other);
    expect(registry.total('otelcol_processor_filter_logs_filtered', { reason: 'filtered' })).toBe(1);
    expect(registry.total('otelcol_processor_filter_datapoints_filtered')).toBe(2);
  });

  it('keeps rows together when some of their points go', () => {
    const processor = filter({ metrics: { metric: ['name == "b"'] } });
    const { columns, rows } = processor.process(
      batchOf([
        { step: 1, values: { a: 1, b: 2, c: 3 } },
        { step: 2, values: { a: 4, c: 5 } },
      ]),
    )!.scalars!;
    const values = Array.from({ length: rows.count }, (_, r) =>
      Array.from(rows.points.subarray(rows.first[r], rows.first[r + 1]), i => columns.value[i]),
    );
    expect(values).toEqual([
      [1, 3],
      [4, 5],
    ]);
  });
});
