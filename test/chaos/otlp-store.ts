// An OTLP/HTTP receiver that keeps what it acknowledged, and knows a retry by its batch key as a Kymo collector does.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

export class OtlpStore {
  /** Metrics requests, each once. */
  readonly metrics: Uint8Array[] = [];
  /** Requests under a key that was known, and the same bytes. */
  retries = 0;
  /** Keys that came again with other bytes: never right. */
  readonly conflicts: string[] = [];
  /** Consulted for every request; answers with the status, without keeping it, where it returns one. */
  refuse: () => number | undefined = () => undefined;
  /** So long it takes for an answer. */
  delayMs = 0;
  readonly #byKey = new Map<string, Buffer>();
  readonly #server = createServer((request, response) => this.#take(request, response));

  async start(): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise(resolve => this.#server.close(resolve));
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on('error', () => undefined);
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', () => {
      const status = this.refuse();
      if (status === undefined) this.#keep(request, Buffer.concat(chunks));
      const answer = (): void => {
        response.writeHead(status ?? 200, { 'content-type': 'application/x-protobuf' }).end();
      };
      if (this.delayMs === 0) answer();
      else setTimeout(answer, this.delayMs);
    });
  }

  #keep(request: IncomingMessage, body: Buffer): void {
    const bytes = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
    const key = String(request.headers['kymo-batch'] ?? '');
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      this.retries++;
      if (!known.equals(bytes)) this.conflicts.push(key);
      return;
    }
    if (key !== '') this.#byKey.set(key, bytes);
    if (request.url === '/v1/metrics') this.metrics.push(bytes);
  }
}
