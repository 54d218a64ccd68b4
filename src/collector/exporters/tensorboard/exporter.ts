// Reads batches into the runs they belong to, and keeps the runs that are open: their flushing, commits, mends and closing.
import fs from 'node:fs';
import path from 'node:path';
import { clearTimeout, setTimeout } from 'node:timers';
import type { AnyValue, Attributes } from '../../../otlp/model.ts';
import {
  EVENT_MEDIA,
  EVENT_RUN_CONFIG,
  EVENT_RUN_FINISH,
  EVENT_RUN_START,
  RUN_CONFIG,
  RUN_RESUME_STEP,
  RUN_STATE,
} from '../../../semconv/names.ts';
import type {
  Batch,
  CommittedState,
  Exporter,
  ExporterContext,
  ResolvedLog,
  ScalarBatch,
} from '../../component.ts';
import { ConfinementError, systemCode } from '../../runs/confined.ts';
import { rowsFromLogs } from '../../runs/rows-from-logs.ts';
import type { Run, RunFolder } from '../../runs/run.ts';
import { ContentCache } from './content-cache.ts';
import { fileError, type Owner } from './event-file.ts';
import { plainConfig } from './hparams.ts';
import {
  CLOSE_EXCESS_AFTER_MS,
  CLOSE_FINISHED_AFTER_MS,
  CLOSE_IDLE_AFTER_MS,
  MAX_BUFFERED_BYTES,
  MAX_EXCESS,
  SYNC_CONCURRENCY,
} from './limits.ts';
import { Points } from './points.ts';
import { RunWriter, type RunWriterOptions } from './run-writer.ts';
import {
  firstEpoch,
  forgetFirstEpoch,
  readState,
  removeStrayParts,
  restoreLateFiles,
  writeState,
} from './state.ts';
import { wholeStep } from './tags.ts';

/** Settings, durations in ms and sizes in bytes. */
export interface TensorboardSettings {
  readonly directory: string;
  readonly maxOpenRuns: number;
  readonly maxTagsPerRun: number;
  readonly flushIntervalMs: number;
  readonly rewriteIntervalMs: number;
  readonly maxFileBytes: number;
  readonly maxMediaBytes: number;
}

export class TensorboardExporter implements Exporter {
  readonly #context: ExporterContext;
  readonly #settings: TensorboardSettings;
  readonly #runs = new Map<RunFolder, RunWriter>();
  readonly #writerOf = new WeakMap<Run, RunWriter>();
  readonly #points: Points;
  readonly #cache = new ContentCache();
  #options: RunWriterOptions | undefined;
  #owner: Owner = { writerId: '', epoch: '' };
  /** Number of the last commit that is durable. */
  #committed = 0;
  /** Number of the next commit. */
  #generation = 1;
  #afterCommit: AfterCommit | undefined;
  #lastFlushMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #failed = false;
  #failure: unknown;
  #busy: Promise<unknown> = Promise.resolve();

  constructor(context: ExporterContext, settings: TensorboardSettings) {
    this.#context = context;
    this.#settings = settings;
    this.#points = new Points({
      instruments: context.instruments,
      writerOf: run => this.#writerOf.get(run)!,
      guard: (writer, work) => this.#guard(writer, work),
    });
  }

  start(committed: CommittedState): void {
    const { stateDirectory, writerId, baseDirectory } = this.#context;
    const state = readState(committed);
    this.#owner = { writerId, epoch: state?.epoch ?? firstEpoch(stateDirectory) };
    this.#committed = state?.generation ?? 0;
    this.#generation = this.#committed + 1;
    this.#options = {
      context: this.#context,
      root: path.resolve(baseDirectory, this.#settings.directory),
      owner: this.#owner,
      generation: () => this.#generation,
      maxFileBytes: this.#settings.maxFileBytes,
      maxTags: this.#settings.maxTagsPerRun,
      rewriteIntervalMs: this.#settings.rewriteIntervalMs,
      maxMediaBytes: this.#settings.maxMediaBytes,
      cache: this.#cache,
      count: (what, amount) => this.#points.count(what, amount),
    };
    restoreLateFiles(stateDirectory, state);
    removeStrayParts(stateDirectory, state);
    for (const [folder, run] of state?.runs ?? []) {
      const writer = new RunWriter(folder, this.#options, run);
      this.#runs.set(folder, writer);
      this.#guard(writer, () => writer.restore());
    }
    this.#schedule();
  }

  export(batch: Batch): Promise<void> {
    return this.#exclusive(async () => {
      const scalars = batch.scalars ?? rowsFromLogs(batch.logs);
      await this.#openRuns(batch, scalars);
      const receivedSeconds = Number(batch.receivedUnixNano) / 1e9;
      if (scalars !== undefined) this.#points.scalars(scalars, receivedSeconds);
      if (batch.histograms.length > 0) this.#points.histograms(batch.histograms, receivedSeconds);
      for (const log of batch.logs) this.#log(log, batch.receivedUnixNano);
      await this.#finishMedia(batch);
      this.#flushWhenDue();
      this.#schedule();
    });
  }

  commit(): Promise<CommittedState> {
    return this.#exclusive(async () => {
      const nowMs = Date.now();
      const writers = [...this.#runs.values()];
      await each(writers, SYNC_CONCURRENCY, async writer => {
        await this.#guardAsync(writer, () => writer.commit(nowMs, QUIET_MS));
      });
      this.#lastFlushMs = nowMs;
      const closing = await this.#chooseClosing(nowMs);
      for (const writer of closing) writer.closing = true;
      const replaced = writers.map(writer => ({ writer, ...writer.takeReplaced() }));
      // What an earlier commit wanted emptied and nobody confirmed yet is still to be emptied.
      this.#afterCommit = {
        generation: this.#generation,
        closing,
        replaced: [...(this.#afterCommit?.replaced ?? []), ...replaced],
      };
      const state = writeState({
        epoch: this.#owner.epoch,
        generation: this.#generation,
        runs: writers
          .filter(writer => !closing.has(writer))
          .map(writer => [writer.folder, writer.state()] as const),
      });
      this.#generation++;
      this.#schedule();
      return state;
    });
  }

  committed(): Promise<void> {
    return this.#exclusive(async () => {
      const after = this.#afterCommit;
      if (after === undefined) return;
      this.#afterCommit = undefined;
      this.#committed = after.generation;
      forgetFirstEpoch(this.#context.stateDirectory);
      for (const { writer, events, late, media } of after.replaced) {
        this.#guard(writer, () => writer.retire(events, media));
        for (const name of late) {
          fs.rmSync(path.join(this.#context.stateDirectory, name), { force: true });
        }
      }
      for (const writer of after.closing) {
        // It may have been written to since: then it stays open, with a new part.
        if (!writer.closing) continue;
        writer.abandon();
        this.#runs.delete(writer.folder);
      }
    });
  }

  /** Ends with the files right for readers, late points in order. What was not committed is done again by the next start. */
  async stop(): Promise<void> {
    await this.#busy;
    clearTimeout(this.#timer);
    if (this.#failed) return;
    await this.#exclusive(async () => {
      for (const writer of this.#runs.values()) {
        this.#guard(writer, () => writer.flush());
        if (Number.isFinite(writer.mendAtMs)) await this.#guardAsync(writer, () => writer.mend(false));
        this.#guard(writer, () => writer.abandon());
      }
      this.#runs.clear();
    });
  }

  async #openRuns(batch: Batch, scalars: ScalarBatch | undefined): Promise<void> {
    const seen = new Set<Run>();
    const series = scalars?.columns.series ?? [];
    const resolved = scalars?.resolved ?? [];
    for (let i = 0; i < resolved.length; i++) {
      const { run } = resolved[i]!;
      if (!seen.has(run)) await this.#openRun(run, series[i]?.resource.attributes, batch, seen);
    }
    for (const { resolved, point } of batch.histograms) {
      if (!seen.has(resolved.run)) {
        await this.#openRun(resolved.run, point.series.resource.attributes, batch, seen);
      }
    }
    for (const { run, record } of batch.logs) {
      if (!RUN_EVENTS.has(record.eventName)) continue;
      if (!seen.has(run)) await this.#openRun(run, record.resource.attributes, batch, seen);
      const step = stepOf(record.attributes[RUN_RESUME_STEP]);
      if (step !== undefined) this.#resumed(run, step, batch);
    }
  }

  async #openRun(run: Run, attributes: Attributes | undefined, batch: Batch, seen: Set<Run>): Promise<void> {
    seen.add(run);
    let writer = this.#runs.get(run.folder);
    let closed = false;
    if (writer === undefined) {
      writer = new RunWriter(run.folder, this.#options!);
      this.#runs.set(run.folder, writer);
      closed = true;
    }
    this.#writerOf.set(run, writer);
    writer.lastUsedMs = Date.now();
    const opened = writer;
    await this.#guardAsync(writer, () => opened.open(closed ? this.#committed : undefined));
    const step = stepOf(attributes?.[RUN_RESUME_STEP]);
    if (step !== undefined) this.#resumed(run, step, batch);
  }

  #resumed(run: Run, step: number, batch: Batch): void {
    if (run.attempt <= 1) return;
    const writer = this.#writerOf.get(run)!;
    this.#guard(writer, () => writer.resumed(run.attempt, step, Number(batch.receivedUnixNano) / 1e9));
  }

  #log(log: ResolvedLog, receivedUnixNano: bigint): void {
    const { record, run } = log;
    if (!RUN_EVENTS.has(record.eventName)) return;
    const writer = this.#writerOf.get(run)!;
    if (writer.refusal !== undefined) {
      if (record.eventName === EVENT_MEDIA) this.#points.count('run_refused', 1);
      return;
    }
    if (record.eventName === EVENT_MEDIA) {
      this.#guard(writer, () => {
        try {
          writer.media(log, receivedUnixNano);
        } catch (error) {
          throw named(error, run.folder);
        }
      });
    } else if (record.eventName === EVENT_RUN_START) writer.instance(run.instance, 'running');
    else if (record.eventName === EVENT_RUN_FINISH) {
      const finished = (record.attributes[RUN_STATE] ?? 'finished') === 'finished';
      writer.instance(run.instance, finished ? 'finished' : 'failed');
    } else {
      // Older SDKs can only put an event's data into the body.
      const config = plainConfig(record.attributes[RUN_CONFIG] ?? record.body);
      if (config !== undefined) writer.configured(config, Number(record.timeUnixNano) / 1e9);
    }
  }

  async #finishMedia(batch: Batch): Promise<void> {
    const writers = new Set<RunWriter>();
    for (const { record, run } of batch.logs) {
      const writer = record.eventName === EVENT_MEDIA ? this.#writerOf.get(run) : undefined;
      if (writer !== undefined) writers.add(writer);
    }
    for (const writer of writers) {
      await this.#guardAsync(writer, () =>
        writer
          .finishMedia(batch.receivedUnixNano)
          .catch(error => Promise.reject(named(error, writer.folder))),
      );
    }
  }

  #flushWhenDue(): void {
    const nowMs = Date.now();
    let buffered = 0;
    for (const writer of this.#runs.values()) buffered += writer.bufferedBytes;
    const due = nowMs - this.#lastFlushMs >= this.#settings.flushIntervalMs;
    if (buffered > 0 && (due || buffered > MAX_BUFFERED_BYTES)) this.#flush(nowMs);
  }

  #flush(nowMs: number): void {
    this.#lastFlushMs = nowMs;
    for (const writer of this.#runs.values()) {
      if (writer.bufferedBytes > 0) this.#guard(writer, () => writer.flush());
    }
    this.#boundOpenFiles();
  }

  /** Closes the files of the runs that were not used for longest. They are opened again when there is more to write. */
  #boundOpenFiles(): void {
    const open = [...this.#runs.values()].filter(writer => writer.hasOpenFile);
    if (open.length <= this.#settings.maxOpenRuns) return;
    open.sort((a, b) => a.lastUsedMs - b.lastUsedMs);
    for (const writer of open.slice(0, open.length - this.#settings.maxOpenRuns)) {
      this.#guard(writer, () => writer.closeFile());
    }
  }

  /** Runs that the state of this commit need not name any more: ended, idle, or more than may be open. */
  async #chooseClosing(nowMs: number): Promise<Set<RunWriter>> {
    const byUse = [...this.#runs.values()].sort((a, b) => a.lastUsedMs - b.lastUsedMs);
    const { maxOpenRuns } = this.#settings;
    let excess = byUse.length - maxOpenRuns;
    const closing = new Set<RunWriter>();
    for (const writer of byUse) {
      let limitMs = writer.isFinished ? CLOSE_FINISHED_AFTER_MS : CLOSE_IDLE_AFTER_MS;
      // Runs in use are closed only when there are far too many: each would have to be read again for its next point.
      if (excess > 0) limitMs = excess > MAX_EXCESS * maxOpenRuns ? 0 : CLOSE_EXCESS_AFTER_MS;
      const idleMs = nowMs - writer.lastUsedMs;
      if (idleMs < limitMs) continue;
      if (idleMs >= CLOSE_IDLE_AFTER_MS) writer.giveUpMedia();
      if (!writer.isSettled && writer.refusal === undefined) {
        await writer.mend(false);
        await this.#guardAsync(writer, () => writer.commit(nowMs, QUIET_MS));
      }
      if (!writer.isSettled && writer.refusal === undefined) continue;
      closing.add(writer);
      excess--;
    }
    return closing;
  }

  /** Wakes up when something waits to be written or put in order. */
  #schedule(): void {
    clearTimeout(this.#timer);
    let at = Infinity;
    for (const writer of this.#runs.values()) {
      if (writer.refusal !== undefined) continue;
      if (writer.bufferedBytes > 0) at = Math.min(at, this.#lastFlushMs + this.#settings.flushIntervalMs);
      at = Math.min(at, writer.mendAtMs, writer.lookForMediaAtMs);
    }
    if (at === Infinity) return;
    const delayMs = Math.max(at - Date.now(), MIN_TIMER_MS);
    this.#timer = setTimeout(() => this.#tick(), Math.min(delayMs, MAX_TIMER_MS));
    this.#timer.unref();
  }

  #tick(): void {
    const done = this.#exclusive(async () => {
      const nowMs = Date.now();
      for (const writer of this.#runs.values()) this.#guard(writer, () => writer.lookForMedia(nowMs));
      this.#flush(nowMs);
      for (const writer of this.#runs.values()) {
        if (writer.refusal === undefined && nowMs >= writer.mendAtMs) await writer.mend(false);
      }
      this.#schedule();
    });
    // The next call of the runner hears of it.
    done.catch(() => undefined);
  }

  /**
   * One call at a time; a failure between calls comes out of the next. After a failure nothing is touched any more: the files belong to the instance
   * that is started next.
   */
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#busy.then(async () => {
      if (this.#failed) throw this.#failure;
      try {
        return await work();
      } catch (error) {
        this.#failed = true;
        this.#failure = error;
        clearTimeout(this.#timer);
        for (const writer of this.#runs.values()) writer.abandon();
        throw error;
      }
    });
    this.#busy = result.catch(() => undefined);
    return result;
  }

  /** A run whose place is not a plain folder is refused; it must not hold up the others. */
  #guard(writer: RunWriter, work: () => void): void {
    if (writer.refusal !== undefined) return;
    try {
      work();
    } catch (error) {
      this.#refuse(writer, error);
    }
  }

  async #guardAsync(writer: RunWriter, work: () => Promise<void>): Promise<void> {
    if (writer.refusal !== undefined) return;
    try {
      await work();
    } catch (error) {
      this.#refuse(writer, error);
    }
  }

  #refuse(writer: RunWriter, error: unknown): void {
    if (!(error instanceof ConfinementError)) throw error;
    writer.refuse(error.message);
  }
}

interface AfterCommit {
  readonly generation: number;
  readonly closing: ReadonlySet<RunWriter>;
  readonly replaced: readonly {
    readonly writer: RunWriter;
    readonly events: readonly string[];
    readonly late: readonly string[];
    readonly media: readonly string[];
  }[];
}

const RUN_EVENTS: ReadonlySet<string> = new Set([
  EVENT_RUN_START,
  EVENT_RUN_FINISH,
  EVENT_RUN_CONFIG,
  EVENT_MEDIA,
]);
/** Late points that nothing followed for this long are put in order by the next commit. */
const QUIET_MS = 500;
const MIN_TIMER_MS = 10;
/** Far less than a timer can hold; it only has to be looked at again then. */
const MAX_TIMER_MS = 60_000;

function stepOf(value: AnyValue | undefined): number | undefined {
  const step = typeof value === 'bigint' ? wholeStep(Number(value)) : value;
  return typeof step === 'number' && Number.isFinite(step) ? wholeStep(step) : undefined;
}

/** What the file system says names the place, and is worth a retry. Anything else counts against the batch. */
function named(error: unknown, place: string): unknown {
  return systemCode(error) === undefined ? error : fileError(error, place);
}

/** Works on a few items at once. After a failure nothing new is begun, and it is thrown once what was under way has ended. */
async function each<T>(
  items: readonly T[],
  concurrency: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      try {
        await work(items[next++]!);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(concurrency, items.length) }, lane));
  for (const ended of lanes) if (ended.status === 'rejected') throw ended.reason;
}
