// Makes batches as exporters get them: encoded as OTLP requests, then decoded and resolved the way the feed does it.
import { newAttributes } from '../../otlp/attributes.ts';
import { encodeHistograms } from '../../otlp/encode-histograms.ts';
import {
  encodeAttributes,
  encodeLogRecord,
  encodeResource,
  encodeScope,
  encodeSpan,
} from '../../otlp/encode-records.ts';
import { encodeLogsRequest, encodeTracesRequest, type RecordGroup } from '../../otlp/encode-requests.ts';
import { type EncodedSeries, encodeScalars } from '../../otlp/encode-scalars.ts';
import type { AnyValue, Attributes, Signal } from '../../otlp/model.ts';
import { WireWriter } from '../../otlp/wire-writer.ts';
import { MODE, RUN_ID, SCOPE, SERVICE_INSTANCE_ID, SERVICE_NAME } from '../../semconv/names.ts';
import type { Batch } from '../component.ts';
import { FeedBatch } from '../feed/decode.ts';
import { createResolver, type Resolver } from '../runs/resolve.ts';

type Entries = Readonly<Record<string, AnyValue>>;

/** Who says something. All of it may be hostile. */
export interface BatchOrigin {
  /** Run id. Default: `run-1`. */
  readonly run?: string;
  /** Default: `contract`. */
  readonly project?: string;
  /** One per process. Default: `instance-1`. */
  readonly instance?: string;
  /** `kymo.scope`. Default: none, which means `global`. */
  readonly scope?: string;
  /** The logger's name. */
  readonly logger?: string;
  /** Further resource attributes. */
  readonly resource?: Entries;
  /** Unix ns. Default: a second after the item before, also over batches. */
  readonly timeUnixNano?: bigint;
}

/** What one `log({…})` call wrote. */
export interface TestRow extends BatchOrigin {
  readonly values: Readonly<Record<string, number | bigint>>;
  readonly step?: number;
  readonly mode?: string;
  /** Point attributes: part of the identity of the row's series. */
  readonly attributes?: Entries;
}
export interface TestHistogram extends BatchOrigin {
  readonly name: string;
  /** Upper bounds, ascending; `counts` has one entry more. */
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  readonly step?: number;
}
/** A line of text, or an event where it has an `eventName`. */
export interface TestLog extends BatchOrigin {
  readonly body?: AnyValue;
  readonly severityNumber?: number;
  readonly severityText?: string;
  readonly eventName?: string;
  readonly attributes?: Entries;
}
export interface TestSpan extends BatchOrigin {
  readonly name: string;
  /** Default: half a second. */
  readonly durationNano?: bigint;
  readonly traceId?: string;
  readonly spanId?: string;
  readonly parentSpanId?: string;
  readonly statusCode?: number;
  readonly statusMessage?: string;
  readonly attributes?: Entries;
}

/** 2026-11-21T12:00:00Z: times are the same in every test run. */
const START = 1_795_262_400_000_000_000n;
const SECOND = 1_000_000_000n;
/** Bytes of the journal's frame around a request, about. */
const FRAME_BYTES = 64;

let resolver: Resolver | undefined;
/** As in one journal: each batch made in this process follows the one before. */
let position = 0;
let timeUnixNano = START;

/** Scalar points in rows, as a metrics batch. An empty list gives a batch with nothing in it. */
export function batchOf(rows: readonly TestRow[]): Batch {
  const table: EncodedSeries[] = [];
  const known = new Map<string, number>();
  const origins = new Origins();
  const points: { series: number; time: bigint; value: number | bigint; step: number }[] = [];
  for (const row of rows) {
    const time = tick(row);
    const { key, resourceBytes, scopeBytes } = origins.of(row);
    const attributes = { ...(row.mode === undefined ? {} : { [MODE]: row.mode }), ...row.attributes };
    const attributeBytes = encodeAttributes(attributesOf(attributes));
    for (const name of Object.keys(row.values)) {
      const seriesKey = JSON.stringify([key, name, [...attributeBytes]]);
      let series = known.get(seriesKey);
      if (series === undefined) {
        series = table.push({ resourceBytes, scopeBytes, name, attributeBytes }) - 1;
        known.set(seriesKey, series);
      }
      points.push({ series, time, value: row.values[name]!, step: row.step ?? Number.NaN });
    }
  }
  const value = new Float64Array(points.length);
  const integers = new BigInt64Array(value.buffer);
  const isInteger = new Uint8Array(points.length);
  for (const [i, point] of points.entries()) {
    if (typeof point.value === 'bigint') {
      integers[i] = point.value;
      isInteger[i] = 1;
    } else value[i] = point.value;
  }
  const bytes = encodeScalars(table, {
    count: points.length,
    seriesIndex: Uint32Array.from(points, point => point.series),
    timeUnixNano: BigUint64Array.from(points, point => point.time),
    value,
    isInteger,
    step: Float64Array.from(points, point => point.step),
    spanIndex: undefined,
    spans: undefined,
    axesIndex: undefined,
    axes: undefined,
  });
  return batchOfRequest('metrics', bytes);
}

/** Distributions, as a metrics batch. */
export function histogramBatchOf(histograms: readonly TestHistogram[]): Batch {
  const origins = new Origins();
  const table = histograms.map(histogram => ({
    ...origins.of(histogram),
    name: histogram.name,
    attributeBytes: new Uint8Array(0),
  }));
  const points = histograms.map((histogram, seriesIndex) => ({
    seriesIndex,
    timeUnixNano: tick(histogram),
    step: histogram.step ?? Number.NaN,
    span: undefined,
    axes: undefined,
    bounds: histogram.bounds,
    counts: histogram.counts,
    count: histogram.counts.reduce((sum, count) => sum + count, 0),
    sum: Number.NaN,
    min: Number.NaN,
    max: Number.NaN,
  }));
  return batchOfRequest('metrics', encodeHistograms(table, points));
}

/** Lines of text and events, as a logs batch. */
export function logBatchOf(records: readonly TestLog[]): Batch {
  const bytes = encodeLogsRequest(
    inGroups(records, (writer, record) => {
      const time = tick(record);
      encodeLogRecord(writer, {
        timeUnixNano: time,
        observedTimeUnixNano: time,
        severityNumber: record.severityNumber ?? 9,
        severityText: record.severityText ?? 'INFO',
        eventName: record.eventName ?? '',
        body: record.body ?? null,
        attributes: attributesOf(record.attributes),
        traceId: '',
        spanId: '',
        flags: 0,
      });
    }),
  );
  return batchOfRequest('logs', bytes);
}

/** Spans, as a traces batch. */
export function spanBatchOf(spans: readonly TestSpan[]): Batch {
  const bytes = encodeTracesRequest(
    inGroups(spans, (writer, span) => {
      const startTimeUnixNano = tick(span);
      encodeSpan(writer, {
        traceId: span.traceId ?? '0af7651916cd43dd8448eb211c80319c',
        spanId: span.spanId ?? 'b7ad6b7169203331',
        parentSpanId: span.parentSpanId ?? '',
        traceState: '',
        name: span.name,
        kind: 1,
        startTimeUnixNano,
        endTimeUnixNano: startTimeUnixNano + (span.durationNano ?? SECOND / 2n),
        attributes: attributesOf(span.attributes),
        events: [],
        links: [],
        statusCode: span.statusCode ?? 0,
        statusMessage: span.statusMessage ?? '',
      });
    }),
  );
  return batchOfRequest('traces', bytes);
}

function batchOfRequest(signal: Signal, bytes: Uint8Array): Batch {
  resolver ??= createResolver();
  const at = position;
  position += bytes.length + FRAME_BYTES;
  return new FeedBatch(
    {
      position: at,
      next: position,
      signal,
      receivedUnixNano: tick({}),
      batchKey: '',
      bytes: new Uint8Array(bytes),
      items: undefined,
    },
    resolver,
  );
}

function inGroups<T extends BatchOrigin>(
  items: readonly T[],
  encode: (writer: WireWriter, item: T) => void,
): RecordGroup[] {
  const origins = new Origins();
  const groups = new Map<
    string,
    { resourceBytes: Uint8Array; scopeBytes: Uint8Array; recordBytes: Uint8Array[] }
  >();
  for (const item of items) {
    const { key, resourceBytes, scopeBytes } = origins.of(item);
    const group = groups.get(key) ?? { resourceBytes, scopeBytes, recordBytes: [] };
    groups.set(key, group);
    const writer = new WireWriter();
    encode(writer, item);
    group.recordBytes.push(writer.copy());
  }
  return [...groups.values()];
}

/** Equal origins share the arrays of their resource and scope, which is how the encoders group. */
class Origins {
  readonly #resources = new Map<string, Uint8Array>();
  readonly #scopes = new Map<string, Uint8Array>();

  of(origin: BatchOrigin) {
    const { run = 'run-1', project = 'contract', instance = 'instance-1', scope, logger = '' } = origin;
    const resource = {
      [SERVICE_NAME]: project,
      [SERVICE_INSTANCE_ID]: instance,
      [RUN_ID]: run,
      ...origin.resource,
    };
    const resourceBytes = kept(this.#resources, encodeResource(attributesOf(resource)));
    const scopeAttributes = attributesOf(scope === undefined ? {} : { [SCOPE]: scope });
    const scopeBytes = kept(this.#scopes, encodeScope(logger, '', scopeAttributes), keyOf(resourceBytes));
    return { key: `${keyOf(resourceBytes)} ${keyOf(scopeBytes)}`, resourceBytes, scopeBytes };
  }
}

function kept(known: Map<string, Uint8Array>, bytes: Uint8Array, within = ''): Uint8Array {
  const key = `${within} ${keyOf(bytes)}`;
  const found = known.get(key);
  if (found !== undefined) return found;
  known.set(key, bytes);
  return bytes;
}

function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function attributesOf(entries: Entries = {}): Attributes {
  const attributes = newAttributes();
  for (const key of Object.keys(entries)) attributes[key] = entries[key]!;
  return attributes;
}

function tick(origin: BatchOrigin): bigint {
  timeUnixNano = origin.timeUnixNano ?? timeUnixNano + SECOND;
  return timeUnixNano;
}
