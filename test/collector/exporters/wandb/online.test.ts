// Online: what a server that is strict, slow, away or broken holds in the end is exactly what was logged.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Batch } from '../../../../src/collector/component.ts';
import { batchOf, logBatchOf } from '../../../../src/collector/testing/index.ts';
import { Bench, FAST, until } from './bench.ts';
import { FakeWandb } from './fake-server.ts';

/** More of them: KYMO_WANDB_KILL_SEEDS=100. */
const KILL_SEEDS = Number(process.env.KYMO_WANDB_KILL_SEEDS ?? 4);

let fake: FakeWandb;
let bench: Bench;
const run = 'run-1';
beforeEach(async () => {
  fake = new FakeWandb();
  await fake.listen();
  bench = new Bench({ mode: 'online', base_url: fake.url, api_key: fake.apiKey, project: 'proj' });
});
afterEach(async () => {
  await bench.dispose();
  await fake.close();
});

const started = () =>
  logBatchOf([
    { run, eventName: 'kymo.run.start' },
    { run, eventName: 'kymo.run.config', attributes: { 'kymo.run.config': { lr: 0.5 } } },
  ]);
const finished = (attributes = {}) =>
  logBatchOf([
    { run, eventName: 'kymo.run.finish', attributes: { 'kymo.run.state': 'finished', ...attributes } },
  ]);
const rowsOf = (from: number, to: number): Batch =>
  batchOf(Array.from({ length: to - from }, (_, i) => ({ run, step: from + i, values: { loss: from + i } })));

describe('online', () => {
  it('sends rows, configuration, summary, console and the end', async () => {
    await bench.start();
    await bench.export(started(), rowsOf(0, 50), logBatchOf([{ run, body: 'hello' }]), finished());
    await bench.commit();
    await bench.exporter!.drain();
    const sent = fake.run(run);
    expect(fake.complaints).toEqual([]);
    expect(fake.history(run).map(({ _step, loss }) => [_step, loss])).toEqual(
      Array.from({ length: 50 }, (_, i) => [i, i]),
    );
    expect(sent).toMatchObject({ complete: true, exitCode: 0, project: 'proj' });
    expect(sent.config).toMatchObject({ lr: { value: 0.5 }, _wandb: { value: { t: { 3: [7] } } } });
    expect(fake.summary(run)).toMatchObject({ loss: 49, _step: 49 });
    expect(sent.lines.get('output.log')).toEqual([expect.stringMatching(/^\d{4}-.* INFO hello$/)]);
    expect([...sent.uploaded]).toContain('wandb-metadata.json');
  });

  it('says nothing of the end of a run that crashed, and beats while it lives', async () => {
    await bench.start();
    await bench.export(started(), rowsOf(0, 3));
    await bench.commit();
    await until('heartbeats come', () => (fake.runs.size > 0 ? fake.run(run).heartbeats.length : 0) > 2);
    await bench.export(
      logBatchOf([{ run, eventName: 'kymo.run.finish', attributes: { 'kymo.run.state': 'crashed' } }]),
    );
    await bench.commit();
    await bench.exporter!.drain();
    expect(fake.run(run).complete).toBe(false);
    expect(fake.history(run)).toHaveLength(3);
  });

  it('continues an ended run as another session: steps go on, lines are appended', async () => {
    await bench.start();
    await bench.export(started(), rowsOf(0, 5), finished());
    await bench.commit();
    await bench.exporter!.drain();
    const again = { 'kymo.run.attempt': 2, 'kymo.run.resume_step': 3 };
    const instance = 'second';
    await bench.export(
      logBatchOf([
        {
          run,
          instance,
          eventName: 'kymo.run.start',
          attributes: again,
          resource: { 'kymo.run.attempt': 2 },
        },
      ]),
      batchOf(
        [3, 4, 5].map(step => ({
          run,
          instance,
          step,
          values: { loss: step },
          resource: { 'kymo.run.attempt': 2 },
        })),
      ),
      logBatchOf([
        {
          run,
          instance,
          eventName: 'kymo.run.finish',
          attributes: { 'process.exit.code': 3, 'kymo.run.state': 'failed' },
          resource: { 'kymo.run.attempt': 2 },
        },
      ]),
    );
    await bench.commit();
    await bench.exporter!.drain();
    expect(fake.complaints).toEqual([]);
    expect(fake.history(run).map(row => [row._step, row['kymo/step']])).toEqual(
      [0, 1, 2, 3, 4]
        .map(step => [step, step])
        .concat([
          [5, 3],
          [6, 4],
          [7, 5],
        ]),
    );
    expect(fake.run(run)).toMatchObject({ complete: true, exitCode: 3 });
    expect(fake.run(run).config).toMatchObject({ lr: { value: 0.5 } });
  });

  it('goes on behind what another client wrote to the run', async () => {
    await bench.start();
    await bench.export(started(), rowsOf(0, 2), finished());
    await bench.commit();
    await bench.exporter!.drain();
    await bench.dispose();
    fake.run(run).config.theirs = { value: 1 };
    bench = new Bench({ mode: 'online', base_url: fake.url, api_key: fake.apiKey, project: 'proj' });
    await bench.start();
    await bench.export(started(), rowsOf(0, 2), finished());
    await bench.commit();
    await bench.exporter!.drain();
    expect(fake.complaints).toEqual([]);
    expect(fake.history(run).map(row => [row._step, row.loss])).toEqual([
      [0, 0],
      [1, 1],
      [2, 0],
      [3, 1],
    ]);
    expect(fake.run(run).config).toMatchObject({ theirs: { value: 1 }, lr: { value: 0.5 } });
  });

  it('says what to do about a key that is refused, and uploads with the right one later', async () => {
    fake.apiKey = 'x'.repeat(40);
    await bench.start();
    await bench.export(started(), rowsOf(0, 5), finished());
    await bench.commit();
    await expect(bench.exporter!.drain()).rejects.toThrow(/does not take the API key.*WANDB_API_KEY/);
    expect(bench.exporter!.remaining()).toBe(0);
    await bench.stop();
    fake.apiKey = 'k'.repeat(40);
    await bench.start();
    await bench.exporter!.drain();
    expect(fake.history(run)).toHaveLength(5);
  });

  it('paces itself by what the server says is left', async () => {
    fake.streamHeaders = { 'ratelimit-remaining': '4', 'ratelimit-reset': '2' };
    await bench.start();
    await bench.export(started());
    for (let i = 0; i < 3; i++) {
      await bench.export(rowsOf(i * 5, i * 5 + 5));
      await bench.commit();
      await new Promise(resolve => setTimeout(resolve, 60));
    }
    await bench.export(finished());
    await bench.commit();
    await bench.exporter!.drain();
    const times = fake.run(run).requestTimes;
    const gaps = times.slice(1).map((time, i) => time - times[i]!);
    expect(times.length).toBeGreaterThan(1);
    // A quarter of two seconds, less what timers may be early by.
    expect(Math.min(...gaps)).toBeGreaterThan(450);
    expect(fake.history(run)).toHaveLength(15);
  });

  it('waits as long as Retry-After says', async () => {
    let refused = 0;
    let refusedAt = 0;
    fake.fault = request => {
      if (request.kind !== 'file_stream' || refused > 0) return undefined;
      refused++;
      refusedAt = performance.now();
      return { status: 429, headers: { 'retry-after': '0.4' } };
    };
    await bench.start();
    await bench.export(started(), rowsOf(0, 5), finished());
    await bench.commit();
    await bench.exporter!.drain();
    expect(fake.run(run).requestTimes[0]! - refusedAt).toBeGreaterThan(350);
    expect(fake.history(run)).toHaveLength(5);
  });

  it('holds exactly what was logged after faults and kills at random moments', async () => {
    for (let seed = 1; seed <= KILL_SEEDS; seed++) {
      const random = generator(seed);
      fake.fault = request => {
        if (random() > 0.3) return undefined;
        const pick = Math.floor(random() * 5);
        if (pick === 0) return { status: 429, headers: { 'retry-after': '0' } };
        if (pick === 1) return { status: 500 };
        if (pick === 2) return { cut: 'before' };
        if (pick === 3) return request.operation === 'UpsertBucket' ? { status: 409 } : { status: 503 };
        return { cut: 'after' };
      };
      const name = `kills-${seed}`;
      const all: Batch[] = [
        logBatchOf([{ run: name, eventName: 'kymo.run.start' }]),
        ...Array.from({ length: 12 }, (_, i) =>
          batchOf(
            Array.from({ length: 9 }, (_, j) => ({ run: name, step: i * 9 + j, values: { v: i * 9 + j } })),
          ),
        ),
        logBatchOf([{ run: name, eventName: 'kymo.run.finish' }]),
      ];
      let committed = 0;
      await bench.dispose();
      bench = new Bench({ mode: 'online', base_url: fake.url, api_key: fake.apiKey, project: 'proj' });
      await bench.start();
      for (let at = 0; at < all.length; ) {
        await bench.export(all[at]!);
        at++;
        if (random() < 0.5) {
          await bench.commit();
          committed = at;
        }
        if (random() < 0.4) await new Promise(resolve => setTimeout(resolve, random() * 40));
        if (random() < 0.3) {
          await bench.kill();
          await bench.start();
          at = committed;
        }
      }
      await bench.commit();
      await bench.exporter!.drain(AbortSignal.timeout(15_000)).catch((error: unknown) => {
        throw new Error(`seed ${seed}: ${String(error)}\n${bench.messages.slice(-20).join('\n')}`);
      });
      await bench.stop();
      const rows = fake.history(name).map(row => [row._step, row.v]);
      expect({ seed, rows }).toEqual({ seed, rows: Array.from({ length: 108 }, (_, i) => [i, i]) });
      expect(fake.run(name).complete).toBe(true);
    }
    expect(fake.complaints).toEqual([]);
  }, 600_000);

  it('asks for new addresses when those for uploads have expired', async () => {
    let expired = 0;
    fake.fault = request => (request.kind === 'upload' && expired++ < 2 ? { status: 403 } : undefined);
    await bench.start();
    const content = Buffer.from('<b>hi</b>');
    await bench.export(
      started(),
      logBatchOf([
        {
          run,
          eventName: 'kymo.media',
          attributes: {
            ...{ 'kymo.media.name': 'page', 'kymo.media.kind': 'html', 'kymo.media.mime_type': 'text/html' },
            ...{ 'kymo.media.content': content, 'kymo.step': 4 },
          },
        },
      ]),
      finished(),
    );
    await bench.commit();
    await bench.exporter!.drain();
    const value = fake.history(run)[0]!.page as { path: string; _type: string };
    expect(value).toMatchObject({ _type: 'html-file', size: content.length });
    expect(fake.run(run).files.get(value.path)).toEqual(content);
    expect(fake.run(run).uploaded.has(value.path)).toBe(true);
    expect(fake.complaints).toEqual([]);
  });

  it('never sends more than one request at a time for a run, nor sooner than the gap', async () => {
    await bench.dispose();
    bench = new Bench(
      { mode: 'online', base_url: fake.url, api_key: fake.apiKey },
      {},
      { ...FAST, gapMs: 200 },
    );
    await bench.start();
    await bench.export(started());
    for (let i = 0; i < 10; i++) {
      await bench.export(rowsOf(i, i + 1));
      await bench.commit();
      await new Promise(resolve => setTimeout(resolve, 30));
    }
    await bench.export(finished());
    await bench.commit();
    await bench.exporter!.drain();
    const times = fake.run(run).requestTimes;
    expect(Math.min(...times.slice(1).map((time, i) => time - times[i]!))).toBeGreaterThan(180);
    expect(fake.history(run)).toHaveLength(10);
  });
});

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed * 0x9e3779b9;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
