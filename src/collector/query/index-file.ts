// The file that says what a run's column file holds and up to where its metrics files were read: replaced as a whole, with a checksum.
import fs from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { errorCode, syncFolder } from '../journal/durable-file.ts';
import type { Superseded } from '../runs/lifecycle.ts';
import { BlockFile, SLOT_BYTES } from './block-file.ts';
import { STRIDE } from './block-table.ts';
import { MAX_INDEX_BYTES, TAIL_POINTS } from './limits.ts';
import { Series } from './series.ts';

/** Another version's file is not read: the index is built again. */
const MAGIC = `kymo-index 1 ${new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 'le' : 'be'}\n`;
const BYTES_PER_TAIL_POINT = 4 * 8;

/** How far one metrics file was read. */
export interface Source {
  readonly file: string;
  offset: number;
  /** Of the bytes before `offset`: by it the file is known to be the one that was read. */
  check: number;
}

export interface Counts {
  unreadable: number;
  /** Points of series beyond the limit. */
  leftOut: number;
}

export interface IndexContent {
  readonly sources: readonly Source[];
  readonly marks: readonly Superseded[];
  readonly counts: Counts;
  readonly metrics: ReadonlyMap<string, Series>;
  readonly axes: ReadonlyMap<string, Series>;
}

interface Head {
  readonly sources: readonly Source[];
  readonly marks: readonly Superseded[];
  readonly counts: Counts;
  readonly slots: number;
  readonly free: readonly number[];
  /** Name, 1 for an axis, blocks, points of the tail, 1 where all steps are integers. */
  readonly series: readonly (readonly [string, number, number, number, number])[];
}

/** Takes what is in memory now, makes the column file durable and then writes what it means. Series must have no late points. */
export async function writeIndex(file: string, content: IndexContent, blocks: BlockFile): Promise<void> {
  const commit = blocks.beginCommit();
  let committed = false;
  try {
    const parts = serialize(content, blocks.slots, commit.free);
    await blocks.sync();
    const temporary = `${file}.tmp`;
    const handle = await fs.promises.open(temporary, 'w', 0o640);
    try {
      for (const part of parts) await handle.writeFile(part);
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await fs.promises.rename(temporary, file);
    await syncFolder(path.dirname(file));
    committed = true;
  } finally {
    commit.end(committed);
  }
}

function serialize(content: IndexContent, slots: number, free: readonly number[]): readonly Buffer[] {
  const all = [
    ...[...content.metrics.values()].map(series => [series, 0] as const),
    ...[...content.axes.values()].map(series => [series, 1] as const),
  ];
  const head: Head = {
    sources: content.sources,
    marks: content.marks,
    counts: content.counts,
    slots,
    free,
    series: all.map(([{ name, blocks, tail, integral }, axis]) => [
      name,
      axis,
      blocks.count,
      tail.count,
      integral ? 1 : 0,
    ]),
  };
  const text = Buffer.from(JSON.stringify(head));
  const numbers = all.reduce(
    (sum, [{ blocks, tail }]) => sum + blocks.count * STRIDE + (tail.count * BYTES_PER_TAIL_POINT) / 8,
    0,
  );
  const body = new Float64Array(numbers);
  let at = 0;
  const put = (values: ArrayLike<number>): void => {
    body.set(values, at);
    at += values.length;
  };
  for (const [{ blocks, tail }] of all) {
    put(blocks.data.subarray(0, blocks.count * STRIDE));
    for (const column of [tail.steps, tail.times, tail.values, tail.attempts])
      put(column.subarray(0, tail.count));
  }
  const bytes = Buffer.from(body.buffer);
  const sums = Buffer.alloc(12);
  sums.writeUInt32LE(text.length, 0);
  sums.writeUInt32LE(crc32(text), 4);
  sums.writeUInt32LE(crc32(bytes), 8);
  return [Buffer.from(MAGIC), sums, text, bytes];
}

export interface LoadedIndex extends IndexContent {
  readonly blocks: BlockFile;
}

/** Undefined when there is none that can be used: then the index is built from the start. `fd` is the column file. */
export function readIndex(file: string, fd: number): LoadedIndex | undefined {
  let content: Buffer;
  try {
    if (fs.statSync(file).size > MAX_INDEX_BYTES) return undefined;
    content = fs.readFileSync(file);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const begin = MAGIC.length + 12;
  if (content.length < begin || content.toString('latin1', 0, MAGIC.length) !== MAGIC) return undefined;
  const length = content.readUInt32LE(MAGIC.length);
  const text = content.subarray(begin, begin + length);
  const bytes = content.subarray(begin + length);
  if (crc32(text) !== content.readUInt32LE(MAGIC.length + 4)) return undefined;
  if (crc32(bytes) !== content.readUInt32LE(MAGIC.length + 8)) return undefined;
  const head = JSON.parse(text.toString()) as Head;
  // What was committed is there, unless somebody cut it.
  if (fs.fstatSync(fd).size < head.slots * SLOT_BYTES) return undefined;
  const blocks = new BlockFile(fd, head.slots, head.free);
  // A copy begins at an address that doubles may have.
  const body = new Float64Array(new Uint8Array(bytes).buffer);
  let at = 0;
  const take = (count: number): Float64Array => {
    at += count;
    return body.subarray(at - count, at);
  };
  const metrics = new Map<string, Series>();
  const axes = new Map<string, Series>();
  for (const [name, axis, count, tail, integral] of head.series) {
    if (tail > TAIL_POINTS) return undefined;
    const series = new Series(name, blocks);
    series.integral = integral === 1;
    series.blocks.data = take(count * STRIDE).slice();
    series.blocks.count = count;
    series.tail.resize(tail);
    series.tail.steps.set(take(tail));
    series.tail.times.set(take(tail));
    series.tail.values.set(take(tail));
    series.tail.attempts.set(take(tail));
    series.restored();
    (axis === 1 ? axes : metrics).set(name, series);
  }
  return { sources: head.sources, marks: head.marks, counts: head.counts, metrics, axes, blocks };
}
