// What is left of a run at a glance: the last value of every metric, or what its definition asks for.

import { extendedNumber, parseExtendedNumber } from './extended-json.ts';
import type { LogItem, LogRecord } from './log/model.ts';
import type { RowName } from './open-rows.ts';

/** Takes a value of a row. */
export function summarize(name: RowName, json: string, dirty: RowName[]): void {
  name.last = json;
  if (!name.isDirty) {
    name.isDirty = true;
    dirty.push(name);
  }
  if (name.definition === undefined || name.definition.summary.length === 0) return;
  const value = parseExtendedNumber(json);
  if (name.first === '') name.first = json;
  if (value === undefined || Number.isNaN(value)) return;
  if (value < name.min) name.min = value;
  if (value > name.max) name.max = value;
  name.sum += value;
  name.count++;
}

/** The record of what changed; undefined when nothing did. `fixed` are the entries that every summary has. */
export function summaryRecord(
  dirty: RowName[],
  fixed: readonly LogItem[],
): Extract<LogRecord, { kind: 'summary' | 'config' }> | undefined {
  if (dirty.length === 0) return undefined;
  const update: LogItem[] = [...fixed];
  const remove: LogItem[] = [];
  for (const name of dirty) {
    name.isDirty = false;
    const kinds = name.definition?.summary ?? [];
    const { path } = name;
    const key = path.length === 0 ? name.name : '';
    if (kinds.length === 0) update.push({ key, path, json: name.last });
    else if (kinds.includes('none')) remove.push({ key, path, json: '' });
    else for (const [kind, json] of wanted(name)) update.push({ key: '', path: [name.name, kind], json });
  }
  dirty.length = 0;
  return { kind: 'summary', update, remove };
}

/** `best` is the least or the greatest, as the goal says. */
function wanted(name: RowName): [string, string][] {
  const entries: [string, string][] = [];
  const { definition, count } = name;
  for (const kind of definition?.summary ?? []) {
    if (kind === 'last') entries.push([kind, name.last]);
    else if (kind === 'first') entries.push([kind, name.first]);
    else if (count === 0) continue;
    else if (kind === 'min') entries.push([kind, extendedNumber(name.min)]);
    else if (kind === 'max') entries.push([kind, extendedNumber(name.max)]);
    else if (kind === 'mean') entries.push([kind, extendedNumber(name.sum / count)]);
    else if (kind === 'best') {
      const best = definition?.goal === 'minimize' ? name.min : name.max;
      entries.push([kind, extendedNumber(best)]);
    }
  }
  return entries;
}
