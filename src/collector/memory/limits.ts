// Every limit of the collector's memory, with its reason.

const MiB = 1024 * 1024;

/** What a collector has without `memory_limiter`: enough for one request of the largest size, in JSON, beside everything else. */
export const DEFAULT_LIMIT_BYTES = 512 * MiB;
/** The same where the machine or container is small: half of it, the training needs the rest. */
export const DEFAULT_LIMIT_SHARE = 0.5;
/** Of the hard limit, when nothing is said: upstream's default. */
export const DEFAULT_SPIKE_SHARE = 0.2;

/** The program itself, at rest. */
export const BASE_BYTES = 100 * MiB;
/** Even below its own size a collector keeps trying with this. */
export const MIN_AVAILABLE_BYTES = 16 * MiB;
/** Of what is left between the program and the soft limit. The rest is for exporters, and for what waits to be collected. */
export const TAIL_SHARE = 0.15;
export const FEED_SHARE = 0.25;
/** The largest request: one that can never be taken has to be told so. */
export const REQUEST_SHARE = 0.8;

/** Memory is read again when this old, or when so much has been let in since. A reading takes some 10 µs. */
export const READING_MAX_AGE_MS = 5;
export const READING_MAX_ADMITTED_BYTES = MiB;
/** What a request becomes while it is under way, in its blocks from the socket and decoded, as a multiple of its size. */
export const GROWTH = 2;
/** Requests up to this size may use a part of the spike's room, whatever else is under way: who sends little is not starved by who sends much. */
export const SMALL_REQUEST_BYTES = 64 * 1024;
export const SMALL_REQUESTS_SPIKE_SHARE = 0.75;

export const DEFAULT_CHECK_INTERVAL_MS = 1_000;
/** A full collection takes 20 to 150 ms, in which nobody is answered. Upstream's 10 s would push back for as long. */
export const DEFAULT_SOFT_GC_INTERVAL_MS = 1_000;
export const DEFAULT_HARD_GC_INTERVAL_MS = 100;
/** Above the limit with nothing under way: said again after this time. */
export const STUCK_LOG_INTERVAL_MS = 60_000;
