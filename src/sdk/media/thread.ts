// The media thread: takes jobs one after the other, encodes them, and hands records back no faster than they are taken.
import { parentPort } from 'node:worker_threads';
import { encodeJob } from './encode.ts';
import { unpackJob } from './job.ts';
import type { FromThread, ToThread } from './messages.ts';
import { KnownContent, Records } from './records.ts';

/** Records handed over and not yet taken. */
const WINDOW_BYTES = 4 * 1024 * 1024;

const port = parentPort!;
const jobs: Extract<ToThread, { kind: 'job' }>[] = [];
const known = new KnownContent();
let untaken = 0;
let onTaken: (() => void) | undefined;
let working = false;

port.on('message', (message: ToThread) => {
  if (message.kind === 'taken') {
    untaken -= message.bytes;
    if (untaken < WINDOW_BYTES) onTaken?.();
    return;
  }
  jobs.push(message);
  if (!working) void work();
});

async function work(): Promise<void> {
  working = true;
  for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
    await perform(job);
  }
  working = false;
}

async function perform({ number, run, packed }: Extract<ToThread, { kind: 'job' }>): Promise<void> {
  const unpacked = unpackJob(packed);
  const { event, title, source } = unpacked.job;
  const streamed = source.as === 'folder' || ('file' in source && source.file !== undefined);
  // One record is kept back until the next, so that the last can say that it is.
  let kept: Uint8Array | undefined;
  const post = async (record: Uint8Array): Promise<void> => {
    if (kept !== undefined) await hand(kept, 0);
    kept = record;
  };
  const hand = async (bytes: Uint8Array, items: 0 | 1): Promise<void> => {
    untaken += bytes.length;
    send({ kind: 'record', number, bytes, items, streamed }, [bytes.buffer as ArrayBuffer]);
    if (untaken >= WINDOW_BYTES)
      await new Promise<void>(resolve => {
        onTaken = resolve;
      });
  };
  let failed = false;
  try {
    await encodeJob(unpacked, new Records(event, unpacked.record, run, known, post), (key, line) =>
      send({ kind: 'tell', key, line }),
    );
  } catch (error) {
    failed = true;
    const reason = error instanceof Error ? error.message : String(error);
    send({ kind: 'tell', key: `failed ${title}`, line: `${title} is dropped: ${reason}` });
  }
  if (kept !== undefined) await hand(kept, failed ? 0 : 1);
  send({ kind: 'done', number, failed });
}

function send(message: FromThread, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}
