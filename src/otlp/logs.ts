// Decodes an ExportLogsServiceRequest into records.
import { newAttributes } from './attributes.ts';
import { visitRecords } from './envelope.ts';
import type { AnyValue, LogRecord, Resource, Scope } from './model.ts';
import type { ValueReader } from './value-reader.ts';

/** All log records of a request, in wire order. Throws WireError for bytes that `checkRequest` refuses. */
export function decodeLogs(bytes: Uint8Array): LogRecord[] {
  const records: LogRecord[] = [];
  visitRecords(bytes, (reader, resource, scope) => {
    records.push(readLogRecord(reader, resource, scope));
  });
  return records;
}

function readLogRecord(reader: ValueReader, resource: Resource, scope: Scope): LogRecord {
  const attributes = newAttributes();
  let time = 0n;
  let observedTimeUnixNano = 0n;
  let severityNumber = 0;
  let severityText = '';
  let eventName = '';
  let body: AnyValue = null;
  let droppedAttributesCount = 0;
  let traceId = '';
  let spanId = '';
  let flags = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case 0x09:
        time = reader.uint64();
        break;
      case 0x10:
        severityNumber = reader.int32();
        break;
      case 0x1a:
        severityText = reader.word();
        break;
      case 0x2a:
        body = reader.anyValue();
        break;
      case 0x32:
        reader.keyValue(attributes);
        break;
      case 0x38:
        droppedAttributesCount = reader.varint();
        break;
      case 0x45:
        flags = reader.fixed32();
        break;
      case 0x4a:
        traceId = reader.id(16);
        break;
      case 0x52:
        spanId = reader.id(8);
        break;
      case 0x59:
        observedTimeUnixNano = reader.uint64();
        break;
      case 0x62:
        eventName = reader.word();
        break;
      default:
        reader.skip(tag);
    }
  }
  return {
    resource,
    scope,
    timeUnixNano: time === 0n ? observedTimeUnixNano : time,
    observedTimeUnixNano,
    severityNumber,
    severityText,
    eventName,
    body,
    attributes,
    droppedAttributesCount,
    traceId,
    spanId,
    flags,
  };
}
