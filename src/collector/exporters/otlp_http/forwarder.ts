// An exporter that sends each batch on as it came, one after the other; how it is sent is the caller's. Shared by otlp_http and otlp_grpc.
import type { PartialSuccess } from '../../../otlp/responses.ts';
import { printable } from '../../../semconv/printable.ts';
import { type Batch, type Exporter, type ExporterContext, RetryableError } from '../../component.ts';
import type { RetrySettings } from './settings.ts';

/** What became of a request. */
export type Sent =
  | { readonly kind: 'delivered'; readonly partial: PartialSuccess }
  /** It may pass: the peer is away, busy or says so. */
  | { readonly kind: 'retry'; readonly reason: string; readonly afterMs: number | undefined }
  /** It will not: the peer does not want this request. */
  | { readonly kind: 'rejected'; readonly reason: string };

export interface Sender {
  /** Never rejects. Ends early, as `retry`, when `signal` aborts. */
  send(batch: Batch, signal: AbortSignal): Promise<Sent>;
  close(): void;
}

/** Whoever asks for more than this has made a mistake. */
const MAX_RETRY_AFTER_MS = 60 * 60_000;
/** A peer's message in a log or an error: enough to understand it. */
const MAX_REASON_CHARACTERS = 500;

/** Failures in a row of one configured exporter; outlives the instances that the runner replaces after each failure. */
interface Failures {
  count: number;
  /** Of the batch that fails now. */
  position: number;
  since: number;
}
const failuresOf = new WeakMap<object, Failures>();

/** An exporter over `sender`. `settings` is the exporter's own settings object: waits grow from failure to failure of the same one. */
export function createForwarder(
  context: ExporterContext,
  settings: { readonly retry_on_failure: RetrySettings },
  sender: Sender,
): Exporter {
  const retry = settings.retry_on_failure;
  const stopping = new AbortController();
  let underWay: Promise<void> = Promise.resolve();

  async function deliver(batch: Batch): Promise<void> {
    const sent = await sender.send(batch, stopping.signal);
    switch (sent.kind) {
      case 'delivered':
        failuresOf.delete(settings);
        notePartial(batch, sent.partial);
        return;
      case 'rejected':
        failuresOf.delete(settings);
        throw new Error(readable(sent.reason));
      case 'retry':
        throw failed(batch, sent);
    }
  }

  function failed(batch: Batch, sent: Extract<Sent, { kind: 'retry' }>): Error {
    const now = performance.now();
    const reason = readable(sent.reason);
    const before = failuresOf.get(settings);
    const failures =
      before?.position === batch.position
        ? before
        : { count: before?.count ?? 0, position: batch.position, since: now };
    failures.count++;
    failuresOf.set(settings, failures);
    if (!retry.enabled) return new Error(`${reason} (retry_on_failure is off)`);
    if (retry.max_elapsed_time > 0 && now - failures.since >= retry.max_elapsed_time) {
      failuresOf.delete(settings);
      return new Error(`${reason} (given up after retry_on_failure::max_elapsed_time)`);
    }
    const planned = Math.min(
      retry.max_interval,
      retry.initial_interval * retry.multiplier ** (failures.count - 1),
    );
    const wait = planned * (1 + retry.randomization_factor * (2 * Math.random() - 1));
    const asked = Math.min(sent.afterMs ?? 0, MAX_RETRY_AFTER_MS);
    return new RetryableError(reason, { retryAfterMs: Math.ceil(Math.max(wait, asked)) });
  }

  /** The peer has kept the rest and must not be sent this again; what it refused is counted, not lost in silence. */
  function notePartial(batch: Batch, partial: PartialSuccess): void {
    if (partial.rejected === 0 && partial.message === '') return;
    const { signal } = batch;
    if (partial.rejected > 0) {
      context.instruments.count('kymo_exporter_rejected_items', partial.rejected, {
        exporter: context.id,
        signal,
      });
    }
    context.logger.warn('the peer took a batch only in part', {
      signal,
      rejected: partial.rejected,
      message: readable(partial.message),
    });
  }

  return {
    start() {},
    async export(batch) {
      underWay = deliver(batch);
      // `commit` waits for it too; whoever called `export` hears of the failure.
      await underWay;
    },
    async commit() {
      await underWay;
      return undefined;
    },
    stop() {
      stopping.abort();
      sender.close();
    },
  };
}

/** `Retry-After` in ms: seconds or an HTTP date (RFC 9110, section 10.2.3); undefined for anything else. */
export function parseRetryAfter(value: string | undefined, now = Date.now()): number | undefined {
  if (value === undefined) return undefined;
  if (/^\s*\d{1,9}\s*$/.test(value)) return Number(value) * 1000;
  if (!/[A-Za-z]{3}/.test(value)) return undefined;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

function readable(text: string): string {
  return printable(text.slice(0, MAX_REASON_CHARACTERS));
}
