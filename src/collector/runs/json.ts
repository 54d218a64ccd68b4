// JSON that loses nothing: NaN and the infinities as strings, -0 and integers of any size as they are, any key.
import { newAttributes } from '../../otlp/attributes.ts';
import type { AnyValue, Attributes } from '../../otlp/model.ts';

/** A number as JSON. What JSON has no number for becomes the string `NaN`, `Infinity` or `-Infinity`. */
export function numberJson(value: number): string {
  if (value === 0) return 1 / value < 0 ? '-0' : '0';
  // Only finite numbers give 0 here.
  if (value - value === 0) return `${value}`;
  return Number.isNaN(value) ? '"NaN"' : value > 0 ? '"Infinity"' : '"-Infinity"';
}

/** A value as JSON: bytes as `{"base64": "…"}`. With `indent`, one entry a line. */
export function valueJson(value: AnyValue | undefined, indent = false): string {
  return indent ? writeIndented(value, '\n') : write(value);
}

/** The same few keys stand in every line. */
const KNOWN_KEYS = 4_096;
const MAX_KNOWN_KEY_LENGTH = 200;
const knownKeys = new Map<string, string>();

/** A key with its colon. */
export function keyJson(key: string): string {
  let json = knownKeys.get(key);
  if (json !== undefined) return json;
  json = `${JSON.stringify(key)}:`;
  if (key.length > MAX_KNOWN_KEY_LENGTH) return json;
  if (knownKeys.size >= KNOWN_KEYS) knownKeys.clear();
  knownKeys.set(key, json);
  return json;
}

/**
 * The reverse for files of ours: integers beyond 2^53 become bigints, maps have no prototype. Strings stay strings (`"NaN"`
 * too). Throws SyntaxError.
 */
export function parseJson(text: string): AnyValue {
  return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) => {
    if (typeof value === 'number') {
      const source = context?.source ?? '';
      return Number.isSafeInteger(value) || !/^-?\d+$/.test(source) ? value : BigInt(source);
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    const map = newAttributes();
    for (const [key, item] of Object.entries(value)) map[key] = item;
    return map;
  }) as AnyValue;
}

/** True for a map, as against an array, bytes or a scalar. */
export function isMap(value: AnyValue | undefined): value is Attributes {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
  );
}

function write(value: AnyValue | undefined): string {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return leafJson(value);
  let text = '';
  if (isMap(value)) {
    for (const key of Object.keys(value)) text += (text === '' ? '' : ',') + keyJson(key) + write(value[key]);
    return `{${text}}`;
  }
  for (const item of value) text += (text === '' ? '' : ',') + write(item);
  return `[${text}]`;
}

function writeIndented(value: AnyValue | undefined, lineStart: string): string {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return leafJson(value);
  const inner = `${lineStart}  `;
  const items = isMap(value)
    ? Object.keys(value).map(key => `${inner}${JSON.stringify(key)}: ${writeIndented(value[key], inner)}`)
    : value.map(item => inner + writeIndented(item, inner));
  const [open, close] = isMap(value) ? '{}' : '[]';
  return items.length === 0 ? `${open}${close}` : `${open}${items.join(',')}${lineStart}${close}`;
}

function leafJson(value: AnyValue | undefined): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'number':
      return numberJson(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'bigint':
      return value.toString();
    default:
      break;
  }
  if (!(value instanceof Uint8Array)) return 'null';
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return `{"base64":"${bytes.toString('base64')}"}`;
}
