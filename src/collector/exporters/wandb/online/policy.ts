// When a request to W&B is tried again, and after how long: as its own client does it.

export interface Timing {
  /** Of one attempt at GraphQL and file_stream. */
  readonly attemptMs: number;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  /** Between two requests of a run at least: the servers allow two a second. */
  readonly gapMs: number;
  /** Without a request for this long, an empty one says that the run lives. */
  readonly heartbeatMs: number;
  /** Changes of configuration, tags and name are sent together. */
  readonly upsertGapMs: number;
}
export const TIMING: Timing = {
  attemptMs: 60_000,
  retryMinMs: 2_000,
  retryMaxMs: 60_000,
  gapMs: 500,
  heartbeatMs: 30_000,
  upsertGapMs: 5_000,
};

const JITTER = 0.25;
/** Also of a server that says to come back much later. */
const MAX_RETRY_AFTER_MS = 10 * 60_000;
const FINAL: ReadonlySet<number> = new Set([400, 401, 403, 404, 409, 410, 413, 422, 501]);

/** `conflictPasses`: creating a run may collide with itself. */
export function isWorthRetrying(status: number, conflictPasses: boolean): boolean {
  if (status === 409 && conflictPasses) return true;
  return status >= 400 && !FINAL.has(status);
}

/** Of the nth attempt that failed, from 0 on. `retryAfter`: the header, in seconds or as a date. */
export function retryDelayMs(attempt: number, retryAfter: string | null, timing: Timing): number {
  const asked = retryAfterMs(retryAfter);
  if (asked !== undefined) return Math.min(asked, MAX_RETRY_AFTER_MS);
  const grown = Math.min(timing.retryMinMs * 2 ** Math.min(attempt, 20), timing.retryMaxMs);
  return grown * (1 + Math.random() * JITTER);
}

function retryAfterMs(header: string | null): number | undefined {
  if (header === null || header.trim() === '') return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1_000);
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}

/** Reset times below this say nothing worth waiting for. */
const MIN_RESET_SECONDS = 1;

/** How long to wait before the next request, from what an answer says is left: the rest of the window, evenly. */
export function paceMs(headers: Headers): number {
  const remaining = Number(headers.get('ratelimit-remaining') ?? Number.NaN);
  const reset = Number(headers.get('ratelimit-reset') ?? Number.NaN);
  if (!Number.isFinite(remaining) || !Number.isFinite(reset) || reset <= MIN_RESET_SECONDS) return 0;
  return Math.min((reset * 1_000) / Math.max(1, remaining), MAX_RETRY_AFTER_MS);
}
