// What of a history goes to a run: its statistics as scalars, its last frames as artifacts in the span that failed.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import {
  createHistory,
  HistorySpec,
  observeHistory,
  recordFlight,
  updateHistory,
} from '../../src/history/index.ts';
import { init, timeit } from '../../src/index.ts';
import type { Run } from '../../src/research/run.ts';
import { type KeepingRecorder, testRuntime } from '../research/recording.ts';

let run: Run;
let recorder: KeepingRecorder;
let remove: () => void;
const spec = HistorySpec.fromConfig({ reward: { length: 4, shape: [] }, state: { length: 4, shape: [3] } });
const frames = (value: number) => ({
  reward: new Float32Array(2).fill(value),
  state: new Float32Array(6).fill(-value),
});

beforeAll(async () => {
  tf.enableProdMode();
  await tf.setBackend('wasm');
});
beforeEach(() => {
  ({ recorder, remove } = testRuntime());
  run = init({ project: 'p', strict: true });
});
afterEach(async () => {
  await run.finish();
  remove();
});

describe('an observed history', () => {
  it('writes scalars at its own step and leaves the run’s step counter alone', async () => {
    let h = createHistory(tf, spec, 2);
    const observation = observeHistory(run, h, { fields: 'reward', stats: ['mean', 'last'], every: 2 });
    for (let step = 1; step <= 6; step++) {
      h = updateHistory(h, frames(step));
      run.log({ loss: step });
      await nextTurn();
    }
    const rows = recorder.rows.filter(row => 'history/reward/mean' in row.values);
    expect(rows.map(row => [row.step, row.values])).toEqual([
      [2, { 'history/reward/mean': 1.5, 'history/reward/last': 2 }],
      [4, { 'history/reward/mean': 2.5, 'history/reward/last': 4 }],
      [6, { 'history/reward/mean': 4.5, 'history/reward/last': 6 }],
    ]);
    expect(rows[0]!.scope.name).toBe('kymo.history');
    expect(recorder.rows.filter(row => 'loss' in row.values).map(row => row.step)).toEqual([
      0, 1, 2, 3, 4, 5,
    ]);
    expect([observation.written, observation.skipped]).toEqual([3, 0]);
    h.dispose();
  });

  it('tells a meter of OpenTelemetry, with the field as an attribute', async () => {
    const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
    const provider = new MeterProvider({ readers: [reader] });
    let h = createHistory(tf, spec, 2);
    observeHistory(provider.getMeter('test'), h, { every: 1, stats: ['mean', 'min'] });
    h = updateHistory(h, frames(1));
    h = updateHistory(h, frames(2));
    await nextTurn();
    h = updateHistory(h, frames(3));
    await nextTurn();
    await provider.forceFlush();
    const metrics = exporter.getMetrics().flatMap(one => one.scopeMetrics.flatMap(scope => scope.metrics));
    const points = metrics.flatMap(({ descriptor, dataPoints }) =>
      dataPoints.map(({ attributes, value }) => [descriptor.name, attributes['kymo.history.field'], value]),
    );
    expect(points.sort()).toEqual(
      [
        ['kymo.history.mean', 'reward', 2],
        ['kymo.history.mean', 'state', -2],
        ['kymo.history.min', 'reward', 1],
        ['kymo.history.min', 'state', -3],
        ['kymo.history.skipped', undefined, 1],
        ['kymo.history.step', undefined, 3],
      ].sort(),
    );
    h.dispose();
    await provider.shutdown();
  });

  it('skips and counts looks while one is on its way', async () => {
    let h = createHistory(tf, spec, 2);
    const observation = observeHistory(run, h, { every: 1, stats: ['max'], prefix: 'h' });
    for (let step = 1; step <= 5; step++) h = updateHistory(h, frames(step));
    await nextTurn();
    expect([observation.written, observation.skipped]).toEqual([1, 4]);
    h = updateHistory(h, frames(6));
    await nextTurn();
    expect(recorder.rows.map(row => [row.step, row.values])).toEqual([
      [1, { 'h/reward/max': 1, 'h/state/max': -1, 'h/skipped': 4 }],
      [6, { 'h/reward/max': 6, 'h/state/max': -3 }],
    ]);
    h.dispose();
  });

  it('goes on with the history that is used on, and ends with it or when told', async () => {
    let h = createHistory(tf, spec, 2);
    const first = observeHistory(run, h, { every: 1 });
    const second = observeHistory(run, h, { every: 1 });
    const fork = updateHistory(h, frames(1), { donate: false });
    h = updateHistory(h, frames(1));
    await nextTurn();
    expect([first.written, second.written]).toEqual([1, 1]);
    second.stop();
    const tensors = tf.memory().numTensors;
    const last = updateHistory(fork, frames(2));
    await nextTurn();
    expect([first.written, second.written]).toEqual([2, 1]);
    expect(tf.memory().numTensors).toBe(tensors + 4);
    last.dispose();
    h.dispose();
    expect(tf.memory().numTensors).toBe(0);
  });

  it('never makes an update fail: what goes wrong ends the observation and is told', async () => {
    const broken = {
      ...tf,
      stack: () => {
        throw new Error('no such kernel');
      },
    };
    let h = createHistory(broken as unknown as typeof tf, spec, 2);
    const warned = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    observeHistory(run, h, { every: 1 });
    h = updateHistory(h, frames(1));
    h = updateHistory(h, frames(2));
    await nextTurn();
    const told = warned.mock.calls.map(([message]) => message);
    warned.mockRestore();
    expect(told).toEqual(['a history is no longer observed: no such kernel']);
    expect(h.step).toBe(2);
    h.dispose();
    expect(tf.memory().numTensors).toBe(0);
  });

  it('says what it cannot do', () => {
    using h = createHistory(tf, spec, 2);
    const observe = (target: unknown, options?: unknown) => () =>
      observeHistory(target as Run, h, options as never);
    expect(observe({})).toThrow(/must be a run .* or a meter/);
    expect(observe(run, { every: 0 })).toThrow(RangeError);
    expect(observe(run, { stats: ['median'] })).toThrow(/must be some of mean, min, max, std, last/);
    expect(observe(run, { stats: [] })).toThrow(RangeError);
    expect(observe(run, { fields: ['rewards'] })).toThrow(/did you mean reward\?/);
    expect(observe(run, { prefix: '' })).toThrow(TypeError);
    expect(observe(run, { evry: 1 })).toThrow(/did you mean every\?/);
  });
});

describe('the flight recorder', () => {
  it('writes before a synchronous error goes on, into the span that failed', async () => {
    let h = createHistory(tf, spec, 2);
    const flight = recordFlight(run, h, { fields: 'state', frames: 2, name: 'crash' });
    const step = timeit(
      'train step',
      flight.guard((value: number) => {
        h = updateHistory(h, frames(value));
        if (value === 3) throw new RangeError('diverged');
        return value;
      }),
    );
    expect([step(1), step(2)]).toEqual([1, 2]);
    expect(() => step(3)).toThrow('diverged');
    expect(recorder.jobs).toHaveLength(1);
    const [{ record, job, content }] = recorder.jobs as [(typeof recorder.jobs)[number]];
    expect(job.source).toEqual({ as: 'artifact', path: 'crash.npz' });
    expect(content!.subarray(0, 4)).toEqual(Uint8Array.of(0x50, 0x4b, 3, 4));
    await run.runtime.deliver();
    const failed = recorder.spanRecords().find(span => span.statusCode === 2)!;
    expect(failed.name).toBe('train step');
    expect([record.traceId, record.spanId]).toEqual([failed.traceId, failed.spanId]);
    expect(record.attributes).toMatchObject({
      'kymo.artifact.name': 'crash.npz',
      'kymo.artifact.type': 'history',
      'kymo.artifact.metadata': {
        reason: 'exception',
        'exception.type': 'RangeError',
        'exception.message': 'diverged',
        step: 3,
        trace_id: failed.traceId,
        span_id: failed.spanId,
        shapes: { state: [2, 2, 3], 'state.age': [2] },
      },
      'kymo.step': 3,
    });
    h.dispose();
  });

  it('writes a file for each field when asked for npy', async () => {
    using h = updateHistory(createHistory(tf, spec, 2), frames(7));
    const flight = recordFlight(run, h, { format: 'npy', frames: 1 });
    await flight.dump();
    expect(recorder.jobs.map(({ record }) => record.attributes['kymo.artifact.name'])).toEqual([
      'flight-recorder/reward.npy',
      'flight-recorder/state.npy',
    ]);
    const text = Buffer.from(recorder.jobs[1]!.content!).toString('latin1');
    expect(text).toContain("'shape': (2, 1, 3)");
  });

  it('has nothing to record of a history that is gone, and counts that', async () => {
    const h = createHistory(tf, spec, 2);
    const flight = recordFlight(run, h);
    h.dispose();
    await flight.dump();
    expect([flight.recorded, flight.suppressed, recorder.jobs.length]).toEqual([0, 1, 0]);
  });

  it('says what it cannot do', () => {
    using h = createHistory(tf, spec, 2);
    const record =
      (options: unknown, target: unknown = run) =>
      () =>
        recordFlight(target as Run, h, options as never);
    expect(record({}, {})).toThrow(/must be a run/);
    expect(record({ frames: 0 })).toThrow(RangeError);
    expect(record({ nan: { every: 0 } })).toThrow(/nan.every/);
    expect(record({ nan: 'yes' })).toThrow(TypeError);
    expect(record({ format: 'csv' })).toThrow(/one of npz, npy/);
    expect(record({ limit: -1 })).toThrow(RangeError);
    expect(record({ feilds: 'state' })).toThrow(/did you mean fields\?/);
    expect(() => recordFlight(run, h).guard(3 as never)).toThrow(TypeError);
  });
});
