// Event records as other writers make them, field by field: tensorboard/compat/proto/event.proto and summary.proto.

import { maskedCrc32c } from '../../src/collector/exporters/tensorboard/crc32c.ts';
import { WireWriter } from '../../src/otlp/wire-writer.ts';

export interface TestValue {
  readonly tag: string;
  readonly simple?: number;
  /** As TensorFlow 2 writes a scalar: a tensor of doubles with the plugin's name. */
  readonly tensor?: number;
  readonly text?: string;
  readonly image?: true;
  readonly histo?: {
    readonly min: number;
    readonly max: number;
    readonly sum: number;
    readonly limits: readonly number[];
    readonly counts: readonly number[];
  };
}
export interface TestEvent {
  readonly wallTime?: number;
  readonly step?: number;
  readonly start?: boolean;
  readonly values?: readonly TestValue[];
  /** Instead of all others: the message itself. */
  readonly bytes?: Uint8Array;
}

/** One TFRecord. */
export function encodeRecord(event: TestEvent): Buffer {
  const data = Buffer.from(event.bytes ?? message(event));
  const record = Buffer.alloc(data.length + 16);
  record.writeBigUInt64LE(BigInt(data.length), 0);
  record.writeUInt32LE(maskedCrc32c(record, 0, 8), 8);
  data.copy(record, 12);
  record.writeUInt32LE(maskedCrc32c(data), data.length + 12);
  return record;
}

function message({ wallTime = 0, step = 0, start, values = [] }: TestEvent): Uint8Array {
  const writer = new WireWriter();
  doubleField(writer, 1, wallTime);
  if (step > 0) writer.varintField(2, step);
  if (start) nested(writer, 7, session => session.varintField(1, 1));
  if (values.length > 0)
    nested(writer, 5, summary => {
      for (const value of values) nested(summary, 1, inner => writeValue(inner, value));
    });
  return writer.copy();
}

function writeValue(writer: WireWriter, { tag, simple, tensor, text, image, histo }: TestValue): void {
  writer.stringField(1, tag);
  if (simple !== undefined) {
    const bytes = Buffer.alloc(4);
    bytes.writeFloatLE(simple);
    writer.fixed32Field(2, bytes.readUInt32LE());
  }
  if (tensor !== undefined || text !== undefined)
    nested(writer, 8, inner => {
      inner.varintField(1, text === undefined ? 2 : 7);
      if (tensor !== undefined) {
        const content = Buffer.alloc(8);
        content.writeDoubleLE(tensor);
        inner.bytesField(4, content);
      } else inner.bytesField(8, Buffer.from(text!));
    });
  if (image) nested(writer, 4, inner => inner.varintField(1, 2));
  if (histo !== undefined)
    nested(writer, 5, inner => {
      doubleField(inner, 1, histo.min);
      doubleField(inner, 2, histo.max);
      doubleField(inner, 4, histo.sum);
      inner.bytesField(6, doubles(histo.limits));
      inner.bytesField(7, doubles(histo.counts));
    });
  const plugin = tensor !== undefined ? 'scalars' : text !== undefined ? 'text' : undefined;
  if (plugin !== undefined) nested(writer, 9, inner => nested(inner, 1, data => data.stringField(1, plugin)));
}

function nested(writer: WireWriter, field: number, write: (inner: WireWriter) => void): void {
  const inner = new WireWriter();
  write(inner);
  writer.bytesField(field, inner.copy());
}

function doubleField(writer: WireWriter, field: number, value: number): void {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  writer.fixed64Field(field, bytes.readBigUInt64LE());
}

function doubles(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8);
  for (const [i, value] of values.entries()) bytes.writeDoubleLE(value, i * 8);
  return bytes;
}
