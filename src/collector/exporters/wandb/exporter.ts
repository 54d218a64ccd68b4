// The runs a collector writes to W&B: which are open, what a commit is, and how each is continued after a crash.

import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Attributes, LogRecord } from '../../../otlp/model.ts';
import {
  EVENT_METRIC,
  EVENT_RUN_CONFIG,
  EVENT_RUN_SUMMARY,
  GLOBAL_SCOPE,
  RUN_CONFIG,
  RUN_SUMMARY,
} from '../../../semconv/names.ts';
import { escapeRunId } from '../../../semconv/run-folder.ts';
import {
  type Batch,
  type CommittedState,
  type Exporter,
  type ExporterContext,
  RetryableError,
} from '../../component.ts';
import { CONTENT_CODES } from '../../feed/failure.ts';
import { ConfinementError, systemCode } from '../../runs/confined.ts';
import { isMap } from '../../runs/json.ts';
import { lifecycleEvent } from '../../runs/lifecycle.ts';
import { contentEvent } from '../../runs/media-events.ts';
import { rowsFromLogs } from '../../runs/rows-from-logs.ts';
import type { ResolvedSeries, Run } from '../../runs/run.ts';
import { mergeMaps } from '../jsonl/run-record.ts';
import { claimFolder } from './claim.ts';
import { extendedNumber } from './extended-json.ts';
import { histogramFields } from './histogram.ts';
import { IDLE_MS, MAX_BUFFERED_BYTES, MAX_OPEN_CHARACTERS_OF_ALL, SYNCS_AT_ONCE } from './limits.ts';
import type { LogItem } from './log/model.ts';
import { definitionOf } from './metric-definitions.ts';
import { wandbRunId } from './names.ts';
import type { Timing } from './online/policy.ts';
import { Uploads } from './online/uploads.ts';
import { OpenRun, type RunSurroundings } from './open-run.ts';
import { checkState, type RunIdentity, RunStates, STATE_FORMAT } from './run-state.ts';
import { addRows } from './scalars.ts';
import type { WandbSettings } from './settings.ts';
import { isSystemMetric, systemKey } from './system-metrics.ts';
import { consoleLine, environmentOf } from './text.ts';

/** Counter of what could not be written, by reason. */
export const LOST_METRIC = 'kymo_wandb_lost';
const CURSOR = 'the cursor of the wandb exporter';
const STDERR_FROM = 17;
/** Remarks of this process. */
const said = new Set<string>();
const DRAIN_LOOK_MS = 20;

/**
 * A commit is: media in place, summaries and logs durable, then the state of all open runs for the cursor. What is held for the sake of
 * its step is in that state; after a while of silence it is written behind the committed length, and again after a crash.
 */
export class WandbExporter implements Exporter {
  readonly #context: ExporterContext;
  readonly #settings: WandbSettings;
  readonly #states: RunStates;
  readonly #around: RunSurroundings;
  /** Least recently used first. */
  readonly #open = new Map<string, OpenRun>();
  readonly #refused = new Set<string>();
  readonly #uploads: Uploads | undefined;
  /** Nothing was exported since a commit that is durable. */
  #isClean = false;
  #timer: NodeJS.Timeout | undefined;
  #busy = false;
  #stopped = false;

  constructor(context: ExporterContext, settings: WandbSettings, timing?: Timing) {
    this.#context = context;
    this.#settings = settings;
    this.#states = new RunStates(context.stateDirectory);
    const { instruments, logger } = context;
    this.#around = {
      settings,
      logger,
      writerId: context.writerId,
      lost: (reason, amount) => instruments.count(LOST_METRIC, amount, { reason }),
      stored: (events, bytes) => {
        instruments.count('kymo_media_events', events);
        instruments.count('kymo_media_bytes', bytes);
      },
      claim: ({ id, key }, session, started) => {
        const prefix = settings.mode === 'online' ? 'run' : 'offline-run';
        const writer = `${context.writerId} ${context.id}`;
        return claimFolder(settings.root, prefix, { id, key, session, writer }, started);
      },
    };
    if (settings.mode === 'online') {
      const { lost } = this.#around;
      this.#uploads = new Uploads({ settings, logger, instruments, lost, ...(timing && { timing }) });
    }
  }

  async start(committed: CommittedState): Promise<void> {
    try {
      this.#sayMode();
      fs.mkdirSync(this.#settings.root, { recursive: true });
      this.#states.ensure();
      const states = committed?.runs ?? [];
      if (!Array.isArray(states)) throw new Error(`${CURSOR} holds no list of runs`);
      for (const one of states) {
        const state = checkState(one, CURSOR);
        const kept = this.#states.read(state.key);
        // A state that says more than the log will hold in a moment must not be found later, after another crash.
        if (kept !== undefined && kept.position > state.position) await this.#states.write(state);
        this.#continue(state);
      }
      if (this.#uploads !== undefined) {
        const open = new Set([...this.#open.values()].map(run => run.directory));
        this.#uploads.takeUp(directory => open.has(directory));
        this.#isClean = true;
        this.#allow();
      }
      this.#wakeLater();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  export(batch: Batch): void | Promise<void> {
    try {
      this.#isClean = false;
      const checking = this.#write(batch);
      let buffered = 0;
      for (const run of this.#open.values()) buffered += run.bufferedBytes;
      if (buffered > MAX_BUFFERED_BYTES) {
        for (const run of this.#open.values()) {
          run.flush();
          run.release();
        }
      }
      this.#limitFiles();
      this.#wakeLater();
      if (checking.length > 0) return this.#wait(checking);
    } catch (error) {
      throw this.#fail(error);
    }
  }

  async commit(): Promise<CommittedState> {
    this.#busy = true;
    try {
      this.#boundOpenRows();
      const dirty = [...this.#open.values()].filter(run => run.dirty);
      await forEach(dirty, run => run.settle());
      for (const run of dirty) {
        run.beginKnown();
        run.writeSummary();
        run.flush();
        run.release();
      }
      await forEach(dirty, run => run.sync());
      for (const run of dirty) run.dirty = false;
      await this.#evict();
      return { format: STATE_FORMAT, runs: [...this.#open.values()].map(run => run.state()) };
    } catch (error) {
      throw this.#fail(error);
    } finally {
      this.#busy = false;
    }
  }

  /** Only what a crash cannot take back goes to the server: line numbers would not be true any more. */
  committed(): void {
    this.#isClean = true;
    this.#allow();
  }

  /** Bytes and ends of runs that the server has not heard of; 0 offline. */
  remaining(): number {
    if (this.#uploads === undefined) return 0;
    let held = 0;
    for (const run of this.#open.values()) if (run.isWaiting) held++;
    return this.#uploads.remaining + held;
  }

  /** Resolves once everything committed has reached the server; rejects with what keeps it from it. */
  async drain(signal?: AbortSignal): Promise<void> {
    if (this.#uploads === undefined) return;
    for (const run of this.#open.values()) this.#finishRows(run);
    this.#allow(true);
    while (this.#uploads.remaining > 0) {
      signal?.throwIfAborted();
      await sleep(DRAIN_LOOK_MS, undefined, { signal });
    }
    const [failure] = this.#uploads.failures;
    if (failure !== undefined) throw new Error(`wandb: ${failure}`);
  }

  #allow(all = false): void {
    if (this.#uploads === undefined || !this.#isClean) return;
    for (const run of this.#open.values()) {
      for (const { directory, length } of run.takeEarlier()) {
        this.#uploads.allow(run.id, directory, length)?.hurry();
      }
      if (run.directory === '' || run.length === 0) continue;
      const session = this.#uploads.allow(run.id, run.directory, run.length);
      if (session === undefined) continue;
      session.isLive = run.lifecycle.state === 'running';
      if (run.isOver || all) session.hurry();
    }
  }

  /** What is still held gets its place in the logs, behind what was committed: whoever reads them now finds everything. */
  async stop(): Promise<void> {
    if (this.#stopped) {
      await this.#uploads?.stop();
      return;
    }
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (const run of this.#open.values()) {
      try {
        this.#finishRows(run);
      } catch (error) {
        this.#context.logger.warn(`wandb: the last rows of ${run.id} are written at the next start`, {
          error: String(error),
        });
      }
      run.abandon();
    }
    this.#open.clear();
    await this.#uploads?.stop();
  }

  async #wait(work: readonly Promise<void>[]): Promise<void> {
    const ended = await Promise.allSettled(work);
    for (const one of ended) if (one.status === 'rejected') throw this.#fail(one.reason);
  }

  #write(batch: Batch): Promise<void>[] {
    const { position, next, receivedUnixNano } = batch;
    const found = new Map<string, OpenRun | undefined>();
    const touched = new Set<OpenRun>();
    const lives = new Set<string>();
    const find = (run: Run, scope: string): OpenRun | undefined => {
      const own = this.#settings.runPerScope ? scope : GLOBAL_SCOPE;
      const place = `${run.instance}\0${run.attempt}\0${own}\0${run.id}`;
      if (found.has(place)) return found.get(place);
      let open = this.#find(run, own, position);
      if (open?.has(position, receivedUnixNano)) open = undefined;
      if (open !== undefined) {
        if (!touched.has(open)) {
          this.#touch(open);
          open.beginBatch(receivedUnixNano);
        }
        touched.add(open);
        open.describe(identityOf(run, own), receivedUnixNano);
      }
      found.set(place, open);
      return open;
    };
    const findLiving = (run: Run, scope: string): OpenRun | undefined => {
      const open = find(run, scope);
      const place = `${run.instance}\0${open?.key}`;
      if (open !== undefined && !lives.has(place)) {
        lives.add(place);
        const { instance, rank, attempt } = run;
        open.live({
          ...{ kind: 'data', instance, rank, attempt },
          ...{ timeUnixNano: receivedUnixNano, receivedUnixNano },
        });
      }
      return open;
    };

    const scalars = batch.scalars ?? rowsFromLogs(batch.logs);
    if (scalars !== undefined) {
      addRows(scalars, receivedUnixNano, (resolved, series) => {
        const run = findLiving(resolved.run, resolved.scope);
        if (run === undefined) return undefined;
        run.knowEnvironment(environmentOf(series.resource));
        if (isSystemMetric(series)) return undefined;
        const name = this.#nameOf(resolved);
        return { run, name: run.nameOf(name), counter: `${resolved.run.instance} ${name}` };
      });
      addSystemMetrics(scalars, (run, scope) => find(run, scope), receivedUnixNano);
    }
    for (const { point, resolved } of batch.histograms) {
      const run = findLiving(resolved.run, resolved.scope);
      if (run === undefined || isSystemMetric(point.series)) continue;
      const name = this.#nameOf(resolved);
      const step = Number.isNaN(point.step) ? run.steps.next(`hist ${name}`) : point.step;
      const fields = histogramFields(point);
      const names = fields.map(([field]) => run.leafOf([name, field]));
      const time = point.timeUnixNano || receivedUnixNano;
      run.addRow(
        step,
        time,
        receivedUnixNano,
        names,
        fields.map(([, json]) => json),
      );
    }
    for (const log of batch.logs) {
      const event = lifecycleEvent(log, receivedUnixNano);
      const run = event === undefined ? findLiving(log.run, log.scope) : find(log.run, log.scope);
      if (run === undefined) continue;
      run.knowEnvironment(environmentOf(log.record.resource));
      if (event !== undefined) run.live(event);
      else this.#addLog(run, log, receivedUnixNano);
    }
    const checking: Promise<void>[] = [];
    for (const run of touched) {
      const work = run.finishBatch(receivedUnixNano);
      if (work !== undefined) checking.push(work);
      run.took(next, receivedUnixNano);
    }
    return checking;
  }

  #addLog(run: OpenRun, log: Batch['logs'][number], receivedUnixNano: bigint): void {
    const { record } = log;
    switch (record.eventName) {
      case EVENT_RUN_CONFIG: {
        const values = payload(record, RUN_CONFIG);
        if (values !== undefined) run.mergeConfig(values, mergeMaps);
        return;
      }
      case EVENT_RUN_SUMMARY: {
        const values = payload(record, RUN_SUMMARY);
        if (values !== undefined) run.addSummary(values, receivedUnixNano);
        return;
      }
      case EVENT_METRIC: {
        const definition = definitionOf(record.attributes);
        if (definition === undefined || !run.define(definition)) this.#around.lost('bad_definition', 1);
        return;
      }
      default:
        break;
    }
    const content = contentEvent(record);
    if (content !== undefined) {
      if (content.kind === 'media') run.media().add(content, log, receivedUnixNano);
      else this.#around.lost(content.kind === 'malformed' ? 'media_malformed' : 'artifact_not_sent', 1);
      return;
    }
    if (record.eventName !== '' || !this.#settings.console) return;
    const stream = record.severityNumber >= STDERR_FROM ? 'stderr' : 'stdout';
    const time = record.timeUnixNano || receivedUnixNano;
    run.addText(stream, time, consoleLine(record));
  }

  /** A run of its own needs no scope in its names. */
  #nameOf({ sinkName, scope }: ResolvedSeries): string {
    if (!this.#settings.runPerScope || scope === GLOBAL_SCOPE || !sinkName.startsWith(`${scope}/`))
      return sinkName;
    return sinkName.slice(scope.length + 1) || sinkName;
  }

  /** Where nobody chose, what was chosen: once, not with each new instance. */
  #sayMode(): void {
    const { remark } = this.#settings;
    if (remark === undefined || said.has(remark)) return;
    said.add(remark);
    this.#context.logger.info(remark);
  }

  #touch(run: OpenRun): void {
    run.dirty = true;
    run.lastUsedMs = Date.now();
    this.#open.delete(run.key);
    this.#open.set(run.key, run);
  }

  #find(run: Run, scope: string, position: number): OpenRun | undefined {
    const whole = scope === GLOBAL_SCOPE ? run.id : `${run.id}\0${scope}`;
    const key = escapeRunId(whole);
    const open = this.#open.get(key);
    if (open !== undefined) return open;
    if (this.#refused.has(key)) return undefined;
    try {
      const state = this.#states.read(key);
      const id = wandbRunId(scope === GLOBAL_SCOPE ? run.id : `${run.id}-${scope}`);
      const made = new OpenRun(this.#around, identityOf(run, scope), key, state?.id ?? id, state);
      if (state === undefined) made.took(position, 0n);
      else {
        made.restore();
        made.takeUp(state);
      }
      this.#open.set(key, made);
      return made;
    } catch (error) {
      if (!(error instanceof ConfinementError)) throw error;
      this.#refuse(key, error);
      return undefined;
    }
  }

  #continue(state: ReturnType<typeof checkState>): void {
    const run = new OpenRun(this.#around, state.identity, state.key, state.id, state);
    try {
      run.restore();
      run.takeUp(state);
      run.lastUsedMs = Date.now();
      this.#open.set(state.key, run);
    } catch (error) {
      run.abandon();
      if (!(error instanceof ConfinementError)) throw error;
      this.#refuse(state.key, error);
    }
  }

  #refuse(key: string, error: ConfinementError): void {
    this.#refused.add(key);
    this.#around.lost('refused_folder', 1);
    this.#context.logger.error(`wandb: the run is not written: ${error.message}`, { run: key });
  }

  #limitFiles(): void {
    let open = 0;
    for (const run of this.#open.values()) if (run.hasOpenFiles) open++;
    for (const run of this.#open.values()) {
      if (open <= this.#settings.maxOpenRuns) return;
      if (!run.hasOpenFiles) continue;
      run.close();
      open--;
    }
  }

  /** The cursor stays small. */
  #boundOpenRows(): void {
    let characters = 0;
    for (const run of this.#open.values()) characters += run.openCharacters;
    for (const run of this.#open.values()) {
      if (characters <= MAX_OPEN_CHARACTERS_OF_ALL) return;
      characters -= run.openCharacters;
      run.emitRows();
    }
  }

  async #evict(): Promise<void> {
    const idleBefore = Date.now() - IDLE_MS;
    const excess = this.#open.size - this.#settings.maxOpenRuns;
    const leaving = [...this.#open.values()].filter((run, i) => i < excess || run.lastUsedMs < idleBefore);
    if (leaving.length === 0) return;
    await forEach(leaving, run => this.#states.write(run.state()));
    this.#states.sync();
    for (const run of leaving) {
      run.close();
      this.#open.delete(run.key);
    }
  }

  /** After a while without anything new, what is held is written: nobody waits for more. */
  #wakeLater(): void {
    clearTimeout(this.#timer);
    if (this.#stopped || ![...this.#open.values()].some(run => run.isWaiting)) return;
    this.#timer = setTimeout(() => this.#wake(), this.#settings.windowMs + 1);
    this.#timer.unref();
  }

  #wake(): void {
    if (this.#stopped) return;
    if (this.#busy || !this.#isClean) {
      this.#wakeLater();
      return;
    }
    for (const run of this.#open.values()) {
      try {
        this.#finishRows(run);
      } catch (error) {
        this.#context.logger.warn(`wandb: ${run.id}: ${String(error)}`);
      }
    }
    this.#allow();
  }

  #finishRows(run: OpenRun): void {
    if (!run.isWaiting) return;
    run.finishRows();
    run.writeSummary();
    run.flush();
    run.release();
  }

  /** After an error this exporter is done for; another one starts from the last commit. Descriptors must not stay behind. */
  #fail(error: unknown): unknown {
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (const run of this.#open.values()) run.abandon();
    this.#open.clear();
    void this.#uploads?.stop();
    const code = systemCode(error);
    if (code === undefined || CONTENT_CODES.has(code)) return error;
    const { path: place = this.#settings.root, message } = error as NodeJS.ErrnoException;
    return new RetryableError(`cannot write ${place}: ${message}`, { cause: error });
  }
}

function addSystemMetrics(
  { columns, rows, resolved }: NonNullable<Batch['scalars']>,
  find: (run: Run, scope: string) => OpenRun | undefined,
  receivedUnixNano: bigint,
): void {
  const keys = columns.series.map(series => (isSystemMetric(series) ? systemKey(series) : undefined));
  if (keys.every(key => key === undefined)) return;
  for (let row = 0; row < rows.count; row++) {
    const items = new Map<OpenRun, LogItem[]>();
    let time = receivedUnixNano;
    for (let i = rows.first[row]!; i < rows.first[row + 1]!; i++) {
      const point = rows.points[i]!;
      const series = columns.seriesIndex[point]!;
      const known = keys[series];
      const { run, companion } = resolved[series]!;
      if (known === undefined || companion) continue;
      const open = find(run, GLOBAL_SCOPE);
      if (open === undefined) continue;
      time = columns.timeUnixNano[point]! || receivedUnixNano;
      const list = items.get(open) ?? [];
      items.set(open, list);
      list.push({ key: known.key, path: [], json: extendedNumber(columns.value[point]! * known.factor) });
    }
    for (const [run, list] of items) run.addStats(time, list);
  }
}

function identityOf(run: Run, scope: string): RunIdentity {
  const { id, project, name, group, jobType, tags } = run;
  return { run: id, scope: scope === GLOBAL_SCOPE ? null : scope, project, name, group, jobType, tags };
}

/** An event's map: in its attribute, else in the body (which is the map, or has it under the attribute's name). */
function payload({ attributes, body }: LogRecord, key: string): Attributes | undefined {
  const attribute = attributes[key];
  if (isMap(attribute)) return attribute;
  if (!isMap(body)) return undefined;
  const inner = body[key];
  return isMap(inner) ? inner : body;
}

/** A few at a time: they all wait for the disk. */
async function forEach<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = items.values();
  const worker = async (): Promise<void> => {
    for (const item of waiting) await work(item);
  };
  await Promise.all(Array.from({ length: SYNCS_AT_ONCE }, worker));
}
