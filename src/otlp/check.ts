// Says whether bytes are an export request that every decoder of this folder can read, without building anything.
import { isUtf8 } from 'node:buffer';
import type { Signal } from './model.ts';
import { type FieldKind, type Message, requestMessage } from './schema.ts';
import { MAX_DEPTH, WireError, WireReader } from './wire-reader.ts';

export type CheckResult =
  /** `items`: data points, log records or spans. */
  { readonly ok: true; readonly items: number } | { readonly ok: false; readonly reason: string };

/**
 * Walks the whole message: lengths, wire types of known fields, nesting, UTF-8. Unknown fields are stepped over, ids of
 * a wrong length are allowed (they mean no association). Never throws.
 */
export function checkRequest(signal: Signal, bytes: Uint8Array): CheckResult {
  const walk = new Walk(bytes);
  try {
    walk.message(compiledRequest(signal), bytes.length, 1);
    return { ok: true, items: walk.items };
  } catch (error) {
    if (error instanceof WireError) return { ok: false, reason: error.message };
    throw error;
  }
}

/**
 * Two bytes on the wire (an empty record) become an object of a hundred: without these limits a request within the size
 * limit could need more memory than the process has. Real items take 20 bytes and more, real messages 8 and more.
 */
export const MAX_ITEMS = 2 ** 21;
export const MAX_MESSAGES = 2 ** 24;
/**
 * Entries of one map: attributes of one record, or of a map in a value. A map of millions of keys takes a decoder minutes, in
 * which nobody else is served; the largest real one, a row of an event, has some thousands.
 */
export const MAX_ENTRIES = 2 ** 16;

/** Longer strings go to the native check; for shorter ones a loop over ASCII is faster than the call. */
const SHORT_STRING = 48;

// What the walk does with a field. Numbers, so that a message is one array of them, indexed by field number.
const UNKNOWN = 0;
const VARINT = 1;
const FIXED64 = 2;
const FIXED32 = 3;
const STRING = 4;
const BYTES = 5;
const MESSAGE = 6;
/** Repeated numbers: packed, or one field each as older writers have it. */
const PACKED_FIXED64 = 7;
const PACKED_VARINT = 8;

const ACTIONS: Readonly<Record<FieldKind, number>> = {
  bool: VARINT,
  enum: VARINT,
  uint32: VARINT,
  sint32: VARINT,
  int64: VARINT,
  uint64: VARINT,
  fixed32: FIXED32,
  fixed64: FIXED64,
  sfixed64: FIXED64,
  double: FIXED64,
  string: STRING,
  bytes: BYTES,
  id: BYTES,
  message: MESSAGE,
};
/** Wire type of an action's field. */
const WIRE_TYPES = [0, 0, 1, 5, 2, 2, 2, 2, 2];

interface Compiled {
  readonly message: Message;
  readonly item: boolean;
  readonly entry: boolean;
  readonly actions: number[];
  readonly children: (Compiled | undefined)[];
}

const compiled = new Map<Message, Compiled>();

function compiledRequest(signal: Signal): Compiled {
  return compile(requestMessage(signal));
}

function compile(message: Message): Compiled {
  const known = compiled.get(message);
  if (known !== undefined) return known;
  const last = message.fields[message.fields.length - 1]!.number;
  const result: Compiled = {
    message,
    item: message.item,
    entry: message.name === 'KeyValue',
    actions: new Array<number>(last + 1).fill(UNKNOWN),
    children: new Array<Compiled | undefined>(last + 1).fill(undefined),
  };
  compiled.set(message, result);
  for (const field of message.fields) {
    const action = ACTIONS[field.kind];
    const packed = action === FIXED64 ? PACKED_FIXED64 : action === VARINT ? PACKED_VARINT : action;
    result.actions[field.number] = field.repeated ? packed : action;
    if (field.message !== undefined) result.children[field.number] = compile(field.message);
  }
  return result;
}

class Walk extends WireReader {
  items = 0;
  #messages = 0;

  message(type: Compiled, end: number, depth: number): void {
    if (depth > MAX_DEPTH) throw new WireError(`messages nested deeper than ${MAX_DEPTH}`, this.position);
    if (++this.#messages > MAX_MESSAGES)
      throw new WireError(`more than ${MAX_MESSAGES} nested messages`, this.position);
    if (type.item && ++this.items > MAX_ITEMS)
      throw new WireError(`more than ${MAX_ITEMS} items in one request`, this.position);
    const { actions, children } = type;
    const { bytes } = this;
    const count = actions.length;
    const outer = this.end;
    let entries = 0;
    this.end = end;
    while (this.position < end) {
      const start = this.position;
      let tag = bytes[start]!;
      // Nearly every tag is one byte, and nearly every length below.
      if (tag >= 8 && tag < 0x80) this.position = start + 1;
      else tag = this.tag();
      const field = tag >>> 3;
      const action = field < count ? actions[field]! : UNKNOWN;
      if (action === UNKNOWN) {
        this.skip(tag);
        continue;
      }
      if ((tag & 7) !== WIRE_TYPES[action]) {
        if (!this.#unpacked(tag, action)) throw this.#wrongType(type, tag, start);
        continue;
      }
      switch (action) {
        case MESSAGE: {
          let length = bytes[this.position]!;
          if (length < 0x80 && length < end - this.position) this.position++;
          else length = this.length();
          const child = children[field]!;
          if (child.entry && ++entries > MAX_ENTRIES)
            throw new WireError(`more than ${MAX_ENTRIES} entries in one map`, start);
          this.message(child, this.position + length, depth + 1);
          break;
        }
        case STRING:
          this.#string(this.length());
          break;
        case FIXED64:
          if (end - this.position < 8) this.skip(tag);
          else this.position += 8;
          break;
        case VARINT:
          this.varint();
          break;
        case PACKED_FIXED64: {
          const length = this.length();
          if (length % 8 !== 0) throw new WireError('packed numbers of a wrong length', start);
          this.position += length;
          break;
        }
        case PACKED_VARINT: {
          const length = this.length();
          this.end = this.position + length;
          while (this.position < this.end) this.varint();
          this.end = end;
          break;
        }
        default:
          this.skip(tag);
      }
    }
    this.end = outer;
  }

  /** A repeated number in a field of its own. */
  #unpacked(tag: number, action: number): boolean {
    const wireType = tag & 7;
    if ((action === PACKED_FIXED64 && wireType === 1) || (action === PACKED_VARINT && wireType === 0)) {
      this.skip(tag);
      return true;
    }
    return false;
  }

  #wrongType(type: Compiled, tag: number, start: number): WireError {
    const field = type.message.fields.find(candidate => candidate.number === tag >>> 3);
    return new WireError(`${type.message.name}.${field?.name} has wire type ${tag & 7}`, start);
  }

  #string(length: number): void {
    const start = this.position;
    const end = start + length;
    this.position = end;
    if (length <= SHORT_STRING) {
      const bytes = this.bytes;
      let seen = 0;
      for (let at = start; at < end; at++) seen |= bytes[at]!;
      if (seen < 0x80) return;
    }
    if (!isUtf8(this.bytes.subarray(start, end))) throw new WireError('text that is not UTF-8', start);
  }
}
