// Media events of one run: each waits until its bytes are here, then becomes a value of the plugin that shows it; or is counted.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {
  MEDIA_CAPTION,
  MEDIA_HEIGHT,
  MEDIA_KIND,
  MEDIA_MIME_TYPE,
  MEDIA_NAME,
  MEDIA_WIDTH,
  STEP,
} from '../../../semconv/names.ts';
import type { ExporterContext, ResolvedLog } from '../../component.ts';
import { Assemblies, type OpenContent } from '../../runs/assembly.ts';
import { ConfinementError, confinedRead, systemCode } from '../../runs/confined.ts';
import { contentEvent, isChunk, type Piece, text } from '../../runs/media-events.ts';
import { explicitMode } from '../../runs/resolve.ts';
import type { RunFolder } from '../../runs/run.ts';
import { fullName, modeOf, sinkName } from '../../runs/series-name.ts';
import type { ContentCache } from './content-cache.ts';
import { LOOK_FOR_CONTENT_MS, MAX_RECENT_MEDIA, MAX_WAITING_MEDIA, WAIT_FOR_CONTENT_MS } from './limits.ts';
import { type MediaFacts, type MediaValue, mediaFacts, mediaValue, showing } from './media-values.ts';

/** Where the jsonl exporter keeps a run's contents, by hash. */
const JSONL_STORE = '.store';
/** Folder of the part files in the state folder. */
export const PARTS_FOLDER = 'media';

/** A media event without its bytes. JSON: it travels in the cursor while they are missing. */
export interface MediaEvent {
  readonly key: string;
  readonly sha256: string;
  readonly sinkName: string;
  /** Missing where it counts for itself. */
  readonly step?: number;
  readonly wallTime: number;
  readonly attempt: number;
  readonly facts: MediaFacts;
}

/** What the cursor keeps. */
export interface MediaState {
  readonly open: readonly OpenContent[];
  readonly waiting: readonly MediaEvent[];
  readonly recent: readonly string[];
}

type Dropped = 'not_shown' | 'too_large' | 'mismatch' | 'incomplete' | 'no_content' | 'malformed';

const REASONS: Readonly<Record<Dropped, string>> = {
  not_shown: 'TensorBoard does not show this type of media',
  too_large: 'a piece of media is larger than max_media_mib',
  mismatch: 'the bytes of a piece of media are not those that its hash names',
  incomplete: 'a piece of media did not come completely',
  no_content: 'a piece of media brought no bytes, and those that it means were not found',
  malformed: 'a media event cannot be read',
};

export interface RunMediaOptions {
  readonly context: ExporterContext;
  /** The folder that holds the run folders. */
  readonly root: string;
  readonly folder: RunFolder;
  readonly maxBytes: number;
  readonly cache: ContentCache;
  /** Takes what can be shown now. */
  show(event: MediaEvent, value: MediaValue): void;
}

export class RunMedia {
  readonly #options: RunMediaOptions;
  readonly #assemblies: Assemblies;
  #waiting: MediaEvent[];
  readonly #recent: Set<string>;
  #toFinish: string[] = [];
  /** Put together and shown. Until a commit without them is durable, their part files are what a crash would go on from. */
  #shown: string[] = [];
  /** When the first of those began to wait of whose bytes nothing has come, by hash. */
  readonly #sinceMs = new Map<string, number>();
  #lookAtMs = 0;
  readonly #told = new Set<string>();

  constructor(options: RunMediaOptions, state?: MediaState) {
    this.#options = options;
    this.#assemblies = new Assemblies(
      {
        root: options.context.stateDirectory,
        folder: [PARTS_FOLDER, options.folder],
        suffix: '.part',
        onIncomplete: (sha256, chunks, count) =>
          this.#giveUp(sha256, 'incomplete', `${chunks} of ${count} chunks came`),
      },
      state?.open,
    );
    this.#waiting = [...(state?.waiting ?? [])];
    this.#recent = new Set(state?.recent);
    this.#assemblies.removeStrays();
  }

  /** Whether something of what came waits for more. */
  get isWaiting(): boolean {
    return this.#waiting.length > 0 || this.#assemblies.size > 0;
  }
  /** When to look for bytes again that only were named; Infinity when there are none. */
  get lookAtMs(): number {
    return this.#waiting.some(one => !this.#assemblies.has(one.sha256)) ? this.#lookAtMs : Infinity;
  }

  /** Takes a media event or one chunk of it. @throws what the file system throws */
  add(log: ResolvedLog, receivedUnixNano: bigint): void {
    const { record } = log;
    const found = contentEvent(record);
    if (found === undefined) return;
    if (found.kind === 'malformed') {
      this.#drop('malformed', found.reason);
      return;
    }
    const { piece, attributes } = found;
    const facts = mediaFacts(attributes[MEDIA_KIND], attributes[MEDIA_MIME_TYPE], {
      caption: attributes[MEDIA_CAPTION] ?? null,
      width: attributes[MEDIA_WIDTH] ?? null,
      height: attributes[MEDIA_HEIGHT] ?? null,
    });
    // Later chunks need not say again what they are part of.
    if ((piece.index === 0 || facts.mimeType !== '') && !this.#isWanted(piece, facts)) return;
    let { sha256 } = piece;
    let bytes: Uint8Array | undefined;
    if (isChunk(piece)) this.#addChunk(piece, receivedUnixNano);
    else if (piece.bytes !== undefined) {
      bytes = piece.bytes;
      const actual = hashOf(bytes);
      if (sha256 !== '' && sha256 !== actual) {
        this.#drop('mismatch', facts.mimeType);
        return;
      }
      sha256 = actual;
      this.#arrived(sha256, bytes);
    }
    if (piece.index === 0) this.#refer(eventOf(log, attributes, sha256, facts, receivedUnixNano), bytes);
  }

  /** Call after each batch: contents that are whole now are checked and shown. */
  async finishBatch(receivedUnixNano: bigint): Promise<void> {
    this.#assemblies.expire(receivedUnixNano);
    const whole = this.#toFinish;
    this.#toFinish = [];
    for (const sha256 of whole) {
      if (!this.#assemblies.has(sha256)) continue;
      const bytes = (await this.#assemblies.finish(sha256)) ? this.#assemblies.read(sha256) : undefined;
      this.#shown.push(sha256);
      if (bytes === undefined) this.#giveUp(sha256, 'mismatch');
      else this.#arrived(sha256, bytes);
    }
  }

  /** Looks for bytes that only were named, and gives up on those that were waited for too long. */
  look(nowMs: number): void {
    if (nowMs < this.lookAtMs) return;
    this.#lookAtMs = nowMs + LOOK_FOR_CONTENT_MS;
    const hashes = new Set(this.#waiting.map(one => one.sha256));
    for (const sha256 of hashes) {
      if (this.#assemblies.has(sha256)) continue;
      const bytes = this.#recall(sha256);
      const since = this.#sinceMs.get(sha256) ?? nowMs;
      this.#sinceMs.set(sha256, since);
      if (bytes !== undefined) this.#arrived(sha256, bytes);
      else if (nowMs - since > WAIT_FOR_CONTENT_MS) this.#giveUp(sha256, 'no_content');
    }
  }

  /** The run is closed: what still waits is dropped. */
  close(): void {
    for (const { sha256 } of this.#assemblies.state()) this.#giveUp(sha256, 'incomplete');
    for (const { sha256 } of [...this.#waiting]) this.#giveUp(sha256, 'no_content');
    const { context, folder } = this.#options;
    fs.rmSync(path.join(context.stateDirectory, PARTS_FOLDER, folder), { recursive: true, force: true });
  }

  /** Contents that `retire` may have once the state of this moment is durable. */
  takeShown(): string[] {
    const shown = this.#shown;
    this.#shown = [];
    return shown;
  }

  retire(contents: readonly string[]): void {
    for (const sha256 of contents) if (!this.#assemblies.has(sha256)) this.#assemblies.forget(sha256);
  }

  sync(): Promise<void> {
    return this.#assemblies.sync();
  }

  /** Undefined when there is nothing to remember. */
  state(): MediaState | undefined {
    const open = this.#assemblies.state();
    if (open.length === 0 && this.#waiting.length === 0 && this.#recent.size === 0) return undefined;
    return { open, waiting: [...this.#waiting], recent: [...this.#recent] };
  }

  #isWanted(piece: Piece, facts: MediaFacts): boolean {
    const shown = showing(facts);
    const size = piece.size ?? piece.bytes?.length ?? 0;
    if (shown === 'shown' && size <= this.#options.maxBytes) return true;
    if (piece.index > 0 || shown === 'pictured') return false;
    this.#drop(shown === 'shown' ? 'too_large' : 'not_shown', facts.mimeType);
    return false;
  }

  #addChunk(chunk: Parameters<Assemblies['add']>[0], receivedUnixNano: bigint): void {
    const { sha256 } = chunk;
    if (chunk.size > this.#options.maxBytes) return;
    const known = this.#assemblies.has(sha256) ? undefined : this.#recall(sha256);
    if (known !== undefined) {
      this.#arrived(sha256, known);
      return;
    }
    const added = this.#assemblies.add(chunk, receivedUnixNano);
    if (added === 'whole') this.#toFinish.push(sha256);
    if (added === 'refused') this.#giveUp(sha256, 'incomplete', 'its chunks do not fit together');
  }

  #refer(event: MediaEvent, bytes: Uint8Array | undefined): void {
    if (this.#recent.has(event.key) || this.#waiting.some(one => one.key === event.key)) return;
    const found = bytes ?? (event.sha256 === '' ? undefined : this.#recall(event.sha256));
    if (found !== undefined) this.#show(event, found);
    else if (event.sha256 === '') this.#drop('no_content', event.facts.mimeType);
    else {
      this.#waiting.push(event);
      if (this.#waiting.length > MAX_WAITING_MEDIA) this.#giveUp(this.#waiting[0]!.sha256, 'no_content');
    }
  }

  #arrived(sha256: string, bytes: Uint8Array): void {
    const { cache, folder } = this.#options;
    cache.set(folder, sha256, bytes);
    for (const event of this.#takeWaiting(sha256)) this.#show(event, bytes);
  }

  #show(event: MediaEvent, bytes: Uint8Array): void {
    this.#recent.add(event.key);
    if (this.#recent.size > MAX_RECENT_MEDIA) this.#recent.delete(this.#recent.values().next().value!);
    const value = mediaValue(bytes, event.facts);
    if (value === undefined) return;
    const { instruments } = this.#options.context;
    instruments.count('kymo_media_events', 1);
    instruments.count('kymo_media_bytes', bytes.length);
    this.#options.show(event, value);
  }

  /** Bytes that came before, or that the jsonl exporter has in the same run folder. */
  #recall(sha256: string): Uint8Array | undefined {
    const { cache, root, folder, maxBytes } = this.#options;
    const cached = cache.get(folder, sha256);
    if (cached !== undefined) return cached;
    let stored: Uint8Array | undefined;
    try {
      stored = confinedRead(root, [folder, JSONL_STORE, sha256], maxBytes + 1);
    } catch (error) {
      // It is not ours, and need not be there: whatever is wrong with it, the bytes are not to be had.
      if (!(error instanceof ConfinementError) && systemCode(error) === undefined) throw error;
    }
    if (stored === undefined || hashOf(stored) !== sha256) return undefined;
    cache.set(folder, sha256, stored);
    return stored;
  }

  #giveUp(sha256: string, reason: Dropped, detail = sha256): void {
    this.#assemblies.forget(sha256);
    const given = this.#takeWaiting(sha256);
    for (const event of given) this.#drop(reason, `${event.sinkName}, ${detail}`);
    if (given.length === 0) this.#drop(reason, detail);
  }

  #takeWaiting(sha256: string): MediaEvent[] {
    this.#sinceMs.delete(sha256);
    const taken = this.#waiting.filter(one => one.sha256 === sha256);
    if (taken.length > 0) this.#waiting = this.#waiting.filter(one => one.sha256 !== sha256);
    return taken;
  }

  #drop(reason: Dropped, detail: string): void {
    const { context, folder } = this.#options;
    context.instruments.count('kymo_tensorboard_dropped_points', 1, { reason: `media_${reason}` });
    const once = reason === 'not_shown' ? `${reason} ${detail}` : reason;
    if (this.#told.has(once) || this.#told.size >= MAX_TOLD) return;
    this.#told.add(once);
    context.logger.warn(
      `tensorboard: ${REASONS[reason]}; it is left out, and more of this kind only counted`,
      {
        run: folder,
        detail,
      },
    );
  }
}

const MAX_TOLD = 32;

function eventOf(
  { record, run, scope }: ResolvedLog,
  attributes: Readonly<Record<string, unknown>>,
  sha256: string,
  facts: MediaFacts,
  receivedUnixNano: bigint,
): MediaEvent {
  const name = text(attributes[MEDIA_NAME] as string | undefined);
  const given = attributes[STEP];
  const step = typeof given === 'bigint' ? Number(given) : given;
  const mode = modeOf(explicitMode(record), name);
  const nanos = record.timeUnixNano > 0n ? record.timeUnixNano : receivedUnixNano;
  const identity = [
    run.instance,
    run.attempt,
    scope,
    record.timeUnixNano,
    name,
    step,
    sha256,
    facts.mimeType,
  ];
  return {
    key: hashOf(Buffer.from(identity.join('\0'))).slice(0, 16),
    sha256,
    sinkName: sinkName(fullName(scope, mode, name, {}), run.rank),
    ...(typeof step === 'number' && Number.isFinite(step) && { step }),
    wallTime: Number(nanos) / 1e9,
    attempt: run.attempt,
    facts,
  };
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
