// Compares what a sender shows with what is right, in a time that says nothing about either.
import { createHash, timingSafeEqual } from 'node:crypto';

/** A secret as its hash: all have one length, so neither length nor content shows in the time of a comparison. */
export function secretHash(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/** True when `shown` is one of the secrets behind the hashes. Looks at every one of them, found or not. */
export function isOneOf(shown: string, hashes: readonly Buffer[]): boolean {
  const hash = secretHash(shown);
  let found = false;
  for (const one of hashes) found = timingSafeEqual(hash, one) || found;
  return found;
}
