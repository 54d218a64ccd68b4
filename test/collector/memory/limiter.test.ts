// The memory limiter over a process whose memory the test makes: what comes is pushed back in time, and taken again.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { JournalIngest } from '../../../src/collector/journal/ingest.ts';
import { openJournal } from '../../../src/collector/journal/journal.ts';
import { MemoryLimiter, type MemoryLimits } from '../../../src/collector/memory/limiter.ts';
import { BASE_BYTES, SMALL_REQUEST_BYTES } from '../../../src/collector/memory/limits.ts';
import { processMemory } from '../../../src/collector/memory/process-memory.ts';
import { recordingLogger, temporaryFolder } from '../journal/support.ts';

const MiB = 1024 * 1024;
/** So that each question reads the memory anew. */
const NO_PAUSES: Partial<MemoryLimits> = { minGcIntervalSoftMs: 0, minGcIntervalHardMs: 0 };

/** A process that holds `live` bytes, and beside them garbage that only a collection takes away. */
class Memory {
  live = BASE_BYTES;
  garbage = 0;
  collections = 0;
  rss(): number {
    return this.live + this.garbage;
  }
  collectGarbage(): void {
    this.collections++;
    this.garbage = 0;
  }
}

function limiter(memory: Memory, limits: Partial<MemoryLimits> = {}) {
  const logger = recordingLogger();
  const of = { hardBytes: 300 * MiB, softBytes: 240 * MiB, ...NO_PAUSES, ...limits };
  return { logger, limiter: new MemoryLimiter(of, memory, logger) };
}

describe('the memory limiter', () => {
  it('lets in what there is room for, and pushes back what there is none for', () => {
    const { limiter: one } = limiter(new Memory());
    expect(one.admit(10 * MiB, 0)).toBe(true);
    expect(one.admit(10 * MiB, 10 * MiB)).toBe(true);
    expect(one.admit(10 * MiB, 200 * MiB)).toBe(false);
    expect(one.stats()).toMatchObject({ refused: 1, refusing: false });
  });

  it('lets go of caches and garbage above the soft limit, says so once, and takes again when that helped', () => {
    const memory = new Memory();
    const { limiter: one, logger } = limiter(memory);
    let cached = 100 * MiB;
    memory.live += cached;
    one.onPressure(() => {
      memory.live -= cached;
      cached = 0;
    });
    memory.garbage = 100 * MiB;
    expect(one.admit(MiB, 10 * MiB)).toBe(true);
    expect({ cached, collections: memory.collections }).toEqual({ cached: 0, collections: 1 });
    memory.live = 250 * MiB;
    one.check();
    one.check();
    expect(one.admit(MiB, 10 * MiB)).toBe(false);
    expect(one.stats().refusing).toBe(true);
    memory.live = BASE_BYTES;
    one.check();
    expect(one.admit(MiB, 10 * MiB)).toBe(true);
    expect(logger.lines.map(({ level, message }) => [level, message])).toEqual([
      ['warn', 'memory is above the soft limit: what comes is pushed back'],
      ['info', 'memory is below the soft limit again'],
    ]);
  });

  it('does not collect garbage more often than it may', () => {
    const memory = new Memory();
    const { limiter: one } = limiter(memory, { minGcIntervalSoftMs: 60_000, minGcIntervalHardMs: 60_000 });
    memory.live = 310 * MiB;
    for (let i = 0; i < 100; i++) one.admit(MiB, MiB);
    expect(memory.collections).toBe(1);
  });

  it('lets small requests in where large ones have taken all the room', () => {
    const memory = new Memory();
    const { limiter: one } = limiter(memory);
    memory.live = 239 * MiB;
    expect(one.admit(5 * MiB, 100 * MiB)).toBe(false);
    expect(one.admit(SMALL_REQUEST_BYTES, 100 * MiB)).toBe(true);
    memory.live = 290 * MiB;
    one.check();
    expect(one.admit(SMALL_REQUEST_BYTES, 100 * MiB)).toBe(false);
  });

  it('takes one request at a time where memory does not come back, and says what to do', () => {
    const memory = new Memory();
    const { limiter: one, logger } = limiter(memory);
    memory.live = 260 * MiB;
    expect(one.admit(5 * MiB, 0)).toBe(true);
    expect(one.admit(5 * MiB, 5 * MiB)).toBe(false);
    one.admit(100 * MiB, 0);
    one.check();
    expect(logger.lines.filter(({ level }) => level === 'error').map(({ message }) => message)).toEqual([
      expect.stringContaining('raise processors::memory_limiter::limit_mib'),
    ]);
  });

  it('never lets in more at once than the hard limit, whatever comes and goes', () => {
    const request = fc.record({
      bytes: fc.integer({ min: 1, max: 64 * MiB }),
      /** Requests answered before it, oldest first; what they leave is garbage. */
      answered: fc.nat({ max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(request, { minLength: 1, maxLength: 60 }), requests => {
        const memory = new Memory();
        const { limiter: one } = limiter(memory);
        const underWay: number[] = [];
        for (const { bytes, answered } of requests) {
          for (const gone of underWay.splice(0, answered)) {
            memory.live -= gone;
            memory.garbage += gone;
          }
          const inFlight = underWay.reduce((sum, n) => sum + n, 0);
          if (one.admit(bytes, inFlight)) {
            underWay.push(bytes);
            memory.live += bytes;
          }
          expect(memory.rss()).toBeLessThanOrEqual(300 * MiB);
        }
        // And it is never stuck: with nothing under way anything is let in that the limit allows.
        memory.live = BASE_BYTES;
        expect(one.admit(64 * MiB, 0)).toBe(true);
      }),
    );
  });

  it('gives the caches shares that together fit under the soft limit beside the program', () => {
    fc.assert(
      fc.property(fc.integer({ min: 150, max: 8192 }), mebibytes => {
        const { limiter: one } = limiter(new Memory(), {
          hardBytes: mebibytes * MiB,
          softBytes: 0.8 * mebibytes * MiB,
        });
        const { tailBytes, feedBytes } = one.shares;
        expect(tailBytes + feedBytes).toBeLessThan(Math.max(16 * MiB, 0.8 * mebibytes * MiB - BASE_BYTES));
      }),
    );
  });
});

it('the memory of this process is measured, and a collection takes garbage away', () => {
  const memory = processMemory();
  expect(memory.rss()).toBeGreaterThan(process.memoryUsage().heapUsed);
  let buffers: Uint8Array[] | undefined = Array.from({ length: 64 }, () => new Uint8Array(MiB).fill(1));
  expect(buffers).toHaveLength(64);
  buffers = undefined;
  const held = process.memoryUsage().arrayBuffers;
  memory.collectGarbage();
  expect(held - process.memoryUsage().arrayBuffers).toBeGreaterThan(32 * MiB);
});

it('stands before the journal: memory that is short is no reservation', async () => {
  const memory = new Memory();
  const { limiter: one, logger } = limiter(memory);
  const journal = await openJournal({ directory: temporaryFolder(), logger });
  const ingest = new JournalIngest(journal, { limiter: one });
  expect(ingest.maxRequestBytes).toBe(one.shares.requestBytes);
  expect(ingest.reserve(MiB)).toBe(true);
  memory.live = 299 * MiB;
  expect(ingest.reserve(MiB)).toBe(false);
  expect({ inFlight: ingest.inFlightBytes, refused: ingest.refusedReservations }).toEqual({
    inFlight: MiB,
    refused: 1,
  });
  ingest.release(MiB);
  await journal.close();
});
