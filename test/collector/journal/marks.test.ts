import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { BatchMarks, parseBatchKey } from '../../../src/collector/journal/marks.ts';

describe('batch keys', () => {
  it('are taken apart into sender and number', () => {
    expect(parseBatchKey('i/s/metrics/12', 'metrics')).toEqual({ sender: 'i/s/metrics', number: 12 });
    expect(parseBatchKey('host/1/s/logs/1', 'logs')).toEqual({ sender: 'host/1/s/logs', number: 1 });
  });
  it('that are not ours mean no key', () => {
    for (const key of [
      '',
      'x',
      '1',
      'i/s/metrics/',
      'i/s/metrics/0',
      'i/s/metrics/-1',
      'i/s/metrics/1.5',
      'i/s/metrics/01',
    ]) {
      expect(parseBatchKey(key, 'metrics')).toBeUndefined();
    }
    expect(parseBatchKey('i/s/metrics/99999999999999999', 'metrics')).toBeUndefined();
    expect(parseBatchKey('i/s/logs/1', 'metrics')).toBeUndefined();
    expect(parseBatchKey('s/metrics/1', 'metrics')).toBeUndefined();
    expect(parseBatchKey(`${'i'.repeat(600)}/s/metrics/1`, 'metrics')).toBeUndefined();
  });
});

describe('batch marks', () => {
  it('know exactly what a plain set knows, in any order of arrival, also after a round trip', () => {
    const additions = fc.array(fc.tuple(fc.constantFrom('a', 'b'), fc.integer({ min: 1, max: 40 })), {
      maxLength: 120,
    });
    fc.assert(
      fc.property(additions, fc.nat(120), (pairs, restartAt) => {
        let marks = new BatchMarks();
        const naive = new Set<string>();
        for (const [index, [sender, number]] of pairs.entries()) {
          if (index === restartAt) {
            const again = new BatchMarks();
            again.restore(JSON.parse(JSON.stringify(marks.serialize())));
            marks = again;
          }
          expect(marks.has({ sender, number })).toBe(naive.has(`${sender}${number}`));
          marks.add({ sender, number }, 0);
          naive.add(`${sender}${number}`);
        }
        for (const sender of ['a', 'b']) {
          for (let number = 1; number <= 41; number++) {
            expect(marks.has({ sender, number })).toBe(naive.has(`${sender}${number}`));
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('forget, and never invent, when there are too many holes', () => {
    const marks = new BatchMarks({ maxRanges: 3 });
    for (const number of [10, 20, 30, 40]) marks.add({ sender: 's', number }, 0);
    expect(marks.has({ sender: 's', number: 10 })).toBe(false);
    for (const number of [20, 30, 40]) expect(marks.has({ sender: 's', number })).toBe(true);
    for (const number of [1, 15, 25, 41]) expect(marks.has({ sender: 's', number })).toBe(false);
    expect(marks.forgotten).toBe(1);
  });

  it('forget the sender that was heard longest ago', () => {
    const marks = new BatchMarks({ maxSenders: 2 });
    marks.add({ sender: 'a', number: 1 }, 1);
    marks.add({ sender: 'b', number: 1 }, 2);
    marks.add({ sender: 'a', number: 2 }, 3);
    marks.add({ sender: 'c', number: 1 }, 4);
    expect(marks.has({ sender: 'a', number: 1 })).toBe(true);
    expect(marks.has({ sender: 'b', number: 1 })).toBe(false);
    expect(marks.senders).toBe(2);
  });

  it('forget senders that have been silent for longer than the limit', () => {
    const marks = new BatchMarks({ maxAgeMs: 100 });
    marks.add({ sender: 'old', number: 1 }, 1_000);
    marks.add({ sender: 'new', number: 1 }, 1_090);
    marks.expire(1_150);
    expect(marks.has({ sender: 'old', number: 1 })).toBe(false);
    expect(marks.has({ sender: 'new', number: 1 })).toBe(true);
  });

  it('refuse what they did not write', () => {
    for (const wrong of [
      null,
      {},
      [1],
      [['s', 0, 0]],
      [['s', 0, 5, [6, 6]]],
      [['s', 0, 0, [4, 3]]],
      [['s', 0, -1, []]],
    ]) {
      expect(() => new BatchMarks().restore(wrong)).toThrow(TypeError);
    }
  });
});
