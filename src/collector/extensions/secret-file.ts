// A small file with secrets that is read again when it changes: rotating them needs no restart.
import { readFileSync, statSync } from 'node:fs';
import type { Logger } from '../component.ts';

/** Tens of thousands of tokens or users; whoever has more wants another kind of directory. */
const MAX_BYTES = 4 * 1024 * 1024;
/** Looked at by its time and size and not by events, which neither network folders nor mounted secrets send. */
const LOOK_INTERVAL_MS = 1_000;

export interface WatchedFile {
  close(): void;
}

/**
 * Gives the file's text to `apply` now and whenever it has changed. Throws now what is wrong with it, `apply`'s errors included;
 * later that is logged, and what was applied before stays.
 * @param setting names the setting in errors
 */
export function watchSecretFile(
  path: string,
  setting: string,
  logger: Logger,
  apply: (text: string) => void,
  lookIntervalMs = LOOK_INTERVAL_MS,
): WatchedFile {
  let seen = '';
  const look = (): void => {
    const { mtimeMs, size, ino } = statSync(path);
    const now = `${mtimeMs} ${size} ${ino}`;
    if (now === seen) return;
    if (size > MAX_BYTES) throw new Error(`is larger than ${MAX_BYTES} bytes`);
    apply(readFileSync(path, 'utf8'));
    if (seen !== '') logger.info(`${setting}: ${path} was read again`);
    seen = now;
  };
  try {
    look();
  } catch (error) {
    throw new Error(`${setting}: cannot use ${path}: ${(error as Error).message}`, { cause: error });
  }
  let failing = false;
  const timer = setInterval(() => {
    try {
      look();
      failing = false;
    } catch (error) {
      if (!failing)
        logger.warn(`${setting}: ${path} cannot be read again; what it held before stays`, { error });
      failing = true;
    }
  }, lookIntervalMs);
  timer.unref();
  return { close: () => clearInterval(timer) };
}
