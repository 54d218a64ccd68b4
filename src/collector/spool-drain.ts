// Puts into the journal what processes that have gone left in the spool for this collector.
import { readdirSync, renameSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { checkRequest } from '../otlp/check.ts';
import { type Frame, MAX_FRAME_BODY_BYTES } from '../otlp/frame.ts';
import {
  claimedName,
  claimOf,
  isSpoolName,
  openSpoolFile,
  ownerLives,
  readSpoolHeader,
} from '../otlp/spool-file.ts';
import type { Ingest, Instruments, Logger } from './component.ts';

export interface SpoolDrainOptions {
  readonly directory: string;
  /** Only files addressed to it are touched: `local:<collector key>`. */
  readonly endpoint: string;
  readonly ingest: Ingest;
  readonly logger: Logger;
  readonly instruments: Instruments;
}

/**
 * Claims each file whose process has gone, submits its batches with their own keys (what the journal has already is not
 * stored twice) and removes it. Stops where the journal refuses: the file then waits for the next call.
 * @returns batches submitted
 */
export async function drainSpool(options: SpoolDrainOptions): Promise<number> {
  let submitted = 0;
  for (const name of spoolNames(options.directory)) {
    const claimed = claim(options, name);
    if (claimed === undefined) continue;
    const result = await submitFile(claimed, options).catch(error => {
      options.logger.error('a spool file cannot be read; it stays where it is', { file: claimed, error });
      return undefined;
    });
    if (result === undefined) {
      release(claimed);
      continue;
    }
    submitted += result.submitted;
    if (!result.done) {
      release(claimed);
      break;
    }
    unlinkSync(claimed);
  }
  return submitted;
}

async function submitFile(
  path: string,
  { ingest, logger, instruments }: SpoolDrainOptions,
): Promise<{ readonly submitted: number; readonly done: boolean }> {
  const file = openSpoolFile(path);
  if (file === undefined) return { submitted: 0, done: true };
  let submitted = 0;
  let unreadable = 0;
  for (const frame of file.frames()) {
    const bytes = bodyOf(frame);
    const checked = bytes === undefined ? undefined : checkRequest(frame.signal, bytes);
    if (bytes === undefined || checked?.ok !== true) {
      unreadable++;
      continue;
    }
    const request = { signal: frame.signal, bytes, batchKey: frame.batchKey, items: checked.items };
    const result = await ingest.submit(request);
    if (result.kind === 'refused') {
      logger.warn('the journal does not take what a process left in the spool; it stays there', {
        file: path,
        reason: result.reason,
      });
      return { submitted, done: false };
    }
    submitted++;
  }
  unreadable += file.damaged;
  if (unreadable > 0) {
    instruments.count('kymo_spool_unreadable_batches', unreadable);
    logger.error('batches in a spool file cannot be read and are lost', { file: path, batches: unreadable });
  }
  instruments.count('kymo_spool_drained_batches', submitted);
  logger.info('took over what a process left in the spool', {
    run: file.header.run,
    instance: file.header.instance,
    batches: submitted,
  });
  return { submitted, done: true };
}

function bodyOf(frame: Frame): Uint8Array | undefined {
  try {
    const limit = { maxOutputLength: MAX_FRAME_BODY_BYTES };
    if (frame.encoding === 1) return gunzipSync(frame.body, limit);
    if (frame.encoding === 2) return zstdDecompressSync(frame.body, limit);
    // A copy: the journal keeps the bytes, and with a view it would keep the whole file.
    return Uint8Array.from(frame.body);
  } catch {
    return undefined;
  }
}

/** The path the file now has, or undefined when it is somebody else's: of a living process, another collector, or claimed meanwhile. */
function claim({ directory, endpoint }: SpoolDrainOptions, name: string): string | undefined {
  const from = join(directory, name);
  try {
    const header = readSpoolHeader(from);
    if (header === undefined || header.endpoint !== endpoint) return undefined;
    const owner = claimOf(name) ?? header.pid;
    if (owner !== process.pid && ownerLives(name, header)) return undefined;
    const to = join(directory, claimedName(name, process.pid));
    renameSync(from, to);
    return to;
  } catch {
    return undefined;
  }
}

function release(claimed: string): void {
  try {
    renameSync(claimed, claimed.replace(/\.claim-\d+$/, ''));
  } catch {
    // It keeps our claim, which ends with this process.
  }
}

function spoolNames(directory: string): string[] {
  try {
    return readdirSync(directory).filter(isSpoolName);
  } catch {
    return [];
  }
}
