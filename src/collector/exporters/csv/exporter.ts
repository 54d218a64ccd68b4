// The tables a collector is writing: which are open, what a commit is, and how each is continued after a crash. As jsonl does it.

import fs from 'node:fs';
import path from 'node:path';
import type { Series } from '../../../otlp/model.ts';
import { GLOBAL_SCOPE } from '../../../semconv/names.ts';
import {
  type Batch,
  type CommittedState,
  type Exporter,
  type ExporterContext,
  RetryableError,
  type ScalarBatch,
} from '../../component.ts';
import { CONTENT_CODES } from '../../feed/failure.ts';
import { ConfinementError, syncFolder, systemCode } from '../../runs/confined.ts';
import { rowsFromLogs } from '../../runs/rows-from-logs.ts';
import type { ResolvedSeries, Run, RunFolder } from '../../runs/run.ts';
import { fullName } from '../../runs/series-name.ts';
import type { BufferBudget } from '../jsonl/append-file.ts';
import { forEach, writerName } from '../jsonl/exporter.ts';
import { IDLE_MS, MAX_BUFFERED_BYTES } from '../jsonl/limits.ts';
import { unixSeconds } from '../jsonl/lines.ts';
import { checkState, StateStore } from '../jsonl/state-store.ts';
import { LINE_END, numberCell, textCell } from './cells.ts';
import { FORMAT, firstState, OpenTable, type TableState, type TableSurroundings } from './open-table.ts';

/** Counter of what is not in a table, by reason: points of refused runs, histograms, bytes that somebody removed. */
export const LEFT_OUT_METRIC = 'kymo_csv_left_out';
const CURSOR = 'the cursor of the csv exporter';

export interface CsvOptions {
  /** The folder that holds the run folders; absolute. */
  readonly root: string;
  readonly maxOpenRuns: number;
}

/**
 * A commit makes the files durable and returns the state of all open tables for the cursor. Tables beyond the limit and idle
 * ones leave the cursor in a commit, after their state was made durable in the state directory.
 */
export class CsvExporter implements Exporter {
  readonly #context: ExporterContext;
  readonly #options: CsvOptions;
  readonly #store: StateStore<TableState>;
  readonly #around: TableSurroundings;
  readonly #budget: BufferBudget = { bytes: 0 };
  /** Least recently used first. */
  readonly #open = new Map<RunFolder, OpenTable>();
  /** Tables made since the last commit, as they were found: what a start from before that commit cuts them back to. */
  readonly #found = new Map<RunFolder, TableState>();
  /** Runs whose folder cannot be used (a symbolic link, a file in its place). */
  readonly #refused = new Set<RunFolder>();
  readonly #toldMissing = new Set<string>();
  /** False when nothing was ever committed, or the cursor was lost. */
  #hasCursor = false;

  constructor(context: ExporterContext, options: CsvOptions) {
    this.#context = context;
    this.#options = options;
    this.#store = new StateStore(context.stateDirectory);
    this.#around = {
      root: options.root,
      writer: writerName(context),
      budget: this.#budget,
      missing: (file, bytes, removed) => {
        this.#leftOut(removed ? 'file_removed' : 'file_shortened', bytes);
        if (this.#toldMissing.has(file.path)) return;
        this.#toldMissing.add(file.path);
        const what = removed
          ? 'was removed while the run goes on; it is made again and holds what comes from now on'
          : 'is shorter than what was written to it; going on behind its last whole line';
        context.logger.error(`${file.path}: ${what}`, { missing_bytes: bytes });
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
      for (const state of states) await this.#continue(checkState<TableState>(state, CURSOR));
      this.#limitFiles();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  export(batch: Batch): void {
    try {
      const { position, next, receivedUnixNano } = batch;
      const touched = new Set<OpenTable>();
      /** Undefined: left out, because it is refused or because it has this batch already. */
      const found = new Map<RunFolder, OpenTable | undefined>();
      const tableOf = ({ run }: ResolvedSeries): OpenTable | undefined => {
        if (found.has(run.folder)) return found.get(run.folder);
        let table = this.#find(run, position);
        if (table?.has(position, receivedUnixNano)) table = undefined;
        if (table !== undefined) touched.add(table);
        found.set(run.folder, table);
        return table;
      };
      const scalars = batch.scalars ?? rowsFromLogs(batch.logs);
      if (scalars !== undefined)
        this.#leftOut('refused_folder', writePoints(scalars, tableOf, this.#refused));
      this.#leftOut('histogram', batch.histograms.length);
      for (const table of touched) {
        table.took(next, receivedUnixNano);
        this.#open.delete(table.folder);
        this.#open.set(table.folder, table);
      }
      if (this.#budget.bytes > MAX_BUFFERED_BYTES) {
        for (const { file } of this.#open.values()) {
          file.flush();
          file.release();
        }
      }
      this.#limitFiles();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  async commit(): Promise<CommittedState> {
    try {
      const dirty = [...this.#open.values()].filter(table => table.dirty);
      for (const { file } of dirty) {
        file.flush();
        file.release();
      }
      const folders = new Set<string>();
      await forEach(dirty, async ({ file }) => {
        if (!(await file.sync())) return;
        folders.add(file.folder);
        folders.add(path.dirname(file.folder));
      });
      for (const folder of folders) if (fs.existsSync(folder)) syncFolder(folder);
      if (folders.size > 0) syncFolder(this.#options.root);
      for (const table of dirty) table.dirty = false;
      await this.#evict();
      this.#limitFiles();
      return { format: FORMAT, runs: [...this.#open.values()].map(table => table.state()) };
    } catch (error) {
      throw this.#fail(error);
    }
  }

  committed(): void {
    this.#found.clear();
  }

  stop(): void {
    this.#keepFound();
    for (const { file } of this.#open.values()) file.abandon();
    this.#open.clear();
  }

  #find(run: Run, position: number): OpenTable | undefined {
    const { folder } = run;
    const open = this.#open.get(folder);
    if (open !== undefined || this.#refused.has(folder)) return open;
    try {
      const table = this.#openTable(run, position);
      this.#open.set(folder, table);
      return table;
    } catch (error) {
      if (!(error instanceof ConfinementError)) throw error;
      this.#refuse(folder, error);
      return undefined;
    }
  }

  #openTable(run: Run, position: number): OpenTable {
    const known = this.#store.read(run.folder);
    const state = known ?? firstState(run, position, this.#around);
    const table = new OpenTable(run.folder, state, this.#around);
    if (known === undefined) {
      // Durable before the first line: after a crash this says what of the file is to stay.
      this.#found.set(run.folder, state);
      this.#store.writeSync(state);
    } else if (!this.#hasCursor) {
      const kept = table.setAside();
      if (kept !== undefined) {
        this.#context.logger.error(
          `${table.file.path}: the place in the journal was lost; the file is written again from there`,
          { kept_as: kept },
        );
      }
    }
    table.cutBack();
    return table;
  }

  /** Takes up a table from the cursor. */
  async #continue(state: TableState): Promise<void> {
    const folder = state.folder as RunFolder;
    // A state that says more than the file will hold in a moment must not be found later, after another crash.
    const kept = this.#store.read(folder);
    if (kept !== undefined && kept.position > state.position) await this.#store.write(state);
    if (!fs.existsSync(path.join(this.#options.root, folder))) {
      // Somebody has deleted the run: it comes back only if it is written again, and is then continued from here.
      await this.#store.write(state);
      return;
    }
    const table = new OpenTable(folder, state, this.#around);
    try {
      table.cutBack();
      this.#open.set(folder, table);
    } catch (error) {
      table.file.abandon();
      if (!(error instanceof ConfinementError)) throw error;
      // It leaves the cursor with the next commit, and is continued from here once its folder is one again.
      await this.#store.write(state);
      this.#refuse(folder, error);
    }
  }

  /** The state folder may have been removed while we ran: without these, the file would be taken for another's, and left with what is not committed. */
  #keepFound(): void {
    try {
      for (const [folder, state] of this.#found) if (!this.#store.has(folder)) this.#store.writeSync(state);
    } catch (error) {
      this.#context.logger.error('how a table was found cannot be kept: values may be written twice', {
        error,
      });
    }
    this.#found.clear();
  }

  #refuse(folder: RunFolder, error: ConfinementError): void {
    this.#refused.add(folder);
    this.#context.logger.error(`the run is not written: ${error.message}`, { folder });
  }

  #leftOut(reason: string, amount: number): void {
    if (amount > 0) this.#context.instruments.count(LEFT_OUT_METRIC, amount, { reason });
  }

  /** Descriptors are what a process has fewest of: the least recently used tables close theirs. */
  #limitFiles(): void {
    if (this.#open.size <= this.#options.maxOpenRuns) return;
    const open = [...this.#open.values()].filter(table => table.file.isOpen);
    for (const table of open.slice(0, Math.max(0, open.length - this.#options.maxOpenRuns)))
      table.closeFile();
  }

  async #evict(): Promise<void> {
    const idleBefore = Date.now() - IDLE_MS;
    const excess = this.#open.size - this.#options.maxOpenRuns;
    const leaving = [...this.#open.values()].filter(
      (table, i) => i < excess || table.lastUsedMs < idleBefore,
    );
    if (leaving.length === 0) return;
    await forEach(leaving, table => this.#store.write(table.state()));
    this.#store.sync();
    for (const table of leaving) {
      table.closeFile();
      this.#open.delete(table.folder);
    }
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

/** Writes a line for each point, in order of rows; returns how many points of refused runs there were. The companion gauge is no value. */
function writePoints(
  { columns, resolved, rows }: ScalarBatch,
  tableOf: (series: ResolvedSeries) => OpenTable | undefined,
  refused: ReadonlySet<RunFolder>,
): number {
  const plans = columns.series.map((series, i) => planOf(series, resolved[i]!, tableOf));
  const { seriesIndex, value, step: steps, timeUnixNano, bigValue } = columns;
  let left = 0;
  for (let i = 0; i < columns.count; i++) {
    const point = rows.points[i]!;
    const index = seriesIndex[point]!;
    const plan = plans[index];
    if (plan === undefined) {
      const { companion, run } = resolved[index]!;
      if (!companion && refused.has(run.folder)) left++;
      continue;
    }
    const own = steps[point]!;
    const step = Number.isNaN(own) ? plan.table.steps.next(plan.counter) : own;
    const number = bigValue?.get(point) ?? value[point]!;
    plan.table.file.append(
      `${unixSeconds(timeUnixNano[point]!)},${numberCell(step)},${plan.cells},${numberCell(number)}${LINE_END}`,
    );
  }
  return left;
}

/** Scope, mode and metric are the same for all points of a series. */
function planOf(
  series: Series,
  resolved: ResolvedSeries,
  tableOf: (series: ResolvedSeries) => OpenTable | undefined,
): { readonly table: OpenTable; readonly cells: string; readonly counter: string } | undefined {
  if (resolved.companion) return undefined;
  const table = tableOf(resolved);
  if (table === undefined) return undefined;
  const { scope, mode, run } = resolved;
  const name = fullName(GLOBAL_SCOPE, mode, series.name, series.attributes);
  const metric = run.rank > 0 ? `${name}/rank=${run.rank}` : name;
  const cells = [scope, mode, metric].map(textCell).join(',');
  // Each process counts for itself, as in jsonl.
  return { table, cells, counter: `${run.instance} ${run.attempt} ${cells}` };
}

function makeRoot(root: string): void {
  try {
    fs.mkdirSync(root, { recursive: true });
  } catch (error) {
    const found = fs.statSync(root, { throwIfNoEntry: false });
    if (found === undefined || found.isDirectory()) throw error;
    throw new Error(`${root}: is not a folder; name another one in the csv exporter's directory`, {
      cause: error,
    });
  }
}
