// One W&B run that is being written: its rows on their way into the transaction log, and what has to stand beside them.
import path from 'node:path';
import { newAttributes } from '../../../otlp/attributes.ts';
import type { AnyValue, Attributes } from '../../../otlp/model.ts';
import { packageVersion } from '../../../semconv/version.ts';
import type { Logger } from '../../component.ts';
import { syncFolder } from '../../runs/confined.ts';
import { parseJson } from '../../runs/json.ts';
import { type LifecycleEvent, RunLifecycle } from '../../runs/lifecycle.ts';
import { StepCounter } from '../../runs/step-counter.ts';
import { extendedJson, extendedNumber, plainJson } from './extended-json.ts';
import { MAX_CONFIG_CHARACTERS, MAX_CONSOLE_CHARACTERS, MAX_DEFINED_METRICS, MAX_METRICS } from './limits.ts';
import { LogReader } from './log/log-reader.ts';
import { LogWriter, NEW_LOG } from './log/log-writer.ts';
import type { LogItem, MetricFields, OutputStream, RunFields } from './log/model.ts';
import { RunMedia } from './media.ts';
import { definitionFor } from './metric-definitions.ts';
import { rowKey, STEP_KEY, wandbName, wandbProject, wandbTags } from './names.ts';
import { newRowName, type OpenRow, OpenRows, type RowName } from './open-rows.ts';
import { type RunIdentity, type RunState, STATE_FORMAT } from './run-state.ts';
import type { WandbSettings } from './settings.ts';
import { summarize, summaryRecord } from './summary.ts';

/** What the runs of one exporter share. */
export interface RunSurroundings {
  readonly settings: WandbSettings;
  readonly writerId: string;
  readonly logger: Logger;
  lost(reason: string, amount: number): void;
  stored(events: number, bytes: number): void;
  /** The folder name of a session: nobody's yet, or what was made for this very session before a crash. */
  claim(run: OpenRun, session: number, startedUnixNano: bigint): string;
}

/** A client that writes this log format and this `_wandb` section; ours follows as build metadata. */
const COMPATIBLE_VERSION = '0.30.0';
const FEATURE_METRIC = 7;
const FEATURE_OFFLINE = 4;
const STEP_DEFINITION: MetricFields = {
  ...{ name: STEP_KEY, glob: '', stepMetric: '', stepSync: false, hidden: true, defined: true },
  ...{ summary: [], goal: undefined, expandedFromGlob: false },
};
const EVERYTHING: MetricFields = {
  ...{ name: '', glob: '*', stepMetric: STEP_KEY, stepSync: true, hidden: false, defined: false },
  ...{ summary: [], goal: undefined, expandedFromGlob: false },
};
const FAILED = 1;

export class OpenRun {
  readonly key: string;
  readonly id: string;
  /** When something of it was last written, by the clock; only for eviction. */
  lastUsedMs = 0;
  dirty = false;
  readonly lifecycle: RunLifecycle;
  readonly steps: StepCounter;
  readonly #around: RunSurroundings;
  readonly #rows: OpenRows;
  readonly #names = new Map<string, RowName>();
  /** Names whose summary is to be written again. */
  readonly #unsummed: RowName[] = [];
  #identity: RunIdentity;
  #log: LogWriter;
  #media: RunMedia | undefined;
  #mediaState: RunState['media'];
  #directory: string;
  #session: number;
  #ended: boolean;
  /** An ended session whose log is read only if the run goes on. */
  #isUnread = false;
  /** Records of the session's beginning are in the log. */
  #begun: boolean;
  #position: number;
  #received: bigint;
  /** When the first of it was received. */
  #first: bigint;
  #started: bigint;
  #runtimeBefore: number;
  #lastStep: number;
  /** Latest `_timestamp` and `_runtime`, for the summary. */
  #lastTime = 0n;
  #config: Attributes = newAttributes();
  #definitions: MetricFields[];
  #definedMetrics = 0;
  #environment: Record<string, string>;
  /** The run is over, since this received time; the end is written once its last rows are. */
  #endSince: bigint | undefined;
  readonly #told = new Set<string>();
  /** Sessions that ended since the last commit. */
  #earlier: LogWriter[] = [];

  constructor(around: RunSurroundings, identity: RunIdentity, key: string, id: string, state?: RunState) {
    this.#around = around;
    this.key = key;
    this.id = id;
    this.#identity = state?.identity ?? identity;
    this.#directory = state?.directory ?? '';
    this.#session = state?.session ?? 0;
    this.#ended = state?.ended ?? false;
    this.#begun = state !== undefined && state.length > 0;
    this.#position = state?.position ?? 0;
    this.#received = BigInt(state?.received ?? 0);
    this.#first = BigInt(state?.first ?? 0);
    this.#started = BigInt(state?.started ?? 0);
    this.#runtimeBefore = state?.runtimeBefore ?? 0;
    this.#lastStep = state?.lastStep ?? -1;
    this.#definitions = [...(state?.definitions ?? [])];
    this.#environment = { ...state?.environment };
    this.lifecycle = new RunLifecycle(state?.lifecycle);
    this.steps = new StepCounter(state?.counts);
    this.#rows = new OpenRows(row => this.#writeRow(row));
    this.#mediaState = state?.media;
    this.#log = this.#openLog(state);
  }

  get directory(): string {
    return this.#directory;
  }
  /** Length of the log, with what is buffered. */
  get length(): number {
    return this.#log.length;
  }
  get openCharacters(): number {
    return this.#rows.characters;
  }
  get bufferedBytes(): number {
    return this.#log.bufferedBytes;
  }
  get hasOpenFiles(): boolean {
    return this.#log.isOpen;
  }
  /** The end is in the log, or nothing more is expected of a run that crashed. */
  get isOver(): boolean {
    return this.#ended || this.lifecycle.state !== 'running';
  }
  /** Something would come with the passing of time alone. */
  get isWaiting(): boolean {
    return this.#rows.size > 0 || this.#endSince !== undefined || (!this.#begun && this.#isKnown);
  }
  /** It is worth a run even without a row. */
  get #isKnown(): boolean {
    return this.lifecycle.attempts.length > 0 || Object.keys(this.#config).length > 0;
  }

  has(position: number, receivedUnixNano: bigint): boolean {
    return position < this.#position && receivedUnixNano <= this.#received;
  }

  took(next: number, receivedUnixNano: bigint): void {
    this.#position = next;
    if (receivedUnixNano > this.#received) this.#received = receivedUnixNano;
  }

  /** What a sender says about the run; empty says nothing. */
  describe(said: RunIdentity, receivedUnixNano: bigint): void {
    if (this.#first === 0n) this.#first = receivedUnixNano;
    const known = this.#identity;
    const named = said.name !== '' && said.name !== said.run;
    const next: RunIdentity = {
      ...known,
      name: named ? said.name : known.name,
      group: said.group || known.group,
      jobType: said.jobType || known.jobType,
      tags: said.tags.length > 0 ? said.tags : known.tags,
    };
    if (
      next.name === known.name &&
      next.group === known.group &&
      next.jobType === known.jobType &&
      next.tags.join() === known.tags.join()
    )
      return;
    this.#identity = next;
    // A second one is read as an update of name, group and tags.
    if (this.#begun && !this.#ended) this.#log.append({ kind: 'run', run: this.#runFields([]) });
  }

  /** Facts of the first resource that has any. */
  knowEnvironment(facts: Readonly<Record<string, string>>): void {
    for (const key of Object.keys(facts)) this.#environment[key] ??= facts[key]!;
  }

  nameOf(sinkName: string): RowName {
    const key = rowKey(sinkName);
    return this.#names.get(key) ?? this.#addName(newRowName(key));
  }
  /** A place in a nested value. */
  leafOf(place: readonly string[]): RowName {
    const key = `\0${place.join('\0')}`;
    return this.#names.get(key) ?? this.#addName(newRowName(key, place));
  }

  addRow(
    step: number,
    timeUnixNano: bigint,
    receivedUnixNano: bigint,
    names: RowName[],
    values: string[],
  ): void {
    this.#reopen();
    this.#rows.add({ step, timeUnixNano, receivedUnixNano, names, values });
  }

  addText(stream: OutputStream, timeUnixNano: bigint, text: string): void {
    this.#begin(timeUnixNano);
    for (const line of text.split(/\r\n|\n/)) {
      const cut = line.length > MAX_CONSOLE_CHARACTERS ? line.slice(0, MAX_CONSOLE_CHARACTERS) : line;
      this.#log.append({ kind: 'output', stream, timeUnixNano, text: `${cut}\n` });
    }
  }

  addStats(timeUnixNano: bigint, items: readonly LogItem[]): void {
    this.#begin(timeUnixNano);
    this.#log.append({ kind: 'stats', timeUnixNano, items });
  }

  mergeConfig(values: Attributes, merge: (into: Attributes, from: Attributes) => Attributes): void {
    const merged = merge(this.#config, values);
    if (extendedJson(merged).length > MAX_CONFIG_CHARACTERS) {
      this.#tell(
        'config_too_large',
        'the configuration is larger than W&B takes; the rest of it is left out',
      );
      return;
    }
    this.#config = merged;
    if (!this.#begun || this.#ended) return;
    const keys = Object.keys(values);
    this.#log.append({ kind: 'config', update: itemsOf(merged, keys), remove: [] });
  }

  /** What the sender itself says at a glance; later values of rows of the same name win. */
  addSummary(values: Attributes, receivedUnixNano: bigint): void {
    this.#begin(receivedUnixNano);
    for (const key of Object.keys(values)) {
      const name = this.nameOf(key);
      name.last = extendedJson(values[key]);
      if (name.isDirty) continue;
      name.isDirty = true;
      this.#unsummed.push(name);
    }
  }

  define(definition: MetricFields): boolean {
    const at = this.#definitions.findIndex(
      one => one.name === definition.name && one.glob === definition.glob,
    );
    if (at >= 0) this.#definitions[at] = definition;
    else if (this.#definitions.length >= MAX_DEFINED_METRICS) return false;
    else this.#definitions.push(definition);
    for (const name of this.#names.values()) {
      const found = definitionFor(this.#definitions, name.name);
      if (found === name.definition) continue;
      name.definition = found;
      name.isDefined = false;
    }
    if (this.#begun && !this.#ended) this.#log.append({ kind: 'metric', metric: definition });
    return true;
  }

  media(): RunMedia {
    if (this.#media !== undefined) return this.#media;
    if (this.#directory === '' || this.#ended) this.#newSession(this.#received);
    const { settings, logger, lost, stored } = this.#around;
    this.#media = new RunMedia(
      {
        ...{ root: settings.root, directory: this.#directory, logger, lost, stored },
        show: (media, fields, file) => {
          const time = BigInt(media.timeUnixNano);
          this.#begin(time);
          this.#log.append({ kind: 'files', files: [{ path: file, policy: 'now', type: 'media' }] });
          if (fields.length === 0) return;
          const step = media.step ?? this.steps.next(`media ${media.name}`);
          const names = fields.map(field => this.leafOf(field.path));
          this.addRow(
            step,
            time,
            this.#received,
            names,
            fields.map(field => field.json),
          );
        },
      },
      this.#mediaState,
    );
    this.#media.restore();
    return this.#media;
  }

  live(event: LifecycleEvent): void {
    this.lifecycle.apply(event);
  }

  /** Of a crash W&B hears by silence, as with its own client; data may come again. */
  get #hasEnded(): boolean {
    const { state } = this.lifecycle;
    return state === 'finished' || state === 'failed' || state === 'killed';
  }

  /** Call before each batch: rows that were held long enough are written, by the time of the journal, before anything joins them. */
  beginBatch(receivedUnixNano: bigint): void {
    this.#rows.emitReceivedBefore(receivedUnixNano - this.#windowNanos);
  }
  get #windowNanos(): bigint {
    return BigInt(this.#around.settings.windowMs) * 1_000_000n;
  }

  /** Call after each batch. */
  finishBatch(receivedUnixNano: bigint): Promise<void> | undefined {
    if (!this.#hasEnded) this.#endSince = undefined;
    else if (!this.#ended) this.#endSince ??= receivedUnixNano;
    if (this.#endSince !== undefined && receivedUnixNano - this.#endSince > this.#windowNanos)
      this.finishRows();
    return this.#media?.finishBatch(receivedUnixNano);
  }

  /** Writes everything that is held, and the end where the run is over. */
  finishRows(): void {
    if (this.#rows.size > 0) this.#rows.emitAll();
    this.beginKnown();
    if (this.#endSince === undefined || this.#ended) return;
    this.#begin(this.#endSince);
    this.writeSummary();
    const code = [...this.lifecycle.instances].findLast(one => one.exitCode !== undefined)?.exitCode;
    const failed = this.lifecycle.state !== 'finished';
    const runtime = Math.round(this.#runtimeAt(this.#endSince));
    this.#log.append({ kind: 'exit', exitCode: failed ? code || FAILED : 0, runtime });
    this.#log.append({ kind: 'final' });
    this.#log.append({ kind: 'footer' });
    this.#ended = true;
    this.#endSince = undefined;
  }

  /** A run of which something is known has its beginning in the log, before its first row. */
  beginKnown(): void {
    if (!this.#begun && !this.#ended && this.#isKnown) this.#begin(this.#received);
  }

  emitRows(): void {
    this.#rows.emitAll();
  }

  writeSummary(): void {
    if (!this.#begun || this.#ended) return;
    const record = summaryRecord(this.#unsummed, this.#fixedSummary());
    if (record !== undefined) this.#log.append(record);
  }

  async settle(): Promise<void> {
    await this.#media?.settle();
  }
  flush(): void {
    this.#log.flush();
  }
  release(): void {
    this.#log.release();
  }
  close(): void {
    this.#log.flush();
    this.#log.release();
    this.#log.close();
  }
  abandon(): void {
    for (const log of [...this.#earlier, this.#log]) log.abandon();
  }

  /** Makes the log durable. */
  async sync(): Promise<void> {
    const { root } = this.#around.settings;
    for (const log of [...this.#earlier, this.#log]) {
      if (await log.sync()) for (const folder of [path.dirname(log.path), root]) syncFolder(folder);
      if (log !== this.#log) log.close();
    }
  }

  /** Folders and lengths of sessions that ended since the last call. After a commit that is durable. */
  takeEarlier(): { readonly directory: string; readonly length: number }[] {
    const earlier = this.#earlier.map(log => ({
      directory: path.basename(path.dirname(log.path)),
      length: log.length,
    }));
    this.#earlier = [];
    return earlier;
  }

  /** Opens the log and cuts it back to what was committed; reads back what the state does not hold. */
  restore(): void {
    if (!this.#begun) {
      if (this.#directory !== '') this.#log.open();
      return;
    }
    if (this.#ended) {
      this.#isUnread = true;
      return;
    }
    const missing = this.#log.open();
    if (missing > 0) {
      this.#around.lost('log_shortened', missing);
      this.#around.logger.error(
        `${this.#log.path}: was removed or is shorter than what was written to it; going on behind its last whole record`,
        { missing_bytes: missing },
      );
      this.#begun = this.#log.length > 0;
    }
    if (this.#begun) this.#readBack();
    if (this.#mediaState !== undefined && !this.#ended) this.media();
  }

  /** Rows of the state are taken up again; call after `restore`. */
  takeUp(state: RunState): void {
    for (const [step, time, received, names, values] of state.rows) {
      const found = names.map(name => (typeof name === 'string' ? this.nameOf(name) : this.leafOf(name)));
      this.#rows.add({
        step,
        timeUnixNano: BigInt(time),
        receivedUnixNano: BigInt(received),
        names: found,
        values: [...values],
      });
    }
    if (this.#hasEnded && !this.#ended) this.#endSince = this.#received;
  }

  /** The state of this moment. Call after `flush`. */
  state(): RunState {
    const media = this.#media?.state();
    return {
      format: STATE_FORMAT,
      key: this.key,
      id: this.id,
      identity: this.#identity,
      directory: this.#directory,
      session: this.#session,
      ...this.#log.state,
      ended: this.#ended,
      position: this.#position,
      received: this.#received.toString(),
      first: this.#first.toString(),
      started: this.#started.toString(),
      runtimeBefore: this.#runtimeBefore,
      lastStep: this.#lastStep,
      rows: this.#rows.packed(),
      lifecycle: this.lifecycle.snapshot(),
      counts: this.steps.snapshot(),
      definitions: [...this.#definitions],
      environment: { ...this.#environment },
      ...(media !== undefined && { media }),
    };
  }

  #addName(name: RowName): RowName {
    if (this.#names.size >= MAX_METRICS) {
      this.#tell(
        'summary_names',
        `the run has more than ${MAX_METRICS} names; the summary of further ones is left out`,
      );
      return name;
    }
    name.definition = definitionFor(this.#definitions, name.name);
    this.#names.set(name.name, name);
    return name;
  }

  /** A run that goes on after its end: another session, as a resumed run of the official client has. */
  #reopen(): void {
    if (this.#ended) this.#newSession(this.#received);
  }

  #newSession(startedUnixNano: bigint): void {
    if (this.#isUnread) {
      this.#isUnread = false;
      this.#log.open();
      this.#readBack();
    }
    if (this.#directory !== '') {
      this.#log.flush();
      this.#earlier.push(this.#log);
      this.#runtimeBefore = this.#runtimeAt(this.#lastTime > 0n ? this.#lastTime : this.#received);
      this.#session++;
    }
    this.#media = undefined;
    this.#mediaState = undefined;
    this.#ended = false;
    this.#begun = false;
    this.#endSince = undefined;
    this.#started = startedUnixNano;
    this.#definedMetrics = 0;
    // By when its first data were received, which reading the journal again does not change.
    if (this.#first === 0n || this.#session > 0) this.#first = this.#received || startedUnixNano;
    this.#directory = this.#around.claim(this, this.#session, this.#first);
    this.#log = this.#openLog();
    for (const name of this.#names.values()) {
      name.isDefined = false;
      if (name.last === '' || name.isDirty) continue;
      name.isDirty = true;
      this.#unsummed.push(name);
    }
  }

  /** The records that every session begins with. */
  #begin(timeUnixNano: bigint): void {
    this.#reopen();
    if (this.#begun) return;
    if (this.#directory === '') this.#newSession(this.#startOf(timeUnixNano));
    this.#begun = true;
    const version = `${COMPATIBLE_VERSION}+kymo.${packageVersion()}`;
    this.#log.append({ kind: 'header', producer: version, minConsumer: '0.1' });
    this.#log.append({ kind: 'run', run: this.#runFields(itemsOf(this.#config, Object.keys(this.#config))) });
    const features = [FEATURE_METRIC];
    if (this.#around.settings.mode === 'offline') features.push(FEATURE_OFFLINE);
    const runtime = this.#environment['process.runtime.version'] ?? '';
    this.#log.append({
      kind: 'telemetry',
      telemetry: { pythonVersion: runtime, cliVersion: version, features },
    });
    this.#log.append({ kind: 'environment', environment: this.#environmentFields() });
    this.#log.append({ kind: 'metric', metric: STEP_DEFINITION });
    this.#log.append({ kind: 'metric', metric: EVERYTHING });
    for (const metric of this.#definitions) this.#log.append({ kind: 'metric', metric });
  }

  /** When its first process says it began, else its first moment here. */
  #startOf(timeUnixNano: bigint): bigint {
    let first = timeUnixNano;
    if (this.#first > 0n && this.#first < first) first = this.#first;
    for (const { started } of this.lifecycle.attempts) {
      const at = BigInt(started);
      if (at > 0n && at < first) first = at;
    }
    return first;
  }

  #writeRow(row: OpenRow): void {
    this.#begin(row.timeUnixNano);
    const { names, values } = row;
    for (const name of names) if (!name.isDefined) this.#defineName(name);
    const step = row.step > this.#lastStep ? row.step : this.#lastStep + 1;
    this.#lastStep = step;
    if (row.timeUnixNano > this.#lastTime) this.#lastTime = row.timeUnixNano;
    const keys = [...FIXED_KEYS, ...names.map(name => name.encoded)];
    this.#log.appendHistory(step, keys, [
      extendedNumber(step),
      secondsText(row.timeUnixNano),
      extendedNumber(this.#runtimeAt(row.timeUnixNano)),
      extendedNumber(row.step),
      ...values,
    ]);
    for (let i = 0; i < names.length; i++) summarize(names[i]!, values[i]!, this.#unsummed);
  }

  /** Servers that know no patterns need each name. */
  #defineName(name: RowName): void {
    name.isDefined = true;
    if (name.path.length > 0 || name.name.startsWith('_')) return;
    if (this.#definedMetrics >= MAX_DEFINED_METRICS) return;
    const { definition } = name;
    if (definition !== undefined && definition.name === name.name) return;
    this.#definedMetrics++;
    this.#log.append({
      kind: 'metric',
      metric: { ...(definition ?? EVERYTHING), name: name.name, glob: '', expandedFromGlob: true },
    });
  }

  #runFields(config: readonly LogItem[]): RunFields {
    const { settings } = this.#around;
    const { name, project, group, jobType, tags, scope, run } = this.#identity;
    return {
      id: this.id,
      entity: settings.entity,
      project: wandbProject(settings.project || project),
      config,
      group: settings.group || group || (scope === null ? '' : run),
      jobType: settings.jobType || jobType,
      name: wandbName(scope === null ? name : `${name} ${scope}`),
      notes: settings.notes,
      tags: wandbTags([...tags, ...settings.tags]),
      host: this.#environment['host.name'] ?? '',
      startTimeUnixNano: this.#started,
      startingStep: this.#session === 0 ? 0 : this.#lastStep + 1,
      resumed: this.#session > 0,
      runtime: Math.round(this.#runtimeBefore),
    };
  }

  #environmentFields() {
    const facts = this.#environment;
    const args = facts['process.command_args'];
    return {
      os: facts['os.description'] ?? facts['os.type'] ?? '',
      runtime: [facts['process.runtime.name'], facts['process.runtime.version']].filter(Boolean).join(' '),
      startedAtUnixNano: this.#started,
      program: facts['process.command'] ?? '',
      host: facts['host.name'] ?? '',
      executable: facts['process.executable.path'] ?? '',
      args: args === undefined ? [] : args.split('\0'),
      writerId: this.#around.writerId,
    };
  }

  #runtimeAt(unixNano: bigint): number {
    const nanos = unixNano > this.#started ? unixNano - this.#started : 0n;
    return this.#runtimeBefore + Number(nanos / 1_000n) / 1e6;
  }

  #fixedSummary(): LogItem[] {
    const runtime = this.#runtimeAt(this.#lastTime);
    const item = (key: string, json: string): LogItem => ({ key, path: [], json });
    return [
      item('_step', extendedNumber(this.#lastStep)),
      item('_timestamp', secondsText(this.#lastTime)),
      item('_runtime', extendedNumber(runtime)),
      { key: '', path: ['_wandb', 'runtime'], json: String(Math.floor(runtime)) },
    ];
  }

  #openLog(state?: RunState): LogWriter {
    const { root } = this.#around.settings;
    const segments = [this.#directory || this.id, `run-${this.id}.wandb`];
    return new LogWriter(root, segments, state ?? NEW_LOG);
  }

  /** Summary, configuration and names of the session so far. */
  #readBack(): void {
    const reader = new LogReader(this.#log.path);
    try {
      for (
        let entry = reader.next(this.#log.length);
        entry !== undefined;
        entry = reader.next(this.#log.length)
      ) {
        if (entry.kind !== 'record') continue;
        const { record } = entry;
        if (record.kind === 'run') this.#takeConfig(record.run.config);
        else if (record.kind === 'config') this.#takeConfig(record.update);
        else if (record.kind === 'metric' && record.metric.name !== '') {
          if (record.metric.expandedFromGlob) this.#definedMetrics++;
          this.nameOf(record.metric.name).isDefined = true;
        } else if (record.kind === 'summary') {
          // What no row says: the sender's own words.
          for (const { key, path: place, json } of record.update) {
            if (key.startsWith('_') || place[0] === '_wandb') continue;
            const name = place.length > 0 ? this.#leafWithoutKind(place) : this.nameOf(key);
            if (name !== undefined && name.definition === undefined) name.last = json;
          }
        } else if (record.kind === 'history') this.#resummarize(record.items);
      }
    } finally {
      reader.close();
    }
    // What was written says the same; the next record repeats it once.
    for (const name of this.#unsummed) name.isDirty = false;
    this.#unsummed.length = 0;
  }

  #leafWithoutKind(place: readonly string[]): RowName | undefined {
    return this.#names.get(place[0]!)?.definition === undefined ? this.leafOf(place) : undefined;
  }

  #resummarize(items: readonly LogItem[]): void {
    for (const { key, path: place, json } of items) {
      if (key === '_timestamp') this.#lastTime = nanosOf(json);
      if (key === '_step' || key === '_timestamp' || key === '_runtime' || key === STEP_KEY) continue;
      const name = place.length > 0 ? this.leafOf(place) : this.nameOf(key);
      name.isDefined = true;
      summarize(name, json, this.#unsummed);
    }
  }

  #takeConfig(items: readonly LogItem[]): void {
    for (const { key, json } of items) {
      try {
        this.#config[key] = parseJson(plainJson(json));
      } catch {
        // Of another writer; ours is JSON.
      }
    }
  }

  #tell(reason: string, message: string): void {
    this.#around.lost(reason, 1);
    if (this.#told.has(reason)) return;
    this.#told.add(reason);
    this.#around.logger.warn(`wandb: ${message}`, { run: this.id });
  }
}

const FIXED_KEYS = ['_step', '_timestamp', '_runtime', STEP_KEY].map(key => newRowName(key).encoded);

function itemsOf(config: Attributes, keys: readonly string[]): LogItem[] {
  return keys.map(key => ({ key, path: [], json: extendedJson(config[key] as AnyValue) }));
}

/** Unix seconds with six digits, what is finer is cut. */
function secondsText(unixNano: bigint): string {
  return extendedNumber(Number(unixNano / 1_000n) / 1e6);
}
function nanosOf(json: string): bigint {
  const seconds = Number(json);
  return Number.isFinite(seconds) ? BigInt(Math.round(seconds * 1e6)) * 1_000n : 0n;
}
