import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import {
  type Batch,
  type CommittedState,
  type Exporter,
  RetryableError,
} from '../../../src/collector/component.ts';
import type { Cursor } from '../../../src/collector/feed/cursor-store.ts';
import { CursorStore } from '../../../src/collector/feed/cursor-store.ts';
import { retentionFor } from '../../../src/collector/feed/retention.ts';
import { listSegments, SEGMENT_HEADER_BYTES } from '../../../src/collector/journal/segment.ts';
import { logsRequest, recordingLogger, temporaryFolder, until } from '../journal/support.ts';
import { bench, LineExporter, linesOf } from './support.ts';

/** Exports into memory; each hook may throw or wait. */
class Probe implements Exporter {
  readonly seen: number[];
  readonly hooks: { start?(): void; export?(batch: Batch): unknown; commit?(): void };
  #own: number[] = [];
  constructor(seen: number[], hooks: Probe['hooks'] = {}) {
    this.seen = seen;
    this.hooks = hooks;
  }
  start(committed: CommittedState): void {
    this.hooks.start?.();
    this.#own = [...((committed?.values as number[] | undefined) ?? [])];
  }
  async export(batch: Batch): Promise<void> {
    await this.hooks.export?.(batch);
    this.#own.push(...(batch.scalars?.columns.value ?? []));
  }
  commit(): CommittedState {
    this.hooks.commit?.();
    this.seen.splice(0, Infinity, ...this.#own);
    return { values: this.#own };
  }
  stop(): void {}
}

describe('exporter runner', () => {
  it('delivers, commits soon after it has caught up, and goes on there after a restart', async () => {
    const directory = temporaryFolder();
    const file = path.join(directory, 'out');
    const first = await bench(directory);
    const runner = first.runner(() => new LineExporter(file));
    await runner.start();
    await first.send('a', 1, 2);
    const position = await first.send('a', 3);
    await until('the commit', () => runner.stats().committed === position);
    expect(runner.stats()).toMatchObject({
      state: 'running',
      lagBytes: 0,
      lagRecords: 0,
      lagMs: 0,
      delivered: { metrics: 3, logs: 0, traces: 0 },
      deliveredBatches: 2,
      restarts: 0,
    });
    expect(await runner.stop({ drainMs: 1_000 })).toMatchObject({
      undeliveredBytes: 0,
      undeliveredBatches: 0,
      exact: true,
    });
    await first.send('a', 4);
    await first.journal.close();
    const second = await bench(directory);
    const again = second.runner(() => new LineExporter(file));
    await again.start();
    await again.progress(second.journal.end);
    expect(linesOf(file)).toEqual(['a 1', 'a 2', 'a 3', 'a 4']);
    await again.stop({ drainMs: 1_000 });
    await second.journal.close();
  });

  it('tells a waiter as soon as its position is durable, without waiting for the interval', async () => {
    const at = await bench(temporaryFolder());
    const seen: number[] = [];
    const runner = at.runner(() => new Probe(seen), { commitIntervalMs: 60_000, idleCommitMs: 60_000 });
    await runner.start();
    const position = await at.send('a', 1);
    await runner.progress(position);
    expect(seen).toEqual([1]);
    const gone = new AbortController();
    const never = runner.progress(position + 1, gone.signal);
    gone.abort();
    await expect(never).rejects.toThrow(/no longer/);
    const late = runner.progress(position + 1);
    late.catch(() => {});
    await runner.stop({ drainMs: 100 });
    await expect(late).rejects.toThrow(/stopped/);
    await at.journal.close();
  });

  it('commits by time and not by batch', async () => {
    const at = await bench(temporaryFolder());
    for (let i = 0; i < 500; i++) void at.send('a', i);
    await at.send('a', 500);
    let commits = 0;
    const runner = at.runner(() => new Probe([], { commit: () => void commits++ }), {
      commitIntervalMs: 60_000,
    });
    await runner.start();
    await runner.progress(at.journal.end);
    expect(commits).toBe(1);
    await runner.stop({ drainMs: 100 });
    await at.journal.close();
  });

  it('a slow exporter does not hold up a fast one, nor the event loop', async () => {
    const at = await bench(temporaryFolder());
    const fastSeen: number[] = [];
    const slowSeen: number[] = [];
    let release = () => {};
    const held = new Promise<void>(resolve => {
      release = resolve;
    });
    const fast = at.runner(() => new Probe(fastSeen), { id: 'fast' });
    const slow = at.runner(() => new Probe(slowSeen, { export: () => held }), { id: 'slow' });
    await Promise.all([fast.start(), slow.start()]);
    for (let i = 0; i < 100; i++) await at.send('a', i);
    await fast.progress(at.journal.end);
    expect(fastSeen).toHaveLength(100);
    expect(slow.stats()).toMatchObject({ position: 0, lagRecords: 100 });
    expect(slow.stats().lagMs).toBeGreaterThanOrEqual(0);
    release();
    await slow.progress(at.journal.end);
    expect(slowSeen).toEqual(fastSeen);
    expect(at.feed.made).toBe(100);
    await Promise.all([fast.stop({ drainMs: 100 }), slow.stop({ drainMs: 100 })]);
    await at.journal.close();
  });

  it('synchronous work gives way to timers within its slice', async () => {
    const at = await bench(temporaryFolder());
    for (let i = 0; i < 100; i++) await at.send('a', i);
    const busy: Exporter = {
      start() {},
      export() {
        const end = performance.now() + 3;
        while (performance.now() < end);
      },
      commit: () => undefined,
      stop() {},
    };
    const runner = at.runner(() => busy, { sliceMs: 10, commitIntervalMs: 60_000, idleCommitMs: 60_000 });
    await runner.start();
    let longest = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 1);
    await runner.progress(at.journal.end);
    clearInterval(timer);
    // 300 ms of work in all.
    expect(longest).toBeLessThan(150);
    await runner.stop({ drainMs: 100 });
    await at.journal.close();
  });

  it('comes again after a retryable error, from its commit, with nothing lost or doubled', async () => {
    const directory = temporaryFolder();
    const at = await bench(directory);
    const file = path.join(directory, 'out');
    let failures = 0;
    class Flaky extends LineExporter {
      override export(batch: Batch): void {
        super.export(batch);
        if (++failures % 3 === 0) throw new RetryableError('busy', { retryAfterMs: 1 });
        if (failures % 7 === 0)
          throw Object.assign(new Error('no space'), { code: 'ENOSPC', syscall: 'write' });
      }
    }
    const runner = at.runner(() => new Flaky(file), { commitIntervalMs: 1 });
    await runner.start();
    for (let i = 0; i < 40; i++) {
      await at.send('a', i);
      if (i % 4 === 0) await runner.progress(at.journal.end);
    }
    await runner.progress(at.journal.end);
    expect(linesOf(file)).toEqual(Array.from({ length: 40 }, (_, i) => `a ${i}`));
    expect(runner.stats().restarts).toBeGreaterThan(5);
    expect(runner.stats().quarantinedBatches).toBe(0);
    await runner.stop({ drainMs: 100 });
    await at.journal.close();
  });

  it('puts a batch that always fails into quarantine and delivers its neighbours', async () => {
    const directory = temporaryFolder();
    const at = await bench(directory);
    const file = path.join(directory, 'out');
    let attempts = 0;
    class Picky extends LineExporter {
      override export(batch: Batch): void {
        super.export(batch);
        if (batch.scalars!.columns.value[0] === 13) {
          attempts++;
          throw new TypeError('I do not take 13');
        }
      }
    }
    const runner = at.runner(() => new Picky(file), { id: 'picky/one' });
    await runner.start();
    for (let i = 10; i < 20; i++) await at.send('a', i);
    await runner.progress(at.journal.end);
    expect(linesOf(file)).toEqual([10, 11, 12, 14, 15, 16, 17, 18, 19].map(i => `a ${i}`));
    expect(attempts).toBe(3);
    expect(runner.stats()).toMatchObject({
      quarantinedBatches: 1,
      quarantined: { metrics: 1 },
      delivered: { metrics: 9 },
      lastError: 'export: I do not take 13',
    });
    const folder = path.join(directory, 'quarantine', fs.readdirSync(path.join(directory, 'quarantine'))[0]!);
    const [about, bytes] = fs.readdirSync(folder).sort();
    expect(bytes).toMatch(/^\d{20}\.metrics\.pb$/);
    expect(JSON.parse(fs.readFileSync(path.join(folder, about!), 'utf8'))).toMatchObject({
      exporter: 'picky/one',
      attempts: 3,
      reason: 'I do not take 13',
    });
    const record = at.journal.recent(Number(bytes!.slice(0, 20)))!;
    expect(fs.readFileSync(path.join(folder, bytes!)).equals(record.bytes)).toBe(true);
    await runner.stop({ drainMs: 100 });
    await at.journal.close();
  });

  it('finds the one batch on which commits fail', async () => {
    const at = await bench(temporaryFolder());
    const seen: number[] = [];
    const create = () => {
      let poisoned = false;
      return new Probe(seen, {
        export: batch => {
          if (batch.scalars!.columns.value[0] === 5) poisoned = true;
        },
        commit: () => {
          if (poisoned) throw new TypeError('cannot be written');
        },
      });
    };
    for (let i = 0; i < 10; i++) await at.send('a', i);
    const runner = at.runner(create);
    await runner.start();
    await runner.progress(at.journal.end);
    expect(seen).toEqual([0, 1, 2, 3, 4, 6, 7, 8, 9]);
    expect(runner.stats().quarantinedBatches).toBe(1);
    await runner.stop({ drainMs: 100 });
    await at.journal.close();
  });

  it('quarantines nothing when commits fail whatever the batch', async () => {
    const at = await bench(temporaryFolder());
    let commits = 0;
    const runner = at.runner(
      () =>
        new Probe([], {
          commit: () => {
            commits++;
            throw new TypeError('always');
          },
        }),
    );
    for (let i = 0; i < 5; i++) await at.send('a', i);
    await runner.start();
    await until('several attempts', () => commits > 8);
    expect(runner.stats()).toMatchObject({ quarantinedBatches: 0, committed: 0, state: 'retrying' });
    const report = await runner.stop({ drainMs: 50 });
    expect(report).toMatchObject({
      undelivered: { metrics: 5 },
      undeliveredBatches: 5,
      lastError: 'commit: always',
    });
    await at.journal.close();
  });

  it('goes back to the older generation when the exporter cannot start from the newer', async () => {
    const directory = temporaryFolder();
    const file = path.join(directory, 'out');
    const first = await bench(directory);
    const runner = first.runner(() => new LineExporter(file));
    await runner.start();
    await first.send('a', 1);
    await runner.progress(first.journal.end);
    const older = fs.statSync(file).size;
    await first.send('a', 2);
    await runner.progress(first.journal.end);
    await runner.stop({ drainMs: 100 });
    await first.journal.close();
    // A power cut: the sink's file lost its end.
    fs.truncateSync(file, older + 1);
    const second = await bench(directory);
    const again = second.runner(() => new LineExporter(file));
    await again.start();
    await again.progress(second.journal.end);
    expect(linesOf(file)).toEqual(['a 1', 'a 2']);
    await again.stop({ drainMs: 100 });
    await second.journal.close();
  });

  it.each([
    [
      'ahead of the journal: goes on at its end',
      (id: string): Cursor => ({ journal: id, position: 10 ** 9, state: undefined, gaps: [] }),
      [2],
    ],
    [
      'of another journal: reads this one from its start',
      (): Cursor => ({ journal: 'x', position: 0, state: undefined, gaps: [] }),
      [1, 2],
    ],
  ])('a cursor %s', async (_what, make, expected) => {
    const at = await bench(temporaryFolder());
    await at.send('a', 1);
    const store = new CursorStore(path.join(at.directory, 'cursors'), 'test', recordingLogger());
    await store.commit(make(at.journal.id));
    const seen: number[] = [];
    const runner = at.runner(() => new Probe(seen));
    await runner.start();
    await at.send('a', 2);
    await runner.progress(at.journal.end);
    expect(seen).toEqual(expected);
    await runner.stop({ drainMs: 100 });
    await at.journal.close();
  });

  it('passes over other signals and damage, and counts what it passed over', async () => {
    const directory = temporaryFolder();
    const at = await bench(directory, { tailBytes: 0 });
    await at.send('a', 1);
    const start = at.journal.end;
    const next = await at.send('a', 2);
    await at.journal.append({ signal: 'logs', bytes: logsRequest('a', 'x'), batchKey: '' });
    await at.send('a', 3);
    const segment = (await listSegments(path.join(directory, 'journal')))[0]!.path;
    const fd = fs.openSync(segment, 'r+');
    fs.writeSync(fd, Buffer.from('damage'), 0, 6, SEGMENT_HEADER_BYTES + start + 60);
    fs.closeSync(fd);
    const seen: number[] = [];
    const runner = at.runner(() => new Probe(seen), { signals: ['metrics'] });
    await runner.start();
    await runner.progress(at.journal.end);
    expect(seen).toEqual([1, 3]);
    expect(runner.stats()).toMatchObject({ damagedBytes: next - start, delivered: { metrics: 2, logs: 0 } });
    await runner.stop({ drainMs: 100 });
    await at.journal.close();
  });

  it('drains within the deadline and says exactly what is left', async () => {
    const at = await bench(temporaryFolder());
    const seen: number[] = [];
    const slow = at.runner(
      () => new Probe(seen, { export: () => new Promise(resolve => setTimeout(resolve, 30)) }),
      { commitIntervalMs: 1 },
    );
    await slow.start();
    for (let i = 0; i < 50; i++) await at.send('a', i, i);
    await at.journal.append({ signal: 'logs', bytes: logsRequest('a', 'x'), batchKey: '', items: 1 });
    const started = Date.now();
    const report = await slow.stop({ drainMs: 300 });
    expect(Date.now() - started).toBeLessThan(1_500);
    expect(seen.length).toBeGreaterThan(0);
    expect(report.exact).toBe(true);
    expect(report.undelivered).toEqual({ metrics: 100 - seen.length, logs: 1, traces: 0 });
    expect(report.undeliveredBytes).toBe(at.journal.end - report.committed);
    await at.journal.close();
  });

  it('leaves an exporter that hangs when the deadline has passed', async () => {
    const at = await bench(temporaryFolder());
    const runner = at.runner(() => new Probe([], { export: () => new Promise(() => {}) }));
    await runner.start();
    await at.send('a', 1);
    const report = await runner.stop({ drainMs: 20 });
    expect(report).toMatchObject({ undelivered: { metrics: 1 }, committed: 0 });
    await at.journal.close();
  });

  it('is parked when the journal is full, misses what is deleted and says so, while the canonical one goes on', async () => {
    const directory = temporaryFolder();
    const at = await bench(directory, { maxSizeBytes: 400_000, segmentBytes: 64 * 1024, tailBytes: 0 });
    let release = () => {};
    const held = new Promise<void>(resolve => {
      release = resolve;
    });
    const canonicalSeen: number[] = [];
    const remoteSeen: number[] = [];
    const canonical = at.runner(() => new Probe(canonicalSeen), { id: 'jsonl', canonical: true });
    const remote = at.runner(() => new Probe(remoteSeen, { export: () => held }), { id: 'wandb' });
    at.journal.retain(retentionFor(() => [canonical, remote]));
    await Promise.all([canonical.start(), remote.start()]);
    const values = Array.from({ length: 200 }, (_, i) => i);
    for (let i = 0; i < 120; i++) {
      await at.send('a', ...values);
      await canonical.progress(at.journal.end);
    }
    expect(canonicalSeen).toHaveLength(24_000);
    expect(at.journal.start).toBeGreaterThan(0);
    expect(remote.stats().parked).toBe(true);
    release();
    await remote.progress(at.journal.end);
    const stats = remote.stats();
    expect(stats.parked).toBe(false);
    expect(stats.gaps).toHaveLength(1);
    expect(stats.missedBytes).toBe(stats.gaps[0]!.to - stats.gaps[0]!.from);
    expect(remoteSeen.length).toBeLessThan(24_000);
    expect(canonical.park()).toBe(false);
    await Promise.all([canonical.stop({ drainMs: 100 }), remote.stop({ drainMs: 100 })]);
    await at.journal.close();
  });
});

describe('exactly once', () => {
  it('after 50 kills at random places between export and commit', async () => {
    const directory = temporaryFolder();
    const file = path.join(directory, 'out');
    const at = await bench(directory);
    const forever = new Promise<never>(() => {});
    let next = 0;
    for (let round = 0; round < 50; round++) {
      /** After so many steps this life of the exporter never does anything again: what a kill leaves behind. */
      let lifetime = 1 + Math.floor(Math.random() * 12);
      let dead = false;
      const step = (): Promise<void> => {
        if (lifetime-- > 0) return Promise.resolve();
        dead = true;
        return forever;
      };
      class Mortal implements Exporter {
        readonly #inner = new LineExporter(file);
        async start(committed: CommittedState): Promise<void> {
          await step();
          this.#inner.start(committed);
        }
        async export(batch: Batch): Promise<void> {
          await step();
          this.#inner.export(batch);
          await step();
        }
        async commit(): Promise<CommittedState> {
          await step();
          const state = this.#inner.commit();
          await step();
          return state;
        }
        async committed(): Promise<void> {
          await step();
        }
        stop(): void {}
      }
      class MortalCursors extends CursorStore {
        override async commit(cursor: Cursor): Promise<void> {
          await step();
          await super.commit(cursor);
          await step();
        }
      }
      const runner = at.runner(() => new Mortal(), {
        cursors: new MortalCursors(path.join(directory, 'cursors'), 'test', at.logger),
        commitIntervalMs: 0,
        idleCommitMs: 0,
      });
      await runner.start();
      for (let i = 0; i < 6; i++) await at.send('a', next++, next++);
      await until(
        'the kill, or the end of the work',
        () => dead || runner.stats().committed === at.journal.end,
      );
      if (!dead) lifetime = 0;
    }
    const last = at.runner(() => new LineExporter(file));
    await last.start();
    await last.progress(at.journal.end);
    expect(linesOf(file)).toEqual(Array.from({ length: next }, (_, i) => `a ${i}`));
    await last.stop({ drainMs: 100 });
    await at.journal.close();
  });
});
