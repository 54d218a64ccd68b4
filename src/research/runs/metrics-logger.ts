// Rows into one bare JSONL file, with nothing behind it: for scripts that want no run. `readMetrics` reads it back.
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { kindOf, shown, wrongType } from '../checks.ts';
import { tell } from '../complaints.ts';
import { toNumber } from '../numbers.ts';
import { type Plain, toPlain } from '../plain.ts';
import { parseRecord } from './row-scanner.ts';

/** Whatever else is to hear of each row. An error of one is told once, and nobody else hears of it. */
export interface LogBackend {
  log(record: Readonly<Record<string, unknown>>, step: number | undefined): void;
  close?(): void;
}

/** At the end of an existing file: where its last line is looked for. */
const TAIL_BYTES = 1024 * 1024;

/**
 * Appends one line per `write`, at once. `wall_time`, the seconds since the file's first row by this logger or one before it, is added where the
 * record has none. A file that ends in half a line (its writer was killed) goes on behind the last whole one.
 *
 * Throws a TypeError for a path that is none, or that belongs to a run which the collector writes, and what the file system throws.
 */
export class MetricsLogger implements Disposable {
  /** Absolute. */
  readonly path: string;
  readonly #backends: readonly LogBackend[];
  readonly #failed = new Set<LogBackend>();
  readonly #beganMs: number;
  #fd: number | undefined;

  constructor(path: string | URL, options: { readonly backends?: readonly LogBackend[] } = {}) {
    if ((typeof path !== 'string' || path === '') && !(path instanceof URL))
      throw wrongType('MetricsLogger(path)', 'the path of a file', path);
    const { backends = [] } = options;
    if (!Array.isArray(backends) || backends.some(one => typeof one?.log !== 'function'))
      throw wrongType('MetricsLogger({backends})', 'a list of objects with log()', backends);
    this.path = path instanceof URL ? fileURLToPath(path) : resolve(path);
    if (existsSync(join(dirname(this.path), '..', 'run.json')))
      throw new TypeError(
        `kymo: ${this.path} belongs to a run, whose files the collector writes; log to the run, or choose another file`,
      );
    this.#backends = backends;
    mkdirSync(dirname(this.path), { recursive: true });
    const fd = openSync(this.path, 'a+', 0o640);
    try {
      this.#beganMs = performance.now() - 1_000 * this.#mendTail(fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    this.#fd = fd;
  }

  /**
   * Writes a row: numbers, texts, booleans, bigints, nested maps and lists; typed arrays and tensors of one number as that number. NaN and the
   * infinities stand as texts, which `readMetrics` turns back. Throws a TypeError for what is no object, for an array of several numbers, and
   * after `close`; nothing is written then.
   */
  write(record: Readonly<Record<string, unknown>>): void {
    if (typeof record !== 'object' || record === null || Array.isArray(record))
      throw wrongType('MetricsLogger.write(record)', 'an object such as {step: 1, loss: 0.5}', record);
    if (this.#fd === undefined) throw new TypeError(`kymo: the MetricsLogger of ${this.path} is closed`);
    const row: Record<string, unknown> = Object.create(null);
    let text = '';
    const add = (key: string, value: unknown): void => {
      const json = jsonOf(key, value);
      if (json === undefined) return;
      row[key] = holdsNumbers(value) ? toNumber(value) : value;
      text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${json}`;
    };
    for (const key of Object.keys(record)) add(key, record[key]);
    if (row.wall_time === undefined) add('wall_time', Math.round(performance.now() - this.#beganMs) / 1_000);
    writeWhole(this.#fd, Buffer.from(`{${text}}\n`));
    const step = typeof row.step === 'number' ? row.step : undefined;
    for (const backend of this.#backends) this.#told(backend, 'log', () => backend.log(row, step));
  }

  /** Closes the file, then the backends. May be called again. */
  close(): void {
    if (this.#fd === undefined) return;
    closeSync(this.#fd);
    this.#fd = undefined;
    for (const backend of this.#backends) this.#told(backend, 'close', () => backend.close?.());
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #told(backend: LogBackend, call: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (this.#failed.has(backend)) return;
      this.#failed.add(backend);
      const name = backend.constructor?.name ?? 'backend';
      tell(
        `${name}.${call}() of the MetricsLogger of ${this.path} throws (told once): ${error instanceof Error ? error.message : kindOf(error)}`,
      );
    }
  }

  /** Cuts half a line off the end of the file; returns the wall time of its last row, 0 without one. */
  #mendTail(fd: number): number {
    const { size } = fstatSync(fd);
    const from = Math.max(0, size - TAIL_BYTES);
    const tail = Buffer.alloc(size - from);
    for (let at = 0; at < tail.length; ) {
      const read = readSync(fd, tail, at, tail.length - at, from + at);
      if (read === 0) break;
      at += read;
    }
    const whole = tail.lastIndexOf(0x0a) + 1;
    const lines = tail.toString('utf8', 0, whole).split('\n').slice(0, -1);
    const last = lines.findLast(line => line.trim() !== '');
    const rest = tail.toString('utf8', whole);
    const isRow = rest === '' || parseRecord(rest) !== undefined;
    // Half a row begins like one, and stands behind whole ones: anything else is somebody's file.
    if (
      (last !== undefined && parseRecord(last) === undefined) ||
      !(isRow || rest.startsWith('{"') || rest === '{')
    )
      throw new TypeError(
        `kymo: ${this.path} holds something else than rows of metrics; choose another file`,
      );
    if (rest !== '' && isRow) {
      writeWhole(fd, Buffer.from('\n'));
      lines.push(rest);
    } else if (rest !== '') {
      tell(
        `${this.path} ends in half a line (${size - from - whole} bytes), which is cut off: its writer was interrupted`,
      );
      ftruncateSync(fd, from + whole);
    }
    for (const line of lines.reverse()) {
      const wallTime = line === '' ? undefined : parseRecord(line)?.wall_time;
      if (typeof wallTime === 'number' && Number.isFinite(wallTime)) return wallTime;
    }
    return 0;
  }
}

/** A typed array or a tensor. */
function holdsNumbers(value: unknown): boolean {
  return typeof value === 'object' && value !== null && (ArrayBuffer.isView(value) || 'dataSync' in value);
}

/** A value as JSON; undefined for undefined, which stands nowhere. */
function jsonOf(key: string, value: unknown): string | undefined {
  if (holdsNumbers(value)) {
    const number = toNumber(value);
    if (number === undefined)
      throw new TypeError(
        `kymo: MetricsLogger.write(record): ${shown(key)} must hold one number, not ${kindOf(value)} of several; write its mean, or a run's histogram`,
      );
    return plainJson(number);
  }
  const plain = toPlain(value);
  return plain === undefined ? undefined : plainJson(plain);
}

function plainJson(value: Plain): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner === 'number' && !Number.isFinite(inner)) return String(inner);
    // As a number: JSON has them of any size.
    if (typeof inner === 'bigint')
      return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(inner));
    return inner instanceof Uint8Array ? { base64: Buffer.from(inner).toString('base64') } : inner;
  });
}

/** O_APPEND: the whole line in one piece, unless the disk is full. */
function writeWhole(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}
