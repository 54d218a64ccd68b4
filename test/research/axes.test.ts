// Axes beside the step, and definitions of how metrics are to be read.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { defineMetric, getLogger, init, type MetricDefinition } from '../../src/index.ts';
import { MAX_AXES } from '../../src/research/axes.ts';
import { MAX_DEFINITIONS } from '../../src/research/metric-definition.ts';
import type { Run } from '../../src/research/run.ts';
import { type KeepingRecorder, testRuntime } from './recording.ts';

let recorder: KeepingRecorder;
let run: Run;
let remove: () => void;

beforeEach(() => {
  const test = testRuntime();
  ({ recorder, remove } = test);
  run = init({ project: 'p', strict: false });
});
afterEach(() => {
  run[Symbol.dispose]();
  remove();
});

const axes = (): unknown[] => recorder.rows.map(row => row.axes);

describe('axes', () => {
  it('ride on the row, beside the step', () => {
    const given = { epoch: 3, 'env/frames': 12_000 };
    run.log({ loss: 1, return: 2 }, { step: 5, axes: given });
    expect(recorder.rows).toMatchObject([
      { step: 5, values: { loss: 1, return: 2 }, axes: { epoch: 3, 'env/frames': 12_000 } },
    ]);
    expect(given).toEqual({ epoch: 3, 'env/frames': 12_000 });
  });

  it('leave the step counter to count on', () => {
    run.log({ a: 1 }, { axes: { epoch: 1 } });
    run.log({ a: 1 });
    expect(recorder.rows.map(row => row.step)).toEqual([0, 1]);
    expect(axes()).toEqual([{ epoch: 1 }, undefined]);
  });

  it('stand beside a time of the caller', () => {
    run.log({ a: 1 }, { axes: { epoch: 1 }, time: 5n });
    expect(axes()).toEqual([{ epoch: 1, 'kymo.time': 5n }]);
  });

  it('work for scalars and loggers', () => {
    run.scalar('a', 1, { axes: { epoch: 1 } });
    getLogger('l').log({ b: 1 }, { axes: { epoch: 2 } });
    expect(axes()).toEqual([{ epoch: 1 }, { epoch: 2 }]);
  });

  it('of a row that is collected come together, the last of a name wins', () => {
    run.log({ a: 1 }, { axes: { epoch: 1, frames: 10 }, commit: false });
    run.log({ b: 1 }, { axes: { epoch: 2 } });
    expect(axes()).toEqual([{ epoch: 2, frames: 10 }]);
  });

  it('are flattened with dots; the last of equal names wins; nothing is left out quietly but null and undefined', () => {
    run.log(
      { a: 1 },
      {
        axes: {
          env: { frames: 1, wall: { clock: 2 } },
          'env.frames': 3,
          none: null,
          empty: {},
          gone: undefined,
        },
      },
    );
    expect(axes()).toEqual([{ 'env.frames': 3, 'env.wall.clock': 2 }]);
  });

  it('may be texts, booleans, bigints, tensors of one number, NaN', () => {
    run.log(
      { a: 1 },
      { axes: { phase: 'warm-up', done: true, big: 2n ** 60n, one: Float32Array.of(4), bad: Number.NaN } },
    );
    expect(axes()).toEqual([{ phase: 'warm-up', done: true, big: 2n ** 60n, one: 4, bad: Number.NaN }]);
  });

  it('that are none at all add nothing', () => {
    run.log({ a: 1 }, { axes: {} });
    expect(recorder.rows).toHaveLength(1);
    expect(recorder.rows[0]!.axes ?? {}).toEqual({});
  });

  it.each([
    ['an array', { list: [1, 2] }],
    ['a function', { f: () => 1 }],
    ['a date', { at: new Date() }],
    ['the name of the step', { 'kymo.step': 1 }],
    ['the name of the time', { 'kymo.time': 1 }],
    ['no name', { '': 1 }],
    ['an endless name', { ['x'.repeat(201)]: 1 }],
    [
      'a getter that throws',
      {
        get a(): number {
          throw new Error('no');
        },
      },
    ],
  ])('%s is left out and the row kept; strict throws', (_what, bad) => {
    run.log({ a: 1 }, { axes: { ...Object.getOwnPropertyDescriptors({}), epoch: 1 } });
    run.log({ a: 1 }, { axes: Object.defineProperties({ epoch: 1 }, Object.getOwnPropertyDescriptors(bad)) });
    expect(axes()).toEqual([{ epoch: 1 }, { epoch: 1 }]);
    const strict = init({ strict: true });
    expect(() => strict.log({ a: 1 }, { axes: bad })).toThrow(TypeError);
    strict[Symbol.dispose]();
  });

  it('beyond the limit are left out', () => {
    run.log(
      { a: 1 },
      { axes: Object.fromEntries(Array.from({ length: MAX_AXES + 5 }, (_, i) => [`a${i}`, i])) },
    );
    expect(Object.keys(recorder.rows[0]!.axes!)).toHaveLength(MAX_AXES);
  });

  it.each([null, 3, 'epoch', [1]])('of the wrong shape (%p) are a TypeError', bad => {
    expect(() => run.log({ a: 1 }, { axes: bad as never })).toThrow(
      /log\(\{axes\}\) must be an object such as \{epoch: 3\}/,
    );
    expect(() => run.scalar('a', 1, { axes: bad as never })).toThrow(TypeError);
    expect(recorder.rows).toEqual([]);
  });

  it('are no option of histograms', () => {
    expect(() => run.histogram('h', [1], { axes: {} } as never)).toThrow(/no option "axes"/);
  });

  it('named __proto__ are axes like any other', () => {
    run.log({ a: 1 }, { axes: JSON.parse('{"__proto__": 7}') as Record<string, number> });
    expect(Object.entries(recorder.rows[0]!.axes!)).toEqual([['__proto__', 7]]);
  });
});

describe('defineMetric', () => {
  const definitions = (): unknown[] =>
    recorder
      .logs()
      .filter(record => record.eventName === 'kymo.metric.definition')
      .map(record => structuredClone(record.attributes));

  it('says what metrics are drawn over and what is kept of them', () => {
    run.defineMetric('eval/*', { stepMetric: 'env/frames', summary: 'max' });
    defineMetric('loss', { summary: ['min', 'last', 'best'], goal: 'minimize' });
    defineMetric('*', { summary: 'none' });
    expect(definitions()).toEqual([
      {
        'kymo.metric.pattern': 'eval/*',
        'kymo.metric.step_metric': 'env/frames',
        'kymo.metric.summary': ['max'],
      },
      {
        'kymo.metric.pattern': 'loss',
        'kymo.metric.summary': ['min', 'last', 'best'],
        'kymo.metric.goal': 'minimize',
      },
      { 'kymo.metric.pattern': '*', 'kymo.metric.summary': ['none'] },
    ]);
  });

  it('in a loop is sent once, and again when it changes', () => {
    for (let i = 0; i < 100; i++) run.defineMetric('loss', { summary: 'min' });
    run.defineMetric('loss', { summary: 'max' });
    run.defineMetric('loss', { summary: 'min' });
    expect(definitions()).toHaveLength(3);
  });

  it.each([
    ['', { summary: 'min' }, /defineMetric\(name\) must be a metric's name or a pattern/],
    [3, { summary: 'min' }, /not number 3/],
    ['*/loss', { summary: 'min' }, /a \* at its end only, not string "\*\/loss"/],
    ['loss', undefined, /defineMetric\(options\) must be an object/],
    ['loss', {}, /needs one of stepMetric, summary, goal/],
    ['loss', { step: 'x' }, /no option "step"/],
    [
      'loss',
      { summary: 'maximum' },
      /must be one or several of min, max, mean, last, best, none, not string "maximum"/,
    ],
    ['loss', { summary: 'mx' }, /did you mean max\?/],
    ['loss', { summary: [] }, /at least one summary/],
    ['loss', { summary: ['none', 'min'] }, /none stands alone/],
    ['loss', { summary: 'best' }, /needs \{goal: "minimize"\} or \{goal: "maximize"\}/],
    ['loss', { goal: 'up' }, /\{goal\}\) must be minimize or maximize/],
    ['loss', { stepMetric: 5 }, /\{stepMetric\}/],
    ['loss', { stepMetric: '' }, /\{stepMetric\}/],
  ])('(%p, %p) is a TypeError', (name, definition, message) => {
    const call = (): void => run.defineMetric(name as string, definition as MetricDefinition);
    expect(call).toThrow(TypeError);
    expect(call).toThrow(message);
    expect(definitions()).toEqual([]);
  });

  it('has a limit', () => {
    for (let i = 0; i < MAX_DEFINITIONS; i++) run.defineMetric(`m${i}`, { summary: 'min' });
    expect(() => run.defineMetric('one more', { summary: 'min' })).toThrow(RangeError);
    run.defineMetric('m0', { summary: 'max' });
  });
});
