// The worker's side of media: hands jobs to the media thread, which is started by the first, and takes its records as delivery allows.
import { Worker } from 'node:worker_threads';
import type { FromThread, ToThread } from './messages.ts';

/** A thread that failed (no memory, say) is started again so often in the life of a process. */
const MAX_STARTS = 5;
/** Lines for people that are printed; further ones are not. */
const MAX_TOLD = 50;

export interface MediaOptions {
  /** Which run a scope belongs to. */
  readonly runOf: (scope: number) => number;
  /** A finished log record. */
  readonly record: (scope: number, bytes: Uint8Array, items: number) => void;
  /** Whether delivery takes more now; of what can be read again later it takes less. */
  readonly hasRoom: (streamed: boolean) => boolean;
  /** Raw bytes that are held no longer. */
  readonly freed: (bytes: number) => void;
  readonly failed: (items: number) => void;
  readonly tell: (line: string) => void;
}

interface OpenJob {
  readonly scope: number;
  readonly bytes: number;
}

export class MediaQueue {
  private readonly options: MediaOptions;
  /** Of files, passed on so far. */
  streamedBytes = 0;
  private thread: Worker | undefined;
  private starts = 0;
  private numbers = 0;
  /** By number, oldest first. */
  private readonly jobs = new Map<number, OpenJob>();
  private readonly arrived: Exclude<FromThread, { kind: 'tell' }>[] = [];
  /** Log records that must not overtake the jobs before them. */
  private readonly held: { after: number; scope: number; bytes: Uint8Array }[] = [];
  private readonly told = new Set<string>();
  private waiters: (() => void)[] = [];

  constructor(options: MediaOptions) {
    this.options = options;
  }

  /** Nothing is under way. */
  get idle(): boolean {
    return this.jobs.size === 0;
  }

  /** Jobs under way. */
  get open(): number {
    return this.jobs.size;
  }

  /** @param packed see `packJob`; its memory is given away */
  add(scope: number, packed: Uint8Array): void {
    const number = ++this.numbers;
    this.jobs.set(number, { scope, bytes: packed.length });
    const thread = this.thread ?? this.start();
    if (thread === undefined) {
      this.lose();
      return;
    }
    const message: ToThread = { kind: 'job', number, run: this.options.runOf(scope), packed };
    thread.postMessage(message, [packed.buffer as ArrayBuffer]);
  }

  /** A log record that goes when everything that is under way now has gone. */
  addLast(scope: number, bytes: Uint8Array): void {
    if (this.idle) this.options.record(scope, bytes, 1);
    else this.held.push({ after: this.numbers, scope, bytes });
  }

  /** To be called often: takes what delivery has room for. */
  pump(): void {
    for (let next = this.arrived[0]; next !== undefined; next = this.arrived[0]) {
      const job = this.jobs.get(next.number);
      if (next.kind === 'record' && job !== undefined) {
        if (!this.options.hasRoom(next.streamed)) return;
        this.options.record(job.scope, next.bytes, next.items);
        if (next.streamed) this.streamedBytes += next.bytes.length;
        const taken: ToThread = { kind: 'taken', bytes: next.bytes.length };
        this.thread?.postMessage(taken);
      } else if (next.kind === 'done' && job !== undefined) {
        this.end(next.number, job, next.failed);
      }
      this.arrived.shift();
    }
  }

  /** Resolves when nothing is under way; false at the deadline. */
  async settled(timeoutMs: number): Promise<boolean> {
    if (this.idle) return true;
    return new Promise(resolve => {
      const timer = setTimeout(() => resolve(this.idle), timeoutMs);
      this.waiters.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  /** Lets go of what waits for media: the process ends, and they do not. */
  release(): void {
    for (const { scope, bytes } of this.held.splice(0)) this.options.record(scope, bytes, 1);
  }

  private end(number: number, job: OpenJob, failed: boolean): void {
    this.jobs.delete(number);
    this.options.freed(job.bytes);
    if (failed) this.options.failed(1);
    const oldest = this.jobs.keys().next().value ?? Number.POSITIVE_INFINITY;
    while (this.held.length > 0 && this.held[0]!.after < oldest) {
      const { scope, bytes } = this.held.shift()!;
      this.options.record(scope, bytes, 1);
    }
    if (!this.idle) return;
    for (const waiter of this.waiters.splice(0)) waiter();
  }

  private start(): Worker | undefined {
    if (this.starts++ >= MAX_STARTS) return undefined;
    const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
    let thread: Worker;
    try {
      thread = new Worker(new URL(`./thread${extension}`, import.meta.url), {
        name: 'kymo-media',
        execArgv: [],
      });
    } catch (error) {
      this.tell('thread', `the media thread cannot be started: ${messageOf(error)}`);
      return undefined;
    }
    thread.on('message', (message: FromThread) => {
      if (message.kind === 'tell') this.tell(message.key, message.line);
      else {
        this.arrived.push(message);
        this.pump();
      }
    });
    thread.on('error', error => {
      this.thread = undefined;
      this.tell('thread', `the media thread failed: ${messageOf(error)}`);
      this.lose();
    });
    // Last of all: a listener for messages keeps the process alive again.
    thread.unref();
    this.thread = thread;
    return thread;
  }

  /** What the thread had is gone. */
  private lose(): void {
    this.arrived.length = 0;
    for (const [number, job] of this.jobs) this.end(number, job, true);
  }

  private tell(key: string, line: string): void {
    if (this.told.has(key) || this.told.size >= MAX_TOLD) return;
    this.told.add(key);
    this.options.tell(line);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
