// What the forwarders' tests share: batches, an exporter's context, and a peer that answers by script.
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Authenticator, Batch, ExporterContext } from '../../../../src/collector/component.ts';
import type { Signal } from '../../../../src/otlp/model.ts';
import { recordingInstruments, recordingLogger } from '../../receivers/otlp/harness.ts';

export function batchOf(bytes: Uint8Array, more: Partial<Batch> & { signal?: Signal } = {}): Batch {
  return {
    position: 0,
    next: bytes.length,
    signal: 'logs',
    receivedUnixNano: 0n,
    batchKey: '',
    bytes,
    scalars: undefined,
    histograms: [],
    logs: [],
    spans: [],
    ...more,
  };
}

export function exporterContext(
  id: string,
  baseDirectory = process.cwd(),
  authenticators: ReadonlyMap<string, Authenticator> = new Map(),
) {
  const logger = recordingLogger();
  const instruments = recordingInstruments();
  const context: ExporterContext = {
    id,
    logger,
    instruments,
    baseDirectory,
    authenticators,
    stateDirectory: baseDirectory,
    writerId: 'w',
  };
  return { context, logger, instruments };
}

export interface Seen {
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}
export type Script = (seen: Seen, response: http.ServerResponse, request: http.IncomingMessage) => void;

/** An HTTP server that remembers what it was sent and answers as told, the last answer for ever. */
export async function scriptedPeer(...answers: Script[]) {
  const seen: Seen[] = [];
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('error', () => {});
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', () => {
      const one = { url: request.url ?? '', headers: request.headers, body: Buffer.concat(chunks) };
      seen.push(one);
      const script = answers[Math.min(seen.length, answers.length) - 1]!;
      script(one, response, request);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    seen,
    url: `http://127.0.0.1:${port}`,
    async close() {
      server.closeAllConnections();
      await new Promise(resolve => server.close(resolve));
    },
  };
}

export const answer =
  (status: number, headers: http.OutgoingHttpHeaders = {}, body: Uint8Array | string = ''): Script =>
  (_seen, response) => {
    response.writeHead(status, headers).end(body);
  };
