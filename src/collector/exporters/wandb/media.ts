// Media events of one run: each waits until its bytes are here, then becomes a file below `files/media` and a value of a row.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { AnyValue, Attributes } from '../../../otlp/model.ts';
import {
  MEDIA_CAPTION,
  MEDIA_HEIGHT,
  MEDIA_KIND,
  MEDIA_METADATA,
  MEDIA_MIME_TYPE,
  MEDIA_NAME,
  MEDIA_WIDTH,
  STEP,
} from '../../../semconv/names.ts';
import type { Logger, ResolvedLog } from '../../component.ts';
import { MAX_WAIT_NANOS, type OpenContent } from '../../runs/assembly.ts';
import { bareMimeType, extensionOf, pathSegments } from '../../runs/file-names.ts';
import { isMap } from '../../runs/json.ts';
import { type Chunk, isChunk, type PieceEvent, text } from '../../runs/media-events.ts';
import { explicitMode } from '../../runs/resolve.ts';
import { fullName, modeOf, sinkName } from '../../runs/series-name.ts';
import { ContentStore } from '../jsonl/content-store.ts';
import type { LogItem } from './log/model.ts';

/** An event on its way to its row. JSON, because it travels in the cursor while its bytes are missing. */
export interface WaitingMedia {
  readonly sha256: string;
  /** Key of the row. */
  readonly name: string;
  /** Null: the event has none. */
  readonly step: number | null;
  readonly timeUnixNano: string;
  /** `_type` of the value; empty for what W&B shows nothing of: it becomes a file only. */
  readonly type: string;
  /** Folders and file below `files`. */
  readonly segments: readonly string[];
  /** Further fields of the value, as JSON. */
  readonly facts: readonly (readonly [field: string, json: string])[];
  readonly since: string;
}
export interface MediaState {
  readonly open: readonly OpenContent[];
  readonly waiting: readonly WaitingMedia[];
}

/** Events that wait for bytes travel in the cursor. */
const MAX_WAITING = 256;
const MAX_CAPTION_CHARACTERS = 4_096;
const MAX_NAME_CHARACTERS = 1_000;
export const FILES_FOLDER = 'files';
const MEDIA_FOLDER = 'media';
const ID_DIGITS = 20;
const UNNAMED = 'unnamed';

/** `_type` and folder by what the bytes are. */
interface Shape {
  readonly type: string;
  readonly folder: string;
}
const FILE_ONLY: Shape = { type: '', folder: 'other' };

function shapeOf(kind: string, mimeType: string): Shape {
  if (kind === 'table' && mimeType === 'application/json') return { type: 'table-file', folder: 'table' };
  if (kind === 'video' || mimeType.startsWith('video/')) return { type: 'video-file', folder: 'videos' };
  if (mimeType.startsWith('image/')) return { type: 'image-file', folder: 'images' };
  if (mimeType.startsWith('audio/')) return { type: 'audio-file', folder: 'audio' };
  if (mimeType === 'text/html') return { type: 'html-file', folder: 'html' };
  return FILE_ONLY;
}

export interface MediaOptions {
  readonly root: string;
  readonly directory: string;
  readonly logger: Logger;
  lost(reason: string, amount: number): void;
  stored(events: number, bytes: number): void;
  /** Takes the value of a row and says which file belongs to it. */
  show(media: WaitingMedia, fields: readonly LogItem[], file: string): void;
}

export class RunMedia {
  readonly #options: MediaOptions;
  readonly #store: ContentStore;
  #waiting: WaitingMedia[];
  #toFinish: string[] = [];
  /** Shown, and to get their names in the next commit. */
  #toLink: WaitingMedia[] = [];
  /** Bytes of contents that are whole but not in the store yet. */
  readonly #sizes = new Map<string, number>();
  readonly #told = new Set<string>();

  constructor(options: MediaOptions, state?: MediaState) {
    this.#options = options;
    this.#store = new ContentStore(
      {
        ...{ root: options.root, folder: options.directory, part: '' },
        onIncomplete: sha256 => this.#giveUp(sha256, 'incomplete'),
      },
      state?.open,
    );
    this.#waiting = [...(state?.waiting ?? [])];
  }

  restore(): void {
    this.#store.restore();
  }

  add(event: PieceEvent, log: ResolvedLog, receivedUnixNano: bigint): void {
    const { piece } = event;
    let { sha256 } = piece;
    if (isChunk(piece)) this.#addChunk(piece, receivedUnixNano);
    else if (piece.bytes !== undefined) {
      const actual = createHash('sha256').update(piece.bytes).digest('hex');
      if (sha256 !== '' && sha256 !== actual) {
        this.#lose('mismatch');
        return;
      }
      sha256 = actual;
      if (!this.#store.has(sha256)) this.#store.addWhole(sha256, piece.bytes);
      this.#sizes.set(sha256, piece.bytes.length);
      this.#arrived(sha256);
    }
    if (piece.index > 0) return;
    if (sha256 === '') {
      this.#lose('no_content');
      return;
    }
    const media = waitingMedia(event.attributes, log, sha256, receivedUnixNano);
    if (this.#isWhole(sha256)) this.#show(media);
    else {
      this.#waiting.push(media);
      if (this.#waiting.length > MAX_WAITING) this.#giveUp(this.#waiting[0]!.sha256, 'no_content');
    }
  }

  /** Call after each batch. A promise where contents have to be read once more to check them. */
  finishBatch(receivedUnixNano: bigint): Promise<void> | undefined {
    this.#store.expire(receivedUnixNano);
    for (const one of [...this.#waiting]) {
      if (this.#store.isOpen(one.sha256) || receivedUnixNano - BigInt(one.since) <= MAX_WAIT_NANOS) continue;
      this.#giveUp(one.sha256, 'no_content');
    }
    return this.#toFinish.length === 0 ? undefined : this.#finish();
  }

  /** Puts contents into the store and gives the files of rows their names; before the log is made durable. */
  async settle(): Promise<void> {
    await this.#store.settle();
    const toLink = this.#toLink;
    this.#toLink = [];
    const { root, directory } = this.#options;
    const folders = new Set<string>();
    for (const { sha256, segments } of toLink) {
      const place = path.join(root, directory, FILES_FOLDER, ...segments);
      const linked = this.#store.link(sha256, [FILES_FOLDER, ...segments.slice(0, -1)], [segments.at(-1)!]);
      if (path.join(root, directory, linked) !== place && !fs.existsSync(place)) {
        // A file system without hard links.
        fs.mkdirSync(path.dirname(place), { recursive: true });
        fs.copyFileSync(path.join(root, directory, linked), place, fs.constants.COPYFILE_EXCL);
      }
      folders.add(path.dirname(place));
    }
    this.#store.syncNames([...folders]);
    this.#sizes.clear();
  }

  state(): MediaState | undefined {
    const open = this.#store.state();
    if (open.length === 0 && this.#waiting.length === 0) return undefined;
    return { open, waiting: [...this.#waiting] };
  }

  #addChunk(chunk: Chunk, receivedUnixNano: bigint): void {
    const { sha256 } = chunk;
    if (this.#store.has(sha256)) {
      if (this.#store.isOpen(sha256)) this.#store.forget(sha256);
      this.#arrived(sha256);
      return;
    }
    const added = this.#store.addChunk(chunk, receivedUnixNano);
    if (added === 'whole') {
      this.#toFinish.push(sha256);
      this.#sizes.set(sha256, chunk.size);
    } else if (added === 'refused') this.#giveUp(sha256, 'irregular');
  }

  async #finish(): Promise<void> {
    const contents = this.#toFinish;
    this.#toFinish = [];
    for (const sha256 of contents) {
      if (this.#store.has(sha256) || (await this.#store.finish(sha256))) this.#arrived(sha256);
      else this.#giveUp(sha256, 'mismatch');
    }
  }

  #isWhole(sha256: string): boolean {
    return this.#store.has(sha256) && !this.#store.isOpen(sha256);
  }

  #arrived(sha256: string): void {
    for (const one of this.#takeWaiting(sha256)) this.#show(one);
  }

  #show(media: WaitingMedia): void {
    const { sha256, segments, type, facts } = media;
    const size = this.#sizes.get(sha256) ?? this.#store.sizeOf(sha256) ?? 0;
    const file = segments.join('/');
    const fields: LogItem[] = [];
    const field = (name: string, json: string) => fields.push({ key: '', path: [media.name, name], json });
    if (type !== '') {
      field('_type', JSON.stringify(type));
      field('path', JSON.stringify(file));
      field('sha256', JSON.stringify(sha256));
      field('size', String(size));
      for (const [name, json] of facts) field(name, json);
    }
    this.#toLink.push(media);
    this.#options.stored(1, size);
    this.#options.show(media, fields, file);
  }

  #giveUp(sha256: string, reason: string): void {
    const given = this.#takeWaiting(sha256);
    for (const _ of given) this.#lose(reason);
    if (given.length === 0) this.#lose(reason);
  }

  #takeWaiting(sha256: string): WaitingMedia[] {
    const taken = this.#waiting.filter(one => one.sha256 === sha256);
    if (taken.length > 0) this.#waiting = this.#waiting.filter(one => one.sha256 !== sha256);
    return taken;
  }

  #lose(reason: string): void {
    this.#options.lost(`media_${reason}`, 1);
    if (this.#told.has(reason)) return;
    this.#told.add(reason);
    this.#options.logger.warn(`wandb: media without its bytes (${reason}) are left out and counted`, {
      run: this.#options.directory,
    });
  }
}

function waitingMedia(
  attributes: Attributes,
  { record, run, scope }: ResolvedLog,
  sha256: string,
  receivedUnixNano: bigint,
): WaitingMedia {
  const given = text(attributes[MEDIA_NAME]).slice(0, MAX_NAME_CHARACTERS) || UNNAMED;
  const mimeType = bareMimeType(text(attributes[MEDIA_MIME_TYPE]));
  const { type, folder } = shapeOf(text(attributes[MEDIA_KIND]), mimeType);
  const stepValue = attributes[STEP];
  const stepNumber = typeof stepValue === 'bigint' ? Number(stepValue) : stepValue;
  const step = typeof stepNumber === 'number' && Number.isFinite(stepNumber) ? stepNumber : null;
  const name = sinkName(fullName(scope, modeOf(explicitMode(record), given), given, {}), run.rank);
  const place = pathSegments(name);
  const extension = type === 'table-file' ? 'table.json' : extensionOf(mimeType);
  const file = `${place.at(-1)}_${step ?? 'summary'}_${sha256.slice(0, ID_DIGITS)}.${extension}`;
  return {
    sha256,
    name,
    step,
    timeUnixNano: (record.timeUnixNano > 0n ? record.timeUnixNano : receivedUnixNano).toString(),
    type,
    segments: [MEDIA_FOLDER, folder, ...place.slice(0, -1), file],
    facts: factsOf(type, extension, attributes),
    since: receivedUnixNano.toString(),
  };
}

function factsOf(type: string, extension: string, attributes: Attributes): [string, string][] {
  const facts: [string, string][] = [];
  const add = (field: string, value: AnyValue | undefined) => {
    if (typeof value === 'number' && Number.isSafeInteger(value)) facts.push([field, String(value)]);
    else if (typeof value === 'string' && value !== '') facts.push([field, JSON.stringify(value)]);
  };
  if (type === 'image-file') add('format', extension);
  if (type === 'image-file' || type === 'video-file') {
    add('width', attributes[MEDIA_WIDTH]);
    add('height', attributes[MEDIA_HEIGHT]);
  }
  if (type === 'table-file') {
    const metadata = attributes[MEDIA_METADATA];
    const facts = isMap(metadata) ? metadata : {};
    add('nrows', facts.rows);
    add('ncols', Array.isArray(facts.columns) ? facts.columns.length : undefined);
    add('log_mode', 'IMMUTABLE');
  }
  const caption = attributes[MEDIA_CAPTION];
  if (typeof caption === 'string') add('caption', caption.slice(0, MAX_CAPTION_CHARACTERS));
  return facts;
}
