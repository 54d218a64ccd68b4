// Bodies of OTLP answers: export responses with partial success, and google.rpc.Status for errors.
import type { Signal } from './model.ts';
import { WireReader } from './wire-reader.ts';
import { WireWriter } from './wire-writer.ts';

export type BodyEncoding = 'protobuf' | 'json';

/** Some items were not taken, or all were and the sender should hear something. */
export interface PartialSuccess {
  readonly rejected: number;
  readonly message: string;
}

/** What senders may be told at most; a message is for people. */
const MAX_MESSAGE = 4096;
const REJECTED: Readonly<Record<Signal, string>> = {
  traces: 'rejectedSpans',
  metrics: 'rejectedDataPoints',
  logs: 'rejectedLogRecords',
};

/** An `Export…ServiceResponse`. Without `partial` everything was taken, which is an empty message. */
export function encodeExportResponse(
  signal: Signal,
  encoding: BodyEncoding,
  partial?: PartialSuccess,
): Uint8Array {
  const message = partial?.message.slice(0, MAX_MESSAGE) ?? '';
  if (encoding === 'json') {
    if (partial === undefined) return Buffer.from('{}');
    return Buffer.from(
      JSON.stringify({
        partialSuccess: { [REJECTED[signal]]: String(partial.rejected), errorMessage: message },
      }),
    );
  }
  const writer = new WireWriter(64 + message.length * 3);
  if (partial !== undefined) {
    const mark = writer.beginMessage(1);
    if (partial.rejected !== 0) writer.varintField(1, partial.rejected);
    if (message !== '') writer.stringField(2, message);
    writer.endMessage(mark);
  }
  return writer.copy();
}

/** A `google.rpc.Status`. `code` is a gRPC code (3 invalid argument, 8 resource exhausted, 14 unavailable, …). */
export function encodeStatus(code: number, message: string, encoding: BodyEncoding): Uint8Array {
  const text = message.slice(0, MAX_MESSAGE);
  if (encoding === 'json') return Buffer.from(JSON.stringify({ code, message: text }));
  const writer = new WireWriter(64 + text.length * 3);
  if (code !== 0) writer.varintField(1, code);
  if (text !== '') writer.stringField(2, text);
  return writer.copy();
}

/** The partial success of a protobuf answer; nothing rejected where there is none or the body is no message. */
export function readPartialSuccess(body: Uint8Array): PartialSuccess {
  let rejected = 0;
  let message = '';
  try {
    const reader = new WireReader(body);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag !== 0x0a) {
        reader.skip(tag);
        continue;
      }
      const outer = reader.end;
      const length = reader.length();
      reader.end = reader.position + length;
      for (let inner = reader.tag(); inner !== 0; inner = reader.tag()) {
        if (inner === 0x08) rejected = Math.max(0, Number(reader.int64()));
        else if (inner === 0x12) {
          const size = reader.length();
          message = reader.bytes.toString(
            'utf8',
            reader.position,
            reader.position + Math.min(size, MAX_MESSAGE),
          );
          reader.position += size;
        } else reader.skip(inner);
      }
      reader.end = outer;
    }
  } catch {
    // An answer that cannot be read says nothing about the items: the status code has said that they arrived.
  }
  return { rejected, message };
}

/** Code and message of a `google.rpc.Status` in protobuf; empty where the body is something else. */
export function readStatus(body: Uint8Array): { readonly code: number; readonly message: string } {
  let code = 0;
  let message = '';
  try {
    const reader = new WireReader(body);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x08) code = reader.int32();
      else if (tag === 0x12) {
        const size = reader.length();
        message = reader.bytes.toString(
          'utf8',
          reader.position,
          reader.position + Math.min(size, MAX_MESSAGE),
        );
        reader.position += size;
      } else reader.skip(tag);
    }
  } catch {
    return { code: 0, message: '' };
  }
  return { code, message };
}
