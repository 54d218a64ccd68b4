// The embedded collector's door on its local endpoint: OTLP, who is still there, how far the files are, and stop. Binding it is the collector's lock.
import http from 'node:http';
import type net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { welcomeLocal } from '../semconv/local-handshake.ts';
import type { Ingest, Instruments, Logger, Position } from './component.ts';
import { bindLocalEndpoint } from './local-endpoint.ts';
import { pushBackAnswer } from './receivers/otlp/answers.ts';
import {
  createOtlpHttpHandler,
  DEFAULT_LIMITS,
  DEFAULT_PATHS,
  type OtlpHttpHandler,
  respond,
} from './receivers/otlp/http-handler.ts';

/** A process that is attached. Each connection is one of its own, also of a process that attaches twice. */
export interface LocalClient {
  readonly id: number;
  readonly instance: string;
  readonly pid: number;
  /** The run it named, or empty. */
  readonly run: string;
  readonly attachedAtUnixMs: number;
}

/** How a client left: it said so, or its connection ended without (a killed process counts as gone). */
export type Departure = 'goodbye' | 'vanished';

export interface Progress {
  /** Every local exporter's durable cursor has passed the position. */
  readonly reached: boolean;
  readonly exporters: readonly {
    readonly id: string;
    readonly position: Position;
    readonly [key: string]: unknown;
  }[];
}

/** What stands behind the door. Called only for connections that proved to know the token; may throw, which is answered with 500. */
export interface LocalControl {
  /** A client has come. Returns the first line it gets: `version`, `format`, `journal`, `pid`, `directory` and what else it may know. */
  attached(client: LocalClient): Readonly<Record<string, unknown>>;
  /** It has gone; called exactly once for each that came. */
  detached(client: LocalClient, how: Departure): void;
  /** Resolves once every local exporter has durably written what lies before `position`, or at the timeout, or when `signal` aborts. */
  progress(position: Position, timeoutMs: number, signal: AbortSignal): Promise<Progress>;
  status(): unknown | Promise<unknown>;
  /** Drain and end. Returns at once. */
  stop(): void;
}

export interface LocalServerOptions {
  /** From `localEndpoint(key)`. */
  readonly address: string;
  /** What every connection must prove to know; see semconv/local-handshake.ts. */
  readonly token: string;
  readonly ingest: Ingest;
  readonly control: LocalControl;
  readonly logger: Logger;
  readonly instruments?: Instruments;
  /** Takes the OTLP requests; one with the default limits is made where it is left out. */
  readonly otlpHandler?: OtlpHttpHandler;
  readonly heartbeatMs?: number;
}

export interface LocalServer {
  readonly address: string;
  clients(): readonly LocalClient[];
  /** Take no more telemetry and no more clients, let go of those that are attached, answer what is under way within the deadline. The lock stays held. */
  drain(deadlineMs: number): Promise<void>;
  /** Drain, and close. The lock is free afterwards. */
  close(deadlineMs: number): Promise<void>;
}

/** `taken`: another collector holds the endpoint. */
export type LocalServerResult =
  | { readonly kind: 'listening'; readonly server: LocalServer }
  | { readonly kind: 'taken' };

/** A process holds two connections, one attached and one or two for OTLP. */
export const MAX_LOCAL_CONNECTIONS = 2048;
export const MAX_LOCAL_CLIENTS = 512;
/** Requests for progress that wait at once. */
export const MAX_WAITERS = 1024;
/** Longest that one request for progress waits; who wants longer asks again. */
export const MAX_WAIT_MS = 60_000;
/** A newline tells both ends that the other one is there. */
const HEARTBEAT_MS = 5_000;
/** A sender that is turned away finds, by then, the next collector or starts it. */
const STOPPING_RETRY_MS = 1_000;
const MIN_TOKEN_CHARACTERS = 16;
const MAX_INSTANCE_CHARACTERS = 256;
const MAX_RUN_CHARACTERS = 512;
const DRAIN_POLL_MS = 10;
/** Connections between batches stay open: opening one costs more than keeping it. */
const IDLE_TIMEOUT_MS = 10 * 60_000;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;

const NO_INSTRUMENTS: Instruments = { count: () => {}, set: () => {} };

export async function startLocalServer(options: LocalServerOptions): Promise<LocalServerResult> {
  if (options.token.length < MIN_TOKEN_CHARACTERS) {
    throw new Error(`the token of the local endpoint needs at least ${MIN_TOKEN_CHARACTERS} characters`);
  }
  const door = new LocalDoor(options);
  return (await door.open()) ? { kind: 'listening', server: door } : { kind: 'taken' };
}

/** Thrown for what a client got wrong. */
class BadRequest extends Error {}

class LocalDoor implements LocalServer {
  readonly address: string;
  readonly #options: LocalServerOptions;
  readonly #otlp: OtlpHttpHandler;
  readonly #otlpPaths: ReadonlySet<string> = new Set(Object.values(DEFAULT_PATHS));
  /** Connections whose handshake is not over. */
  readonly #strangers = new Set<net.Socket>();
  readonly #server: http.Server;
  readonly #attached = new Map<
    number,
    { client: LocalClient; response: http.ServerResponse; leave(how: Departure): void }
  >();
  readonly #closing = new AbortController();
  readonly #underWay = new Set<http.ServerResponse>();
  #draining = false;
  #lastClient = 0;
  #waiters = 0;

  constructor(options: LocalServerOptions) {
    this.address = options.address;
    this.#options = options;
    this.#otlp =
      options.otlpHandler ??
      createOtlpHttpHandler({
        ingest: options.ingest,
        limits: DEFAULT_LIMITS,
        logger: options.logger,
        instruments: options.instruments ?? NO_INSTRUMENTS,
        paths: DEFAULT_PATHS,
        receiver: 'local',
        transport: 'local',
      });
    const onRequest = (request: http.IncomingMessage, response: http.ServerResponse): void => {
      this.#handle(request, response).catch((error: unknown) => {
        if (error instanceof BadRequest) answer(response, 400, { error: error.message });
        else {
          options.logger.error('a request to the local endpoint failed', { path: pathOf(request), error });
          answer(response, 500, { error: 'internal error; see the log of the collector' });
        }
      });
    };
    this.#server = http.createServer(
      {
        headersTimeout: HEADERS_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        keepAliveTimeout: IDLE_TIMEOUT_MS,
        connectionsCheckingInterval: 5_000,
      },
      onRequest,
    );
    this.#server.on('checkContinue', onRequest);
    this.#putHandshakeBeforeHttp();
    this.#server.maxConnections = MAX_LOCAL_CONNECTIONS;
    this.#server.on('drop', () => options.logger.warn('too many connections to the local endpoint'));
  }

  async open(): Promise<boolean> {
    return (await bindLocalEndpoint(this.#server, this.address)) === 'bound';
  }

  clients(): readonly LocalClient[] {
    return [...this.#attached.values()].map(({ client }) => client);
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true;
    for (const { response } of this.#attached.values()) response.end();
    const until = performance.now() + deadlineMs;
    while (this.#underWay.size > 0 && performance.now() < until) await sleep(DRAIN_POLL_MS);
  }

  async close(deadlineMs: number): Promise<void> {
    const startedAt = performance.now();
    await this.drain(deadlineMs);
    this.#closing.abort();
    for (const socket of this.#strangers) socket.destroy();
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()));
    const closeIdle = setInterval(() => this.#server.closeIdleConnections(), DRAIN_POLL_MS);
    const left = Math.max(0, deadlineMs - (performance.now() - startedAt));
    const deadline = setTimeout(() => this.#server.closeAllConnections(), left);
    await closed;
    clearInterval(closeIdle);
    clearTimeout(deadline);
  }

  /** Node's own listeners get a connection only once it is somebody's who knows the token. */
  #putHandshakeBeforeHttp(): void {
    const listeners = this.#server.listeners('connection');
    this.#server.removeAllListeners('connection');
    this.#server.on('connection', (socket: net.Socket) => {
      this.#strangers.add(socket);
      socket.once('close', () => this.#strangers.delete(socket));
      void welcomeLocal(socket, this.#options.token).then(isWelcome => {
        if (!isWelcome) {
          this.#options.logger.debug('a connection to the local endpoint did not know the token');
          return;
        }
        this.#strangers.delete(socket);
        for (const listener of listeners) listener.call(this.#server, socket);
        socket.resume();
      });
    });
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    response.on('error', () => {});
    if (this.#draining) response.setHeader('connection', 'close');
    const path = pathOf(request);
    if (this.#otlpPaths.has(path)) {
      if (this.#draining) {
        respond(request, response, pushBackAnswer('json', 'the collector is stopping', STOPPING_RETRY_MS));
        return;
      }
      this.#underWay.add(response);
      response.once('close', () => this.#underWay.delete(response));
      this.#otlp(request, response);
      return;
    }
    if (request.headers.expect !== undefined) response.writeContinue();
    request.resume();
    switch (`${request.method} ${path}`) {
      case 'GET /kymo/v1/attach':
        return this.#attach(request, response);
      case 'POST /kymo/v1/detach':
        return this.#detach(request, response);
      case 'GET /kymo/v1/progress':
        return this.#progress(request, response);
      case 'GET /kymo/v1/status':
        answer(response, 200, await this.#options.control.status());
        return;
      case 'POST /kymo/v1/stop':
        answer(response, 202, { stopping: true });
        this.#options.control.stop();
        return;
      default:
        answer(response, 404, { error: `nothing is at ${request.method} ${path}` });
    }
  }

  #attach(request: http.IncomingMessage, response: http.ServerResponse): void {
    const query = queryOf(request);
    const instance = text(query, 'instance', MAX_INSTANCE_CHARACTERS);
    if (instance === '') throw new BadRequest('instance: the service.instance.id of the process is missing');
    const pid = integer(query, 'pid', 0);
    const run = text(query, 'run', MAX_RUN_CHARACTERS);
    if (this.#draining) {
      answer(response, 503, { error: 'the collector is stopping' });
      return;
    }
    if (this.#attached.size >= MAX_LOCAL_CLIENTS) {
      answer(response, 503, { error: `there are ${MAX_LOCAL_CLIENTS} clients already` });
      return;
    }
    const client: LocalClient = { id: ++this.#lastClient, instance, pid, run, attachedAtUnixMs: Date.now() };
    const hello = this.#options.control.attached(client);
    const heartbeat = setInterval(() => response.write('\n'), this.#options.heartbeatMs ?? HEARTBEAT_MS);
    let left = false;
    const leave = (how: Departure): void => {
      if (left) return;
      left = true;
      clearInterval(heartbeat);
      this.#attached.delete(client.id);
      this.#options.control.detached(client, how);
      response.end();
    };
    this.#attached.set(client.id, { client, response, leave });
    // The kernel closes a killed process's sockets: this is how the collector hears of it.
    response.once('close', () => leave('vanished'));
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    response.write(`${JSON.stringify({ ...hello, client: client.id })}\n`);
  }

  #detach(request: http.IncomingMessage, response: http.ServerResponse): void {
    const query = queryOf(request);
    const instance = text(query, 'instance', MAX_INSTANCE_CHARACTERS);
    const id = integer(query, 'client', 0);
    const leaving = [...this.#attached.values()].filter(({ client }) =>
      id > 0 ? client.id === id : client.instance === instance,
    );
    for (const { leave } of leaving) leave('goodbye');
    answer(response, 200, { detached: leaving.length, remaining: this.#attached.size });
  }

  async #progress(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const query = queryOf(request);
    const position = integer(query, 'position', undefined);
    const timeoutMs = Math.min(integer(query, 'timeout_ms', 0), MAX_WAIT_MS);
    if (this.#waiters >= MAX_WAITERS) {
      answer(response, 503, { error: `${MAX_WAITERS} requests for progress wait already` });
      return;
    }
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    this.#waiters++;
    try {
      const signal = AbortSignal.any([gone.signal, this.#closing.signal]);
      answer(response, 200, await this.#options.control.progress(position, timeoutMs, signal));
    } finally {
      this.#waiters--;
    }
  }
}

function answer(response: http.ServerResponse, status: number, body: unknown): void {
  if (response.headersSent || response.destroyed) return;
  const bytes = Buffer.from(JSON.stringify(body) ?? 'null');
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': bytes.length });
  response.end(bytes);
}

function pathOf(request: http.IncomingMessage): string {
  return request.url?.split('?', 1)[0] ?? '';
}

function queryOf(request: http.IncomingMessage): URLSearchParams {
  const url = request.url ?? '';
  const at = url.indexOf('?');
  return new URLSearchParams(at < 0 ? '' : url.slice(at + 1));
}

function text(query: URLSearchParams, name: string, maxCharacters: number): string {
  const value = query.get(name) ?? '';
  if (value.length > maxCharacters) throw new BadRequest(`${name}: at most ${maxCharacters} characters`);
  return value;
}

function integer(query: URLSearchParams, name: string, otherwise: number | undefined): number {
  const value = query.get(name);
  if (value === null && otherwise !== undefined) return otherwise;
  const number = Number(value);
  if (value === null || !/^\d{1,16}$/.test(value) || !Number.isSafeInteger(number)) {
    throw new BadRequest(`${name}: a whole number is wanted`);
  }
  return number;
}
