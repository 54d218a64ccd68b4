// In what a configuration differs from the one that a run was started with, in words.
import { join } from 'node:path';
import { jsonErrorOffset, lineAndColumn } from '../json-position.ts';
import { toPlainMap } from '../plain.ts';
import { readOwnFile } from './own-file.ts';
import { RunError } from './run-error.ts';

/** Differences that a message lists. */
const MAX_LISTED = 10;
const MAX_SHOWN = 60;
const SECRET = /key|token|secret|password/i;

/**
 * The differences of `config` from the run's config.json, such as `lr: 0.001 -> 0.01`. Entries that only the run has are none: it may have got
 * them later. Throws a RunError for a file that cannot be read.
 */
export function configChanges(folder: string, config: object): string[] {
  const before = readConfig(join(folder, 'config.json'));
  if (before === undefined) return [];
  const changes: string[] = [];
  compare(before, asWritten(config), '', changes);
  return changes.length > MAX_LISTED
    ? [...changes.slice(0, MAX_LISTED), `and ${changes.length - MAX_LISTED} more`]
    : changes;
}

function readConfig(file: string): unknown {
  const text = readOwnFile(file);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    const { line, column } = lineAndColumn(text, jsonErrorOffset(text) ?? text.length);
    throw new RunError(
      'broken_file',
      file,
      `${file}:${line}:${column}: is no JSON, it may be half-written; put a whole one in its place, or remove it, or choose another id`,
      error,
    );
  }
}

/** The configuration as it will stand in config.json. */
function asWritten(config: object): unknown {
  return JSON.parse(
    JSON.stringify(toPlainMap(config), (_key, value: unknown) => {
      if (typeof value === 'bigint') return Number(value);
      if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
      return value instanceof Uint8Array ? { base64: Buffer.from(value).toString('base64') } : value;
    }),
  );
}

function compare(before: unknown, after: unknown, path: string, changes: string[]): void {
  if (isMap(before) && isMap(after)) {
    for (const key of Object.keys(after)) {
      const place = path === '' ? key : `${path}.${key}`;
      if (!Object.hasOwn(before, key)) changes.push(`${place}: new, ${shown(key, after[key])}`);
      else compare(before[key], after[key], place, changes);
    }
    return;
  }
  if (JSON.stringify(before) === JSON.stringify(after)) return;
  const name = path.slice(path.lastIndexOf('.') + 1);
  changes.push(`${path}: ${shown(name, before)} -> ${shown(name, after)}`);
}

function shown(name: string, value: unknown): string {
  if (SECRET.test(name)) return '[redacted]';
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
