// Every limit of this exporter, with its reason.

const KiB = 1024;
const MiB = 1024 * KiB;

/** A buffer is written when it holds this much: large enough that the system call costs nothing beside it. */
export const FLUSH_BYTES = 256 * KiB;
/** First size of a file's buffer; it doubles as needed. */
export const INITIAL_BUFFER_BYTES = 16 * KiB;
/** All buffers together; above it everything is written at the end of the batch. */
export const MAX_BUFFERED_BYTES = 32 * MiB;

/** Metrics with last, min, max and count in run.json. They travel in the cursor, for every open run. */
export const MAX_LISTED_METRICS = 500;
/** A listed metric's name; a longer one is in the lines, but not in the table. */
export const MAX_LISTED_NAME_CHARACTERS = 1_000;
/** Metrics beyond the list are only remembered to save work; this many, then all are forgotten. */
export const MAX_REMEMBERED_METRICS = 10_000;
/** Combinations of mode, scope, process and attempt remembered per run. */
export const MAX_REMEMBERED_GROUPS = 10_000;

/** config.json is read by people. What would make it larger stays in logs.jsonl only. */
export const MAX_CONFIG_BYTES = 4 * MiB;
/** The summary travels in the cursor. */
export const MAX_SUMMARY_BYTES = 64 * KiB;
/** A run.json or the state of a closed run larger than this was not written by us. */
export const MAX_STATE_BYTES = 64 * MiB;

/** A run without data for this long leaves the cursor; it comes back with its next line. */
export const IDLE_MS = 5 * 60_000;
/** How far back from its end a damaged file is searched for its last whole line. */
export const MAX_TORN_BYTES = 64 * MiB;
/** fdatasync calls under way at once: as many as Node's thread pool has threads. */
export const SYNCS_AT_ONCE = 4;

/** Hashes of contents that were found in the store, remembered to save a look at the disk. */
export const MAX_KNOWN_CONTENTS = 10_000;
/** Events of a run that wait for the bytes they mean. They travel in the cursor. */
export const MAX_WAITING_EVENTS = 1_024;
export const MAX_WAITING_CHARACTERS = 1024 * 1024;
/** What an event of media or an artifact may say about itself; what is longer is left out. */
export const MAX_EVENT_CHARACTERS = 64 * 1024;
/** The last events of a run, so that one that comes twice (over a way without batch keys) is written once. In the cursor, 16 characters each. */
export const MAX_RECENT_EVENTS = 256;
/** Versions listed in an artifact's manifest. Older ones stay in artifacts.jsonl, and their files where they are. */
export const MAX_LISTED_VERSIONS = 10_000;
/** Files listed of one version of an artifact. */
export const MAX_LISTED_FILES = 10_000;
/** A manifest larger than this was not written by us. */
export const MAX_MANIFEST_BYTES = 64 * MiB;
/** Manifests kept in memory per run. */
export const MAX_OPEN_MANIFESTS = 32;
/** Metric definitions of a run: patterns, not metrics. They travel in the cursor. */
export const MAX_DEFINITIONS = 1_000;
/** Aliases that one event may give, and that one artifact may have. */
export const MAX_ALIASES_PER_EVENT = 32;
export const MAX_ALIASES = 1_000;
/** Rewards of rollouts whose evaluation events may still come in the next requests. In the cursor, 16 characters each. */
export const MAX_AWAITED_EVALUATIONS = 1_024;
/** Messages given as JSON text are read up to this; longer ones stay text. */
export const MAX_MESSAGES_TEXT = 64 * MiB;
