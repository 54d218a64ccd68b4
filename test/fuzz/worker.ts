// The thread that fuzzes one target until its time is up. What it is trying stands in shared memory, so that a hang or a crash of the
// whole thread leaves its input behind.
import { parentPort, workerData } from 'node:worker_threads';
import { Random } from '../chaos/random.ts';
import { Coverage } from './coverage.ts';
import { mutate } from './mutate.ts';
import { shrink } from './shrink.ts';
import { targetOf } from './targets.ts';
import { type FuzzReport, type FuzzTask, HEADER_WORDS, WORD } from './task.ts';

/** Inputs between two looks at the coverage, which takes a millisecond. */
const BATCH = 64;
/** Every so many batches each input is looked at by itself: how often a loop ran shows only then. */
const CLOSE_LOOK = 16;

const task = workerData as FuzzTask;
const words = new Int32Array(task.shared, 0, HEADER_WORDS);
const current = new Uint8Array(task.shared, HEADER_WORDS * 4);
const random = new Random(task.seed);
const coverage = new Coverage();
const target = await targetOf(task.target);
const dictionary = target.words.map(word => (typeof word === 'string' ? Buffer.from(word) : word));
const pool: Uint8Array[] = [];
const found: Uint8Array[] = [];
const known = new Set<string>();
let runs = 0;

/** The error of an input that breaks the law. */
async function attempt(bytes: Uint8Array): Promise<Error | undefined> {
  current.set(bytes.subarray(0, current.length));
  Atomics.store(words, WORD.length, bytes.length);
  Atomics.add(words, WORD.runs, 1);
  runs++;
  try {
    await target.run(bytes);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function keep(bytes: Uint8Array, isNew: boolean): void {
  const key = Buffer.from(bytes).toString('base64');
  if (known.has(key)) return;
  known.add(key);
  pool.push(bytes);
  if (isNew) found.push(bytes);
}

async function main(): Promise<FuzzReport> {
  for (const bytes of [new Uint8Array(0), ...target.seeds(), ...task.corpus]) {
    const start = bytes.subarray(0, target.maxBytes);
    const error = await attempt(start);
    if (error !== undefined) return failed(start, error);
    keep(start, false);
  }
  coverage.isNew(target.covers);
  for (let round = 1; !isOver(); round++) {
    const batch = Array.from({ length: BATCH }, () => {
      // What was found last is nearest to new ground.
      const recent = pool.length - 1 - Math.floor(random.next() ** 3 * pool.length);
      return mutate(random, pool[recent]!, random.pick(pool), dictionary, target.maxBytes);
    });
    for (const bytes of batch) {
      const error = await attempt(bytes);
      if (error !== undefined) return failed(bytes, error);
    }
    if (!coverage.isNewTogether(target.covers) && round % CLOSE_LOOK !== 0) continue;
    for (const bytes of batch) {
      await attempt(bytes);
      if (coverage.isNew(target.covers)) keep(bytes, true);
    }
  }
  return { kind: 'done', runs, pool: pool.length, branches: coverage.size, found };
}

function isOver(): boolean {
  return performance.timeOrigin + performance.now() >= task.endUnixMs || runs >= task.maxRuns;
}

async function failed(bytes: Uint8Array, error: Error): Promise<FuzzReport> {
  const same = (other: Error | undefined) => other !== undefined && sameKind(other, error);
  const smallest = await shrink(bytes, async smaller => same(await attempt(smaller)));
  return {
    kind: 'finding',
    runs,
    bytes: smallest,
    error: `${error.name}: ${error.message}`,
    stack: error.stack ?? '',
  };
}

function sameKind(a: Error, b: Error): boolean {
  const place = (error: Error) => /\n\s+at .*/.exec(error.stack ?? '')?.[0];
  return a.name === b.name && place(a) === place(b);
}

parentPort?.postMessage(await main());
