// Pages of a run's JSON lines (logs, spans, media): forwards from a place, or backwards from the end, with a bounded amount read.
import fs from 'node:fs';
import path from 'node:path';
import { confinedOpenExisting } from '../../runs/confined.ts';
import { MAX_LINE_BYTES, MAX_PAGE_READ_BYTES } from './limits.ts';
import { BadRequest } from './parameters.ts';
import type { RunPlaceFound } from './run-documents.ts';

export interface Line {
  /** Where it begins; names the line in other requests. */
  readonly cursor: string;
  readonly text: string;
  readonly value: Readonly<Record<string, unknown>>;
}
export interface LinePage {
  readonly lines: readonly Line[];
  /** Where the next page begins; undefined at the end. */
  readonly next: string | undefined;
  /** Lines that could not be read. */
  readonly skipped: number;
}
export interface PageRequest {
  readonly limit: number;
  readonly newestFirst: boolean;
  readonly cursor: string | undefined;
  readonly matches: (value: Readonly<Record<string, unknown>>) => boolean;
}

const READ_BYTES = 256 * 1024;
const LINE_FEED = 10;
/** Parts of other writers, beside the plain one. */
const MAX_PARTS = 64;

/** `kind`: the file's name without `.jsonl`. Parts of several writers follow each other. @throws BadRequest */
export function readPage(place: RunPlaceFound, kind: string, request: PageRequest): LinePage {
  const parts = partsOf(place, kind);
  const { newestFirst, limit } = request;
  let at = startOf(request, parts.length);
  const lines: Line[] = [];
  let skipped = 0;
  let budget = MAX_PAGE_READ_BYTES;
  while (at.part >= 0 && at.part < parts.length && lines.length < limit && budget > 0) {
    const fd = confinedOpenExisting(place.root, place.folder, 'logs', parts[at.part]!);
    if (fd === undefined) break;
    try {
      const { size } = fs.fstatSync(fd);
      const offset = Math.min(at.offset, size);
      const piece = newestFirst ? readBefore(fd, offset) : readFrom(fd, offset, size);
      budget -= Math.max(1, piece.bytes.length);
      if (piece.kind === 'end') {
        at = newestFirst
          ? { part: at.part - 1, offset: Number.POSITIVE_INFINITY }
          : { part: at.part + 1, offset: 0 };
        // Nothing follows: a page from here, later, shows what will have come.
        if (!newestFirst && at.part === parts.length) return { lines, next: undefined, skipped };
        continue;
      }
      if (piece.kind === 'too_long') {
        skipped++;
        at = { part: at.part, offset: piece.next };
        continue;
      }
      const spans = lineSpans(piece.bytes);
      if (newestFirst) spans.reverse();
      let next = piece.next;
      for (const [from, to] of spans) {
        if (lines.length >= limit) {
          next = newestFirst ? piece.from + to + 1 : piece.from + from;
          break;
        }
        const text = piece.bytes.toString('utf8', from, to);
        const value = parse(text);
        if (value === undefined) skipped++;
        else if (request.matches(value))
          lines.push({ cursor: `${at.part}-${piece.from + from}`, text, value });
      }
      at = { part: at.part, offset: next };
    } finally {
      fs.closeSync(fd);
    }
  }
  const ended = at.part < 0 || at.part >= parts.length || (newestFirst && at.part === 0 && at.offset === 0);
  return {
    lines,
    next: ended ? undefined : `${at.part}-${at.offset === Number.POSITIVE_INFINITY ? 'end' : at.offset}`,
    skipped,
  };
}

/** The line at a place that a page named. @throws BadRequest (404) */
export function readLine(
  place: RunPlaceFound,
  kind: string,
  cursor: string,
  parameter: string,
): Readonly<Record<string, unknown>> {
  const gone = new BadRequest(`there is no line ${JSON.stringify(cursor)}`, parameter, 404);
  const match = CURSOR.exec(cursor);
  const part = partsOf(place, kind)[Number(match?.[1] ?? -1)];
  const offset = Number(match?.[2] ?? -1);
  if (part === undefined || !Number.isSafeInteger(offset) || offset < 0) throw gone;
  const fd = confinedOpenExisting(place.root, place.folder, 'logs', part);
  if (fd === undefined) throw gone;
  try {
    // Only where a line begins.
    if (offset > 0 && readAt(fd, offset - 1, 1)[0] !== LINE_FEED) throw gone;
    const bytes = readAt(fd, offset, MAX_LINE_BYTES);
    const end = bytes.indexOf(LINE_FEED);
    const value = end < 0 ? undefined : parse(bytes.toString('utf8', 0, end));
    if (value === undefined) throw gone;
    return value;
  } finally {
    fs.closeSync(fd);
  }
}

const CURSOR = /^(\d{1,2})-(\d{1,15}|end)$/;

interface At {
  readonly part: number;
  readonly offset: number;
}
function startOf({ cursor, newestFirst }: PageRequest, parts: number): At {
  if (cursor === undefined)
    return newestFirst ? { part: parts - 1, offset: Number.POSITIVE_INFINITY } : { part: 0, offset: 0 };
  const match = CURSOR.exec(cursor);
  if (match === null || Number(match[1]) >= Math.max(1, parts))
    throw new BadRequest('parameter cursor is not the `next` of an earlier page', 'cursor');
  return { part: Number(match[1]), offset: match[2] === 'end' ? Number.POSITIVE_INFINITY : Number(match[2]) };
}

function partsOf({ root, folder }: RunPlaceFound, kind: string): string[] {
  const name = new RegExp(`^${kind}(?:\\.[A-Za-z0-9_-]{1,64})?\\.jsonl$`);
  try {
    return fs
      .readdirSync(path.join(root, folder, 'logs'))
      .filter(file => name.test(file))
      .sort()
      .slice(0, MAX_PARTS);
  } catch {
    return [];
  }
}

type Piece =
  | { readonly kind: 'end'; readonly bytes: Buffer }
  | { readonly kind: 'too_long'; readonly bytes: Buffer; readonly next: number }
  /** Whole lines that begin at `from`. */
  | { readonly kind: 'lines'; readonly bytes: Buffer; readonly from: number; readonly next: number };

function readFrom(fd: number, offset: number, size: number): Piece {
  for (let length = READ_BYTES; ; length *= 4) {
    const bytes = readAt(fd, offset, Math.min(length, MAX_LINE_BYTES));
    const end = bytes.lastIndexOf(LINE_FEED) + 1;
    if (end > 0) return { kind: 'lines', bytes: bytes.subarray(0, end), from: offset, next: offset + end };
    // The rest of a last line has not come yet.
    if (offset + bytes.length >= size) return { kind: 'end', bytes };
    if (length >= MAX_LINE_BYTES) return { kind: 'too_long', bytes, next: offset + bytes.length };
  }
}

function readBefore(fd: number, offset: number): Piece {
  for (let length = READ_BYTES; ; length *= 4) {
    const from = Math.max(0, offset - Math.min(length, MAX_LINE_BYTES));
    const bytes = readAt(fd, from, offset - from);
    if (bytes.length === 0) return { kind: 'end', bytes };
    // What stands behind the last line feed is a line that is not whole yet.
    const end = bytes.lastIndexOf(LINE_FEED) + 1;
    const begin = from === 0 ? 0 : bytes.indexOf(LINE_FEED) + 1;
    if (end > begin)
      return { kind: 'lines', bytes: bytes.subarray(begin, end), from: from + begin, next: from + begin };
    if (from === 0) return { kind: 'end', bytes };
    if (length >= MAX_LINE_BYTES) return { kind: 'too_long', bytes, next: from };
  }
}

function readAt(fd: number, from: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafe(length);
  let read = 0;
  while (read < length) {
    const more = fs.readSync(fd, buffer, read, length - read, from + read);
    if (more === 0) break;
    read += more;
  }
  return buffer.subarray(0, read);
}

/** Begin and end, without the line feed, of each line. */
function lineSpans(bytes: Buffer): [number, number][] {
  const spans: [number, number][] = [];
  for (let from = 0; from < bytes.length; ) {
    const to = bytes.indexOf(LINE_FEED, from);
    spans.push([from, to]);
    from = to + 1;
  }
  return spans;
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
