// Every limit of the feed and its runners, with its reason.

const MiB = 1024 * 1024;

/** Decoded batches held for exporters that are a little behind the first one; further behind, the journal is read again. */
export const DEFAULT_FEED_BYTES = 128 * MiB;
/** One read from the journal ahead of the reader. */
export const FEED_READ_BYTES = MiB;
/** What a batch takes in memory once decoded, as a multiple of its bytes: columns for points, objects for the rest. */
export const DECODED_FACTOR = { metrics: 2, logs: 8, traces: 8 } as const;
export const BATCH_OVERHEAD_BYTES = 512;

/** What a crash costs at most in work done again, and how often an exporter's files are made durable under load. */
export const DEFAULT_COMMIT_INTERVAL_MS = 500;
/** Caught up and quiet for this long: commit now, nobody is waiting for more. */
export const DEFAULT_IDLE_COMMIT_MS = 150;
/** Synchronous work of one exporter between two turns of the event loop, so that receivers and other exporters get theirs. */
export const DEFAULT_SLICE_MS = 20;

/** An exporter that has neither exported nor committed for so long is not on its way; four commits would have come. */
export const MOVING_WITHIN_MS = 2_000;

export const DEFAULT_RETRY_INITIAL_MS = 200;
export const DEFAULT_RETRY_MAX_MS = 30_000;
export const RETRY_FACTOR = 2;
/** While stopping there is little time: retries come at least this often. */
export const DRAIN_RETRY_MS = 250;
/** Between two attempts at a batch that an exporter cannot take. */
export const BATCH_RETRY_MS = 100;
/** An exporter that fails this often on one batch does not get it any more. */
export const DEFAULT_MAX_ATTEMPTS = 3;

/** Requests kept in quarantine per exporter; beyond this they are counted and named in the log, and stay in the journal only. */
export const MAX_QUARANTINED_FILES = 1_000;
/** An exporter that has failed is given this long to let go of its files. */
export const STOP_GRACE_MS = 2_000;
/** How long stopping may spend on counting what is left. */
export const COUNT_LEFT_MS = 1_000;
