// A growing piece of memory that TFRecords are encoded into: protobuf fields inside the frame
// `u64 length | u32 masked CRC of the length | data | u32 masked CRC of the data`, all little-endian.
// Source: tensorboard/summary/writer/record_writer.py, tensorboard/data/server/tf_record.rs.
import { maskedCrc32c } from './crc32c.ts';

export const RECORD_HEADER_BYTES = 12;
export const RECORD_OVERHEAD_BYTES = 16;

const FIRST_CAPACITY = 4096;
const UTF8 = new TextEncoder();

export class RecordBuffer {
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  length = 0;

  /** Makes room for `more` bytes behind `length`. */
  reserve(more: number): void {
    const needed = this.length + more;
    if (needed <= this.bytes.length) return;
    let capacity = Math.max(FIRST_CAPACITY, this.bytes.length * 2);
    while (capacity < needed) capacity *= 2;
    const bytes = new Uint8Array(capacity);
    bytes.set(this.bytes.subarray(0, this.length));
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }

  /** Begins a record; returns its place, which `endRecord` wants back. */
  beginRecord(): number {
    this.reserve(RECORD_OVERHEAD_BYTES);
    const start = this.length;
    this.length = start + RECORD_HEADER_BYTES;
    return start;
  }

  /** Closes the record: fills in length and CRCs. */
  endRecord(start: number): void {
    this.reserve(4);
    const { view, bytes, length } = this;
    const dataStart = start + RECORD_HEADER_BYTES;
    view.setUint32(start, length - dataStart, true);
    view.setUint32(start + 4, 0, true);
    view.setUint32(start + 8, maskedCrc32c(bytes, start, start + 8), true);
    view.setUint32(length, maskedCrc32c(bytes, dataStart, length), true);
    this.length = length + 4;
  }

  /** Appends records that are framed already. */
  append(records: Uint8Array): void {
    this.reserve(records.length);
    this.bytes.set(records, this.length);
    this.length += records.length;
  }

  /** Forgets the content; a buffer that had to grow far beyond `keepBytes` gives its memory back. */
  clear(keepBytes: number): void {
    this.length = 0;
    if (this.bytes.length > 4 * keepBytes) {
      this.bytes = new Uint8Array(0);
      this.view = new DataView(new ArrayBuffer(0));
    }
  }

  // Protobuf. None of these checks for room but where it says so: callers reserve once for what they write.

  /** At most 5 bytes. */
  varint32(value: number): void {
    let rest = value;
    while (rest > 127) {
      this.bytes[this.length++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.bytes[this.length++] = rest;
  }

  /** int64 as a varint of at most 10 bytes. `value` is a whole number within int64. */
  varint64(value: number): void {
    if (value >= 0 && value < 0x80000000) {
      this.varint32(value);
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    while (rest > 127n) {
      this.bytes[this.length++] = Number(rest & 127n) | 128;
      rest >>= 7n;
    }
    this.bytes[this.length++] = Number(rest);
  }

  double(value: number): void {
    this.view.setFloat64(this.length, value, true);
    this.length += 8;
  }

  /** A length-delimited field with bytes in it; makes room itself. */
  bytesField(key: number, content: Uint8Array): void {
    this.reserve(content.length + 16);
    this.bytes[this.length++] = key;
    this.varint32(content.length);
    this.bytes.set(content, this.length);
    this.length += content.length;
  }

  /** A string field; makes room itself. */
  stringField(key: number, content: string): void {
    this.bytesField(key, UTF8.encode(content));
  }

  /** A varint field; makes room itself. */
  varintField(key: number, value: number): void {
    this.reserve(16);
    this.bytes[this.length++] = key;
    this.varint64(value);
  }

  /** A double field; makes room itself. */
  doubleField(key: number, value: number): void {
    this.reserve(16);
    this.bytes[this.length++] = key;
    this.double(value);
  }
}

/** The bytes of a message that `write` puts together; for small messages nested in others. */
export function message(write: (into: RecordBuffer) => void): Uint8Array {
  const into = new RecordBuffer();
  write(into);
  return into.bytes.subarray(0, into.length);
}

export function varintLength(value: number): number {
  if (value < 0) return 10;
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++;
  return length;
}
