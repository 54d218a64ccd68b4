// Delivers what earlier processes left in the spool for this endpoint. The bundled collector does it itself for its own.
import { readdirSync, readFileSync, renameSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import {
  claimedName,
  claimOf,
  decodeSpoolHeader,
  isSpoolName,
  processLives,
  readSpoolFile,
} from '../otlp/spool-file.ts';
import type { Settings } from './settings.ts';
import type { Target, Transport } from './transport.ts';

const RETRY_MS = 5_000;

/** Takes one file after the other; a batch that cannot be delivered now is tried again until the process ends. */
export async function drainOrphans(
  directory: string,
  endpoint: string,
  settings: Settings,
  transport: Transport,
  target: () => Target | undefined,
): Promise<void> {
  for (const path of claimOrphans(directory, endpoint, settings.spoolMaxAgeMs)) {
    const file = readSpoolFile(path);
    for (const frame of file?.frames ?? []) {
      for (;;) {
        const to = target();
        const outcome =
          to === undefined ? undefined : await transport.send(to, frame.signal, frame.batchKey, frame.body);
        if (outcome !== undefined && outcome.kind !== 'retry') break;
        const wait = outcome?.afterMs ?? RETRY_MS;
        await new Promise(resolve => setTimeout(resolve, wait).unref());
      }
    }
    unlinkSync(path);
  }
}

/** Renames what nobody living owns; whoever renames first has it. Files beyond the age limit are left for people to see. */
export function claimOrphans(directory: string, endpoint: string, maxAgeMs: number): string[] {
  const claimed: string[] = [];
  for (const name of listed(directory)) {
    const from = join(directory, name);
    try {
      const start = decodeSpoolHeader(readFileSync(from).subarray(0, 8192));
      if (start === undefined || start.header.endpoint !== endpoint) continue;
      const owner = claimOf(name) ?? start.header.pid;
      if (processLives(owner) || Date.now() - statSync(from).mtimeMs > maxAgeMs) continue;
      const to = join(directory, claimedName(name, process.pid));
      renameSync(from, to);
      claimed.push(to);
    } catch {
      // Somebody else was faster, or it cannot be read: not ours.
    }
  }
  return claimed;
}

function listed(directory: string): string[] {
  try {
    return readdirSync(directory).filter(isSpoolName);
  } catch {
    return [];
  }
}
