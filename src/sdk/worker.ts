// The worker thread: drains the ring, makes batches of it, delivers them, and answers flushes. Its loop never blocks.
import { existsSync, mkdirSync, writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { paths } from '../semconv/local.ts';
import { Batcher } from './batcher.ts';
import { Delivery } from './delivery.ts';
import * as layout from './layout.ts';
import { Link } from './link.ts';
import { MediaQueue } from './media/queue.ts';
import { Spill, spillDirectory } from './media/spill.ts';
import { RingReader } from './ring-reader.ts';
import { readSettings } from './settings.ts';
import { Spool } from './spool.ts';
import { drainOrphans } from './spool-orphans.ts';
import type { SystemWatch } from './system/watch.ts';
import { type Target, Transport } from './transport.ts';

/** A batch is closed this long after its first record: few requests, and still well before the spool's 150 ms. */
const LINGER_MS = 40;
/** Slots read before the event loop gets its turn: some 10 ms of encoding. */
const SLOTS_PER_TURN = 1 << 16;
const POLL_MS = 5;
/** After this long without a record the worker sleeps until it is woken. */
const DROWSY_MS = 250;
/** A flush that takes longer says what it waits for, first after this, then at this interval. */
const FIRST_WORD_MS = 2_000;
const NEXT_WORD_MS = 5_000;
/** A file that can be read again is read only so far ahead of what the collector has acknowledged. */
const READ_AHEAD_BYTES = 16 * 1024 * 1024;
/** A flush waits so long for facts about the system that are being gathered: git and nvidia-smi may hang. */
const FACTS_PATIENCE_MS = 2_000;

const args = workerData as layout.WorkerArguments;
const settings = readSettings(process.env, () => undefined);
const control = new Int32Array(args.control, 0, layout.CONTROL_WORDS);
const counters = new Float64Array(args.control, layout.CONTROL_WORDS * 4, layout.COUNTERS);
const errorArea = new Uint8Array(args.control, layout.CONTROL_BYTES - layout.ERROR_BYTES, layout.ERROR_BYTES);

const link =
  settings.endpoint === undefined
    ? new Link({
        projectDirectory: args.projectDirectory,
        instanceId: args.instanceId,
        run: args.run,
        onChange: () => delivery.wake(),
        onError: noteError,
      })
    : undefined;
const endpointName = link === undefined ? settings.endpoint!.metrics : `local:${link.key}`;
const spoolDirectory = paths(args.projectDirectory).spool;
const transport = new Transport(settings);
const spool = new Spool({
  directory: spoolDirectory,
  endpoint: endpointName,
  instance: args.instanceId,
  sender: args.sender,
  run: args.run,
  maxBytes: settings.maxSpoolBytes,
});
const delivery: Delivery = new Delivery({
  transport,
  spool,
  target: currentTarget,
  hopeless: () => link?.hopeless === true,
  counters: {
    delivered: items => {
      counters[layout.DELIVERED]! += items;
    },
    dropped: (reason, items) => {
      counters[layout.DROPPED + layout.DROP_REASONS.indexOf(reason)]! += items;
    },
    spooled: items => {
      counters[layout.SPOOLED] = items;
    },
    error: noteError,
  },
  maxBatchBytes: settings.maxBatchBytes,
});
const numbers = { metrics: 0, logs: 0, traces: 0 };
const batcher: Batcher = new Batcher(
  args.baseUnixNano,
  settings.stepAs,
  batch => {
    const key = `${args.instanceId}/${args.sender}/${batch.signal}/${++numbers[batch.signal]}`;
    delivery.add({ ...batch, key });
  },
  // Not views of the ring: they outlive this record. A large one came in memory of its own.
  (kind, scope, bytes, items) => {
    if (kind === layout.WATCH) {
      watching = watching.then(() => watch(scope, items === 1));
      if (items === 1) {
        factsUnderWay++;
        void watching.then(factsSettled).finally(() => factsUnderWay--);
      }
      return;
    }
    const own = bytes.buffer instanceof SharedArrayBuffer ? bytes.slice() : bytes;
    if (kind === layout.MEDIA) media.add(scope, own);
    else if (factsUnderWay === 0) media.addLast(scope, own);
    else watching = watching.then(factsSettled).then(() => media.addLast(scope, own));
  },
);
const spill = new Spill({
  directory: spillDirectory(spoolDirectory),
  endpoint: endpointName,
  instance: args.instanceId,
  sender: args.sender,
  run: args.run,
  maxBytes: settings.maxSpoolBytes,
});
const media = new MediaQueue({
  runOf: scope => batcher.resourceOf(scope),
  record: (scope, bytes, items) => batcher.log(scope, bytes, items),
  // Half of the memory is for scalars and text, whatever media there are.
  hasRoom: streamed =>
    delivery.memoryBytes < settings.maxBatchBytes / 2 &&
    (!streamed || delivery.queuedBytes < READ_AHEAD_BYTES),
  freed: bytes => {
    counters[layout.MEDIA_FREED]! += bytes;
    Atomics.add(control, layout.SPACE, 1);
    Atomics.notify(control, layout.SPACE);
  },
  failed: items => {
    counters[layout.DROPPED + layout.DROP_REASONS.indexOf('media_failed')]! += items;
  },
  tell,
  spill: {
    keep: (number, { packed }, scope) => spill.keep(number, { packed, ...batcher.origin(scope) }),
    has: number => spill.has(number),
    drop: number => spill.drop(number),
  },
});
let system: SystemWatch | undefined;
/** What has been asked of it, in order, and a run's finish that comes while its facts are still being gathered. */
let watching: Promise<void> = Promise.resolve();
let factsUnderWay = 0;
const reader = new RingReader(args.control, args.ring, args.largePort);

/** Loaded with the first run that wants it: nothing waits for it when the worker starts. */
async function watch(scope: number, on: boolean): Promise<void> {
  try {
    const { SystemWatch } = await import('./system/watch.ts');
    system ??= new SystemWatch({
      start: args.system,
      probe: args.system.probe,
      facts: settings.systemFacts,
      intervalMs: settings.systemIntervalMs,
      machine: settings.firstOfMachine,
      log: (of, record) => {
        batcher.log(of, record, 0);
        wakeUp();
      },
      points: (of, measurements) => {
        batcher.gauges(of, measurements);
        wakeUp();
      },
    });
    if (on) system.begin(scope);
    else system.end(scope);
  } catch (error) {
    noteError(`the system is not watched: ${error instanceof Error ? error.message : error}`);
  }
}

/** Something has come that is not from the ring. */
function wakeUp(): void {
  Atomics.store(control, layout.SLEEPING, 0);
  Atomics.notify(control, layout.SLEEPING);
}

function factsSettled(): Promise<void> | undefined {
  return system?.settled(FACTS_PATIENCE_MS);
}

function currentTarget(): Target | undefined {
  return link === undefined ? { kind: 'url', endpoint: settings.endpoint! } : link.current();
}

function tell(line: string): void {
  if (!settings.quiet) writeSync(2, `kymo: ${line}\n`);
}

function noteError(text: string): void {
  const bytes = Buffer.from(text).subarray(0, layout.ERROR_BYTES);
  errorArea.set(bytes);
  Atomics.store(control, layout.ERROR_LENGTH, bytes.length);
}

async function run(): Promise<never> {
  // Nothing else holds this thread while it waits on shared memory.
  setInterval(() => undefined, 2 ** 30);
  Atomics.store(control, layout.WORKER_STATE, layout.WORKER_RUNNING);
  currentTarget();
  if (link === undefined) void drainOrphans(spoolDirectory, endpointName, settings, transport, currentTarget);
  void resumeKilled().catch(error =>
    tell(`media of an earlier process stay in the spool: ${messageOf(error)}`),
  );
  let quietSinceMs = performance.now();
  let flushing = false;
  for (;;) {
    Atomics.add(control, layout.BEAT, 1);
    const read = delivery.full ? 0 : reader.drain(batcher, SLOTS_PER_TURN);
    const nowMs = performance.now();
    if (read > 0) quietSinceMs = nowMs;
    media.pump();
    if (nowMs - batcher.oldestMs >= LINGER_MS) batcher.close();
    delivery.tick(nowMs);
    if (!flushing && flushWanted()) {
      flushing = true;
      void flush().finally(() => {
        flushing = false;
      });
    }
    if (read >= SLOTS_PER_TURN) await new Promise(resolve => setImmediate(resolve));
    else if (nowMs - quietSinceMs > DROWSY_MS && batcher.empty && media.idle && !flushing) await sleep();
    else await new Promise(resolve => setTimeout(resolve, POLL_MS));
  }
}

/** Media that a killed process left; what it needs is loaded only where there are some. */
async function resumeKilled(): Promise<void> {
  const directory = spillDirectory(spoolDirectory);
  if (!existsSync(directory)) return;
  const { resumeMedia } = await import('./media/resume.ts');
  await resumeMedia({
    directory,
    endpoint: endpointName,
    maxAgeMs: settings.spoolMaxAgeMs,
    instance: args.instanceId,
    transport,
    target: currentTarget,
    tell,
  });
}

/** Until the caller records something, asks for a flush, or (while something is undelivered) it is time to look again. */
async function sleep(): Promise<void> {
  Atomics.store(control, layout.SLEEPING, 1);
  if (!reader.empty || flushWanted()) {
    Atomics.store(control, layout.SLEEPING, 0);
    return;
  }
  const woken = delivery.idle
    ? Atomics.waitAsync(control, layout.SLEEPING, 1)
    : Atomics.waitAsync(control, layout.SLEEPING, 1, 100);
  await woken.value;
  Atomics.store(control, layout.SLEEPING, 0);
}

function flushWanted(): boolean {
  return Atomics.load(control, layout.FLUSH_WANTED) !== Atomics.load(control, layout.FLUSH_DONE);
}

async function flush(): Promise<void> {
  const number = Atomics.load(control, layout.FLUSH_WANTED);
  const timeoutMs = Atomics.load(control, layout.FLUSH_TIMEOUT_MS);
  let deadline = performance.now() + timeoutMs;
  const until = Atomics.load(control, layout.FLUSH_UNTIL);
  let words = sayWhatWeWaitFor('the collector to take the rest', FIRST_WORD_MS);
  try {
    while (!reader.empty && performance.now() < deadline) {
      if (!delivery.full) reader.drain(batcher, SLOTS_PER_TURN);
      await new Promise(resolve => setImmediate(resolve));
    }
    await watching;
    await factsSettled();
    if (!media.idle) {
      words.stop();
      words = sayWhatWeWaitFor('the media under way', FIRST_WORD_MS);
      deadline = await mediaSettled(deadline, timeoutMs);
      if (!media.idle) {
        const kept = media.keepAll();
        noteError(
          `${media.open} media are not encoded or not sent yet, ${kept} of them are kept in the spool`,
        );
      }
      media.release();
      words.stop();
      words = sayWhatWeWaitFor('the collector to take the rest', FIRST_WORD_MS);
    }
    batcher.close();
    const leftMs = Math.max(0, deadline - performance.now());
    const settled =
      until === layout.UNTIL_DELIVERED ? await delivery.safe(leftMs) : await delivery.settled(leftMs);
    let written = layout.WRITTEN_UNKNOWN;
    const lost = settled ? 0 : delivery.spoolAll();
    if (lost === 0) media.dropKept();
    if (!settled) {
      if (lost > 0) noteError(`${lost} items found no room in the spool: ${spool.problem}`);
    } else if (until >= layout.UNTIL_WRITTEN && link !== undefined && delivery.lastPosition !== undefined) {
      words.stop();
      let obstacle = '';
      words = sayWhatWeWaitFor('the collector to write the files', FIRST_WORD_MS, () => obstacle);
      const left = Math.max(1, deadline - performance.now());
      const result = await link.written(delivery.lastPosition, left, reason => {
        obstacle = reason;
      });
      written = result.written ? layout.WRITTEN_YES : layout.WRITTEN_NO;
      // Everything is delivered: an error from before that says nothing any more.
      if (!result.written) noteError(result.reason);
    }
    Atomics.store(control, layout.WRITTEN, written);
    if (until === layout.UNTIL_ENDED && link !== undefined) {
      words.stop();
      words = sayWhatWeWaitFor('the collector to end', FIRST_WORD_MS);
      await link.leave(Math.max(1, deadline - performance.now()));
    }
  } catch (error) {
    noteError(error instanceof Error ? error.message : String(error));
  } finally {
    words.stop();
    Atomics.store(control, layout.FLUSH_DONE, number);
    Atomics.notify(control, layout.FLUSH_DONE);
  }
}

/** Waits for media; a file has no other place than its own, so the deadline moves on for as long as one is being sent. Returns it. */
async function mediaSettled(deadline: number, timeoutMs: number): Promise<number> {
  let last = deadline;
  let sent = media.streamedBytes;
  while (!(await media.settled(Math.max(0, last - performance.now()))) && media.streamedBytes > sent) {
    sent = media.streamedBytes;
    last = performance.now() + timeoutMs;
    Atomics.store(control, layout.FLUSH_LONGER_MS, Math.ceil(last - deadline));
  }
  return last;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function sayWhatWeWaitFor(
  what: string,
  afterMs: number,
  obstacle: () => string = () => '',
): { stop(): void } {
  if (settings.quiet) return { stop: () => undefined };
  const startedMs = performance.now();
  let timer = setTimeout(say, afterMs);
  function say(): void {
    const seconds = Math.round((performance.now() - startedMs) / 1000);
    const reason = obstacle();
    writeSync(2, `kymo: waiting for ${what} (${seconds} s)${reason === '' ? '' : `: ${reason}`}\n`);
    timer = setTimeout(say, NEXT_WORD_MS);
  }
  return { stop: () => clearTimeout(timer) };
}

mkdirSync(paths(args.projectDirectory).root, { recursive: true, mode: 0o700 });
void run();
