// Our end of the thread that answers queries: starts it, asks it, starts it again when it fails, and ends it.
import { Worker } from 'node:worker_threads';
import type { Logger } from '../../component.ts';
import type { Answer } from './answers.ts';
import {
  MAX_THREAD_STARTS,
  MAX_WAITING,
  QUERY_TIMEOUT_MS,
  THREAD_MAX_HEAP_MIB,
  THREAD_RESTART_MS,
} from './limits.ts';
import type { FromThread, ThreadStart, ToThread } from './query-worker.ts';

export type Asked = Answer | { readonly kind: 'busy' | 'late' | 'failed' };

/** Indexes are written while it ends; what is not is read again. */
const STOP_MS = 10_000;

export class QueryThread {
  readonly #start: ThreadStart;
  readonly #logger: Logger;
  readonly #waiting = new Map<number, (answer: Asked) => void>();
  #worker: Worker | undefined;
  #starts = 0;
  #asked = 0;
  #restart: NodeJS.Timeout | undefined;
  #stopping = false;
  #stopped: (() => void) | undefined;

  constructor(start: ThreadStart, logger: Logger) {
    this.#start = start;
    this.#logger = logger;
    this.#run();
  }

  /** Never rejects. */
  ask(url: string): Promise<Asked> {
    const worker = this.#worker;
    if (this.#waiting.size >= MAX_WAITING) return Promise.resolve({ kind: 'busy' });
    if (worker === undefined) return Promise.resolve({ kind: 'failed' });
    const id = this.#asked++;
    return new Promise(resolve => {
      const timer = setTimeout(() => settle({ kind: 'late' }), QUERY_TIMEOUT_MS);
      const settle = (answer: Asked): void => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve(answer);
      };
      this.#waiting.set(id, settle);
      const message: ToThread = { kind: 'ask', id, url };
      worker.postMessage(message);
    });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restart);
    const worker = this.#worker;
    if (worker === undefined) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>(resolve => {
      this.#stopped = resolve;
      timer = setTimeout(resolve, STOP_MS);
      const message: ToThread = { kind: 'stop' };
      worker.postMessage(message);
    });
    clearTimeout(timer);
    await worker.terminate();
  }

  #run(): void {
    if (this.#starts++ >= MAX_THREAD_STARTS) {
      this.#logger.error(
        `queries failed ${MAX_THREAD_STARTS} times and are not answered until the next start`,
      );
      return;
    }
    const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
    const worker = new Worker(new URL(`./query-worker${extension}`, import.meta.url), {
      name: 'kymo-query',
      execArgv: [],
      env: {},
      workerData: this.#start,
      resourceLimits: { maxOldGenerationSizeMb: THREAD_MAX_HEAP_MIB },
    });
    worker.on('message', (message: FromThread) => {
      if (message.kind === 'answer') this.#waiting.get(message.id)?.(message.answer);
      else if (message.kind === 'tell') this.#logger.warn(message.message, { reason: message.reason });
      else this.#stopped?.();
    });
    worker.on('error', error => this.#logger.error('the thread that answers queries failed', { error }));
    worker.once('exit', () => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      this.#stopped?.();
      for (const settle of [...this.#waiting.values()]) settle({ kind: 'failed' });
      if (!this.#stopping) this.#restart = setTimeout(() => this.#run(), THREAD_RESTART_MS);
    });
    this.#worker = worker;
  }
}
