// marks.json: the batch marks as of a journal position, so that reopening reads only what came after.
import fs from 'node:fs';
import { crc32 } from 'node:zlib';
import type { Position } from '../component.ts';
import { errorCode, errorText, replaceFile } from './durable-file.ts';
import { MAX_MARKS_FILE_BYTES } from './limits.ts';
import type { SerializedMark } from './marks.ts';

export const MARKS_VERSION = 1;

export interface MarksSnapshot {
  readonly journal: string;
  /** Every record before this position is in the marks. */
  readonly position: Position;
  readonly marks: readonly SerializedMark[];
  /** Of requests without a batch key; not in files of versions that did not know them. */
  readonly contents?: readonly SerializedMark[];
}

export type LoadedMarks =
  | { readonly kind: 'loaded'; readonly snapshot: MarksSnapshot }
  | { readonly kind: 'missing' }
  /** Damaged: the marks are rebuilt from what the journal still holds. */
  | { readonly kind: 'unreadable'; readonly reason: string };

export async function saveMarks(file: string, snapshot: MarksSnapshot): Promise<void> {
  const body = JSON.stringify(snapshot);
  await replaceFile(file, `{"version":${MARKS_VERSION},"crc":${crc32(body)},"body":${body}}\n`, {
    durable: true,
  });
}

/** Throws for an unknown version (nothing was changed) and for what the file system throws. */
export async function loadMarks(file: string): Promise<LoadedMarks> {
  let text: string;
  try {
    if ((await fs.promises.stat(file)).size > MAX_MARKS_FILE_BYTES) {
      return { kind: 'unreadable', reason: `larger than ${MAX_MARKS_FILE_BYTES} bytes` };
    }
    text = await fs.promises.readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return { kind: 'missing' };
    throw error;
  }
  let parsed: { version?: unknown; crc?: unknown; body?: unknown };
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    return { kind: 'unreadable', reason: errorText(error) };
  }
  if (typeof parsed !== 'object' || parsed === null || typeof parsed.version !== 'number') {
    return { kind: 'unreadable', reason: 'no version in it' };
  }
  if (parsed.version !== MARKS_VERSION) {
    throw new Error(
      `${file}: has format version ${parsed.version}, this Kymo reads version ${MARKS_VERSION}. ` +
        'Open the journal with the version that wrote it, or remove this file (retries of old batches may then be stored twice); nothing was changed.',
    );
  }
  if (crc32(JSON.stringify(parsed.body)) !== parsed.crc)
    return { kind: 'unreadable', reason: 'checksum is wrong' };
  const body = parsed.body as Partial<MarksSnapshot>;
  if (
    typeof body.journal !== 'string' ||
    !Number.isSafeInteger(body.position) ||
    !Array.isArray(body.marks)
  ) {
    return { kind: 'unreadable', reason: 'journal, position or marks are missing' };
  }
  return { kind: 'loaded', snapshot: body as MarksSnapshot };
}
