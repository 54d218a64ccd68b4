// A child process for crash tests: appends numbered batches until it is killed and prints each acknowledged number.
import fs from 'node:fs';
import { openJournal } from '../../../src/collector/journal/journal.ts';

const [directory, first, fsync] = process.argv.slice(2);
const quiet = () => {};
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet };
const journal = await openJournal({
  directory: directory!,
  logger,
  fsync: fsync as 'always' | 'interval',
  segmentBytes: 256 * 1024,
});
fs.writeSync(1, 'open\n');
let number = Number(first);

async function sender(): Promise<void> {
  for (;;) {
    const n = number++;
    // Sizes on both sides of what is copied, so that groups are written in several pieces.
    const bytes = Buffer.alloc((n * 2_741) % 40_000, n % 256);
    const result = await journal.append({
      signal: 'metrics',
      bytes,
      batchKey: `instance/sender/metrics/${n}`,
    });
    if (result.kind === 'stored') fs.writeSync(1, `${n}\n`);
  }
}
await Promise.all(Array.from({ length: 8 }, sender));
