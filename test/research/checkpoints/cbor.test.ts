// States as bytes and back: whatever structured clone can copy, bytes that any CBOR reader knows, and bytes that somebody made to do harm.
import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CborError, decodeCbor } from '../../../src/research/checkpoints/cbor-decode.ts';
import { encodeCbor } from '../../../src/research/checkpoints/cbor-encode.ts';

const encode = (value: unknown, copy = false): Buffer =>
  Buffer.concat(encodeCbor(value, { name: 'state', copy }));
const again = (value: unknown): unknown => decodeCbor(encode(value));

describe('a state', () => {
  it('comes back as structured clone copies it', () => {
    fc.assert(
      fc.property(
        fc.anything({
          withBigInt: true,
          withDate: true,
          withMap: true,
          withSet: true,
          withTypedArray: true,
          withSparseArray: false,
          withNullPrototype: false,
          withBoxedValues: false,
        }),
        value => {
          // Which no two of are equal to the matcher; they have a test of their own.
          fc.pre(!inspect(value, { depth: null }).includes('Invalid Date'));
          expect(again(value)).toStrictEqual(structuredClone(value));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('keeps what JSON does not: NaN, -0, undefined, bigints, dates, halves of characters, regular expressions, errors', () => {
    const value = {
      numbers: [Number.NaN, -0, Number.POSITIVE_INFINITY, 5e-324, 2 ** 53, -(2 ** 53) - 2, 0.1],
      nothing: undefined,
      big: [2n ** 200n, -(2n ** 64n), 0n, -1n],
      dates: [new Date(0), new Date(8.64e15), new Date(-8.64e15), new Date(1_795_262_400_123)],
      text: 'пульс♥\ud800 𝛼',
      expression: /a(b)?\/c/giu,
    };
    const back = again(value) as typeof value;
    expect(back).toStrictEqual({ ...value });
    expect(Object.is(back.numbers[1], -0)).toBe(true);
    expect((again(new Date(Number.NaN)) as Date).getTime()).toBeNaN();
    const error = new RangeError('diverged', { cause: new Error('inner') });
    expect(again(error)).toMatchObject({
      name: 'RangeError',
      message: 'diverged',
      stack: error.stack,
      cause: { message: 'inner' },
    });
  });

  it('keeps an entry named __proto__ as an entry', () => {
    const value = JSON.parse('{"__proto__": {"polluted": true}, "a": 1}') as object;
    const back = again(value) as Record<string, unknown>;
    expect(Object.keys(back)).toEqual(['__proto__', 'a']);
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('keeps objects that stand in several places one, and cycles closed', () => {
    const weights = Float32Array.of(1, 2, 3);
    const list: unknown[] = [];
    const state = { policy: { weights }, target: { weights }, list, map: new Map([['list', list]]) };
    list.push(state);
    const back = again(state) as typeof state;
    expect(back.policy.weights).toBe(back.target.weights);
    expect(back.list[0]).toBe(back);
    expect(back.map.get('list')).toBe(back.list);
  });

  it('takes arrays of any kind and size, and a copy of them where it has to last', () => {
    const large = Float64Array.from({ length: 100_000 }, (_, i) => i / 3);
    const view = large.subarray(10, 20);
    const pieces = encodeCbor({ large, view, small: Int8Array.of(-1) }, { name: 'state', copy: true });
    large.fill(0);
    const back = decodeCbor(Buffer.concat(pieces)) as {
      large: Float64Array;
      view: Float64Array;
      small: Int8Array;
    };
    expect(back.large[99_999]).toBe(33_333);
    expect(back.view).toStrictEqual(Float64Array.from({ length: 10 }, (_, i) => (i + 10) / 3));
    expect(back.small).toStrictEqual(Int8Array.of(-1));
    expect(again(Buffer.from('abc'))).toStrictEqual(Uint8Array.of(97, 98, 99));
    expect(again(Uint8Array.of(1, 2).buffer)).toStrictEqual(Uint8Array.of(1, 2).buffer);
    expect(again(new DataView(Uint8Array.of(1, 2).buffer))).toStrictEqual(
      new DataView(Uint8Array.of(1, 2).buffer),
    );
  });

  it('is plain CBOR with registered tags', () => {
    expect(encode({ a: 1 }).toString('hex')).toBe('a1616101');
    expect(encode(Float32Array.of(1)).toString('hex')).toBe('d85544' + '0000803f');
    expect(encode(new Set([1])).toString('hex')).toBe('d90102' + '8101');
    expect(encode(2n ** 64n).toString('hex')).toBe('c249' + '010000000000000000');
    expect(encode(-500).toString('hex')).toBe('3901f3');
  });

  it.each([
    [
      'a function',
      { agent: { act: () => 1 } },
      /state\.agent\.act cannot be kept in a checkpoint, it is a function "act"/,
    ],
    ['a promise', { later: [Promise.resolve(1)] }, /state\.later\[0\] .*await it first/],
    ['a symbol', new Map([['a b', Symbol('x')]]), /state\["a b"\]/],
    ['a WeakMap', { cache: new WeakMap() }, /state\.cache/],
    [
      'an object with nothing to see',
      {
        agent: new (class Agent {
          #w = 1;
          w() {
            return this.#w;
          }
        })(),
      },
      /state\.agent .*Agent.*no fields/,
    ],
  ])('with %s is refused, with its place', (_what, state, message) => {
    expect(() => encode(state)).toThrow(TypeError);
    expect(() => encode(state)).toThrow(message as RegExp);
  });

  it('nested too deeply is refused instead of overflowing the stack', () => {
    let list: object = {};
    for (let i = 0; i < 100_000; i++) list = { next: list };
    expect(() => encode(list)).toThrow(/nested deeper than 500 levels/);
    let fitting: unknown[] = [];
    for (let i = 0; i < 400; i++) fitting = [fitting];
    expect(again(fitting)).toStrictEqual(fitting);
  });
});

describe('bytes that are no state', () => {
  it('are an error whatever they are, and never take more than a few times their size', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), bytes => {
        try {
          decodeCbor(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(CborError);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('cut or changed anywhere are an error or another value, never anything else', () => {
    const whole = encode({
      w: Float32Array.of(1, 2),
      m: new Map([[1, { a: [2n, new Date(0)] }]]),
      s: 'text',
    });
    for (let length = 0; length < whole.length; length++)
      expect(() => decodeCbor(whole.subarray(0, length))).toThrow(CborError);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
        const changed = Buffer.from(whole);
        changed[at] = byte;
        try {
          decodeCbor(changed);
        } catch (error) {
          expect(error).toBeInstanceOf(CborError);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ['claims 2^40 entries', '9b0000010000000000', /longer than the file/],
    ['claims 2^40 bytes', '5b0000010000000000', /ends too early/],
    ['claims a bigint of a megabyte', `c25a00100000${'00'.repeat(0x100000)}`, /bigint of 1048576 bytes/],
    ['refers to nothing', 'd81d00', /reference to nothing/],
    [
      'names a type that states do not have',
      `d81b8266${Buffer.from('Server').toString('hex')}00`,
      /"Server" is no type/,
    ],
    ['has a tag that states do not have', 'd9ffff00', /tag 65535/],
    [
      'has a tensor of another size',
      'd81b84' + '6b6b796d6f2e74656e736f72' + '67666c6f61743332' + '811a7fffffff' + 'd85540',
      /kymo.tensor.* is no type|incomplete/,
    ],
    ['has more than one value', '0000', /something follows/],
    ['has arrays of half a number', 'd85543000000', /no Float32Array/],
    ['nests for ever', '81'.repeat(100_000), /nested too deeply/],
  ])('that %s are refused', (_what, hex, message) => {
    expect(() => decodeCbor(Buffer.from(hex, 'hex'))).toThrow(message as RegExp);
  });
});
