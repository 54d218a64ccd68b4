// Whose fault an exporter's error is: the world's (try again later) or the batch's (try a few times, then quarantine).
import { RetryableError } from '../component.ts';
import { errorCode } from '../journal/durable-file.ts';

/** What a batch's own content can make the file system say: a name it does not take. Everything else it says is about the disk. */
export const CONTENT_CODES: ReadonlySet<string> = new Set([
  'ENAMETOOLONG',
  'EINVAL',
  'EISDIR',
  'ENOTDIR',
  'EEXIST',
  'EILSEQ',
  'ELOOP',
]);

export type Failure =
  | { readonly kind: 'retry'; readonly afterMs: number | undefined }
  | { readonly kind: 'batch' };

/**
 * RetryableError, or an error of the operating system (disk full, folder gone, connection refused) found anywhere in the
 * chain of causes, says nothing about the batch. An exporter that lets such an error through must not lose data by it.
 */
export function judge(error: unknown): Failure {
  let cause: unknown = error;
  for (let depth = 0; depth < 8 && typeof cause === 'object' && cause !== null; depth++) {
    if (isRetryable(cause)) return { kind: 'retry', afterMs: cause.retryAfterMs };
    const code = errorCode(cause);
    if ('syscall' in cause && code !== '' && !CONTENT_CODES.has(code)) {
      return { kind: 'retry', afterMs: undefined };
    }
    cause = 'cause' in cause ? cause.cause : undefined;
  }
  return { kind: 'batch' };
}

/** By name too: an exporter of one's own may have loaded a copy of this package of its own. */
function isRetryable(cause: object): cause is RetryableError {
  return cause instanceof RetryableError || (cause instanceof Error && cause.name === 'RetryableError');
}
