// Tests that need a small disk of their own: run where one can be mounted, and elsewhere shown as skipped, with the reason.
import { it } from '@jest/globals';
import { cannotMount, SmallDisk } from './chaos/small-disk.ts';

export { SmallDisk };

const reason = cannotMount();
/** Whether this process can mount a tmpfs: decided once, as a file of tests is loaded. */
export const canMount = reason === undefined;
/** For the end of a title: why the test is skipped. */
export const whyNot = reason === undefined ? '' : ` (not run: ${reason})`;

/** `it`, or a test that is skipped, with the reason in its title. */
export function onSmallDisk(title: string, body: () => Promise<void> | void, timeoutMs?: number): void {
  (canMount ? it : it.skip)(`${title}${whyNot}`, body, timeoutMs);
}
