// Reads lines of a run's metrics.jsonl: which metric has which value at which step, and what a resumed attempt superseded.

import { MAX_ATTEMPT } from './points.ts';

/** Where what is read goes. */
export interface RowSink {
  /** `key`: as in the line. `rank` 0 is the rule. */
  point(key: string, rank: number, step: number, time: number, value: number, attempt: number): void;
  axis(name: string, rank: number, step: number, time: number, value: number, attempt: number): void;
  mark(attempt: number, fromStep: number): void;
  /** A line that is none of ours. */
  unreadable(): void;
}

/** Keys of a line that are no metrics, as jsonl's README has them. */
const OWN_KEYS: ReadonlySet<string> = new Set([
  'step',
  'time',
  'mode',
  'scope',
  'instance',
  'rank',
  'attempt',
  'trace_id',
  'span_id',
  'axes',
  'histogram',
  'superseded',
]);

type Line = { readonly [key: string]: unknown };

/** `text`: whole lines. They are parsed together, which is faster than each by itself; where one cannot be, each by itself. */
export function readRows(text: string, sink: RowSink): void {
  const end = text.endsWith('\n') ? text.length - 1 : text.length;
  if (end <= 0) return;
  const body = text.slice(0, end);
  let lines: unknown[];
  try {
    lines = JSON.parse(`[${body.replaceAll('\n', ',')}]`) as unknown[];
  } catch {
    lines = [];
    for (const line of body.split('\n')) {
      if (line === '') continue;
      try {
        lines.push(JSON.parse(line));
      } catch {
        sink.unreadable();
      }
    }
  }
  for (const line of lines) {
    if (typeof line === 'object' && line !== null && !Array.isArray(line)) readRow(line as Line, sink);
    else sink.unreadable();
  }
}

function readRow(line: Line, sink: RowSink): void {
  const { step: givenStep, time, rank = 0, attempt = 1 } = line;
  if (line.superseded !== undefined) {
    const { attempt: by, from_step: from } = line.superseded as { attempt?: unknown; from_step?: unknown };
    if (typeof by === 'number' && typeof from === 'number') sink.mark(by, from);
    else sink.unreadable();
    return;
  }
  if (line.histogram !== undefined) return;
  if (
    typeof givenStep !== 'number' ||
    !Number.isFinite(givenStep) ||
    typeof time !== 'number' ||
    !isCount(rank, MAX_RANK) ||
    !isCount(attempt, MAX_ATTEMPT)
  ) {
    sink.unreadable();
    return;
  }
  // -0 and 0 are one step.
  const step = givenStep + 0;
  for (const key in line) {
    const value = line[key];
    if (typeof value === 'number') {
      if (key === 'step' || key === 'time' || key === 'rank' || key === 'attempt') continue;
      sink.point(key, rank, step, time, value, attempt);
    } else if (typeof value === 'string') {
      const number = NOT_NUMBERS.get(value);
      if (number !== undefined && !OWN_KEYS.has(key)) sink.point(key, rank, step, time, number, attempt);
    }
  }
  const { axes } = line;
  if (typeof axes !== 'object' || axes === null) return;
  for (const [name, value] of Object.entries(axes))
    if (typeof value === 'number') sink.axis(name, rank, step, time, value, attempt);
}

/** More processes than any job has. */
const MAX_RANK = 1_000_000;

function isCount(value: unknown, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most;
}

const NOT_NUMBERS: ReadonlyMap<string, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);

/** The metric that a key of a line stands for. */
export function metricOf(key: string): string {
  return key.startsWith('~') ? key.slice(1) : key;
}
