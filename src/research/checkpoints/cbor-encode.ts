// A value as CBOR bytes: what structured clone can copy, and tensors. See cbor-tags.ts for the format.
import { types } from 'node:util';
import { kindOf } from '../checks.ts';
import { ARRAY_KINDS, type ArrayKind, littleEndian, MAX_DEPTH, TAG, TYPED } from './cbor-tags.ts';
import { dtypeOf, isTensor, type TensorLike, TensorsToAwait, type TensorValues } from './tensors.ts';

export interface EncodeOptions {
  /** How messages call the value: `state`. */
  readonly name: string;
  /** Copy large arrays too: the bytes are written after the caller has gone on. */
  readonly copy: boolean;
  readonly tensors?: TensorValues | undefined;
}

/**
 * The encoded value in pieces. Values that stand in several places, and cycles, stay one. Objects of a class become plain objects of their own
 * fields. Throws a TypeError that names the place of what cannot be kept (a function, a promise), `TensorsToAwait`, and what a getter throws.
 */
export function encodeCbor(value: unknown, options: EncodeOptions): Uint8Array[] {
  const encoder = new Encoder(options);
  encoder.count(value, 0);
  if (encoder.toAwait.length > 0) throw new TensorsToAwait(encoder.toAwait);
  encoder.write(value);
  return encoder.finish();
}

const CHUNK_BYTES = 256 * 1024;
/** Arrays from here on are pieces of their own instead of being copied into a chunk. */
const LARGE_BYTES = 64 * 1024;
const KIND_OF = new Map(ARRAY_KINDS.map(kind => [kind.name, kind]));
const UINT8 = KIND_OF.get('Uint8Array')!;

class Encoder {
  readonly toAwait: TensorLike[] = [];
  private readonly options: EncodeOptions;
  /** How often an object was seen: false once, true several times. */
  private readonly seen = new Map<object, boolean>();
  /** Numbers of the shared objects that were written already. */
  private readonly written = new Map<object, number>();
  /** Read once: reading a tensor may wait for the device. */
  private readonly tensors = new Map<object, ArrayLike<unknown>>();
  private readonly path: (string | number)[] = [];
  private readonly pieces: Uint8Array[] = [];
  private chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  private used = 0;
  private flushed = 0;

  constructor(options: EncodeOptions) {
    this.options = options;
  }

  /** First pass: which objects stand in several places, and whether all can be kept. */
  count(value: unknown, depth: number): void {
    if (typeof value === 'function' || typeof value === 'symbol') throw this.refused(value, '');
    if (typeof value !== 'object' || value === null) return;
    const before = this.seen.get(value);
    if (before !== undefined) {
      if (!before) this.seen.set(value, true);
      return;
    }
    this.seen.set(value, false);
    if (depth > MAX_DEPTH)
      throw new TypeError(
        `kymo: ${this.place().slice(0, 200)}… is nested deeper than ${MAX_DEPTH} levels; a list belongs into an array`,
      );
    if (isPlain(value)) {
      this.countFields(value, depth);
      return;
    }
    if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return;
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length; i++) this.countAt(i, value[i], depth);
    } else if (types.isMap(value)) {
      let i = 0;
      for (const [key, item] of value as Map<unknown, unknown>) {
        this.countAt(`key ${i}`, key, depth);
        this.countAt(typeof key === 'string' ? key : `value ${i}`, item, depth);
        i++;
      }
    } else if (types.isSet(value)) {
      let i = 0;
      for (const item of value as Set<unknown>) this.countAt(i++, item, depth);
    } else if (types.isNativeError(value)) this.countAt('cause', value.cause, depth);
    else if (isTensor(value)) this.readTensor(value);
    else if (!isLeaf(value)) this.countFields(value, depth);
  }

  write(value: unknown): void {
    if (typeof value === 'number') this.number(value);
    else if (typeof value === 'string') this.text(value);
    else if (typeof value === 'boolean') this.byte(value ? 0xf5 : 0xf4);
    else if (value === undefined) this.byte(0xf7);
    else if (value === null) this.byte(0xf6);
    else if (typeof value === 'bigint') this.bigint(value);
    else if (typeof value === 'object') this.shared(value);
    else throw this.refused(value, '');
  }

  finish(): Uint8Array[] {
    this.flush();
    return this.pieces;
  }

  private countAt(key: string | number, value: unknown, depth: number): void {
    if (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol') return;
    this.path.push(key);
    this.count(value, depth + 1);
    this.path.pop();
  }

  private countFields(value: object, depth: number): void {
    const keys = Object.keys(value);
    if (isPlain(value)) {
      for (const key of keys) this.countAt(key, (value as Record<string, unknown>)[key], depth);
      return;
    }
    if (value instanceof WeakMap || value instanceof WeakSet || value instanceof WeakRef)
      throw this.refused(value, '');
    if (types.isPromise(value)) throw this.refused(value, '; await it first');
    const prototype: unknown = Object.getPrototypeOf(value);
    if (keys.length === 0 && prototype !== null && Object.getPrototypeOf(prototype) !== null)
      throw this.refused(value, ': it shows no fields of its own; save what it is made of');
    for (const key of keys) this.countAt(key, (value as Record<string, unknown>)[key], depth);
  }

  /** An object, or a reference to it where it was written before. */
  private shared(value: object): void {
    if (this.seen.get(value) !== true) {
      this.object(value);
      return;
    }
    const number = this.written.get(value);
    if (number === undefined) {
      this.written.set(value, this.written.size);
      this.head(6, TAG.shareable);
      this.object(value);
    } else {
      this.head(6, TAG.sharedReference);
      this.head(0, number);
    }
  }

  private object(value: object): void {
    if (isPlain(value)) this.fields(value as Record<string, unknown>);
    else if (ArrayBuffer.isView(value)) this.view(value);
    else if (types.isAnyArrayBuffer(value)) this.bytes(new Uint8Array(value as ArrayBuffer));
    else if (Array.isArray(value)) {
      this.head(4, value.length);
      for (let i = 0; i < value.length; i++) this.write(value[i]);
    } else if (types.isMap(value)) this.map(value as Map<unknown, unknown>);
    else if (types.isSet(value)) this.set(value as Set<unknown>);
    else if (types.isDate(value)) this.date(value);
    else if (types.isRegExp(value)) this.typed(TYPED.regExp, value.source, value.flags);
    else if (types.isNativeError(value))
      this.typed(TYPED.error, value.name, value.message, value.stack, value.cause);
    else if (types.isBoxedPrimitive(value)) this.write((value as object).valueOf());
    else if (isTensor(value)) this.tensor(value);
    else this.fields(value as Record<string, unknown>);
  }

  private fields(value: Record<string, unknown>): void {
    const keys = Object.keys(value);
    this.head(5, keys.length);
    for (const key of keys) {
      this.text(key);
      this.write(value[key]);
    }
  }

  private set(set: Set<unknown>): void {
    this.head(6, TAG.set);
    this.head(4, set.size);
    for (const item of set) this.write(item);
  }

  private map(map: Map<unknown, unknown>): void {
    this.head(6, TAG.map);
    this.head(5, map.size);
    for (const [key, item] of map) {
      this.write(key);
      this.write(item);
    }
  }

  private readTensor(tensor: TensorLike): void {
    if (this.options.tensors?.has(tensor)) return;
    try {
      if (typeof tensor.dataSync === 'function') {
        this.tensors.set(tensor, tensor.dataSync());
        return;
      }
    } catch (error) {
      if (typeof tensor.data !== 'function')
        throw new TypeError(
          `kymo: ${this.place()} is a tensor that cannot be read: ${error instanceof Error ? error.message : kindOf(error)}`,
        );
    }
    this.toAwait.push(tensor);
  }

  private tensor(tensor: TensorLike): void {
    const data = this.options.tensors?.get(tensor) ?? this.tensors.get(tensor) ?? [];
    const shape = tensor.shape.map(Number);
    this.typed(
      TYPED.tensor,
      tensor.dtype ?? dtypeOf(data),
      shape,
      ArrayBuffer.isView(data) ? data : Array.from(data),
    );
  }

  private date(date: Date): void {
    const ms = date.getTime();
    const seconds = ms / 1_000;
    if (Math.round(seconds * 1_000) === ms) {
      this.head(6, TAG.epochSeconds);
      this.number(seconds);
    } else this.typed(TYPED.date, ms);
  }

  /** Values of a type that has no tag of its own; they are no objects that the first pass has not seen. */
  private typed(name: string, ...values: readonly unknown[]): void {
    this.head(6, TAG.typed);
    this.head(4, values.length + 1);
    this.text(name);
    for (const value of values) this.write(value);
  }

  private view(view: ArrayBufferView): void {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    if (types.isDataView(view)) {
      this.head(6, TAG.typed);
      this.head(4, 2);
      this.text(TYPED.dataView);
      this.bytes(bytes);
      return;
    }
    const kind = kindOfArray(view);
    this.head(6, kind.tag);
    this.bytes(littleEndian(bytes, kind.bytes));
  }

  private number(value: number): void {
    if (Number.isSafeInteger(value) && (value !== 0 || 1 / value > 0)) {
      if (value >= 0) this.head(0, value);
      else this.head(1, -1 - value);
      return;
    }
    this.room(9);
    this.chunk[this.used] = 0xfb;
    this.chunk.writeDoubleBE(value, this.used + 1);
    this.used += 9;
  }

  private bigint(value: bigint): void {
    const magnitude = value >= 0n ? value : -1n - value;
    let hex = magnitude.toString(16);
    if (hex.length % 2 === 1) hex = `0${hex}`;
    this.head(6, value >= 0n ? TAG.positiveBigint : TAG.negativeBigint);
    this.bytes(Buffer.from(hex, 'hex'));
  }

  private text(text: string): void {
    if (text.length < 24 && this.shortText(text)) return;
    if (!text.isWellFormed()) {
      this.head(6, TAG.typed);
      this.head(4, 2);
      this.text(TYPED.utf16);
      this.bytes(Buffer.from(text, 'utf16le'));
      return;
    }
    const length = Buffer.byteLength(text);
    this.head(3, length);
    if (length > LARGE_BYTES) this.piece(Buffer.from(text));
    else {
      this.room(length);
      this.used += this.chunk.write(text, this.used);
    }
  }

  /** Most texts are keys of a few letters. False, with nothing written, for what is not. */
  private shortText(text: string): boolean {
    this.room(24);
    const { chunk } = this;
    let at = this.used + 1;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) return false;
      chunk[at++] = unit;
    }
    chunk[this.used] = 0x60 | text.length;
    this.used = at;
    return true;
  }

  private bytes(bytes: Uint8Array): void {
    this.head(2, bytes.length);
    if (bytes.length > LARGE_BYTES) this.piece(this.options.copy ? bytes.slice() : bytes);
    else {
      this.room(bytes.length);
      this.chunk.set(bytes, this.used);
      this.used += bytes.length;
    }
  }

  private byte(value: number): void {
    this.room(1);
    this.chunk[this.used++] = value;
  }

  /** Major type and argument, in the shortest form. */
  private head(major: number, argument: number): void {
    this.room(9);
    const type = major << 5;
    const { chunk } = this;
    if (argument < 24) chunk[this.used++] = type | argument;
    else if (argument < 0x100) {
      chunk[this.used] = type | 24;
      chunk[this.used + 1] = argument;
      this.used += 2;
    } else if (argument < 0x1_0000) {
      chunk[this.used] = type | 25;
      chunk.writeUInt16BE(argument, this.used + 1);
      this.used += 3;
    } else if (argument < 0x1_0000_0000) {
      chunk[this.used] = type | 26;
      chunk.writeUInt32BE(argument, this.used + 1);
      this.used += 5;
    } else {
      chunk[this.used] = type | 27;
      chunk.writeUInt32BE(Math.floor(argument / 0x1_0000_0000), this.used + 1);
      chunk.writeUInt32BE(argument % 0x1_0000_0000, this.used + 5);
      this.used += 9;
    }
  }

  private piece(bytes: Uint8Array): void {
    this.flush();
    this.pieces.push(bytes);
  }

  private room(bytes: number): void {
    if (this.used + bytes <= this.chunk.length) return;
    this.flush();
    if (this.used + bytes <= this.chunk.length) return;
    this.chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    this.used = 0;
    this.flushed = 0;
  }

  /** What has been written into the chunk since becomes a piece; its rest goes on being filled. */
  private flush(): void {
    if (this.used > this.flushed) this.pieces.push(this.chunk.subarray(this.flushed, this.used));
    this.flushed = this.used;
  }

  private place(): string {
    return this.path.reduce<string>(
      (text, key) =>
        typeof key === 'number'
          ? `${text}[${key}]`
          : /^[\w$]+$/.test(key)
            ? `${text}.${key}`
            : `${text}[${JSON.stringify(key)}]`,
      this.options.name,
    );
  }

  private refused(value: unknown, more: string): TypeError {
    return new TypeError(
      `kymo: ${this.place()} cannot be kept in a checkpoint, it is a ${kindOf(value)}${more}`,
    );
  }
}

function kindOfArray(view: ArrayBufferView): ArrayKind {
  // By the tag that the engine gives it: a subclass (Buffer) is what it extends.
  return KIND_OF.get((view as unknown as { [Symbol.toStringTag]: string })[Symbol.toStringTag]) ?? UINT8;
}

/** An object literal of this realm that is no tensor: what most values are, told without asking the engine for each kind. */
function isPlain(value: object): boolean {
  return Object.getPrototypeOf(value) === Object.prototype && !isTensor(value);
}

function isLeaf(value: object): boolean {
  return types.isDate(value) || types.isRegExp(value) || types.isBoxedPrimitive(value);
}
