// Uploads one session from its transaction log: rows by line number, so that whatever is sent twice is on the server once.
import fs from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import type { Logger } from '../../../component.ts';
import { plainJson } from '../extended-json.ts';
import { LogReader } from '../log/log-reader.ts';
import type { LogRecord } from '../log/model.ts';
import { FILES_FOLDER } from '../media.ts';
import { ApiError, type WandbApi } from './api.ts';
import { consoleLines, eventLine, historyLine, MAX_LINE_BYTES, stepOf } from './lines.ts';
import { CREATE_FILES, FEATURES, RESUME_STATUS, UPSERT } from './operations.ts';
import { paceMs, type Timing } from './policy.ts';
import { environmentSection, RunView } from './run-view.ts';
import { type Base, readUploadState, type UploadState, writeUploadState } from './upload-state.ts';

export interface SessionOptions {
  readonly api: WandbApi;
  readonly timing: Timing;
  readonly flushIntervalMs: number;
  /** Folder of the session folders; the session's; its log in it. */
  readonly root: string;
  readonly directory: string;
  readonly file: string;
  readonly baseUrl: string;
  readonly resume: 'allow' | 'must' | 'never';
  /** In place of what the log says. */
  readonly entity?: string;
  readonly project?: string;
  /** The session before it, of the same run. */
  readonly previous?: string | undefined;
  readonly logger: Logger;
  lost(reason: string, amount: number): void;
  sent(rows: number): void;
}

/** How a session's upload stands. */
export type Standing =
  | { readonly kind: 'going' }
  /** Everything is on the server, its end included. */
  | { readonly kind: 'done' }
  /** It will not go on by itself. */
  | { readonly kind: 'failed'; readonly message: string };

/** Lines of one request: the servers take 10 MiB; a smaller one is sent again sooner when it fails. */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
const FILES_AT_ONCE = 4;
const FILES_PER_REQUEST = 64;
/** Files that wait; above it the log is not read on. */
const MAX_WAITING_FILES = 10_000;
const GLOBS = 'EXPAND_DEFINED_METRIC_GLOBS';
const STRUCTURED_CONSOLE = 'STRUCTURED_CONSOLE_LOGS';

/** One request in the making. */
class Chunk {
  readonly history: string[] = [];
  readonly events: string[] = [];
  readonly output: string[] = [];
  bytes = 0;

  add(into: string[], line: string): boolean {
    const bytes = Buffer.byteLength(line);
    if (bytes > MAX_LINE_BYTES) return false;
    into.push(line);
    this.bytes += bytes;
    return true;
  }
  get lines(): number {
    return this.history.length + this.events.length + this.output.length;
  }
}

export class SessionUpload {
  readonly directory: string;
  standing: Standing = { kind: 'going' };
  /** The run goes on: an empty request now and then says so. */
  isLive = true;
  /** The log will not grow: where it has no end, its run failed. */
  isClosed = false;
  readonly #options: SessionOptions;
  readonly #view = new RunView();
  #reader: LogReader | undefined;
  #limit = 0;
  /** The first limit: the log as an earlier process left it. What it sent beyond is not what will stand there. */
  #trusted: number | undefined;
  #state: Omit<UploadState, 'format'> | undefined;
  /** Behind what `state` says: read, not yet acknowledged. */
  #readTo = 0;
  #lastStep = -1;
  #features: ReadonlySet<string> = new Set();
  #sentConfig = '';
  #lastUpsertMs = Number.NEGATIVE_INFINITY;
  #lastRequestMs = Number.NEGATIVE_INFINITY;
  #pauseMs = 0;
  #files: string[] = [];
  #uploaded: string[] = [];
  #filesUnderWay: Promise<void> | undefined;
  #finalFiles = false;
  #wakeUp: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #toldStop = false;
  #isHurried = false;
  #sentRun = '';
  #pending = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.directory = options.directory;
  }

  /** The log may be read up to here; it does not change before that. */
  allow(length: number): void {
    if (length <= this.#limit) return;
    this.#trusted ??= length;
    this.#limit = length;
    this.#wake();
  }

  /** What is left is sent without waiting for more. */
  hurry(): void {
    this.#isHurried = true;
    this.#wake();
  }

  /** Bytes of the log that the server has not got, and 1 for what else it has to hear. 0 for what failed. */
  get remaining(): number {
    if (this.standing.kind !== 'going') return 0;
    const offset = this.#state?.offset ?? 0;
    const behind = Math.max(0, this.#limit - offset);
    const more =
      this.#files.length + this.#uploaded.length > 0 || this.#pending || this.#view.exit !== undefined;
    return behind + (more ? 1 : 0);
  }

  /** Resolves when the session is done or failed, or the API's signal aborts. */
  run(): Promise<void> {
    this.#running ??= this.#run();
    return this.#running;
  }

  #wake(): void {
    this.#wakeUp?.();
  }

  async #run(): Promise<void> {
    const { api, logger, directory } = this.#options;
    try {
      await this.#loop();
    } catch (error) {
      if (api.signal.aborted) return;
      const message = error instanceof Error ? error.message : String(error);
      this.standing = { kind: 'failed', message };
      const key = error instanceof ApiError && error.kind === 'key';
      logger.error(`wandb: ${message}`, {
        run: directory,
        hint: key
          ? 'nothing is lost: it is uploaded at the next start with a key, or by `kymo sync`'
          : 'nothing is lost: it stays on disk, and `kymo sync` tries again',
      });
    } finally {
      this.#reader?.close();
      this.#reader = undefined;
    }
  }

  async #loop(): Promise<void> {
    const { root, directory, file, api } = this.#options;
    while (this.#limit === 0) {
      await this.#wait(Number.POSITIVE_INFINITY);
      api.signal.throwIfAborted();
    }
    this.#state = readUploadState(root, directory);
    if (this.#state?.done === true) {
      this.standing = { kind: 'done' };
      return;
    }
    this.#reader = new LogReader(path.join(root, directory, file));
    this.#features = await api.features(FEATURES);
    if (this.#state !== undefined) this.#takeUp(this.#state);
    while (!api.signal.aborted) {
      const chunk = this.#read();
      if (this.#state === undefined) {
        if (this.#view.run === undefined) {
          await this.#wait(Number.POSITIVE_INFINITY);
          continue;
        }
        await this.#create();
        // Lines were counted from nothing; now they are numbered behind what the server has.
        this.#restart();
        continue;
      }
      this.#startFiles();
      const isAll = this.#readTo >= this.#limit;
      const over = isAll && (this.#view.exit !== undefined || this.isClosed);
      if (over) await this.#finishFiles();
      await this.#update(over);
      const summary = this.#view.summaryChanged;
      if (chunk.lines > 0 || summary || this.#uploaded.length > 0 || over) {
        await this.#pace(over || chunk.bytes >= MAX_REQUEST_BYTES || chunk.lines === 0);
        await this.#send(chunk, over);
        if (over) {
          this.standing = { kind: 'done' };
          return;
        }
        continue;
      }
      if (this.#readTo > this.#state.offset) await this.#save(this.#readTo);
      await this.#idle();
    }
  }

  /** Reads on, as much as one request holds. Lines that are read are sent before any is read again. */
  #read(): Chunk {
    const chunk = new Chunk();
    const reader = this.#reader!;
    const { lost } = this.#options;
    while (chunk.bytes < MAX_REQUEST_BYTES && this.#files.length < MAX_WAITING_FILES) {
      const entry = reader.next(this.#limit);
      if (entry === undefined) break;
      this.#readTo = entry.next;
      if (entry.kind === 'damaged') {
        lost('log_damaged', entry.next - entry.from);
        continue;
      }
      this.#take(entry.record, chunk);
      if (entry.record.kind === 'exit') {
        this.#readTo = this.#limit;
        break;
      }
      if (this.#state === undefined && this.#view.run !== undefined && entry.record.kind === 'history') break;
    }
    return chunk;
  }

  #take(record: LogRecord, chunk: Chunk): void {
    this.#view.apply(record);
    const { lost } = this.#options;
    const moreRuntime = this.#state?.base.runtime ?? 0;
    let fits = true;
    switch (record.kind) {
      case 'history': {
        const own = stepOf(record.items);
        const step = own !== undefined && own > this.#lastStep ? own : this.#lastStep + 1;
        const line = historyLine(record.items, step === own ? undefined : step, moreRuntime);
        fits = chunk.add(chunk.history, line);
        if (fits) this.#lastStep = step;
        break;
      }
      case 'stats': {
        const started = this.#view.run?.startTimeUnixNano ?? record.timeUnixNano;
        fits = chunk.add(chunk.events, eventLine(record, started, moreRuntime));
        break;
      }
      case 'output':
        for (const line of consoleLines(record, this.#features.has(STRUCTURED_CONSOLE)))
          chunk.add(chunk.output, line);
        break;
      case 'files':
        for (const { path: name } of record.files) if (!this.#files.includes(name)) this.#files.push(name);
        break;
      default:
        break;
    }
    if (!fits) lost('line_too_long', 1);
  }

  /** Goes on where an earlier process stopped: reads again what was sent, to know what the server knows. */
  #takeUp(state: Omit<UploadState, 'format'>): void {
    this.#restart();
    const reader = this.#reader!;
    const seen = new Chunk();
    const until = Math.min(state.offset, this.#trusted ?? 0);
    const lines = { ...pick(state.base) };
    while (reader.offset < until) {
      const entry = reader.next(until);
      if (entry === undefined) break;
      if (entry.kind === 'damaged') continue;
      this.#take(entry.record, seen);
      lines.history += seen.history.splice(0).length;
      lines.events += seen.events.splice(0).length;
      lines.output += seen.output.splice(0).length;
      if (entry.record.kind === 'exit') break;
    }
    this.#readTo = reader.offset;
    // After a power cut the log may be shorter than what was sent: those lines are written over.
    this.#state = { ...state, offset: Math.min(state.offset, reader.offset), lines };
    this.#files = [...state.files];
  }

  #restart(): void {
    const { root, directory, file } = this.#options;
    this.#reader?.close();
    this.#reader = new LogReader(path.join(root, directory, file));
    this.#readTo = 0;
    this.#lastStep = this.#state?.base.lastStep ?? -1;
    this.#files = [];
  }

  /** Creates the run, or finds it. What the server then says is remembered before any line is sent. */
  async #create(): Promise<void> {
    const { api, root, directory, resume, previous, baseUrl, logger } = this.#options;
    const run = this.#view.run!;
    const entity = this.#options.entity || run.entity;
    const project = this.#options.project || run.project;
    const status = await api.graphql('RunResumeStatus', RESUME_STATUS, {
      project: project || null,
      entity: entity || null,
      name: run.id,
    });
    const model = status.model as { bucket?: Bucket | null } | null | undefined;
    const found = model?.bucket ?? undefined;
    const exists = found != null && hasBegun(found);
    if (!exists && resume === 'must' && !run.resumed)
      throw new ApiError('refused', `run ${run.id} is not on ${baseUrl}, and resume is "must"`);
    if (exists && resume === 'never' && !run.resumed)
      throw new ApiError('refused', `run ${run.id} is on ${baseUrl} already, and resume is "never"`);
    const before = previous === undefined ? undefined : readUploadState(root, previous);
    const own = this.#view.config(this.#features.has(GLOBS));
    const kept = exists ? onlyTheirs(found.config, own) : {};
    const config = withKept(own, kept);
    const variables = this.#runVariables();
    const data = await api.graphql('UpsertBucket', UPSERT, {
      ...EMPTY_UPSERT,
      id: exists ? found.id : null,
      ...variables,
      ...{ entity: entity || null, project: project || null, config },
    });
    const bucket = (data.upsertBucket as { bucket?: Bucket } | null)?.bucket;
    if (bucket?.project === undefined || bucket.project === null)
      throw new ApiError('refused', `${baseUrl} created no run ${run.id}`);
    this.#sentConfig = config;
    this.#sentRun = JSON.stringify(variables);
    this.#lastUpsertMs = Date.now();
    const base = baseOf(found, bucket, before, run.resumed);
    const state = {
      baseUrl,
      entity: bucket.project.entity.name,
      project: bucket.project.name,
      name: bucket.name,
      storageId: bucket.id,
      base,
      offset: 0,
      lines: pick(base),
      files: [],
      kept,
      done: false,
    };
    await writeUploadState(root, directory, state);
    this.#state = state;
    logger.info(`wandb: run ${run.id} is at ${runUrl(baseUrl, state.entity, state.project, state.name)}`);
  }

  #runVariables(): object {
    const run = this.#view.run!;
    return {
      name: run.id,
      groupName: run.group || null,
      displayName: run.name || null,
      notes: run.notes || null,
      jobType: run.jobType || null,
      tags: run.tags.length > 0 ? run.tags : null,
      host: run.host || null,
      program: this.#view.environment?.program || null,
    };
  }

  /** Sends configuration and name where they changed; several changes in one request, unless it is the last. */
  async #update(isLast: boolean): Promise<void> {
    const view = this.#view;
    if (!view.configChanged && !view.runChanged) return;
    const { api, timing } = this.#options;
    if (!isLast && Date.now() - this.#lastUpsertMs < timing.upsertGapMs) {
      this.#pending = true;
      return;
    }
    this.#pending = false;
    const { entity, project, name, kept } = this.#state!;
    const config = withKept(view.config(this.#features.has(GLOBS)), kept);
    const variables = this.#runVariables();
    const run = JSON.stringify(variables);
    view.configChanged = false;
    view.runChanged = false;
    if (config === this.#sentConfig && run === this.#sentRun) return;
    await api.graphql('UpsertBucket', UPSERT, {
      ...EMPTY_UPSERT,
      ...(run === this.#sentRun ? {} : variables),
      ...{ entity, project, name },
      config: config === this.#sentConfig ? null : config,
    });
    this.#sentConfig = config;
    this.#sentRun = run;
    this.#lastUpsertMs = Date.now();
  }

  async #send(chunk: Chunk, isLast: boolean): Promise<void> {
    const { api, logger, sent } = this.#options;
    const state = this.#state!;
    const view = this.#view;
    const files: Record<string, { offset: number; content: string[] }> = {};
    if (chunk.history.length > 0)
      files['wandb-history.jsonl'] = { offset: state.lines.history, content: chunk.history };
    if (chunk.events.length > 0)
      files['wandb-events.jsonl'] = { offset: state.lines.events, content: chunk.events };
    if (chunk.output.length > 0) files['output.log'] = { offset: state.lines.output, content: chunk.output };
    const summary = view.summaryChanged ? view.summary.toJson() : '';
    if (summary !== '' && Buffer.byteLength(summary) <= MAX_LINE_BYTES)
      files['wandb-summary.json'] = { offset: 0, content: [summary] };
    else if (summary !== '') this.#options.lost('summary_too_large', 1);
    const uploaded = this.#uploaded.splice(0);
    const body = {
      ...(Object.keys(files).length > 0 && { files }),
      ...(uploaded.length > 0 && { uploaded }),
      ...(view.isPreempting && { preempting: true }),
      ...(isLast && { complete: true, exitcode: view.exit?.exitCode ?? 1 }),
    };
    const answer = await this.#post(body);
    view.summaryChanged = false;
    this.#state = {
      ...state,
      lines: {
        history: state.lines.history + chunk.history.length,
        events: state.lines.events + chunk.events.length,
        output: state.lines.output + chunk.output.length,
      },
      done: isLast,
    };
    await this.#save(this.#readTo);
    sent(chunk.history.length);
    if ((answer as { stopped?: boolean } | undefined)?.stopped !== true || this.#toldStop) return;
    this.#toldStop = true;
    logger.warn('wandb: somebody pressed Stop on the page of the run; Kymo does not end your program', {
      run: state.name,
      signal: api.signal.aborted,
    });
  }

  async #post(body: object): Promise<unknown> {
    const { api, timing } = this.#options;
    const { entity, project, name } = this.#state!;
    const answer = await api.stream(entity, project, name, body);
    this.#lastRequestMs = Date.now();
    this.#pauseMs = Math.max(timing.gapMs, paceMs(answer.headers));
    return answer.body;
  }

  async #save(offset: number): Promise<void> {
    const { root, directory } = this.#options;
    const state = { ...this.#state!, offset, files: [...this.#files] };
    this.#state = state;
    await writeUploadState(root, directory, state);
  }

  /** Waits until the next request may go: sooner where there is a lot, or nothing that is worth waiting for more. */
  async #pace(soon: boolean): Promise<void> {
    const { timing, flushIntervalMs, api } = this.#options;
    for (;;) {
      const least = Math.max(timing.gapMs, this.#pauseMs);
      const gap = soon || this.#isHurried ? least : Math.max(flushIntervalMs, least);
      const left = this.#lastRequestMs + gap - Date.now();
      api.signal.throwIfAborted();
      if (left <= 0) return;
      await this.#pause(left);
    }
  }

  async #idle(): Promise<void> {
    const { timing } = this.#options;
    if (this.#filesUnderWay !== undefined) {
      await Promise.race([this.#filesUnderWay, this.#wait(timing.heartbeatMs)]);
      return;
    }
    const upsertIn = this.#pending ? this.#lastUpsertMs + timing.upsertGapMs - Date.now() : Infinity;
    const beatGap = Math.max(timing.heartbeatMs, this.#pauseMs);
    const beatIn = this.isLive ? this.#lastRequestMs + beatGap - Date.now() : Infinity;
    if (beatIn <= 0) {
      await this.#post({});
      return;
    }
    if (upsertIn > 0) await this.#wait(Math.min(beatIn, upsertIn));
  }

  /** Until something new may be read, or the time is over. */
  async #wait(ms: number): Promise<void> {
    if (this.#readTo < this.#limit && this.#reader !== undefined && this.#state !== undefined) return;
    await this.#pause(ms);
  }

  /** Until the time is over, or somebody wakes us. */
  async #pause(ms: number): Promise<void> {
    const { signal } = this.#options.api;
    await new Promise<void>(resolve => {
      let timer: NodeJS.Timeout | undefined;
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.#wakeUp = undefined;
        resolve();
      };
      this.#wakeUp = done;
      signal.addEventListener('abort', done);
      if (Number.isFinite(ms)) timer = setTimeout(done, Math.max(0, ms));
      if (signal.aborted) done();
    });
  }

  #startFiles(): void {
    if (this.#filesUnderWay !== undefined || this.#files.length === 0) return;
    this.#filesUnderWay = this.#uploadFiles(this.#files.slice(0, FILES_PER_REQUEST)).then(
      () => {
        this.#filesUnderWay = undefined;
        this.#wake();
      },
      (error: unknown) => {
        this.#filesUnderWay = undefined;
        this.#wake();
        if (this.#options.api.signal.aborted) return;
        // Rows go on without them.
        const lost = this.#files.splice(0).length;
        this.#options.lost('file_not_uploaded', lost);
        this.#options.logger.error(`wandb: ${lost} files of the run could not be uploaded: ${String(error)}`);
      },
    );
  }

  async #finishFiles(): Promise<void> {
    if (!this.#finalFiles) {
      this.#finalFiles = true;
      this.#writeFinalFiles();
    }
    while (this.#files.length > 0 && !this.#options.api.signal.aborted) {
      this.#startFiles();
      await this.#filesUnderWay;
    }
    this.#options.api.signal.throwIfAborted();
  }

  async #uploadFiles(names: readonly string[]): Promise<void> {
    const { api, root, directory, lost, logger } = this.#options;
    const { entity, project, name: run } = this.#state!;
    let waiting = names.filter(name => isInside(name));
    for (let attempt = 0; waiting.length > 0 && attempt < 3; attempt++) {
      const data = await api.graphql('CreateRunFiles', CREATE_FILES, {
        entity,
        project,
        run,
        files: waiting,
      });
      const created = data.createRunFiles as {
        uploadHeaders?: readonly string[];
        files: readonly { name: string; uploadUrl: string | null }[];
      };
      const expired: string[] = [];
      const each = created.files.values();
      const lane = async () => {
        for (const { name, uploadUrl } of each) {
          if (!waiting.includes(name) || uploadUrl === null) continue;
          const place = path.join(root, directory, FILES_FOLDER, ...name.split('/'));
          if (!fs.existsSync(place)) {
            lost('file_missing', 1);
            logger.warn(`wandb: ${place}: is gone and cannot be uploaded`);
            continue;
          }
          if ((await api.put(uploadUrl, created.uploadHeaders ?? [], place)) === 'stored')
            this.#uploaded.push(name);
          else expired.push(name);
        }
      };
      await Promise.all(Array.from({ length: FILES_AT_ONCE }, lane));
      waiting = expired;
    }
    if (waiting.length > 0) {
      lost('file_not_uploaded', waiting.length);
      logger.error(`wandb: the addresses for ${waiting.length} files are refused again and again`);
    }
    this.#files = this.#files.filter(name => !names.includes(name));
  }

  /** What the official client leaves beside a run; shown under Files. */
  #writeFinalFiles(): void {
    const { root, directory } = this.#options;
    const folder = path.join(root, directory, FILES_FOLDER);
    const view = this.#view;
    const config = view.config(this.#features.has(GLOBS));
    const contents: Record<string, string> = {
      'wandb-summary.json': view.summary.toJson(),
      'config.yaml': stringify(JSON.parse(plainJson(config))),
      ...(view.environment !== undefined && {
        'wandb-metadata.json': JSON.stringify(environmentSection(view.environment), undefined, 2),
      }),
    };
    fs.mkdirSync(folder, { recursive: true });
    for (const [name, content] of Object.entries(contents)) {
      fs.writeFileSync(path.join(folder, name), content);
      if (!this.#files.includes(name)) this.#files.push(name);
    }
  }
}

interface Bucket {
  readonly id: string;
  readonly name: string;
  readonly config?: string | null;
  readonly wandbConfig?: string | null;
  readonly summaryMetrics?: string | null;
  readonly historyTail?: string | null;
  readonly eventsTail?: string | null;
  readonly historyLineCount?: number | null;
  readonly eventsLineCount?: number | null;
  readonly logLineCount?: number | null;
  readonly project?: { readonly name: string; readonly entity: { readonly name: string } } | null;
}

/** All nullable: null leaves it as it is. */
const EMPTY_UPSERT = {
  ...{ id: null, name: null, project: null, entity: null, groupName: null, description: null },
  ...{ displayName: null, notes: null, commit: null, config: null, host: null, debug: null, program: null },
  ...{ repo: null, jobType: null, state: null, sweep: null, tags: null, summaryMetrics: null },
};

/** As the official client judges it: a run without telemetry never began. */
function hasBegun(bucket: Bucket): boolean {
  const config = objectOf(bucket.wandbConfig);
  return config?.t !== undefined && config.t !== null;
}

function baseOf(
  found: Bucket | undefined,
  bucket: Bucket,
  before: UploadState | undefined,
  resumed: boolean,
): Base {
  const history = Math.max(
    found?.historyLineCount ?? bucket.historyLineCount ?? 0,
    before?.lines.history ?? 0,
  );
  const tail = lastOf(found?.historyTail);
  const summary = objectOf(found?.summaryMetrics);
  const lastStep = Number(tail?._step ?? summary?._step ?? -1);
  const ran = [tail?._runtime, lastOf(found?.eventsTail)?._runtime, summary?._runtime].map(Number);
  return {
    history,
    events: Math.max(found?.eventsLineCount ?? 0, before?.lines.events ?? 0),
    output: Math.max(found?.logLineCount ?? 0, before?.lines.output ?? 0),
    lastStep: history > 0 && Number.isSafeInteger(lastStep) ? lastStep : -1,
    // A later session of ours counts the earlier ones itself.
    runtime: resumed ? 0 : Math.max(0, ...ran.filter(Number.isFinite)),
  };
}

/** Entries of the configuration that only the server has: another session or program wrote them. */
function onlyTheirs(known: string | null | undefined, own: string): Record<string, unknown> {
  const theirs = objectOf(known) ?? {};
  const ours = JSON.parse(plainJson(own)) as Record<string, unknown>;
  return Object.fromEntries(Object.entries(theirs).filter(([key]) => !(key in ours)));
}
function withKept(own: string, kept: Readonly<Record<string, unknown>>): string {
  const more = Object.entries(kept).map(([key, value]) => `,${JSON.stringify(key)}:${JSON.stringify(value)}`);
  return `${own.slice(0, -1)}${more.join('')}}`;
}

function objectOf(json: string | null | undefined): Record<string, unknown> | undefined {
  if (typeof json !== 'string') return undefined;
  try {
    const value: unknown = JSON.parse(plainJson(json));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
/** The last of an array of lines, both as JSON text. */
function lastOf(tail: string | null | undefined): Record<string, unknown> | undefined {
  const lines: unknown = objectOf(tail);
  return Array.isArray(lines) ? objectOf(lines.at(-1) as string) : undefined;
}

function pick({ history, events, output }: Base) {
  return { history, events, output };
}

/** A file record of a foreign log may say anything. */
function isInside(name: string): boolean {
  return !name.startsWith('/') && !name.includes('\\') && !name.split('/').includes('..');
}

/** The page of a run: that of the cloud has another host than its API. */
export function runUrl(baseUrl: string, entity: string, project: string, run: string): string {
  const app = baseUrl.replace(/^https:\/\/api\.wandb\.ai$/, 'https://wandb.ai');
  const [e, p, r] = [entity, project, run].map(encodeURIComponent);
  return `${app}/${e}/${p}/runs/${r}`;
}
