// What the collector prints about itself: one line per message on stderr, as text or JSON, repeats thinned out.
import { writeSync } from 'node:fs';
import { printable } from '../../semconv/printable.ts';
import type { Logger } from '../component.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogEncoding = 'console' | 'json';

export interface LoggerOptions {
  readonly level?: LogLevel;
  readonly encoding?: LogEncoding;
  /** Takes a whole line with its line break; stderr by default. */
  readonly write?: (line: string) => void;
  /** Milliseconds since 1970; for tests. */
  readonly now?: () => number;
}

export interface RootLogger extends Logger {
  /** A logger whose every line carries these fields. */
  with(fields: Readonly<Record<string, unknown>>): Logger;
  /** Prints how often messages were left out that have not been followed by one that was printed. */
  flush(): void;
}

/** As upstream's sampling: of equal messages within a tick the first ten are printed, then every hundredth. */
const TICK_MS = 10_000;
const INITIAL = 10;
const THEREAFTER = 100;
/** Different messages that are counted at once; a message beyond that is printed as it is. */
const MAX_COUNTED_MESSAGES = 1_000;
/** Longest line; what a peer sends as an error text may be of any length. */
const MAX_LINE_CHARACTERS = 8_192;
const MAX_FIELD_DEPTH = 4;

const SEVERITY: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

interface Repeats {
  tickEndsAt: number;
  seen: number;
  leftOut: number;
}

export function createLogger(options: LoggerOptions = {}): RootLogger {
  const { encoding = 'console', write = toStderr, now = Date.now } = options;
  const lowest = SEVERITY[options.level ?? 'info'];
  const repeats = new Map<string, Repeats>();

  const print = (level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>): void => {
    const time = new Date(now()).toISOString();
    write(
      encoding === 'json'
        ? jsonLine(time, level, message, fields)
        : consoleLine(time, level, message, fields),
    );
  };

  /** How many were left out since the last one printed, or undefined when this one is to be left out as well. */
  const admit = (key: string): number | undefined => {
    const time = now();
    let counted = repeats.get(key);
    if (counted === undefined) {
      if (repeats.size >= MAX_COUNTED_MESSAGES) {
        for (const [old, { tickEndsAt, leftOut }] of repeats) {
          if (tickEndsAt <= time && leftOut === 0) repeats.delete(old);
        }
        if (repeats.size >= MAX_COUNTED_MESSAGES) return 0;
      }
      counted = { tickEndsAt: time + TICK_MS, seen: 0, leftOut: 0 };
      repeats.set(key, counted);
    } else if (time >= counted.tickEndsAt) {
      counted.tickEndsAt = time + TICK_MS;
      counted.seen = 0;
    }
    counted.seen++;
    if (counted.seen > INITIAL && (counted.seen - INITIAL) % THEREAFTER !== 0) {
      counted.leftOut++;
      return undefined;
    }
    const { leftOut } = counted;
    counted.leftOut = 0;
    return leftOut;
  };

  const make = (bound: Readonly<Record<string, unknown>>): Logger => {
    const log = (level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> | undefined) => {
      if (SEVERITY[level] < lowest) return;
      const leftOut = admit(`${level} ${String(bound.component ?? '')} ${message}`);
      if (leftOut === undefined) return;
      print(level, message, { ...bound, ...fields, ...(leftOut > 0 ? { left_out: leftOut } : {}) });
    };
    return {
      debug: (message, fields) => log('debug', message, fields),
      info: (message, fields) => log('info', message, fields),
      warn: (message, fields) => log('warn', message, fields),
      error: (message, fields) => log('error', message, fields),
    };
  };

  return {
    ...make({}),
    with: make,
    flush: () => {
      for (const [key, counted] of repeats) {
        if (counted.leftOut === 0) continue;
        print('info', 'messages were left out', { message: key, left_out: counted.leftOut });
        counted.leftOut = 0;
      }
    },
  };
}

/** Tab-separated, as upstream's console encoding: time, level, message, fields. */
function consoleLine(
  time: string,
  level: LogLevel,
  message: string,
  fields: Readonly<Record<string, unknown>>,
): string {
  const parts = [time, level, printable(message)];
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  if (entries.length > 0) parts.push(printable(toJson(Object.fromEntries(entries))));
  const line = parts.join('\t');
  return `${line.length > MAX_LINE_CHARACTERS ? `${line.slice(0, MAX_LINE_CHARACTERS)}…` : line}\n`;
}

function jsonLine(
  time: string,
  level: LogLevel,
  message: string,
  fields: Readonly<Record<string, unknown>>,
): string {
  const line = toJson({ ts: time, level, msg: message.slice(0, MAX_LINE_CHARACTERS), ...fields });
  if (line.length <= MAX_LINE_CHARACTERS) return `${line}\n`;
  return `${toJson({ ts: time, level, msg: message.slice(0, MAX_LINE_CHARACTERS / 4), fields_left_out: true })}\n`;
}

function toJson(fields: Readonly<Record<string, unknown>>): string {
  try {
    return JSON.stringify(toPlain(fields, 0));
  } catch {
    return '{"fields":"cannot be shown"}';
  }
}

/** JSON that cannot fail: errors as their text, big integers as text, depth bounded (which also ends cycles). */
function toPlain(value: unknown, depth: number): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Error) return value.message;
  if (typeof value !== 'object' || value === null) return value;
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return value;
  if (depth >= MAX_FIELD_DEPTH) return '…';
  if (Array.isArray(value)) return value.map(item => toPlain(item, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toPlain(item, depth + 1)]));
}

/** Synchronous, so that the last words of a dying process arrive. A reader that has gone is no reason to fail. */
function toStderr(line: string): void {
  try {
    writeSync(2, line);
  } catch {
    // EAGAIN, EPIPE: nobody reads.
  }
}
