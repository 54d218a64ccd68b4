// A real OTLP/HTTP server for tests of the sender: keeps what it acknowledged, decoded, and answers as it is told.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { decodeLogs } from '../../src/otlp/logs.ts';
import { decodeMetrics } from '../../src/otlp/metrics.ts';
import type { HistogramPoint, LogRecord, Signal, SpanRecord } from '../../src/otlp/model.ts';
import { decodeTraces } from '../../src/otlp/traces.ts';

export interface SinkPoint {
  readonly name: string;
  readonly step: number;
  readonly value: number;
  readonly timeUnixNano: bigint;
  readonly attributes: Record<string, unknown>;
  readonly resource: Record<string, unknown>;
}

/** 'cut' reads the request and closes the connection without an answer. */
export type Answer = { status: number; headers?: Record<string, string> } | 'cut';

export class OtlpSink {
  readonly points: SinkPoint[] = [];
  readonly histograms: HistogramPoint[] = [];
  readonly logs: LogRecord[] = [];
  readonly spans: SpanRecord[] = [];
  readonly keys: string[] = [];
  readonly encodings = new Set<string>();
  /** Consulted for every request; the default takes everything. Requests answered below 300 are kept. */
  answer: (signal: Signal, n: number) => Answer = () => ({ status: 200 });
  requests = 0;
  private readonly server = createServer((request, response) => this.take(request, response));
  private port = 0;

  async start(port = 0): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, '127.0.0.1', resolve);
    });
    this.port = (this.server.address() as AddressInfo).port;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Points of a metric, the companion gauge left out. */
  series(name: string): SinkPoint[] {
    return this.points.filter(point => point.name === name);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise(resolve => this.server.close(resolve));
  }

  private take(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', () => {
      const signal = (request.url ?? '').replace('/v1/', '') as Signal;
      const answer = this.answer(signal, this.requests++);
      if (answer === 'cut') {
        request.socket.destroy();
        return;
      }
      if (answer.status < 300) {
        this.keys.push(String(request.headers['kymo-batch']));
        this.keep(signal, Buffer.concat(chunks), String(request.headers['content-encoding'] ?? ''));
      }
      response.writeHead(answer.status, { 'content-type': 'application/x-protobuf', ...answer.headers });
      response.end();
    });
  }

  private keep(signal: Signal, body: Buffer, encoding: string): void {
    this.encodings.add(encoding);
    const bytes =
      encoding === 'gzip' ? gunzipSync(body) : encoding === 'zstd' ? zstdDecompressSync(body) : body;
    if (signal === 'logs') this.logs.push(...decodeLogs(bytes));
    else if (signal === 'traces') this.spans.push(...decodeTraces(bytes));
    else {
      const { scalars, histograms } = decodeMetrics(bytes);
      this.histograms.push(...histograms);
      for (let i = 0; i < scalars.count; i++) {
        const series = scalars.series[scalars.seriesIndex[i]!]!;
        this.points.push({
          name: series.name,
          step: scalars.step[i]!,
          value: scalars.value[i]!,
          timeUnixNano: scalars.timeUnixNano[i]!,
          attributes: series.attributes,
          resource: series.resource.attributes,
        });
      }
    }
  }
}
