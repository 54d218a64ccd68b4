// What a failed call was given, for a record that others read: secrets left out, large values as their shape, all of it bounded.
import type { AnyValue, Attributes } from '../otlp/model.ts';
import { parameterNames } from './parameter-names.ts';
import { emptyMap } from './plain.ts';

/** How deep arguments are followed. */
export const MAX_STATE_DEPTH = 6;
/** Entries shown of one array, map or object. */
export const MAX_STATE_ENTRIES = 50;
/** UTF-16 units shown of one text, and of one key. */
export const MAX_STATE_TEXT = 1_000;
const MAX_KEY_LENGTH = 200;
/** Everything together, in UTF-16 units: an argument may be the whole training state. */
export const MAX_STATE_SIZE = 32 * 1024;
/** A typed array up to this long is shown, a longer one is its type and shape. */
export const MAX_SHOWN_ARRAY = 16;

const REDACTED = '[redacted]';
const SECRET = /key|token|secret|password/i;
const CUT = '[cut: too much state]';

/**
 * `{arguments: {name: value}, this: {…}}`. Whatever is called `*key*`, `*token*`, `*secret*` or `*password*`, as a parameter or in a map
 * of any depth, is redacted. Reads own fields only and never waits for a device. Never throws: a getter that does becomes a text.
 * @param self `this` of the call; left out when it is no object
 */
export function describeCall(fn: object, self: unknown, parameters: readonly unknown[]): Attributes {
  const description = new Description();
  const state = emptyMap() as Attributes;
  const named = emptyMap() as Attributes;
  const names = parameterNames(fn);
  const rest = names.at(-1)?.startsWith('...') ? names.length - 1 : -1;
  for (const [i, parameter] of parameters.entries()) {
    if (i >= MAX_STATE_ENTRIES) {
      named['…'] = `${parameters.length - i} more`;
      break;
    }
    const name = rest >= 0 && i >= rest ? `${names[rest]!.slice(3)}[${i - rest}]` : (names[i] ?? String(i));
    named[name] = description.entry(name, parameter, 1);
  }
  state.arguments = named;
  if (typeof self === 'object' && self !== null && self !== globalThis)
    state.this = description.value(self, 1);
  return state;
}

/** One description under way: its budget, and the objects it is inside of. */
class Description {
  private left = MAX_STATE_SIZE;
  private readonly path = new Set<object>();

  entry(key: string, value: unknown, depth: number): AnyValue {
    this.left -= key.length + 8;
    return SECRET.test(key) ? REDACTED : this.value(value, depth);
  }

  value(value: unknown, depth: number): AnyValue {
    if (this.left <= 0) return CUT;
    try {
      return this.describe(value, depth);
    } catch (error) {
      return this.text(`[unreadable: ${error instanceof Error ? String(error.message) : typeof error}]`);
    }
  }

  private describe(value: unknown, depth: number): AnyValue {
    this.left -= 8;
    switch (typeof value) {
      case 'string':
        return this.text(value);
      case 'number':
      case 'boolean':
      case 'bigint':
        return value;
      case 'function':
        return this.text(`[function ${value.name || 'anonymous'}]`);
      case 'symbol':
        return this.text(String(value));
      case 'undefined':
        return '[undefined]';
      default:
        return value === null ? null : this.object(value as object, depth);
    }
  }

  private object(value: object, depth: number): AnyValue {
    if (this.path.has(value)) return '[circular]';
    const shape = arrayShape(value);
    if (shape !== undefined) return this.text(shape);
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
    if (value instanceof RegExp) return this.text(String(value));
    if (value instanceof Promise) return '[promise]';
    if (value instanceof Error) return this.text(`${value.name}: ${value.message}`);
    if (depth >= MAX_STATE_DEPTH) return this.text(`[${className(value)}]`);
    this.path.add(value);
    try {
      if (ArrayBuffer.isView(value)) return this.list(value as unknown as Iterable<unknown>, depth);
      if (Array.isArray(value)) return this.list(value, depth, value.length);
      if (value instanceof Set) return this.list(value, depth, value.size);
      if (value instanceof Map) return this.map(value, depth, value.size);
      const keys = Object.keys(value);
      return this.map(fieldsOf(value, keys), depth, keys.length);
    } finally {
      this.path.delete(value);
    }
  }

  private list(items: Iterable<unknown>, depth: number, size = 0): AnyValue[] {
    const list: AnyValue[] = [];
    for (const item of items) {
      if (list.length >= MAX_STATE_ENTRIES || this.left <= 0) {
        list.push(`[${size - list.length} more]`);
        break;
      }
      list.push(this.value(item, depth + 1));
    }
    return list;
  }

  private map(entries: Iterable<readonly [unknown, unknown]>, depth: number, size: number): Attributes {
    const map = emptyMap() as Attributes;
    let count = 0;
    for (const [key, item] of entries) {
      if (count >= MAX_STATE_ENTRIES || this.left <= 0) {
        map['…'] = `${size - count} more`;
        break;
      }
      count++;
      const name = keyText(key);
      if (SECRET.test(name)) {
        this.left -= name.length;
        map[name] = REDACTED;
      } else map[name] = this.field(name, item, depth);
    }
    return map;
  }

  private field(name: string, item: unknown, depth: number): AnyValue {
    this.left -= name.length;
    if (!(item instanceof Field)) return this.value(item, depth + 1);
    let value: unknown;
    try {
      value = item.read();
    } catch (error) {
      return this.text(`[threw: ${error instanceof Error ? String(error.message) : typeof error}]`);
    }
    return this.value(value, depth + 1);
  }

  private text(text: string): string {
    const limit = Math.max(0, Math.min(MAX_STATE_TEXT, this.left));
    this.left -= Math.min(text.length, limit);
    return text.length <= limit ? text : `${text.slice(0, limit)}… (${text.length - limit} more characters)`;
  }
}

/** An object's own field, read only when its name is no secret's. */
class Field {
  private readonly of: object;
  private readonly key: string;

  constructor(of: object, key: string) {
    this.of = of;
    this.key = key;
  }

  read(): unknown {
    return (this.of as Record<string, unknown>)[this.key];
  }
}

function* fieldsOf(value: object, keys: readonly string[]): Iterable<[string, Field]> {
  for (const key of keys) yield [key, new Field(value, key)];
}

function keyText(key: unknown): string {
  const text = typeof key === 'string' ? key : typeof key === 'object' ? `[${typeof key}]` : String(key);
  return text.length <= MAX_KEY_LENGTH ? text : `${text.slice(0, MAX_KEY_LENGTH)}…`;
}

const DTYPES: Readonly<Record<string, string>> = {
  Int8Array: 'int8',
  Uint8Array: 'uint8',
  Uint8ClampedArray: 'uint8',
  Buffer: 'uint8',
  Int16Array: 'int16',
  Uint16Array: 'uint16',
  Int32Array: 'int32',
  Uint32Array: 'uint32',
  Float16Array: 'float16',
  Float32Array: 'float32',
  Float64Array: 'float64',
  BigInt64Array: 'int64',
  BigUint64Array: 'uint64',
};

/** `float32[32,64]` for a tensor, a long typed array or a buffer; undefined for anything whose elements are shown. */
function arrayShape(value: object): string | undefined {
  if (ArrayBuffer.isView(value)) {
    const { length } = value as unknown as { length?: number };
    if (length !== undefined && length <= MAX_SHOWN_ARRAY) return undefined;
    const name = className(value);
    return `${DTYPES[name] ?? name}[${length ?? value.byteLength}]`;
  }
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return `bytes[${value.byteLength}]`;
  const { dtype, shape } = value as { readonly dtype?: unknown; readonly shape?: unknown };
  if (typeof dtype !== 'string' || !Array.isArray(shape)) return undefined;
  const sizes = shape.slice(0, 16).map(size => (typeof size === 'number' ? size : '?'));
  return `${dtype}[${sizes.join(',')}]`;
}

function className(value: object): string {
  const name: unknown = value.constructor?.name;
  return typeof name === 'string' && name !== '' ? name.slice(0, MAX_KEY_LENGTH) : 'object';
}
