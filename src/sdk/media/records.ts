// Finished bytes as log records: one, or chunks that name the hash and size of the whole; none of them holds what was sent before.
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { encodeKeyValue } from '../../otlp/encode-records.ts';
import type { AnyValue, Attributes } from '../../otlp/model.ts';
import { WireWriter } from '../../otlp/wire-writer.ts';
import * as names from '../../semconv/names.ts';
import { CHUNK_BYTES, type MediaJob, type SeenFile } from './job.ts';

/** Hashes remembered per run; beyond it the oldest is forgotten, and its bytes would be sent again. */
const MAX_KNOWN = 16_384;
/** Runs whose hashes are remembered: a process has few at a time. */
const MAX_RUNS = 16;
/** Field of `LogRecord.attributes`. */
const ATTRIBUTES = 6;

const NAMES = {
  media: {
    size: names.MEDIA_SIZE,
    sha256: names.MEDIA_SHA256,
    content: names.MEDIA_CONTENT,
    index: names.MEDIA_CHUNK_INDEX,
    count: names.MEDIA_CHUNK_COUNT,
  },
  artifact: {
    size: names.ARTIFACT_SIZE,
    sha256: names.ARTIFACT_SHA256,
    content: names.ARTIFACT_CONTENT,
    index: names.ARTIFACT_CHUNK_INDEX,
    count: names.ARTIFACT_CHUNK_COUNT,
  },
} as const;

/** Where records go. Resolves when the next one may come. */
export type Post = (record: Uint8Array) => Promise<void>;

/** What was sent already, by run. */
export class KnownContent {
  private readonly runs = new Map<number, Set<string>>();

  has(run: number, sha256: string): boolean {
    return this.runs.get(run)?.has(sha256) ?? false;
  }

  add(run: number, sha256: string): void {
    let known = this.runs.get(run);
    if (known === undefined) {
      if (this.runs.size >= MAX_RUNS) this.runs.delete(this.runs.keys().next().value!);
      known = new Set();
      this.runs.set(run, known);
    }
    if (known.size >= MAX_KNOWN) known.delete(known.values().next().value!);
    known.add(sha256);
  }
}

/** The records of one job. */
export class Records {
  private readonly event: MediaJob['event'];
  private readonly base: Uint8Array;
  private readonly run: number;
  private readonly known: KnownContent;
  private readonly post: Post;
  private readonly writer = new WireWriter();

  constructor(event: MediaJob['event'], base: Uint8Array, run: number, known: KnownContent, post: Post) {
    this.event = event;
    this.base = base;
    this.run = run;
    this.known = known;
    this.post = post;
  }

  /** The record as it came, with these attributes. */
  async reference(attributes: Attributes): Promise<void> {
    this.begin(attributes);
    await this.post(this.writer.copy());
  }

  async bytes(content: Uint8Array, attributes: Attributes): Promise<void> {
    const sha256 = createHash('sha256').update(content).digest('hex');
    if (this.known.has(this.run, sha256)) {
      await this.content(attributes, sha256, content.length, undefined, 0, 1);
      return;
    }
    const count = chunkCount(content.length);
    for (let i = 0; i < count; i++) {
      const chunk = content.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES);
      await this.content(attributes, sha256, content.length, chunk, i, count);
    }
    this.known.add(this.run, sha256);
  }

  /**
   * Reads the file twice, for its hash and for its bytes, never more than a chunk at a time. Throws when it is not what the caller
   * saw, or changes meanwhile: its last chunk is not sent then, and without that it is nothing.
   */
  async file(file: SeenFile, attributes: Attributes): Promise<void> {
    const fd = openSync(file.path, 'r');
    try {
      const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, Math.max(1, file.size)));
      const first = createHash('sha256');
      let read = 0;
      for (let n = 1; n > 0; read += n) {
        n = readSync(fd, buffer, 0, buffer.length, read);
        first.update(buffer.subarray(0, n));
      }
      checkUnchanged(fd, file, read);
      const sha256 = first.digest('hex');
      if (this.known.has(this.run, sha256)) {
        await this.content(attributes, sha256, file.size, undefined, 0, 1);
        return;
      }
      const again = createHash('sha256');
      const count = chunkCount(file.size);
      for (let i = 0; i < count; i++) {
        const from = i * CHUNK_BYTES;
        const length = Math.min(CHUNK_BYTES, file.size - from);
        let filled = 0;
        for (let n = 1; n > 0 && filled < length; filled += n)
          n = readSync(fd, buffer, filled, length - filled, from + filled);
        again.update(buffer.subarray(0, filled));
        if (i === count - 1) {
          checkUnchanged(fd, file, from + filled);
          if (again.digest('hex') !== sha256) throw new Error(`${file.path} changed while it was sent`);
        } else if (filled < length) throw new Error(`${file.path} became shorter while it was sent`);
        await this.content(attributes, sha256, file.size, buffer.subarray(0, length), i, count);
      }
      this.known.add(this.run, sha256);
    } finally {
      closeSync(fd);
    }
  }

  private async content(
    attributes: Attributes,
    sha256: string,
    size: number,
    chunk: Uint8Array | undefined,
    index: number,
    count: number,
  ): Promise<void> {
    const { writer } = this;
    const key = NAMES[this.event];
    this.begin(attributes);
    this.attribute(key.sha256, sha256);
    this.attribute(key.size, size);
    if (count > 1) {
      this.attribute(key.index, index);
      this.attribute(key.count, count);
    }
    if (chunk !== undefined) this.attribute(key.content, chunk);
    await this.post(writer.copy());
  }

  private begin(attributes: Attributes): void {
    this.writer.reset();
    this.writer.raw(this.base);
    for (const name of Object.keys(attributes)) this.attribute(name, attributes[name]!);
  }

  private attribute(name: string, value: AnyValue): void {
    encodeKeyValue(this.writer, ATTRIBUTES, name, value);
  }
}

/** An empty file is one empty chunk. */
export function chunkCount(size: number): number {
  return Math.max(1, Math.ceil(size / CHUNK_BYTES));
}

function checkUnchanged(fd: number, file: SeenFile, read: number): void {
  const now = fstatSync(fd);
  if (now.size !== file.size || now.mtimeMs !== file.mtimeMs || read !== file.size)
    throw new Error(
      `${file.path} changed after it was logged (${file.size} bytes then, ${now.size} now): nothing of it counts`,
    );
}
