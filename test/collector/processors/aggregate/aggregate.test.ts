// The aggregate processor: what is made of the values of an interval, when it is over, and for whom.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Batch, CommittedState } from '../../../../src/collector/component.ts';
import { batchOf, logBatchOf } from '../../../../src/collector/testing/index.ts';
import {
  aggregate,
  type Event,
  events,
  finished,
  one,
  registry,
  results,
  resultsIn,
  secondsAfter,
  started,
} from './support.ts';

const values = (...list: number[]) => list.map(value => ({ name: 'x', value, step: 1 }));

describe('an aggregation', () => {
  it.each([
    ['mean', 13.75],
    ['sum', 55],
    ['min', 10],
    ['max', 20],
    ['latest', 10],
    ['count', 4],
    ['std', Math.sqrt((3.75 ** 2 + 6.25 ** 2 + 1.25 ** 2 + 3.75 ** 2) / 4)],
  ])('%s of 10, 20, 15, 10', (aggregation, expected) => {
    const [[, step, value]] = results(one({ name: 'x', aggregation }), [
      events(...values(10, 20, 15, 10)),
      finished(),
    ]) as [[string, number, number]];
    expect(step).toBe(1);
    expect(value).toBeCloseTo(expected, 12);
  });

  it('leaves out what is not finite, and counts it; nothing finite gives no result', () => {
    const before = registry.total('kymo_aggregate_left_out', { reason: 'not_finite' });
    const infinite = Number.POSITIVE_INFINITY;
    const all = [events(...values(Number.NaN, 4, infinite)), finished()];
    expect(results(one({ name: 'x', aggregation: 'count' }), all)).toEqual([['x', 1, 1]]);
    expect(registry.total('kymo_aggregate_left_out', { reason: 'not_finite' })).toBe(before + 2);
    const none = [events(...values(Number.NaN)), finished()];
    expect(results(one({ name: 'x', aggregation: 'mean' }), none)).toEqual([]);
  });

  it('has no deviation in a single value, nor in equal large ones', () => {
    const std = () => one({ name: 'x', aggregation: 'std' });
    expect(results(std(), [events(...values(3)), finished()])).toEqual([['x', 1, 0]]);
    const large = events(...values(1e9 + 1, 1e9 + 1, 1e9 + 1));
    expect(results(std(), [large, finished()])).toEqual([['x', 1, 0]]);
  });

  it('takes the value from the context, and then does not look at the own one', () => {
    const score = one({
      name: 'Episode/Score',
      raw_event_name: 'episode_end',
      context_key: 'score',
      aggregation: 'mean',
    });
    const end = (score: number | string, value = Number.NaN) => ({
      name: 'episode_end',
      value,
      step: 1,
      context: { score },
    });
    const without = { name: 'episode_end', step: 1, context: { length: 3 } };
    expect(results(score, [events(end(4), end(8), end('many'), without), finished()])).toEqual([
      ['Episode/Score', 1, 6],
    ]);
  });
});

describe('an interval of steps', () => {
  it('ends with the multiple, when its process is beyond it, and is stamped with its latest step', () => {
    const mean = one({ name: 'x', aggregation: 'mean', log_frequency_steps: 10 });
    const step = (step: number, value = step) => events({ name: 'x', value, step });
    expect(results(mean, [step(0)])).toEqual([]);
    expect(results(mean, [step(1), step(7), step(10)])).toEqual([['x', 0, 0]]);
    expect(results(mean, [step(12)])).toEqual([['x', 10, 6]]);
    // None of the multiples between was ever a step: what came is logged all the same.
    expect(results(mean, [step(38)])).toEqual([['x', 12, 12]]);
    expect(results(mean, [finished()])).toEqual([['x', 38, 38]]);
  });

  it('holds all steps of one batch, which are several intervals', () => {
    const sum = one({ name: 'x', aggregation: 'sum', log_frequency_steps: 2 });
    const list = [1, 2, 3, 4, 5].map(step => ({ name: 'x', value: step, step }));
    expect(results(sum, [events(...list), finished()])).toEqual([
      ['x', 2, 3],
      ['x', 4, 7],
      ['x', 5, 5],
    ]);
  });

  it('takes in what comes late with the next result, and counts it', () => {
    const before = registry.total('kymo_aggregate_late_values');
    const sum = one({ name: 'x', aggregation: 'sum', log_frequency_steps: 10 });
    const at = (step: number, value: number) => events({ name: 'x', value, step });
    expect(results(sum, [at(5, 1), at(11, 2), at(6, 100), finished()])).toEqual([
      ['x', 5, 1],
      ['x', 11, 102],
    ]);
    expect(registry.total('kymo_aggregate_late_values')).toBe(before + 1);
  });
});

describe('an interval of seconds', () => {
  const every5 = { log_frequency_steps: 0, log_frequency_seconds: 5 };
  const at = (at: number, value: number, step = Math.round(at)) => events({ name: 'x', value, step, at });

  it('is counted by the times of the events, from the first of the run on', () => {
    const sum = one({ name: 'x', aggregation: 'sum', ...every5 });
    expect(results(sum, [at(0, 1), at(4.9, 2), at(5.1, 4), at(9, 8), at(21, 16), finished()])).toEqual([
      ['x', 5, 3],
      ['x', 9, 12],
      ['x', 21, 16],
    ]);
  });

  it('ends also when only a heartbeat shows that time goes on', () => {
    const sum = one({ name: 'x', aggregation: 'sum', ...every5 });
    const beat = (seconds: number) =>
      logBatchOf([{ eventName: 'kymo.run.heartbeat', timeUnixNano: secondsAfter(seconds) }]);
    expect(results(sum, [at(0, 1), beat(5.5)])).toEqual([]);
    expect(results(sum, [beat(10)])).toEqual([['x', 0, 1]]);
  });

  it('ends with either frequency where both are given', () => {
    const sum = one({ name: 'x', aggregation: 'sum', log_frequency_steps: 10, log_frequency_seconds: 5 });
    expect(
      results(sum, [at(0, 1, 1), at(1, 2, 2), at(6, 4, 3), at(7, 8, 11), at(8, 16, 12), finished()]),
    ).toEqual([
      ['x', 2, 3],
      ['x', 3, 4],
      ['x', 12, 24],
    ]);
  });

  it('is never written where both are 0', () => {
    const never = one({ name: 'x', aggregation: 'sum', log_frequency_steps: 0 });
    expect(results(never, [at(0, 1), at(100, 1), finished()])).toEqual([]);
  });
});

describe('a rate', () => {
  const rate = (more: object) =>
    one({ name: 'Rate/Steps', aggregation: 'rate', rate_numerator_event: 'step', ...more });
  const step = (at: number, value = 1, step = Math.floor(at)) => events({ name: 'step', value, at, step });

  it('is the sum of the values over the seconds: 2 and 3 in 2 s are 2.5', () => {
    const every2 = rate({ log_frequency_steps: 0, log_frequency_seconds: 2 });
    expect(results(every2, [step(0, 2), step(1.5, 3), step(2.5)])).toEqual([['Rate/Steps', 1, 2.5]]);
  });

  it('is 0 for an interval without them, once there were some', () => {
    const every2 = rate({ log_frequency_steps: 0, log_frequency_seconds: 2 });
    expect(results(every2, [step(0, 4), step(9, 6), step(10)])).toEqual([
      ['Rate/Steps', 0, 2],
      ['Rate/Steps', 0, 0],
      ['Rate/Steps', 9, 3],
    ]);
  });

  it('of an interval that the end of the run cuts off is over the seconds that there were', () => {
    const every10 = rate({ log_frequency_steps: 0, log_frequency_seconds: 10 });
    expect(results(every10, [started(), step(0, 4), step(4, 4), finished()])).toEqual([['Rate/Steps', 4, 2]]);
  });

  it('is over the time since the last result where steps say when; no time gives none', () => {
    const every2 = rate({ log_frequency_steps: 2 });
    const list = [step(0, 1, 0), step(1, 1, 1), step(2, 1, 2), step(4, 1, 3), step(8, 1, 4), step(9, 1, 5)];
    expect(results(every2, list)).toEqual([
      ['Rate/Steps', 2, 1],
      ['Rate/Steps', 4, 1 / 3],
    ]);
    const once = rate({ log_frequency_steps: 10 });
    expect(results(once, [step(0), finished()])).toEqual([]);
  });
});

describe('an x axis', () => {
  it('is the step, the seconds since the first event, or the episode', () => {
    const list = (more: object, ...all: readonly Event[]) =>
      results(one({ name: 'x', aggregation: 'latest', log_frequency_steps: 10, ...more }), [
        events(...all),
        finished(),
      ]).map(([, x]) => x);
    const two = [
      { name: 'x', at: 0, step: 3 },
      { name: 'x', at: 61.5, step: 12 },
    ];
    expect(list({}, ...two)).toEqual([3, 12]);
    expect(list({ x_axis: 'wall_time' }, ...two)).toEqual([0, 61]);
    expect(list({ x_axis: 'episode' }, ...two)).toEqual([1, 2]);
    const named = two.map((event, i) => ({ ...event, context: { episode: 40 + i } }));
    expect(list({ x_axis: 'episode' }, ...named)).toEqual([40, 41]);
  });
});

describe('several processes', () => {
  const rank = (rank: number) => ({
    instance: `rank-${rank}`,
    resource: { 'kymo.rank': rank, 'kymo.world_size': 2 },
  });
  const loss = (of: number, ...rows: [step: number, value: number][]) =>
    batchOf(rows.map(([step, value]) => ({ step, values: { loss: value }, ...rank(of) })));
  const spread = () =>
    aggregate({
      metrics: ['mean', 'min', 'max'].map(aggregation => ({
        name: `loss/${aggregation}`,
        raw_event_name: 'loss',
        aggregation,
      })),
    });

  it('become one series of mean, min and max per step, however far apart they are', () => {
    const batches = [
      started(rank(0)),
      started(rank(1)),
      loss(0, [0, 1], [1, 2], [2, 3]),
      loss(1, [0, 5]),
      loss(1, [1, 4], [2, 3]),
      finished(rank(0)),
      finished(rank(1)),
    ];
    expect(results(spread(), batches)).toEqual([
      ['loss/mean', 0, 3],
      ['loss/min', 0, 1],
      ['loss/max', 0, 5],
      ['loss/mean', 1, 3],
      ['loss/min', 1, 2],
      ['loss/max', 1, 4],
      ['loss/mean', 2, 3],
      ['loss/min', 2, 3],
      ['loss/max', 2, 3],
    ]);
  });

  it('are not waited for longer than max_wait', () => {
    const processor = spread();
    // Each batch is received two seconds after the one before.
    const early = Array.from({ length: 4 }, (_, step) => loss(0, [step, step]));
    expect(results(processor, early)).toEqual([]);
    const next = results(processor, [loss(0, [4, 4]), loss(0, [5, 5])]);
    expect(next.filter(([name]) => name === 'loss/mean')).toEqual([
      ['loss/mean', 0, 0],
      ['loss/mean', 1, 1],
    ]);
  });

  it('write their own points under their own names all the same, unless keep_sources is false', () => {
    const all = (keep_sources: boolean) => {
      const processor = aggregate({
        metrics: [{ name: 'loss', aggregation: 'mean' }],
        keep_sources,
      });
      const batches = [loss(0, [1, 1]), loss(1, [1, 3]), loss(0, [2, 0]), loss(1, [2, 0])];
      return batches.flatMap(batch => {
        const { columns, resolved } = processor.process(batch)?.scalars ?? {};
        return Array.from(columns?.seriesIndex ?? [], at => resolved![at]!.sinkName);
      });
    };
    expect(all(true)).toEqual(['loss', 'loss/rank=1', 'loss', 'loss/rank=1', 'loss/mean']);
    expect(all(false)).toEqual(['loss']);
  });

  it('whose run nobody ends have their last interval closed when nothing has come for ten minutes', () => {
    const sum = one({ name: 'x', aggregation: 'sum' });
    const other = (seconds: number) =>
      logBatchOf([{ body: 'from another run', run: 'other', timeUnixNano: secondsAfter(seconds) }]);
    const first = events({ name: 'x', value: 3, step: 7, at: 0 });
    const receivedLater = (batch: Batch, seconds: number): Batch => ({
      ...batch,
      signal: batch.signal,
      receivedUnixNano: first.receivedUnixNano + BigInt(seconds) * 1_000_000_000n,
      scalars: batch.scalars,
      histograms: batch.histograms,
      logs: batch.logs,
      spans: batch.spans,
    });
    expect(results(sum, [first, receivedLater(other(1), 599)])).toEqual([]);
    expect(results(sum, [receivedLater(other(2), 601)])).toEqual([['x', 7, 3]]);
  });
});

describe('what is aggregated', () => {
  it('are events of Kymo, events of other clients by their name, rows, and points', () => {
    const sum = one({ name: 'total', raw_event_name: 'x', aggregation: 'sum' });
    const foreign = logBatchOf([
      { eventName: 'x', attributes: { value: 10, step: 1 } },
      { eventName: 'x', attributes: { step: 1 } },
      { eventName: 'kymo.row', attributes: { 'kymo.step': 1, 'kymo.row.values': { x: 1000 } } },
    ]);
    const points = batchOf([{ step: 1, values: { x: 5000, y: 9 } }]);
    expect(results(sum, [events({ name: 'x', value: 100, step: 1 }), foreign, points, finished()])).toEqual([
      ['total', 1, 6000],
      ['total', 1, 111],
    ]);
  });

  it('can be events alone, or points alone', () => {
    const of = (from: string) =>
      results(one({ name: 'total', raw_event_name: 'x', aggregation: 'sum', from }), [
        events({ name: 'x', value: 1, step: 1 }),
        batchOf([{ step: 1, values: { x: 2 } }]),
        finished(),
      ]);
    expect(of('events')).toEqual([['total', 1, 1]]);
    expect(of('scalars')).toEqual([['total', 1, 2]]);
  });

  it('stays apart by run, scope, mode and dimensions', () => {
    const mean = one({ name: 'm', raw_event_name: 'x', aggregation: 'mean' });
    const rows = batchOf([
      { step: 1, values: { x: 1 } },
      { step: 1, values: { x: 2 }, scope: 'env' },
      { step: 1, values: { x: 3 }, mode: 'eval' },
      { step: 1, values: { x: 4 }, attributes: { seed: 7 } },
      { step: 1, values: { x: 5 }, run: 'other' },
    ]);
    const [first, second] = [finished(), finished({ run: 'other' })];
    expect(results(mean, [rows, first]).sort()).toEqual([
      ['env/m', 1, 2],
      ['eval/m', 1, 3],
      ['m', 1, 1],
      ['m/seed=7', 1, 4],
    ]);
    expect(results(mean, [second])).toEqual([['m', 1, 5]]);
  });

  it('is made for the exporters that log_to names', () => {
    const config = { metrics: [{ name: 'x', aggregation: 'sum', log_to: ['tensorboard'] }] };
    const batches = () => [events({ name: 'x', step: 1 }), finished()];
    expect(results(aggregate(config, undefined, 'jsonl'), batches())).toEqual([]);
    expect(results(aggregate(config, undefined, 'tensorboard'), batches())).toEqual([['x', 1, 1]]);
  });
});

describe('a result', () => {
  it('goes with the batch that completed it, one row a step, and its times only grow', () => {
    const processor = aggregate({
      metrics: [
        { name: 'a', aggregation: 'sum' },
        { name: 'b', aggregation: 'sum' },
      ],
    });
    const pair = (step: number) => events({ name: 'a', step }, { name: 'b', step });
    processor.process(pair(1));
    const { scalars, logs, position } = processor.process(pair(2))!;
    expect([logs.length, typeof position]).toEqual([2, 'number']);
    expect([scalars!.rows.count, scalars!.columns.count]).toEqual([1, 2]);
    expect(scalars!.resolved[0]!.run).toMatchObject({ id: 'run-1', rank: 0, instance: 'aggregate' });
    const times = [3, 4, 5].flatMap(step => [
      ...processor.process(pair(step))!.scalars!.columns.timeUnixNano,
    ]);
    expect(times).toEqual([...times].sort((x, y) => Number(x - y)));
    expect(new Set(times).size).toBe(3);
  });
});

const anyEvent = fc.record({
  step: fc.integer({ min: 0, max: 30 }),
  value: fc.integer({ min: -100, max: 100 }),
  rank: fc.integer({ min: 0, max: 2 }),
  at: fc.integer({ min: 0, max: 60 }),
});

describe('whatever comes, in any order and any batches', () => {
  const config = {
    metrics: [
      { name: 'sum', aggregation: 'sum', raw_event_name: 'x', log_frequency_steps: 4 },
      { name: 'count', aggregation: 'count', raw_event_name: 'x', log_frequency_steps: 4 },
      {
        name: 'timed',
        aggregation: 'sum',
        raw_event_name: 'x',
        log_frequency_steps: 0,
        log_frequency_seconds: 7,
      },
    ],
  };
  const ends = () => [0, 1, 2].map(rank => finished({ instance: `rank-${rank}` }));

  it('every value is in one result', () => {
    fc.assert(
      fc.property(fc.array(fc.array(anyEvent, { maxLength: 6 }), { maxLength: 8 }), batches => {
        const all = batches.flat();
        const made = results(aggregate(config), [
          ...batches.map(list => events(...list.map(event => ({ name: 'x', ...event })))),
          ...ends(),
        ]);
        const total = (name: string) =>
          made.filter(([of]) => of === name).reduce((sum, [, , value]) => sum + value, 0);
        const sum = all.reduce((before, { value }) => before + value, 0);
        expect([total('sum'), total('timed'), total('count')]).toEqual([sum, sum, all.length]);
      }),
      { numRuns: 150 },
    );
  });

  it('killed anywhere and started from its state, it says the same', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(anyEvent, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 8 }),
        fc.nat(),
        (lists, where) => {
          const batches = [
            ...lists.map(list => events(...list.map(event => ({ name: 'x', ...event })))),
            ...ends(),
          ];
          const cut = where % batches.length;
          const whole = aggregate(config);
          const expected = batches.map(batch => resultsIn(whole.process(batch)));
          const first = aggregate(config);
          for (const batch of batches.slice(0, cut)) first.process(batch);
          const state = JSON.parse(JSON.stringify(first.commit?.())) as CommittedState;
          // What it goes on to do is lost with it.
          for (const batch of batches.slice(cut)) first.process(batch);
          const second = aggregate(config, state);
          expect(batches.slice(cut).map(batch => resultsIn(second.process(batch)))).toEqual(
            expected.slice(cut),
          );
        },
      ),
      { numRuns: 100 },
    );
  });
});
