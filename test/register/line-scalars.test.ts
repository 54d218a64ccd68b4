// Which printed lines are numbers of a training, and which are prose.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { LineReader } from '../../src/register/line-reader.ts';
import { lineScalars } from '../../src/register/line-scalars.ts';

describe('a printed line', () => {
  it.each([
    ['step 100 loss=0.42 lr: 1e-3', 100, { loss: 0.42, lr: 1e-3 }],
    ['[step: 1,000/50,000] train/loss=0.5, acc=93.5%', 1000, { 'train/loss': 0.5, acc: 93.5 }],
    [
      'Iter 7 | loss = -0.25 | grad_norm=nan | scale=inf',
      7,
      { loss: -0.25, grad_norm: Number.NaN, scale: Infinity },
    ],
    ['global_step=12 reward=.5', 12, { reward: 0.5 }],
    ['epoch 3: loss=nan lr=1e-4 time=12:30 v=1.2.3 n=1,000', 3, { loss: Number.NaN, lr: 1e-4, n: 1000 }],
    ['step 1 loss=0.5 { a: 1, b: 2 }', 1, { loss: 0.5 }],
    ['{"step":100,"loss":0.42,"note":"x"}', 100, { loss: 0.42 }],
    ['  {"loss":0.42}  ', undefined, { loss: 0.42 }],
  ])('%s', (line, step, values) => {
    expect(lineScalars(line)).toEqual({ step, values });
  });

  it.each([
    '',
    'loading step 3 of the pipeline',
    'accuracy improved to 0.9',
    'loss=0.4',
    'step 100',
    'listening on http://127.0.0.1:8080',
    '{"message":"hello"}',
    '{"step":3}',
    '{not json',
    '{}',
    'step -1 loss=2',
    `step 1 loss=1 ${'x'.repeat(5000)}`,
  ])('that is something else: %s', line => {
    expect(lineScalars(line)).toBeUndefined();
  });

  it('of any kind takes no time to speak of and never throws', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 4096 }), line => {
        lineScalars(line);
        lineScalars(`step 1 ${line}`);
      }),
    );
    // What makes regular expressions go wrong: long runs that almost match.
    for (const part of ['a=', 'step ', '1,', 'loss:1 ', '[(|,;', 'e-1'])
      lineScalars(`step 1 ${part.repeat(4000 / part.length)}`.slice(0, 4096));
  });
});

it('lines are the same however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'grapheme', maxLength: 8 }).map(line => line.replace(/[\r\n]/g, ''))),
      fc.array(fc.nat(20)),
      (lines, cuts) => {
        const bytes = Buffer.from(lines.map(line => `${line}\n`).join(''));
        const seen: string[] = [];
        const reader = new LineReader(line => seen.push(line));
        let at = 0;
        for (const cut of cuts) {
          reader.add(bytes.subarray(at, at + cut));
          at += cut;
        }
        reader.add(bytes.subarray(at));
        reader.end();
        expect(seen).toEqual(lines);
      },
    ),
  );
});
