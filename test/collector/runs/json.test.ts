import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isMap, numberJson, parseJson, valueJson } from '../../../src/collector/runs/json.ts';
import { attributesOf } from '../batches.ts';

describe('numberJson', () => {
  it.each([
    [Number.NaN, '"NaN"'],
    [Number.POSITIVE_INFINITY, '"Infinity"'],
    [Number.NEGATIVE_INFINITY, '"-Infinity"'],
    [-0, '-0'],
    [0, '0'],
    [1e308, '1e+308'],
    [5e-324, '5e-324'],
    [2 ** 53, '9007199254740992'],
  ])('writes %p as %s', (value, text) => {
    expect(numberJson(value)).toBe(text);
  });

  it('keeps every finite double', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), value => {
        expect(Object.is(JSON.parse(numberJson(value)), value)).toBe(true);
      }),
    );
  });
});

describe('valueJson and parseJson', () => {
  it('take maps with any key and integers of any size', () => {
    const value = attributesOf({ big: 2n ** 63n, text: '\ud800"\n', list: [1, null, true, -0] });
    Object.defineProperty(value, '__proto__', { value: 'key', enumerable: true });
    const text = valueJson(value);
    expect(text).toBe(
      '{"big":9223372036854775808,"text":"\\ud800\\"\\n","list":[1,null,true,-0],"__proto__":"key"}',
    );
    const back = parseJson(text);
    expect(valueJson(back)).toBe(text);
    expect(isMap(back) && Object.keys(back)).toContain('__proto__');
    expect(valueJson(parseJson(valueJson(value, true)))).toBe(text);
  });

  it('writes bytes as base64', () => {
    expect(valueJson(new Uint8Array([0, 255]))).toBe('{"base64":"AP8="}');
  });
});
