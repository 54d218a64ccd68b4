// Compares passwords: fast formats at once, slow ones on a thread, one after the other, and what was right is remembered.
import { createHmac, randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { CompareAnswer, CompareRequest } from './compare-worker.ts';
import { type Kept, matchesFast } from './htpasswd.ts';

/** Comparisons that wait; each takes up to some 100 ms, so who is further back would have given up. */
export const MAX_WAITING = 64;
/** Right passwords that are remembered: senders show theirs with every request. */
const MAX_REMEMBERED = 1_024;

export class Comparer {
  /** Of this process only: what is remembered is of no use to anybody else. */
  readonly #key = randomBytes(32);
  readonly #right = new Set<string>();
  readonly #waiting = new Map<number, (same: boolean) => void>();
  #worker: Worker | undefined;
  #lastId = 0;

  /** `busy` when too many wait already. */
  compare(user: string, password: string, kept: Kept): boolean | 'busy' | Promise<boolean> {
    if (!kept.slow) return matchesFast(password, kept);
    const remembered = createHmac('sha256', this.#key)
      .update(JSON.stringify([user, password, kept.text]))
      .digest('base64');
    if (this.#right.has(remembered)) return true;
    if (this.#waiting.size >= MAX_WAITING) return 'busy';
    return this.#ask(password, kept.text).then(same => {
      if (same) this.#remember(remembered);
      return same;
    });
  }

  async stop(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    this.#giveUp();
    await worker?.terminate();
  }

  #ask(password: string, kept: string): Promise<boolean> {
    this.#worker ??= this.#start();
    const id = ++this.#lastId;
    return new Promise(resolve => {
      this.#waiting.set(id, resolve);
      this.#worker?.postMessage({ id, password, kept } satisfies CompareRequest);
    });
  }

  #start(): Worker {
    const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
    const worker = new Worker(new URL(`./compare-worker${extension}`, import.meta.url), { execArgv: [] });
    worker.unref();
    worker.on('message', ({ id, same }: CompareAnswer) => {
      this.#waiting.get(id)?.(same);
      this.#waiting.delete(id);
    });
    // Without an answer nobody is let in; the next comparison starts another thread.
    const lost = (): void => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      this.#giveUp();
    };
    worker.on('error', lost);
    worker.on('exit', lost);
    return worker;
  }

  #giveUp(): void {
    for (const resolve of this.#waiting.values()) resolve(false);
    this.#waiting.clear();
  }

  #remember(right: string): void {
    if (this.#right.size >= MAX_REMEMBERED) this.#right.clear();
    this.#right.add(right);
  }
}
