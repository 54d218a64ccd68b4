import { describe, expect, it } from '@jest/globals';
import type { Batch } from '../../../src/collector/component.ts';
import {
  type LifecycleEvent,
  lifecycleEvent,
  MAX_ATTEMPTS,
  MAX_INSTANCES,
  RunLifecycle,
} from '../../../src/collector/runs/lifecycle.ts';
import { createLifecycleWatcher, encodeCrashed } from '../../../src/collector/runs/lifecycle-watcher.ts';
import { checkRequest } from '../../../src/otlp/check.ts';
import { attributesOf, BatchMaker, SECOND, T0 } from '../batches.ts';

let time = T0;
function event(
  kind: LifecycleEvent['kind'],
  instance: string,
  more: Partial<LifecycleEvent> = {},
): LifecycleEvent {
  time += SECOND;
  return { kind, instance, rank: 0, attempt: 1, timeUnixNano: time, receivedUnixNano: time, ...more };
}
function stateAfter(...events: LifecycleEvent[]): string {
  const lifecycle = new RunLifecycle();
  for (const one of events) lifecycle.apply(one);
  // A snapshot, as JSON, is the same lifecycle.
  const copy = new RunLifecycle(JSON.parse(JSON.stringify(lifecycle.snapshot())));
  expect(copy.state).toBe(lifecycle.state);
  return lifecycle.state;
}
const start = (instance: string, more?: Partial<LifecycleEvent>) => event('start', instance, more);
const finish = (instance: string, state?: LifecycleEvent['state'], more?: Partial<LifecycleEvent>) =>
  event('finish', instance, { ...(state && { state }), ...more });

describe('the state of a run', () => {
  it('is running until all instances have finished', () => {
    expect(stateAfter(start('a'), start('b'))).toBe('running');
    expect(stateAfter(start('a'), start('b'), finish('a', 'finished'))).toBe('running');
    expect(stateAfter(start('a'), start('b'), finish('a', 'finished'), finish('b'))).toBe('finished');
  });

  it('is failed if any instance failed, crashed if any vanished, killed if any was and none runs', () => {
    expect(stateAfter(start('a'), start('b'), finish('a', 'failed'))).toBe('failed');
    expect(stateAfter(start('a'), start('b'), finish('a', 'crashed'))).toBe('crashed');
    expect(stateAfter(start('a'), start('b'), finish('a', 'crashed'), finish('b', 'failed'))).toBe('failed');
    expect(stateAfter(start('a'), start('b'), finish('a', 'killed'))).toBe('running');
    expect(stateAfter(start('a'), start('b'), finish('a', 'killed'), finish('b'))).toBe('killed');
  });

  it('goes back to running when data of a vanished instance returns', () => {
    expect(stateAfter(start('a'), finish('a', 'crashed'), event('data', 'a'))).toBe('running');
    expect(stateAfter(start('a'), finish('a', 'crashed'), event('heartbeat', 'a'))).toBe('running');
  });

  it('is not changed by what arrives late', () => {
    expect(stateAfter(start('a'), finish('a', 'failed'), event('data', 'a'))).toBe('failed');
    expect(stateAfter(start('a'), finish('a', 'finished'), finish('a', 'crashed'))).toBe('finished');
    expect(stateAfter(start('a'), finish('a', 'crashed'), finish('a', 'failed'))).toBe('failed');
    expect(stateAfter(event('data', 'a'), finish('a', 'finished'))).toBe('finished');
  });

  it('is that of the latest attempt', () => {
    const resumed = start('b', { attempt: 2, resumeStep: 10 });
    expect(stateAfter(start('a'), finish('a', 'crashed'), resumed)).toBe('running');
    const done = finish('b', 'finished', { attempt: 2 });
    expect(stateAfter(start('a'), finish('a', 'crashed'), resumed, done)).toBe('finished');
    expect(stateAfter(start('a'), finish('a'), start('a', { attempt: 2 }))).toBe('running');
  });

  it('does not wait for senders that never say hello', () => {
    expect(stateAfter(event('data', 'stock'))).toBe('running');
    expect(stateAfter(event('data', 'stock'), start('a'), event('data', 'stock'), finish('a'))).toBe(
      'finished',
    );
  });
});

describe('attempts', () => {
  it('supersede from the lowest resume step on', () => {
    const lifecycle = new RunLifecycle();
    expect(lifecycle.apply(start('a'))).toBeUndefined();
    expect(lifecycle.apply(start('b', { attempt: 2, resumeStep: 20, rank: 1 }))).toEqual({
      attempt: 2,
      fromStep: 20,
    });
    expect(lifecycle.apply(start('c', { attempt: 2, resumeStep: 20 }))).toBeUndefined();
    expect(lifecycle.apply(start('d', { attempt: 2, resumeStep: 10 }))).toEqual({ attempt: 2, fromStep: 10 });
    expect(lifecycle.superseded).toEqual([{ attempt: 2, fromStep: 10 }]);
    expect(lifecycle.attempts.map(one => one.attempt)).toEqual([1, 2]);
  });

  it('and instances are bounded', () => {
    const lifecycle = new RunLifecycle();
    for (let i = 0; i < MAX_INSTANCES + 10; i++) lifecycle.apply(start(`i${i}`));
    expect([...lifecycle.instances]).toHaveLength(MAX_INSTANCES);
    expect(lifecycle.unlisted).toBe(10);
    const resumed = new RunLifecycle();
    for (let i = 1; i <= MAX_INSTANCES + 10; i++) {
      resumed.apply(start(`i${i}`, { attempt: i, resumeStep: 5 }));
      resumed.apply(finish(`i${i}`, 'killed', { attempt: i }));
    }
    expect([...resumed.instances].at(-1)?.attempt).toBe(MAX_INSTANCES + 10);
    expect(resumed.attempts).toHaveLength(MAX_ATTEMPTS);
    expect(resumed.state).toBe('killed');
  });
});

describe('lifecycleEvent', () => {
  it('takes a single number of items, as our own SDK sends it', () => {
    const attributes = { 'kymo.run.emitted': 7, 'kymo.run.dropped': attributesOf({}) };
    const [finish] = new BatchMaker().logs({ resource: { 'kymo.run.id': 'r' } }, [
      { eventName: 'kymo.run.finish', attributes },
    ]).logs;
    expect(lifecycleEvent(finish!, T0)).toMatchObject({ emitted: { items: 7 }, dropped: {} });
  });

  it('reads attributes, or the body, and leaves out what makes no sense', () => {
    const maker = new BatchMaker();
    const [a, b, c] = maker.logs({ resource: { 'kymo.run.id': 'r', 'service.instance.id': 'i' } }, [
      {
        eventName: 'kymo.run.finish',
        attributes: {
          'kymo.run.state': 'failed',
          'process.exit.code': 3,
          'kymo.run.emitted': attributesOf({ points: 5, logs: 2 }),
          'kymo.run.dropped': attributesOf({
            points: attributesOf({ queue_full: 1 }),
            bad_value: 4,
            '-': -1,
          }),
        },
        timeUnixNano: T0,
      },
      {
        eventName: 'kymo.run.start',
        body: attributesOf({ 'kymo.run.resume_step': 7, 'kymo.run.state': 'x' }),
      },
      { eventName: 'other' },
    ]).logs;
    expect(lifecycleEvent(a!, T0 + 5n)).toEqual({
      kind: 'finish',
      instance: 'i',
      rank: 0,
      attempt: 1,
      timeUnixNano: T0,
      receivedUnixNano: T0 + 5n,
      state: 'failed',
      exitCode: 3,
      emitted: { points: 5, logs: 2 },
      dropped: { 'points/queue_full': 1, bad_value: 4 },
    });
    expect(lifecycleEvent(b!, T0)).toMatchObject({ kind: 'start', resumeStep: 7 });
    expect(lifecycleEvent(b!, T0)).not.toHaveProperty('state');
    expect(lifecycleEvent(c!, T0)).toBeUndefined();
  });
});

describe('the watcher', () => {
  const sender = (instance: string) => ({
    resource: { 'kymo.run.id': 'r', 'service.instance.id': instance, 'kymo.rank': 1, 'service.name': 'p' },
  });
  const maker = new BatchMaker();
  const say = (instance: string, eventName: string): Batch => maker.logs(sender(instance), [{ eventName }]);
  const data = (instance: string): Batch => maker.rows(sender(instance), [{ values: { x: 1 } }]);
  const names = (found: readonly { instance: string }[]) => found.map(one => one.instance);

  it('reports an instance that is silent for 60 s, once, and again after it came back', () => {
    const watcher = createLifecycleWatcher();
    watcher.observe(say('a', 'kymo.run.start'), 0);
    watcher.observe(say('b', 'kymo.run.start'), 0);
    watcher.observe(data('stock'), 0);
    watcher.observe(data('b'), 30_000);
    expect(names(watcher.vanished(59_999))).toEqual([]);
    expect(names(watcher.vanished(60_000))).toEqual(['a']);
    expect(names(watcher.vanished(60_001))).toEqual([]);
    expect(names(watcher.vanished(90_000))).toEqual(['b']);
    watcher.observe(data('a'), 100_000);
    expect(names(watcher.vanished(160_000))).toEqual(['a']);
  });

  it('does not report one that finished', () => {
    const watcher = createLifecycleWatcher();
    watcher.observe(say('a', 'kymo.run.start'), 0);
    watcher.observe(say('a', 'kymo.run.finish'), 1);
    watcher.gone('a', 2);
    expect(watcher.vanished(100_000)).toEqual([]);
  });

  it('gives one whose connection closed a moment for what is on its way', () => {
    const watcher = createLifecycleWatcher();
    watcher.observe(say('a', 'kymo.run.start'), 0);
    watcher.observe(say('b', 'kymo.run.start'), 0);
    watcher.gone('a', 100);
    watcher.gone('b', 100);
    expect(watcher.vanished(2_000)).toEqual([]);
    watcher.observe(say('b', 'kymo.run.finish'), 2_050);
    expect(names(watcher.vanished(2_100))).toEqual(['a']);
    // It was only its connection: one report, not one per batch.
    for (let now = 3_000; now < 50_000; now += 1_000) {
      watcher.observe(data('a'), now);
      expect(names(watcher.vanished(now))).toEqual([]);
    }
  });

  it('goes on where another one was', () => {
    const watcher = createLifecycleWatcher();
    watcher.observe(say('a', 'kymo.run.start'), 0);
    const later = createLifecycleWatcher({ watched: watcher.watched(), nowMs: 1_000_000 });
    expect(later.vanished(1_059_999)).toEqual([]);
    expect(names(later.vanished(1_060_000))).toEqual(['a']);
  });

  it('writes a finish that resolves to the same run and instance and is no sign of life', () => {
    const watcher = createLifecycleWatcher();
    watcher.observe(say('a', 'kymo.run.start'), 0);
    const [vanished] = watcher.vanished(60_000);
    const bytes = encodeCrashed(vanished!.run, vanished!.instance, T0);
    expect(checkRequest('logs', bytes)).toEqual({ ok: true, items: 1 });
    const batch = maker.request('logs', bytes);
    expect(batch.logs[0]!.run).toBe(vanished!.run);
    expect(lifecycleEvent(batch.logs[0]!, T0)).toMatchObject({
      kind: 'finish',
      instance: 'a',
      state: 'crashed',
      rank: 1,
    });
    watcher.observe(batch, 60_001);
    expect(watcher.vanished(200_000)).toEqual([]);
    const lifecycle = new RunLifecycle();
    lifecycle.apply(start('a', { receivedUnixNano: T0 - SECOND }));
    lifecycle.apply(lifecycleEvent(batch.logs[0]!, T0 + 60n * SECOND)!);
    expect([...lifecycle.instances][0]).toMatchObject({ state: 'crashed', lastSeen: String(T0 - SECOND) });
  });
});
