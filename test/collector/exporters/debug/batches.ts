// Batches as the feed makes them, built by hand: enough of each field for the debug exporter.
import type { Batch } from '../../../../src/collector/component.ts';
import type { ResolvedSeries, Run } from '../../../../src/collector/runs/run.ts';
import type { LogRecord, Scope, Series, SpanRecord } from '../../../../src/otlp/model.ts';
import { batchOf } from '../otlp_http/harness.ts';

const resource = { attributes: { 'service.name': 'test' } };
const scope: Scope = { name: 's', version: '', attributes: {} };
const run = {} as Run;

export const batches = {
  /** One point of `train/loss` for each value, at steps 0, 1, 2 … */
  metrics(values: readonly number[]): Batch {
    const series: Series = {
      resource,
      scope,
      name: 'train/loss',
      unit: '',
      description: '',
      attributes: { layer: 'a' },
      kind: 'gauge',
    };
    const count = values.length;
    const timeUnixNano = new BigUint64Array(count);
    const columns = {
      count,
      series: [series],
      seriesIndex: new Uint32Array(count),
      timeUnixNano,
      timeWords: new Uint32Array(timeUnixNano.buffer),
      value: Float64Array.from(values),
      bigValue: undefined,
      step: Float64Array.from(values, (_value, i) => i),
      context: undefined,
    };
    const rows = {
      count,
      first: Uint32Array.from({ length: count + 1 }, (_, i) => i),
      points: Uint32Array.from({ length: count }, (_, i) => i),
    };
    const resolved = [{} as ResolvedSeries];
    return batchOf(new Uint8Array(0), { signal: 'metrics', scalars: { columns, resolved, rows } });
  },

  logs(bodies: readonly string[]): Batch {
    const logs = bodies.map(body => ({ run, scope: 'global', record: { ...LOG, body } }));
    return batchOf(new Uint8Array(0), { signal: 'logs', logs });
  },

  spans(name: string): Batch {
    return batchOf(new Uint8Array(0), {
      signal: 'traces',
      spans: [{ run, scope: 'global', record: { ...SPAN, name } }],
    });
  },
};

const LOG: LogRecord = {
  resource,
  scope,
  timeUnixNano: 1n,
  observedTimeUnixNano: 1n,
  severityNumber: 9,
  severityText: 'INFO',
  eventName: '',
  body: '',
  attributes: {},
  droppedAttributesCount: 0,
  traceId: '',
  spanId: '',
  flags: 0,
};

const SPAN: SpanRecord = {
  resource,
  scope,
  traceId: 'a'.repeat(32),
  spanId: 'b'.repeat(16),
  parentSpanId: '',
  traceState: '',
  name: '',
  kind: 1,
  startTimeUnixNano: 1_000_000n,
  endTimeUnixNano: 2_000_000n,
  attributes: {},
  events: [],
  links: [],
  statusCode: 0,
  statusMessage: '',
};
