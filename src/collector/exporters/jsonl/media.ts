// Media and artifact events of one run: each waits until its bytes are here, then becomes a named file and a line; or a line that says why not.
import { createHash } from 'node:crypto';
import { ARTIFACT_URI } from '../../../semconv/names.ts';
import type { Logger, ResolvedLog } from '../../component.ts';
import { MAX_WAIT_NANOS, type OpenContent } from '../../runs/assembly.ts';
import { type Chunk, isChunk, type PieceEvent } from '../../runs/media-events.ts';
import { Artifacts } from './artifacts.ts';
import { ContentStore } from './content-store.ts';
import { MAX_RECENT_EVENTS, MAX_WAITING_CHARACTERS, MAX_WAITING_EVENTS } from './limits.ts';
import { type WaitingEvent, waitingEvent } from './media-lines.ts';

/** What the run's state keeps. */
export interface MediaState {
  readonly open: readonly OpenContent[];
  readonly waiting: readonly WaitingEvent[];
  /** Keys of the last events that became lines. */
  readonly recent: readonly string[];
}

/** Why an event has no file. */
type Missing = 'mismatch' | 'incomplete' | 'irregular' | 'no_content' | 'removed';

const REASONS: Readonly<Record<Missing, string>> = {
  mismatch: 'the bytes of something that was logged are not those that its hash names; they are left out',
  incomplete: 'something that was logged did not come completely; it is left out',
  irregular: 'the chunks of something that was logged do not fit together; it is left out',
  no_content: 'something that was logged brought no bytes and means none that came; its line has no path',
  removed: "a content was removed from the run's store; its line has no path",
};

export interface MediaOptions {
  readonly root: string;
  readonly folder: string;
  readonly part: string;
  readonly logger: Logger;
  /** Counts what was lost, by reason. */
  lost(reason: string, amount: number): void;
  /** Counts what got a file: events and bytes. */
  stored(events: number, bytes: number): void;
  addLine(kind: 'media' | 'artifacts', line: string): void;
}

interface Ready {
  readonly event: WaitingEvent;
  readonly missing: Missing | undefined;
}

export class RunMedia {
  readonly #options: MediaOptions;
  readonly #store: ContentStore;
  readonly #artifacts: Artifacts;
  /** In the order in which they came. */
  #waiting: WaitingEvent[];
  readonly #recent: Set<string>;
  /** All chunks are here, to be checked at the end of the batch. */
  #toFinish: string[] = [];
  /** Lines for the next commit, in order. */
  #ready: Ready[] = [];
  readonly #told = new Set<Missing>();

  constructor(options: MediaOptions, state?: MediaState) {
    this.#options = options;
    const { root, folder, part } = options;
    this.#store = new ContentStore(
      {
        ...{ root, folder, part },
        onIncomplete: (sha256, chunks, count) => this.#incomplete(sha256, chunks, count),
      },
      state?.open,
    );
    this.#artifacts = new Artifacts(options);
    this.#waiting = [...(state?.waiting ?? [])];
    this.#recent = new Set(state?.recent);
  }

  /** Contents of which chunks are missing, and events that wait for bytes of which none came. */
  get waiting(): number {
    let count = this.#store.openContents;
    for (const one of this.#waiting) if (!this.#store.isOpen(one.sha256)) count++;
    return count;
  }

  /** Before anything else: removes what the last commit does not know. */
  restore(): void {
    this.#store.restore();
  }

  /** Takes an event, or one chunk of it. Bytes go to disk at once, lines with `settle`. */
  add(event: PieceEvent, log: ResolvedLog, first: string | undefined, receivedUnixNano: bigint): void {
    const { piece } = event;
    let { sha256 } = piece;
    let missing: Missing | undefined;
    if (isChunk(piece)) missing = this.#addChunk(piece, receivedUnixNano);
    else if (piece.bytes !== undefined) {
      const actual = createHash('sha256').update(piece.bytes).digest('hex');
      if (sha256 !== '' && sha256 !== actual) missing = 'mismatch';
      else {
        sha256 = actual;
        if (!this.#store.has(sha256)) this.#store.addWhole(sha256, piece.bytes);
        this.#release(sha256);
      }
    }
    const isAwaited = piece.index > 0 || this.#waiting.some(one => one.sha256 === sha256);
    if (missing === 'irregular' && isAwaited) {
      this.#giveUp(sha256, missing, `chunk ${piece.index} of ${piece.count}`);
    }
    // The first chunk is the event; the others only bring bytes.
    if (piece.index === 0)
      this.#refer(event, waitingEvent(event, log, first, sha256, receivedUnixNano), missing);
  }

  /** Call after each batch. A promise where contents have to be read once more to check them. */
  finishBatch(receivedUnixNano: bigint): Promise<void> | undefined {
    this.#store.expire(receivedUnixNano);
    this.#expire(receivedUnixNano);
    return this.#toFinish.length === 0 ? undefined : this.#finish();
  }

  /** Puts what is whole into the store, gives it its names and writes the lines. */
  async settle(): Promise<void> {
    await this.#store.settle();
    const ready = this.#ready;
    this.#ready = [];
    let events = 0;
    let bytes = 0;
    for (const { event, missing } of ready) {
      const size = missing === undefined ? this.#write(event) : this.#writeMissing(event, missing);
      if (size === undefined) continue;
      events++;
      bytes += size;
    }
    if (events > 0) this.#options.stored(events, bytes);
    this.#store.syncNames(this.#artifacts.write());
  }

  /** Undefined when there is nothing to remember. Call after `settle`. */
  state(): MediaState | undefined {
    const open = this.#store.state();
    if (open.length === 0 && this.#waiting.length === 0 && this.#recent.size === 0) return undefined;
    return { open, waiting: [...this.#waiting], recent: [...this.#recent] };
  }

  #addChunk(chunk: Chunk, receivedUnixNano: bigint): Missing | undefined {
    const { sha256 } = chunk;
    if (this.#store.has(sha256)) {
      if (this.#store.isOpen(sha256)) this.#store.forget(sha256);
      this.#release(sha256);
      return undefined;
    }
    const added = this.#store.addChunk(chunk, receivedUnixNano);
    if (added === 'whole') this.#toFinish.push(sha256);
    return added === 'refused' ? 'irregular' : undefined;
  }

  async #finish(): Promise<void> {
    const contents = this.#toFinish;
    this.#toFinish = [];
    for (const sha256 of contents) {
      if (this.#store.has(sha256) || (await this.#store.finish(sha256))) this.#release(sha256);
      else this.#giveUp(sha256, 'mismatch');
    }
  }

  #refer(source: PieceEvent, event: WaitingEvent, missing: Missing | undefined): void {
    const { key, sha256 } = event;
    if (this.#recent.has(key) || this.#waiting.some(one => one.key === key)) return;
    const isAddress = typeof source.attributes[ARTIFACT_URI] === 'string' && source.piece.bytes === undefined;
    if (missing !== undefined) this.#miss(event, missing);
    else if (isAddress || (sha256 !== '' && this.#store.has(sha256))) this.#becomeReady(event);
    else if (sha256 === '') this.#miss(event, 'no_content');
    else {
      this.#waiting.push(event);
      this.#boundWaiting();
    }
  }

  /** The bytes are here: what waits for them goes on. */
  #release(sha256: string): void {
    for (const one of this.#takeWaiting(sha256)) this.#becomeReady(one);
  }

  /** The bytes will not come: what waits for them says so. */
  #giveUp(sha256: string, missing: Missing, detail?: string): void {
    const given = this.#takeWaiting(sha256);
    for (const one of given) this.#miss(one, missing, detail);
    // Of its event nothing is known.
    if (given.length === 0) this.#count(missing, sha256, detail);
  }

  #takeWaiting(sha256: string): WaitingEvent[] {
    const taken = this.#waiting.filter(one => one.sha256 === sha256);
    if (taken.length > 0) this.#waiting = this.#waiting.filter(one => one.sha256 !== sha256);
    return taken;
  }

  #becomeReady(event: WaitingEvent): void {
    this.#ready.push({ event, missing: undefined });
    this.#recent.add(event.key);
    if (this.#recent.size > MAX_RECENT_EVENTS) this.#recent.delete(this.#recent.values().next().value!);
  }

  #miss(event: WaitingEvent, missing: Missing, detail?: string): void {
    this.#ready.push({ event, missing });
    this.#count(missing, [...event.folders, event.stem].join('/'), detail);
  }

  #count(missing: Missing, what: string, detail?: string): void {
    this.#options.lost(`media_${missing}`, 1);
    if (this.#told.has(missing)) return;
    this.#told.add(missing);
    const { logger, folder } = this.#options;
    logger.warn(`${REASONS[missing]}; more of this kind are only counted`, {
      run: folder,
      what,
      ...(detail !== undefined && { detail }),
    });
  }

  #incomplete(sha256: string, chunks: number, count: number): void {
    // It came whole in another way.
    if (this.#store.has(sha256)) this.#release(sha256);
    else this.#giveUp(sha256, 'incomplete', `${chunks} of ${count} chunks came`);
  }

  #expire(receivedUnixNano: bigint): void {
    if (this.#waiting.length === 0) return;
    const late = this.#waiting.filter(
      one => !this.#store.isOpen(one.sha256) && receivedUnixNano - BigInt(one.since) > MAX_WAIT_NANOS,
    );
    for (const one of late) this.#giveUp(one.sha256, 'no_content');
  }

  #boundWaiting(): void {
    let characters = 0;
    for (const one of this.#waiting) characters += one.line.length;
    while (this.#waiting.length > MAX_WAITING_EVENTS || characters > MAX_WAITING_CHARACTERS) {
      const oldest = this.#waiting.shift()!;
      characters -= oldest.line.length;
      this.#miss(oldest, this.#store.isOpen(oldest.sha256) ? 'incomplete' : 'no_content');
    }
  }

  #writeMissing({ line, sha256, artifact }: WaitingEvent, missing: Missing): undefined {
    const hash = sha256 === '' ? '' : `,"sha256":"${sha256}"`;
    this.#options.addLine(
      artifact === undefined ? 'media' : 'artifacts',
      `${line}${hash},"missing":"${missing}"}\n`,
    );
  }

  /** Names the file and writes the line; returns the bytes of the file, undefined without one. */
  #write(event: WaitingEvent): number | undefined {
    const { sha256, stem, extension, artifact } = event;
    const claimed = artifact === undefined ? undefined : this.#artifacts.claim(artifact);
    let { line } = event;
    if (claimed !== undefined) line += `,"version":${claimed.version}`;
    const size = sha256 === '' ? undefined : this.#store.sizeOf(sha256);
    if (size === undefined) {
      if (artifact?.uri === undefined || artifact.uri === '') {
        this.#count('removed', stem);
        return this.#writeMissing(event, 'removed');
      }
      this.#artifacts.add(artifact, sha256 === '' ? {} : { sha256 });
      this.#options.addLine('artifacts', `${line}${sha256 === '' ? '' : `,"sha256":"${sha256}"`}}\n`);
      return undefined;
    }
    const names = ['', `_${sha256.slice(0, 8)}`, `_${sha256}`].map(mark => `${stem}${mark}${extension}`);
    const path = this.#store.link(sha256, [...(claimed?.folders ?? []), ...event.folders], names);
    if (artifact !== undefined) this.#artifacts.add(artifact, { path, sha256, size });
    line += `,"path":${JSON.stringify(path)},"sha256":"${sha256}","size":${size}}\n`;
    this.#options.addLine(artifact === undefined ? 'media' : 'artifacts', line);
    return size;
  }
}
