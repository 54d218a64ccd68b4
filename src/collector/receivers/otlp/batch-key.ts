// The `kymo-batch` header: what makes a retry of a request recognisable. `<instance>/<sender>/<signal>/<n>`.
import type { Signal } from '../../../otlp/model.ts';

/** Instance ids are UUIDs and senders are short; the journal keeps every key, so there is an end to it. */
export const MAX_BATCH_KEY_CHARACTERS = 512;
/** Printable ASCII without blanks; the instance and the sender without a slash. */
const BATCH_KEY = /^[!-.0-~]+\/[!-.0-~]+\/(traces|metrics|logs)\/([1-9][0-9]{0,15})$/;

/** What is wrong with a batch key that came with a request of `signal`; undefined when it is good. */
export function batchKeyProblem(key: string, signal: Signal): string | undefined {
  if (key.length > MAX_BATCH_KEY_CHARACTERS)
    return `the kymo-batch header has more than ${MAX_BATCH_KEY_CHARACTERS} characters`;
  const match = BATCH_KEY.exec(key);
  if (match === null || !Number.isSafeInteger(Number(match[2])))
    return 'the kymo-batch header is not <instance>/<sender>/<signal>/<n> with n = 1, 2, 3 …';
  if (match[1] !== signal) return `the kymo-batch header is of a ${match[1]} request, this one has ${signal}`;
  return undefined;
}
