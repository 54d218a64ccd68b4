// What the media calls hand over: shapes, steps, modes, what is said about each piece; and what they say about bad ones.
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import * as kymo from '../../src/index.ts';
import { getLogger, init } from '../../src/index.ts';
import type { HandlerEvent } from '../../src/research/handlers/event.ts';
import { SNAPSHOT_BYTES } from '../../src/research/media/files.ts';
import type { Run } from '../../src/research/run.ts';
import { type KeepingRecorder, testRuntime } from './recording.ts';

let run: Run;
let recorder: KeepingRecorder;
let remove: () => void;
let folder: string;
beforeEach(() => {
  const test = testRuntime();
  ({ recorder, remove } = test);
  folder = mkdtempSync(join(tmpdir(), 'kymo-media-'));
  run = init({ project: 'p', strict: true });
});
afterEach(async () => {
  await run.finish();
  remove();
  rmSync(folder, { recursive: true, force: true });
});

const PNG = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex');
const last = () => recorder.jobs.at(-1)!;
const source = () => last().job.source;
/** A tensor as TensorFlow.js has it. */
const tensor = (shape: number[], data: ArrayLike<unknown>, dtype = 'float32') => ({
  shape,
  dtype,
  size: data.length,
  dataSync: () => data,
});
const ramp = (n: number) => Float32Array.from({ length: n }, (_, i) => i);

describe('an image', () => {
  it.each([
    [
      'a typed array with width and height',
      () => run.image('i', new Uint8Array(24), { width: 4, height: 2 }),
    ],
    ['a typed array with a shape', () => run.image('i', new Uint8ClampedArray(24), { shape: [2, 4, 3] })],
    ['{data, width, height}', () => run.image('i', { data: new Uint8Array(24), width: 4, height: 2 })],
    ['{data, shape}', () => run.image('i', { data: new Uint8Array(24), shape: [2, 4, 3] })],
    ['a tensor', () => run.image('i', tensor([2, 4, 3], new Uint8Array(24)))],
  ])('is taken as %s', (_, call) => {
    call();
    expect(source()).toEqual({ as: 'image', array: { dtype: 'uint8', shape: [2, 4, 3] } });
    expect(last().content).toHaveLength(24);
    expect(last().record.attributes).toEqual({
      'kymo.media.name': 'i',
      'kymo.media.kind': 'image',
      'kymo.mode': 'train',
    });
  });
  it.each([
    [
      'nested numbers',
      [
        [0, 0.5],
        [1, 0],
      ],
      'float64',
      [2, 2, 1],
    ],
    ['nested booleans', [[true], [false]], 'bool', [2, 1, 1]],
    ['rows of typed arrays', [Uint8Array.of(1, 2), Uint8Array.of(3, 4)], 'float64', [2, 2, 1]],
    ['a boolean tensor', tensor([1, 2], Uint8Array.of(0, 1), 'bool'), 'bool', [1, 2, 1]],
    ['a tensor of int32', tensor([1, 2, 4], new Int32Array(8), 'int32'), 'int32', [1, 2, 4]],
    ['bigints', { data: BigInt64Array.of(1n, 2n), shape: [1, 2] }, 'float64', [1, 2, 1]],
  ])('is taken as %s', (_, value, dtype, shape) => {
    run.image('i', value);
    expect(source()).toMatchObject({ array: { dtype, shape } });
  });
  it('is a copy: later changes of the pixels are not seen', () => {
    const pixels = Uint8Array.of(1, 2, 3, 4);
    run.image('i', pixels, { width: 2, height: 2 });
    pixels.fill(9);
    expect([...last().content!]).toEqual([1, 2, 3, 4]);
  });
  it('is taken from the middle of a larger buffer', () => {
    run.image('i', ramp(10).subarray(2, 6), { shape: [2, 2] });
    expect([...new Float32Array(last().content!.buffer)]).toEqual([2, 3, 4, 5]);
  });
  it('passes through as it is where it is finished: bytes, path, file URL', () => {
    const path = join(folder, 'a.png');
    writeFileSync(path, PNG);
    for (const value of [PNG, new Uint8Array(PNG).buffer, path, pathToFileURL(path)]) {
      run.image('i', value);
      expect(source()).toEqual({ as: 'bytes', mimeType: 'image/png' });
      expect(Buffer.from(last().content!)).toEqual(PNG);
    }
  });
  it('is read at the call where the file is small, and named where it is large', () => {
    const path = join(folder, 'a.png');
    writeFileSync(path, PNG);
    appendFileSync(path, Buffer.alloc(SNAPSHOT_BYTES));
    run.image('i', path);
    expect(source()).toMatchObject({ as: 'bytes', file: { path, size: PNG.length + SNAPSHOT_BYTES } });
    expect(last().content).toBeUndefined();
  });
  it('carries step, mode, caption, metadata and the fields of its logger', () => {
    const log = getLogger('cam', { scope: 'ep.1', seed: 3 });
    log.image('eval/frame', [[1]], { step: 7, caption: 'a', metadata: { angle: 30, deep: { x: [1] } } });
    expect(last().record.attributes).toEqual({
      seed: 3,
      'kymo.media.name': 'eval/frame',
      'kymo.media.kind': 'image',
      'kymo.mode': 'eval',
      'kymo.step': 7,
      'kymo.media.caption': 'a',
      'kymo.media.metadata': { angle: 30, deep: { x: [1] } },
    });
    expect(last().scope).toMatchObject({ name: 'cam', attributes: { 'kymo.scope': 'ep.1' } });
    log.image('frame', [[1]], { mode: 'test' });
    expect(last().record.attributes).toMatchObject({ 'kymo.mode': 'test' });
  });
  it('has the step under way, and moves the counter as a scalar with a step does', () => {
    run.image('i', [[1]]);
    expect(last().record.attributes).not.toHaveProperty(['kymo.step']);
    run.log({ loss: 1 }, { step: 4 });
    run.image('i', [[1]]);
    expect(last().record.attributes['kymo.step']).toBe(5);
    run.image('i', [[1]], { step: 9 });
    run.log({ loss: 1 });
    expect(recorder.rows.at(-1)!.step).toBe(10);
  });
  it('has strictly increasing times with everything else', () => {
    run.image('i', [[1]]);
    run.image('i', [[1]]);
    const [first, second] = recorder.jobs.slice(-2);
    expect(second!.record.timeUnixNano).toBeGreaterThan(first!.record.timeUnixNano);
  });
});

describe('a video', () => {
  it.each([
    [[5, 8, 9], 'FHW'],
    [[5, 3, 8, 9], 'FCHW'],
    [[5, 1, 8, 9], 'FCHW'],
    [[5, 8, 9, 3], 'FHWC'],
    [[5, 8, 9, 4], 'FHWC'],
    [[5, 3, 9, 3], 'FCHW'],
    [[2, 5, 3, 8, 9], 'NFCHW'],
  ])('of shape %j is read as %s', (shape, layout) => {
    run.video('v', ramp(shape.reduce((a, b) => a * b)), { shape });
    expect(source()).toMatchObject({
      as: 'video',
      layout,
      fps: 30,
      format: 'gif',
      array: { shape, dtype: 'float32' },
    });
  });
  it('takes the order of axes, speed and format as told', () => {
    run.video('v', ramp(5 * 27), {
      shape: [5, 3, 3, 3],
      layout: 'FHWC',
      fps: 12,
      format: 'mp4',
      range: [0, 9],
    });
    expect(source()).toMatchObject({ layout: 'FHWC', fps: 12, format: 'mp4', range: [0, 9] });
  });
  it('passes through as GIF, MP4 or WebM', () => {
    run.video('v', Buffer.from('GIF89a…'));
    expect(source()).toEqual({ as: 'bytes', mimeType: 'image/gif' });
    run.video('v', Buffer.from('\0\0\0\x20ftypisom', 'latin1'));
    expect(source()).toEqual({ as: 'bytes', mimeType: 'video/mp4' });
  });
});

it('takes audio as samples with a rate, or as a file', () => {
  run.audio(
    'a',
    ramp(8).map(v => v / 8),
    { sampleRate: 8_000 },
  );
  expect(source()).toMatchObject({ as: 'audio', sampleRate: 8_000, array: { shape: [8, 1] } });
  run.audio('a', new Int16Array(8), { shape: [4, 2], sampleRate: 1 });
  expect(source()).toMatchObject({ array: { shape: [4, 2], dtype: 'int16' } });
  run.audio('a', Buffer.from('RIFF\0\0\0\0WAVEfmt '));
  expect(source()).toEqual({ as: 'bytes', mimeType: 'audio/wav' });
});

it('takes vector fields, trajectories and point clouds', () => {
  run.vectorField('f', ramp(24), { shape: [3, 4, 2], render: 'vorticity' });
  expect(source()).toMatchObject({ as: 'vector_field', render: 'vorticity', array: { shape: [3, 4, 2] } });
  expect(last().record.attributes['kymo.media.kind']).toBe('vector_field');
  run.trajectories('t', [
    [
      [0, 0, 1],
      [1, 1, Number.NaN],
    ],
  ]);
  expect(source()).toMatchObject({ as: 'trajectories', array: { shape: [1, 2, 3] } });
  run.pointCloud('p', [[0, 0, 1, 2]]);
  expect(source()).toMatchObject({ as: 'point_cloud', array: { shape: [1, 4] } });
});

describe('a table', () => {
  const json = () => JSON.parse(Buffer.from(last().content!).toString()) as unknown;
  it('is made of objects, of arrays beside columns, or of {columns, data}', () => {
    run.table('t', [
      { a: 1, b: 'x' },
      { a: 2, c: true },
    ]);
    expect(json()).toEqual({
      columns: ['a', 'b', 'c'],
      data: [
        [1, 'x', null],
        [2, null, true],
      ],
    });
    run.table('t', [[1, 2]], { columns: ['a', 'b'] });
    expect(json()).toEqual({ columns: ['a', 'b'], data: [[1, 2]] });
    run.table('t', { columns: ['a'], data: [[1]] });
    expect(json()).toEqual({ columns: ['a'], data: [[1]] });
    expect(last().record.attributes['kymo.media.metadata']).toEqual({ columns: ['a'], rows: 1 });
  });
  it('keeps what JSON has no form for as text', () => {
    run.table('t', [{ a: Number.NaN, b: Number.POSITIVE_INFINITY, c: 10n, d: new Date(0), e: { x: 1n } }]);
    expect(json()).toEqual({
      columns: ['a', 'b', 'c', 'd', 'e'],
      data: [['NaN', 'Infinity', '10', '1970-01-01T00:00:00.000Z', { x: '1' }]],
    });
  });
  it('has 100,000 rows', () => {
    run.table(
      't',
      Array.from({ length: 100_000 }, (_, i) => ({ i, text: `row ${i}`, half: i / 2 })),
    );
    expect((json() as { data: unknown[] }).data).toHaveLength(100_000);
  });
});

it('takes text and html', () => {
  run.text('sample', 'hällo', { format: 'markdown' });
  expect(source()).toEqual({ as: 'bytes', mimeType: 'text/markdown' });
  expect(Buffer.from(last().content!).toString()).toBe('hällo');
  run.html('page', '<b>x</b>');
  expect(last().record.attributes['kymo.media.kind']).toBe('html');
});

describe('an artifact', () => {
  it('is a file, a folder, bytes, text, JSON, or an address', () => {
    const path = join(folder, 'model.bin');
    writeFileSync(path, 'weights');
    run.artifact('model', path, {
      type: 'model',
      aliases: ['v1'],
      best: true,
      metadata: { acc: 0.9 },
      step: 3,
    });
    expect(source()).toEqual({ as: 'artifact', path: 'model.bin' });
    expect(last().record.attributes).toEqual({
      'kymo.artifact.name': 'model',
      'kymo.artifact.type': 'model',
      'kymo.artifact.aliases': ['v1'],
      'kymo.artifact.best': true,
      'kymo.artifact.metadata': { acc: 0.9 },
      'kymo.step': 3,
    });
    expect(last().record.eventName).toBe('kymo.artifact');
    mkdirSync(join(folder, 'sub'));
    run.artifact('all', folder);
    expect(source()).toEqual({ as: 'folder', path: folder });
    run.artifact('bytes', Uint8Array.of(1, 2));
    expect(source()).toEqual({ as: 'artifact', path: 'bytes' });
    run.artifact('notes', 'a,b\n1,2\n', { format: 'csv' });
    expect(source()).toEqual({ as: 'artifact', path: 'notes.csv' });
    run.artifact('conf', { lr: 1, big: 2n }, { format: 'json' });
    expect(JSON.parse(Buffer.from(last().content!).toString())).toEqual({ lr: 1, big: '2' });
    run.artifact('data', 's3://bucket/data');
    expect(source()).toEqual({ as: 'reference' });
    expect(last().record.attributes['kymo.artifact.uri']).toBe('s3://bucket/data');
  });
});

describe('dictionary', () => {
  it('promotes by shape, recursively, in one row and at its step', () => {
    run.dictionary(
      'd',
      {
        loss: 1,
        flag: true,
        one: [5],
        vec: [1, 2],
        img: [
          [1, 2],
          [3, 4],
        ],
        rgb: tensor([1, 2, 3], ramp(6)),
        field: tensor([2, 2, 2], ramp(8)),
        clip: tensor([2, 3, 2, 2], ramp(24)),
        deep: { '/x': 1, y: { z: Float64Array.of(7) } },
      },
      { step: 3, mode: 'eval' },
    );
    expect(recorder.rows).toHaveLength(1);
    expect(recorder.rows[0]!.step).toBe(3);
    expect(recorder.rows[0]!.values).toEqual({
      'd/loss': 1,
      'd/flag': 1,
      'd/one': 5,
      'd/vec_0': 1,
      'd/vec_1': 2,
      'd/deep/x': 1,
      'd/deep/y/z': 7,
    });
    expect(recorder.rows[0]!.modes['d/loss']).toBe('eval');
    expect(
      recorder.jobs.map(({ record, job }) => [record.attributes['kymo.media.name'], job.source.as]),
    ).toEqual([
      ['d/img', 'image'],
      ['d/rgb', 'image'],
      ['d/field', 'vector_field'],
      ['d/clip', 'video'],
    ]);
    for (const { record } of recorder.jobs)
      expect(record.attributes).toMatchObject({ 'kymo.step': 3, 'kymo.mode': 'eval' });
  });
  it('has the step of its row where it names none', () => {
    run.log({ a: 1 }, { step: 5 });
    run.dictionary('d', { loss: 1, img: [[1, 2]] });
    expect(recorder.rows.at(-1)!.step).toBe(6);
    expect(last().record.attributes['kymo.step']).toBe(6);
  });
  it.each([
    ['text', { x: 'abc' }, /metric "d\/x" has an unsupported type: string "abc"/],
    ['a function', { x: () => 1 }, /unsupported type: function/],
    ['five axes', { x: tensor([1, 1, 1, 1, 2], ramp(2)) }, /has the shape \[1, 1, 1, 1, 2\]/],
    ['ragged rows', { x: [[1, 2], [3]] }, /metric "d\/x" is ragged/],
    ['a long vector', { x: ramp(1_001) }, /1001 elements; a vector has 1 to 1000/],
  ])('tells of %s', (_, data, message) => {
    expect(() => run.dictionary('d', data)).toThrow(message);
  });
  it('tells of a dictionary that contains itself', () => {
    const data: Record<string, unknown> = {};
    data.self = data;
    expect(() => run.dictionary('d', data)).toThrow(/contains itself/);
  });
});

describe('push', () => {
  it('mixes scalars and images, with what is said about all of them', () => {
    run.push(
      {
        loss: 0.5,
        img: [
          [0, 1],
          [1, 0],
        ],
        rgba: tensor([1, 1, 4], ramp(4)),
        vec: [1, 2],
      },
      { step: 4, metadata: { seed: 1 } },
    );
    expect(recorder.rows.map(row => row.values)).toEqual([{ loss: 0.5, vec_0: 1, vec_1: 2 }]);
    expect(recorder.jobs.map(({ record }) => record.attributes)).toMatchObject([
      { 'kymo.media.name': 'img', 'kymo.step': 4, 'kymo.media.metadata': { seed: 1 } },
      { 'kymo.media.name': 'rgba', 'kymo.step': 4 },
    ]);
  });
  it('writes no row when only images are pushed', () => {
    run.push({
      img: [
        [0, 1],
        [1, 0],
      ],
    });
    expect(recorder.rows).toEqual([]);
    expect(recorder.jobs).toHaveLength(1);
  });
});

it('makes a vector the scalars of one row', () => {
  run.vector('q', Float32Array.of(1, 2, 3), { step: 2 });
  expect(recorder.rows.map(row => [row.step, row.values])).toEqual([[2, { q_0: 1, q_1: 2, q_2: 3 }]]);
});

it('is there as functions of the module, for the run that is current', () => {
  kymo.image('i', [[1]]);
  kymo.video('v', ramp(4), { shape: [1, 2, 2] });
  kymo.audio('a', [0.5], { sampleRate: 1 });
  kymo.vectorField('f', ramp(2), { shape: [1, 1, 2] });
  kymo.trajectories('t', [[[0, 1]]]);
  kymo.pointCloud('p', [[0, 0, 0]]);
  kymo.table('tb', [{ a: 1 }]);
  kymo.html('h', 'x');
  kymo.text('x', 'y');
  kymo.artifact('z', Uint8Array.of(1));
  expect(recorder.jobs).toHaveLength(10);
  kymo.vector('q', [1]);
  kymo.dictionary('d', { a: 1 });
  kymo.push({ b: 2 });
  expect(recorder.rows).toHaveLength(3);
});

it('is heard by handlers, with what the caller gave', () => {
  const heard: HandlerEvent[] = [];
  kymo.attach({ name: 'h', handle: event => heard.push(event) }, { scopes: ['global'] });
  try {
    const pixels = [[1]];
    run.image('i', pixels, { step: 2 });
    run.artifact('z', Uint8Array.of(1));
  } finally {
    kymo.detach('h', 'global');
  }
  expect(heard).toMatchObject([
    { kind: 'media', media: 'image', name: 'i', step: 2, value: [[1]], scope: 'global', logger: 'kymo' },
    { kind: 'media', media: 'artifact', name: 'z' },
  ]);
});

describe('a bad call', () => {
  const nan = new Float32Array(12);
  nan[7] = Number.NaN;
  const anything = (value: unknown) => value as never;

  it.each<[string, () => void, ErrorConstructor, RegExp]>([
    // The shape of the call.
    ['no name', () => run.image('', [[1]]), TypeError, /image\(name\) must be a string with something in it/],
    ['a name that is none', () => run.video(anything(3), []), TypeError, /video\(name\).* not number 3/],
    [
      'an unknown option',
      () => run.image('i', [[1]], anything({ widht: 3 })),
      TypeError,
      /no option "widht" \(did you mean width\?\)/,
    ],
    [
      'a negative width',
      () => run.image('i', new Uint8Array(4), { width: -2, height: -2 }),
      RangeError,
      /image "i" has \{width: -2\}; width must be/,
    ],
    [
      'half a pixel',
      () => run.image('i', new Uint8Array(4), { width: 1.5, height: 2 }),
      RangeError,
      /\{width: 1.5\}; width must be a whole number from 1 on/,
    ],
    [
      'a negative shape',
      () => run.image('i', new Uint8Array(4), { shape: [-2, -2] }),
      RangeError,
      /image "i" has \{shape: \[-2, -2\]\}/,
    ],
    [
      'no frames a second',
      () => run.video('v', [], { fps: 0 }),
      RangeError,
      /video\(\{fps\}\) must be a number above 0/,
    ],
    [
      'an unknown format',
      () => run.video('v', [], { format: anything('avi') }),
      TypeError,
      /one of gif, mp4, not string "avi"/,
    ],
    [
      'an unknown layout',
      () => run.video('v', [], { layout: anything('HWF') }),
      TypeError,
      /one of FHW, FCHW, FHWC, NFCHW/,
    ],
    [
      'a range upside down',
      () => run.image('i', [[1]], { range: [1, 0] }),
      RangeError,
      /two finite numbers, the lower first/,
    ],
    ['a rate of half a sample', () => run.audio('a', [1], { sampleRate: 0.5 }), RangeError, /sampleRate/],
    [
      'an unknown rendering',
      () => run.vectorField('f', [], { render: anything('x') }),
      TypeError,
      /quiver, magnitude, vorticity/,
    ],
    [
      'aliases that are none',
      () => run.artifact('x', Buffer.from('a'), { aliases: anything('best') }),
      TypeError,
      /aliases.*array of strings/,
    ],
    [
      'metadata that is none',
      () => run.image('i', [[1]], { metadata: anything([]) }),
      TypeError,
      /metadata.*an object/,
    ],
    [
      'a dictionary that is none',
      () => run.dictionary('d', anything([1])),
      TypeError,
      /dictionary\(data\) must be an object/,
    ],
    [
      'metrics that are none',
      () => run.push(anything(null)),
      TypeError,
      /push\(metrics\) must be an object.*not null/,
    ],
    // The value.
    [
      'no pixels',
      () => run.image('i', undefined),
      TypeError,
      /image "i" must be an array of shape \[height, width\].*not undefined/,
    ],
    ['a number', () => run.image('i', 3), TypeError, /not number 3/],
    [
      'one axis',
      () => run.image('i', new Float32Array(12)),
      RangeError,
      /image "i" has shape \[12\] \(float32\); accepted are \[height, width\] and/,
    ],
    ['two channels', () => run.image('i', ramp(8), { shape: [2, 2, 2] }), RangeError, /shape \[2, 2, 2\]/],
    [
      'channels first',
      () => run.image('i', ramp(27), { shape: [3, 3, 1, 3] }),
      RangeError,
      /shape \[3, 3, 1, 3\]/,
    ],
    ['an empty image', () => run.image('i', []), RangeError, /image "i" is empty \(shape \[0\]\)/],
    ['an empty side', () => run.image('i', tensor([0, 4], [])), TypeError, /elements that are numbers/],
    [
      'an empty tensor',
      () => run.image('i', tensor([0, 4], new Float32Array(0))),
      RangeError,
      /is empty \(shape \[0, 4\]\)/,
    ],
    [
      'a shape that does not fit',
      () => run.image('i', new Uint8Array(5), { shape: [2, 3] }),
      RangeError,
      /5 elements, which do not make the shape \[2, 3\]/,
    ],
    [
      'a width that does not fit',
      () => run.image('i', new Uint8Array(5), { width: 2, height: 2 }),
      RangeError,
      /do not make the shape \[2, 2, 1.25\]/,
    ],
    ['strings', () => run.image('i', [['a']]), TypeError, /elements that are numbers, not string "a"/],
    [
      'a tensor of strings',
      () => run.image('i', tensor([1, 1], ['a'], 'string')),
      TypeError,
      /elements that are numbers/,
    ],
    ['ragged rows', () => run.image('i', [[1, 2], [3]]), RangeError, /ragged/],
    [
      'NaN pixels',
      () => run.image('i', nan, { shape: [4, 3] }),
      RangeError,
      /image "i" has 1 of 12 values in its pixels that are NaN or infinite, the first at \[2, 1\]/,
    ],
    [
      'infinite pixels',
      () => run.video('v', [[[1, Number.POSITIVE_INFINITY]]]),
      RangeError,
      /first at \[0, 0, 1\]/,
    ],
    [
      'bytes of no format',
      () => run.image('i', Buffer.from('hello')),
      TypeError,
      /5 bytes in no format that is known; accepted are an image \(PNG/,
    ],
    [
      'a video as an image',
      () => run.image('i', Buffer.from('\0\0\0\x20ftypisom')),
      TypeError,
      /video\/mp4; accepted are an image/,
    ],
    [
      'a missing file',
      () => run.image('i', '/nowhere/x.png'),
      RangeError,
      /image "i" names a file that cannot be read: \/nowhere\/x.png \(there is none\)/,
    ],
    ['a folder as an image', () => run.image('i', tmpdir()), TypeError, /names a folder/],
    [
      'a file of no format',
      () => run.image('i', import.meta.filename),
      TypeError,
      /names media.test.ts, which is none; accepted is an image/,
    ],
    [
      'a video of two axes',
      () => run.video('v', ramp(4), { shape: [2, 2] }),
      RangeError,
      /video "v" has shape \[2, 2\]/,
    ],
    [
      'a video without channels',
      () => run.video('v', ramp(32), { shape: [2, 2, 2, 4], layout: 'FCHW' }),
      RangeError,
      /shape \[2, 2, 2, 4\]/,
    ],
    [
      'frames too wide for a GIF',
      () => run.video('v', new Uint8Array(70_000), { shape: [1, 1, 70_000] }),
      RangeError,
      /at most 65535 by 65535/,
    ],
    ['samples without a rate', () => run.audio('a', [0.1]), TypeError, /needs \{sampleRate\}/],
    [
      'channels before samples',
      () => run.audio('a', ramp(200), { shape: [2, 100], sampleRate: 1 }),
      RangeError,
      /shape \[2, 100\].*\[samples, 1 to 16 channels\]/,
    ],
    [
      'samples of uint32',
      () => run.audio('a', new Uint32Array(2), { sampleRate: 1 }),
      TypeError,
      /uint32 samples/,
    ],
    [
      'a field of three components',
      () => run.vectorField('f', ramp(12), { shape: [2, 2, 3] }),
      RangeError,
      /accepted are \[height, width, 2\]/,
    ],
    [
      'trajectories of four dimensions',
      () => run.trajectories('t', ramp(8), { shape: [1, 2, 4] }),
      RangeError,
      /2 or 3/,
    ],
    [
      'trajectories of nothing',
      () => run.trajectories('t', [[[Number.NaN, Number.NaN]]]),
      RangeError,
      /no finite value among 2 \(shape \[1, 1, 2\]\); accepted are points/,
    ],
    [
      'points of five columns',
      () => run.pointCloud('p', ramp(5), { shape: [1, 5] }),
      RangeError,
      /shape \[1, 5\]/,
    ],
    ['a table that is none', () => run.table('t', 'x'), TypeError, /table "t" must be an array of rows/],
    ['a table without columns', () => run.table('t', []), RangeError, /0 columns/],
    [
      'a row of another length',
      () => run.table('t', [[1], [1, 2]], { columns: ['a'] }),
      RangeError,
      /1 columns, but row 1 has 2 cells/,
    ],
    ['a row that is none', () => run.table('t', [{ a: 1 }, 3]), TypeError, /row 1 is number 3/],
    ['text that is none', () => run.text('x', anything(3)), TypeError, /text "x" must be a string/],
    ['empty html', () => run.html('x', ''), RangeError, /is empty/],
    ['an artifact that is none', () => run.artifact('x', 3), TypeError, /artifact "x" must be a path/],
    ['an artifact that is missing', () => run.artifact('x', './nothing.bin'), RangeError, /cannot be read/],
    ['an artifact without a path', () => run.artifact('x', ''), RangeError, /empty path/],
    ['an object without a format', () => run.artifact('x', { a: 1 }), TypeError, /must be a path/],
    [
      'a cycle as JSON',
      () =>
        run.artifact(
          'x',
          (() => {
            const a: Record<string, unknown> = {};
            a.a = a;
            return a;
          })(),
          { format: 'json' },
        ),
      TypeError,
      /cannot become JSON/,
    ],
    ['a vector of two axes', () => run.vector('q', [[1]]), RangeError, /shape \[1, 1\]/],
    ['a vector of text', () => run.vector('q', 'abc'), TypeError, /list of numbers/],
    [
      'a step below zero',
      () => run.image('i', [[1]], { step: -1 }),
      RangeError,
      /step must be a whole number/,
    ],
    [
      'metadata that is too long',
      () => run.image('i', PNG, { metadata: { text: 'x'.repeat(100_000) } }),
      RangeError,
      /bytes of name, caption, metadata and fields; at most 49152/,
    ],
  ])('is told of: %s', (_, call, type, message) => {
    const before = recorder.jobs.length;
    const thrown = (() => {
      try {
        call();
        return undefined;
      } catch (error) {
        return error;
      }
    })();
    expect(thrown).toBeInstanceOf(type);
    expect((thrown as Error).message).toMatch(/^kymo: /);
    expect((thrown as Error).message).toMatch(message);
    expect(recorder.jobs).toHaveLength(before);
  });
});

describe('in a run that is not strict', () => {
  it('a bad value is dropped and counted, a bad call still thrown', () => {
    const loose = init({ project: 'p', strict: false });
    const wrongs = [
      () => loose.image('i', undefined),
      () => loose.image('i', [[Number.NaN]]),
      () => loose.image('j', '/nowhere.png'),
      () => loose.image('i', [[1]], { step: -1 }),
      () =>
        loose.image('k', {
          shape: [1],
          dataSync: () => {
            throw new Error('disposed');
          },
        }),
    ];
    const before = recorder.jobs.length;
    for (const wrong of wrongs) expect(wrong).not.toThrow();
    expect(recorder.jobs).toHaveLength(before);
    expect(recorder.dropped).toEqual({ bad_value: 4, bad_step: 1 });
    expect(() => loose.image('i', [[1]], { widht: 1 } as never)).toThrow(TypeError);
  });
});

it('drops and counts what comes after the end', async () => {
  await run.finish();
  run.image('i', [[1]]);
  run.artifact('a', Uint8Array.of(1));
  expect(recorder.jobs).toEqual([]);
  expect(recorder.dropped).toEqual({ after_finish: 2 });
});

it('does nothing in a disabled run, but still says what is wrong with a call', () => {
  const disabled = init({ project: 'p', mode: 'disabled' });
  disabled.image('i', [[1]]);
  disabled.push({ img: [[1, 2]] });
  expect(() => disabled.image('i', [[1]], { widht: 1 } as never)).toThrow(TypeError);
  expect(recorder.jobs).toEqual([]);
});
