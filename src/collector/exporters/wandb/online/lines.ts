// Records of a transaction log as the lines that file_stream takes.
import { extendedNumber } from '../extended-json.ts';
import type { LogItem, LogRecord } from '../log/model.ts';
import { JsonTree } from './json-tree.ts';

/** What the back-end takes; anything longer is left out and counted, as the official client does. */
export const MAX_LINE_BYTES = 10_383_360;
const MAX_CONSOLE_CHARACTERS = 4_096;

/** A row; `step` in place of the log's own `_step`, where the server has later ones already. */
export function historyLine(
  items: readonly LogItem[],
  step: number | undefined,
  moreRuntime: number,
): string {
  const tree = new JsonTree();
  for (const { key, path, json } of items) tree.set(path.length > 0 ? path : [key], json);
  if (step !== undefined) tree.set(['_step'], extendedNumber(step));
  if (moreRuntime > 0) {
    const own = items.find(one => one.key === '_runtime')?.json ?? '0';
    tree.set(['_runtime'], extendedNumber(Number(own) + moreRuntime));
  }
  return tree.toJson();
}

export function stepOf(items: readonly LogItem[]): number | undefined {
  const found = items.find(one => one.key === '_step' && one.path.length === 0);
  const step = found === undefined ? Number.NaN : Number(found.json);
  return Number.isSafeInteger(step) ? step : undefined;
}

export function eventLine(
  { timeUnixNano, items }: Extract<LogRecord, { kind: 'stats' }>,
  startedUnixNano: bigint,
  moreRuntime: number,
): string {
  const tree = new JsonTree();
  tree.set(['_wandb'], 'true');
  tree.set(['_timestamp'], extendedNumber(Number(timeUnixNano / 1_000n) / 1e6));
  const runtime = Number((timeUnixNano - startedUnixNano) / 1_000n) / 1e6;
  tree.set(['_runtime'], extendedNumber(Math.max(0, runtime) + moreRuntime));
  for (const { key, path, json } of items)
    tree.set([`system.${path.length > 0 ? path.join('.') : key}`], json);
  return tree.toJson();
}

/** One line of the console. `structured`: the server takes objects. */
export function consoleLines(
  { stream, timeUnixNano, text }: Extract<LogRecord, { kind: 'output' }>,
  structured: boolean,
): string[] {
  const micros = timeUnixNano / 1_000n;
  const seconds = new Date(Number(micros / 1_000n)).toISOString().slice(0, 19);
  const time = `${seconds}.${String(micros % 1_000_000n).padStart(6, '0')}`;
  const lines = text.replace(/\n$/, '').split('\n');
  return lines.map(line => {
    const content = line.slice(0, MAX_CONSOLE_CHARACTERS);
    if (!structured) return `${stream === 'stderr' ? 'ERROR ' : ''}${time} ${content}`;
    return JSON.stringify({ ...(stream === 'stderr' && { level: 'error' }), ts: time, content });
  });
}
