// The thread that compares slow passwords, so that nobody who guesses holds up the collector's own thread.
import { parentPort } from 'node:worker_threads';
import { compareSync } from 'bcryptjs';
import { matchesSlow } from './htpasswd.ts';

export interface CompareRequest {
  readonly id: number;
  readonly password: string;
  readonly kept: string;
}
export interface CompareAnswer {
  readonly id: number;
  readonly same: boolean;
}

parentPort?.on('message', ({ id, password, kept }: CompareRequest) => {
  let same = false;
  try {
    same = matchesSlow(password, kept, compareSync);
  } catch {
    // Neither a password nor what is kept of one is worth an error text.
  }
  parentPort?.postMessage({ id, same } satisfies CompareAnswer);
});
