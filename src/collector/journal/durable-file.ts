// Replacing a small file so that a crash or power cut leaves the old content or the new one, never a mixture.
import fs from 'node:fs';
import path from 'node:path';

export interface ReplaceOptions {
  /** False skips both fdatasync and fsync of the folder: a crash of the process is still harmless, a power cut is not. */
  readonly durable: boolean;
  /** The file that is replaced is kept under this path first. */
  readonly keepAs?: string;
}

/** Writes `<file>.tmp`, makes it durable, renames it over `file` and makes the folder durable. Throws what the file system throws. */
export async function replaceFile(file: string, content: string, options: ReplaceOptions): Promise<void> {
  const temporary = `${file}.tmp`;
  const handle = await fs.promises.open(temporary, 'w', 0o644);
  try {
    await handle.writeFile(content);
    if (options.durable) await handle.datasync();
  } finally {
    await handle.close();
  }
  if (options.keepAs !== undefined) {
    try {
      await fs.promises.rename(file, options.keepAs);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }
  await fs.promises.rename(temporary, file);
  if (options.durable) await syncFolder(path.dirname(file));
}

/** fsync of a folder, so that names made or removed in it survive a power cut. Windows has no such call and needs none. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await fs.promises.open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** By shape and not by class: errors of another realm (a vm context) are errors too. */
export function errorCode(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : '';
}
export function errorText(error: unknown): string {
  const message = typeof error === 'object' && error !== null && 'message' in error ? error.message : error;
  return String(message);
}
