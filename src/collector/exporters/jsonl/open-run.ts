// One run that is being written: its record, its files, and run.json and config.json beside them.
import fs from 'node:fs';
import path from 'node:path';
import { newAttributes } from '../../../otlp/attributes.ts';
import type { AnyValue, Attributes, HistogramPoint } from '../../../otlp/model.ts';
import {
  EVENT_METRIC,
  EVENT_RUN_CONFIG,
  EVENT_RUN_HEARTBEAT,
  EVENT_RUN_SUMMARY,
  EVENT_RUN_SYSTEM,
  RUN_CONFIG,
  RUN_SUMMARY,
} from '../../../semconv/names.ts';
import type { Logger, ResolvedHistogram, ResolvedLog, ResolvedSpan } from '../../component.ts';
import { ConfinementError, confinedRead, confinedReplace } from '../../runs/confined.ts';
import { isMap, parseJson, valueJson } from '../../runs/json.ts';
import { lifecycleEvent } from '../../runs/lifecycle.ts';
import { contentEvent, withoutContent } from '../../runs/media-events.ts';
import { isWholeRow } from '../../runs/rows-from-logs.ts';
import type { Run, RunFolder } from '../../runs/run.ts';
import { unrankedName } from '../../runs/series-name.ts';
import { AppendFile, type BufferBudget, keepCopy, NEW_FILE } from './append-file.ts';
import { MAX_CONFIG_BYTES, MAX_STATE_BYTES, MAX_SUMMARY_BYTES } from './limits.ts';
import {
  histogramLine,
  logLine,
  modeJson,
  ownerJson,
  spanLine,
  supersededLine,
  systemLine,
} from './lines.ts';
import { RunMedia } from './media.ts';
import { ROLLOUT_EVENTS, Rollouts } from './rollouts.ts';
import { RowGroups, type RowSink } from './rows.ts';
import {
  FILE_KEYS,
  type FileKey,
  type FileStates,
  type Identity,
  mergeMaps,
  RunRecord,
  type RunState,
} from './run-record.ts';

/** What the runs of one exporter share. */
export interface RunSurroundings {
  /** The folder that holds the run folders; absolute. */
  readonly root: string;
  readonly writer: string;
  readonly logger: Logger;
  readonly budget: BufferBudget;
  /** Counts what was lost or left out, by reason. */
  lost(reason: string, amount: number): void;
  /** Counts media and artifacts that got a file. */
  stored(events: number, bytes: number): void;
}

export const LOGS_FOLDER = 'logs';

export class OpenRun implements RowSink {
  readonly folder: RunFolder;
  readonly record: RunRecord;
  readonly groups = new RowGroups();
  /** When something of it was last written, by the clock; only for eviction. */
  lastUsedMs = 0;
  /** Something changed since the last commit. */
  dirty = false;
  readonly #around: RunSurroundings;
  readonly #part: string;
  readonly #files: Readonly<Record<FileKey, AppendFile>>;
  readonly #media: RunMedia;
  readonly #rollouts: Rollouts;
  /** config.json as it should be; undefined until an event touches it. */
  #config: Attributes | undefined;
  #configDirty = false;
  #toldRemoved = false;
  #toldConfig = false;
  #toldMalformed = false;
  #state: RunState | undefined;

  constructor(
    folder: RunFolder,
    identity: Identity,
    around: RunSurroundings,
    state: RunState | undefined,
    part: string,
    adopted?: FileStates,
  ) {
    this.folder = folder;
    this.#around = around;
    this.#part = state?.part ?? part;
    this.record = new RunRecord(identity, state);
    const files = state?.files ?? adopted;
    const open = (key: FileKey) =>
      new AppendFile(
        around.root,
        [folder, LOGS_FOLDER, `${key}${this.#part}.jsonl`],
        files?.[key] ?? NEW_FILE,
        around.budget,
        (file, bytes, removed) => this.#missing(file, bytes, removed),
      );
    this.#files = byKey(open);
    this.#media = new RunMedia(
      {
        ...{ root: around.root, folder, part: this.#part, logger: around.logger },
        lost: around.lost,
        stored: around.stored,
        addLine: (kind, line) => {
          this.record.totals[kind]++;
          this.#files[kind].append(line);
        },
      },
      state?.media,
    );
    this.#rollouts = new Rollouts(state?.awaited);
  }

  addRow(line: string): void {
    this.#files.metrics.append(line);
  }

  addSystemRow(line: string): void {
    this.#files.system.append(line);
  }

  addHistogram({ point, resolved }: ResolvedHistogram): void {
    const { record } = this;
    const owner = modeJson(resolved.mode) + ownerJson(resolved.run, resolved.scope, record.firstInstance);
    const name = unrankedName(point.series, resolved);
    const step = Number.isNaN(point.step) ? record.steps.next(`${owner} ${name}`) : point.step;
    record.step(step);
    record.totals.histograms++;
    this.#files.metrics.append(histogramLine(point as HistogramPoint, name, step, owner));
  }

  addSpan(span: ResolvedSpan): void {
    this.record.totals.spans++;
    this.#files.spans.append(spanLine(span, this.record.firstInstance));
  }

  /** Returns whether the record said something about the process's life; anything else only shows that it lives. */
  addLog(log: ResolvedLog, receivedUnixNano: bigint): boolean {
    const { record: entry } = log;
    const event = lifecycleEvent(log, receivedUnixNano);
    if (event !== undefined) {
      const mark = this.record.lifecycle.apply(event);
      if (mark !== undefined) this.#files.metrics.append(supersededLine(mark, event.timeUnixNano));
    }
    if (entry.eventName === EVENT_RUN_CONFIG)
      this.#mergeConfig(payload(entry.attributes[RUN_CONFIG], entry.body, RUN_CONFIG));
    if (entry.eventName === EVENT_RUN_SUMMARY) {
      this.#mergeSummary(payload(entry.attributes[RUN_SUMMARY], entry.body, RUN_SUMMARY));
    }
    if (entry.eventName === EVENT_METRIC && !this.record.definitions.add(entry.attributes)) {
      this.#around.lost('bad_definition', 1);
    }
    if (this.#addElsewhere(log, receivedUnixNano)) return event !== undefined;
    // Heartbeats would be most of the file; rows are in metrics.jsonl.
    if (entry.eventName !== EVENT_RUN_HEARTBEAT && !isWholeRow(entry)) {
      this.record.totals.logs++;
      this.#files.logs.append(logLine(log, this.record.firstInstance));
    }
    return event !== undefined;
  }

  /** Call after each batch. A promise where media have to be read once more to check them. */
  finishBatch(receivedUnixNano: bigint): Promise<void> | undefined {
    const { totals, firstInstance } = this.record;
    const { rollouts, evaluations } = this.#rollouts.finishBatch(firstInstance, line =>
      this.#files.rollouts.append(line),
    );
    totals.rollouts += rollouts;
    totals.evaluations += evaluations;
    return this.#media.finishBatch(receivedUnixNano);
  }

  /** Gives media their names and writes their lines; before `flush` in a commit. */
  settle(): Promise<void> {
    return this.#media.settle();
  }

  /** Media, artifacts, rollouts and the system have files of their own. False for what goes to logs.jsonl. */
  #addElsewhere(log: ResolvedLog, receivedUnixNano: bigint): boolean {
    const { record } = log;
    if (record.eventName === EVENT_RUN_SYSTEM) {
      this.#files.system.append(systemLine(log, this.record.firstInstance));
      return true;
    }
    const content = contentEvent(record);
    if (content === undefined) {
      if (!ROLLOUT_EVENTS.has(record.eventName)) return false;
      this.#rollouts.add(log);
      return true;
    }
    if (content.kind !== 'malformed') {
      this.#media.add(content, log, this.record.firstInstance, receivedUnixNano);
      return true;
    }
    this.#around.lost('media_malformed', 1);
    if (!this.#toldMalformed) {
      this.#around.logger.warn(
        `a ${record.eventName} event cannot be read (${content.reason}); it is in logs.jsonl, without content; more of this kind are only counted`,
        { run: this.folder },
      );
    }
    this.#toldMalformed = true;
    this.record.totals.logs++;
    const body = record.body instanceof Uint8Array ? null : record.body;
    const bare = { ...record, body, attributes: withoutContent(record.attributes) };
    this.#files.logs.append(logLine({ ...log, record: bare }, this.record.firstInstance));
    return true;
  }

  /** Anything from an instance shows that it lives. */
  sawData(run: Run, receivedUnixNano: bigint): void {
    this.record.lifecycle.apply({
      kind: 'data',
      instance: run.instance,
      rank: run.rank,
      attempt: run.attempt,
      timeUnixNano: receivedUnixNano,
      receivedUnixNano,
    });
  }

  get hasOpenFiles(): boolean {
    return this.#each.some(file => file.isOpen);
  }
  get #each(): readonly AppendFile[] {
    return Object.values(this.#files);
  }

  flush(): void {
    for (const file of this.#each) file.flush();
  }
  /** Writes everything and gives memory and descriptors back. */
  closeFiles(): void {
    this.flush();
    for (const file of this.#each) {
      file.release();
      file.close();
    }
  }
  releaseBuffers(): void {
    for (const file of this.#each) file.release();
  }
  abandon(): void {
    for (const file of this.#each) file.abandon();
  }
  /**
   * Before `cutBack`, when there is no cursor though run.json tells of commits beyond this state: the cursor was lost, and what
   * would be cut may be in the journal no more. Keeps a copy beside each file.
   */
  setAside(): void {
    const { root } = this.#around;
    const content = confinedRead(root, [this.folder, this.#name('run', 'json')], MAX_STATE_BYTES);
    const committed = content === undefined ? undefined : bytesOf(content);
    for (const [key, name] of Object.entries(this.#fileNames()) as [FileKey, string][]) {
      const file = this.#files[key];
      const bytes = isMap(committed) ? committed[name] : undefined;
      const claimed = isMap(bytes) && typeof bytes.bytes === 'number' ? bytes.bytes : 0;
      if (claimed <= file.state.length || !fs.lstatSync(file.path, { throwIfNoEntry: false })?.isFile())
        continue;
      const copy = keepCopy(file.path);
      this.#around.logger.error(
        `${file.path}: the place in the journal was lost; the file is written again from there`,
        {
          kept_as: copy,
        },
      );
    }
  }

  /** Opens the files that hold something and cuts them back to it. */
  cutBack(): void {
    // An empty file is not made: most runs have no spans.
    for (const file of this.#each) if (file.state.length > 0 || fs.existsSync(file.path)) file.open();
    this.#media.restore();
  }
  /** Makes the files durable; returns the folders whose names have to be too. */
  async sync(): Promise<readonly string[]> {
    const folders: string[] = [];
    for (const file of this.#each)
      if (await file.sync()) folders.push(file.folder, path.dirname(file.folder));
    return folders;
  }

  /** The state of this moment. Call after `flush`. */
  state(): RunState {
    if (this.dirty || this.#state === undefined) {
      this.#state = this.record.state(this.folder, this.#part, this.#fileStates(), {
        media: this.#media.state(),
        awaited: this.#rollouts.awaited,
      });
    }
    return this.#state;
  }

  /** Replaces run.json and, where it changed, config.json. */
  async writeDocuments(): Promise<void> {
    const { root, writer } = this.#around;
    const document = this.record.document(writer, this.#fileNames(), this.#fileStates(), this.#media.waiting);
    await confinedReplace(root, [this.folder, this.#name('run', 'json')], `${document}\n`);
    if (this.#config !== undefined && this.#configDirty) {
      const text = `${valueJson(this.#config, true)}\n`;
      this.#configDirty = false;
      await confinedReplace(root, [this.folder, this.#name('config', 'json')], text);
    }
  }

  #mergeConfig(values: Attributes | undefined): void {
    if (values === undefined) return;
    this.#config ??= this.#readConfig();
    const merged = mergeMaps(this.#config, values);
    if (valueJson(merged).length > MAX_CONFIG_BYTES) {
      this.#tooLarge('config', this.#name('config', 'json'), MAX_CONFIG_BYTES);
      return;
    }
    this.#config = merged;
    this.#configDirty = true;
  }
  #mergeSummary(values: Attributes | undefined): void {
    if (values === undefined || this.record.mergeSummary(values)) return;
    this.#tooLarge('summary', this.#name('run', 'json'), MAX_SUMMARY_BYTES);
  }
  #tooLarge(what: string, file: string, limit: number): void {
    this.#around.lost(`${what}_too_large`, 1);
    if (this.#toldConfig) return;
    this.#toldConfig = true;
    this.#around.logger.warn(
      `the run's ${what} is too large for ${file}; the rest of it is in logs.jsonl only`,
      {
        folder: this.folder,
        limit,
      },
    );
  }

  /** What an earlier time wrote. Merging the same events again, in the same order, ends at the same content. */
  #readConfig(): Attributes {
    const segments = [this.folder, this.#name('config', 'json')];
    try {
      const content = confinedRead(this.#around.root, segments, MAX_CONFIG_BYTES * 4);
      const value = content === undefined ? undefined : parseJson(content.toString());
      if (isMap(value)) return value;
    } catch (error) {
      if (error instanceof ConfinementError || !(error instanceof SyntaxError)) throw error;
      this.#around.logger.warn('config.json is no JSON and is written anew', { folder: this.folder });
    }
    return newAttributes();
  }

  #missing(file: AppendFile, bytes: number, removed: boolean): void {
    this.#around.lost(removed ? 'file_removed' : 'file_shortened', bytes);
    if (this.#toldRemoved) return;
    this.#toldRemoved = true;
    const what = removed
      ? 'was removed while the run goes on; it is made again and holds what comes from now on'
      : 'is shorter than what was written to it; going on behind its last whole line';
    this.#around.logger.error(`${file.path}: ${what}`, { missing_bytes: bytes });
  }

  #fileStates(): FileStates {
    return byKey(key => this.#files[key].state);
  }
  #fileNames(): Readonly<Record<FileKey, string>> {
    return byKey(key => `${LOGS_FOLDER}/${this.#name(key, 'jsonl')}`);
  }
  #name(base: string, extension: string): string {
    return `${base}${this.#part}.${extension}`;
  }
}

function byKey<T>(make: (key: FileKey) => T): Record<FileKey, T> {
  return Object.fromEntries(FILE_KEYS.map(key => [key, make(key)])) as Record<FileKey, T>;
}

/** `files` of a run.json; undefined where it cannot be read. */
function bytesOf(content: Buffer): AnyValue | undefined {
  try {
    const document = parseJson(content.toString());
    return isMap(document) ? document.files : undefined;
  } catch {
    return undefined;
  }
}

/** An event's map: in its attribute, else in the body (which is the map, or has it under the attribute's name). */
function payload(attribute: AnyValue | undefined, body: AnyValue, key: string): Attributes | undefined {
  if (isMap(attribute)) return attribute;
  if (!isMap(body)) return undefined;
  const inner = body[key];
  return isMap(inner) ? inner : body;
}
