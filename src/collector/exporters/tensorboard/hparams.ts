// A run's config as hparams columns and as a text for people.
import type { AnyValue, Attributes } from '../../../otlp/model.ts';
import type { HparamValue } from './events.ts';
import { MAX_HPARAM_CHARACTERS, MAX_HPARAMS } from './limits.ts';

/** JSON as it is kept in the cursor: no bigint, no bytes, no non-finite number. */
export type PlainValue =
  | null
  | string
  | number
  | boolean
  | readonly PlainValue[]
  | { readonly [key: string]: PlainValue };
export type PlainConfig = { readonly [key: string]: PlainValue };

/** The config attribute of an event as plain JSON; undefined where it is no map. */
export function plainConfig(value: AnyValue | undefined): PlainConfig | undefined {
  return isMap(value) ? (plain(value) as PlainConfig) : undefined;
}

/** A later config over an earlier one: maps merge, anything else replaces. */
export function mergeConfig(before: PlainConfig, later: PlainConfig): PlainConfig {
  const merged: Record<string, PlainValue> = Object.assign(Object.create(null), before);
  for (const [key, value] of Object.entries(later)) {
    const old = merged[key];
    merged[key] = isPlainMap(old) && isPlainMap(value) ? mergeConfig(old, value) : value;
  }
  return merged;
}

/** Columns of the HParams dashboard: nested keys joined by dots; what the dashboard has no type for as text. */
export function hparams(config: PlainConfig): Map<string, HparamValue> {
  const columns = new Map<string, HparamValue>();
  flatten(config, '', columns);
  return columns;
}

/** The config as a markdown code block. */
export function configMarkdown(config: PlainConfig): string {
  // An indented block: no text inside it can end it, as a fence could be ended.
  return JSON.stringify(config, undefined, 2)
    .split('\n')
    .map(line => `    ${line}`)
    .join('\n');
}

function flatten(config: PlainConfig, path: string, into: Map<string, HparamValue>): void {
  for (const [key, value] of Object.entries(config)) {
    if (into.size >= MAX_HPARAMS) return;
    const name = path === '' ? key : `${path}.${key}`;
    if (isPlainMap(value)) flatten(value, name, into);
    else if (typeof value === 'number' || typeof value === 'boolean') into.set(name, value);
    else {
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      into.set(name, text.slice(0, MAX_HPARAM_CHARACTERS));
    }
  }
}

function plain(value: AnyValue): PlainValue {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return value.map(plain);
  const map: Record<string, PlainValue> = Object.create(null);
  for (const [key, item] of Object.entries(value as Attributes)) map[key] = plain(item);
  return map;
}

function isMap(value: AnyValue | undefined): value is Attributes {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
  );
}

function isPlainMap(value: PlainValue | undefined): value is PlainConfig {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
