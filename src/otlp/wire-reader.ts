// Reads protobuf out of bytes that may be anything: every step is checked against the end of the bytes.

/** Thrown for bytes that are no message; says what is wrong and at which offset. */
export class WireError extends Error {
  readonly offset: number;
  constructor(reason: string, offset: number) {
    super(`${reason} at byte ${offset}`);
    this.name = 'WireError';
    this.offset = offset;
  }
}

/** How deep messages may nest: what protobuf's own libraries allow by default. */
export const MAX_DEPTH = 100;

const WIRE_VARINT = 0;
const WIRE_FIXED64 = 1;
const WIRE_BYTES = 2;
const WIRE_GROUP = 3;
const WIRE_GROUP_END = 4;
const WIRE_FIXED32 = 5;
const TWO_32 = 0x1_0000_0000;

/**
 * A place in a message. `position` and `end` may be set by the caller, within the bytes. A nested message is read by
 * setting `end` to its end, and back afterwards.
 */
export class WireReader {
  readonly bytes: Buffer;
  position: number;
  end: number;
  /** High half of the varint or fixed64 read last; the low half is what the method returned. */
  high = 0;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = 0;
    this.end = bytes.length;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Field number and wire type of the next field, as one number; 0 at the end of the message. */
  tag(): number {
    if (this.position >= this.end) return 0;
    const first = this.bytes[this.position]!;
    if (first < 0x80) {
      if (first < 8) throw new WireError('field number 0', this.position);
      this.position++;
      return first;
    }
    const start = this.position;
    const tag = this.varint();
    if (this.high !== 0) throw new WireError('field number out of range', start);
    if (tag < 8) throw new WireError('field number 0', start);
    return tag;
  }

  /** Low 32 bits of a varint, unsigned; the other half is in `high`. */
  varint(): number {
    const { bytes, end } = this;
    let at = this.position;
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      if (at >= end) throw new WireError('a number is cut off', this.position);
      const byte = bytes[at++]!;
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.high = 0;
        this.position = at;
        return low >>> 0;
      }
    }
    if (at >= end) throw new WireError('a number is cut off', this.position);
    let byte = bytes[at++]!;
    low |= byte << 28;
    let high = (byte & 0x7f) >>> 4;
    for (let shift = 3; byte >= 0x80; shift += 7) {
      if (at >= end) throw new WireError('a number is cut off', this.position);
      byte = bytes[at++]!;
      // The tenth byte holds the last bit and ends the number.
      if (shift === 31 && byte > 1) throw new WireError('a number longer than 64 bits', this.position);
      high |= (byte & 0x7f) << shift;
    }
    this.high = high >>> 0;
    this.position = at;
    return low >>> 0;
  }

  /** A varint as a signed 64-bit integer: a number within ±2^53, else a bigint. */
  int64(): number | bigint {
    const low = this.varint();
    return signed(low, this.high);
  }

  /** A varint as uint32, int32 or enum: the low 32 bits, signed. */
  int32(): number {
    return this.varint() | 0;
  }

  /** Length of a length-delimited field, known to lie within the message. */
  length(): number {
    const start = this.position;
    const length = this.varint();
    if (this.high !== 0 || length > this.end - this.position)
      throw new WireError('a length beyond the end of its message', start);
    return length;
  }

  /** Low half of 8 bytes, unsigned; the other half is in `high`. */
  fixed64(): number {
    const at = this.#take(8);
    this.high = this.#view.getUint32(at + 4, true);
    return this.#view.getUint32(at, true);
  }

  /** An sfixed64: a number within ±2^53, else a bigint. */
  sfixed64(): number | bigint {
    const low = this.fixed64();
    return signed(low, this.high);
  }

  uint64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  fixed32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  double(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  /** Steps over the value of the field whose tag was read last. */
  skip(tag: number): void {
    switch (tag & 7) {
      case WIRE_VARINT:
        this.varint();
        return;
      case WIRE_FIXED64:
        this.#take(8);
        return;
      case WIRE_BYTES: {
        const length = this.length();
        this.position += length;
        return;
      }
      case WIRE_GROUP:
        this.#skipGroup(tag);
        return;
      case WIRE_FIXED32:
        this.#take(4);
        return;
      default:
        throw new WireError(`a field of wire type ${tag & 7}`, this.position);
    }
  }

  /** Groups are long deprecated and OTLP has none, but an unknown field may be one. */
  #skipGroup(tag: number): void {
    const open: number[] = [tag];
    while (open.length > 0) {
      const next = this.tag();
      if (next === 0) throw new WireError('a group without end', this.position);
      if ((next & 7) === WIRE_GROUP) {
        if (open.length >= MAX_DEPTH)
          throw new WireError(`groups nested deeper than ${MAX_DEPTH}`, this.position);
        open.push(next);
      } else if ((next & 7) === WIRE_GROUP_END) {
        if (open.pop()! >>> 3 !== next >>> 3)
          throw new WireError('a group with the wrong end', this.position);
      } else {
        this.skip(next);
      }
    }
  }

  #take(size: number): number {
    const at = this.position;
    if (size > this.end - at) throw new WireError('a value is cut off', at);
    this.position = at + size;
    return at;
  }
}

function signed(low: number, high: number): number | bigint {
  const value = (high | 0) * TWO_32 + low;
  if (Number.isSafeInteger(value)) return value;
  return (BigInt(high | 0) << 32n) | BigInt(low);
}
