// What transaction logs below a folder say, in a form that tests compare.
import fs from 'node:fs';
import path from 'node:path';
import { plainJson } from '../../../../src/collector/exporters/wandb/extended-json.ts';
import { LogReader } from '../../../../src/collector/exporters/wandb/log/log-reader.ts';
import type { LogItem, LogRecord } from '../../../../src/collector/exporters/wandb/log/model.ts';

export type Json = Record<string, unknown>;

export interface ReadRun {
  readonly folder: string;
  readonly records: LogRecord[];
  readonly rows: Json[];
  readonly summary: Json;
  readonly config: Json;
  readonly console: string;
  readonly files: string[];
  readonly stats: Json[];
  readonly exit: number | undefined;
}

/** Every session below `wandb/`, in the order of folder names. Throws for a log that is damaged. */
export function readRuns(root: string): ReadRun[] {
  if (!fs.existsSync(root)) return [];
  return fs
    .readdirSync(root)
    .sort()
    .flatMap(folder => {
      const file = fs.readdirSync(path.join(root, folder)).find(name => /^run-.*\.wandb$/.test(name));
      return file === undefined ? [] : [readRun(root, folder, file)];
    });
}

function readRun(root: string, folder: string, file: string): ReadRun {
  const place = path.join(root, folder, file);
  const records: LogRecord[] = [];
  if (fs.statSync(place).size > 0) {
    const reader = new LogReader(place);
    for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
      if (entry.kind === 'damaged') throw new Error(`${place}: damaged at ${entry.from}`);
      records.push(entry.record);
    }
    if (reader.cut) throw new Error(`${place}: cut off at ${reader.offset}`);
    reader.close();
  }
  const summary: Json = {};
  const config: Json = {};
  const rows: Json[] = [];
  const stats: Json[] = [];
  const files: string[] = [];
  let console = '';
  let exit: number | undefined;
  for (const record of records) {
    if (record.kind === 'run') put(config, record.run.config);
    else if (record.kind === 'config') put(config, record.update);
    else if (record.kind === 'summary') put(summary, record.update);
    else if (record.kind === 'history') rows.push(put({}, record.items));
    else if (record.kind === 'stats') stats.push(put({}, record.items));
    else if (record.kind === 'output') console += record.text;
    else if (record.kind === 'files') files.push(...record.files.map(one => one.path));
    else if (record.kind === 'exit') exit = record.exitCode;
  }
  return { folder, records, rows, summary, config, console, files, stats, exit };
}

function put(into: Json, items: readonly LogItem[]): Json {
  for (const { key, path: place, json } of items) {
    const parts = place.length > 0 ? place : [key];
    let at = into;
    for (const part of parts.slice(0, -1)) {
      at[part] ??= {};
      at = at[part] as Json;
    }
    at[parts.at(-1)!] = JSON.parse(plainJson(json));
  }
  return into;
}

/** Every value that was logged, without what depends on how rows came together. */
export function valuesOf(root: string): unknown {
  return readRuns(root).map(({ folder, rows, config, console, files, exit, summary }) => {
    const { _wandb, _step, _timestamp, _runtime, ...rest } = summary;
    return {
      ...{ folder, config, console, exit, summary: rest },
      files: [...files].sort(),
      steps: rows.every((row, i) => i === 0 || Number(row._step) > Number(rows[i - 1]!._step)),
      values: rows
        .flatMap(row => {
          const { _step, _timestamp, _runtime, 'kymo/step': step, ...values } = row;
          return Object.entries(values).map(([key, value]) => JSON.stringify([step, key, value]));
        })
        .sort(),
    };
  });
}
