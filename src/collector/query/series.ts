// One series: sealed blocks in order of step, a tail in memory behind them, and points that came late, until they are merged.
import type { BlockColumns, BlockFile } from './block-file.ts';
import {
  ATTEMPTS,
  BlockTable,
  COUNT,
  FIRST_STEP,
  FIRST_TIME,
  highestAttempt,
  LAST_STEP,
  LAST_TIME,
  lowestAttempt,
  SLOT,
  STRIDE,
} from './block-table.ts';
import { BLOCK_POINTS, MAX_LATE_POINTS, TAIL_POINTS } from './limits.ts';
import { SortedPoints } from './points.ts';

/** About what a series costs in memory beside its points. */
const SERIES_BYTES = 1_000;
const TAIL_BYTES_PER_POINT = 26;

/** Some points in order of step: a block, or the tail. To be read before the series changes. */
export interface Page extends BlockColumns {
  readonly count: number;
}

export class Series {
  readonly name: string;
  readonly file: BlockFile;
  blocks = new BlockTable();
  readonly tail = new SortedPoints();
  late: SortedPoints | undefined;
  /** Every step so far was an integer. */
  integral = true;
  #sealedStep = Number.NEGATIVE_INFINITY;

  constructor(name: string, file: BlockFile) {
    this.name = name;
    this.file = file;
  }

  put(step: number, time: number, value: number, attempt: number): void {
    if (this.integral && !Number.isInteger(step)) this.integral = false;

    if (step <= this.#sealedStep) {
      this.late ??= new SortedPoints();
      this.late.put(step, time, value, attempt);
      if (this.late.count >= MAX_LATE_POINTS) this.merge();
      return;
    }
    this.tail.put(step, time, value, attempt);
    if (this.tail.count >= TAIL_POINTS) this.#seal();
  }

  /** Puts late points into their blocks. Only blocks that they belong to are read and written. */
  merge(): void {
    const { late, blocks, file } = this;
    if (late === undefined || late.count === 0) return;
    this.late = undefined;
    const merged = new BlockTable();
    const points = new SortedPoints();
    let kept = 0;
    for (let i = 0; i < late.count; ) {
      // All late points lie at or before the end of the last block.
      const block = blocks.find(late.steps[i]!);
      const lastStep = blocks.get(block, LAST_STEP);
      merged.copyFrom(blocks, kept, block);
      this.#load(block, points);
      for (; i < late.count && late.steps[i]! <= lastStep; i++)
        points.put(late.steps[i]!, late.times[i]!, late.values[i]!, late.attempts[i]!);
      const pieces = Math.ceil(points.count / BLOCK_POINTS);
      const size = Math.ceil(points.count / pieces);
      for (let from = 0; from < points.count; from += size) {
        const to = Math.min(points.count, from + size);
        merged.add(file.write(points, from, to), points, from, to);
      }
      file.release(blocks.get(block, SLOT));
      kept = block + 1;
    }
    merged.copyFrom(blocks, kept, blocks.count);
    this.blocks = merged;
  }

  /** Takes away what attempts below `attempt` wrote from `fromStep` on. */
  supersede(attempt: number, fromStep: number): void {
    this.merge();
    this.tail.supersede(attempt, fromStep);
    const { blocks, file } = this;
    const first = blocks.find(fromStep);
    let touched = false;
    for (let i = first; i < blocks.count && !touched; i++)
      touched = lowestAttempt(blocks.get(i, ATTEMPTS)) < attempt;
    if (!touched) return;
    const kept = new BlockTable();
    const points = new SortedPoints();
    kept.copyFrom(blocks, 0, first);
    for (let i = first; i < blocks.count; i++) {
      const attempts = blocks.get(i, ATTEMPTS);
      if (lowestAttempt(attempts) >= attempt) {
        kept.copyFrom(blocks, i, i + 1);
        continue;
      }
      file.release(blocks.get(i, SLOT));
      if (highestAttempt(attempts) < attempt && blocks.get(i, FIRST_STEP) >= fromStep) continue;
      this.#load(i, points);
      points.supersede(attempt, fromStep);
      if (points.count > 0) kept.add(file.write(points, 0, points.count), points, 0, points.count);
    }
    this.blocks = kept;
    this.#sealed();
  }

  /** Points in it. Late ones are merged first, so that none counts twice. */
  get count(): number {
    this.merge();
    let count = this.tail.count;
    for (let i = 0; i < this.blocks.count; i++) count += this.blocks.get(i, COUNT);
    return count;
  }

  /** Lowest and highest step; undefined without points. */
  get steps(): readonly [number, number] | undefined {
    this.merge();
    const { blocks, tail } = this;
    if (blocks.count === 0 && tail.count === 0) return undefined;
    const first = blocks.count > 0 ? blocks.get(0, FIRST_STEP) : tail.steps[0]!;
    const last = tail.count > 0 ? tail.steps[tail.count - 1]! : blocks.get(blocks.count - 1, LAST_STEP);
    return [first, last];
  }

  /** Lowest and highest time in Unix seconds; undefined without points. */
  get times(): readonly [number, number] | undefined {
    this.merge();
    let first = Number.POSITIVE_INFINITY;
    let last = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < this.blocks.count; i++) {
      first = Math.min(first, this.blocks.get(i, FIRST_TIME));
      last = Math.max(last, this.blocks.get(i, LAST_TIME));
    }
    for (let i = 0; i < this.tail.count; i++) {
      first = Math.min(first, this.tail.times[i]!);
      last = Math.max(last, this.tail.times[i]!);
    }
    return first <= last ? [first, last] : undefined;
  }

  /** How many steps lie between the beginnings of the first two blocks; 0 without such. */
  get blockSpan(): number {
    this.merge();
    return this.blocks.count < 2 ? 0 : this.blocks.get(1, FIRST_STEP) - this.blocks.get(0, FIRST_STEP);
  }

  /** All points in order of step. */
  *pages(): Generator<Page> {
    this.merge();
    const { blocks, tail, file } = this;
    for (let i = 0; i < blocks.count; i++)
      yield { ...file.read(blocks.get(i, SLOT)), count: blocks.get(i, COUNT) };
    if (tail.count > 0) yield tail;
  }

  /** About what it takes in memory. */
  get bytes(): number {
    const points = this.tail.steps.length + (this.late?.steps.length ?? 0);
    return SERIES_BYTES + this.name.length * 2 + points * TAIL_BYTES_PER_POINT + this.blocks.data.length * 8;
  }

  /** After blocks were put in from outside. */
  restored(): void {
    this.#sealed();
  }

  #seal(): void {
    const { tail, file, blocks } = this;
    blocks.add(file.write(tail, 0, BLOCK_POINTS), tail, 0, BLOCK_POINTS);
    tail.shift(BLOCK_POINTS);
    this.#sealed();
  }

  #sealed(): void {
    const { blocks } = this;
    this.#sealedStep =
      blocks.count === 0 ? Number.NEGATIVE_INFINITY : blocks.data[(blocks.count - 1) * STRIDE + LAST_STEP]!;
  }

  #load(block: number, points: SortedPoints): void {
    const columns = this.file.read(this.blocks.get(block, SLOT));
    const count = this.blocks.get(block, COUNT);
    points.resize(count);
    points.steps.set(columns.steps.subarray(0, count));
    points.times.set(columns.times.subarray(0, count));
    points.values.set(columns.values.subarray(0, count));
    points.attempts.set(columns.attempts.subarray(0, count));
  }
}
