// What a spec takes and refuses, and what TypeScript knows of a history made from it. No device in here.
import { describe, expect, it } from '@jest/globals';
import type { Tensor3D, Tensor5D } from '@tensorflow/tfjs-core';
import type { Frames, History, Slices, Windows } from '../../src/history/index.ts';
import { HistorySpec } from '../../src/history/index.ts';

const fromAnything = (config: unknown) => HistorySpec.fromConfig(config as never);
const field = (options: object) => fromAnything({ x: { length: 1, shape: [], ...options } });

describe('a history spec', () => {
  it('fills in defaults and is frozen to the bottom', () => {
    const shape = [64, 64, 2];
    const spec = HistorySpec.fromConfig({
      states: { length: 100, shape },
      done: { length: 5, shape: [], dtype: 'bool', init: 'ones' },
    });
    expect(spec.fields.states).toEqual({ length: 100, shape: [64, 64, 2], dtype: 'float32', init: 'zeros' });
    expect(spec.fields.done).toEqual({ length: 5, shape: [], dtype: 'bool', init: 'ones' });
    expect(Object.keys(spec.fields)).toEqual(['states', 'done']);
    shape[0] = 1;
    expect(spec.fields.states.shape[0]).toBe(64);
    for (const part of [spec, spec.fields, spec.fields.states, spec.fields.states.shape])
      expect(Object.isFrozen(part)).toBe(true);
  });

  it('takes fields of another spec, and checks them again', () => {
    const spec = HistorySpec.fromConfig({ x: { length: 3, shape: [2], init: 'randn' } });
    expect(HistorySpec.fromConfig({ ...spec.fields, y: spec.fields.x }).fields.y).toEqual(spec.fields.x);
    expect(() => fromAnything({ x: { ...spec.fields.x, length: 0 } })).toThrow(RangeError);
  });

  it('takes scalar shapes and sides of 0', () => {
    expect(HistorySpec.fromConfig({ x: { length: 1, shape: [3, 0] } }).fields.x.shape).toEqual([3, 0]);
    expect(HistorySpec.fromConfig({}).fields).toEqual({});
  });

  it.each([null, undefined, 'x', 1, [], new Map(), () => 1])('refuses %p as a configuration', config => {
    expect(() => fromAnything(config)).toThrow(TypeError);
  });

  it.each([null, 'x', 1, [3]])('refuses %p as a field', value => {
    expect(() => fromAnything({ x: value })).toThrow(/field "x" must be an object such as/);
  });

  it.each([
    [{ shape: [1] }, /field "x" must define length and shape; length is missing/],
    [{ length: 1 }, /field "x" must define length and shape; shape is missing/],
  ])('refuses %j, which lacks something', (value, message) => {
    expect(() => fromAnything({ x: value })).toThrow(RangeError);
    expect(() => fromAnything({ x: value })).toThrow(message);
  });

  it.each([
    [{ length: 0 }, RangeError],
    [{ length: -1 }, RangeError],
    [{ length: 2.7 }, RangeError],
    [{ length: Number.NaN }, RangeError],
    [{ length: 2 ** 20 + 1 }, RangeError],
    [{ length: true }, TypeError],
    [{ length: '3' }, TypeError],
    [{ shape: 3 }, TypeError],
    [{ shape: '3' }, TypeError],
    [{ shape: ['3'] }, TypeError],
    [{ shape: [true] }, TypeError],
    [{ shape: [2.7] }, RangeError],
    [{ shape: [-1] }, RangeError],
    [{ shape: [2 ** 20, 2 ** 20] }, RangeError],
    [{ dtype: null }, TypeError],
    [{ dtype: 32 }, TypeError],
    [{ init: '' }, RangeError],
    [{ init: 123 }, RangeError],
    [{ init: 'uniform' }, RangeError],
    [{ init: 'randn', dtype: 'int32' }, TypeError],
  ])('refuses %j', (options, type) => {
    expect(() => field(options)).toThrow(type);
    expect(() => field(options)).toThrow(/field "x"/);
  });

  it.each([
    ['float16', /use float32/],
    ['float64', /no doubles: use float32/],
    ['int64', /no 64-bit integers: use int32/],
    ['uint8', /use int32, or bool/],
    ['complex64', /two fields/],
    ['flaot32', /did you mean float32\?/],
    ['constructor', /not "constructor"$/],
  ])('refuses the dtype %s with a hint', (dtype, hint) => {
    expect(() => field({ dtype })).toThrow(hint);
  });

  it('names the nearest for a slip of the pen', () => {
    expect(() => field({ lenght: 3 })).toThrow(/no option "lenght" \(did you mean length\?\)/);
    expect(() => field({ init: 'zeroes' })).toThrow(/did you mean zeros\?/);
    expect(() => field({ colour: 3 })).toThrow(/known are length, shape, dtype, init/);
  });

  it('is no way into prototypes, and limits names', () => {
    const spec = fromAnything(JSON.parse('{"__proto__": {"length": 1, "shape": []}}'));
    expect(Object.keys(spec.fields)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(spec.fields)).toBeNull();
    expect(() => fromAnything({ '': { length: 1, shape: [] } })).toThrow(/1 to 200 characters/);
    expect(() => fromAnything(Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [i, {}])))).toThrow(
      /more than 1000/,
    );
  });
});

/** Compiles, or the type checker fails: `A` and `B` are the same type. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

describe('what TypeScript knows', () => {
  it('are names, ranks and types of arrays', () => {
    const spec = HistorySpec.fromConfig({
      states: { length: 100, shape: [64, 64, 2] },
      actions: { length: 50, shape: [8], dtype: 'int32' },
    });
    type C = typeof spec extends HistorySpec<infer Config> ? Config : never;
    const checks: readonly true[] = [
      true satisfies Same<Windows<C>['states'], Tensor5D>,
      true satisfies Same<Windows<C>['actions'], Tensor3D>,
      true satisfies Same<keyof Slices<C, 'actions'>, 'actions'>,
      true satisfies Same<Extract<Frames<C>['actions'], ArrayBufferView>, Int32Array>,
      true satisfies Same<Extract<Frames<C>['states'], ArrayBufferView>, Float32Array>,
      true satisfies Same<keyof History<C>['ages'], 'states' | 'actions'>,
    ];
    expect(checks).not.toContain(false);
    // @ts-expect-error: there is no such field
    expect(spec.fields.reward).toBeUndefined();
    // @ts-expect-error: there is no such type
    expect(() => HistorySpec.fromConfig({ x: { length: 1, shape: [], dtype: 'float64' } })).toThrow();
  });
});
