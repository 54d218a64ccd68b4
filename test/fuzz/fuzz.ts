// Runs the fuzzing thread of a target and watches it: a hang, memory without end and a thread that dies are findings too.
import { Worker } from 'node:worker_threads';
import { type FuzzReport, type FuzzTask, HEADER_WORDS, WORD } from './task.ts';

export interface FuzzOptions {
  readonly target: string;
  readonly seed: number;
  readonly forMs: number;
  readonly maxRuns?: number;
  readonly corpus?: readonly Uint8Array[];
  /** One input may take this long; a law that takes longer hangs. */
  readonly hangMs?: number;
}

/** Longest input of any target. */
const MAX_INPUT_BYTES = 64 * 1024;
const HANG_MS = 30_000;
const LOOK_INTERVAL_MS = 200;
/** What no input of MAX_INPUT_BYTES can need. */
const MEMORY = { maxOldGenerationSizeMb: 1_024, maxYoungGenerationSizeMb: 64 };

/** Rejects where nothing could be tried at all. */
export function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const shared = new SharedArrayBuffer(HEADER_WORDS * 4 + MAX_INPUT_BYTES);
  const words = new Int32Array(shared, 0, HEADER_WORDS);
  const task: FuzzTask = {
    target: options.target,
    seed: options.seed,
    endUnixMs: Date.now() + options.forMs,
    maxRuns: options.maxRuns ?? Infinity,
    corpus: options.corpus ?? [],
    shared,
  };
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: task,
      resourceLimits: MEMORY,
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    const runs = () => Atomics.load(words, WORD.runs);
    const done = (report: FuzzReport): void => {
      clearInterval(timer);
      resolve(report);
      void worker.terminate();
    };
    const lost = (error: string): void => {
      if (runs() === 0) {
        clearInterval(timer);
        reject(new Error(`the target ${options.target} cannot be fuzzed: ${error}`));
        return;
      }
      const length = Math.min(Atomics.load(words, WORD.length), MAX_INPUT_BYTES);
      const bytes = Uint8Array.from(new Uint8Array(shared, HEADER_WORDS * 4, length));
      done({ kind: 'finding', runs: runs(), bytes, error, stack: '' });
    };
    let last = -1;
    let movedAt = performance.now();
    const timer = setInterval(() => {
      const now = runs();
      if (now !== last) movedAt = performance.now();
      last = now;
      const limit = options.hangMs ?? HANG_MS;
      if (now > 0 && performance.now() - movedAt > limit) lost(`hangs: no end after ${limit} ms`);
    }, LOOK_INTERVAL_MS);
    worker.once('message', done);
    worker.once('error', error => lost(`the thread died: ${error.message}`));
    worker.once('exit', code => lost(`the thread ended with code ${code}`));
  });
}
