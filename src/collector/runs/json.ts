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
  return write(value, indent ? '\n' : '');
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

function write(value: AnyValue | undefined, lineStart: string): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'number':
      return numberJson(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'bigint':
      return value.toString();
    case 'undefined':
      return 'null';
    default:
      break;
  }
  if (value === null) return 'null';
  if (value instanceof Uint8Array) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return `{"base64":"${bytes.toString('base64')}"}`;
  }
  const inner = lineStart === '' ? '' : `${lineStart}  `;
  const colon = lineStart === '' ? ':' : ': ';
  const items = isMap(value)
    ? Object.keys(value).map(key => `${inner}${JSON.stringify(key)}${colon}${write(value[key], inner)}`)
    : (value as readonly AnyValue[]).map(item => inner + write(item, inner));
  const [open, close] = isMap(value) ? '{}' : '[]';
  return items.length === 0 ? `${open}${close}` : `${open}${items.join(',')}${lineStart}${close}`;
}
