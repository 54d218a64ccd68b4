// Writes files that are there whole and durable, or not at all: a new file, its bytes on the disk, its name, its folder.
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Work } from './work.ts';

/** Written, hashed or read at a time: a few milliseconds during which nothing else runs. */
const PIECE_BYTES = 4 * 1024 * 1024;
const FILE_MODE = 0o640;
const FOLDER_MODE = 0o750;
const { O_CREAT, O_EXCL, O_WRONLY, O_RDONLY } = constants;
const O_NOFOLLOW = constants.O_NOFOLLOW ?? 0;

export interface WrittenFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * Writes `pieces` as a file of `folder` under a temporary name, then gives it the name that `nameOf` makes of its SHA-256. The folder's own
 * entry is not durable yet: `syncFolder`. When anything fails the temporary file is removed and nothing has changed.
 */
export function* writeWhole(
  folder: string,
  temporary: string,
  pieces: readonly Uint8Array[],
  nameOf: (sha256: string) => string,
): Work<WrittenFile> {
  const place = join(folder, temporary);
  const hash = createHash('sha256');
  let bytes = 0;
  let done = false;
  const fd = openSync(place, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE);
  try {
    try {
      for (const whole of pieces) {
        for (let at = 0; at < whole.length; at += PIECE_BYTES) {
          const piece = whole.subarray(at, at + PIECE_BYTES);
          hash.update(piece);
          for (let written = 0; written < piece.length; ) written += writeSync(fd, piece, written);
          bytes += piece.length;
          if (bytes % PIECE_BYTES < piece.length) yield 'turn';
        }
      }
      yield { sync: fd };
    } finally {
      closeSync(fd);
    }
    const sha256 = hash.digest('hex');
    const name = nameOf(sha256);
    renameSync(place, join(folder, name));
    done = true;
    return { name, bytes, sha256 };
  } finally {
    if (!done) rmSync(place, { force: true });
  }
}

/** Makes names in a folder durable. Windows has no such call and needs none. */
export function* syncFolder(folder: string): Work<void> {
  if (process.platform === 'win32') return;
  const fd = openSync(folder, O_RDONLY);
  try {
    yield { sync: fd };
  } finally {
    closeSync(fd);
  }
}

/** Makes a folder with those above it, and the names of all that are new durable. */
export function makeFolder(folder: string): void {
  const first = mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
  if (first === undefined || process.platform === 'win32') return;
  const above = dirname(first);
  for (let parent = dirname(folder); ; parent = dirname(parent)) {
    const fd = openSync(parent, O_RDONLY);
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    if (parent === above || parent === dirname(parent)) return;
  }
}

/** All bytes of a file, no link, with their SHA-256. Throws what the file system throws, and a RangeError for a file of another size. */
export function readWhole(file: string, expectedBytes: number): { bytes: Buffer; sha256: string } {
  const fd = openSync(file, O_RDONLY | O_NOFOLLOW);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.size !== expectedBytes)
      throw new RangeError(`has ${stat.size} bytes instead of ${expectedBytes}`);
    const bytes = Buffer.allocUnsafeSlow(expectedBytes);
    const hash = createHash('sha256');
    for (let at = 0; at < bytes.length; ) {
      const read = readSync(fd, bytes, at, Math.min(PIECE_BYTES, bytes.length - at), at);
      if (read === 0) throw new RangeError(`ends after ${at} of ${expectedBytes} bytes`);
      hash.update(bytes.subarray(at, at + read));
      at += read;
    }
    return { bytes, sha256: hash.digest('hex') };
  } finally {
    closeSync(fd);
  }
}
