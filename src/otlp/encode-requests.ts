// Puts encoded resources, scopes and records together into the export requests of logs and traces.
import { varintSize, WireWriter } from './wire-writer.ts';

/** Encoded records (`LogRecord` or `Span` messages) of one scope under one resource. */
export interface RecordGroup {
  /** An encoded `Resource`. Neighbouring groups with the same array share one entry in the request. */
  readonly resourceBytes: Uint8Array;
  /** An encoded `InstrumentationScope`. */
  readonly scopeBytes: Uint8Array;
  readonly recordBytes: readonly Uint8Array[];
}

/** An `ExportLogsServiceRequest`. */
export function encodeLogsRequest(groups: readonly RecordGroup[]): Uint8Array {
  return encodeRequest(groups);
}

/** An `ExportTraceServiceRequest`. */
export function encodeTracesRequest(groups: readonly RecordGroup[]): Uint8Array {
  return encodeRequest(groups);
}

/** Bytes of a length-delimited field with a number below 16. */
export function fieldSize(length: number): number {
  return 1 + varintSize(length) + length;
}

/**
 * Logs and traces share the numbers of all fields down to the record: request.resource_x = 1, resource = 1, scope_x = 2,
 * scope = 1, records = 2. Sizes are known beforehand, so that the message is written once into memory of its size.
 */
function encodeRequest(groups: readonly RecordGroup[]): Uint8Array {
  const scopeSizes: number[] = [];
  const resourceSizes: number[] = [];
  let total = 0;
  for (let from = 0; from < groups.length; ) {
    const resource = groups[from]!.resourceBytes;
    let size = fieldSize(resource.length);
    let to = from;
    for (; to < groups.length && groups[to]!.resourceBytes === resource; to++) {
      const scopeSize = sizeOfScope(groups[to]!);
      scopeSizes.push(scopeSize);
      size += fieldSize(scopeSize);
    }
    resourceSizes.push(size);
    total += fieldSize(size);
    from = to;
  }
  // The writer wants room for a varint of any size when it writes one.
  const writer = new WireWriter(total + 16);
  let resourceAt = 0;
  for (let i = 0; i < groups.length; i++) {
    const group = groups[i]!;
    if (i === 0 || groups[i - 1]!.resourceBytes !== group.resourceBytes) {
      writer.tag(1, 2);
      writer.varint(resourceSizes[resourceAt++]!);
      writer.bytesField(1, group.resourceBytes);
    }
    writer.tag(2, 2);
    writer.varint(scopeSizes[i]!);
    writer.bytesField(1, group.scopeBytes);
    for (const record of group.recordBytes) writer.bytesField(2, record);
  }
  return writer.bytes();
}

function sizeOfScope(group: RecordGroup): number {
  let size = fieldSize(group.scopeBytes.length);
  for (const record of group.recordBytes) size += fieldSize(record.length);
  return size;
}
