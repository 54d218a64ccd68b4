// Peers for forwarders, over HTTP and over gRPC, that remember what they took and refuse for as long as they are told to.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import * as grpc from '@grpc/grpc-js';

export class ScriptedSink {
  /** Hashes of the requests taken since the last `empty`. */
  readonly taken: string[] = [];
  /** HTTP status and gRPC code of the answers; 200 and 0 take. */
  status = 200;
  code = 0;
  readonly #http = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      if (this.status === 200)
        this.take(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body);
      response.writeHead(this.status).end();
    });
  });
  readonly #grpc = new grpc.Server();
  httpUrl = '';
  grpcEndpoint = '';

  async listen(): Promise<void> {
    this.#http.listen(0, '127.0.0.1');
    await once(this.#http, 'listening');
    this.httpUrl = `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
    const identity = (bytes: Buffer): Buffer => bytes;
    const handler: grpc.handleUnaryCall<Buffer, Buffer> = (call, callback) => {
      if (this.code !== 0) return callback({ code: this.code, details: 'as told' });
      this.take(call.request);
      callback(null, Buffer.alloc(0));
    };
    for (const [signal, service] of [
      ['logs', 'LogsService'],
      ['metrics', 'MetricsService'],
      ['trace', 'TraceService'],
    ])
      this.#grpc.register(
        `/opentelemetry.proto.collector.${signal}.v1.${service}/Export`,
        handler,
        identity,
        identity,
        'unary',
      );
    const port = await new Promise<number>((resolve, reject) =>
      this.#grpc.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    this.grpcEndpoint = `http://127.0.0.1:${port}`;
  }

  /** @returns how to end it */
  refuseWith(status: number, code: number): () => void {
    this.status = status;
    this.code = code;
    return () => {
      this.status = 200;
      this.code = 0;
    };
  }

  empty(): void {
    this.taken.length = 0;
  }

  take(body: Buffer): void {
    this.taken.push(createHash('sha256').update(body).digest('hex'));
  }

  close(): void {
    this.#http.closeAllConnections();
    this.#http.close();
    this.#grpc.forceShutdown();
  }
}
