// Raw events: the record that a call writes, and what it refuses.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { event, getLogger, init } from '../../src/index.ts';
import type { Run } from '../../src/research/run.ts';
import { type KeepingRecorder, testRuntime } from './recording.ts';

let recorder: KeepingRecorder;
let run: Run;
let remove: () => void;

beforeEach(() => {
  const test = testRuntime();
  ({ recorder, remove } = test);
  run = init({ project: 'p', strict: false });
  recorder.records.length = 0;
});
afterEach(() => {
  run[Symbol.dispose]();
  remove();
});

const events = () => recorder.logs().map(record => structuredClone(record.attributes));

describe('an event', () => {
  it('is one record with its name, value, step and context', () => {
    run.event('episode_end', 1, { step: 7, context: { score: 21, won: true }, mode: 'eval' });
    expect(recorder.logs()[0]!.eventName).toBe('kymo.event');
    expect(events()).toEqual([
      {
        'kymo.event.name': 'episode_end',
        'kymo.event.value': 1,
        'kymo.step': 7,
        'kymo.event.context': { score: 21, won: true },
        'kymo.mode': 'eval',
      },
    ]);
    expect(recorder.rows).toEqual([]);
  });

  it('counts as one, at the step under way, which it does not move', () => {
    run.log({ loss: 1 }, { step: 4 });
    event('step_completed');
    getLogger('worker').event('step_completed', 3);
    run.log({ loss: 1 });
    expect(events()).toMatchObject([
      { 'kymo.event.value': 1, 'kymo.step': 5 },
      { 'kymo.event.value': 3, 'kymo.step': 5 },
    ]);
    expect(recorder.rows.map(row => row.step)).toEqual([4, 5]);
  });

  it('keeps NaN, and drops what is no number or step', () => {
    run.event('x', Number.NaN);
    run.event('x', 'many' as unknown as number);
    run.event('x', 1, { step: -1 });
    expect(events()).toMatchObject([{ 'kymo.event.value': Number.NaN }]);
    expect(recorder.report().dropped).toMatchObject({ bad_value: 1, bad_step: 1 });
  });

  it.each([
    ['no name', () => run.event(''), /event\(name\) must be a string of 1 to 1000 characters/],
    [
      'a list as context',
      () => run.event('x', 1, { context: [1] as never }),
      /event\(\{context\}\) must be an object/,
    ],
    ['an unknown option', () => run.event('x', 1, { stp: 1 } as never), /did you mean step\?/],
  ])('refuses %s', (_what, call, message) => {
    expect(call).toThrow(message);
  });
});
