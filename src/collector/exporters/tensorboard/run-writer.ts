// Everything the exporter does for one run: which tag stands at which step, what is late, what a resumed attempt superseded,
// config and end of the run. run-files.ts does the files.
import { createHash } from 'node:crypto';
import type { ExporterContext, ResolvedLog } from '../../component.ts';
import type { RunFolder } from '../../runs/run.ts';
import type { ContentCache } from './content-cache.ts';
import { fileError, type Owner, type Place } from './event-file.ts';
import {
  encodeHistogram,
  encodeScalars,
  encodeSessionEndInfo,
  encodeSessionStartInfo,
  encodeText,
  SESSION_END_TAG,
  SESSION_START_TAG,
} from './events.ts';
import { configMarkdown, hparams, mergeConfig, type PlainConfig } from './hparams.ts';
import { LateFile, type LateState } from './late-file.ts';
import { FLUSH_BYTES, MAX_CONFIG_BYTES, MAX_INSTANCES, MAX_RESUMES, MEND_PAUSE_FACTOR } from './limits.ts';
import { type MediaEvent, type MediaState, RunMedia } from './media.ts';
import type { MediaValue } from './media-values.ts';
import { CONFIG_TAG, MendTooLargeError } from './mend.ts';
import { type Part, RunFiles } from './run-files.ts';
import { isTagKind, newTag, type Tag, type TagKind, tagName, wholeStep } from './tags.ts';

export interface RunWriterOptions {
  readonly context: ExporterContext;
  readonly root: string;
  readonly owner: Owner;
  readonly generation: () => number;
  readonly maxFileBytes: number;
  readonly maxTags: number;
  readonly rewriteIntervalMs: number;
  readonly maxMediaBytes: number;
  readonly cache: ContentCache;
  /** Counts points that are late, superseded or without a tag. */
  count(what: 'late' | 'superseded' | 'too_many_tags', amount: number): void;
}

/** What the cursor keeps of an open run. Tags and their steps are not in it: the files say them. */
export interface RunState {
  readonly parts: readonly {
    readonly name: string;
    readonly length: number;
    readonly start?: number | undefined;
    readonly rewind?: boolean | undefined;
  }[];
  readonly late?: LateState | undefined;
  readonly mendWhole?: boolean | undefined;
  readonly resumes: Resumes;
  readonly instances: readonly (readonly [instance: string, state: InstanceState])[];
  readonly config?: PlainConfig | undefined;
  readonly configs: number;
  readonly ended?: EndState | undefined;
  readonly media?: MediaState | undefined;
}
export type InstanceState = 'running' | 'finished' | 'failed';
/** `wanted` until it is in the files. */
type EndState = 'wanted' | 'written';
/** Attempts that went back, ascending in attempt and in step. */
type Resumes = readonly (readonly [attempt: number, step: number])[];

export class RunWriter {
  readonly folder: RunFolder;
  readonly #options: RunWriterOptions;
  readonly #files: RunFiles;
  readonly #tags = new Map<string, Tag>();
  #scanned = false;
  #late: LateFile | undefined;
  #doneLate: string[] = [];
  #lateFiles = 0;
  #mendWhole: boolean;
  #mendAtMs = Infinity;
  #lastLateMs = 0;
  /** When the next mend may be at the earliest. */
  #notBeforeMs = 0;
  #resumes: Resumes;
  #instances: Map<string, InstanceState>;
  #config: PlainConfig | undefined;
  #configChanged = false;
  #configTime = 0;
  #configs: number;
  #end: EndState | undefined;
  #warnedTags = false;
  /** Made with the first media event. */
  #media: RunMedia | undefined;
  /** Why nothing can be written for this run (a link in its place, say); undefined as long as it can. */
  #refusal: string | undefined;
  /** Highest step and latest time written. */
  #latest = { step: 0, wallTime: 0 };
  lastUsedMs = Date.now();
  /** Left out of the last commit's state; what comes now needs a new part. */
  closing = false;

  constructor(folder: RunFolder, options: RunWriterOptions, state?: RunState) {
    this.folder = folder;
    this.#options = options;
    const place: Place = { root: options.root, folder, owner: options.owner };
    const parts = state?.parts.map(
      (part): Part => ({
        name: part.name,
        length: part.length,
        start: part.start,
        rewind: part.rewind === true,
        largestStep: Infinity,
        marks: [],
      }),
    );
    this.#files = new RunFiles(
      {
        place,
        logger: options.context.logger,
        maxFileBytes: options.maxFileBytes,
        generation: options.generation,
        note: () => this.#resumes.map(([attempt, step]) => `${attempt}@${step}`).join(' '),
      },
      parts,
    );
    this.#mendWhole = state?.mendWhole === true;
    this.#resumes = state?.resumes ?? [];
    this.#instances = new Map(state?.instances ?? []);
    this.#config = state?.config;
    this.#configs = state?.configs ?? 0;
    this.#end = state?.ended;
    if (state?.late !== undefined) {
      this.#late = new LateFile(options.context.stateDirectory, state.late.name, state.late);
    }
    if (this.#late !== undefined || this.#mendWhole) this.#mendAtMs = Date.now();
    if (state?.media !== undefined) this.#media = this.#newMedia(state.media);
  }

  /** See RunFiles.restore; for runs of the committed state, before anything else. */
  restore(): void {
    const { logger } = this.#options.context;
    for (const problem of this.#files.restore()) {
      logger.error(`tensorboard: ${problem}; the points in it are lost to TensorBoard`, { run: this.folder });
    }
  }

  /** Learns from the files where the run stands. Once, before the first write. `committed`: the commit on disk, for a run that its state does not name. */
  async open(committed: number | undefined): Promise<void> {
    if (this.#scanned) return;
    if (committed !== undefined) this.#files.find(committed);
    await this.#files.scan({
      start: (step, rewind, note) => {
        const resumes = parseResumes(note);
        if (resumes.length > 0) this.#resumes = resumes;
        for (const tag of this.#tags.values()) if (tag.last >= step) tag.last = step - 1;
        if (rewind) this.#end = undefined;
      },
      tag: (name, plugin, step) => {
        let tag = this.#tags.get(name);
        if (tag === undefined) {
          tag = newTag(name, isTagKind(plugin) ? plugin : 'other');
          this.#tags.set(name, tag);
          if (name === CONFIG_TAG) this.#configs = Math.max(this.#configs, step + 1);
        }
        if (step > tag.last) tag.last = step;
        if (step > this.#latest.step) this.#latest.step = step;
        if (name === SESSION_END_TAG) this.#end = 'written';
      },
    });
    this.#scanned = true;
  }

  get refusal(): string | undefined {
    return this.#refusal;
  }
  get bufferedBytes(): number {
    return this.#files.buffer.length + (this.#late?.buffer.length ?? 0);
  }
  get hasOpenFile(): boolean {
    return this.#files.hasOpenFile;
  }
  get isFinished(): boolean {
    return this.#end === 'written';
  }
  /** When late points are to be put in order; Infinity when there are none. */
  get mendAtMs(): number {
    return this.#mendAtMs;
  }
  /** Since when no further late point has come. */
  get lastLateMs(): number {
    return this.#lastLateMs;
  }

  /** Nothing more is tried for this run until it is opened again; said once. */
  refuse(reason: string): void {
    if (this.#refusal === undefined) {
      this.#options.context.logger.error(`tensorboard: ${reason}; this run is not written`, {
        run: this.folder,
      });
    }
    this.#refusal = reason;
    this.#files.buffer.clear(0);
  }

  /** The tag of a series; undefined when the run has as many as it may have. A tag keeps the kind of its first value. */
  tag(sinkName: string, kind: TagKind): Tag | undefined {
    let name = tagName(sinkName);
    let tag = this.#tags.get(name);
    if (tag !== undefined && tag.kind !== kind) {
      name = tagName(`${name}/${kind}`);
      tag = this.#tags.get(name);
      if (tag !== undefined && tag.kind !== kind) return undefined;
    }
    if (tag !== undefined) return tag;
    if (this.#tags.size >= this.#options.maxTags) {
      if (!this.#warnedTags) {
        this.#warnedTags = true;
        this.#options.context.logger.warn(
          `tensorboard: the run has ${this.#tags.size} tags, further ones are not written; raise max_tags_per_run if TensorBoard can show them`,
          { run: this.folder, tag: name },
        );
      }
      return undefined;
    }
    tag = newTag(name, kind);
    this.#tags.set(name, tag);
    return tag;
  }

  /** Rows of this attempt count only below this step: a later attempt began again from there. */
  supersededFrom(attempt: number): number {
    for (const [later, step] of this.#resumes) if (later > attempt) return step;
    return Infinity;
  }

  /** An attempt that resumed at `step` is heard of. Twice is as good as once. @throws RetryableError */
  resumed(attempt: number, step: number, wallTime: number): void {
    const last = this.#resumes.at(-1);
    if (last !== undefined && last[0] >= attempt) return;
    // What this one undercuts says nothing any more.
    this.#resumes = [...this.#resumes.filter(([, other]) => other < step), [attempt, step] as const].slice(
      -MAX_RESUMES,
    );
    this.#end = undefined;
    const fresh = this.#files.isEmpty;
    this.#files.rewind(wallTime, step);
    for (const tag of this.#tags.values()) if (tag.last >= step) tag.last = step - 1;
    if (fresh) return;
    this.#late?.rewound(wallTime, step);
    this.#mendWhole = true;
    this.#mendSoon();
  }

  /** Scalars of one step and time. @returns how many were late */
  scalars(wallTime: number, step: number, tags: readonly Tag[], values: Float64Array, count: number): number {
    let late = 0;
    for (let i = 0; i < count; i++) {
      if (step < tags[i]!.last) late++;
    }
    if (late > 0) return this.#splitLate(wallTime, step, tags, values, count, late);
    this.#begin(wallTime, step);
    for (let i = 0; i < count; i++) tags[i]!.last = step;
    encodeScalars(this.#files.buffer, wallTime, step, tags, values, count);
    if (this.#files.buffer.length >= FLUSH_BYTES) this.flush();
    return 0;
  }

  /** @returns whether it was late */
  histogram(wallTime: number, step: number, tag: Tag, rows: Float64Array): boolean {
    if (step < tag.last) {
      const late = this.#lateFile(step);
      encodeHistogram(late.buffer, wallTime, step, tag.name, rows);
      return true;
    }
    this.#begin(wallTime, step);
    tag.last = step;
    encodeHistogram(this.#files.buffer, wallTime, step, tag.name, rows);
    if (this.#files.buffer.length >= FLUSH_BYTES) this.flush();
    return false;
  }

  /** A media event, or one chunk of one. @throws what the file system throws */
  media(log: ResolvedLog, receivedUnixNano: bigint): void {
    this.#media ??= this.#newMedia(undefined);
    this.#media.add(log, receivedUnixNano);
  }

  /** Call after each batch: shows media of which the last chunk came. */
  async finishMedia(receivedUnixNano: bigint): Promise<void> {
    await this.#media?.finishBatch(receivedUnixNano);
  }

  /** Looks for the bytes of media events that only named them. */
  lookForMedia(nowMs: number): void {
    if (this.#scanned) this.#media?.look(nowMs);
  }
  get lookForMediaAtMs(): number {
    return this.#scanned ? (this.#media?.lookAtMs ?? Infinity) : Infinity;
  }

  /** Drops what waits for bytes, so that the run can be closed. */
  giveUpMedia(): void {
    this.#media?.close();
  }

  #newMedia(state: MediaState | undefined): RunMedia {
    const { context, root, maxMediaBytes, cache } = this.#options;
    return new RunMedia(
      {
        ...{ context, root, folder: this.folder, maxBytes: maxMediaBytes, cache },
        show: (event, value) => this.#showMedia(event, value),
      },
      state,
    );
  }

  #showMedia({ sinkName, step: given, wallTime, attempt }: MediaEvent, value: MediaValue): void {
    const tag = this.tag(sinkName, value.kind);
    if (tag === undefined) {
      this.#options.count('too_many_tags', 1);
      return;
    }
    const step = given === undefined ? (tag.last === -Infinity ? 0 : tag.last + 1) : wholeStep(given);
    if (step >= this.supersededFrom(attempt)) {
      this.#options.count('superseded', 1);
      return;
    }
    if (step < tag.last) {
      const late = this.#lateFile(step);
      value.encode(late.buffer, wallTime, step, tag.name);
      if (late.buffer.length >= FLUSH_BYTES) late.flush();
      this.#options.count('late', 1);
      return;
    }
    this.#begin(wallTime, step);
    tag.last = step;
    value.encode(this.#files.buffer, wallTime, step, tag.name);
    if (this.#files.buffer.length >= FLUSH_BYTES) this.flush();
  }

  /** A config event. It is written with the next commit, so that a few in a row make one. */
  configured(config: PlainConfig, wallTime: number): void {
    this.#configTime = wallTime;
    const merged = mergeConfig(this.#config ?? {}, config);
    // Too large to be kept: what came is shown, merged with nothing.
    this.#config = JSON.stringify(merged).length <= MAX_CONFIG_BYTES ? merged : config;
    this.#configChanged = true;
  }

  /** A process of the run began or ended. When all that began have ended, so has the run. */
  instance(id: string, state: InstanceState): void {
    if (!this.#instances.has(id) && this.#instances.size >= MAX_INSTANCES) return;
    this.#instances.set(id, state);
    const states = [...this.#instances.values()];
    if (states.includes('running')) {
      if (this.#end === 'wanted') this.#end = undefined;
    } else if (this.#end === undefined) this.#end = 'wanted';
    else if (Number.isFinite(this.#mendAtMs)) {
      // It ended before; what came since is put in order with the next commit.
      this.#mendAtMs = 0;
      this.#mendWhole = true;
    }
  }

  /** @throws RetryableError, ConfinementError */
  flush(): void {
    this.#files.flush();
    this.#late?.flush();
  }

  /** Writes what belongs to the run as a whole, puts late points in order when it is time, makes everything durable. */
  async commit(nowMs: number, quietMs: number): Promise<void> {
    this.lookForMedia(nowMs);
    this.#writeConfig();
    const ending = this.#end === 'wanted';
    if (ending) this.#writeEnd();
    this.flush();
    const quiet = nowMs - this.#lastLateMs >= quietMs;
    const pending = this.#late !== undefined || this.#mendWhole;
    if (pending && (ending || quiet || nowMs >= this.#mendAtMs)) await this.mend(ending);
    else if (ending && this.#files.hasSuperseded) await this.mend(true);
    await this.#files.sync();
    await this.#late?.sync();
    await this.#media?.sync();
  }

  /** Puts late points in order. A mend that fails is tried again later; nothing is lost by that. */
  async mend(whole: boolean): Promise<void> {
    const { context, rewriteIntervalMs } = this.#options;
    const late = this.#late;
    const startMs = Date.now();
    try {
      await this.#files.mend(late, whole || this.#mendWhole);
    } catch (error) {
      const pause = error instanceof MendTooLargeError ? HOPELESS_PAUSE_MS : FAILED_PAUSE_MS;
      this.#mendAtMs = Date.now() + pause;
      context.logger.warn(
        `tensorboard: late points are not in order yet: ${fileError(error, this.folder).message}`,
        { run: this.folder },
      );
      return;
    }
    this.#mendWhole = false;
    this.#mendAtMs = Infinity;
    if (late !== undefined) {
      late.close();
      this.#doneLate.push(late.name);
      this.#late = undefined;
    }
    const tookMs = Date.now() - startMs;
    this.#notBeforeMs = startMs + tookMs + Math.max(rewriteIntervalMs, MEND_PAUSE_FACTOR * tookMs);
    context.instruments.count('kymo_tensorboard_rewrites', 1);
    context.logger.debug('tensorboard: late points put in order', { run: this.folder, tookMs });
  }

  /** True when the run may be forgotten: nothing waits, the files say everything. */
  get isSettled(): boolean {
    if (this.#late !== undefined || this.#mendWhole || this.#end === 'wanted') return false;
    return !this.#configChanged && this.#media?.isWaiting !== true;
  }

  state(): RunState {
    const media = this.#media?.state();
    return {
      parts: this.#files.parts.map(({ name, length, start, rewind }) => ({
        name,
        length,
        ...(start === undefined ? {} : { start }),
        ...(rewind ? { rewind } : {}),
      })),
      ...(this.#late === undefined ? {} : { late: this.#late.state() }),
      ...(this.#mendWhole ? { mendWhole: true } : {}),
      resumes: this.#resumes,
      instances: [...this.#instances],
      ...(this.#config === undefined ? {} : { config: this.#config }),
      configs: this.#configs,
      ...(this.#end === undefined ? {} : { ended: this.#end }),
      ...(media === undefined ? {} : { media }),
    };
  }

  /** Files that are not needed any more once the state just taken is durable. */
  takeReplaced(): { events: string[]; late: string[]; media: string[] } {
    const late = this.#doneLate;
    this.#doneLate = [];
    return { events: this.#files.takeReplaced(), late, media: this.#media?.takeShown() ?? [] };
  }

  retire(names: readonly string[], media: readonly string[]): void {
    this.#files.retire(names);
    this.#media?.retire(media);
  }

  /** @throws RetryableError */
  closeFile(): void {
    this.flush();
    this.#files.closeFile();
  }

  /** Gives descriptors back without writing. */
  abandon(): void {
    this.#late?.close();
    this.#files.abandon();
  }

  get lateName(): string | undefined {
    return this.#late?.name;
  }

  #begin(wallTime: number, step: number): void {
    if (this.closing) {
      // The durable state no longer names this run, so its last file must stay as that state left it.
      this.#files.endPart();
      this.closing = false;
    }
    this.#files.begin(wallTime, step);
    if (step > this.#latest.step) this.#latest.step = step;
    this.#latest.wallTime = wallTime;
  }

  #splitLate(
    wallTime: number,
    step: number,
    tags: readonly Tag[],
    values: Float64Array,
    count: number,
    lateCount: number,
  ): number {
    const lateTags: Tag[] = [];
    const lateValues = new Float64Array(lateCount);
    const otherTags: Tag[] = [];
    const otherValues = new Float64Array(count - lateCount);
    for (let i = 0; i < count; i++) {
      const tag = tags[i]!;
      if (step < tag.last) {
        lateValues[lateTags.length] = values[i]!;
        lateTags.push(tag);
      } else {
        otherValues[otherTags.length] = values[i]!;
        otherTags.push(tag);
      }
    }
    const late = this.#lateFile(step);
    encodeScalars(late.buffer, wallTime, step, lateTags, lateValues, lateCount);
    if (late.buffer.length >= FLUSH_BYTES) late.flush();
    if (otherTags.length > 0) this.scalars(wallTime, step, otherTags, otherValues, otherTags.length);
    return lateCount;
  }

  #lateFile(step: number): LateFile {
    if (this.#late === undefined) {
      const run = createHash('sha256').update(this.folder).digest('hex').slice(0, 24);
      const name = `${LATE_PREFIX}${run}.${this.#options.generation()}.${this.#lateFiles++}`;
      this.#late = new LateFile(this.#options.context.stateDirectory, name);
    }
    this.#late.added(step);
    this.#lastLateMs = Date.now();
    if (this.#mendAtMs === Infinity) this.#mendSoon();
    return this.#late;
  }

  #mendSoon(): void {
    const soon = Date.now() + this.#options.rewriteIntervalMs;
    this.#mendAtMs = Math.max(soon, this.#notBeforeMs);
  }

  #writeConfig(): void {
    const config = this.#config;
    if (!this.#configChanged || config === undefined || !this.#scanned) return;
    this.#configChanged = false;
    const wallTime = this.#configTime;
    if (!this.#tags.has(SESSION_START_TAG)) {
      this.#begin(wallTime, 0);
      encodeSessionStartInfo(this.#files.buffer, wallTime, hparams(config));
      this.#tags.set(SESSION_START_TAG, newTag(SESSION_START_TAG, 'hparams'));
    }
    const tag = this.tag(CONFIG_TAG, 'text');
    if (tag === undefined || tag.name !== CONFIG_TAG) return;
    const step = this.#configs++;
    this.#begin(wallTime, step);
    tag.last = Math.max(tag.last, step);
    encodeText(this.#files.buffer, wallTime, step, CONFIG_TAG, configMarkdown(config));
  }

  #writeEnd(): void {
    if (!this.#scanned) return;
    const failed = [...this.#instances.values()].includes('failed');
    const wallTime = this.#latest.wallTime > 0 ? this.#latest.wallTime : Date.now() / 1000;
    const step = Math.max(0, this.#latest.step);
    this.#begin(wallTime, step);
    encodeSessionEndInfo(this.#files.buffer, wallTime, step, !failed);
    this.#end = 'written';
  }
}

/** Late files in the state folder are called so. */
export const LATE_PREFIX = 'late-';
/** After a mend failed (disk full), and after one that cannot succeed soon. */
const FAILED_PAUSE_MS = 10_000;
const HOPELESS_PAUSE_MS = 600_000;

function parseResumes(note: string): Resumes {
  const resumes: (readonly [number, number])[] = [];
  for (const entry of note.split(' ')) {
    const [attempt, step] = entry.split('@');
    if (attempt === undefined || step === undefined) continue;
    const pair = [Number(attempt), Number(step)] as const;
    if (Number.isFinite(pair[0]) && Number.isFinite(pair[1])) resumes.push(pair);
  }
  return resumes.slice(-MAX_RESUMES);
}
