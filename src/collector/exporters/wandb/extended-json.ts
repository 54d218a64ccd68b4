// Numbers and values as W&B writes them: JSON, but NaN and the infinities as bare words.
import type { AnyValue } from '../../../otlp/model.ts';
import { isMap, keyJson, valueJson } from '../../runs/json.ts';

export function extendedNumber(value: number): string {
  if (value === 0) return 1 / value < 0 ? '-0' : '0';
  // NaN, Infinity and -Infinity are written as they are called.
  return `${value}`;
}

export function extendedJson(value: AnyValue | undefined): string {
  if (typeof value === 'number') return extendedNumber(value);
  if (Array.isArray(value)) return `[${value.map(item => extendedJson(item as AnyValue)).join(',')}]`;
  if (isMap(value)) {
    const entries = Object.keys(value).map(key => keyJson(key) + extendedJson(value[key]));
    return `{${entries.join(',')}}`;
  }
  return valueJson(value);
}

/** Bare words become strings, for `JSON.parse`. Text inside of strings stays. */
export function plainJson(text: string): string {
  if (!/NaN|Infinity/.test(text)) return text;
  return text.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, found =>
    found[0] === '"' ? found : `"${found}"`,
  );
}

/** A number that may be a bare word; undefined for anything else. */
export function parseExtendedNumber(text: string): number | undefined {
  const bare = text.startsWith('"') ? text.slice(1, -1) : text;
  if (bare === 'NaN' || bare === 'Infinity' || bare === '-Infinity') return Number(bare);
  return /^-?\d/.test(text) ? Number(text) : undefined;
}
