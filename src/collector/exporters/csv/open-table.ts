// The table of one run that is being written: its file, what it was continued from, and the counts of points without steps.
import fs from 'node:fs';
import { confinedCreate } from '../../runs/confined.ts';
import type { Run, RunFolder } from '../../runs/run.ts';
import { StepCounter, type StepCounts } from '../../runs/step-counter.ts';
import { AppendFile, type BufferBudget, type FileState, keepCopy, NEW_FILE } from '../jsonl/append-file.ts';
import { LOGS_FOLDER } from '../jsonl/open-run.ts';
import { FORMAT } from '../jsonl/run-record.ts';
import type { KeptState } from '../jsonl/state-store.ts';
import { LONG_COLUMNS, line } from './cells.ts';

export { FORMAT };

/** Names tried for a file that nobody else has. */
const MAX_PARTS = 10_000;
const HEADER = line(LONG_COLUMNS);

/** What a table is continued from: in the cursor while it is open, in the state directory afterwards. */
export interface TableState extends KeptState {
  /** Empty, or what stands between `metrics` and `.csv` when somebody else has the plain name. */
  readonly part: string;
  /** Journal position behind the last batch that is in here, and the latest received time (Unix ns) of one. */
  readonly position: number;
  readonly received: string;
  readonly file: FileState;
  readonly counts: StepCounts;
}

/** What the tables of one exporter share. */
export interface TableSurroundings {
  /** The folder that holds the run folders; absolute. */
  readonly root: string;
  readonly writer: string;
  readonly budget: BufferBudget;
  /** Told when committed bytes are gone. */
  missing(file: AppendFile, bytes: number, removed: boolean): void;
}

export class OpenTable {
  readonly folder: RunFolder;
  readonly file: AppendFile;
  readonly steps: StepCounter;
  /** Something changed since the last commit. */
  dirty = false;
  /** When something of it was last written, by the clock; only for eviction. */
  lastUsedMs = Date.now();
  readonly #part: string;
  #position: number;
  #received: bigint;

  constructor(folder: RunFolder, state: TableState, around: TableSurroundings) {
    this.folder = folder;
    this.#part = state.part;
    this.#position = state.position;
    this.#received = BigInt(state.received);
    this.steps = new StepCounter(state.counts);
    this.file = new AppendFile(
      around.root,
      [folder, LOGS_FOLDER, fileName(state.part)],
      state.file,
      around.budget,
      around.missing,
      HEADER,
    );
  }

  /** True for a batch that is in here already: the journal is read again from an older place. */
  has(position: number, receivedUnixNano: bigint): boolean {
    // The received time too: after the journal was replaced by a new one, positions begin again, time does not.
    return position < this.#position && receivedUnixNano <= this.#received;
  }

  took(next: number, receivedUnixNano: bigint): void {
    this.#position = next;
    if (receivedUnixNano > this.#received) this.#received = receivedUnixNano;
    this.dirty = true;
    this.lastUsedMs = Date.now();
  }

  /** Cuts the file back to what was committed. An empty file is not made. */
  cutBack(): void {
    if (this.file.state.length > 0 || fs.existsSync(this.file.path)) this.file.open();
  }

  /** Before `cutBack`, when the cursor was lost: what would be cut may be in the journal no more. Returns the copy's name. */
  setAside(): string | undefined {
    const found = fs.lstatSync(this.file.path, { throwIfNoEntry: false });
    if (found?.isFile() !== true || found.size <= this.file.state.length) return undefined;
    return keepCopy(this.file.path);
  }

  closeFile(): void {
    this.file.flush();
    this.file.release();
    this.file.close();
  }

  /** Of this moment. Call after `flush`. */
  state(): TableState {
    return {
      format: FORMAT,
      folder: this.folder,
      part: this.#part,
      position: this.#position,
      received: this.#received.toString(),
      file: this.file.state,
      counts: this.steps.snapshot(),
    };
  }
}

/**
 * The state that a run begins with of which none is known. The name `metrics.csv` belongs to whoever makes the file: a second
 * writer, or one whose memory was removed, writes `metrics.<writer>.csv` beside it and appends to nothing that it does not know.
 */
export function firstState(run: Run, position: number, around: TableSurroundings): TableState {
  const { folder } = run;
  let part = '';
  for (let n = 1; !confinedCreate(around.root, folder, LOGS_FOLDER, fileName(part)); n++) {
    if (n > MAX_PARTS) throw new Error(`${folder}: has ${MAX_PARTS} files of ${around.writer}; remove some`);
    part = n === 1 ? `.${around.writer}` : `.${around.writer}-${n}`;
  }
  return { format: FORMAT, folder, part, position, received: '0', file: NEW_FILE, counts: [] };
}

function fileName(part: string): string {
  return `metrics${part}.csv`;
}
