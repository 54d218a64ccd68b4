// Every limit of this exporter, with its reason.

const KiB = 1024;
const MiB = 1024 * KiB;

/** A log's buffer is written when it holds this much. */
export const FLUSH_BYTES = 256 * KiB;
/** Rows of open steps travel in the cursor, which is written twice a second: those of one run, and of all. Above it the lowest steps are written. */
export const MAX_OPEN_CHARACTERS = 96 * KiB;
export const MAX_OPEN_CHARACTERS_OF_ALL = 384 * KiB;
export const MAX_OPEN_ROWS = 1_000;
/** W&B's back-end takes lines of at most 10,383,360 bytes: a row that would be longer is split. A character is at most 3 bytes. */
export const MAX_ROW_CHARACTERS = 3 * MiB;
/** Metrics whose definition is written out. Beyond it only patterns speak for them. */
export const MAX_DEFINED_METRICS = 10_000;
/** Names remembered per run; the summary has one entry for each. More names are rows still, and counted as left out of the summary. */
export const MAX_METRICS = 100_000;
/** A configuration or summary larger than this is refused by W&B. */
export const MAX_CONFIG_CHARACTERS = 4 * MiB;
/** What one text line may hold, as the official client cuts it. */
export const MAX_CONSOLE_CHARACTERS = 4_096;
/** A run without data for this long leaves the cursor; it comes back with its next line. */
export const IDLE_MS = 5 * 60_000;
/** A state larger than this was not written by us. */
export const MAX_STATE_BYTES = 64 * MiB;
/** Calls for the disk under way at once. */
export const SYNCS_AT_ONCE = 4;
/** Bytes of logs in memory, all runs together; above it all are written. */
export const MAX_BUFFERED_BYTES = 16 * MiB;
