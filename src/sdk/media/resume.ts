// Encodes and delivers the media that a killed process left (see spill.ts), with the resource and the scope that it gave them.
import { randomBytes } from 'node:crypto';
import { unlinkSync } from 'node:fs';
import { encodeLogsRequest } from '../../otlp/encode-requests.ts';
import { openSpoolFile } from '../../otlp/spool-file.ts';
import { claimOrphans } from '../spool-orphans.ts';
import type { Target, Transport } from '../transport.ts';
import { MediaQueue } from './queue.ts';
import { removeUnfinished, type SpilledJob, spilledJob } from './spill.ts';

/** One request; the queue makes records as fast as they are sent. */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
const LOOK_MS = 20;
const AWAIT_TARGET_MS = 200;
const RETRY_MS = 5_000;

export interface ResumeOptions {
  /** See `spillDirectory`. */
  readonly directory: string;
  readonly endpoint: string;
  readonly maxAgeMs: number;
  /** Of this process: its batch keys, not the media's resource. */
  readonly instance: string;
  readonly transport: Transport;
  readonly target: () => Target | undefined;
  readonly tell: (line: string) => void;
}

/**
 * One file after the other, each until it is taken or refused. What the killed process had sent of one already is sent again; sinks
 * know an event by its name and time.
 */
export async function resumeMedia(options: ResumeOptions): Promise<void> {
  removeUnfinished(options.directory);
  const paths = claimOrphans(options.directory, options.endpoint, options.maxAgeMs);
  if (paths.length === 0) return;
  const sender = new Sender(options);
  let bytes = 0;
  let records: Uint8Array[] = [];
  const queue = new MediaQueue({
    runOf: () => 0,
    record: (_, record) => {
      records.push(record);
      bytes += record.length;
    },
    hasRoom: () => bytes < MAX_REQUEST_BYTES,
    freed: () => undefined,
    failed: () => undefined,
    tell: options.tell,
  });
  const flush = async (job: SpilledJob) => {
    const recordBytes = records;
    records = [];
    bytes = 0;
    if (recordBytes.length > 0) await sender.send(encodeLogsRequest([{ ...job, recordBytes }]));
  };
  for (const path of paths) {
    for (const frame of openSpoolFile(path)?.frames() ?? []) {
      const job = spilledJob(frame.body);
      if (job === undefined) continue;
      queue.add(0, job.packed);
      while (!queue.idle) {
        queue.pump();
        if (bytes >= MAX_REQUEST_BYTES) await flush(job);
        else await queue.settled(LOOK_MS);
      }
      await flush(job);
    }
    unlinkSync(path);
  }
}

class Sender {
  private readonly options: ResumeOptions;
  private readonly name = `m${randomBytes(6).toString('hex')}`;
  private requests = 0;

  constructor(options: ResumeOptions) {
    this.options = options;
  }

  async send(request: Uint8Array): Promise<void> {
    const { transport, target, instance } = this.options;
    const key = `${instance}/${this.name}/logs/${++this.requests}`;
    for (;;) {
      const to = target();
      const outcome = to === undefined ? undefined : await transport.send(to, 'logs', key, request);
      if (outcome !== undefined && outcome.kind !== 'retry') return;
      const waitMs = outcome === undefined ? AWAIT_TARGET_MS : (outcome.afterMs ?? RETRY_MS);
      await new Promise(resolve => setTimeout(resolve, waitMs));
    }
  }
}
