// The HTTP end of the otlp receiver: sockets, TLS, timeouts and the browser guard around the handler.
import http from 'node:http';
import https from 'node:https';
import type net from 'node:net';
import { resolve } from 'node:path';
import type { AuthVerdict, ReceiverContext } from '../../component.ts';
import { resolveAuthenticator } from '../../config/authenticators.ts';
import { parseEndpoint } from '../../config/values.ts';
import { isLoopback, type ListenTarget, listenOn } from '../../listen.ts';
import { errorAnswer, NOT_LET_IN, pushBackAnswer, RPC } from './answers.ts';
import { createBrowserGuard } from './browser-guard.ts';
import { Connections, MAX_CONNECTIONS } from './connections.ts';
import { receiverCounters } from './counters.ts';
import { bodyType, createOtlpHttpHandler, DEFAULT_LIMITS, respond } from './http-handler.ts';
import type { Encoding } from './inflate.ts';
import type { HttpSettings } from './settings.ts';
import { reloadTls, type ServerTlsSettings, serverTlsOptions } from './tls.ts';

/** One end of a receiver that accepts requests. */
export interface ReceiverEnd {
  readonly addresses: readonly string[];
  stop(deadlineMs: number): Promise<void>;
}

const MAX_HEADER_BYTES = 16 * 1024;
const TLS_HANDSHAKE_TIMEOUT_MS = 10_000;
/** How often Node looks for senders whose time is up. */
const CHECK_INTERVAL_MIN_MS = 25;
const CHECK_INTERVAL_MAX_MS = 5_000;
/** While stopping: how often connections that have become idle are closed. */
const CLOSE_IDLE_INTERVAL_MS = 20;
/** Told to a sender who is turned away because too many are being looked at. */
const RETRY_WHEN_BUSY_MS = 1_000;

/** Names of Content-Encodings in the settings; HTTP's `deflate` is zlib's format. */
const ENCODING_NAMES: Readonly<Record<string, Encoding>> = {
  '': 'identity',
  none: 'identity',
  gzip: 'gzip',
  zstd: 'zstd',
  zlib: 'deflate',
  deflate: 'deflate',
};

export async function startHttpServer(
  settings: HttpSettings,
  context: ReceiverContext,
  setting: string,
): Promise<ReceiverEnd> {
  const target = listenTarget(settings, context.baseDirectory);
  const local = target.transport === 'unix' || isLoopback(target.endpoint.host);
  const counters = receiverCounters(context.instruments, context.id, 'http');
  const handle = createOtlpHttpHandler({
    ingest: context.ingest,
    limits: {
      maxBodyBytes: settings.max_request_body_size,
      minBytesPerSecond: settings.min_bytes_per_second,
      minRateGraceMs: DEFAULT_LIMITS.minRateGraceMs,
    },
    logger: context.logger,
    instruments: context.instruments,
    paths: {
      traces: settings.traces_url_path,
      metrics: settings.metrics_url_path,
      logs: settings.logs_url_path,
    },
    receiver: context.id,
    transport: 'http',
    encodings: [...new Set(settings.compression_algorithms.map(name => ENCODING_NAMES[name]!))],
  });
  const guard = createBrowserGuard({
    checkHost: target.transport === 'tcp' && local,
    ownHost: target.transport === 'tcp' ? target.endpoint.host : '',
    cors: settings.cors,
  });
  const authenticator = resolveAuthenticator(
    context,
    settings.auth,
    'server',
    setting.replace(/::endpoint$/, '::auth'),
  );
  const answering = new Set<http.ServerResponse>();
  let stopping = false;

  const onRequest = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    answering.add(response);
    response.once('close', () => answering.delete(response));
    for (const [name, value] of Object.entries(settings.response_headers)) response.setHeader(name, value);
    if (stopping || !settings.keep_alives_enabled) response.setHeader('connection', 'close');
    const verdict = guard(request, response);
    if (verdict.kind === 'answered') return;
    if (verdict.kind === 'forbidden') {
      counters.rejected(verdict.reason);
      const type = bodyType(request.headers['content-type']) ?? 'json';
      respond(request, response, errorAnswer(403, type, RPC.permissionDenied, verdict.message));
      return;
    }
    if (authenticator === undefined) {
      handle(request, response);
      return;
    }
    // Before a byte of the body is read.
    const judge = (auth: AuthVerdict): void => {
      if (auth.kind === 'known' && !request.destroyed) handle(request, response);
      else if (auth.kind !== 'known') turnAway(request, response, auth);
    };
    const auth = authenticator.check(name => headerText(request, name));
    if (auth instanceof Promise) void auth.then(judge);
    else judge(auth);
  };
  const turnAway = (
    request: http.IncomingMessage,
    response: http.ServerResponse,
    auth: Exclude<AuthVerdict, { kind: 'known' }>,
  ): void => {
    counters.rejected('auth');
    const type = bodyType(request.headers['content-type']) ?? 'json';
    // What nobody is let in with is not worth a connection.
    response.setHeader('connection', 'close');
    if (auth.kind === 'busy') {
      const message = 'too many senders are being looked at';
      respond(request, response, pushBackAnswer(type, message, RETRY_WHEN_BUSY_MS));
      return;
    }
    context.logger.debug('a sender was not let in', { reason: auth.reason });
    const headers = { 'www-authenticate': authenticator?.challenge ?? '' };
    respond(request, response, errorAnswer(401, type, RPC.unauthenticated, NOT_LET_IN, headers));
  };

  const tls = settings.tls as ServerTlsSettings | undefined;
  const tlsSetting = setting.replace(/::endpoint$/, '::tls');
  const tlsOptions = tls && serverTlsOptions(tls, context.baseDirectory, tlsSetting);
  const connections = new Connections();
  const makeServer = (): http.Server | https.Server => {
    const options: http.ServerOptions = timeouts(settings);
    const server =
      tlsOptions === undefined
        ? http.createServer(options, onRequest)
        : https.createServer(
            { ...options, ...tlsOptions, handshakeTimeout: TLS_HANDSHAKE_TIMEOUT_MS },
            onRequest,
          );
    server.on('checkContinue', onRequest);
    server.maxConnections = MAX_CONNECTIONS;
    server.on('drop', () => counters.rejected('connections'));
    server.prependListener('connection', (socket: net.Socket) => {
      if (!connections.admit(socket)) counters.rejected('connections');
    });
    server.setTimeout(settings.write_timeout);
    return server;
  };
  const listening = await listenOn(target, makeServer, setting);
  const servers = listening.servers as (http.Server | https.Server)[];
  const endReload =
    tls === undefined
      ? () => {}
      : reloadTls(tls, context.baseDirectory, tlsSetting, context.logger, options => {
          for (const server of servers) (server as https.Server).setSecureContext(options);
        });

  return {
    addresses: listening.addresses,
    async stop(deadlineMs) {
      stopping = true;
      endReload();
      for (const response of answering) {
        if (!response.headersSent) response.setHeader('connection', 'close');
      }
      const closed = servers.map(server => new Promise<void>(resolve => server.close(() => resolve())));
      const closeIdle = setInterval(() => {
        for (const server of servers) server.closeIdleConnections();
      }, CLOSE_IDLE_INTERVAL_MS);
      const deadline = setTimeout(() => {
        for (const server of servers) server.closeAllConnections();
      }, deadlineMs);
      await Promise.all(closed);
      clearInterval(closeIdle);
      clearTimeout(deadline);
    },
  };
}

/** A header as one text; of one that comes twice only the first counts, as Node has it for the ones that matter. */
function headerText(request: http.IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** Where an end listens; a relative socket path starts at the base directory. */
export function listenTarget(
  settings: { readonly transport: 'tcp' | 'unix'; readonly endpoint: string },
  baseDirectory: string,
): ListenTarget {
  if (settings.transport === 'unix')
    return { transport: 'unix', path: resolve(baseDirectory, settings.endpoint) };
  const endpoint = parseEndpoint(settings.endpoint);
  if (endpoint === undefined) throw new Error(`not an endpoint: ${settings.endpoint}`);
  return { transport: 'tcp', endpoint };
}

function timeouts(settings: HttpSettings): http.ServerOptions {
  const whole = settings.read_timeout;
  const headers =
    whole > 0 ? Math.min(settings.read_header_timeout || whole, whole) : settings.read_header_timeout;
  const shortest = Math.min(whole || Infinity, headers || Infinity);
  return {
    headersTimeout: headers,
    requestTimeout: whole,
    keepAliveTimeout: settings.idle_timeout,
    connectionsCheckingInterval: Math.max(
      CHECK_INTERVAL_MIN_MS,
      Math.min(CHECK_INTERVAL_MAX_MS, shortest / 2),
    ),
    maxHeaderSize: MAX_HEADER_BYTES,
  };
}
