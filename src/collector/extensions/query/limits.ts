// Every limit of the query API, with its reason.

const KiB = 1024;
const MiB = 1024 * KiB;

/** Queries under way or waiting at a time; beyond it the answer is 503. */
export const MAX_WAITING = 64;
/** What one query may take, waiting included. */
export const QUERY_TIMEOUT_MS = 60_000;
/** A peer that takes nothing for this long gives its connection back. Longer than any answer is waited for. */
export const SOCKET_TIMEOUT_MS = 2 * QUERY_TIMEOUT_MS;
export const MAX_CONNECTIONS = 128;
export const HEADERS_TIMEOUT_MS = 10_000;
/** Longer than Grafana's idle connections. */
export const IDLE_TIMEOUT_MS = 90_000;
/** Path and parameters. Node's own limit for all headers together is 16 KiB. */
export const MAX_URL_CHARACTERS = 14 * KiB;
/** How often the thread that answers is started again after a failure, and how long it rests before. Its heap is part of the collector's memory. */
export const MAX_THREAD_STARTS = 10;
export const THREAD_RESTART_MS = 1_000;
export const THREAD_MAX_HEAP_MIB = 384;

export const MAX_RUNS_PER_PAGE = 1_000;
export const MAX_METRICS_PER_PAGE = 10_000;
export const MAX_LINES_PER_PAGE = 1_000;

/** Curves of one query. */
export const MAX_CURVE_RUNS = 200;
export const MAX_CURVE_METRICS = 50;
export const MAX_SERIES = 500;
export const MAX_POINTS = 20_000;
/** Points per series times series: an answer of some ten MiB. */
export const MAX_CELLS = 200_000;
/** Points read to join a metric with an axis. */
export const MAX_JOINED_POINTS = 20_000_000;

/** What one page of lines may read while it looks for matching ones; the next page goes on from there. */
export const MAX_PAGE_READ_BYTES = 8 * MiB;
/** A line longer than this is passed over and counted. */
export const MAX_LINE_BYTES = 4 * MiB;
/** A run.json or config.json larger than this was not written by us. */
export const MAX_DOCUMENT_BYTES = 16 * MiB;
/** Run documents remembered, so that a list does not read them again. */
export const MAX_KNOWN_RUNS = 20_000;
