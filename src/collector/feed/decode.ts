// From a journal record to the batch that exporters read. Nothing is decoded before somebody asks for it, and nothing twice.
import { checkRequest } from '../../otlp/check.ts';
import { decodeLogs } from '../../otlp/logs.ts';
import { decodeMetrics } from '../../otlp/metrics.ts';
import type { Signal } from '../../otlp/model.ts';
import { groupRows } from '../../otlp/rows.ts';
import { decodeTraces } from '../../otlp/traces.ts';
import type {
  Batch,
  Position,
  ResolvedHistogram,
  ResolvedLog,
  ResolvedSpan,
  ScalarBatch,
} from '../component.ts';
import type { JournalRecord } from '../journal/source.ts';
import type { Resolver } from '../runs/resolve.ts';
import { BATCH_OVERHEAD_BYTES, DECODED_FACTOR } from './limits.ts';

interface Metrics {
  readonly scalars: ScalarBatch | undefined;
  readonly histograms: readonly ResolvedHistogram[];
}

const NO_METRICS: Metrics = { scalars: undefined, histograms: [] };

/** A batch that decodes itself when it is read. What cannot be decoded throws at each reading, so that it counts against the batch. */
export class FeedBatch implements Batch {
  readonly position: Position;
  readonly next: Position;
  readonly signal: Signal;
  readonly receivedUnixNano: bigint;
  readonly batchKey: string;
  readonly bytes: Uint8Array;
  /** What it may take in memory once decoded. */
  readonly heldBytes: number;
  readonly #resolver: Resolver;
  #items: number | undefined;
  #metrics: Metrics | undefined;
  #logs: readonly ResolvedLog[] | undefined;
  #spans: readonly ResolvedSpan[] | undefined;

  constructor(record: JournalRecord, resolver: Resolver) {
    this.position = record.position;
    this.next = record.next;
    this.signal = record.signal;
    this.receivedUnixNano = record.receivedUnixNano;
    this.batchKey = record.batchKey;
    this.bytes = record.bytes;
    this.heldBytes = BATCH_OVERHEAD_BYTES + record.bytes.byteLength * (1 + DECODED_FACTOR[record.signal]);
    this.#resolver = resolver;
    this.#items = record.items;
  }

  /** Points, records or spans in it; counted without decoding. */
  get items(): number {
    if (this.#items === undefined) {
      const checked = checkRequest(this.signal, this.bytes);
      this.#items = checked.ok ? checked.items : 0;
    }
    return this.#items;
  }

  get scalars(): ScalarBatch | undefined {
    return this.#decodedMetrics().scalars;
  }
  get histograms(): readonly ResolvedHistogram[] {
    return this.#decodedMetrics().histograms;
  }
  get logs(): readonly ResolvedLog[] {
    this.#logs ??= this.signal === 'logs' ? this.#decodeLogs() : [];
    return this.#logs;
  }
  get spans(): readonly ResolvedSpan[] {
    this.#spans ??= this.signal === 'traces' ? this.#decodeSpans() : [];
    return this.#spans;
  }

  #decodedMetrics(): Metrics {
    this.#metrics ??= this.signal === 'metrics' ? this.#decodeMetrics() : NO_METRICS;
    return this.#metrics;
  }

  #decodeMetrics(): Metrics {
    const { scalars: columns, histograms } = decodeMetrics(this.bytes);
    const scalars =
      columns.count === 0
        ? undefined
        : {
            columns,
            resolved: columns.series.map(series => this.#resolver.series(series, this.receivedUnixNano)),
            rows: groupRows(columns),
          };
    return {
      scalars,
      histograms: histograms.map(point => ({
        point,
        resolved: this.#resolver.series(point.series, this.receivedUnixNano),
      })),
    };
  }

  #decodeLogs(): readonly ResolvedLog[] {
    return decodeLogs(this.bytes).map(record => {
      const { run, scope } = this.#resolver.log(record, this.receivedUnixNano);
      return { record, run, scope };
    });
  }

  #decodeSpans(): readonly ResolvedSpan[] {
    return decodeTraces(this.bytes).map(record => {
      const { run, scope } = this.#resolver.span(record, this.receivedUnixNano);
      return { record, run, scope };
    });
  }
}
