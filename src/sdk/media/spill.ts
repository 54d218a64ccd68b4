// Media that wait for the encoder, as files beside the spool: a kill leaves them there, and the next process in the folder goes on.
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  writevSync,
} from 'node:fs';
import { join } from 'node:path';
import { writeFrame } from '../../otlp/frame.ts';
import { encodeSpoolHeader, spoolFileName } from '../../otlp/spool-file.ts';

/** A larger one is not kept: writing it would hold up scalars for longer than a tenth of a second. */
export const MAX_SPILLED_BYTES = 32 * 1024 * 1024;
const HEADER_BYTES = 8;
/** Under its own name a file is whole: a kill while it is written leaves one that ends so. */
const UNFINISHED = '.tmp';
/** Writing one takes a fraction of a second: an older one belongs to nobody who lives. */
const UNFINISHED_FOR_GOOD_MS = 60_000;

/** A job with all that is needed to make its request without the process that made it. */
export interface SpilledJob {
  readonly resourceBytes: Uint8Array;
  readonly scopeBytes: Uint8Array;
  /** See `packJob`. */
  readonly packed: Uint8Array;
}

/** `<project>/.kymo/spool/media`. The files have the form of spool files: a header, and one frame with the job. */
export function spillDirectory(spoolDirectory: string): string {
  return join(spoolDirectory, 'media');
}

export interface SpillOptions {
  readonly directory: string;
  readonly endpoint: string;
  readonly instance: string;
  readonly sender: string;
  readonly run: string;
  /** All files of this process together. */
  readonly maxBytes: number;
}

export class Spill {
  private readonly options: SpillOptions;
  private readonly header: Buffer;
  private readonly files = new Map<number, { readonly path: string; readonly bytes: number }>();
  private bytes = 0;

  constructor(options: SpillOptions) {
    this.options = options;
    this.header = encodeSpoolHeader({ ...options, pid: process.pid, createdUnixMs: Date.now() });
  }

  has(number: number): boolean {
    return this.files.has(number);
  }

  /** False where it is too large, or the disk does not take it: then a kill loses it, as it loses what is younger. */
  keep(number: number, job: SpilledJob): boolean {
    const { directory, instance, sender, maxBytes } = this.options;
    const size = job.packed.length;
    if (size > MAX_SPILLED_BYTES || this.bytes + size > maxBytes) return false;
    const path = join(directory, spoolFileName(instance, `${sender}-${number}`));
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
      const fd = openSync(path + UNFINISHED, flags, 0o600);
      try {
        const parts = [
          this.header,
          ...writeFrame({
            signal: 'logs',
            encoding: 0,
            receivedUnixNano: BigInt(Date.now()) * 1_000_000n,
            batchKey: '',
            body: joined(job),
          }),
        ];
        const whole = parts.reduce((sum, part) => sum + part.length, 0);
        if (writevSync(fd, parts) !== whole) throw new Error('the disk is full');
      } finally {
        closeSync(fd);
      }
      renameSync(path + UNFINISHED, path);
    } catch {
      remove(path + UNFINISHED);
      return false;
    }
    this.files.set(number, { path, bytes: size });
    this.bytes += size;
    return true;
  }

  /** It is delivered, or safe elsewhere. */
  drop(number: number): void {
    const file = this.files.get(number);
    if (file === undefined) return;
    this.files.delete(number);
    this.bytes -= file.bytes;
    remove(file.path);
  }
}

/** What a killed process had only begun to write: there is nothing in it that could be encoded. */
export function removeUnfinished(directory: string): void {
  for (const name of readdirSync(directory)) {
    if (!name.endsWith(UNFINISHED)) continue;
    const path = join(directory, name);
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > UNFINISHED_FOR_GOOD_MS) remove(path);
  }
}

function joined({ resourceBytes, scopeBytes, packed }: SpilledJob): Uint8Array {
  const body = Buffer.allocUnsafe(HEADER_BYTES + resourceBytes.length + scopeBytes.length + packed.length);
  body.writeUInt32LE(resourceBytes.length, 0);
  body.writeUInt32LE(scopeBytes.length, 4);
  body.set(resourceBytes, HEADER_BYTES);
  body.set(scopeBytes, HEADER_BYTES + resourceBytes.length);
  body.set(packed, HEADER_BYTES + resourceBytes.length + scopeBytes.length);
  return body;
}

/** The job of a frame that `keep` wrote; its packed bytes are in memory of their own. Undefined for another frame. */
export function spilledJob(body: Uint8Array): SpilledJob | undefined {
  if (body.length < HEADER_BYTES) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const scopeAt = HEADER_BYTES + view.getUint32(0, true);
  const packedAt = scopeAt + view.getUint32(4, true);
  if (packedAt >= body.length) return undefined;
  return {
    resourceBytes: new Uint8Array(body.subarray(HEADER_BYTES, scopeAt)),
    scopeBytes: new Uint8Array(body.subarray(scopeAt, packedAt)),
    packed: new Uint8Array(body.subarray(packedAt)),
  };
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody else has removed it, or the folder.
  }
}
