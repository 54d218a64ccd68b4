// The worker's side of media: hands jobs to the media thread, which is started by the first, and takes its records as delivery allows.
import { Worker } from 'node:worker_threads';
import type { FromThread, ToThread } from './messages.ts';
import type { SpilledJob } from './spill.ts';

/** A thread that failed (no memory, say) is started again so often in the life of a process. */
const MAX_STARTS = 5;
/** What the thread has at once: one job, or small ones of some 10 ms together. The others wait here, where they can be kept. */
const HANDED_OVER_BYTES = 256 * 1024;
/** A job that waits for so long is kept on disk; so is one of so many bytes when it is handed over, since that takes long. */
const SPILL_AFTER_MS = 150;
const SPILL_BYTES = 2 * 1024 * 1024;
/** Written without a break: the loop that calls has other work too. */
const SPILL_AT_ONCE_BYTES = 4 * 1024 * 1024;
/** A kept job goes from the disk this long after its last record has gone: by then that is delivered or in the spool. */
const DROP_AFTER_MS = 500;
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
  /** Where jobs are kept that are not encoded soon; without it none are. */
  readonly spill?: SpillPlace;
}

/** The part of `Spill` that is used here. */
export interface SpillPlace {
  keep(number: number, job: Omit<SpilledJob, 'resourceBytes' | 'scopeBytes'>, scope: number): boolean;
  has(number: number): boolean;
  drop(number: number): void;
}

interface OpenJob {
  readonly scope: number;
  readonly bytes: number;
  readonly sinceMs: number;
  /** Until it is handed over. */
  packed: Uint8Array | undefined;
  /** It was too large to be kept, or the disk did not take it. */
  unkept: boolean;
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
  /** Numbers of the jobs that wait for the thread, oldest first. */
  private readonly waiting: number[] = [];
  private handedOver = 0;
  private handedOverBytes = 0;
  /** The last job that was kept because it waited, or could not be. */
  private lookedAt = 0;
  /** Done, and still on disk. */
  private readonly kept = new Set<number>();
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
    this.jobs.set(number, {
      scope,
      bytes: packed.length,
      sinceMs: performance.now(),
      packed,
      unkept: false,
    });
    this.waiting.push(number);
    this.handOver();
  }

  /** A log record that goes when everything that is under way now has gone. */
  addLast(scope: number, bytes: Uint8Array): void {
    if (this.idle) this.options.record(scope, bytes, 1);
    else this.held.push({ after: this.numbers, scope, bytes });
  }

  /** To be called often: takes what delivery has room for, and keeps what waits for long. */
  pump(): void {
    this.take();
    const nowMs = performance.now();
    let written = 0;
    // Numbers that wait have no gaps.
    const first = this.waiting[0];
    if (first === undefined) return;
    for (let i = Math.max(0, this.lookedAt + 1 - first); i < this.waiting.length; i++) {
      const number = this.waiting[i]!;
      const job = this.jobs.get(number)!;
      if (nowMs - job.sinceMs < SPILL_AFTER_MS) return;
      this.lookedAt = number;
      if (this.keep(number, job)) written += job.bytes;
      if (written >= SPILL_AT_ONCE_BYTES) return;
    }
  }

  /** Keeps on disk all that wait. Returns how many of the jobs under way are there then. */
  keepAll(): number {
    let kept = 0;
    for (const [number, job] of this.jobs) {
      this.keep(number, job);
      if (this.options.spill?.has(number)) kept++;
    }
    return kept;
  }

  /** Everything that came from done jobs is delivered or in the spool: nothing of them need be kept. */
  dropKept(): void {
    for (const number of this.kept) this.options.spill?.drop(number);
    this.kept.clear();
  }

  /** True when that wrote a file. */
  private keep(number: number, job: OpenJob): boolean {
    const { spill } = this.options;
    if (spill === undefined || job.packed === undefined || job.unkept || spill.has(number)) return false;
    const kept = spill.keep(number, { packed: job.packed }, job.scope);
    job.unkept = !kept;
    return kept;
  }

  private take(): void {
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

  private handOver(): void {
    for (let number = this.waiting[0]; number !== undefined; number = this.waiting[0]) {
      const job = this.jobs.get(number)!;
      if (this.handedOver > 0 && this.handedOverBytes + job.bytes > HANDED_OVER_BYTES) return;
      this.waiting.shift();
      if (job.bytes >= SPILL_BYTES) this.keep(number, job);
      const packed = job.packed!;
      job.packed = undefined;
      this.handedOver++;
      this.handedOverBytes += job.bytes;
      const thread = this.thread ?? this.start();
      if (thread === undefined) {
        this.waiting.length = 0;
        this.lose([...this.jobs.keys()]);
        return;
      }
      const message: ToThread = { kind: 'job', number, run: this.options.runOf(job.scope), packed };
      thread.postMessage(message, [packed.buffer as ArrayBuffer]);
    }
  }

  private end(number: number, job: OpenJob, failed: boolean): void {
    this.jobs.delete(number);
    if (job.packed === undefined) {
      this.handedOver--;
      this.handedOverBytes -= job.bytes;
    }
    if (this.options.spill?.has(number)) {
      this.kept.add(number);
      setTimeout(() => {
        this.options.spill?.drop(number);
        this.kept.delete(number);
      }, DROP_AFTER_MS).unref();
    }
    this.options.freed(job.bytes);
    if (failed) this.options.failed(1);
    const oldest = this.jobs.keys().next().value ?? Number.POSITIVE_INFINITY;
    while (this.held.length > 0 && this.held[0]!.after < oldest) {
      const { scope, bytes } = this.held.shift()!;
      this.options.record(scope, bytes, 1);
    }
    if (!this.idle) this.handOver();
    else for (const waiter of this.waiters.splice(0)) waiter();
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
        this.take();
      }
    });
    thread.on('error', error => {
      this.thread = undefined;
      this.tell('thread', `the media thread failed: ${messageOf(error)}`);
      this.lose([...this.jobs].filter(([, job]) => job.packed === undefined).map(([number]) => number));
    });
    // Last of all: a listener for messages keeps the process alive again.
    thread.unref();
    this.thread = thread;
    return thread;
  }

  /** What the thread had is gone. */
  private lose(numbers: readonly number[]): void {
    this.arrived.length = 0;
    for (const number of numbers) this.end(number, this.jobs.get(number)!, true);
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
