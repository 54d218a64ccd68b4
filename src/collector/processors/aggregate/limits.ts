// Every limit of the aggregate processor, with its reason.

/** Metrics of one processor: each looks at every source of its name. */
export const MAX_METRICS = 1_000;
/** Runs whose windows are open; the one that was quiet longest has them closed for a new one. */
export const MAX_RUNS = 256;
/** Metric × scope × mode × dimensions of one run. Beyond it values are left out of aggregates, and counted. */
export const MAX_SERIES = 10_000;
/** Open windows of all runs: they travel in the cursor, about 150 bytes each. Beyond it the oldest of the run is closed. */
export const MAX_OPEN_WINDOWS = 50_000;
/** Processes that a window waits for, per run, scope and kind of source. Others are taken in, and not waited for. */
export const MAX_CONTRIBUTORS = 4_096;
/** A run of which nothing has come for so long (by the journal's times) has its windows closed: its senders say no goodbye. */
export const IDLE_NANO = 600e9;
/** What a heartbeat proves to have been sent: other requests of its process may still be under way for as long. */
export const HEARTBEAT_SLACK_NANO = 1e9;
