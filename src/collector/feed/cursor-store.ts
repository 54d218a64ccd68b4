// Where an exporter's place in the journal is kept, together with the state that belongs to it: two generations per exporter.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import type { CommittedState, Logger, Position } from '../component.ts';
import { errorCode, replaceFile, syncFolder } from '../journal/durable-file.ts';

export const CURSOR_VERSION = 1;
/** A cursor holds the state of open runs; one larger than this is a mistake of the exporter. */
export const MAX_CURSOR_BYTES = 64 * 1024 * 1024;
/** Stretches of the journal that an exporter never saw. Older ones are joined: what counts is that a rebuild is due. */
const MAX_GAPS = 64;
/** A folder that is being removed under us is gone after a moment; made again too soon, it goes too. */
const REMOVED_RETRIES = 5;
const REMOVED_PAUSE_MS = 20;

/** A stretch of the journal that was deleted before the exporter could read it. */
export interface Gap {
  readonly from: Position;
  readonly to: Position;
}

export interface Cursor {
  /** Id of the journal that `position` belongs to. */
  readonly journal: string;
  readonly position: Position;
  readonly state: CommittedState;
  readonly gaps: readonly Gap[];
}

/** As text: an exporter may go on changing the objects that it gave as its state. */
interface Generation {
  readonly journal: string;
  readonly position: Position;
  readonly body: string;
}

/** The cursor file was written by another version of Kymo. */
export class CursorVersionError extends Error {
  constructor(file: string, version: number) {
    super(
      `${file}: has format version ${version}, this Kymo reads version ${CURSOR_VERSION}. ` +
        'Run the version that wrote it, or remove the folder to let the exporter read the journal from its start (its sink may then hold data twice); nothing was changed.',
    );
    this.name = 'CursorVersionError';
  }
}

/** The cursor of one exporter: `<folder>/<exporter>/current` and `previous`. */
export class CursorStore {
  readonly #current: string;
  readonly #previous: string;
  readonly #folder: string;
  readonly #logger: Logger;
  #made = false;
  /** False when the file `current` is missing or not what we go by: it must then not become `previous`. */
  #currentStands = false;
  #currentGeneration: Generation | undefined;
  #previousGeneration: Generation | undefined;

  constructor(cursorsDirectory: string, exporterId: string, logger: Logger) {
    this.#folder = path.join(cursorsDirectory, exporterFolder(exporterId));
    this.#current = path.join(this.#folder, 'current');
    this.#previous = path.join(this.#folder, 'previous');
    this.#logger = logger;
  }

  /**
   * Reads both generations. A missing, torn or damaged one is left out with a warning: the other one is right in itself,
   * only further back. Throws CursorVersionError, and what the file system throws.
   */
  async load(): Promise<void> {
    this.#currentGeneration = await this.#read(this.#current);
    this.#previousGeneration = await this.#read(this.#previous);
    this.#currentStands = this.#currentGeneration !== undefined;
    if (this.#currentGeneration === undefined && this.#previousGeneration !== undefined) {
      this.#logger.warn('cursor: going back to the older generation', { file: this.#previous });
      this.#currentGeneration = this.#previousGeneration;
    }
  }

  get current(): Cursor | undefined {
    return this.#currentGeneration && parseCursor(this.#currentGeneration.body);
  }
  get previous(): Cursor | undefined {
    return this.#previousGeneration && parseCursor(this.#previousGeneration.body);
  }

  /** How far back in this journal the exporter can have to go: where its older generation stands. 0 before there are two. */
  olderPosition(journal: string): Position {
    if (this.#currentGeneration?.journal !== journal || this.#previousGeneration?.journal !== journal)
      return 0;
    return Math.min(this.#previousGeneration.position, this.#currentGeneration.position);
  }

  /**
   * Writes a new generation; what it refers to must be durable already. Order: temporary file, fdatasync, rename
   * (current becomes previous), fsync of the folder. Throws what the file system throws; the old generations then stand.
   */
  async commit(cursor: Cursor): Promise<void> {
    const body = JSON.stringify({ ...cursor, gaps: joinGaps(cursor.gaps) });
    if (body.length > MAX_CURSOR_BYTES) {
      throw new Error(
        `${this.#current}: the exporter's state has ${body.length} bytes, at most ${MAX_CURSOR_BYTES} are kept`,
      );
    }
    const content = `kymo-cursor ${CURSOR_VERSION} ${crc32(body).toString(16)}\n${body}\n`;
    for (let retries = 0; ; retries++) {
      try {
        await this.#write(content);
        break;
      } catch (error) {
        this.#made = false;
        // Somebody removes the folder while we run. What the exporter wrote stands only with its cursor: failing here would
        // make it start again from a place that is no longer on disk.
        if (errorCode(error) !== 'ENOENT' || retries === REMOVED_RETRIES) throw error;
        await new Promise(resolve => setTimeout(resolve, REMOVED_PAUSE_MS * 2 ** retries));
      }
    }
    if (this.#currentStands) this.#previousGeneration = this.#currentGeneration;
    this.#currentGeneration = { journal: cursor.journal, position: cursor.position, body };
    this.#currentStands = true;
  }

  async #write(content: string): Promise<void> {
    if (!this.#made) {
      await fs.promises.mkdir(this.#folder, { recursive: true });
      await syncFolder(path.dirname(this.#folder));
      this.#made = true;
    }
    const keep = this.#currentStands ? { keepAs: this.#previous } : {};
    await replaceFile(this.#current, content, { durable: true, ...keep });
  }

  /** Makes the older generation the current one, after the exporter could not start from the newer. */
  goBack(): boolean {
    if (this.#previousGeneration === undefined || this.#previousGeneration === this.#currentGeneration)
      return false;
    this.#currentGeneration = this.#previousGeneration;
    this.#currentStands = false;
    return true;
  }

  async #read(file: string): Promise<Generation | undefined> {
    let text: string;
    try {
      if ((await fs.promises.stat(file)).size > MAX_CURSOR_BYTES + 1024) {
        this.#logger.warn('cursor: too large to be one, ignored', { file });
        return undefined;
      }
      text = await fs.promises.readFile(file, 'utf8');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
    const match = /^kymo-cursor (\d+) ([0-9a-f]+)\n/.exec(text);
    if (match !== null && Number(match[1]) !== CURSOR_VERSION)
      throw new CursorVersionError(file, Number(match[1]));
    const body = match === null ? '' : text.slice(match[0].length, -1);
    const cursor =
      match !== null && text.endsWith('\n') && crc32(body) === parseInt(match[2]!, 16)
        ? parseCursor(body)
        : undefined;
    if (cursor === undefined) this.#logger.warn('cursor: damaged or unfinished, ignored', { file });
    return cursor && { journal: cursor.journal, position: cursor.position, body };
  }
}

/** A file name for an exporter id (`type` or `type/name`): readable where possible, distinct always. */
export function exporterFolder(id: string): string {
  const readable = id.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 40);
  if (readable === id && readable !== '' && readable === readable.toLowerCase()) return readable;
  return `${readable}-${createHash('sha256').update(id).digest('hex').slice(0, 12)}`;
}

function parseCursor(body: string): Cursor | undefined {
  const cursor = JSON.parse(body) as Partial<Cursor>;
  if (typeof cursor.journal !== 'string' || !isPosition(cursor.position)) return undefined;
  const gaps = Array.isArray(cursor.gaps)
    ? cursor.gaps.filter(gap => isPosition(gap.from) && isPosition(gap.to))
    : [];
  return { journal: cursor.journal, position: cursor.position, state: cursor.state, gaps };
}
function isPosition(value: unknown): value is Position {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
function joinGaps(gaps: readonly Gap[]): readonly Gap[] {
  if (gaps.length <= MAX_GAPS) return gaps;
  const kept = gaps.slice(gaps.length - MAX_GAPS + 1);
  return [{ from: gaps[0]!.from, to: gaps[gaps.length - MAX_GAPS]!.to }, ...kept];
}
