// CBOR bytes as the value they were made of. The bytes may be hostile: nothing in them is run, and what they claim is checked against their length.
import { ARRAY_KINDS, littleEndian, MAX_DEPTH, TAG, TYPED } from './cbor-tags.ts';
import type { SavedTensor } from './tensors.ts';

/** Bytes that are no CBOR, or CBOR that `encodeCbor` does not write. */
export class CborError extends Error {
  override readonly name = 'CborError';
  constructor(problem: string, offset: number) {
    super(`${problem} at byte ${offset}`);
  }
}

/**
 * @param tensor makes of a saved tensor what the caller wants
 * @throws CborError
 */
export function decodeCbor(
  bytes: Uint8Array,
  tensor: (saved: SavedTensor) => unknown = saved => saved,
): unknown {
  const decoder = new Decoder(bytes, tensor);
  const value = decoder.value(0);
  decoder.end();
  return value;
}

/** A bigint has at most this many bytes: beyond, making it costs more than linear time. */
const MAX_BIGINT_BYTES = 64 * 1024;
/** Keys remembered by place. */
const KNOWN_KEYS = 256;
const KINDS = new Map(ARRAY_KINDS.map(kind => [kind.tag, kind]));
type ArrayMaker = new (buffer: ArrayBuffer) => ArrayBufferView;

class Decoder {
  private readonly bytes: Buffer;
  private readonly tensor: (saved: SavedTensor) => unknown;
  private readonly shared: unknown[] = [];
  /** Of the value that comes next, where it is marked as shared; -1 otherwise. */
  private mark = -1;
  private at = 0;
  /** By place in its map, the key that stood there last: maps of one kind follow each other. */
  private readonly keys: { readonly bytes: Uint8Array; readonly text: string }[] = [];

  constructor(bytes: Uint8Array, tensor: (saved: SavedTensor) => unknown) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.tensor = tensor;
  }

  end(): void {
    if (this.at !== this.bytes.length) throw this.error('something follows the value');
  }

  value(depth: number): unknown {
    if (depth > MAX_DEPTH * 3) throw this.error('nested too deeply');
    const mark = this.mark;
    this.mark = -1;
    const initial = this.byte();
    const major = initial >> 5;
    if (major === 7) return this.simple(initial);
    const argument = this.argument(initial & 31);
    switch (major) {
      case 0:
        return argument;
      case 1:
        return -1 - argument;
      case 2:
        return this.copyOf(argument).buffer;
      case 3:
        return this.text(argument);
      case 4:
        return this.array(argument, depth, mark);
      case 5:
        return this.map(argument, depth, mark);
      default:
        return this.tagged(argument, depth, mark);
    }
  }

  private tagged(tag: number, depth: number, mark: number): unknown {
    switch (tag) {
      case TAG.shareable: {
        const number = this.shared.push(undefined) - 1;
        this.mark = number;
        const value = this.value(depth + 1);
        this.shared[number] = value;
        return value;
      }
      case TAG.sharedReference: {
        const number = this.value(depth + 1);
        if (typeof number !== 'number' || this.shared[number] === undefined)
          throw this.error('a reference to nothing');
        return this.shared[number];
      }
      case TAG.epochSeconds: {
        const seconds = this.value(depth + 1);
        if (typeof seconds !== 'number') throw this.error('a date that is no number');
        return new Date(Math.round(seconds * 1_000));
      }
      case TAG.positiveBigint:
      case TAG.negativeBigint:
        return this.bigint(tag);
      case TAG.map:
        return this.jsMap(depth, mark);
      case TAG.set:
        return this.set(depth, mark);
      case TAG.typed:
        return this.typed(depth);
      default:
        return this.typedArray(tag);
    }
  }

  private array(length: number, depth: number, mark: number): unknown[] {
    if (length > this.bytes.length - this.at) throw this.error('an array longer than the file');
    const array: unknown[] = [];
    if (mark >= 0) this.shared[mark] = array;
    for (let i = 0; i < length; i++) array.push(this.value(depth + 1));
    return array;
  }

  private map(size: number, depth: number, mark: number): object {
    if (size > this.bytes.length - this.at) throw this.error('a map larger than the file');
    const object: Record<string, unknown> = {};
    if (mark >= 0) this.shared[mark] = object;
    for (let i = 0; i < size; i++) {
      const key = this.key(i, depth);
      const value = this.value(depth + 1);
      // An entry like any other, whatever it is called.
      if (key === '__proto__')
        Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
      else object[key] = value;
    }
    return object;
  }

  private key(place: number, depth: number): string {
    const { bytes, at } = this;
    const known = this.keys[place];
    if (known !== undefined && at + known.bytes.length <= bytes.length) {
      let i = 0;
      while (i < known.bytes.length && bytes[at + i] === known.bytes[i]) i++;
      if (i === known.bytes.length) {
        this.at = at + i;
        return known.text;
      }
    }
    const text = this.value(depth + 1);
    if (typeof text !== 'string') throw this.error('a key that is no text');
    if (place < KNOWN_KEYS) this.keys[place] = { bytes: bytes.subarray(at, this.at), text };
    return text;
  }

  private jsMap(depth: number, mark: number): Map<unknown, unknown> {
    const map = new Map<unknown, unknown>();
    if (mark >= 0) this.shared[mark] = map;
    const size = this.headOf(5);
    for (let i = 0; i < size; i++) {
      const key = this.value(depth + 1);
      map.set(key, this.value(depth + 1));
    }
    return map;
  }

  private set(depth: number, mark: number): Set<unknown> {
    const set = new Set<unknown>();
    if (mark >= 0) this.shared[mark] = set;
    const size = this.headOf(4);
    for (let i = 0; i < size; i++) set.add(this.value(depth + 1));
    return set;
  }

  private typed(depth: number): unknown {
    const length = this.headOf(4);
    const [name, ...values] = this.array(length, depth, -1);
    const [first, second, third, fourth] = values;
    switch (name) {
      case TYPED.tensor:
        if (
          typeof first === 'string' &&
          Array.isArray(second) &&
          isArrayLike(third) &&
          fits(second, third, first)
        )
          return this.tensor({ dtype: first, shape: second, data: third });
        break;
      case TYPED.date:
        if (typeof first === 'number') return new Date(first);
        break;
      case TYPED.regExp:
        if (typeof first === 'string' && typeof second === 'string') return this.regExp(first, second);
        break;
      case TYPED.error:
        return errorOf(first, second, third, fourth);
      case TYPED.dataView:
        if (first instanceof ArrayBuffer) return new DataView(first);
        break;
      case TYPED.utf16:
        if (first instanceof ArrayBuffer) return Buffer.from(first).toString('utf16le');
        break;
      default:
        break;
    }
    throw this.error(
      `${JSON.stringify(String(name).slice(0, 40))} is no type that states have, or is incomplete,`,
    );
  }

  private regExp(source: string, flags: string): RegExp {
    try {
      return new RegExp(source, flags);
    } catch {
      throw this.error('a regular expression that is none');
    }
  }

  private bigint(tag: number): bigint {
    const length = this.headOf(2);
    if (length > MAX_BIGINT_BYTES) throw this.error(`a bigint of ${length} bytes`);
    const magnitude = BigInt(`0x0${Buffer.from(this.copyOf(length)).toString('hex')}`);
    return tag === TAG.positiveBigint ? magnitude : -1n - magnitude;
  }

  private typedArray(tag: number): ArrayBufferView {
    const kind = KINDS.get(tag);
    if (kind === undefined) throw this.error(`tag ${tag} is none that states have,`);
    const make = (globalThis as unknown as Record<string, ArrayMaker | undefined>)[kind.name];
    if (make === undefined) throw this.error(`this Node has no ${kind.name} (Node 24 has)`);
    const length = this.headOf(2);
    if (length % kind.bytes !== 0) throw this.error(`${length} bytes are no ${kind.name}`);
    const own = this.copyOf(length);
    const turned = littleEndian(own, kind.bytes);
    return new make((turned === own ? own : new Uint8Array(turned)).buffer);
  }

  /** The argument of the head that must come next. */
  private headOf(major: number): number {
    const initial = this.byte();
    if (initial >> 5 !== major) throw this.error('not what its tag says');
    const argument = this.argument(initial & 31);
    if (argument > this.bytes.length - this.at) throw this.error('longer than the file');
    return argument;
  }

  private simple(initial: number): unknown {
    switch (initial) {
      case 0xf4:
        return false;
      case 0xf5:
        return true;
      case 0xf6:
        return null;
      case 0xf7:
        return undefined;
      case 0xfa:
        return this.bytes.readFloatBE(this.skip(4));
      case 0xfb:
        return this.bytes.readDoubleBE(this.skip(8));
      default:
        throw this.error(`no value begins with 0x${initial.toString(16)}`);
    }
  }

  private argument(short: number): number {
    if (short < 24) return short;
    switch (short) {
      case 24:
        return this.byte();
      case 25:
        return this.bytes.readUInt16BE(this.skip(2));
      case 26:
        return this.bytes.readUInt32BE(this.skip(4));
      case 27: {
        const at = this.skip(8);
        const argument = this.bytes.readUInt32BE(at) * 0x1_0000_0000 + this.bytes.readUInt32BE(at + 4);
        if (!Number.isSafeInteger(argument)) throw this.error('a number beyond 2^53');
        return argument;
      }
      default:
        throw this.error('lengths must be given');
    }
  }

  private text(length: number): string {
    const at = this.skip(length);
    return this.bytes.toString('utf8', at, at + length);
  }

  private copyOf(length: number): Uint8Array<ArrayBuffer> {
    const at = this.skip(length);
    const copy = new Uint8Array(length);
    copy.set(this.bytes.subarray(at, at + length));
    return copy;
  }

  private byte(): number {
    return this.bytes[this.skip(1)]!;
  }

  /** Where the next `length` bytes begin; goes behind them. */
  private skip(length: number): number {
    const at = this.at;
    if (length > this.bytes.length - at) throw this.error('the file ends too early');
    this.at = at + length;
    return at;
  }

  private error(problem: string): CborError {
    return new CborError(problem, this.at);
  }
}

function isArrayLike(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

function fits(shape: readonly unknown[], data: ArrayLike<unknown>, dtype: string): boolean {
  let size = dtype === 'complex64' ? 2 : 1;
  for (const length of shape) {
    if (typeof length !== 'number' || length < 0) return false;
    size *= length;
  }
  return size === data.length;
}

function errorOf(name: unknown, message: unknown, stack: unknown, cause: unknown): Error {
  const error = new Error(String(message), cause === undefined ? undefined : { cause });
  // Fields of its own, never those of a class that the file names.
  const define = (key: string, value: unknown): void => {
    if (typeof value === 'string')
      Object.defineProperty(error, key, { value, enumerable: false, configurable: true, writable: true });
  };
  define('name', name);
  define('stack', stack);
  return error;
}
