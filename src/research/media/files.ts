// Files that are logged: looked at once, at the call; small ones are read then, so that they may be written over afterwards.
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Format, formatOf, HEAD_BYTES } from '../../sdk/media/formats.ts';
import type { SeenFile } from '../../sdk/media/job.ts';
import { shown } from '../checks.ts';

/** Up to this a file is read at the call (some ms); a larger one must stay as it is until it is sent. */
export const SNAPSHOT_BYTES = 4 * 1024 * 1024;

export type Found =
  | { readonly kind: 'folder'; readonly path: string; readonly name: string }
  | {
      readonly kind: 'small';
      readonly name: string;
      readonly format: Format | undefined;
      readonly bytes: Uint8Array;
    }
  | {
      readonly kind: 'large';
      readonly name: string;
      readonly format: Format | undefined;
      readonly file: SeenFile;
    };

/** `scheme://…` that is no file. */
export function isAddress(source: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(source) && !/^file:/i.test(source);
}

/** Throws a RangeError that names the path when there is none, or none that can be read. */
export function findFile(subject: string, source: string | URL): Found {
  const path = resolve(source instanceof URL || /^file:\/\//i.test(source) ? fileURLToPath(source) : source);
  const name = basename(path);
  let fd: number;
  try {
    if (statSync(path).isDirectory()) return { kind: 'folder', path, name };
    fd = openSync(path, 'r');
  } catch (error) {
    throw new RangeError(`kymo: ${subject} names a file that cannot be read: ${path} (${codeOf(error)})`);
  }
  try {
    const seen = fstatSync(fd);
    if (!seen.isFile()) throw new RangeError(`kymo: ${subject} names ${path}, which is no file`);
    const wanted = seen.size <= SNAPSHOT_BYTES ? seen.size : HEAD_BYTES;
    const bytes = Buffer.alloc(wanted);
    let read = 0;
    for (let n = 1; n > 0 && read < wanted; read += n) n = readSync(fd, bytes, read, wanted - read, read);
    const format = formatOf(bytes);
    if (seen.size <= SNAPSHOT_BYTES) return { kind: 'small', name, format, bytes: bytes.subarray(0, read) };
    return { kind: 'large', name, format, file: { path, size: seen.size, mtimeMs: seen.mtimeMs } };
  } finally {
    closeSync(fd);
  }
}

function codeOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' ? 'there is none' : (code ?? shown(String(error)));
}
