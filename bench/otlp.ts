// What a point, a log record and a span cost in src/otlp: encode, check, decode, group, JSON. Run: node bench/otlp.ts
import { performance } from 'node:perf_hooks';
import { checkRequest } from '../src/otlp/check.ts';
import {
  encodeAttributes,
  encodeLogRecord,
  encodeResource,
  encodeScope,
  encodeSpan,
} from '../src/otlp/encode-records.ts';
import { encodeLogsRequest, encodeTracesRequest } from '../src/otlp/encode-requests.ts';
import { encodeScalars, type ScalarInput } from '../src/otlp/encode-scalars.ts';
import { readFrame, writeFrame } from '../src/otlp/frame.ts';
import { jsonToProtobuf } from '../src/otlp/json.ts';
import { decodeLogs } from '../src/otlp/logs.ts';
import { decodeMetrics } from '../src/otlp/metrics.ts';
import { groupRows } from '../src/otlp/rows.ts';
import { decodeTraces } from '../src/otlp/traces.ts';
import { WireWriter } from '../src/otlp/wire-writer.ts';

/** Rows of 20 metrics, about 64 k points in a request: the workload of the ingest figures. */
const METRICS = 20;
const ROWS = 3276;
const POINTS = METRICS * ROWS;
const RECORDS = 2000;
/** Best of: other work on the machine only ever makes it slower. */
const ROUNDS = 30;

const resourceBytes = encodeResource({
  'service.name': 'bench',
  'service.instance.id': 'b3c1',
  'kymo.run.id': 'run_1',
});
const scopeBytes = encodeScope('trainer', '1', { 'kymo.scope': 'global' });

const table = Array.from({ length: METRICS }, (_, i) => ({
  resourceBytes,
  scopeBytes,
  name: `train/metric_${i}`,
  attributeBytes: encodeAttributes({ 'kymo.mode': 'train' }),
}));
const columns: ScalarInput = {
  count: POINTS,
  seriesIndex: Uint32Array.from({ length: POINTS }, (_, i) => i % METRICS),
  timeUnixNano: BigUint64Array.from(
    { length: POINTS },
    (_, i) => 1_760_000_000_000_000_000n + BigInt(Math.floor(i / METRICS)) * 1_000_000n,
  ),
  value: Float64Array.from({ length: POINTS }, (_, i) => Math.sin(i)),
  isInteger: undefined,
  step: Float64Array.from({ length: POINTS }, (_, i) => Math.floor(i / METRICS)),
  spanIndex: undefined,
  spans: undefined,
  axesIndex: undefined,
  axes: undefined,
};
const spans = new Uint8Array(24).fill(7);
const inSpan: ScalarInput = { ...columns, spans, spanIndex: new Uint32Array(POINTS).fill(1) };

const writer = new WireWriter();
const log = {
  timeUnixNano: 1_760_000_000_000_000_000n,
  observedTimeUnixNano: 1_760_000_000_000_000_001n,
  severityNumber: 9,
  severityText: 'INFO',
  eventName: '',
  body: 'an epoch ended, and this is what it has to say',
  attributes: { 'kymo.step': 12345, loss: 0.25, split: 'train', done: false, 'code.file.path': 'train.ts' },
  traceId: '5b8efff798038103d269b633813fc60c',
  spanId: 'eee19b7ec3c1b174',
  flags: 1,
};
const span = {
  traceId: log.traceId,
  spanId: log.spanId,
  parentSpanId: log.spanId,
  traceState: '',
  name: 'rollout',
  kind: 1,
  startTimeUnixNano: log.timeUnixNano,
  endTimeUnixNano: log.observedTimeUnixNano,
  attributes: { ...log.attributes, episode: 7 },
  events: [{ timeUnixNano: log.timeUnixNano, name: 'reset', attributes: { seed: 3 } }],
  links: [],
  statusCode: 0,
  statusMessage: '',
};
function encoded(write: () => void): Uint8Array {
  writer.reset();
  write();
  return writer.copy();
}
const group = (bytes: Uint8Array) => [
  { resourceBytes, scopeBytes, recordBytes: new Array<Uint8Array>(RECORDS).fill(bytes) },
];

const metrics = encodeScalars(table, columns);
const metricsInSpan = encodeScalars(table, inSpan);
const logs = encodeLogsRequest(group(encoded(() => encodeLogRecord(writer, log))));
const traces = encodeTracesRequest(group(encoded(() => encodeSpan(writer, span))));
const decoded = decodeMetrics(metrics).scalars;
const json = JSON.stringify({
  resourceMetrics: [
    {
      scopeMetrics: [
        {
          metrics: table.slice(0, 4).map(({ name }) => ({
            name,
            gauge: {
              dataPoints: Array.from({ length: 1000 }, (_, i) => ({
                timeUnixNano: '1760000000000000000',
                asDouble: Math.sin(i),
                attributes: [{ key: 'kymo.mode', value: { stringValue: 'train' } }],
              })),
            },
          })),
        },
      ],
    },
  ],
});
const frame = Buffer.concat(
  writeFrame({ signal: 'metrics', encoding: 0, receivedUnixNano: 1n, batchKey: 'k', body: metrics }),
);

measure('encode scalars', POINTS, metrics.length, () => encodeScalars(table, columns));
measure('encode scalars in a span', POINTS, metricsInSpan.length, () => encodeScalars(table, inSpan));
measure('check scalars', POINTS, metrics.length, () => checkRequest('metrics', metrics));
measure('decode scalars', POINTS, metrics.length, () => decodeMetrics(metrics));
measure('decode scalars in a span', POINTS, metricsInSpan.length, () => decodeMetrics(metricsInSpan));
measure('group rows', POINTS, 0, () => groupRows(decoded));
measure('encode log records', RECORDS, logs.length, () => {
  writer.reset();
  for (let i = 0; i < RECORDS; i++) encodeLogRecord(writer, log);
});
measure('check logs', RECORDS, logs.length, () => checkRequest('logs', logs));
measure('decode logs', RECORDS, logs.length, () => decodeLogs(logs));
measure('encode spans', RECORDS, traces.length, () => {
  writer.reset();
  for (let i = 0; i < RECORDS; i++) encodeSpan(writer, span);
});
measure('check traces', RECORDS, traces.length, () => checkRequest('traces', traces));
measure('decode traces', RECORDS, traces.length, () => decodeTraces(traces));
measure('JSON scalars to protobuf', 4000, json.length, () => jsonToProtobuf('metrics', json));
measure('read a frame', 1, frame.length, () => readFrame(frame, 0, frame.length));

function measure(name: string, items: number, bytes: number, run: () => unknown): void {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    run();
    best = Math.min(best, performance.now() - start);
  }
  const perItem = (best * 1e6) / items;
  const rate = items / best / 1000;
  const megabytes =
    bytes === 0
      ? ''
      : `${(bytes / best / 1000).toFixed(0).padStart(7)} MB/s  ${(bytes / items).toFixed(1)} B each`;
  console.log(
    `${name.padEnd(26)}${perItem.toFixed(0).padStart(8)} ns${rate.toFixed(2).padStart(8)} M/s${megabytes}`,
  );
}
