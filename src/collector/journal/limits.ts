// Every limit of the journal, with its reason.

const MiB = 1024 * 1024;

/** A segment is the unit of deletion: small enough to free space in steps, large enough that files stay few. */
export const DEFAULT_SEGMENT_BYTES = 64 * MiB;
/** Below this a segment is mostly bookkeeping. */
export const MIN_SEGMENT_BYTES = 64 * 1024;
/** A journal holds at least this many segments' worth, so that deleting one never empties it. */
export const MIN_SEGMENTS_IN_LIMIT = 4;
export const DEFAULT_MAX_SIZE_BYTES = 16 * 1024 * MiB;

/** What a power cut may cost with `fsync: interval`. */
export const DEFAULT_FSYNC_INTERVAL_MS = 500;

/** Memory for requests between "body announced" and "answered", over all receivers. */
export const DEFAULT_MAX_IN_FLIGHT_BYTES = 256 * MiB;
/** Requests waiting for the disk; senders have a handful each, so this is thousands of senders. */
export const MAX_PENDING_REQUESTS = 8192;

/** One write to disk: more would hold the first sender of a group for longer than it takes to ask again. */
export const MAX_GROUP_BYTES = 32 * MiB;
export const MAX_GROUP_RECORDS = 1024;
/** Requests up to this size are copied into one buffer with their headers: one system-call entry per group instead of two per record. */
export const COPY_BELOW_BYTES = 16 * 1024;

/** Records kept in memory for exporters that keep up, so that they never read the disk. */
export const DEFAULT_TAIL_BYTES = 64 * MiB;
/** What a record costs in memory beside its bytes. */
export const RECORD_OVERHEAD_BYTES = 256;

/** Open files for reading sealed segments. */
export const MAX_OPEN_SEGMENTS = 8;
/** One read from disk; a larger record is read whole. */
export const READ_CHUNK_BYTES = MiB;

/** A full journal waits this long for exporters that are moving before it pushes senders back; they commit within half of it. */
export const ROOM_PATIENCE_MS = 1_000;
export const ROOM_POLL_MS = 20;

/** What a refused sender is told to wait. */
export const RETRY_AFTER_DISK_MS = 1_000;
export const RETRY_AFTER_FULL_MS = 5_000;
export const RETRY_AFTER_BUSY_MS = 250;

/** (Sender, signal) pairs remembered, least recently heard forgotten first: 5,000 processes with three signals each. */
export const MAX_SENDERS = 16_384;
/** Holes in one sender's numbers. Senders have a few requests under way; more holes means numbers that never come. */
export const MAX_RANGES = 256;
/** Requests without a batch key that are known again by their content: what a forwarder has under way when it loses an answer, many times over. */
export const MAX_CONTENTS = 8_192;
/** Upstream's exporters try for five minutes. */
export const CONTENTS_MAX_AGE_MS = 15 * 60 * 1000;
/** Longer than a spool may wait to be drained. */
export const DEFAULT_MARKS_MAX_AGE_MS = 14 * 24 * 3600 * 1000;
/** The marks are snapshotted after this many bytes, so that reopening reads no more than this, or after this time. */
export const MARKS_SNAPSHOT_BYTES = 64 * MiB;
export const MARKS_SNAPSHOT_INTERVAL_MS = 60_000;
/** A marks file larger than this was not written by us. */
export const MAX_MARKS_FILE_BYTES = 256 * MiB;

/** Findings listed one by one; all of them are counted. */
export const MAX_FINDINGS = 1_000;
/** The report of findings stops growing here. */
export const MAX_REPORT_BYTES = MiB;

/** After damage the next whole frame is searched for; what is checksummed in vain meanwhile is bounded by this many times the bytes searched. */
export const HUNT_FACTOR = 4;
/** How often retention, the age of the marks and the folder itself are looked after. */
export const HOUSEKEEPING_INTERVAL_MS = 1_000;
