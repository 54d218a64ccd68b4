// Every media call with everything that it cannot take: an error that names the call, what came, and what is accepted; never one of ours.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { init } from '../../src/index.ts';
import type { MediaCalls } from '../../src/research/media/calls.ts';
import type { Run } from '../../src/research/run.ts';
import { type KeepingRecorder, testRuntime } from './recording.ts';

let strict: Run;
let loose: Run;
let recorder: KeepingRecorder;
let remove: () => void;
let folder: string;
beforeAll(() => {
  const test = testRuntime();
  ({ recorder, remove } = test);
  folder = mkdtempSync(join(tmpdir(), 'kymo-bad-media-'));
  mkdirSync(join(folder, 'folder'));
  writeFileSync(join(folder, 'empty'), '');
  writeFileSync(join(folder, 'text.txt'), 'no picture');
  strict = init({ project: 'p', strict: true });
  loose = init({ project: 'p', strict: false });
});
afterAll(async () => {
  await strict.finish();
  await loose.finish();
  remove();
  rmSync(folder, { recursive: true, force: true });
});

/** Calls that take arrays, with the shape of a good one and the options that they need. */
const ARRAYS = {
  image: [[2, 2, 3], {}],
  video: [[2, 2, 2, 3], {}],
  audio: [[4, 2], { sampleRate: 8_000 }],
  vector: [[4], {}],
  vectorField: [[2, 2, 2], {}],
  trajectories: [[2, 2, 2], {}],
  pointCloud: [[2, 3], {}],
} as const satisfies Partial<Record<keyof MediaCalls, readonly [readonly number[], object]>>;
type ArrayCall = keyof typeof ARRAYS;
const CALLS = Object.keys(ARRAYS) as ArrayCall[];

const filled = (shape: readonly number[], value: number) => ({
  shape,
  data: new Float32Array(shape.reduce((product, side) => product * side, 1)).fill(value),
});
const tensor = (dataSync: () => unknown, shape: unknown = [2, 2]) => ({ shape, dataSync });

/** What no call takes. */
const NEVER: readonly (readonly [string, (call: ArrayCall) => unknown])[] = [
  ['undefined', () => undefined],
  ['null', () => null],
  ['a boolean', () => true],
  ['a number', () => 3],
  ['a bigint', () => 3n],
  ['a symbol', () => Symbol('x')],
  ['a function', () => () => 1],
  ['an object', () => ({})],
  ['a date', () => new Date(0)],
  ['a map', () => new Map([[0, 1]])],
  ['a promise', () => Promise.resolve([1])],
  ['no text', () => ''],
  ['a missing file', () => join(folder, 'nowhere.bin')],
  ['a folder', () => join(folder, 'folder')],
  ['an empty file', () => join(folder, 'empty')],
  ['a file of another format', () => join(folder, 'text.txt')],
  ['an empty list', () => []],
  ['a list of empty lists', () => [[], []]],
  ['a list of texts', () => [['a', 'b']]],
  ['a list with a hole', () => [[1, undefined]]],
  ['a ragged list', () => [[1, 2], [3]]],
  ['numbers among lists', () => [[1, 2], 3]],
  ['six axes', () => [[[[[[1]]]]]]],
  ['no elements', () => new Float32Array(0)],
  ['a data view', () => new DataView(new ArrayBuffer(8))],
  ['elements that do not make the shape', () => ({ data: new Float32Array(6), shape: [2, 4] })],
  ['a negative shape', () => ({ data: new Float32Array(4), shape: [-2, -2] })],
  ['half a side', () => ({ data: new Float32Array(3), shape: [1.5, 2] })],
  ['a side that is NaN', () => ({ data: new Float32Array(4), shape: [Number.NaN, 4] })],
  ['a shape that is text', () => ({ data: new Float32Array(4), shape: '2,2' })],
  ['a negative width', () => ({ data: new Uint8Array(4), width: -2, height: -2 })],
  ['a width without a height', () => ({ data: new Uint8Array(4), width: 2 })],
  ['data that are text', () => ({ data: 'abcd', shape: [2, 2] })],
  ['data that are no numbers', () => ({ data: ['a', 'b', 'c', 'd'], shape: [2, 2] })],
  ['a tensor of texts', () => tensor(() => ['a', 'b', 'c', 'd'])],
  ['a tensor that gives a promise', () => tensor(() => Promise.resolve(new Float32Array(4)))],
  ['a tensor that gives nothing', () => tensor(() => undefined)],
  [
    'a tensor that is disposed',
    () =>
      tensor(() => {
        throw new Error('Tensor is disposed');
      }),
  ],
  ['a tensor of no shape', () => tensor(() => new Float32Array(4), 'none')],
  [
    'an object that cannot be read',
    () =>
      new Proxy(
        {},
        {
          get: () => {
            throw new Error('no');
          },
        },
      ),
  ],
  [
    'something revoked',
    () => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      return proxy;
    },
  ],
  ['values that are NaN', call => filled(ARRAYS[call][0], Number.NaN)],
  ['another count of axes', call => filled([...ARRAYS[call][0], 2, 2], 1)],
];
/** Of the values that `vector` and `trajectories` take: numbers of a row may be NaN; a path may have gaps, but not only gaps. */
const TAKEN = new Set(['vector: values that are NaN']);

const thrownBy = (call: () => void): unknown => {
  try {
    call();
    return undefined;
  } catch (error) {
    return error;
  }
};
const say = (run: Run, call: ArrayCall, value: unknown) => run[call]('n', value, ARRAYS[call][1] as never);

describe.each(CALLS)('%s', call => {
  it('takes what it is for', () => {
    const before = recorder.jobs.length + recorder.rows.length;
    say(strict, call, filled(ARRAYS[call][0], 0.5));
    expect(recorder.jobs.length + recorder.rows.length).toBe(before + 1);
  });

  it.each(NEVER.filter(([what]) => !TAKEN.has(`${call}: ${what}`)))('refuses %s', (_, make) => {
    const before = recorder.jobs.length + recorder.rows.length;
    const error = thrownBy(() => say(strict, call, make(call)));
    expect(error instanceof TypeError || error instanceof RangeError).toBe(true);
    const { message } = error as Error;
    expect(message).toMatch(new RegExp(`^kymo: ${call} "n" `));
    expect(message).toMatch(/accepted (is|are)|must be|that cannot be read|cannot be read: /);
    const count = recorder.dropped.bad_value ?? 0;
    expect(thrownBy(() => say(loose, call, make(call)))).toBeUndefined();
    expect(recorder.dropped.bad_value).toBe(count + 1);
    expect(recorder.jobs.length + recorder.rows.length).toBe(before);
  });

  it.each([
    ['no name', ''],
    ['a name that is a number', 3],
    ['a name that is null', null],
  ])('refuses %s, also where runs are not strict', (_, name) => {
    const value = filled(ARRAYS[call][0], 0.5);
    const error = thrownBy(() => loose[call](name as never, value, ARRAYS[call][1] as never));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toMatch(`kymo: ${call}(name) must be a string with something in it`);
  });

  it.each([
    ['options that are none', 5],
    ['options that are a list', [1]],
    ['an option that there is not', { colour: 1 }],
    ['a mode that is a number', { mode: 5 }],
  ])('refuses %s, also where runs are not strict', (_, options) => {
    const error = thrownBy(() => loose[call]('n', filled(ARRAYS[call][0], 0.5), options as never));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toMatch(new RegExp(`^kymo: ${call}\\b`));
  });
});

const circle: Record<string, unknown> = {};
circle.self = circle;
type Saying = (run: Run) => void;

/** What the other calls cannot take: a wrong shape of the call is always thrown, a wrong value only where runs are strict. */
const OTHERS: readonly (readonly [string, 'call' | 'value', RegExp, Saying])[] = [
  ...['table', 'html', 'text'].flatMap(call =>
    [undefined, null, 3, true, () => 1, Symbol('x'), new Map(), ''].map(
      value =>
        [
          `${call} of ${typeof value} ${value === '' ? 'empty' : ''}`,
          'value',
          new RegExp(`^kymo: ${call} "n" (must be|is empty)`),
          (run: Run) => (run[call as 'html'] as (name: string, value: unknown) => void)('n', value),
        ] as const,
    ),
  ),
  ['table of rows that are none', 'value', /table "n" must have rows that are/, run => run.table('n', [1])],
  ['table of no rows', 'value', /table "n" has 0 columns; 1 to 10000 are taken/, run => run.table('n', [])],
  [
    'table with a short row',
    'value',
    /table "n" has 2 columns, but row 1 has 1 cells/,
    run => run.table('n', [[1, 2], [3]], { columns: ['a', 'b'] }),
  ],
  [
    'table with columns that are numbers',
    'call',
    /table\(\{columns\}\) must be an array of strings/,
    run => run.table('n', [[1]], { columns: [1] as never }),
  ],
  [
    'text of an unknown format',
    'call',
    /one of plain, markdown/,
    run => run.text('n', 'x', { format: 'rtf' as never }),
  ],
  ...[undefined, null, 3, true, {}, [1], new Map(), () => 1].map(
    value =>
      [
        `artifact of ${typeof value} ${Array.isArray(value) ? 'list' : ''}${value instanceof Map ? 'map' : ''}`,
        'value',
        /^kymo: artifact "n" must be a path, a file URL, an address, or bytes/,
        (run: Run) => run.artifact('n', value),
      ] as const,
  ),
  [
    'artifact that is missing',
    'value',
    /cannot be read: .*nowhere \(there is none\)/,
    run => run.artifact('n', './nowhere'),
  ],
  ['artifact of no path', 'value', /artifact "n" has an empty path/, run => run.artifact('n', '')],
  [
    'artifact of an unknown format',
    'call',
    /one of bin, txt, csv/,
    run => run.artifact('n', 'x', { format: 'exe' as never }),
  ],
  [
    'artifact that is no text',
    'value',
    /must be a string or bytes, not number 3/,
    run => run.artifact('n', 3, { format: 'txt' }),
  ],
  [
    'artifact that is no JSON',
    'value',
    /cannot become JSON/,
    run => run.artifact('n', circle, { format: 'json' }),
  ],
  [
    'artifact of nothing as JSON',
    'value',
    /cannot become JSON: it is undefined/,
    run => run.artifact('n', undefined, { format: 'json' }),
  ],
  ...(['dictionary', 'push'] as const).flatMap(call =>
    [undefined, null, 3, 'x', [1], new Float32Array(2), () => 1].map(
      value =>
        [
          `${call} of ${typeof value} ${Array.isArray(value) ? 'list' : ''}${ArrayBuffer.isView(value) ? 'array' : ''}`,
          'call',
          new RegExp(`^kymo: ${call}\\(\\w+\\) must be an object such as \\{loss: 0.5\\}, not`),
          (run: Run) => (call === 'push' ? run.push(value as never) : run.dictionary('n', value as never)),
        ] as const,
    ),
  ),
  [
    'dictionary of text',
    'value',
    /"n\/x" has an unsupported type: string "abc"/,
    run => run.dictionary('n', { x: 'abc' }),
  ],
  [
    'dictionary of an odd shape',
    'value',
    /has the shape \[2, 2, 5\]/,
    run => run.dictionary('n', { x: filled([2, 2, 5], 1) }),
  ],
  ['dictionary in itself', 'value', /contains itself/, run => run.dictionary('n', circle)],
  [
    'push of an odd shape',
    'value',
    /"x" has the shape \[2, 2, 5\]/,
    run => run.push({ x: filled([2, 2, 5], 1) }),
  ],
  [
    'push of NaN pixels',
    'value',
    /image "x" has 4 of 4 values/,
    run => run.push({ x: filled([2, 2], Number.NaN) }),
  ],
  [
    'image of a step below zero',
    'value',
    /step must be a whole number/,
    run => run.image('n', [[1]], { step: -1 }),
  ],
  [
    'image of a range of NaN',
    'value',
    /^kymo: image "n" has \{range: \[0, NaN\]\}; range must be two finite numbers, the lower first$/,
    run => run.image('n', [[1]], { range: [0, Number.NaN] }),
  ],
  [
    'image of an empty range',
    'value',
    /image "n" has \{range: \[0, 0\]\}; range must be two finite numbers/,
    run => run.image('n', [[1]], { range: [0, 0] }),
  ],
  [
    'image of three numbers as a range',
    'call',
    /image\(\{range\}\) must be two finite numbers/,
    run => run.image('n', [[1]], { range: [0, 1, 2] as never }),
  ],
  [
    'image of no width',
    'value',
    /image "n" has \{width: 0\}; width must be a whole number from 1 on$/,
    run => run.image('n', new Uint8Array(0), { width: 0, height: 0 }),
  ],
  [
    'image of half a row',
    'value',
    /image "n" has \{height: 1.5\}; height must be a whole number from 1 on$/,
    run => run.image('n', new Uint8Array(3), { width: 2, height: 1.5 }),
  ],
  [
    'image of a width that is text',
    'call',
    /image\(\{width\}\) must be a whole number from 1 on, not string "2"/,
    run => run.image('n', new Uint8Array(4), { width: '2' as never, height: 2 }),
  ],
  [
    'video of no frames',
    'value',
    /video "n" has \{shape: \[0, 2, 2, 3\]\}; shape must be an array of whole numbers from 1 on$/,
    run => run.video('n', new Uint8Array(0), { shape: [0, 2, 2, 3] }),
  ],
  [
    'point cloud of no points',
    'value',
    /^kymo: pointCloud "lidar" has \{shape: \[0, 3\]\}; shape must be an array of whole numbers from 1 on$/,
    run => run.pointCloud('lidar', new Float32Array(0), { shape: [0, 3] }),
  ],
  [
    'point cloud of no shape',
    'value',
    /pointCloud "n" has \{shape: \[\]\}/,
    run => run.pointCloud('n', new Float32Array(3), { shape: [] }),
  ],
  [
    'point cloud of very many axes',
    'value',
    /pointCloud "n" has \{shape: \[0, 0, 0, 0, 0, 0, 0, 0, …\]\}/,
    run => run.pointCloud('n', new Float32Array(3), { shape: new Array<number>(1_000).fill(0) }),
  ],
  [
    'point cloud of a shape of texts',
    'call',
    /pointCloud\(\{shape\}\) must be an array of whole numbers from 1 on/,
    run => run.pointCloud('n', new Float32Array(3), { shape: ['1', '3'] as never }),
  ],
  [
    'video of endless speed',
    'call',
    /video\(\{fps\}\)/,
    run => run.video('n', [[[1]]], { fps: Number.POSITIVE_INFINITY }),
  ],
  ['audio of no rate', 'value', /needs \{sampleRate\}/, run => run.audio('n', [0.5])],
  [
    'audio of a rate of zero',
    'call',
    /audio\(\{sampleRate\}\)/,
    run => run.audio('n', [0.5], { sampleRate: 0 }),
  ],
];

describe('the other calls', () => {
  it.each(OTHERS)('refuse %s (%s)', (_, fault, message, say) => {
    const before = recorder.jobs.length + recorder.rows.length;
    const error = thrownBy(() => say(strict));
    expect(error instanceof TypeError || error instanceof RangeError).toBe(true);
    expect((error as Error).message).toMatch(message);
    const dropped = () => Object.values(recorder.dropped).reduce((sum, count) => sum + count, 0);
    const count = dropped();
    if (fault === 'call') expect(() => say(loose)).toThrow(message);
    else expect(thrownBy(() => say(loose))).toBeUndefined();
    expect(dropped()).toBe(fault === 'call' ? count : count + 1);
    expect(recorder.jobs.length + recorder.rows.length).toBe(before);
  });
});
