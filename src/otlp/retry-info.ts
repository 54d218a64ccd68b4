// google.rpc.RetryInfo inside a google.rpc.Status: how a gRPC server says that, and when, a sender should come again.
import { WireReader } from './wire-reader.ts';
import { WireWriter } from './wire-writer.ts';

const RETRY_INFO_URL = 'type.googleapis.com/google.rpc.RetryInfo';
/** A status has one detail or two; a hostile server's list is not read to its end. */
const MAX_DETAILS = 16;

// google/rpc/status.proto: code = 1, message = 2, details = 3 (Any: type_url = 1, value = 2);
// google/rpc/error_details.proto: RetryInfo.retry_delay = 1 (Duration: seconds = 1, nanos = 2).

/** A `google.rpc.Status` whose details hold a RetryInfo. Goes into the trailer `grpc-status-details-bin`. */
export function encodeRetryStatus(code: number, message: string, retryAfterMs: number): Uint8Array {
  const writer = new WireWriter(256);
  writer.varintField(1, code);
  writer.stringField(2, message);
  const any = writer.beginMessage(3);
  writer.stringField(1, RETRY_INFO_URL);
  const info = writer.beginMessage(2);
  const delay = writer.beginMessage(1);
  const seconds = Math.floor(retryAfterMs / 1000);
  const nanos = Math.floor((retryAfterMs - seconds * 1000) * 1e6);
  if (seconds > 0) writer.varintField(1, seconds);
  if (nanos > 0) writer.varintField(2, nanos);
  writer.endMessage(delay);
  writer.endMessage(info);
  writer.endMessage(any);
  return writer.copy();
}

/** The delay that a status asks for, in ms; undefined without RetryInfo, and for bytes that are no status. */
export function readRetryAfterMs(status: Uint8Array): number | undefined {
  try {
    const reader = new WireReader(status);
    let details = 0;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag !== 0x1a) {
        reader.skip(tag);
        continue;
      }
      if (++details > MAX_DETAILS) return undefined;
      const found = within(reader, () => readDetail(reader));
      if (found !== undefined) return found;
    }
  } catch {
    // Not a status: it says nothing about coming again.
  }
  return undefined;
}

function readDetail(reader: WireReader): number | undefined {
  let isRetryInfo = false;
  let delayMs: number | undefined;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) {
      const size = reader.length();
      const url = reader.bytes.toString('utf8', reader.position, reader.position + Math.min(size, 256));
      isRetryInfo = url.endsWith('/google.rpc.RetryInfo');
      reader.position += size;
    } else if (tag === 0x12 && isRetryInfo) {
      delayMs = within(reader, () => readRetryInfo(reader));
    } else reader.skip(tag);
  }
  // A RetryInfo without a delay still says that coming again is right.
  return isRetryInfo ? (delayMs ?? 0) : undefined;
}

function readRetryInfo(reader: WireReader): number {
  let delayMs = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) delayMs = within(reader, () => readDuration(reader));
    else reader.skip(tag);
  }
  return delayMs;
}

function readDuration(reader: WireReader): number {
  let seconds = 0;
  let nanos = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) seconds = Number(reader.int64());
    else if (tag === 0x10) nanos = reader.int32();
    else reader.skip(tag);
  }
  return Math.max(0, seconds * 1000 + nanos / 1e6);
}

function within<T>(reader: WireReader, read: () => T): T {
  const outer = reader.end;
  const length = reader.length();
  reader.end = reader.position + length;
  const result = read();
  reader.position = reader.end;
  reader.end = outer;
  return result;
}
