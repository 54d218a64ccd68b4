// The workload of the ingest figures as OTLP requests: rows of 20 metrics in requests of 64,000 points, lines of text, spans.
import {
  encodeAttributes,
  encodeLogRecord,
  encodeResource,
  encodeScope,
  encodeSpan,
} from '../src/otlp/encode-records.ts';
import { encodeLogsRequest, encodeTracesRequest } from '../src/otlp/encode-requests.ts';
import { type EncodedSeries, encodeScalars } from '../src/otlp/encode-scalars.ts';
import type { Signal } from '../src/otlp/model.ts';
import { WireWriter } from '../src/otlp/wire-writer.ts';

export const METRICS_PER_ROW = 20;
const ROWS_PER_REQUEST = 3_200;
const RECORDS_PER_REQUEST = 2_000;
const ROW_NS = 1_000_000n;

export interface Load {
  readonly items: number;
  /** The n-th request of this run. */
  request(n: number): Uint8Array;
}

export function makeLoad(signal: Signal, run: string): Load {
  const resourceBytes = encodeResource({
    'service.name': 'bench',
    'service.instance.id': run,
    'kymo.run.id': run,
  });
  const scopeBytes = encodeScope('trainer', '1', { 'kymo.scope': 'global' });
  const start = BigInt(Date.now()) * 1_000_000n;
  if (signal === 'metrics') {
    const items = ROWS_PER_REQUEST * METRICS_PER_ROW;
    return { items, request: n => scalarsRequest({ resourceBytes, scopeBytes }, items, start, n) };
  }
  return {
    items: RECORDS_PER_REQUEST,
    request: n => {
      const recordBytes = Array.from({ length: RECORDS_PER_REQUEST }, (_, i) =>
        recordBytesOf(signal, start, n * RECORDS_PER_REQUEST + i),
      );
      const groups = [{ resourceBytes, scopeBytes, recordBytes }];
      return signal === 'logs' ? encodeLogsRequest(groups) : encodeTracesRequest(groups);
    },
  };
}

const attributeBytes = encodeAttributes({ 'kymo.mode': 'train' });
const writer = new WireWriter();

function scalarsRequest(
  owner: Pick<EncodedSeries, 'resourceBytes' | 'scopeBytes'>,
  count: number,
  start: bigint,
  n: number,
): Uint8Array {
  const series = Array.from({ length: METRICS_PER_ROW }, (_, m) => ({
    ...owner,
    name: `train/metric_${m}`,
    attributeBytes,
  }));
  const first = n * ROWS_PER_REQUEST;
  const seriesIndex = new Uint32Array(count);
  const timeUnixNano = new BigUint64Array(count);
  const value = new Float64Array(count);
  const step = new Float64Array(count);
  for (let row = 0, at = 0; row < ROWS_PER_REQUEST; row++) {
    const time = start + BigInt(first + row) * ROW_NS;
    for (let m = 0; m < METRICS_PER_ROW; m++, at++) {
      seriesIndex[at] = m;
      timeUnixNano[at] = time;
      value[at] = Math.sin((first + row) / 1_000) + m;
      step[at] = first + row;
    }
  }
  return encodeScalars(series, {
    count,
    seriesIndex,
    timeUnixNano,
    value,
    step,
    isInteger: undefined,
    spanIndex: undefined,
    spans: undefined,
    axesIndex: undefined,
    axes: undefined,
  });
}

function recordBytesOf(signal: Signal, start: bigint, i: number): Uint8Array {
  const time = start + BigInt(i) * ROW_NS;
  const attributes = {
    'kymo.step': i,
    loss: Math.sin(i),
    split: 'train',
    done: false,
    'code.file.path': 'train.ts',
  };
  const traceId = '5b8efff798038103d269b633813fc60c';
  const spanId = (i + 1).toString(16).padStart(16, '0');
  writer.reset();
  if (signal === 'logs')
    encodeLogRecord(writer, {
      timeUnixNano: time,
      observedTimeUnixNano: time,
      severityNumber: 9,
      severityText: 'INFO',
      eventName: '',
      body: 'an epoch has ended, and this is what it has to say',
      attributes,
      traceId,
      spanId,
      flags: 1,
    });
  else
    encodeSpan(writer, {
      traceId,
      spanId,
      parentSpanId: '',
      traceState: '',
      name: 'rollout',
      kind: 1,
      startTimeUnixNano: time,
      endTimeUnixNano: time + ROW_NS / 2n,
      attributes: { ...attributes, episode: 7 },
      events: [{ timeUnixNano: time, name: 'reset', attributes: { seed: 3 } }],
      links: [],
      statusCode: 0,
      statusMessage: '',
    });
  return writer.copy();
}
