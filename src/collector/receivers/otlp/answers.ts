// What an OTLP/HTTP answer says: its content type and the gRPC code of a google.rpc.Status.
import { type BodyEncoding, encodeStatus } from '../../../otlp/responses.ts';

export const CONTENT_TYPES: Readonly<Record<BodyEncoding, string>> = {
  protobuf: 'application/x-protobuf',
  json: 'application/json',
};

/** Codes of google.rpc.Code that the receivers answer with. */
export const RPC = {
  invalidArgument: 3,
  deadlineExceeded: 4,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** What everybody hears whom an authenticator does not know: nothing about what would have been right. */
export const NOT_LET_IN = 'the credentials are missing or wrong';

export interface Answer {
  readonly status: number;
  readonly type: BodyEncoding;
  readonly body: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An error: the status code of HTTP, the code of gRPC, and a sentence. */
export function errorAnswer(
  status: number,
  type: BodyEncoding,
  code: number,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return { status, type, body: encodeStatus(code, message, type), headers };
}

/** 503: nothing was taken, come again. */
export function pushBackAnswer(type: BodyEncoding, message: string, retryAfterMs: number): Answer {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  return errorAnswer(503, type, RPC.unavailable, message, { 'retry-after': String(seconds) });
}
