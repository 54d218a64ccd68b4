// The runs a collector is writing: which are open, what a commit is, and how each is continued after a crash.

import fs from 'node:fs';
import path from 'node:path';
import {
  type Batch,
  type CommittedState,
  type Exporter,
  type ExporterContext,
  RetryableError,
} from '../../component.ts';
import { CONTENT_CODES } from '../../feed/failure.ts';
import { ConfinementError, syncFolder, systemCode } from '../../runs/confined.ts';
import { rowsFromLogs } from '../../runs/rows-from-logs.ts';
import type { Run, RunFolder } from '../../runs/run.ts';
import type { BufferBudget } from './append-file.ts';
import { firstSight } from './first-sight.ts';
import { IDLE_MS, MAX_BUFFERED_BYTES, SYNCS_AT_ONCE } from './limits.ts';
import { OpenRun, type RunSurroundings } from './open-run.ts';
import { countPoints, writeRows } from './rows.ts';
import { FORMAT, type Identity, type RunState } from './run-record.ts';
import { checkState, StateStore } from './state-store.ts';

/** Counter of what could not be written, by reason. Items for refused runs, bytes for files, events for documents. */
export const LOST_METRIC = 'kymo_jsonl_lost';

/** Counters of media and artifacts that got a file. */
export const MEDIA_METRIC = 'kymo_media_events';
export const MEDIA_BYTES_METRIC = 'kymo_media_bytes';

export interface JsonlOptions {
  /** The folder that holds the run folders; absolute. */
  readonly root: string;
  readonly maxOpenRuns: number;
}

const CURSOR = 'the cursor of the jsonl exporter';

/**
 * A commit is: data files durable, run.json replaced, then the state of all open runs for the cursor. Runs beyond the limit
 * and idle ones leave the cursor in a commit: their state is first made durable in the state directory. Each state
 * says up to which journal position it goes, so it is right also when an older cursor is used: batches it has are passed over.
 */
export class JsonlExporter implements Exporter {
  readonly #options: JsonlOptions;
  readonly #context: ExporterContext;
  readonly #store: StateStore;
  readonly #around: RunSurroundings;
  readonly #budget: BufferBudget = { bytes: 0 };
  /** Least recently used first. */
  readonly #open = new Map<RunFolder, OpenRun>();
  /** Runs opened since the last commit, as they were found: what a start from before that commit cuts them back to. */
  readonly #found = new Map<RunFolder, RunState>();
  /** Runs whose folder cannot be used (a symbolic link, a file in its place), with the reason. */
  readonly #refused = new Map<RunFolder, string>();
  /** False when nothing was ever committed, or the cursor was lost. */
  #hasCursor = false;

  constructor(context: ExporterContext, options: JsonlOptions) {
    this.#context = context;
    this.#options = options;
    this.#store = new StateStore(context.stateDirectory);
    this.#around = {
      root: options.root,
      writer: writerName(context),
      logger: context.logger,
      budget: this.#budget,
      lost: (reason, amount) => context.instruments.count(LOST_METRIC, amount, { reason }),
      stored: (events, bytes) => {
        context.instruments.count(MEDIA_METRIC, events);
        context.instruments.count(MEDIA_BYTES_METRIC, bytes);
      },
    };
  }

  async start(committed: CommittedState): Promise<void> {
    try {
      makeRoot(this.#options.root);
      this.#store.ensure();
      this.#hasCursor = committed !== undefined;
      const states = committed?.runs ?? [];
      if (!Array.isArray(states)) throw new Error(`${CURSOR} holds no list of runs`);
      for (const state of states) await this.#continue(checkState(state, CURSOR));
      this.#limitFiles();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  export(batch: Batch): void | Promise<void> {
    try {
      const checking = this.#write(batch);
      if (this.#budget.bytes > MAX_BUFFERED_BYTES) {
        for (const run of this.#open.values()) {
          run.flush();
          run.releaseBuffers();
        }
      }
      this.#limitFiles();
      if (checking.length > 0) return this.#wait(checking);
    } catch (error) {
      throw this.#fail(error);
    }
  }

  async commit(): Promise<CommittedState> {
    try {
      const dirty = [...this.#open.values()].filter(run => run.dirty);
      await forEach(dirty, run => run.settle());
      for (const run of dirty) {
        run.flush();
        run.releaseBuffers();
      }
      await this.#sync(dirty);
      await forEach(dirty, async run => {
        run.state();
        run.dirty = false;
        await run.writeDocuments();
      });
      await this.#evict();
      this.#limitFiles();
      return { format: FORMAT, runs: [...this.#open.values()].map(run => run.state()) };
    } catch (error) {
      throw this.#fail(error);
    }
  }

  committed(): void {
    this.#found.clear();
  }

  stop(): void {
    this.#keepFound();
    for (const run of this.#open.values()) run.abandon();
    this.#open.clear();
  }

  async #wait(work: readonly Promise<void>[]): Promise<void> {
    const ended = await Promise.allSettled(work);
    for (const one of ended) if (one.status === 'rejected') throw this.#fail(one.reason);
  }

  /** Returns what goes on after it: the checking of media that are whole now. */
  #write(batch: Batch): Promise<void>[] {
    const { position, next, receivedUnixNano } = batch;
    /** Undefined: left out, because it is refused or because it has this batch already. */
    const found = new Map<Run, OpenRun | undefined>();
    const touched = new Set<OpenRun>();
    const lives = new Set<Run>();
    const find = (run: Run): OpenRun | undefined => {
      if (found.has(run)) return found.get(run);
      let open = this.#find(run, position);
      if (open?.record.has(position, receivedUnixNano)) open = undefined;
      if (open !== undefined) {
        if (!touched.has(open)) this.#touch(open);
        touched.add(open);
        open.record.describe(run);
      }
      found.set(run, open);
      return open;
    };
    const findLiving = (run: Run): OpenRun | undefined => {
      const open = find(run);
      if (open !== undefined && !lives.has(run)) {
        lives.add(run);
        open.sawData(run, receivedUnixNano);
      }
      return open;
    };

    const scalars = batch.scalars ?? rowsFromLogs(batch.logs);
    if (scalars !== undefined) writeRows(scalars, findLiving);
    for (const histogram of batch.histograms) findLiving(histogram.resolved.run)?.addHistogram(histogram);
    for (const log of batch.logs) {
      if (find(log.run)?.addLog(log, receivedUnixNano) === false) findLiving(log.run);
    }
    for (const span of batch.spans) findLiving(span.run)?.addSpan(span);
    const checking: Promise<void>[] = [];
    for (const run of touched) {
      const work = run.finishBatch(receivedUnixNano);
      if (work !== undefined) checking.push(work);
      run.record.took(next, receivedUnixNano);
    }
    if (this.#refused.size > 0) this.#countRefused(batch, scalars);
    return checking;
  }

  #touch(run: OpenRun): void {
    run.dirty = true;
    run.lastUsedMs = Date.now();
    run.groups.trim();
    run.record.metrics.trim();
    this.#open.delete(run.folder);
    this.#open.set(run.folder, run);
  }

  #find(run: Run, position: number): OpenRun | undefined {
    const { folder } = run;
    const open = this.#open.get(folder);
    if (open !== undefined) return open;
    if (this.#refused.has(folder)) return undefined;
    try {
      const made = this.#openRun(run, position);
      this.#open.set(folder, made);
      return made;
    } catch (error) {
      if (!(error instanceof ConfinementError)) throw error;
      this.#refuse(folder, error);
      return undefined;
    }
  }

  #openRun(run: Run, position: number): OpenRun {
    const { folder } = run;
    const { id, project, name, group, jobType, tags } = run;
    const identity: Identity = { id, project, name, group, jobType, tags };
    const state = this.#store.read(folder);
    if (state !== undefined) {
      const known = new OpenRun(folder, identity, this.#around, state, '');
      if (!this.#hasCursor) known.setAside();
      known.cutBack();
      return known;
    }
    const { part, files } = firstSight(folder, identity, this.#around);
    const fresh = new OpenRun(folder, identity, this.#around, undefined, part, files);
    fresh.record.took(position, 0n);
    fresh.cutBack();
    // Durable before the first line: after a crash this says what of the files is to stay.
    this.#found.set(folder, fresh.state());
    this.#store.writeSync(fresh.state());
    return fresh;
  }

  /** The state folder may have been removed while we ran: without these, what is not committed would be taken for another's and stay. */
  #keepFound(): void {
    try {
      for (const [folder, state] of this.#found) if (!this.#store.has(folder)) this.#store.writeSync(state);
    } catch (error) {
      this.#context.logger.error('how a run was found cannot be kept: rows may be written twice', { error });
    }
    this.#found.clear();
  }

  /** Takes up a run from the cursor. */
  async #continue(state: RunState): Promise<void> {
    const folder = state.folder as RunFolder;
    const run = new OpenRun(folder, state.identity, this.#around, state, '');
    // A state that says more than the files will hold in a moment must not be found later, after another crash.
    const kept = this.#store.read(folder);
    if (kept !== undefined && kept.position > state.position) await this.#store.write(state);
    if (!fs.existsSync(path.join(this.#options.root, folder))) {
      // Somebody has deleted the run: it comes back only if it is written again, and is then continued from here.
      await this.#store.write(state);
      return;
    }
    try {
      run.cutBack();
      await run.writeDocuments();
      run.lastUsedMs = Date.now();
      this.#open.set(folder, run);
    } catch (error) {
      run.abandon();
      if (!(error instanceof ConfinementError)) throw error;
      // It leaves the cursor with the next commit, and is continued from here once its folder is one again.
      await this.#store.write(state);
      this.#refuse(folder, error);
    }
  }

  #refuse(folder: RunFolder, error: ConfinementError): void {
    this.#refused.set(folder, error.message);
    this.#context.logger.error(`the run is not written: ${error.message}`, { folder });
  }

  #countRefused(batch: Batch, scalars: Batch['scalars']): void {
    const refused = (run: Run) => this.#refused.has(run.folder);
    let items = scalars === undefined ? 0 : countPoints(scalars, refused);
    for (const { resolved } of batch.histograms) if (refused(resolved.run)) items++;
    for (const { run } of batch.logs) if (refused(run)) items++;
    for (const { run } of batch.spans) if (refused(run)) items++;
    if (items > 0) this.#around.lost('refused_folder', items);
  }

  /** Descriptors are what a process has fewest of: the least recently used runs close theirs. */
  #limitFiles(): void {
    if (this.#open.size <= this.#options.maxOpenRuns) return;
    let open = 0;
    for (const run of this.#open.values()) if (run.hasOpenFiles) open++;
    if (open <= this.#options.maxOpenRuns) return;
    for (const run of this.#open.values()) {
      if (!run.hasOpenFiles) continue;
      run.closeFiles();
      if (--open <= this.#options.maxOpenRuns) return;
    }
  }

  async #evict(): Promise<void> {
    const idleBefore = Date.now() - IDLE_MS;
    const excess = this.#open.size - this.#options.maxOpenRuns;
    const leaving = [...this.#open.values()].filter((run, i) => i < excess || run.lastUsedMs < idleBefore);
    if (leaving.length === 0) return;
    await forEach(leaving, run => this.#store.write(run.state()));
    this.#store.sync();
    for (const run of leaving) {
      run.closeFiles();
      this.#open.delete(run.folder);
    }
  }

  async #sync(runs: readonly OpenRun[]): Promise<void> {
    const folders = new Set<string>();
    await forEach(runs, async run => {
      for (const folder of await run.sync()) folders.add(folder);
    });
    if (folders.size === 0) return;
    for (const folder of folders) if (fs.existsSync(folder)) syncFolder(folder);
    syncFolder(this.#options.root);
  }

  /** After an error this exporter is done for; another one starts from the last commit. Descriptors must not stay behind. */
  #fail(error: unknown): unknown {
    this.stop();
    const code = systemCode(error);
    if (code === undefined || CONTENT_CODES.has(code)) return error;
    const { path: place = this.#options.root, message } = error as NodeJS.ErrnoException;
    return new RetryableError(`cannot write ${place}: ${message}`, { cause: error });
  }
}

function makeRoot(root: string): void {
  try {
    fs.mkdirSync(root, { recursive: true });
  } catch (error) {
    const found = fs.statSync(root, { throwIfNoEntry: false });
    if (found === undefined || found.isDirectory()) throw error;
    throw new Error(`${root}: is not a folder; name another one in the jsonl exporter's directory`, {
      cause: error,
    });
  }
}

/** A few at a time: they all wait for the disk. */
export async function forEach<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = items.values();
  const worker = async (): Promise<void> => {
    for (const item of waiting) await work(item);
  };
  await Promise.all(Array.from({ length: SYNCS_AT_ONCE }, worker));
}

/** Tells this exporter's files from those of another collector, or of a second jsonl exporter of the same one. */
export function writerName(context: ExporterContext): string {
  const name = context.id.includes('/') ? context.id.slice(context.id.indexOf('/') + 1) : '';
  return name === ''
    ? context.writerId
    : `${context.writerId}-${name.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 24)}`;
}
