// Every limit of the column index, with its reason.

const KiB = 1024;
const MiB = 1024 * KiB;

/** Points of a block: what is read to cut one at a bucket's edge, and what one entry of the summaries stands for. */
export const BLOCK_POINTS = 256;
/** A tail is sorted in memory; beyond this its older half becomes a block. Points that come late within it cost next to nothing. */
export const TAIL_POINTS = 2 * BLOCK_POINTS;
/** Points that came later than the tail reaches, kept until this many are merged into their blocks at once. */
export const MAX_LATE_POINTS = 4_096;
/** Series of one run. A step or an id in a metric's name makes one per point; what is beyond is counted. */
export const MAX_SERIES_PER_RUN = 20_000;
/** Writers of one run, each with a metrics file of its own. */
export const MAX_SOURCES_PER_RUN = 64;
/** Marks of resumed attempts, as many as a run remembers attempts. */
export const MAX_MARKS = 1_000;

/** One read of a metrics file: parsed in some milliseconds, between which queries get their turn. */
export const READ_BYTES = MiB;
/** A longer line was not written by us, or is a row that nobody plots; it is passed over and counted. */
export const MAX_LINE_BYTES = 64 * MiB;
/** Bytes before the place that was read to, by which a file is known to be the same that it was. */
export const CHECKED_BYTES = 4 * KiB;

/** What open indexes may take in memory together, about; the least recently used are written and closed. */
export const MAX_OPEN_BYTES = 64 * MiB;
/** Blocks kept after they were read, 6.5 KiB each. */
export const MAX_CACHED_BLOCKS = 4_096;
/** Runs whose files are open at a time. */
export const MAX_OPEN_RUNS = 128;
/** An index file larger than this was not written by us. */
export const MAX_INDEX_BYTES = 1024 * MiB;
/** Runs below one directory that are listed and indexed; the newest by name win. */
export const MAX_RUNS = 20_000;

/** How often runs that grow are looked at. One that has not grown for a while has its turn with all others: a look costs some system calls. */
export const LOOK_INTERVAL_MS = 1_000;
export const ACTIVE_MS = 60_000;
export const LOOK_AT_ALL_MS = 30_000;
/** An index is written when its run has been quiet this long, or at the latest after the second: a crash costs reading again, nothing else. */
export const QUIET_COMMIT_MS = 3_000;
export const BUSY_COMMIT_MS = 30_000;
