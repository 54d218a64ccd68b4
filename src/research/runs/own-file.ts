// Reads a small file that an exporter keeps for a run: never through a link, never more than it can have.
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { RunError } from './run-error.ts';

/** Far more than a run of 4,096 processes and 500 metrics has. */
const MAX_BYTES = 64 * 1024 * 1024;

/** What stands in the way, and the way out. */
const OBSTACLES: Readonly<Record<string, string>> = {
  EACCES: 'may not be read; mend its rights',
  EPERM: 'may not be read; mend its rights',
  EISDIR: 'is a folder; move it away',
  ELOOP: 'is a symbolic link; put the file itself in its place',
};

/** Undefined where there is none. Throws a RunError that says what is in the way. */
export function readOwnFile(file: string): string | undefined {
  try {
    const fd = openSync(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
    try {
      const { size } = fstatSync(fd);
      if (size > MAX_BYTES)
        throw new RunError('foreign_folder', file, `${file} has ${size} bytes, which is no file of kymo`);
      return readFileSync(fd, 'utf8');
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof RunError) throw error;
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    const what = OBSTACLES[code] ?? `cannot be read (${code})`;
    throw new RunError('broken_file', file, `${file} ${what}, or choose another id`, error);
  }
}
