// What opening a journal finds on disk: its id, its segments, where it ends, and which batches it holds.
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Logger, Position } from '../component.ts';
import { contentName, recentContents } from './contents.ts';
import { errorCode, replaceFile, syncFolder } from './durable-file.ts';
import { BatchMarks, type MarksOptions, parseBatchKey } from './marks.ts';
import { loadMarks } from './marks-file.ts';
import type { FindingsReport } from './report.ts';
import { scanChunk } from './scan.ts';
import {
  listSegments,
  readSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type Segment,
  SegmentHeaderError,
} from './segment.ts';
import { SegmentReaders } from './segment-readers.ts';

export const JOURNAL_FILE_VERSION = 1;

/** A segment with the position after its last good byte. */
export interface SegmentExtent extends Segment {
  readonly end: Position;
}

export interface Recovered {
  readonly id: string;
  /** In order; the last one may be appended to. Empty for a new journal. */
  readonly segments: readonly SegmentExtent[];
  readonly end: Position;
  readonly marks: BatchMarks;
  readonly contents: BatchMarks;
  /** Everything before is in the saved marks. */
  readonly marksPosition: Position;
  /** Bytes cut from the end. */
  readonly cutBytes: number;
}

export function journalFile(directory: string): string {
  return path.join(directory, 'journal.json');
}
export function marksFile(directory: string): string {
  return path.join(directory, 'marks.json');
}

/**
 * Reads headers first, so that nothing is changed when a version is unknown; then cuts the torn end of the last segment
 * and brings the marks up to date. Throws when the folder cannot be used, with what to do about it.
 */
export async function recoverJournal(
  directory: string,
  options: { readonly logger: Logger; readonly report: FindingsReport; readonly marks?: MarksOptions },
): Promise<Recovered> {
  const { logger, report } = options;
  const named = await readJournalFile(journalFile(directory));
  const { segments, ids } = await readHeaders(await listSegments(directory), report);
  const foreign = ids.find(id => id !== (named ?? ids[0]));
  if (foreign !== undefined) {
    throw new Error(
      `journal ${directory}: holds segments of journal ${foreign} beside those of ${named ?? ids[0]}. ` +
        'Move the ones that do not belong here to a folder of their own; nothing was changed.',
    );
  }
  const loaded = await loadMarks(marksFile(directory));
  // Without segments the positions start again, so the journal is another one: cursors and marks of the old do not fit it.
  const id = segments.length === 0 ? randomUUID() : (ids[0] ?? named ?? randomUUID());
  if (named !== id) {
    const content = `${JSON.stringify({ version: JOURNAL_FILE_VERSION, id, createdAt: new Date().toISOString() })}\n`;
    await replaceFile(journalFile(directory), content, { durable: true });
  }

  if (loaded.kind === 'unreadable') {
    logger.error('journal: marks.json is damaged; the marks are rebuilt from what the journal holds', {
      file: marksFile(directory),
      reason: loaded.reason,
    });
  }
  const start = segments[0]?.start ?? 0;
  const snapshot = loaded.kind === 'loaded' && loaded.snapshot.journal === id ? loaded.snapshot : undefined;
  if (snapshot !== undefined) {
    const marks = new BatchMarks(options.marks);
    marks.restore(snapshot.marks);
    const contents = recentContents();
    contents.restore(snapshot.contents ?? []);
    const marksPosition = Math.max(start, snapshot.position);
    const extents = await scanSegments(segments, { marks, contents }, marksPosition, report);
    if (snapshot.position <= extents.end) return { id, ...extents, marks, contents, marksPosition };
    // They were made durable after those records. A mark without its record would lose a retry, a missing one only stores it twice.
    logger.error(
      'journal: records that were durable are gone; the marks are rebuilt from what the journal holds',
      {
        bytes: snapshot.position - extents.end,
      },
    );
  }
  const marks = new BatchMarks(options.marks);
  const contents = recentContents();
  const extents = await scanSegments(segments, { marks, contents }, start, report);
  return { id, ...extents, marks, contents, marksPosition: start };
}

interface Known {
  readonly marks: BatchMarks;
  readonly contents: BatchMarks;
}

/** Where each segment ends; on the way adds the batches from `marksPosition` on to the marks and cuts the torn end off. */
async function scanSegments(
  segments: readonly Segment[],
  known: Known,
  marksPosition: Position,
  report: FindingsReport,
): Promise<{ segments: readonly SegmentExtent[]; end: Position; cutBytes: number }> {
  const readers = new SegmentReaders(1);
  try {
    const extents: SegmentExtent[] = [];
    let cutBytes = 0;
    for (const [index, segment] of segments.entries()) {
      const following = segments[index + 1];
      const size = (await fs.promises.stat(segment.path)).size;
      const fileEnd = segment.start + Math.max(0, size - SEGMENT_HEADER_BYTES);
      // Beyond the next segment's start stands what was refused: written in part, and not to be cut away by a failing disk.
      const limit = following === undefined ? fileEnd : Math.min(fileEnd, following.start);
      if (following !== undefined && limit < following.start) {
        report.add({
          kind: 'missing',
          position: limit,
          next: following.start,
          segment: segment.path,
          reason: `the segment ends ${following.start - limit} bytes before the next one starts`,
        });
      }
      let end = limit;
      if (following === undefined || limit > marksPosition) {
        const from = following === undefined ? segment.start : Math.max(segment.start, marksPosition);
        end = await scanInto(
          known,
          readers,
          segment,
          from,
          limit,
          marksPosition,
          following === undefined,
          report,
        );
      }
      if (following === undefined && end < fileEnd) {
        cutBytes = fileEnd - end;
        await cut(segment, end);
      }
      extents.push({ ...segment, end });
    }
    return { segments: extents, end: extents.at(-1)?.end ?? 0, cutBytes };
  } finally {
    await readers.close();
  }
}

/** Checks every header; an unfinished last segment (a crash while it was made) is removed, it cannot hold records. */
async function readHeaders(
  listed: readonly Segment[],
  report: FindingsReport,
): Promise<{ segments: Segment[]; ids: string[] }> {
  const segments: Segment[] = [];
  const ids = new Set<string>();
  const unfinished: Segment[] = [];
  for (const segment of listed) {
    try {
      ids.add((await readSegmentHeader(segment)).journal);
      segments.push(segment);
    } catch (error) {
      if (!(error instanceof SegmentHeaderError) || error.reason === 'version') throw error;
      const holdsRecords = (await fs.promises.stat(segment.path)).size > SEGMENT_HEADER_BYTES;
      if (holdsRecords) {
        // Its name says where it starts and each record has its own checksum, so the records can be read all the same.
        report.add({
          kind: 'header',
          position: segment.start,
          next: segment.start,
          segment: segment.path,
          reason: error.message,
        });
        segments.push(segment);
      } else {
        unfinished.push(segment);
      }
    }
  }
  for (const segment of unfinished) await fs.promises.rm(segment.path);
  return { segments, ids: [...ids] };
}

/** Adds the batch keys from `marksPosition` on to the marks and returns the position after the last readable record. */
async function scanInto(
  known: Known,
  readers: SegmentReaders,
  segment: Segment,
  from: Position,
  to: Position,
  marksPosition: Position,
  last: boolean,
  report: FindingsReport,
): Promise<Position> {
  const readAt = readers.readAt(segment);
  let good = from;
  let at = from;
  while (at < to) {
    const scanned = await scanChunk(readAt, at, to);
    for (const record of scanned.records) {
      good = Math.max(good, record.next);
      if (record.position < marksPosition) continue;
      const batch = parseBatchKey(record.batchKey, record.signal);
      const content = batch ?? contentName(record.batchKey, record.signal, record.bytes);
      if (content === undefined) continue;
      const into = batch === undefined ? known.contents : known.marks;
      into.add(content, Number(record.receivedUnixNano / 1_000_000n));
    }
    for (const damage of scanned.damage) {
      // Damage that nothing follows is the end of a write that was cut short, whichever part of it reached the disk.
      const kind = last && damage.next >= to ? 'torn' : 'corrupt';
      report.add({ ...damage, kind, segment: segment.path });
      if (kind === 'corrupt') good = Math.max(good, damage.next);
    }
    at = scanned.next;
  }
  return last ? good : to;
}

async function cut(segment: Segment, end: Position): Promise<void> {
  const handle = await fs.promises.open(segment.path, 'r+');
  try {
    await handle.truncate(SEGMENT_HEADER_BYTES + (end - segment.start));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await syncFolder(path.dirname(segment.path));
}

/** The id that journal.json names. Throws for another version. */
export async function readJournalFile(file: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await fs.promises.readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  let parsed: { version?: unknown; id?: unknown };
  try {
    parsed = JSON.parse(text);
  } catch {
    // Written by rename, so this is damage; the segments say the id too.
    return undefined;
  }
  if (typeof parsed.version === 'number' && parsed.version !== JOURNAL_FILE_VERSION) {
    throw new Error(
      `${file}: has format version ${parsed.version}, this Kymo reads version ${JOURNAL_FILE_VERSION}. ` +
        'Open the journal with the version that wrote it, or move the folder away to start a new one; nothing was changed.',
    );
  }
  return typeof parsed.id === 'string' && /^[0-9a-f-]{36}$/.test(parsed.id) ? parsed.id : undefined;
}
