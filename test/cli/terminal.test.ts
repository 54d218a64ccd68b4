import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { shortDuration, shortNumber } from '../../src/cli/amounts.ts';
import { cut, displayWidth, layOut, wantsColour } from '../../src/cli/terminal.ts';

describe('the width of a text', () => {
  it.each([
    ['abc', 3],
    ['é', 1],
    ['e\u0301', 1],
    ['列車', 4],
    ['ｱ', 1],
    ['Ａ', 2],
    ['🚂', 2],
    ['👩‍👩‍👧', 2],
    ['☀️', 2],
    ['한글', 4],
    ['', 0],
  ])('%j takes %i columns', (text, width) => {
    expect(displayWidth(text)).toBe(width);
  });

  it('is what a cut leaves at most, and nothing is cut that fits', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.nat(20), (text, width) => {
        const shown = cut(text, width);
        expect(displayWidth(shown)).toBeLessThanOrEqual(width);
        if (displayWidth(text) <= width) expect(shown).toBe(text);
      }),
    );
  });
});

describe('columns', () => {
  it('stand below each other whatever the letters, and to the right where asked', () => {
    const lines = layOut([
      [{ text: '列車' }, { text: '1', align: 'right' }, { text: 'x' }],
      [{ text: 'abc' }, { text: '100', align: 'right' }, { text: 'y' }],
    ]);
    expect(lines).toEqual(['列車    1  x', 'abc   100  y']);
  });

  it('obey no control character, keep to the width, and have colours only where asked', () => {
    const rows = [[{ text: 'a\u001b[2Jb', style: 'red' as const }, { text: 'long text here' }]];
    expect(layOut(rows)).toEqual(['a\\u{1b}[2Jb  long text here']);
    expect(layOut(rows, { width: 18 })).toEqual(['a\\u{1b}[2Jb  long…']);
    expect(layOut(rows, { colour: true })).toEqual(['\u001b[31ma\\u{1b}[2Jb\u001b[0m  long text here']);
  });

  it('are coloured on a terminal only, and never against NO_COLOR', () => {
    expect(wantsColour({ isTTY: true }, {})).toBe(true);
    expect(wantsColour({ isTTY: true }, { NO_COLOR: '1' })).toBe(false);
    expect(wantsColour({ isTTY: true }, { NO_COLOR: '' })).toBe(true);
    expect(wantsColour({ isTTY: true }, { TERM: 'dumb' })).toBe(false);
    expect(wantsColour({}, {})).toBe(false);
  });
});

it.each([
  [0, '0'],
  [12_345, '12345'],
  [0.123456789, '0.1235'],
  [1.5e-12, '1.5e-12'],
  [123456.789, '123500'],
  [-1e300, '-1e+300'],
  [Number.NaN, 'NaN'],
  [Number.NEGATIVE_INFINITY, '-∞'],
])('%d is shown as %s', (value, text) => {
  expect(shortNumber(value)).toBe(text);
});

it.each([
  [850, '850ms'],
  [42_000, '42s'],
  [192_000, '3m12s'],
  [7_500_000, '2h05m'],
  [356_400_000, '4d03h'],
  [Number.NaN, '-'],
])('%d ms is shown as %s', (ms, text) => {
  expect(shortDuration(ms)).toBe(text);
});
