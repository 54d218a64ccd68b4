// What a configuration is made of before it is written: maps, lists, texts, numbers. What cannot be written is refused by its path.
import { kindOf } from './checks.ts';

/** Deeper nesting is a mistake, a cycle through getters say. */
const MAX_DEPTH = 100;
const MAX_ENTRIES = 1_000_000;

export type ConfigurationValue =
  | null
  | string
  | boolean
  | number
  | bigint
  | ConfigurationValue[]
  | { [key: string]: ConfigurationValue };

/**
 * A copy of `value` made of maps, lists, texts, numbers (bigints and NaN too), booleans and nulls. Dates become ISO texts, typed arrays and
 * sets lists, Maps maps, URLs and regular expressions texts, undefined is left out of maps. Throws a TypeError that names
 * the place for functions, symbols, cycles, promises and a key `__proto__`.
 */
export function configurationValue(value: unknown, call: string): ConfigurationValue {
  return new Copy(call).value(value, '', 0) ?? null;
}

class Copy {
  private readonly call: string;
  private readonly path = new Set<object>();
  private left = MAX_ENTRIES;

  constructor(call: string) {
    this.call = call;
  }

  value(value: unknown, place: string, depth: number): ConfigurationValue | undefined {
    if (this.left-- <= 0) throw this.refuse(place, `is beyond ${MAX_ENTRIES} entries`);
    switch (typeof value) {
      case 'number':
        // YAML's integers know no -0.
        return value === 0 ? 0 : value;
      case 'string':
      case 'boolean':
      case 'bigint':
      case 'undefined':
        return value;
      case 'object':
        return value === null ? null : this.object(value, place, depth);
      default:
        throw this.refuse(place, `is a ${kindOf(value)}, which a file cannot hold`);
    }
  }

  private object(value: object, place: string, depth: number): ConfigurationValue {
    if (value instanceof Date) {
      if (Number.isNaN(value.getTime())) throw this.refuse(place, 'is an invalid date');
      return value.toISOString();
    }
    if (value instanceof RegExp || value instanceof URL) return String(value);
    if (value instanceof Promise) throw this.refuse(place, 'is a promise: await it first');
    if (this.path.has(value)) throw this.refuse(place, 'contains itself');
    if (depth >= MAX_DEPTH) throw this.refuse(place, `is nested deeper than ${MAX_DEPTH} levels`);
    this.path.add(value);
    try {
      if (ArrayBuffer.isView(value) && !(value instanceof DataView))
        return this.list(value as unknown as Iterable<unknown>, place, depth);
      if (value instanceof ArrayBuffer || ArrayBuffer.isView(value))
        throw this.refuse(place, `is ${kindOf(value)}; give a Uint8Array`);
      if (Array.isArray(value) || value instanceof Set) return this.list(value, place, depth);
      if (value instanceof Map) return this.map(value, place, depth);
      return this.map(Object.entries(value), place, depth);
    } finally {
      this.path.delete(value);
    }
  }

  private list(items: Iterable<unknown>, place: string, depth: number): ConfigurationValue[] {
    const list: ConfigurationValue[] = [];
    for (const item of items) list.push(this.value(item, `${place}[${list.length}]`, depth + 1) ?? null);
    return list;
  }

  private map(
    entries: Iterable<readonly [unknown, unknown]>,
    place: string,
    depth: number,
  ): { [key: string]: ConfigurationValue } {
    const map: { [key: string]: ConfigurationValue } = {};
    for (const [key, item] of entries) {
      if (typeof key !== 'string' && typeof key !== 'number' && typeof key !== 'bigint')
        throw this.refuse(place, `has a key that is no text but ${kindOf(key)}`);
      const name = String(key);
      const inner = place === '' ? name : `${place}.${name}`;
      if (name === '__proto__') throw this.refuse(inner, 'is no name for a setting');
      const value = this.value(item, inner, depth + 1);
      if (value !== undefined) map[name] = value;
    }
    return map;
  }

  private refuse(place: string, problem: string): TypeError {
    return new TypeError(`kymo: ${this.call}: ${place === '' ? 'the configuration' : place} ${problem}`);
  }
}
