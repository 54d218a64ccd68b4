// Puts the records of a run into the order of their steps: collects where they lie, sorts places, copies bytes. Nothing is decoded
// but each event's step, so every kind of value survives, and memory holds 29 bytes per record however long the records are.
import fs from 'node:fs';
import { type EventHead, newHead, readHead } from './event-reader.ts';
import { HPARAMS_PREFIX } from './events.ts';
import { CHUNK_BYTES, MAX_MEND_RECORDS } from './limits.ts';
import { RECORD_OVERHEAD_BYTES } from './record-buffer.ts';
import { type RecordsEnd, readFully, scanFile } from './records.ts';

/** Tag of the config text. It says what the run is, so a rewind of the steps does not undo it. */
export const CONFIG_TAG = 'config';

/** A file whose records take part, in the order in which readers read the files. */
export interface Source {
  readonly fd: number;
  readonly name: string;
  readonly length: number;
  /** Step of the START at its head; undefined without one. */
  readonly start: number | undefined;
  /** That START means that a training went back, not that records were copied. */
  readonly rewind: boolean;
  /** `[offset, largest step before it, …]`, ascending; lets a mend skip what it does not need. */
  readonly marks: readonly number[];
}

/** More records than one mend takes on. */
export class MendTooLargeError extends Error {
  constructor() {
    super(`more than ${MAX_MEND_RECORDS} records would have to be put in order`);
    this.name = 'MendTooLargeError';
  }
}

/** Where the records of a run lie, in columns. */
export class Places {
  count = 0;
  /** Earliest wall time of any record that was looked at; Infinity for none. */
  earliest = Infinity;
  step = new Float64Array(1024);
  source = new Uint32Array(1024);
  offset = new Float64Array(1024);
  size = new Uint32Array(1024);
  /** 1 for records about the run as a whole (config, hparams), which a rewind does not undo. */
  lasting = new Uint8Array(1024);

  add(step: number, source: number, offset: number, size: number, lasting: boolean): void {
    const at = this.count;
    if (at === this.step.length) this.#grow();
    this.step[at] = step;
    this.source[at] = source;
    this.offset[at] = offset;
    this.size[at] = size;
    this.lasting[at] = lasting ? 1 : 0;
    this.count++;
  }

  /** What a START does: forgets records of at least `step` that were added since `first`. */
  dropFrom(first: number, step: number, keepLasting: boolean): void {
    let kept = first;
    for (let i = first; i < this.count; i++) {
      if (this.step[i]! >= step && !(keepLasting && this.lasting[i] === 1)) continue;
      this.step[kept] = this.step[i]!;
      this.source[kept] = this.source[i]!;
      this.offset[kept] = this.offset[i]!;
      this.size[kept] = this.size[i]!;
      this.lasting[kept] = this.lasting[i]!;
      kept++;
    }
    this.count = kept;
  }

  #grow(): void {
    if (this.count >= MAX_MEND_RECORDS) throw new MendTooLargeError();
    const capacity = this.count * 2;
    this.step = grown(this.step, new Float64Array(capacity));
    this.source = grown(this.source, new Uint32Array(capacity));
    this.offset = grown(this.offset, new Float64Array(capacity));
    this.size = grown(this.size, new Uint32Array(capacity));
    this.lasting = grown(this.lasting, new Uint8Array(capacity));
  }
}

/**
 * Adds the records of `sources` whose step is at least `from` and that no START behind them undid. Reports damage to `onEnd`; what lies
 * behind it in that file is left out. @throws MendTooLargeError
 */
export async function collect(
  places: Places,
  sources: readonly Source[],
  from: number,
  onEnd: (source: Source, end: RecordsEnd) => void,
): Promise<void> {
  const first = places.count;
  const head = newHead();
  for (const [index, source] of sources.entries()) {
    if (source.start !== undefined) places.dropFrom(first, source.start, source.rewind);
    const end = await scanFile(
      source.fd,
      firstOffset(source, from),
      source.length,
      (bytes, dataStart, dataEnd, offset) => {
        readHead(bytes, dataStart, dataEnd, head);
        if (head.wallTime < places.earliest) places.earliest = head.wallTime;
        if (head.summaryStart < 0 || !(head.step >= from)) return;
        const size = dataEnd - dataStart + RECORD_OVERHEAD_BYTES;
        places.add(head.step, index, offset, size, isLasting(bytes, head));
      },
    );
    if (end.kind !== 'end') onEnd(source, end);
  }
}

/** The same for late records, which are one file with a START wherever the run was rewound. */
export async function collectLate(
  places: Places,
  fd: number,
  length: number,
  source: number,
  onEnd: (end: RecordsEnd) => void,
): Promise<void> {
  const first = places.count;
  const head = newHead();
  const end = await scanFile(fd, 0, length, (bytes, dataStart, dataEnd, offset) => {
    readHead(bytes, dataStart, dataEnd, head);
    if (head.isStart) places.dropFrom(first, head.step, true);
    else places.add(head.step, source, offset, dataEnd - dataStart + RECORD_OVERHEAD_BYTES, false);
  });
  if (end.kind !== 'end') onEnd(end);
}

/** The order of the steps; records of one step stay in the order in which they came. */
export function stepOrder(steps: Float64Array, count: number): Uint32Array {
  // Nearly everything is in order already: only what falls below the steps before it has to be sorted.
  const rising = new Uint32Array(count);
  let risingCount = 0;
  let fallenCount = 0;
  let highest = -Infinity;
  for (let i = 0; i < count; i++) {
    if (steps[i]! >= highest) {
      highest = steps[i]!;
      rising[risingCount++] = i;
    } else rising[count - ++fallenCount] = i;
  }
  if (fallenCount === 0) return rising;
  const fallen = rising.slice(risingCount).sort((a, b) => steps[a]! - steps[b]! || a - b);
  const order = new Uint32Array(count);
  let r = 0;
  let f = 0;
  for (let i = 0; i < count; i++) {
    const takeRising =
      f === fallenCount ||
      (r < risingCount && before(steps[rising[r]!]!, rising[r]!, steps[fallen[f]!]!, fallen[f]!));
    order[i] = takeRising ? rising[r++]! : fallen[f++]!;
  }
  return order;
}

/**
 * Copies records in the given order to the end of `out`, letting other work run in between. `onCopied` hears the length and the
 * largest step so far after each write. @returns bytes written
 */
export async function copyRecords(
  places: Places,
  order: Uint32Array,
  fds: readonly number[],
  write: (bytes: Uint8Array, length: number) => void,
  onCopied: (bytes: number, largestStep: number) => void,
): Promise<number> {
  const { offset, size, source, step } = places;
  let buffer = new Uint8Array(CHUNK_BYTES);
  let filled = 0;
  let written = 0;
  let largest = -Infinity;
  for (let i = 0; i < order.length; ) {
    const at = order[i]!;
    let length = size[at]!;
    let groupLargest = step[at]!;
    // Neighbours that stay neighbours are read together.
    let next = i + 1;
    for (; next < order.length; next++) {
      const other = order[next]!;
      const adjacent = source[other] === source[at] && offset[other] === offset[at]! + length;
      if (!adjacent || length + size[other]! > CHUNK_BYTES) break;
      length += size[other]!;
      groupLargest = Math.max(groupLargest, step[other]!);
    }
    if (filled + length > buffer.length) {
      write(buffer, filled);
      written += filled;
      filled = 0;
      if (length > buffer.length) buffer = new Uint8Array(length);
      await new Promise(resolve => setImmediate(resolve));
      onCopied(written, largest);
    }
    const fd = fds[source[at]!]!;
    const got = readFully(fd, buffer, offset[at]!, length, filled);
    if (got < length) throw new Error('a file became shorter while its records were copied');
    filled += length;
    largest = Math.max(largest, groupLargest);
    i = next;
  }
  if (filled > 0) write(buffer, filled);
  written += filled;
  onCopied(written, largest);
  return written;
}

/** fdatasync on Node's thread pool. */
export function datasync(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fdatasync(fd, error => (error === null ? resolve() : reject(error)));
  });
}

function firstOffset(source: Source, from: number): number {
  let offset = 0;
  for (let i = 0; i < source.marks.length && source.marks[i + 1]! < from; i += 2) offset = source.marks[i]!;
  return offset;
}

/** Looks at the first tag only: such records are written alone. */
function isLasting(bytes: Uint8Array, head: EventHead): boolean {
  // value { tag: a key, a length of one byte … } within summary: 0a <length> 0a <length> <tag>
  let at = head.summaryStart + 1;
  while (at < head.summaryEnd && bytes[at]! > 127) at++;
  at += 1;
  if (bytes[at] !== 0x0a) return false;
  const length = bytes[at + 1]!;
  at += 2;
  return (
    begins(bytes, at, HPARAMS_START) || (length === CONFIG_BYTES.length && begins(bytes, at, CONFIG_BYTES))
  );
}

const HPARAMS_START = new TextEncoder().encode(`${HPARAMS_PREFIX}session_start_info`);
const CONFIG_BYTES = new TextEncoder().encode(CONFIG_TAG);

function begins(bytes: Uint8Array, at: number, text: Uint8Array): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text[i]) return false;
  return true;
}

function before(stepA: number, a: number, stepB: number, b: number): boolean {
  return stepA < stepB || (stepA === stepB && a < b);
}

function grown<T extends Float64Array | Uint32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
