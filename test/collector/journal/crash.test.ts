import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { openJournal } from '../../../src/collector/journal/journal.ts';
import { readAll, recordingLogger, temporaryFolder } from './support.ts';

const CHILD = fileURLToPath(new URL('./append-loop.ts', import.meta.url));

/** Runs the child, kills it with SIGKILL once it has acknowledged `acks` batches, and returns what it acknowledged. */
function appendUntilKilled(directory: string, first: number, fsync: string, acks: number): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CHILD, directory, String(first), fsync], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let problems = '';
    child.stderr.on('data', (chunk: Buffer) => {
      problems += chunk.toString();
    });
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
      if (out.split('\n').length > acks + 2) child.kill('SIGKILL');
    });
    child.on('close', (_code, signal) => {
      if (signal !== 'SIGKILL') reject(new Error(`the child ended by itself: ${problems}`));
      // The last line may be cut short by the kill.
      else resolve(out.split('\n').slice(1, -1).map(Number));
    });
  });
}

describe('a killed collector', () => {
  it.each(['interval', 'always'])(
    'loses nothing it acknowledged and stores no retry twice (fsync %s)',
    async fsync => {
      const directory = temporaryFolder();
      const acknowledged = new Set<number>();
      for (let round = 0; round < 6; round++) {
        // Every sender repeats what it has no answer for, and some that it has.
        let first = 1;
        while (acknowledged.has(first)) first++;
        for (const n of await appendUntilKilled(directory, Math.max(1, first - 5), fsync, 20 + round * 37)) {
          acknowledged.add(n);
        }
      }
      const journal = await openJournal({ directory, logger: recordingLogger() });
      try {
        const stored = await readAll(journal);
        const numbers = stored.map(record => Number(record.batchKey.split('/')[3]));
        expect(new Set(numbers).size).toBe(numbers.length);
        const kept = new Set(numbers);
        expect([...acknowledged].filter(n => !kept.has(n))).toEqual([]);
        expect(acknowledged.size).toBeGreaterThan(500);
        for (const record of stored) {
          const n = Number(record.batchKey.split('/')[3]);
          expect(Buffer.from(record.bytes).equals(Buffer.alloc((n * 2_741) % 40_000, n % 256))).toBe(true);
        }
        expect(journal.stats().damaged).toBe(0);
      } finally {
        await journal.close();
      }
    },
    30_000,
  );
});
