// The words and records that the caller's thread and the worker thread share. Nothing else knows this layout.
import type { MessagePort } from 'node:worker_threads';

/** Control words, as indices into an Int32Array. Both sides use Atomics on them. */
export const HEAD = 0; // slots written, modulo 2^32; stored by the caller only
export const TAIL = 1; // slots read, modulo 2^32; stored by the worker only
export const WORKER_STATE = 2; // one of the WORKER_* values
export const SLEEPING = 3; // 1 while the worker waits to be notified of new records
export const SPACE = 4; // incremented and notified by the worker whenever it has freed space
export const FLUSH_WANTED = 5; // number of the newest flush asked for; stored by the caller
export const FLUSH_DONE = 6; // number of the newest flush answered; stored and notified by the worker
export const FLUSH_TIMEOUT_MS = 7; // argument of the newest flush
export const FLUSH_UNTIL = 8; // argument: one of the UNTIL_* values
export const WRITTEN = 9; // answer: one of the WRITTEN_* values
export const BEAT = 10; // incremented by the worker's loop; a caller that waits for space checks that it moves
export const ERROR_LENGTH = 11; // bytes of the last error's text in the error area
export const FLUSH_LONGER_MS = 12; // by how much the worker has put off the end of the flush under way
export const CONTROL_WORDS = 16;

export const WORKER_BOOTING = 0;
export const WORKER_RUNNING = 1;
export const WORKER_DEAD = 2;

/** What a flush waits for: the acknowledgement, then the collector's file exporters, then the collector's own end. */
export const UNTIL_DELIVERED = 0;
export const UNTIL_WRITTEN = 1;
export const UNTIL_ENDED = 2;

export const WRITTEN_UNKNOWN = 0;
export const WRITTEN_NO = 1;
export const WRITTEN_YES = 2;

/** Counters, as indices into a Float64Array after the control words. Stored by the worker only. */
export const DELIVERED = 0;
export const SPOOLED = 1;
/** What the worker dropped, by reason; `DROP_REASONS[i]` stands at `DROPPED + i`. */
export const DROPPED = 2;
export const DROP_REASONS = ['rejected', 'spool_full', 'worker_error', 'media_failed'] as const;
export type WorkerDropReason = (typeof DROP_REASONS)[number];
/** Raw bytes of media that the worker holds no longer, since the start; `SPACE` is notified with it. */
export const MEDIA_FREED = DROPPED + DROP_REASONS.length;
export const COUNTERS = MEDIA_FREED + 1;

/** Room for the text of the last delivery error (UTF-8). */
export const ERROR_BYTES = 512;

export const CONTROL_BYTES = CONTROL_WORDS * 4 + COUNTERS * 8 + ERROR_BYTES;

/**
 * Records in the ring. A slot is 8 bytes; a record is a header slot and what follows. The header's low word is the kind
 * (with flags), its high word the argument named below.
 *
 * ROW: argument = number of pairs. Slots: time (f64, ns since the recorder's base) · step (f64, NaN none) ·
 *   [span ref u32 | bytes of axes u32] · pairs of ([series u32 | 1 for int64] · value f64 or i64) · axes bytes, padded.
 * All others ("blobs"): argument = an id. Slots: [bytes u32 | items u32] · bytes, padded. A blob never wraps around the
 *   ring's end: SKIP fills what is left there. DEFINE_SERIES' blob begins with the scope id (u32) and the name's length (u32).
 */
export const ROW = 1;
export const SKIP = 2; // argument = slots to skip, header included
export const DEFINE_RESOURCE = 3; // argument = resource id; bytes = Resource message
export const DEFINE_SCOPE = 4; // argument = scope id; items = resource id; bytes = InstrumentationScope message
export const DEFINE_SERIES = 5; // argument = series id; items = scope id; bytes = [u32 name length][name][attributes]
export const DEFINE_SPAN = 6; // argument = span ref; bytes = 16 of the trace id, 8 of the span id
export const LOG = 7; // argument = scope id; bytes = LogRecord message
export const SPAN = 8; // argument = scope id; bytes = Span message
export const REQUEST = 9; // argument = index of the signal in SIGNALS; items = items; bytes = a whole export request
export const HISTOGRAM = 10; // argument = series id; bytes = see histogram-blob.ts
export const LARGE = 11; // a blob too large for the ring: argument = number of the message that carries it
export const MEDIA = 12; // argument = scope id; bytes = see media/job.ts
export const LOG_AFTER_MEDIA = 13; // as LOG, but it goes out after the media before it
export const WATCH = 14; // argument = scope id; items = 1 when a run begins whose system is to be watched, 0 when it ends

export const ROW_HEADER_SLOTS = 4;
export const BLOB_HEADER_SLOTS = 2;

/** Blobs above this share of the ring travel as messages, so that one image cannot stall the ring. */
export const LARGE_BLOB_SHARE = 8;
/** Media above this do, so that many of them do not fill it either. */
export const MAX_MEDIA_IN_RING = 64 * 1024;

export interface WorkerArguments {
  readonly control: SharedArrayBuffer;
  readonly ring: SharedArrayBuffer;
  /** Large blobs come through here. */
  readonly largePort: MessagePort;
  /** Unix ns of the recorder's time 0. */
  readonly baseUnixNano: bigint;
  readonly sender: string;
  readonly instanceId: string;
  readonly projectDirectory: string;
  /** What the worker cannot see of the caller's thread by itself. */
  readonly system: {
    readonly argv: readonly string[];
    readonly execArgv: readonly string[];
    readonly nodeOptions: string | undefined;
    /** See system/loop-probe.ts. */
    readonly probe: SharedArrayBuffer;
  };
  /** The first run of this process, for people who look at a spool or a status; empty when there is none yet. */
  readonly run: string;
}

/** A blob that did not fit the ring, posted before its LARGE record is published. */
export interface LargeBlob {
  readonly number: number;
  readonly kind: number;
  readonly argument: number;
  readonly items: number;
  readonly bytes: Uint8Array;
}
