// One writer per journal: a local endpoint named after the folder, which the system frees when its process ends, however it ends.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { errorCode } from './durable-file.ts';

export interface JournalLock {
  release(): Promise<void>;
}

/** Throws when another process (or another Journal of this one) holds the folder. `directory` must exist. */
export async function lockJournal(directory: string): Promise<JournalLock> {
  const real = await fs.promises.realpath(directory);
  const address = lockAddress(real);
  const server = net.createServer(socket => socket.destroy());
  try {
    await listen(server, address);
  } catch (error) {
    if (errorCode(error) !== 'EADDRINUSE') throw error;
    if (!isSocketFile(address) || (await answers(address))) {
      throw new JournalHeldError(
        `journal ${real}: another collector has it open. Stop that one, or give this one a folder of its own (journal: directory).`,
      );
    }
    // A socket file whose process has gone: systems without abstract sockets leave it behind.
    await fs.promises.rm(address, { force: true });
    await listen(server, address);
  }
  server.unref();
  return {
    release: () => new Promise<void>(resolve => server.close(() => resolve())),
  };
}

/** True for the error of a journal that somebody else has open. */
export function isHeldJournal(error: unknown): boolean {
  return error instanceof JournalHeldError;
}

class JournalHeldError extends Error {}

function lockAddress(real: string): string {
  const name = `kymo-journal-${createHash('sha256').update(real).digest('hex').slice(0, 32)}`;
  if (process.platform === 'linux') return `\0${name}`;
  if (process.platform === 'win32') return `\\\\.\\pipe\\${name}`;
  return path.join(os.tmpdir(), `${name}.sock`);
}

function isSocketFile(address: string): boolean {
  return !address.startsWith('\0') && !address.startsWith('\\\\');
}

function listen(server: net.Server, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(address, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function answers(address: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect(address);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
