// OTLP over HTTP, one request at a time: read within limits, check, put into the journal, answer. Knows no socket and no port.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { checkRequest } from '../../../otlp/check.ts';
import { jsonToProtobuf, OtlpJsonError } from '../../../otlp/json.ts';
import type { Signal } from '../../../otlp/model.ts';
import { type BodyEncoding, encodeExportResponse } from '../../../otlp/responses.ts';
import { BATCH_HEADER, JOURNAL_HEADER, POSITION_HEADER } from '../../../semconv/names.ts';
import type { Ingest, Instruments, Logger } from '../../component.ts';
import { type Answer, CONTENT_TYPES, errorAnswer, pushBackAnswer, RPC } from './answers.ts';
import { batchKeyProblem } from './batch-key.ts';
import { type BodyLimits, readBody } from './body.ts';
import { type ReceiverTransport, type Rejection, receiverCounters } from './counters.ts';
import { ENCODINGS, type Encoding, inflate } from './inflate.ts';
import { Reservation } from './reservation.ts';

/** The size limit is for the body as it comes and again for what it inflates to. */
export type OtlpHttpLimits = BodyLimits;
export type OtlpHttpPaths = Readonly<Record<Signal, string>>;
export type OtlpHttpHandler = (request: IncomingMessage, response: ServerResponse) => void;

export interface OtlpHttpOptions {
  readonly ingest: Ingest;
  readonly limits: OtlpHttpLimits;
  readonly logger: Logger;
  readonly instruments: Instruments;
  readonly paths: OtlpHttpPaths;
  /** The `receiver` and `transport` of the counters. */
  readonly receiver: string;
  readonly transport: ReceiverTransport;
  /** Content-Encodings that are taken; all that can be undone by default. */
  readonly encodings?: readonly Encoding[];
}

/** Where the specification says OTLP requests go. */
export const DEFAULT_PATHS: OtlpHttpPaths = {
  traces: '/v1/traces',
  metrics: '/v1/metrics',
  logs: '/v1/logs',
};
export const DEFAULT_LIMITS: OtlpHttpLimits = {
  // The OTLP specification recommends 64 MiB, before and after inflating.
  maxBodyBytes: 64 * 1024 * 1024,
  // A modem is faster; who is slower holds memory that others need.
  minBytesPerSecond: 1024,
  minRateGraceMs: 10_000,
};

/**
 * `JSON.parse` needs a multiple of the text's size for its objects. They live for one turn of one request, so not all of it is
 * reserved for each: a request of the largest size must fit into what there is (256 MiB by default).
 */
const JSON_MEMORY_FACTOR = 2;
const RETRY_WHEN_FULL_MS = 1_000;
/** A sender that is answered before it has sent everything gets this long to see the answer. */
const LINGER_MS = 2_000;

/**
 * A listener for `request` of an `http.Server`; mount it on `checkContinue` too, and a sender that asks first is answered before
 * it sends its body. Anything but a POST to one of `paths` gets 404 or 405.
 */
export function createOtlpHttpHandler(options: OtlpHttpOptions): OtlpHttpHandler {
  const { ingest, logger, paths } = options;
  const counters = receiverCounters(options.instruments, options.receiver, options.transport);
  const encodings = options.encodings ?? ENCODINGS;
  const signals = new Map(
    (Object.entries(paths) as [Signal, string][]).map(([signal, path]) => [path, signal]),
  );

  function reject(
    type: BodyEncoding,
    status: number,
    code: number,
    reason: Rejection,
    message: string,
    headers?: Readonly<Record<string, string>>,
  ): Answer {
    counters.rejected(reason);
    logger.debug('request rejected', { status, reason, message });
    return errorAnswer(status, type, code, message, headers);
  }
  function outOfMemory(type: BodyEncoding): Answer {
    counters.rejected('memory');
    return pushBackAnswer(type, 'the collector has no memory for this request now', RETRY_WHEN_FULL_MS);
  }

  async function handle(request: IncomingMessage, response: ServerResponse, type: BodyEncoding | undefined) {
    const signal = signals.get(pathOf(request));
    const { headers } = request;
    if (signal === undefined) {
      const known = Object.values(paths).join(', ');
      return reject(type ?? 'json', 404, RPC.unimplemented, 'path', `nothing is here; OTLP goes to ${known}`);
    }
    if (request.method !== 'POST') {
      const message = 'OTLP requests are POSTs';
      return reject(type ?? 'json', 405, RPC.unimplemented, 'method', message, { allow: 'POST' });
    }
    if (type === undefined) {
      const message = `the content type must be ${CONTENT_TYPES.protobuf} or ${CONTENT_TYPES.json}`;
      return reject('json', 415, RPC.invalidArgument, 'content_type', message);
    }
    const encoding = (headers['content-encoding'] ?? 'identity').trim().toLowerCase() || 'identity';
    if (!isEncoding(encoding, encodings)) {
      const message = `the content encoding must be one of ${encodings.join(', ')}`;
      const headers = { 'accept-encoding': encodings.join(', ') };
      return reject(type, 415, RPC.invalidArgument, 'encoding', message, headers);
    }
    const batchKey = String(headers[BATCH_HEADER] ?? '');
    const keyProblem = batchKey === '' ? undefined : batchKeyProblem(batchKey, signal);
    if (keyProblem !== undefined) return reject(type, 400, RPC.invalidArgument, 'batch_key', keyProblem);

    const reservation = new Reservation(ingest);
    try {
      return await take(request, response, { signal, type, encoding, batchKey, reservation });
    } finally {
      reservation.release();
    }
  }

  async function take(
    request: IncomingMessage,
    response: ServerResponse,
    wanted: {
      signal: Signal;
      type: BodyEncoding;
      encoding: Encoding;
      batchKey: string;
      reservation: Reservation;
    },
  ): Promise<Answer | undefined> {
    const { signal, type, encoding, batchKey, reservation } = wanted;
    // Who could never be let in is told so, and not to come again.
    const maxBodyBytes = Math.min(
      options.limits.maxBodyBytes,
      ingest.maxRequestBytes ?? Number.POSITIVE_INFINITY,
    );
    const limits = { ...options.limits, maxBodyBytes };
    const tooLarge = `the request is larger than ${limits.maxBodyBytes} bytes`;
    const read = await readBody(request, limits, reservation, () => {
      if (expectsContinue(request)) response.writeContinue();
    });
    switch (read.kind) {
      case 'aborted':
        counters.rejected('aborted');
        return undefined;
      case 'too_large':
        return reject(type, 413, RPC.resourceExhausted, 'too_large', tooLarge);
      case 'bad_length':
        return reject(type, 400, RPC.invalidArgument, 'undecodable', 'Content-Length is not a number');
      case 'slow':
        return reject(type, 408, RPC.deadlineExceeded, 'slow', 'the request came in too slowly');
      case 'refused':
        return outOfMemory(type);
    }
    const inflated = await inflate(encoding, read.bytes, limits.maxBodyBytes, reservation);
    switch (inflated.kind) {
      case 'too_large':
        return reject(type, 413, RPC.resourceExhausted, 'too_large', `${tooLarge} once inflated`);
      case 'refused':
        return outOfMemory(type);
      case 'broken':
        return reject(type, 400, RPC.invalidArgument, 'undecodable', inflated.reason);
    }
    let bytes: Uint8Array = inflated.bytes;
    // The compressed body is not needed any more.
    reservation.shrinkTo(bytes.length);
    if (type === 'json') {
      if (!reservation.growTo(reservation.held + bytes.length * JSON_MEMORY_FACTOR)) {
        return outOfMemory(type);
      }
      const converted = fromJson(signal, bytes);
      if (typeof converted === 'string')
        return reject(type, 400, RPC.invalidArgument, 'undecodable', converted);
      if (converted.length > limits.maxBodyBytes)
        return reject(type, 413, RPC.resourceExhausted, 'too_large', `${tooLarge} as protobuf`);
      bytes = converted;
    }
    const checked = checkRequest(signal, bytes);
    if (!checked.ok) {
      const message = `not a ${signal} request: ${checked.reason}`;
      return reject(type, 400, RPC.invalidArgument, 'undecodable', message);
    }
    // Nothing in it: nothing to keep, and the specification wants success.
    if (checked.items === 0) return success(signal, type);
    const result = await ingest.submit({ signal, bytes, batchKey, items: checked.items });
    if (result.kind === 'refused') {
      counters.refused(signal, checked.items);
      return pushBackAnswer(type, result.reason, result.retryAfterMs);
    }
    if (result.duplicate) counters.duplicate();
    else counters.accepted(signal, checked.items);
    return success(signal, type, {
      [JOURNAL_HEADER]: result.journal,
      [POSITION_HEADER]: String(result.position),
    });
  }

  return (request, response) => {
    // A sender that goes away while it is answered is no error of ours.
    response.on('error', () => {});
    const type = bodyType(request.headers['content-type']);
    handle(request, response, type)
      .catch((error: unknown) => {
        logger.error('a request failed inside the collector', { error });
        return reject(type ?? 'json', 500, RPC.internal, 'internal', 'internal error; see the log');
      })
      .then(answer => {
        if (answer !== undefined) respond(request, response, answer);
      });
  };
}

/** Answers and, where the sender is not through, listens on for a moment: a closed socket would take the answer with it. */
export function respond(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  if (response.destroyed || response.headersSent) return;
  response.writeHead(answer.status, {
    'content-type': CONTENT_TYPES[answer.type],
    'content-length': answer.body.length,
    ...(expectsContinue(request) && !request.complete ? { connection: 'close' } : {}),
    ...answer.headers,
  });
  response.end(answer.body);
  if (request.complete) return;
  const timer = setTimeout(() => request.socket.destroy(), LINGER_MS).unref();
  request.once('end', () => clearTimeout(timer)).once('close', () => clearTimeout(timer));
  request.on('error', () => {});
  request.resume();
}

/** Everything was taken. */
function success(signal: Signal, type: BodyEncoding, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status: 200, type, body: encodeExportResponse(signal, type), headers };
}

/** Protobuf, JSON or neither, whatever parameters (`; charset=utf-8`) follow. */
export function bodyType(contentType: string | undefined): BodyEncoding | undefined {
  const media = contentType?.split(';', 1)[0]?.trim().toLowerCase();
  if (media === 'application/x-protobuf' || media === 'application/protobuf') return 'protobuf';
  return media === 'application/json' ? 'json' : undefined;
}

function pathOf(request: IncomingMessage): string {
  const url = request.url ?? '';
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

function isEncoding(name: string, allowed: readonly Encoding[]): name is Encoding {
  return (allowed as readonly string[]).includes(name);
}

function expectsContinue(request: IncomingMessage): boolean {
  return request.headers.expect?.toLowerCase() === '100-continue';
}

/** The request as protobuf, or what is wrong with it. */
function fromJson(signal: Signal, bytes: Uint8Array): Uint8Array | string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return 'the body is not UTF-8';
  }
  try {
    return jsonToProtobuf(signal, text);
  } catch (error) {
    if (error instanceof OtlpJsonError || error instanceof SyntaxError) return error.message;
    throw error;
  }
}
