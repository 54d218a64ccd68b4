// Turns what a caller hands over (configuration, fields of a log line) into plain values that OTLP can carry.

/** How deep maps and arrays may nest; deeper ones become a text that says so. */
export const MAX_DEPTH = 20;
/** Entries of one value, all levels together: configuration, not data. */
export const MAX_ENTRIES = 10_000;
/** UTF-16 units of one text. */
export const MAX_TEXT = 256 * 1024;

export type Plain = null | string | boolean | number | bigint | Uint8Array | readonly Plain[] | PlainMap;
export interface PlainMap {
  [key: string]: Plain;
}

/** One conversion's budget; `left` goes below zero when something was left out. */
interface Budget {
  left: number;
  readonly path: Set<object>;
}

/**
 * A copy of `value` made of what OTLP has types for. Undefined is left out of maps; functions become their name, dates
 * ISO text, errors `{type, message}`, maps and sets objects and arrays, other objects their own fields, a cycle or
 * too much of anything a text that says so. Never throws: a getter that does becomes a text too.
 */
export function toPlain(value: unknown): Plain | undefined {
  return convert(value, { left: MAX_ENTRIES, path: new Set() });
}

/** A map of a caller's own enumerable fields. */
export function toPlainMap(value: object): PlainMap {
  const plain = toPlain(value);
  return isMap(plain) ? plain : emptyMap();
}

export function emptyMap(): PlainMap {
  return Object.create(null) as PlainMap;
}

export function cutText(text: string, limit = MAX_TEXT): string {
  return text.length <= limit ? text : `${text.slice(0, limit)}… (${text.length - limit} more characters)`;
}

function convert(value: unknown, budget: Budget): Plain | undefined {
  switch (typeof value) {
    case 'string':
      return cutText(value);
    case 'number':
    case 'boolean':
    case 'bigint':
      return value;
    case 'object':
      return value === null ? null : convertObject(value, budget);
    case 'function':
      return `[function ${cutText(value.name, 200)}]`;
    case 'symbol':
      return cutText(String(value), 200);
    default:
      return undefined;
  }
}

function convertObject(value: object, budget: Budget): Plain {
  // Not `slice`: a Buffer's is a view of the caller's memory.
  if (value instanceof Uint8Array) return new Uint8Array(value.subarray(0, MAX_TEXT));
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (value instanceof RegExp || value instanceof URL) return cutText(String(value));
  if (budget.path.has(value)) return '[circular]';
  if (budget.path.size >= MAX_DEPTH) return `[nested deeper than ${MAX_DEPTH} levels]`;
  budget.path.add(value);
  try {
    if (value instanceof Error) return convertEntries(errorEntries(value), budget);
    if (value instanceof Map) return convertEntries(value, budget);
    if (Array.isArray(value) || value instanceof Set) return convertList(value, budget);
    if (ArrayBuffer.isView(value) && !(value instanceof DataView))
      return convertList(value as unknown as Iterable<unknown>, budget);
    return convertEntries(ownEntries(value), budget);
  } catch (error) {
    return `[unreadable: ${cutText(error instanceof Error ? error.message : typeof error, 200)}]`;
  } finally {
    budget.path.delete(value);
  }
}

function convertList(items: Iterable<unknown>, budget: Budget): Plain[] {
  const list: Plain[] = [];
  for (const item of items) {
    if (budget.left-- <= 0) {
      list.push(`[cut at ${MAX_ENTRIES} entries]`);
      break;
    }
    list.push(convert(item, budget) ?? null);
  }
  return list;
}

function convertEntries(entries: Iterable<readonly [unknown, unknown]>, budget: Budget): PlainMap {
  const map = emptyMap();
  for (const [key, item] of entries) {
    if (budget.left-- <= 0) {
      map['…'] = `[cut at ${MAX_ENTRIES} entries]`;
      break;
    }
    const plain = convert(item, budget);
    if (plain !== undefined) map[String(key)] = plain;
  }
  return map;
}

function* ownEntries(value: object): Iterable<readonly [string, unknown]> {
  for (const key of Object.keys(value)) yield [key, (value as Record<string, unknown>)[key]];
}

function errorEntries(error: Error): Iterable<readonly [string, unknown]> {
  return [['type', error.name], ['message', error.message], ...Object.entries(error)];
}

export function isMap(value: unknown): value is PlainMap {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
  );
}
