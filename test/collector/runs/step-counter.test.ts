import { expect, it } from '@jest/globals';
import { StepCounter } from '../../../src/collector/runs/step-counter.ts';

it('counts each series by itself, and goes on from a snapshot', () => {
  const counter = new StepCounter();
  expect(['a', 'a', 'b', 'a', 'b'].map(name => counter.next(name))).toEqual([0, 1, 0, 2, 1]);
  const later = new StepCounter(JSON.parse(JSON.stringify(counter.snapshot())));
  expect(['b', 'c', 'a'].map(name => later.next(name))).toEqual([2, 0, 3]);
});

it('counts what is beyond its limit together, still growing', () => {
  const counter = new StepCounter([], 2);
  expect(['a', 'b', 'c', 'd', 'c', 'a'].map(name => counter.next(name))).toEqual([0, 0, 0, 1, 2, 1]);
  const later = new StepCounter(counter.snapshot(), 2);
  expect(['d', 'b'].map(name => later.next(name))).toEqual([3, 1]);
  expect(later.snapshot()).toHaveLength(3);
});
