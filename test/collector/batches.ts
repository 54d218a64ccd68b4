// Builds batches the way they really come about: encoded as OTLP requests, then decoded and resolved as the feed does it.
import type { Batch, ExporterContext, Logger } from '../../src/collector/component.ts';
import { FeedBatch } from '../../src/collector/feed/decode.ts';
import { createResolver, type Resolver } from '../../src/collector/runs/resolve.ts';
import { newAttributes } from '../../src/otlp/attributes.ts';
import { encodeHistograms, type HistogramPointInput } from '../../src/otlp/encode-histograms.ts';
import {
  encodeAttributes,
  encodeLogRecord,
  encodeResource,
  encodeScope,
  encodeSpan,
  type LogRecordInput,
  type SpanInput,
} from '../../src/otlp/encode-records.ts';
import { encodeLogsRequest, encodeTracesRequest } from '../../src/otlp/encode-requests.ts';
import { type EncodedSeries, encodeScalars } from '../../src/otlp/encode-scalars.ts';
import type { AnyValue, Attributes, Signal } from '../../src/otlp/model.ts';
import { WireWriter } from '../../src/otlp/wire-writer.ts';

/** 2026-11-21T12:00:00Z. */
export const T0 = 1_795_262_400_000_000_000n;
export const SECOND = 1_000_000_000n;

/** Who sends: what stands in resource and scope. */
export interface Sender {
  readonly resource?: Readonly<Record<string, AnyValue>>;
  readonly scope?: string;
  readonly scopeAttributes?: Readonly<Record<string, AnyValue>>;
}

/** What one `log({...})` call wrote. */
export interface TestRow {
  readonly values:
    | Readonly<Record<string, number | bigint>>
    | readonly (readonly [string, number | bigint])[];
  readonly step?: number;
  /** By default a second after the row before. */
  readonly timeUnixNano?: bigint;
  /** Point attributes: the identity of its series. */
  readonly attributes?: Readonly<Record<string, AnyValue>>;
  readonly axes?: Readonly<Record<string, AnyValue>>;
  readonly traceId?: string;
  readonly spanId?: string;
}

export interface TestHistogram extends Partial<Omit<HistogramPointInput, 'seriesIndex'>> {
  readonly name: string;
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  readonly attributes?: Readonly<Record<string, AnyValue>>;
}

export type TestLog = Partial<Omit<LogRecordInput, 'attributes'>> & {
  readonly attributes?: Readonly<Record<string, AnyValue>>;
};
export type TestSpan = Partial<Omit<SpanInput, 'attributes'>> & {
  readonly attributes?: Readonly<Record<string, AnyValue>>;
};

/** Makes batches that follow each other in one journal. */
export class BatchMaker {
  readonly #resolver: Resolver;
  #position = 0;
  #timeUnixNano = T0;

  constructor(resolver: Resolver = createResolver({ caseSensitive: true })) {
    this.#resolver = resolver;
  }

  get position(): number {
    return this.#position;
  }

  rows(sender: Sender, rows: readonly TestRow[], receivedUnixNano?: bigint): Batch {
    const table: EncodedSeries[] = [];
    const known = new Map<string, number>();
    const resourceBytes = encodeResource(attributesOf(sender.resource));
    const scopeBytes = encodeScope(sender.scope ?? '', '', attributesOf(sender.scopeAttributes));
    const points: { series: number; time: bigint; value: number | bigint; row: TestRow }[] = [];
    for (const row of rows) {
      this.#timeUnixNano = row.timeUnixNano ?? this.#timeUnixNano + SECOND;
      const entries = Array.isArray(row.values) ? row.values : Object.entries(row.values);
      for (const [name, value] of entries as [string, number | bigint][]) {
        const attributeBytes = encodeAttributes(attributesOf(row.attributes));
        const key = JSON.stringify([name, [...attributeBytes]]);
        let series = known.get(key);
        if (series === undefined) {
          series = table.length;
          known.set(key, series);
          table.push({ resourceBytes, scopeBytes, name, attributeBytes });
        }
        points.push({ series, time: this.#timeUnixNano, value, row });
      }
    }
    const count = points.length;
    const value = new Float64Array(count);
    const integers = new BigInt64Array(value.buffer);
    const isInteger = new Uint8Array(count);
    points.forEach((point, i) => {
      if (typeof point.value === 'bigint') {
        integers[i] = point.value;
        isInteger[i] = 1;
      } else value[i] = point.value;
    });
    const spans = Buffer.concat(points.map(({ row }) => spanBytes(row)));
    const bytes = encodeScalars(table, {
      count,
      seriesIndex: Uint32Array.from(points, point => point.series),
      timeUnixNano: BigUint64Array.from(points, point => point.time),
      value,
      isInteger,
      step: Float64Array.from(points, ({ row }) => row.step ?? Number.NaN),
      spanIndex: Uint32Array.from(points, ({ row }, i) => (row.traceId === undefined ? 0 : i + 1)),
      spans,
      axesIndex: Uint32Array.from(points, ({ row }, i) => (row.axes === undefined ? 0 : i + 1)),
      axes: points.map(({ row }) => encodeAttributes(attributesOf(row.axes))),
    });
    return this.request('metrics', bytes, receivedUnixNano);
  }

  histograms(sender: Sender, histograms: readonly TestHistogram[], receivedUnixNano?: bigint): Batch {
    const resourceBytes = encodeResource(attributesOf(sender.resource));
    const scopeBytes = encodeScope(sender.scope ?? '', '', attributesOf(sender.scopeAttributes));
    const table = histograms.map(({ name, attributes }) => ({
      resourceBytes,
      scopeBytes,
      name,
      attributeBytes: encodeAttributes(attributesOf(attributes)),
    }));
    const points = histograms.map(({ name: _, attributes: __, ...point }, seriesIndex) => ({
      timeUnixNano: this.#tick(),
      step: Number.NaN,
      span: undefined,
      axes: undefined,
      count: point.counts.reduce((sum, n) => sum + n, 0),
      sum: Number.NaN,
      min: Number.NaN,
      max: Number.NaN,
      ...point,
      seriesIndex,
    }));
    return this.request('metrics', encodeHistograms(table, points), receivedUnixNano);
  }

  logs(sender: Sender, records: readonly TestLog[], receivedUnixNano?: bigint): Batch {
    const recordBytes = records.map(record => {
      const writer = new WireWriter();
      const timeUnixNano = record.timeUnixNano ?? this.#tick();
      encodeLogRecord(writer, {
        timeUnixNano,
        observedTimeUnixNano: timeUnixNano,
        severityNumber: 0,
        severityText: '',
        eventName: '',
        body: null,
        traceId: '',
        spanId: '',
        flags: 0,
        ...record,
        attributes: attributesOf(record.attributes),
      });
      return writer.copy();
    });
    const resourceBytes = encodeResource(attributesOf(sender.resource));
    const scopeBytes = encodeScope(sender.scope ?? '', '', attributesOf(sender.scopeAttributes));
    const bytes = encodeLogsRequest([{ resourceBytes, scopeBytes, recordBytes }]);
    return this.request('logs', new Uint8Array(bytes), receivedUnixNano);
  }

  spans(sender: Sender, records: readonly TestSpan[], receivedUnixNano?: bigint): Batch {
    const recordBytes = records.map(record => {
      const writer = new WireWriter();
      const startTimeUnixNano = record.startTimeUnixNano ?? this.#tick();
      encodeSpan(writer, {
        traceId: '0af7651916cd43dd8448eb211c80319c',
        spanId: 'b7ad6b7169203331',
        parentSpanId: '',
        traceState: '',
        name: 'span',
        kind: 1,
        startTimeUnixNano,
        endTimeUnixNano: startTimeUnixNano + SECOND / 2n,
        events: [],
        links: [],
        statusCode: 0,
        statusMessage: '',
        ...record,
        attributes: attributesOf(record.attributes),
      });
      return writer.copy();
    });
    const resourceBytes = encodeResource(attributesOf(sender.resource));
    const scopeBytes = encodeScope(sender.scope ?? '', '', attributesOf(sender.scopeAttributes));
    const bytes = encodeTracesRequest([{ resourceBytes, scopeBytes, recordBytes }]);
    return this.request('traces', new Uint8Array(bytes), receivedUnixNano);
  }

  /** Any request, as the journal would hand it out next. */
  request(signal: Signal, bytes: Uint8Array, receivedUnixNano?: bigint): Batch {
    const position = this.#position;
    this.#position += bytes.length + 64;
    return new FeedBatch(
      {
        position,
        next: this.#position,
        signal,
        receivedUnixNano: receivedUnixNano ?? this.#tick(),
        batchKey: '',
        bytes,
        items: undefined,
      },
      this.#resolver,
    );
  }

  #tick(): bigint {
    this.#timeUnixNano += SECOND;
    return this.#timeUnixNano;
  }
}

export function attributesOf(entries: Readonly<Record<string, AnyValue>> = {}): Attributes {
  const attributes = newAttributes();
  for (const [key, value] of Object.entries(entries)) attributes[key] = value;
  return attributes;
}

function spanBytes(row: TestRow): Buffer {
  const bytes = Buffer.alloc(24);
  bytes.write(row.traceId ?? '', 0, 16, 'hex');
  bytes.write(row.spanId ?? '', 16, 8, 'hex');
  return bytes;
}

/** What a component is created with, and everything it said and counted. */
export interface TestContext extends ExporterContext {
  readonly messages: readonly string[];
  counted(name: string, attributes?: Readonly<Record<string, string>>): number;
}

export function testContext(
  place: { readonly baseDirectory: string; readonly stateDirectory: string },
  options: { readonly id: string; readonly writerId?: string },
): TestContext {
  const messages: string[] = [];
  const counts = new Map<string, number>();
  const say = (message: string, fields?: Record<string, unknown>): void => {
    messages.push(fields === undefined ? message : `${message} ${JSON.stringify(fields)}`);
  };
  const logger: Logger = { debug: say, info: say, warn: say, error: say };
  const keyOf = (name: string, attributes: Readonly<Record<string, string>> = {}): string =>
    `${name} ${JSON.stringify(attributes)}`;
  return {
    ...place,
    id: options.id,
    writerId: options.writerId ?? 'writer-a',
    logger,
    instruments: {
      count(name, amount, attributes) {
        const key = keyOf(name, attributes);
        counts.set(key, (counts.get(key) ?? 0) + amount);
      },
      set() {},
    },
    messages,
    counted: (name, attributes) => counts.get(keyOf(name, attributes)) ?? 0,
  };
}
