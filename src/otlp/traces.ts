// Decodes an ExportTraceServiceRequest into records.
import { newAttributes } from './attributes.ts';
import { visitRecords } from './envelope.ts';
import type { Resource, Scope, SpanEvent, SpanLink, SpanRecord } from './model.ts';
import type { ValueReader } from './value-reader.ts';

/** All spans of a request, in wire order. Throws WireError for bytes that `checkRequest` refuses. */
export function decodeTraces(bytes: Uint8Array): SpanRecord[] {
  const spans: SpanRecord[] = [];
  visitRecords(bytes, (reader, resource, scope) => {
    spans.push(readSpan(reader, resource, scope));
  });
  return spans;
}

function readSpan(reader: ValueReader, resource: Resource, scope: Scope): SpanRecord {
  const attributes = newAttributes();
  const events: SpanEvent[] = [];
  const links: SpanLink[] = [];
  let traceId = '';
  let spanId = '';
  let parentSpanId = '';
  let traceState = '';
  let name = '';
  let kind = 0;
  let startTimeUnixNano = 0n;
  let endTimeUnixNano = 0n;
  let statusCode = 0;
  let statusMessage = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case 0x0a:
        traceId = reader.id(16);
        break;
      case 0x12:
        spanId = reader.id(8);
        break;
      case 0x1a:
        traceState = reader.text();
        break;
      case 0x22:
        parentSpanId = reader.id(8);
        break;
      case 0x2a:
        name = reader.word();
        break;
      case 0x30:
        kind = reader.int32();
        break;
      case 0x39:
        startTimeUnixNano = reader.uint64();
        break;
      case 0x41:
        endTimeUnixNano = reader.uint64();
        break;
      case 0x4a:
        reader.keyValue(attributes);
        break;
      case 0x5a:
        events.push(readEvent(reader));
        break;
      case 0x6a:
        links.push(readLink(reader));
        break;
      case 0x7a: {
        const outer = reader.enter();
        for (let inner = reader.tag(); inner !== 0; inner = reader.tag()) {
          if (inner === 0x12) statusMessage = reader.text();
          else if (inner === 0x18) statusCode = reader.int32();
          else reader.skip(inner);
        }
        reader.end = outer;
        break;
      }
      default:
        reader.skip(tag);
    }
  }
  return {
    resource,
    scope,
    traceId,
    spanId,
    parentSpanId,
    traceState,
    name,
    kind,
    startTimeUnixNano,
    endTimeUnixNano,
    attributes,
    events,
    links,
    statusCode,
    statusMessage,
  };
}

function readEvent(reader: ValueReader): SpanEvent {
  const outer = reader.enter();
  const attributes = newAttributes();
  let timeUnixNano = 0n;
  let name = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x09) timeUnixNano = reader.uint64();
    else if (tag === 0x12) name = reader.word();
    else if (tag === 0x1a) reader.keyValue(attributes);
    else reader.skip(tag);
  }
  reader.end = outer;
  return { timeUnixNano, name, attributes };
}

function readLink(reader: ValueReader): SpanLink {
  const outer = reader.enter();
  const attributes = newAttributes();
  let traceId = '';
  let spanId = '';
  let traceState = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) traceId = reader.id(16);
    else if (tag === 0x12) spanId = reader.id(8);
    else if (tag === 0x1a) traceState = reader.text();
    else if (tag === 0x22) reader.keyValue(attributes);
    else reader.skip(tag);
  }
  reader.end = outer;
  return { traceId, spanId, traceState, attributes };
}
