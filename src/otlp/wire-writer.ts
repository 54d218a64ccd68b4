// Writes protobuf into one growing buffer that is used again for the next message.

export const WIRE_VARINT = 0;
export const WIRE_FIXED64 = 1;
export const WIRE_BYTES = 2;
export const WIRE_FIXED32 = 5;

/** Most bytes of a varint, which carries 7 bits in each: 64 bits need 10. */
const MAX_VARINT_BYTES = 10;
/** Above this a string goes to the native encoder; below, a loop over ASCII is faster than the call. */
const SHORT_STRING = 40;
const DEFAULT_CAPACITY = 4096;
/** A writer that once held a huge message gives the memory back at the next `reset`. */
const KEEP_BYTES = 8 * 1024 * 1024;

/**
 * Proto3 messages, field by field. Nothing is left out on its own account: the caller skips default values.
 * In steady state no method allocates but `bytes` and `copy`.
 */
export class WireWriter {
  #buffer: Buffer;
  #view: DataView;
  #length = 0;

  constructor(capacity = DEFAULT_CAPACITY) {
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(capacity, MAX_VARINT_BYTES));
    this.#view = viewOf(this.#buffer);
  }

  /** Bytes written since `reset`. */
  get length(): number {
    return this.#length;
  }

  reset(): void {
    this.#length = 0;
    if (this.#buffer.length > KEEP_BYTES) {
      this.#buffer = Buffer.allocUnsafeSlow(DEFAULT_CAPACITY);
      this.#view = viewOf(this.#buffer);
    }
  }

  /** What was written, without copying: valid until the next write or `reset`. */
  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** What was written, in memory of its own. */
  copy(): Uint8Array {
    return new Uint8Array(this.#buffer.subarray(0, this.#length));
  }

  tag(field: number, wireType: number): void {
    this.varint(((field << 3) | wireType) >>> 0);
  }

  /** An unsigned integer, at most 2^53. */
  varint(value: number): void {
    this.#room(MAX_VARINT_BYTES);
    let at = this.#length;
    let rest = value;
    while (rest > 0x7f) {
      this.#buffer[at++] = (rest & 0x7f) | 0x80;
      rest = rest > 0x7fffffff ? Math.floor(rest / 128) : rest >>> 7;
    }
    this.#buffer[at++] = rest;
    this.#length = at;
  }

  /** A signed integer in two's complement, as int32, int64, enum and bool are written. Numbers must be safe integers. */
  int64(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0) {
      this.varint(value);
      return;
    }
    this.#room(MAX_VARINT_BYTES);
    const bits = BigInt.asUintN(64, BigInt(value));
    let low = Number(bits & 0xffffffffn);
    let high = Number(bits >> 32n);
    let at = this.#length;
    while (high > 0 || low > 0x7f) {
      this.#buffer[at++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.#buffer[at++] = low;
    this.#length = at;
  }

  fixed32(value: number): void {
    this.#room(4);
    this.#view.setUint32(this.#length, value >>> 0, true);
    this.#length += 4;
  }

  /** 64 bits, of a signed or an unsigned integer. */
  fixed64(value: bigint): void {
    this.#room(8);
    this.#view.setBigUint64(this.#length, value, true);
    this.#length += 8;
  }

  double(value: number): void {
    this.#room(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  /** Bytes as they are: encoded fields, or the inside of a field whose tag and length are written. */
  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  varintField(field: number, value: number | bigint): void {
    this.tag(field, WIRE_VARINT);
    this.int64(value);
  }

  fixed32Field(field: number, value: number): void {
    this.tag(field, WIRE_FIXED32);
    this.fixed32(value);
  }

  fixed64Field(field: number, value: bigint): void {
    this.tag(field, WIRE_FIXED64);
    this.fixed64(value);
  }

  doubleField(field: number, value: number): void {
    this.tag(field, WIRE_FIXED64);
    this.double(value);
  }

  bytesField(field: number, bytes: Uint8Array): void {
    this.tag(field, WIRE_BYTES);
    this.varint(bytes.length);
    this.raw(bytes);
  }

  /** Text as UTF-8; a lone surrogate becomes U+FFFD. */
  stringField(field: number, text: string): void {
    this.tag(field, WIRE_BYTES);
    const units = text.length;
    this.#room(units * 3 + MAX_VARINT_BYTES);
    const buffer = this.#buffer;
    const start = this.#length;
    if (units <= SHORT_STRING) {
      let at = start + 1;
      let seen = 0;
      for (let i = 0; i < units; i++) {
        const unit = text.charCodeAt(i);
        seen |= unit;
        buffer[at++] = unit;
      }
      if (seen < 0x80) {
        buffer[start] = units;
        this.#length = at;
        return;
      }
    }
    // The length is written after the text, which is moved when it turns out to need a longer prefix than ASCII would.
    const guess = varintSize(units);
    const written = buffer.write(text, start + guess);
    const prefix = varintSize(written);
    if (prefix !== guess) buffer.copyWithin(start + prefix, start + guess, start + guess + written);
    this.varint(written);
    this.#length = start + prefix + written;
  }

  /** An id in lower-case hex as raw bytes. The caller has checked that it is hex. */
  hexField(field: number, hex: string): void {
    this.tag(field, WIRE_BYTES);
    const size = hex.length >>> 1;
    this.varint(size);
    this.#room(size);
    this.#length += this.#buffer.write(hex, this.#length, size, 'hex');
  }

  /** Begin a nested message; hand the returned mark to `endMessage`. */
  beginMessage(field: number): number {
    this.tag(field, WIRE_BYTES);
    this.#room(1);
    return ++this.#length;
  }

  /** Most messages are shorter than 128 bytes and fit the one byte kept for their length; longer ones are moved up. */
  endMessage(mark: number): void {
    const size = this.#length - mark;
    if (size < 0x80) {
      this.#buffer[mark - 1] = size;
      return;
    }
    const extra = varintSize(size) - 1;
    this.#room(extra);
    this.#buffer.copyWithin(mark + extra, mark, this.#length);
    this.#length = mark - 1;
    this.varint(size);
    this.#length += size;
  }

  #room(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
    this.#view = viewOf(grown);
  }
}

/** Bytes that `value` (an unsigned integer, at most 2^53) takes as a varint. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  if (value < 0x10000000) return 4;
  let size = 5;
  for (let rest = Math.floor(value / 0x800000000); rest > 0; rest = Math.floor(rest / 128)) size++;
  return size;
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
