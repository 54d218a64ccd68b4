// Follows a file of whole lines that somebody else appends to, also when it is cut back, replaced, removed and made again.
import fs from 'node:fs';

/** Read at a time; lines longer than a chunk are put together. */
const CHUNK_BYTES = 256 * 1024;
/** Given out by one call, about: a file that grew by gigabytes meanwhile is read in turns. */
const MAX_GIVEN_BYTES = 8 * 1024 * 1024;
/** A line longer than this is passed over and counted: it would not be read by anyone. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;
/** Ends of lines that were given out last, so that what is written again after a crash is not given out again. */
const REMEMBERED_LINES = 4_096;
/** Of a line, when it is looked up again. */
const MAX_COMPARED_BYTES = 4_096;
/** How far back from the end the last lines are looked for. */
const MAX_LOOK_BACK_BYTES = 4 * 1024 * 1024;
/** A pipe in the file's place must not hold us up. Not on Windows. */
const READ = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0);

interface Given {
  readonly start: number;
  readonly end: number;
  readonly line: string;
}

export class FollowedFile {
  readonly path: string;
  /** Lines that were too long to be shown. */
  passedOver = 0;
  #identity = '';
  /** Behind the last whole line that was read. */
  #at = 0;
  #given: Given[] = [];
  /** What was given out already and may come once more. */
  #again: Given[] = [];
  /** Inside a line that is too long. */
  #skipping = false;
  #start: 'end' | 'beginning';
  #lastLines: number;

  /** Begins so many lines before the file's present end; a file that comes later, or another one in its place, is read whole. */
  constructor(path: string, lastLines: number) {
    this.path = path;
    this.#start = 'end';
    this.#lastLines = lastLines;
  }

  /** Whole lines that have come since the last call; some of them, where there are very many. Never throws for what happens to the file. */
  read(): string[] {
    let fd: number;
    try {
      fd = fs.openSync(this.path, READ);
    } catch {
      // Not there (yet, or any more), or not ours to read: it may be, the next time, and is then another one.
      this.#identity = '';
      this.#start = 'beginning';
      return [];
    }
    try {
      const stat = fs.fstatSync(fd);
      if (!stat.isFile()) return [];
      this.#find(fd, stat);
      return this.#newLines(fd, stat.size);
    } catch {
      return [];
    } finally {
      fs.closeSync(fd);
    }
  }

  #find(fd: number, stat: fs.Stats): void {
    const identity = `${stat.dev}:${stat.ino}`;
    if (identity !== this.#identity) {
      const first = this.#identity === '' && this.#start === 'end';
      this.#identity = identity;
      this.#beginAt(first ? lastLinesStart(fd, stat.size, this.#lastLines) : 0);
      return;
    }
    if (stat.size >= this.#at) {
      // A removed file's number may be given to the next one.
      if (!this.#holdsLast(fd)) this.#beginAt(0);
      return;
    }
    // Cut back: by a collector that came back and writes the same lines again, or by somebody who emptied it.
    const kept = this.#given.filter(({ end }) => end <= stat.size);
    const again = this.#given.slice(kept.length).concat(this.#again);
    this.#given = kept;
    this.#at = kept.at(-1)?.end ?? (stat.size === 0 ? 0 : lastLinesStart(fd, stat.size, 0));
    if (!this.#holdsLast(fd)) this.#beginAt(0);
    else this.#again = again;
    this.#skipping = false;
  }

  #beginAt(offset: number): void {
    this.#at = offset;
    this.#given = [];
    this.#again = [];
    this.#skipping = false;
  }

  /** Whether the line that was given out last is where it was. */
  #holdsLast(fd: number): boolean {
    const last = this.#given.at(-1);
    if (last === undefined || last.end !== this.#at) return true;
    const whole = last.end - 1 - last.start;
    const found = Buffer.alloc(Math.min(whole, MAX_COMPARED_BYTES));
    const got = fs.readSync(fd, found, 0, found.length, last.start);
    const text = found.toString('utf8', 0, got);
    // As text, because the line is kept as text; a character that is cut in two does not count.
    return (
      got === found.length && (got === whole ? last.line === text : last.line.startsWith(text.slice(0, -1)))
    );
  }

  #newLines(fd: number, size: number): string[] {
    const lines: string[] = [];
    const from = this.#at;
    let buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    while (this.#at < size && (lines.length === 0 || this.#at - from < MAX_GIVEN_BYTES)) {
      const wanted = Math.min(buffer.length, size - this.#at);
      const got = fs.readSync(fd, buffer, 0, wanted, this.#at);
      if (got === 0) break;
      const end = buffer.subarray(0, got).lastIndexOf(0x0a);
      if (end < 0) {
        // Half a line so far, or one that is longer than the buffer.
        if (got < buffer.length) break;
        if (buffer.length < MAX_LINE_BYTES) buffer = Buffer.allocUnsafe(buffer.length * 2);
        else {
          if (!this.#skipping) this.passedOver++;
          this.#skipping = true;
          this.#at += got;
        }
        continue;
      }
      this.#give(buffer.subarray(0, end), lines);
      this.#at += end + 1;
    }
    return lines;
  }

  #give(whole: Buffer, lines: string[]): void {
    let from = 0;
    while (from <= whole.length) {
      const feed = whole.indexOf(0x0a, from);
      const to = feed < 0 ? whole.length : feed;
      const line = whole.toString('utf8', from, to);
      if (this.#skipping) this.#skipping = false;
      else {
        this.#given.push({ start: this.#at + from, end: this.#at + to + 1, line });
        if (this.#again[0]?.line === line) this.#again.shift();
        else {
          this.#again = [];
          lines.push(line);
        }
      }
      from = to + 1;
    }
    if (this.#given.length > REMEMBERED_LINES) this.#given = this.#given.slice(-REMEMBERED_LINES);
  }
}

/** Where the last so many whole lines of a file begin. */
function lastLinesStart(fd: number, size: number, count: number): number {
  const length = Math.min(size, MAX_LOOK_BACK_BYTES);
  const tail = Buffer.allocUnsafe(length);
  const got = fs.readSync(fd, tail, 0, length, size - length);
  // The line feed that ends the last whole line; what is behind it is still being written.
  let at = tail.subarray(0, got).lastIndexOf(0x0a);
  if (at < 0) return size - got === 0 ? 0 : size;
  for (let lines = 0; lines < count; lines++) {
    at = at === 0 ? -1 : tail.lastIndexOf(0x0a, at - 1);
    if (at < 0) return size - length === 0 ? 0 : size - length;
  }
  return size - length + at + 1;
}
