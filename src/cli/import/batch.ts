// Collects rows, histograms, text and spans of one piece of a source, and encodes them as OTLP requests: the same piece gives the same bytes.
import { newAttributes } from '../../otlp/attributes.ts';
import { encodeHistograms, type HistogramPointInput } from '../../otlp/encode-histograms.ts';
import {
  encodeAttributes,
  encodeLogRecord,
  encodeResource,
  encodeScope,
  encodeSpan,
  type LogRecordInput,
  type SpanInput,
} from '../../otlp/encode-records.ts';
import { encodeLogsRequest, encodeTracesRequest, type RecordGroup } from '../../otlp/encode-requests.ts';
import { type EncodedSeries, encodeScalars, SPAN_ENTRY_BYTES } from '../../otlp/encode-scalars.ts';
import type { AnyValue, Attributes, Signal } from '../../otlp/model.ts';
import { WireWriter } from '../../otlp/wire-writer.ts';
import {
  MODE,
  RANK,
  RUN_ATTEMPT,
  RUN_GROUP,
  RUN_ID,
  RUN_JOB_TYPE,
  RUN_NAME,
  RUN_TAGS,
  SCOPE,
  SERVICE_INSTANCE_ID,
  SERVICE_NAME,
} from '../../semconv/names.ts';

/** Whose run it becomes. */
export interface ImportedRun {
  readonly id: string;
  readonly name: string;
  readonly project: string;
  readonly group: string;
  readonly jobType: string;
  readonly tags: readonly string[];
}

/** Who wrote a line. */
export interface Origin {
  readonly instance: string;
  readonly rank: number;
  readonly attempt: number;
  readonly scope: string;
  readonly logger: string;
}

export interface Request {
  readonly signal: Signal;
  readonly bytes: Uint8Array;
}

export interface ScalarRow {
  readonly origin: Origin;
  readonly timeUnixNano: bigint;
  readonly step: number;
  readonly mode: string;
  readonly values: readonly (readonly [name: string, value: number | bigint])[];
  readonly axes?: Attributes | undefined;
  readonly traceId?: string | undefined;
  readonly spanId?: string | undefined;
}
export interface Histogram extends Omit<HistogramPointInput, 'seriesIndex' | 'span' | 'axes'> {
  readonly origin: Origin;
  readonly name: string;
  readonly mode: string;
}

interface ImportedPoint {
  readonly series: number;
  readonly row: ScalarRow;
  readonly value: number | bigint;
}

/** Some 20 MiB of a request; receivers take 64. A row with more becomes several. */
const MAX_REQUEST_POINTS = 100_000;
const INT64_MAX = 2n ** 63n - 1n;

export class ImportBatch {
  readonly #run: ImportedRun;
  readonly #maxRequestPoints: number;
  readonly #resources = new Map<string, Uint8Array>();
  readonly #scopes = new Map<string, Uint8Array>();
  readonly #series: EncodedSeries[] = [];
  readonly #seriesPlaces = new Map<string, number>();
  readonly #points: ImportedPoint[] = [];
  readonly #histograms: (HistogramPointInput & { readonly seriesIndex: number })[] = [];
  readonly #logs = new Groups();
  readonly #spans = new Groups();
  readonly counts = { rows: 0, points: 0, histograms: 0, logs: 0, spans: 0 };

  constructor(run: ImportedRun, maxRequestPoints = MAX_REQUEST_POINTS) {
    this.#run = run;
    this.#maxRequestPoints = maxRequestPoints;
  }

  addRow(row: ScalarRow): void {
    if (row.values.length === 0) return;
    this.counts.rows++;
    for (const [name, value] of row.values) {
      this.counts.points++;
      this.#points.push({ series: this.#seriesOf(row.origin, name, row.mode), row, value });
    }
  }

  addHistogram({ origin, name, mode, ...point }: Histogram): void {
    this.counts.histograms++;
    const seriesIndex = this.#seriesOf(origin, name, mode);
    this.#histograms.push({ ...point, seriesIndex, span: undefined, axes: undefined });
  }

  addLog(origin: Origin, record: LogRecordInput): void {
    this.counts.logs++;
    const writer = new WireWriter();
    encodeLogRecord(writer, record);
    this.#logs.add(this.#resource(origin), this.#scope(origin), writer.copy());
  }

  addSpan(origin: Origin, span: SpanInput): void {
    this.counts.spans++;
    const writer = new WireWriter();
    encodeSpan(writer, span);
    this.#spans.add(this.#resource(origin), this.#scope(origin), writer.copy());
  }

  /** In the order in which they have to arrive. */
  requests(): Request[] {
    const requests: Request[] = [];
    if (this.#logs.size > 0) requests.push({ signal: 'logs', bytes: encodeLogsRequest(this.#logs.all()) });
    const most = this.#maxRequestPoints;
    for (let from = 0; from < this.#points.length; from += most)
      requests.push({ signal: 'metrics', bytes: this.#encodeScalars(this.#points.slice(from, from + most)) });
    if (this.#histograms.length > 0)
      requests.push({ signal: 'metrics', bytes: encodeHistograms(this.#series, this.#histograms) });
    if (this.#spans.size > 0)
      requests.push({ signal: 'traces', bytes: encodeTracesRequest(this.#spans.all()) });
    return requests;
  }

  #encodeScalars(points: readonly ImportedPoint[]): Uint8Array {
    const value = new Float64Array(points.length);
    const integers = new BigInt64Array(value.buffer);
    const isInteger = new Uint8Array(points.length);
    const spanIndex = new Uint32Array(points.length);
    const axesIndex = new Uint32Array(points.length);
    const spans: Buffer[] = [];
    const axes: Uint8Array[] = [];
    const known = new Map<ScalarRow, { readonly span: number; readonly axes: number }>();
    points.forEach(({ row, value: one }, i) => {
      if (typeof one !== 'bigint') value[i] = one;
      else if (one <= INT64_MAX && one >= -INT64_MAX - 1n) {
        integers[i] = one;
        isInteger[i] = 1;
      } else value[i] = Number(one);
      let places = known.get(row);
      if (places === undefined) {
        const span = spanEntry(row);
        const extra = row.axes === undefined ? undefined : encodeAttributes(row.axes);
        places = {
          span: span === undefined ? 0 : spans.push(span),
          axes: extra === undefined || extra.length === 0 ? 0 : axes.push(extra),
        };
        known.set(row, places);
      }
      spanIndex[i] = places.span;
      axesIndex[i] = places.axes;
    });
    const bytes = encodeScalars(this.#series, {
      count: points.length,
      seriesIndex: Uint32Array.from(points, point => point.series),
      timeUnixNano: BigUint64Array.from(points, ({ row }) => row.timeUnixNano),
      value,
      isInteger,
      step: Float64Array.from(points, ({ row }) => row.step),
      spanIndex,
      spans: Buffer.concat(spans),
      axesIndex,
      axes,
    });
    return bytes;
  }

  #seriesOf(origin: Origin, name: string, mode: string): number {
    const resourceBytes = this.#resource(origin);
    const scopeBytes = this.#scope(origin);
    const key = JSON.stringify([originKey(origin), origin.scope, origin.logger, mode, name]);
    let place = this.#seriesPlaces.get(key);
    if (place === undefined) {
      const attributeBytes = encodeAttributes(attributes(mode === '' ? {} : { [MODE]: mode }));
      place = this.#series.push({ resourceBytes, scopeBytes, name, attributeBytes }) - 1;
      this.#seriesPlaces.set(key, place);
    }
    return place;
  }

  #resource(origin: Origin): Uint8Array {
    const key = originKey(origin);
    let bytes = this.#resources.get(key);
    if (bytes === undefined) {
      const { id, name, project, group, jobType, tags } = this.#run;
      bytes = encodeResource(
        attributes({
          [SERVICE_NAME]: project,
          [SERVICE_INSTANCE_ID]: origin.instance,
          [RUN_ID]: id,
          [RUN_NAME]: name,
          ...(group === '' ? {} : { [RUN_GROUP]: group }),
          ...(jobType === '' ? {} : { [RUN_JOB_TYPE]: jobType }),
          ...(tags.length === 0 ? {} : { [RUN_TAGS]: tags }),
          ...(origin.rank === 0 ? {} : { [RANK]: origin.rank }),
          ...(origin.attempt === 1 ? {} : { [RUN_ATTEMPT]: origin.attempt }),
        }),
      );
      this.#resources.set(key, bytes);
    }
    return bytes;
  }

  /** Of a resource: encoders group by the array itself. */
  #scope(origin: Origin): Uint8Array {
    const key = JSON.stringify([originKey(origin), origin.scope, origin.logger]);
    let bytes = this.#scopes.get(key);
    if (bytes === undefined) {
      bytes = encodeScope(
        origin.logger,
        '',
        attributes(origin.scope === '' ? {} : { [SCOPE]: origin.scope }),
      );
      this.#scopes.set(key, bytes);
    }
    return bytes;
  }
}

/** Encoded records by resource and scope. */
class Groups {
  readonly #groups = new Map<Uint8Array, Map<Uint8Array, Uint8Array[]>>();
  size = 0;

  add(resource: Uint8Array, scope: Uint8Array, record: Uint8Array): void {
    this.size++;
    let scopes = this.#groups.get(resource);
    if (scopes === undefined) {
      scopes = new Map();
      this.#groups.set(resource, scopes);
    }
    const records = scopes.get(scope);
    if (records === undefined) scopes.set(scope, [record]);
    else records.push(record);
  }

  all(): RecordGroup[] {
    return [...this.#groups].flatMap(([resourceBytes, scopes]) =>
      [...scopes].map(([scopeBytes, recordBytes]) => ({ resourceBytes, scopeBytes, recordBytes })),
    );
  }
}

/** A map without a prototype: a key `__proto__` is a key like any other. */
export function attributes(entries: Readonly<Record<string, AnyValue>>): Attributes {
  const map = newAttributes();
  for (const key of Object.keys(entries)) map[key] = entries[key]!;
  return map;
}

/** An event or a text as the encoder wants it, with what is not said. */
export function logRecord(
  record: Partial<LogRecordInput> & Pick<LogRecordInput, 'timeUnixNano' | 'attributes'>,
): LogRecordInput {
  return {
    observedTimeUnixNano: record.timeUnixNano,
    severityNumber: 0,
    severityText: '',
    eventName: '',
    body: null,
    traceId: '',
    spanId: '',
    flags: 0,
    ...record,
  };
}

/** Unix seconds with up to six digits, exactly. */
export function nanos(unixSeconds: number): bigint {
  if (!(unixSeconds > 0) || unixSeconds > 18_000_000_000) return 0n;
  return BigInt(Math.round(unixSeconds * 1e6)) * 1_000n;
}

function originKey({ instance, rank, attempt }: Origin): string {
  return `${attempt} ${rank} ${instance}`;
}

function spanEntry({ traceId = '', spanId = '' }: ScalarRow): Buffer | undefined {
  if (!/^[0-9a-f]{32}$/.test(traceId) || !/^[0-9a-f]{16}$/.test(spanId)) return undefined;
  const entry = Buffer.from(traceId + spanId, 'hex');
  return entry.length === SPAN_ENTRY_BYTES ? entry : undefined;
}
