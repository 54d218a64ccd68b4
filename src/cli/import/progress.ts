// How far an import has come, durably: so that one that was interrupted goes on, and sends nothing twice.
import { createHash, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { bindLocalEndpoint, localEndpoint } from '../../collector/local-endpoint.ts';
import { confinedReplaceSync, syncFolder } from '../../collector/runs/confined.ts';
import type { Signal } from '../../otlp/model.ts';
import { collectorKey } from '../../semconv/local.ts';
import { type Carry, newCarry, type Skipped } from './lines.ts';

const FORMAT = 1;
/** Progress of a source with thousands of files is far smaller. */
const MAX_BYTES = 16 * 1024 * 1024;
const FOLDER = 'imports';

/** What is being sent: noted before its first request, so that after a crash the same bytes go out under the same numbers. */
export interface Pending {
  /** Key of the file; empty for the end of the run. */
  readonly file: string;
  readonly from: number;
  readonly to: number;
  /** Of the bytes in between: they must not have changed. */
  readonly sha256: string;
}

export interface Progress {
  readonly format: typeof FORMAT;
  readonly source: string;
  readonly run: string;
  readonly target: string;
  /** Names the sender in batch keys. */
  readonly sender: string;
  readonly carry: Carry;
  /** Offset behind what was delivered, by file. */
  readonly offsets: Record<string, number>;
  /** Requests delivered, by signal: batch numbers go on from here. */
  readonly sent: Record<Signal, number>;
  readonly counts: Record<string, number>;
  readonly skipped: Skipped;
  /** The run's finish is delivered and nothing came after it. */
  readonly finished: boolean;
  readonly pending: Pending | undefined;
}

/** One import's progress: (source, run, target). */
export class ProgressFile {
  readonly #folder: string;
  readonly #name: string;
  readonly #source: string;
  readonly #run: string;
  #lock: net.Server | undefined;

  /** @param root the machine's part of `.kymo` */
  constructor(root: string, source: string, run: string, target: string) {
    this.#source = source;
    this.#run = run;
    this.#folder = join(root, FOLDER);
    const hash = createHash('sha256')
      .update(JSON.stringify([source, run, target]))
      .digest('hex');
    this.#name = `${hash.slice(0, 32)}.json`;
  }

  get path(): string {
    return join(this.#folder, this.#name);
  }

  /** Takes the import for this process, until it ends in whatever way. Throws when another one is at it. */
  async lock(): Promise<void> {
    fs.mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const server = net.createServer(socket => socket.destroy());
    const taken = await bindLocalEndpoint(server, localEndpoint(`import-${collectorKey(this.path)}`));
    if (taken === 'taken')
      throw new Error(`another process is importing ${this.#source} as ${this.#run} already`);
    server.unref();
    this.#lock = server;
  }

  async unlock(): Promise<void> {
    const server = this.#lock;
    this.#lock = undefined;
    if (server !== undefined) await new Promise<void>(resolve => server.close(() => resolve()));
  }

  read(): Progress | undefined {
    const text = readText(this.path);
    if (text === undefined) return undefined;
    let progress: Progress | undefined;
    try {
      progress = JSON.parse(text) as Progress;
    } catch {
      // Said below.
    }
    if (progress?.format !== FORMAT)
      throw new Error(
        `${this.path} cannot be read (damaged, or of another version); remove it to import from the beginning, under another --run`,
      );
    // Keys of these may be anything.
    Object.setPrototypeOf(progress.carry.plugins, null);
    return progress;
  }

  /** Durable when it returns. */
  write(progress: Progress): void {
    confinedReplaceSync(this.#folder, [this.#name], JSON.stringify(progress));
    syncFolder(this.#folder);
  }
}

export function newProgress(source: string, run: string, target: string, baseSeconds: number): Progress {
  return {
    format: FORMAT,
    source,
    run,
    target,
    sender: randomUUID(),
    carry: newCarry(baseSeconds),
    offsets: {},
    sent: { metrics: 0, logs: 0, traces: 0 },
    counts: {},
    skipped: { lines: 0, values: 0, others: 0 },
    finished: false,
    pending: undefined,
  };
}

function readText(path: string): string | undefined {
  try {
    if (fs.statSync(path).size > MAX_BYTES) throw new Error(`${path} is larger than ${MAX_BYTES} bytes`);
    return fs.readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
