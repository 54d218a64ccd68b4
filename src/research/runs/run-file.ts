// run.json as the jsonl exporter writes it, read with care: it may be half-written, of another version, or somebody else's.
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { jsonErrorOffset, lineAndColumn } from '../json-position.ts';
import { readOwnFile } from './own-file.ts';
import { RunError } from './run-error.ts';

/** Version of run.json that is read; the jsonl exporter writes it. */
const FORMAT = 1;

/** What run.json says, as far as a trainer needs it. */
export interface RunFile {
  readonly id: string;
  readonly project: string;
  readonly name: string;
  /** `running`, `finished`, `failed`, `crashed` or `killed`; as it says, also when the process has gone. */
  readonly state: string;
  /** Unix milliseconds; NaN where it does not say. */
  readonly createdMs: number;
  readonly updatedMs: number;
  /** The highest step of a row; -1 without one. */
  readonly lastStep: number;
  /** Rows of attempts below `attempt` from `fromStep` on count no more. */
  readonly undone: readonly { readonly attempt: number; readonly fromStep: number }[];
  /** Seconds that its processes ran, attempt by attempt. */
  readonly wallTime: number;
}

/**
 * run.json of a folder; undefined when the folder, or the file in it, is not there. Throws a RunError for a file that is broken, of a newer
 * format, or no run's, and for a folder that is a link or a file.
 */
export function readRunFile(folder: string): RunFile | undefined {
  const found = lstatSync(folder, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  if (!found.isDirectory())
    throw new RunError(
      'foreign_folder',
      folder,
      `${folder} is ${found.isSymbolicLink() ? 'a symbolic link' : 'no folder'}; move it away, or choose another id`,
    );
  const file = join(folder, 'run.json');
  const text = readOwnFile(file);
  return text === undefined ? undefined : parse(file, text);
}

/** Whether a folder holds nothing. */
export function isEmptyFolder(folder: string): boolean {
  try {
    return readdirSync(folder).length === 0;
  } catch {
    return true;
  }
}

function parse(file: string, text: string): RunFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const { line, column } = lineAndColumn(text, jsonErrorOffset(text) ?? text.length);
    throw new RunError(
      'broken_file',
      file,
      `${file}:${line}:${column}: is no JSON, it may be half-written; put a whole one in its place, or remove it (it is written again with the run's next line), or choose another id`,
      error,
    );
  }
  const map = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  if (typeof map.format === 'number' && map.format > FORMAT)
    throw new RunError(
      'newer_format',
      file,
      `${file} has format ${map.format}, and this version of kymo reads up to ${FORMAT}; install the version that wrote it, or choose another id`,
    );
  if (map.format !== FORMAT || typeof map.id !== 'string')
    throw new RunError(
      'foreign_folder',
      file,
      `${file} is no run.json of kymo (it has no format ${FORMAT} and id); move the folder away, or choose another id`,
    );
  return {
    id: map.id,
    project: textOf(map.project),
    name: textOf(map.name),
    state: textOf(map.state),
    createdMs: Date.parse(textOf(map.created)),
    updatedMs: Date.parse(textOf(map.updated)),
    lastStep: numberOf((map.steps as { last?: unknown } | undefined)?.last) ?? -1,
    undone: listOf(map.superseded).flatMap(({ attempt, from_step }) => {
      const [of, from] = [numberOf(attempt), numberOf(from_step)];
      return of === undefined || from === undefined ? [] : [{ attempt: of, fromStep: from }];
    }),
    wallTime: wallTimeOf(listOf(map.instances)),
  };
}

/** The longest process of each attempt: those of one attempt run side by side. */
function wallTimeOf(instances: readonly Record<string, unknown>[]): number {
  const longest = new Map<number, number>();
  for (const { attempt, started, finished, last_seen } of instances) {
    const seconds = (Date.parse(textOf(finished) || textOf(last_seen)) - Date.parse(textOf(started))) / 1_000;
    const of = numberOf(attempt) ?? 1;
    if (seconds > (longest.get(of) ?? 0)) longest.set(of, seconds);
  }
  return [...longest.values()].reduce((sum, seconds) => sum + seconds, 0);
}

function listOf(value: unknown): readonly Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(item => typeof item === 'object' && item !== null) : [];
}
function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}
