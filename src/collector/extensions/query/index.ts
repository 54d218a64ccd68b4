// The query extension: an HTTP API over runs and their curves, logs, spans and media, from the files that the jsonl exporter writes.
import fs from 'node:fs';
import http from 'node:http';
import { z } from 'zod';
import type { AuthVerdict, Extension, ExtensionContext, ExtensionType } from '../../component.ts';
import { authReference, authSettings, resolveAuthenticator } from '../../config/authenticators.ts';
import { formatEndpoint, listenEndpoint } from '../../config/values.ts';
import { isLoopback, listenOn } from '../../listen.ts';
import { NOT_LET_IN } from '../../receivers/otlp/answers.ts';
import { createBrowserGuard } from '../../receivers/otlp/browser-guard.ts';
import { confinedOpenExisting } from '../../runs/confined.ts';
import type { Answer } from './answers.ts';
import {
  HEADERS_TIMEOUT_MS,
  IDLE_TIMEOUT_MS,
  MAX_CONNECTIONS,
  MAX_URL_CHARACTERS,
  SOCKET_TIMEOUT_MS,
} from './limits.ts';
import { QueryThread } from './thread.ts';

const querySettings = z.strictObject({
  endpoint: listenEndpoint().prefault('localhost:4319').describe('`host:port` to listen on'),
  auth: authSettings,
});
type QuerySettings = z.infer<typeof querySettings>;

export const queryExtension: ExtensionType<typeof querySettings> = {
  kind: 'extension',
  type: 'query',
  stability: 'alpha',
  config: querySettings,
  authenticators: ({ auth }) => authReference(auth, []),
  listens: (id, { endpoint }) => [
    { setting: `extensions::${id}::endpoint`, target: { transport: 'tcp', endpoint } },
  ],
  create: (context, settings) => new Query(context, settings),
};

/** Counter of answers, by HTTP status. */
const ANSWERS_METRIC = 'kymo_query_answers';
const SHOWN_REASONS = { busy: 503, late: 504, failed: 503 } as const;
const FAILURES = {
  busy: 'too many queries at once; come again in a second',
  late: 'the query took too long; ask for fewer runs or points',
  failed: 'queries are not answered at the moment; come again in some seconds',
} as const;
/** On every answer: nothing of it is a page, and nothing that other sites may use. */
const HEADERS = {
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy': "default-src 'none'; sandbox",
  'cache-control': 'no-store',
} as const;

class Query implements Extension {
  readonly #context: ExtensionContext;
  readonly #settings: QuerySettings;
  #servers: readonly http.Server[] = [];
  #addresses: readonly string[] = [];
  #thread: QueryThread | undefined;

  constructor(context: ExtensionContext, settings: QuerySettings) {
    this.#context = context;
    this.#settings = settings;
  }

  async start(): Promise<void> {
    const { endpoint } = this.#settings;
    const { id, logger, stateDirectory, runDirectories = [] } = this.#context;
    if (stateDirectory === undefined || runDirectories.length === 0) {
      throw new Error(
        `extensions::${id}: needs the jsonl exporter in a pipeline: runs, curves and logs are read from the files that it writes`,
      );
    }
    const local = isLoopback(endpoint.host);
    const guard = createBrowserGuard({ checkHost: local, ownHost: endpoint.host, cors: undefined });
    const { auth } = this.#settings;
    const authenticator = resolveAuthenticator(this.#context, auth, 'server', `extensions::${id}::auth`);
    const judge = (
      verdict: AuthVerdict,
      request: http.IncomingMessage,
      response: http.ServerResponse,
    ): void => {
      if (response.destroyed) return;
      if (verdict.kind === 'known') void this.#answer(request, response);
      else if (verdict.kind === 'busy') {
        response.setHeader('retry-after', '1');
        sendError(response, 503, 'too many are being looked at; come again in a second');
      } else {
        logger.debug('somebody who asked was not let in', { reason: verdict.reason });
        response.setHeader('www-authenticate', authenticator?.challenge ?? '');
        response.setHeader('connection', 'close');
        sendError(response, 401, NOT_LET_IN);
      }
    };
    const onRequest: http.RequestListener = (request, response) => {
      request.resume();
      for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
      response.once('finish', () =>
        this.#context.instruments.count(ANSWERS_METRIC, 1, { status: `${response.statusCode}` }),
      );
      const verdict = guard(request, response);
      if (verdict.kind === 'forbidden') sendError(response, 403, verdict.message);
      // Pages may load pictures from anywhere without an Origin; browsers say so.
      else if (request.headers['sec-fetch-site'] === 'cross-site')
        sendError(response, 403, 'web pages of other sites may not ask');
      else if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.setHeader('allow', 'GET, HEAD');
        sendError(response, 405, 'only GET and HEAD are answered');
      } else if ((request.url ?? '').length > MAX_URL_CHARACTERS)
        sendError(response, 414, `a request has at most ${MAX_URL_CHARACTERS} characters`);
      else if (authenticator === undefined) judge({ kind: 'known' }, request, response);
      else {
        const verdict = authenticator.check(name => headerText(request, name));
        if (verdict instanceof Promise) void verdict.then(late => judge(late, request, response));
        else judge(verdict, request, response);
      }
    };
    const listening = await listenOn(
      { transport: 'tcp', endpoint },
      () => {
        const server = http.createServer(
          {
            headersTimeout: HEADERS_TIMEOUT_MS,
            requestTimeout: HEADERS_TIMEOUT_MS,
            keepAliveTimeout: IDLE_TIMEOUT_MS,
          },
          onRequest,
        );
        server.maxConnections = MAX_CONNECTIONS;
        server.setTimeout(SOCKET_TIMEOUT_MS);
        return server;
      },
      `extensions::${id}::endpoint`,
    );
    this.#servers = listening.servers as http.Server[];
    this.#addresses = listening.addresses;
    this.#thread = new QueryThread({ roots: runDirectories, directory: stateDirectory }, logger);
    logger.info(`queries at ${this.#addresses.join(', ')} (${formatEndpoint(endpoint)})`);
    if (local) return;
    const reachable = `extensions::${id}::endpoint: ${formatEndpoint(endpoint)} is reachable from other machines and asks for`;
    logger.warn(
      auth === undefined
        ? `${reachable} no credentials: anyone who reaches it can read your runs. Use localhost, or auth.`
        : `${reachable} credentials without TLS: anyone on the way can read them. Put a proxy with TLS in front, or use localhost.`,
    );
  }

  /** Where it listens. */
  addresses(): readonly string[] {
    return this.#addresses;
  }

  async stop(): Promise<void> {
    const servers = this.#servers;
    this.#servers = [];
    await Promise.all([
      ...servers.map(
        server =>
          new Promise<void>(resolve => {
            server.close(() => resolve());
            server.closeAllConnections();
          }),
      ),
      this.#thread?.stop(),
    ]);
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const answer = (await this.#thread?.ask(request.url ?? '/')) ?? { kind: 'failed' };
    if (response.destroyed) return;
    try {
      if (answer.kind === 'file') sendFile(answer, request, response);
      else if (answer.kind === 'body') {
        response.writeHead(answer.status, {
          'content-type': answer.type,
          'content-length': Buffer.byteLength(answer.body),
        });
        response.end(request.method === 'HEAD' ? undefined : answer.body);
      } else {
        if (answer.kind !== 'late') response.setHeader('retry-after', '1');
        sendError(response, SHOWN_REASONS[answer.kind], FAILURES[answer.kind]);
      }
    } catch (error) {
      this.#context.logger.warn('an answer could not be sent', { error });
      if (!response.headersSent) sendError(response, 500, 'the content cannot be read');
      else response.destroy();
    }
  }
}

function headerText(request: http.IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function sendError(response: http.ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' });
  response.end(JSON.stringify({ error: { message } }));
}

/** Players ask for parts of a video. */
const RANGE = /^bytes=(\d{1,15})-(\d{0,15})$/;

function sendFile(
  { root, segments, type, name }: Extract<Answer, { kind: 'file' }>,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): void {
  const fd = confinedOpenExisting(root, ...segments);
  if (fd === undefined) {
    sendError(response, 404, 'the content has gone');
    return;
  }
  const { size } = fs.fstatSync(fd);
  const range = RANGE.exec(request.headers.range ?? '');
  const from = range === null ? 0 : Number(range[1]);
  const to = range === null || range[2] === '' ? size - 1 : Math.min(Number(range[2]), size - 1);
  const isPart = range !== null;
  if (isPart && from > to) {
    fs.closeSync(fd);
    response.setHeader('content-range', `bytes */${size}`);
    sendError(response, 416, `the content has ${size} bytes`);
    return;
  }
  const place = type === 'application/octet-stream' ? 'attachment' : 'inline';
  // RFC 8187: what is left of encodeURIComponent's signs must be encoded too.
  const encoded = encodeURIComponent(name.toWellFormed()).replace(
    /['()*]/g,
    sign => `%${sign.charCodeAt(0).toString(16)}`,
  );
  response.writeHead(isPart ? 206 : 200, {
    'content-type': type,
    'content-length': to - from + 1,
    'accept-ranges': 'bytes',
    'content-disposition': `${place}; filename*=UTF-8''${encoded}`,
    ...(isPart ? { 'content-range': `bytes ${from}-${to}/${size}` } : {}),
  });
  if (request.method === 'HEAD' || size === 0) {
    fs.closeSync(fd);
    response.end();
    return;
  }
  const stream = fs.createReadStream('', { fd, start: from, end: to });
  stream.on('error', () => response.destroy());
  response.on('close', () => stream.destroy());
  stream.pipe(response);
}
