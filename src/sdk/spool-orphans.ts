// Delivers what earlier processes left in the spool for this endpoint. The bundled collector does it itself for its own.
import { readdirSync, renameSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { claimedName, isSpoolName, openSpoolFile, ownerLives, readSpoolHeader } from '../otlp/spool-file.ts';
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
  for (const path of claimOrphans(directory, endpoint, settings.spoolMaxAgeMs))
    await sendOrphan(path, transport, target);
}

/** What became of a claimed file's batches. */
export interface SentOrphan {
  readonly sent: number;
  /** Refused for good by the receiver, or unreadable: nothing can be done about them. */
  readonly lost: number;
  /** False when the deadline came first: the file is still there. */
  readonly done: boolean;
  /** Why the last batch that was not taken was not; empty when all were. */
  readonly lastError: string;
}

/** Sends a claimed file's batches one after the other, each until it is taken or refused, and removes the file. */
export async function sendOrphan(
  path: string,
  transport: Transport,
  target: () => Target | undefined,
  deadlineMs = Infinity,
): Promise<SentOrphan> {
  const file = openSpoolFile(path);
  let sent = 0;
  let lost = 0;
  let lastError = '';
  for (const frame of file?.frames() ?? []) {
    for (;;) {
      const to = target();
      const outcome =
        to === undefined ? undefined : await transport.send(to, frame.signal, frame.batchKey, frame.body);
      if (outcome?.kind === 'stored') {
        sent++;
        break;
      }
      if (outcome !== undefined) lastError = outcome.reason;
      if (outcome?.kind === 'rejected') {
        lost++;
        break;
      }
      const waitMs = Math.min(outcome?.afterMs ?? RETRY_MS, deadlineMs - performance.now());
      if (waitMs <= 0) return { sent, lost, done: false, lastError };
      await new Promise(resolve => setTimeout(resolve, waitMs));
    }
  }
  const damaged = file?.damaged ?? 0;
  if (damaged > 0) lastError = 'damaged in the file';
  lost += damaged;
  unlinkSync(path);
  return { sent, lost, done: true, lastError };
}

/** Gives a claimed file back, for whoever comes next. */
export function releaseOrphan(path: string): void {
  renameSync(path, path.replace(/\.claim-\d+$/, ''));
}

/** Renames what nobody living owns; whoever renames first has it. Files beyond the age limit are left for people to see. */
export function claimOrphans(directory: string, endpoint: string, maxAgeMs: number): string[] {
  const claimed: string[] = [];
  for (const name of listed(directory)) {
    const from = join(directory, name);
    try {
      const header = readSpoolHeader(from);
      if (header === undefined || header.endpoint !== endpoint) continue;
      if (ownerLives(name, header) || Date.now() - statSync(from).mtimeMs > maxAgeMs) continue;
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
