// Times one kind of call in this process: the usual cost from blocks of calls, the tail from single calls less the cost of the clock.
import { percentile } from './report.ts';

const BLOCK = 1_000;

export interface CallFigures {
  /** ns per call: at full speed from blocks of 1,000 calls, in bursts; paced from single calls. */
  readonly p50: number;
  /** ns of single calls; at full speed those of one loop without a pause, so whatever holds the caller up is in them. */
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** Calls per second of that loop. */
  readonly perSecond: number;
}

export interface FullSpeed {
  readonly warmUp: number;
  /** Calls of the loop without a pause; half as many go before in bursts. */
  readonly calls: number;
  /** Calls that fit into the sender's buffer: the usual cost is that of a call that need not wait for others. */
  readonly burst: number;
  /** Waits until the sender's buffer is empty. */
  settle(): Promise<unknown>;
}

/** Calls as fast as they go. */
export async function timeAtFullSpeed(call: (i: number) => void, options: FullSpeed): Promise<CallFigures> {
  const { warmUp, calls, burst, settle } = options;
  let i = 0;
  while (i < warmUp) call(i++);
  const blocks = new Float64Array(Math.ceil(calls / 2 / BLOCK));
  for (let block = 0; block < blocks.length; block++) {
    if ((block * BLOCK) % burst === 0) await settle();
    const end = i + BLOCK;
    const before = performance.now();
    while (i < end) call(i++);
    blocks[block] = ((performance.now() - before) * 1e6) / BLOCK;
  }
  await settle();
  const singles = new Float64Array(calls);
  const start = performance.now();
  for (let single = 0; single < calls; single++) {
    const before = performance.now();
    call(i++);
    singles[single] = performance.now() - before;
  }
  const seconds = (performance.now() - start) / 1e3;
  return { ...tail(singles), p50: percentile(blocks.sort(), 0.5), perSecond: calls / seconds };
}

/** A call at each tick; in between this thread is busy, as a training loop is. */
export function timePaced(
  call: (i: number) => void,
  first: number,
  calls: number,
  perSecond: number,
): CallFigures {
  const singles = new Float64Array(calls);
  const start = performance.now();
  for (let single = 0; single < calls; single++) {
    const due = start + (single * 1e3) / perSecond;
    let before = performance.now();
    while (before < due) before = performance.now();
    call(first + single);
    singles[single] = performance.now() - before;
  }
  return { ...tail(singles), perSecond };
}

function tail(singlesMs: Float64Array): Omit<CallFigures, 'perSecond'> {
  const clock = clockNs();
  const sorted = singlesMs.sort();
  const at = (share: number) => Math.max(0, percentile(sorted, share) * 1e6 - clock);
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}

/** What reading the clock twice adds to a single call. */
function clockNs(): number {
  const pairs = new Float64Array(100_000);
  for (let i = 0; i < pairs.length; i++) {
    const before = performance.now();
    pairs[i] = performance.now() - before;
  }
  return percentile(pairs.sort(), 0.5) * 1e6;
}
