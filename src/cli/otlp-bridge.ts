// A port on localhost that passes OTLP/HTTP on to the collector of a project folder: for programs that know no local sockets.
import { randomBytes, timingSafeEqual } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { readToken } from '../collector/token.ts';
import { SIGNALS } from '../otlp/model.ts';
import { collectorKey, localAddress, paths } from '../semconv/local.ts';
import { LocalAgent } from '../semconv/local-handshake.ts';

export interface OtlpBridge {
  readonly endpoint: string;
  /** `authorization` of every request. */
  readonly authorization: string;
  close(): void;
}

const MAX_CONNECTIONS = 256;
const REQUEST_TIMEOUT_MS = 60_000;
/** The collector is started by whoever records first; until it is there senders try again. */
const RETRY_AFTER_S = '1';
const PATHS = new Set(SIGNALS.map(signal => `/v1/${signal}`));
/** What of a request and an answer matters to the other side. */
const PASSED_HEADERS = ['content-type', 'content-encoding', 'content-length', 'retry-after'];

export async function openOtlpBridge(projectDirectory: string): Promise<OtlpBridge> {
  const { journal, token: tokenFile } = paths(projectDirectory);
  const address = localAddress(collectorKey(journal));
  const authorization = `Bearer ${randomBytes(24).toString('hex')}`;
  const server = http.createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    response.on('error', () => undefined);
    const path = request.url?.split('?', 1)[0] ?? '';
    const token = readToken(tokenFile);
    if (!isSame(request.headers.authorization ?? '', authorization)) refuse(request, response, 401);
    else if (request.method !== 'POST' || !PATHS.has(path)) refuse(request, response, 404);
    else if (token === undefined) refuse(request, response, 503);
    else {
      const onward = http.request({
        path,
        method: 'POST',
        host: 'localhost',
        headers: passed(request.headers),
        agent: new LocalAgent(address, token),
      });
      onward.setTimeout(REQUEST_TIMEOUT_MS, () => onward.destroy());
      onward.on('response', answer => {
        response.writeHead(answer.statusCode ?? 502, passed(answer.headers));
        answer.pipe(response);
        answer.on('error', () => response.destroy());
      });
      onward.on('error', () => refuse(request, response, 503));
      request.on('error', () => onward.destroy());
      request.on('aborted', () => onward.destroy());
      request.pipe(onward);
    }
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  server.unref();
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    authorization,
    close() {
      server.close();
      server.closeIdleConnections();
    },
  };
}

function passed(headers: http.IncomingHttpHeaders): http.OutgoingHttpHeaders {
  return Object.fromEntries(
    PASSED_HEADERS.map(name => [name, headers[name]] as const).filter(([, value]) => value !== undefined),
  );
}

function refuse(request: http.IncomingMessage, response: http.ServerResponse, status: number): void {
  request.unpipe();
  request.resume();
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, status === 503 ? { 'retry-after': RETRY_AFTER_S } : {});
  response.end();
}

function isSame(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}
