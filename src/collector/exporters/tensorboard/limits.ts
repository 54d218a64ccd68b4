// Every limit of the TensorBoard exporter, with its reason.

/** A write is issued once this much is waiting: large enough to be cheap, small enough that memory does not matter. */
export const FLUSH_BYTES = 256 * 1024;
/** Encoded records waiting in all runs together; beyond it everything is written out. */
export const MAX_BUFFERED_BYTES = 32 * 1024 * 1024;
/** Tags longer than this are cut and end in a hash: the UI is unusable with them, and each point repeats its tag. */
export const MAX_TAG_BYTES = 512;
/** A mend that would make more parts than this writes the whole run into one instead. */
export const MAX_PARTS = 32;
/** Records that one mend can put in order; 32 bytes of memory each. A run of 20 metrics per row has 20 points in a record. */
export const MAX_MEND_RECORDS = 8_000_000;
/** A mend waits for this many times as long as the last one took, so that it costs at most about a tenth of the time. */
export const MEND_PAUSE_FACTOR = 10;
/** A run part's positions are remembered once per this many bytes, so that a mend need not read what is before its first step. */
export const MARK_BYTES = 1024 * 1024;
/** One read or copy step of a mend or a scan; between two of them other work gets its turn. */
export const CHUNK_BYTES = 1024 * 1024;
/** Largest record that is read back. What we write is far smaller; a length beyond it is damage. */
export const MAX_RECORD_BYTES = 64 * 1024 * 1024;
/** Config of a run kept for later changes to be merged into. */
export const MAX_CONFIG_BYTES = 64 * 1024;
/** hparams columns of one run; the UI shows a column each. */
export const MAX_HPARAMS = 512;
/** Characters of one hparams value. */
export const MAX_HPARAM_CHARACTERS = 1024;
/** Processes of one run whose start and finish are followed. */
export const MAX_INSTANCES = 4096;
/** Resumed attempts that are remembered per run; only those matter whose resume step no later one undercuts. */
export const MAX_RESUMES = 64;
/** Series of cumulative histograms whose last state is kept for making deltas. */
export const MAX_CUMULATIVE_HISTOGRAMS = 1024;
/** A finished run is closed after this long without data, any other after the second. */
export const CLOSE_FINISHED_AFTER_MS = 60_000;
export const CLOSE_IDLE_AFTER_MS = 600_000;
/** With more than `max_open_runs` runs, one is closed after this long; with this many times more, at once. */
export const CLOSE_EXCESS_AFTER_MS = 10_000;
export const MAX_EXCESS = 8;
/**
 * An emptied event file is removed after this long: by then every reader that stood in it has gone on. TensorBoard comes by every 5 s
 * by default, but its Python reader can take minutes for one round over many runs.
 */
export const FORGET_RETIRED_AFTER_MS = 600_000;
/** fdatasync calls under way at once: Node's thread pool has four threads and others need it too. */
export const SYNC_CONCURRENCY = 3;
/** A text that is shown, and a table's rows, columns and cells: what a page can bear, at each of a hundred steps. */
export const MAX_TEXT_CHARACTERS = 256 * 1024;
export const MAX_TABLE_ROWS = 200;
export const MAX_TABLE_COLUMNS = 50;
export const MAX_CELL_CHARACTERS = 200;
/** Contents kept in memory by all runs together, for events that bring only the hash of what came before. */
export const MAX_CACHED_CONTENT_BYTES = 32 * 1024 * 1024;
/** Media events of one run that wait for their bytes; and how long, when nothing of the bytes has come. */
export const MAX_WAITING_MEDIA = 1024;
export const WAIT_FOR_CONTENT_MS = 300_000;
/** How often the run folder is looked at for bytes that the jsonl exporter has. */
export const LOOK_FOR_CONTENT_MS = 1_000;
/** Keys of the last media of a run, so that what comes twice is shown once. In the cursor, 16 characters each. */
export const MAX_RECENT_MEDIA = 256;
