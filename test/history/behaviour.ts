// What a history does on whatever device it lives: the same cases on cpu, wasm, WebGPU and TensorFlow. No test runner in here, so
// that a process with a device of its own can run them as well as jest.
import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import type { Meter } from '@opentelemetry/api';
import type * as core from '@tensorflow/tfjs-core';
import {
  createHistory,
  HistorySpec,
  mergeHistories,
  observeHistory,
  peekLast,
  recordFlight,
  sliceHistory,
  toDevice,
  toHost,
  updateHistory,
} from '../../src/history/index.ts';
import { Model, seeded } from './model.ts';

export type Tf = typeof core;
export interface Case {
  readonly name: string;
  run(tf: Tf): void | Promise<void>;
}

const B = 4;

export const cases: readonly Case[] = [
  {
    name: 'a new history is its initial value, and nothing is allocated for it',
    async run(tf) {
      const before = tf.memory().numTensors;
      const spec = HistorySpec.fromConfig({
        zeros: { length: 3, shape: [2] },
        ones: { length: 2, shape: [], init: 'ones' },
        none: { length: 1, shape: [2, 2], init: 'none', dtype: 'int32' },
        flags: { length: 2, shape: [], dtype: 'bool', init: 'ones' },
      });
      using h = createHistory(tf, spec, B);
      assert.equal(tf.memory().numTensors, before);
      assert.deepEqual(h.fields.zeros.shape, [B, 3, 2]);
      assert.deepEqual(h.fields.ones.shape, [B, 2]);
      assert.deepEqual(h.fields.none.shape, [B, 1, 2, 2]);
      assert.equal(h.fields.none.dtype, 'int32');
      assert.equal(h.fields.flags.dtype, 'bool');
      assert.deepEqual(await values(h.fields.zeros), new Array(B * 6).fill(0));
      assert.deepEqual(await values(h.fields.ones), new Array(B * 2).fill(1));
      assert.deepEqual(await values(h.fields.none), new Array(B * 4).fill(0));
      assert.deepEqual(await values(h.fields.flags), new Array(B * 2).fill(1));
    },
  },
  {
    name: 'an update shifts the window and appends the frame at its end',
    async run(tf) {
      using scope = new Line(tf, { x: { length: 3, shape: [2] } });
      for (let step = 1; step <= 5; step++) scope.push({ x: constant(B * 2, step) });
      assert.deepEqual(await values(scope.h.fields.x), repeat(B, [3, 3, 4, 4, 5, 5]));
      assert.equal(scope.h.step, 5);
    },
  },
  {
    name: 'frames may have a time axis of 1, be tensors that the caller disposes, or arrays that the caller overwrites',
    async run(tf) {
      using scope = new Line(tf, { x: { length: 3, shape: [2] } });
      const flat = tf.tensor(constant(B * 2, 1), [B, 2]);
      scope.update({ x: flat });
      flat.dispose();
      const timed = tf.tensor(constant(B * 2, 2), [B, 1, 2]);
      scope.update({ x: timed });
      timed.dispose();
      const array = constant(B * 2, 3);
      scope.update({ x: array });
      array.fill(99);
      assert.deepEqual(await values(scope.h.fields.x), repeat(B, [1, 1, 2, 2, 3, 3]));
    },
  },
  {
    name: 'a scalar field and one with a side of 0',
    async run(tf) {
      using scope = new Line(tf, { reward: { length: 2, shape: [] }, nothing: { length: 3, shape: [2, 0] } });
      scope.update({ reward: Float32Array.of(1, 2, 3, 4), nothing: new Float32Array(0) });
      scope.update(
        { reward: Float32Array.of(5, 6, 7, 8), nothing: new Float32Array(0) },
        { resetMask: [true, false, false, false] },
      );
      assert.deepEqual(await values(scope.h.fields.reward), [0, 0, 2, 6, 3, 7, 4, 8]);
      assert.deepEqual(scope.h.fields.nothing.shape, [B, 3, 2, 0]);
      const last = peekLast(scope.h, 2, 'nothing').nothing;
      assert.deepEqual(last.shape, [B, 2, 2, 0]);
      last.dispose();
    },
  },
  ...(['zeros', 'ones', 'none'] as const).map(
    (init): Case => ({
      name: `a reset row of a field with init ${init} ${init === 'none' ? 'goes on' : 'is its initial value, and its frame is dropped'}`,
      async run(tf) {
        const fill = init === 'ones' ? 1 : 0;
        for (const mask of maskKinds(tf)) {
          using scope = new Line(tf, { x: { length: 3, shape: [2], init } });
          scope.push({ x: constant(B * 2, 7) });
          scope.push({ x: constant(B * 2, 8) });
          scope.update({ x: constant(B * 2, 9) }, { resetMask: mask([false, true, false, true]) });
          const kept = [7, 7, 8, 8, 9, 9];
          const other = init === 'none' ? kept : new Array<number>(6).fill(fill);
          assert.deepEqual(await values(scope.h.fields.x), [...kept, ...other, ...kept, ...other]);
          scope.push({ x: constant(B * 2, 10) });
          const after = init === 'none' ? [8, 8, 9, 9, 10, 10] : [fill, fill, fill, fill, 10, 10];
          assert.deepEqual((await values(scope.h.fields.x)).slice(6, 12), after);
        }
      },
    }),
  ),
  {
    name: 'random updates with random masks are what shifting and appending would be',
    async run(tf) {
      const config = {
        long: { length: 7, shape: [3, 2], init: 'zeros' },
        short: { length: 2, shape: [], init: 'ones' },
        whole: { length: 5, shape: [2], init: 'none', dtype: 'int32' },
        flag: { length: 3, shape: [2], init: 'zeros', dtype: 'bool' },
        count: { length: 4, shape: [1], init: 'ones', dtype: 'int32' },
      } as const;
      const kinds = maskKinds(tf);
      for (const [seed, choose] of [
        [1, () => 0],
        [2, () => 1],
        [3, (random: () => number) => Math.floor(random() * kinds.length)],
      ] as const) {
        const random = seeded(seed);
        using scope = new Line(tf, config);
        for (let step = 0; step < 25; step++) {
          const frames = {
            long: Float32Array.from({ length: B * 6 }, random),
            short: Float32Array.from({ length: B }, random),
            whole: Int32Array.from({ length: B * 2 }, () => random() * 1000 - 500),
            flag: Uint8Array.from({ length: B * 2 }, () => (random() < 0.5 ? 1 : 0)),
            count: Int32Array.from({ length: B }, () => random() * 2 ** 31),
          };
          const mask = random() < 0.5 ? undefined : Array.from({ length: B }, () => random() < 0.3);
          const partial = random() < 0.2;
          const given = partial ? { long: frames.long, count: frames.count } : frames;
          const resetMask = mask && kinds[choose(random)]!(mask);
          scope.update(given, { partial: true, donate: random() < 0.7, ...(resetMask && { resetMask }) });
          scope.model.update(given, mask);
          if (step % 4 === 3) await scope.compare();
          if (step % 6 === 5) await scope.comparePart(random);
        }
        await scope.compare();
      }
    },
  },
  {
    name: 'slices and the newest frames are parts of the window, and belong to the caller',
    async run(tf) {
      using scope = new Line(tf, { a: { length: 4, shape: [2] }, b: { length: 2, shape: [] } });
      for (let step = 1; step <= 3; step++)
        scope.push({ a: constant(B * 2, step), b: constant(B, 10 * step) });
      const before = tf.memory().numTensors;
      const slice = sliceHistory(scope.h, 1, 2, 'a');
      assert.deepEqual(Object.keys(slice), ['a']);
      assert.deepEqual(await values(slice.a), repeat(B, [1, 1, 2, 2]));
      const { a, b } = peekLast(scope.h);
      assert.deepEqual(a.shape, [B, 1, 2]);
      assert.deepEqual(await values(b), repeat(B, [30]));
      const both = sliceHistory(scope.h, 0, 2, ['b', 'a']);
      assert.deepEqual(Object.keys(both), ['b', 'a']);
      assert.deepEqual(await values(both.b), repeat(B, [20, 30]));
      for (const tensor of [slice.a, a, b, both.a, both.b]) tensor.dispose();
      assert.equal(tf.memory().numTensors, before);
    },
  },
  {
    name: 'a slice or peek beyond the shortest of the asked fields is an error, not a short answer',
    run(tf) {
      using scope = new Line(tf, { a: { length: 4, shape: [] }, b: { length: 2, shape: [] } });
      const { h } = scope;
      throws(() => sliceHistory(h, 1, 2), RangeError, /field "b", whose window has 2/);
      throws(() => peekLast(h, 3), RangeError, /field "b" remembers \(2\)/);
      throws(() => sliceHistory(h, 3, 2, 'a'), RangeError, /field "a"/);
      for (const start of [-1, 0.5, Number.NaN]) throws(() => sliceHistory(h, start, 1), RangeError, /start/);
      for (const length of [0, -1, 1.5]) throws(() => sliceHistory(h, 0, length), RangeError, /length/);
      throws(() => peekLast(h, 0), RangeError, /count/);
      throws(() => peekLast(h, true as unknown as number), TypeError, /boolean true/);
      throws(() => sliceHistory(h, 0, 1, 'aa' as 'a'), RangeError, /did you mean a\?/);
      throws(() => sliceHistory(h, 0, 1, []), RangeError, /empty/);
      throws(() => sliceHistory(h, 0, 1, [1] as unknown as 'a'[]), TypeError, /number 1/);
      throws(() => sliceHistory(h, 0, 1, 7 as unknown as 'a'), TypeError, /number 7/);
      using empty = createHistory(tf, HistorySpec.fromConfig({}), B);
      throws(() => sliceHistory(empty, 0, 1), RangeError, /no fields/);
      throws(() => peekLast({} as unknown as typeof h), TypeError, /createHistory/);
    },
  },
  {
    name: 'random values: new ones for every reset, gone as frames come in, the same for the same seed',
    async run(tf) {
      const spec = HistorySpec.fromConfig({ x: { length: 4, shape: [64], init: 'randn' } });
      for (const mask of maskKinds(tf)) {
        let h = createHistory(tf, spec, B, { seed: 5 });
        using same = createHistory(tf, spec, B, { seed: 5 });
        using other = createHistory(tf, spec, B, { seed: 6 });
        const first = await values(h.fields.x);
        close(await values(same.fields.x), first);
        assert.notDeepEqual(await values(other.fields.x), first);
        h = updateHistory(h, { x: constant(B * 64, 7) });
        const shifted = await values(h.fields.x);
        const row = (all: number[], at: number) => all.slice(at * 256, (at + 1) * 256);
        close(row(shifted, 2).slice(0, 192), row(first, 2).slice(64));
        assert.deepEqual(row(shifted, 2).slice(192), constantList(64, 7));
        h = updateHistory(h, { x: constant(B * 64, 8) }, { resetMask: mask([true, false, false, false]) });
        const reset = await values(h.fields.x);
        assert.ok(row(reset, 0).every((value, i) => Math.abs(value - row(first, 0)[i]!) > 1e-9));
        close(row(reset, 1).slice(0, 128), row(first, 1).slice(128));
        const again = await values(h.fields.x);
        assert.deepEqual(again, reset);
        const part = sliceHistory(h, 1, 2);
        close((await values(part.x)).slice(0, 128), row(reset, 0).slice(64, 192));
        part.x.dispose();
        h.dispose();
      }
    },
  },
  {
    name: 'random values are normal, and independent from row to row and reset to reset',
    async run(tf) {
      const spec = HistorySpec.fromConfig({ x: { length: 10, shape: [1000], init: 'randn' } });
      let h = createHistory(tf, spec, 2, { seed: 11 });
      const first = await values(h.fields.x);
      h = updateHistory(h, { x: new Float32Array(2000) }, { resetMask: [true, true] });
      const second = await values(h.fields.x);
      h.dispose();
      for (const sample of [first, second]) {
        assert.ok(Math.abs(mean(sample)) < 0.03, `mean ${mean(sample)}`);
        const deviation = Math.sqrt(mean(sample.map(value => value ** 2)));
        assert.ok(Math.abs(deviation - 1) < 0.03, `deviation ${deviation}`);
        assert.ok(Math.max(...sample) > 3 && Math.max(...sample) < 6);
        const beyondOne = sample.filter(value => Math.abs(value) > 1).length / sample.length;
        assert.ok(Math.abs(beyondOne - 0.3173) < 0.015, `beyond one deviation: ${beyondOne}`);
      }
      const rows = [first.slice(0, 10_000), first.slice(10_000), second.slice(0, 10_000)];
      for (const [a, b] of [
        [rows[0]!, rows[1]!],
        [rows[0]!, rows[2]!],
        [rows[0]!.slice(1), rows[0]!.slice(0, -1)],
      ] as const)
        assert.ok(Math.abs(mean(a.map((value, i) => value * b[i]!))) < 0.04);
    },
  },
  {
    name: 'a random field needs a seed',
    run(tf) {
      const spec = HistorySpec.fromConfig({ x: { length: 1, shape: [], init: 'randn' } });
      throws(() => createHistory(tf, spec, B), RangeError, /seed/);
      throws(() => createHistory(tf, spec, B, { seed: -1 }), RangeError, /seed/);
      throws(() => createHistory(tf, spec, B, { seed: 0.5 }), RangeError, /seed/);
      throws(() => createHistory(tf, spec, B, { sead: 1 } as never), TypeError, /did you mean seed/);
    },
  },
  {
    name: 'a batch size or spec that is none is refused',
    run(tf) {
      const spec = HistorySpec.fromConfig({ x: { length: 1, shape: [] } });
      for (const size of [0, -1, 1.5, Number.NaN])
        throws(() => createHistory(tf, spec, size), RangeError, /batchSize/);
      throws(() => createHistory(tf, spec, true as unknown as number), TypeError, /boolean true/);
      throws(() => createHistory(tf, { x: { length: 1, shape: [] } } as never, B), TypeError, /fromConfig/);
      throws(() => createHistory({} as never, spec, B), TypeError, /TensorFlow.js/);
      const huge = HistorySpec.fromConfig({ x: { length: 2 ** 18, shape: [2 ** 12] } });
      throws(() => createHistory(tf, huge, B), RangeError, /field "x" has 4294967296 elements/);
    },
  },
  {
    name: 'donation hands the frames on; without it both histories stay valid',
    async run(tf) {
      const spec = HistorySpec.fromConfig({ x: { length: 2, shape: [] } });
      const first = createHistory(tf, spec, B);
      const kept = updateHistory(first, { x: constant(B, 1) });
      throws(() => first.fields.x, RangeError, /donated/);
      throws(() => updateHistory(first, { x: constant(B, 1) }), RangeError, /donated.*donate: false/);
      assert.equal(first.isLive, false);
      const window = kept.fields.x;
      const before = await values(window);
      const next = updateHistory(
        kept,
        { x: constant(B, 2) },
        { donate: false, resetMask: [true, false, false, false] },
      );
      const other = updateHistory(kept, { x: constant(B, 3) }, { donate: false });
      assert.deepEqual(await values(window), before);
      assert.deepEqual(await values(next.fields.x), [0, 0, ...repeat(3, [1, 2])]);
      assert.deepEqual(await values(other.fields.x), repeat(B, [1, 3]));
      const copy = kept.clone();
      kept.dispose();
      kept.dispose();
      throws(() => kept.fields.x, RangeError, /disposed/);
      assert.ok(window.isDisposed);
      assert.deepEqual(await values(copy.fields.x), before);
      for (const h of [next, other, copy]) h.dispose();
    },
  },
  {
    name: 'a window is made once, and again when somebody has disposed it',
    async run(tf) {
      using scope = new Line(tf, { x: { length: 2, shape: [] } });
      scope.push({ x: constant(B, 4) });
      assert.equal(scope.h.fields.x, scope.h.fields.x);
      scope.h.fields.x.dispose();
      assert.deepEqual(await values(scope.h.fields.x), repeat(B, [0, 4]));
    },
  },
  {
    name: 'inside tf.tidy a history stays, and what was read of it',
    async run(tf) {
      const spec = HistorySpec.fromConfig({
        x: { length: 3, shape: [2] },
        r: { length: 3, shape: [], init: 'randn' },
      });
      const before = tf.memory().numTensors;
      let h = createHistory(tf, spec, B, { seed: 1 });
      for (let step = 1; step <= 4; step++)
        tf.tidy(() => {
          const x = tf.fill([B, 2], step);
          const done = tf.greater(tf.tensor1d([0, 0, 0, step === 3 ? 1 : 0]), tf.scalar(0.5));
          h = updateHistory(h, { x, r: tf.fill([B], step) }, { resetMask: done as core.Tensor1D });
          h.fields.x;
          h.fields.r;
          h.ages.x;
        });
      assert.deepEqual(await values(h.fields.x), [...repeat(3, [2, 2, 3, 3, 4, 4]), 0, 0, 0, 0, 4, 4]);
      assert.deepEqual(await values(h.ages.x), [3, 3, 3, 1]);
      h.dispose();
      assert.equal(tf.memory().numTensors, before);
    },
  },
  {
    name: 'ages say how many frames of each row are real',
    async run(tf) {
      for (const mask of maskKinds(tf)) {
        using scope = new Line(tf, { x: { length: 3, shape: [] }, short: { length: 1, shape: [] } });
        assert.deepEqual(await values(scope.h.ages.x), [0, 0, 0, 0]);
        for (let step = 0; step < 4; step++) scope.push({ x: constant(B, 1), short: constant(B, 1) });
        scope.update(
          { x: constant(B, 1), short: constant(B, 1) },
          { resetMask: mask([true, false, false, true]) },
        );
        assert.deepEqual(await values(scope.h.ages.x), [0, 3, 3, 0]);
        scope.push({ x: constant(B, 1), short: constant(B, 1) });
        assert.deepEqual(await values(scope.h.ages.x), [1, 3, 3, 1]);
        assert.deepEqual(await values(scope.h.ages.short), [1, 1, 1, 1]);
      }
    },
  },
  {
    name: 'int32 masks count as bool',
    async run(tf) {
      using scope = new Line(tf, { x: { length: 1, shape: [] } });
      const mask = tf.tensor1d([0, 5, -1, 0], 'int32');
      scope.update({ x: constant(B, 3) }, { resetMask: mask });
      mask.dispose();
      assert.deepEqual(await values(scope.h.fields.x), [3, 0, 0, 3]);
      scope.update({ x: constant(B, 4) }, { resetMask: Int32Array.of(1, 0, 0, 0) });
      assert.deepEqual(await values(scope.h.fields.x), [0, 4, 4, 4]);
    },
  },
  {
    name: 'a partial update leaves the other fields, and resets rows of all',
    async run(tf) {
      using scope = new Line(tf, { a: { length: 2, shape: [] }, b: { length: 2, shape: [], init: 'ones' } });
      scope.push({ a: constant(B, 1), b: constant(B, 2) });
      scope.update({ a: constant(B, 3) }, { partial: true });
      assert.deepEqual(await values(scope.h.fields.b), repeat(B, [1, 2]));
      assert.deepEqual(await values(scope.h.fields.a), repeat(B, [1, 3]));
      scope.update({}, { partial: true, resetMask: [true, false, false, false] });
      assert.deepEqual(await values(scope.h.fields.b), [1, 1, ...repeat(3, [1, 2])]);
      assert.deepEqual(await values(scope.h.fields.a), [0, 0, ...repeat(3, [1, 3])]);
    },
  },
  {
    name: 'an update that cannot be done says the field, what it got and what it needs, and changes nothing',
    async run(tf) {
      using scope = new Line(tf, {
        states: { length: 2, shape: [2, 3] },
        done: { length: 2, shape: [], dtype: 'bool' },
      });
      scope.update({ states: constant(B * 6, 1), done: new Uint8Array(B) });
      const before = await values(scope.h.fields.states);
      const good = { states: constant(B * 6, 2), done: new Uint8Array(B) };
      const tensors = tf.memory().numTensors;
      const tensor = (shape: number[], dtype: 'float32' | 'int32' | 'bool' = 'float32') =>
        tf.zeros<core.Rank>(shape, dtype);
      const bad: readonly [Record<string, unknown>, typeof RangeError | typeof TypeError, RegExp][] = [
        [{ states: good.states }, RangeError, /field "done" is missing/],
        [{ ...good, dones: good.done }, RangeError, /no field "dones" \(did you mean done\?\)/],
        [
          { ...good, states: tensor([B, 6]) },
          RangeError,
          /field "states" got float32 \[4, 6\] of rank 2, needs float32 \[4, 2, 3\]/,
        ],
        [{ ...good, states: tensor([B, 2, 2, 3]) }, RangeError, /2 frames at once/],
        [{ ...good, states: tensor([B + 1, 2, 3]) }, RangeError, /a batch of 5, needs float32 \[4, 2, 3\]/],
        [
          { ...good, states: tensor([B, 3, 2]) },
          RangeError,
          /got float32 \[4, 3, 2\], needs float32 \[4, 2, 3\]/,
        ],
        [
          { ...good, states: tensor([B, 2, 3], 'int32') },
          TypeError,
          /got int32 \[4, 2, 3\], needs float32.*tf\.cast\(frame, 'float32'\)/,
        ],
        [{ ...good, done: tensor([B]) }, TypeError, /field "done" got float32 \[4\], needs bool/],
        [{ ...good, states: new Float64Array(B * 6) }, TypeError, /Float64Array.*no doubles/],
        [{ ...good, states: new BigInt64Array(B * 6) }, TypeError, /no 64-bit integers/],
        [
          { ...good, states: new Int32Array(B * 6) },
          TypeError,
          /Int32Array, needs float32.*Float32Array\.from/,
        ],
        [{ ...good, states: constantList(B * 6, 1) }, TypeError, /array of 24, needs float32/],
        [{ ...good, states: new Float32Array(5) }, RangeError, /got 5 values, needs 24/],
        [{ ...good, states: null }, TypeError, /got null/],
        [{ ...good, states: 'x' }, TypeError, /got string "x"/],
      ];
      for (const [frames, type, message] of bad) {
        throws(() => updateHistory(scope.h, frames as never), type, message);
        for (const frame of Object.values(frames))
          if (frame instanceof Object && 'dispose' in frame) (frame as core.Tensor).dispose();
      }
      const gone = tensor([B, 2, 3]);
      gone.dispose();
      throws(() => updateHistory(scope.h, { ...good, states: gone }), RangeError, /disposed tensor/);
      for (const frames of [null, 1, [1], tensor([1])])
        throws(() => updateHistory(scope.h, frames as never), TypeError, /object of frames/);
      const masks: readonly [unknown, typeof RangeError | typeof TypeError, RegExp][] = [
        [tensor([B + 1], 'bool'), RangeError, /resetMask got bool \[5\], needs one flag per row: bool \[4\]/],
        [tensor([B, 1], 'bool'), RangeError, /resetMask got bool \[4, 1\]/],
        [tensor([B]), TypeError, /resetMask got float32 \[4\].*tf\.cast\(mask, 'bool'\)/],
        [[true], RangeError, /resetMask got 1 flags/],
        [['a', 'b', 'c', 'd'], TypeError, /resetMask\[0\] is string "a"/],
        ['all', TypeError, /resetMask got string "all"/],
      ];
      for (const [resetMask, type, message] of masks)
        throws(() => updateHistory(scope.h, good, { resetMask: resetMask as never }), type, message);
      throws(
        () => updateHistory(scope.h, good, { resetmask: [true] } as never),
        TypeError,
        /did you mean resetMask/,
      );
      throws(() => updateHistory(scope.h, good, { donate: 1 } as never), TypeError, /donate.*number 1/);
      throws(() => updateHistory(scope.h, good, { partial: 'yes' } as never), TypeError, /partial/);
      // The case's own, of frames that are none and of masks.
      assert.equal(tf.memory().numTensors, tensors + 4);
      assert.deepEqual(await values(scope.h.fields.states), before);
      assert.equal(scope.h.step, 1);
      scope.update(good);
      assert.deepEqual((await values(scope.h.fields.states)).slice(0, 12), [
        ...constantList(6, 1),
        ...constantList(6, 2),
      ]);
    },
  },
  {
    name: 'a failure of the device in the middle of an update leaves the history as it was, and no tensor behind',
    async run(tf) {
      using scope = new Line(tf, { a: { length: 2, shape: [] }, b: { length: 2, shape: [] } });
      scope.push({ a: constant(B, 1), b: constant(B, 2) });
      const mask = tf.tensor1d([true, false, false, false]);
      const before = tf.memory().numTensors;
      for (const failing of ['second frame', 'mask'] as const) {
        let calls = Number.NEGATIVE_INFINITY;
        // The history's own tf: the device is real, its failure is not.
        const broken = {
          ...tf,
          tensor: failingWhen(tf.tensor, () => failing === 'second frame' && ++calls === 2),
          where: failingWhen(tf.where, () => failing === 'mask'),
        };
        const host = await toHost(scope.h);
        const h = toDevice(broken, host);
        calls = 0;
        const held = tf.memory().numTensors;
        throws(
          () =>
            updateHistory(h, { a: constant(B, 3), b: constant(B, 4) }, { resetMask: mask as core.Tensor1D }),
          Error,
          /out of device memory/,
        );
        assert.equal(tf.memory().numTensors, held);
        assert.ok(h.isLive);
        assert.deepEqual(await values(h.fields.b), repeat(B, [0, 2]));
        h.dispose();
      }
      assert.equal(tf.memory().numTensors, before);
      mask.dispose();
    },
  },
  {
    name: 'to the host and back: the same windows, resets and random values, now and after further updates',
    async run(tf) {
      const spec = HistorySpec.fromConfig({
        x: { length: 3, shape: [2] },
        r: { length: 4, shape: [3], init: 'randn' },
        n: { length: 2, shape: [], dtype: 'int32', init: 'none' },
        f: { length: 2, shape: [], dtype: 'bool', init: 'ones' },
        empty: { length: 2, shape: [0] },
      });
      let h = createHistory(tf, spec, B, { seed: 3 });
      const random = seeded(9);
      const frame = () => ({
        x: Float32Array.from({ length: B * 2 }, random),
        r: Float32Array.from({ length: B * 3 }, random),
        n: Int32Array.from({ length: B }, () => random() * 100),
        f: Uint8Array.from({ length: B }, () => (random() < 0.5 ? 1 : 0)),
        empty: new Float32Array(0),
      });
      for (let step = 0; step < 2; step++) h = updateHistory(h, frame());
      const done = tf.tensor1d([false, true, false, false]);
      h = updateHistory(h, frame(), { resetMask: done as core.Tensor1D });
      done.dispose();
      const reading = toHost(h);
      const window = await values(h.fields.x);
      const host = structuredClone(await reading);
      assert.equal(host.step, 3);
      assert.deepEqual(Array.from(host.fields.x.shape), [B, 3, 2]);
      assert.deepEqual([...host.fields.x.data], window);
      assert.equal(Object.prototype.toString.call(host.fields.f.data), '[object Uint8Array]');
      let back = toDevice(tf, host);
      for (let step = 0; step < 3; step++) {
        for (const name of ['x', 'r', 'n', 'f'] as const)
          close(await values(back.fields[name]), await values(h.fields[name]));
        assert.deepEqual(await values(back.ages.r), await values(h.ages.r));
        const next = frame();
        const mask = [step === 1, false, step === 0, false];
        h = updateHistory(h, next, { resetMask: mask });
        back = updateHistory(back, next, { resetMask: mask });
      }
      const part = await toHost(h, ['n']);
      assert.deepEqual(Object.keys(part.fields), ['n']);
      assert.ok(h.isLive);
      await rejects(toHost(h, 'm' as 'n'), RangeError, /no field "m"/);
      h.dispose();
      back.dispose();
      await rejects(toHost(h), RangeError, /disposed/);
    },
  },
  {
    name: 'what comes from elsewhere is checked before it goes to the device',
    async run(tf) {
      using scope = new Line(tf, { x: { length: 2, shape: [2] } });
      scope.push({ x: constant(B * 2, 1) });
      const host = await toHost(scope.h);
      const { x } = host.fields;
      const before = tf.memory().numTensors;
      const bad: readonly [unknown, RegExp][] = [
        [null, /what toHost returned/],
        [{ ...host, batchSize: 0 }, /batchSize/],
        [{ ...host, step: -1 }, /step/],
        [{ ...host, fields: { x: 1 } }, /field "x" must be an object/],
        [{ ...host, fields: { x: { ...x, spec: { ...x.spec, length: 0 } } } }, /length/],
        [
          { ...host, fields: { x: { ...x, data: new Float32Array(3) } } },
          /data has 3 values, \[4, 2, 2\] needs 16/,
        ],
        [{ ...host, fields: { x: { ...x, data: new Int32Array(16) } } }, /Float32Array/],
        [{ ...host, fields: { x: { ...x, count: 2 ** 24 } } }, /count/],
        [
          { ...host, fields: { x: { ...x, resetAt: Int32Array.of(0, 0, 0, 2) } } },
          /resetAt must be from 0 to count \(1\)/,
        ],
        [{ ...host, fields: { x: { ...x, resetAt: [0, 0, 0, 0] } } }, /resetAt/],
        [{ ...host, fields: { x: { ...x, noiseSeed: -1 } } }, /noiseSeed/],
      ];
      for (const [value, message] of bad) throws(() => toDevice(tf, value as never), Error, message);
      assert.equal(tf.memory().numTensors, before);
    },
  },
  {
    name: 'frame numbers start anew before a device loses count',
    async run(tf) {
      const before = tf.memory().numTensors;
      for (const mask of maskKinds(tf)) {
        const config = { x: { length: 3, shape: [2] }, y: { length: 5, shape: [], init: 'ones' } } as const;
        using scope = new Line(tf, config);
        for (let step = 1; step <= 7; step++) scope.push({ x: constant(B * 2, step), y: constant(B, step) });
        for (let step = 1; step <= 7; step++)
          scope.model.update({ x: constant(B * 2, step), y: constant(B, step) });
        const host = await toHost(scope.h);
        const { x, y } = host.fields;
        const late = (by: number) => ({
          count: 2 ** 24 - by,
          resetAt: new Int32Array(B).fill(2 ** 24 - by - 5),
        });
        scope.h.dispose();
        // Counts that the next steps bring over the limit, where the same frames lie in other places.
        scope.h = toDevice(tf, {
          ...host,
          fields: { x: { ...x, ...late(2) }, y: { ...y, ...late(4) } },
        }) as typeof scope.h;
        for (let step = 8; step <= 15; step++) {
          const flags = [step === 9, step === 10, false, step === 14];
          const frames = { x: constant(B * 2, step), y: constant(B, step) };
          const masked = step % 2 === 0 || step === 9;
          const resetMask = masked ? mask(flags) : undefined;
          scope.update(frames, resetMask && { resetMask });
          if (resetMask instanceof Object && 'dispose' in resetMask) resetMask.dispose();
          scope.model.update(frames, masked ? flags : undefined);
          await scope.compare();
        }
        const after = (await toHost(scope.h)).fields;
        assert.ok(after.x.count < 100 && after.y.count < 100);
      }
      assert.equal(tf.memory().numTensors, before);
    },
  },
  {
    name: 'two histories become one of all their fields',
    async run(tf) {
      const before = tf.memory().numTensors;
      let a = createHistory(tf, HistorySpec.fromConfig({ x: { length: 2, shape: [] } }), B);
      const b = createHistory(tf, HistorySpec.fromConfig({ y: { length: 3, shape: [2], init: 'ones' } }), B);
      a = updateHistory(a, { x: constant(B, 5) });
      const copy = mergeHistories(a, b, { donate: false });
      assert.deepEqual(await values(copy.fields.x), await values(a.fields.x));
      copy.dispose();
      let merged = mergeHistories(a, b);
      assert.equal(a.isLive || b.isLive, false);
      merged = updateHistory(
        merged,
        { x: constant(B, 6), y: constant(B * 2, 7) },
        { resetMask: [true, false, false, false] },
      );
      assert.deepEqual(await values(merged.fields.x), [0, 0, ...repeat(3, [5, 6])]);
      assert.deepEqual(await values(merged.fields.y), [
        ...constantList(6, 1),
        ...repeat(3, [1, 1, 1, 1, 7, 7]),
      ]);
      assert.equal(merged.step, 2);
      const same = createHistory(tf, HistorySpec.fromConfig({ x: { length: 2, shape: [] } }), B);
      const wide = createHistory(tf, HistorySpec.fromConfig({ z: { length: 2, shape: [] } }), B + 1);
      throws(() => mergeHistories(merged, same), RangeError, /both have a field "x"/);
      throws(() => mergeHistories(merged, wide), RangeError, /batches of 4 and 5/);
      throws(() => mergeHistories(merged, merged), RangeError, /itself/);
      for (const h of [merged, same, wide]) h.dispose();
      assert.equal(tf.memory().numTensors, before);
    },
  },
  {
    name: 'a rank that no kernel takes is fine for a field',
    async run(tf) {
      using scope = new Line(tf, { x: { length: 2, shape: [1, 2, 1, 2, 1, 2] } });
      scope.update({ x: constant(B * 8, 1) });
      scope.update({ x: constant(B * 8, 2) }, { resetMask: [true, false, false, false] });
      assert.deepEqual(scope.h.fields.x.shape, [B, 2, 1, 2, 1, 2, 1, 2]);
      assert.deepEqual((await values(scope.h.fields.x)).slice(8, 40), [
        ...constantList(8, 0),
        ...constantList(8, 1),
        ...constantList(8, 2),
        ...constantList(8, 1),
      ]);
    },
  },
  {
    name: 'NaN and infinite values of dropped frames do not come through',
    async run(tf) {
      using scope = new Line(tf, { x: { length: 2, shape: [] } });
      scope.push({ x: Float32Array.of(Number.NaN, Number.NaN, Number.POSITIVE_INFINITY, 1) });
      scope.update({ x: constant(B, Number.NaN) }, { resetMask: [true, false, true, false] });
      const seen = await values(scope.h.fields.x);
      assert.deepEqual(seen, [0, 0, Number.NaN, Number.NaN, 0, 0, 1, Number.NaN]);
    },
  },
  {
    name: 'updates ask the device for nothing, ever',
    async run(tf) {
      const backend = tf.backend() as core.KernelBackend & Record<string, unknown>;
      const spec = HistorySpec.fromConfig({
        x: { length: 5, shape: [3] },
        r: { length: 5, shape: [], init: 'randn' },
        n: { length: 2, shape: [2], dtype: 'int32', init: 'ones' },
      });
      let h = createHistory(tf, spec, B, { seed: 2 });
      const masks = [0, 1, 2].map(at => tf.tensor1d(Array.from({ length: B }, (_, row) => row === at)));
      const reads = countReads(backend);
      try {
        for (let step = 0; step < 50; step++) {
          const resetMask = [
            undefined,
            masks[step % 3] as core.Tensor1D,
            [false, false, false, step % 7 === 0],
          ][step % 3];
          const old = h;
          h = updateHistory(
            old,
            { x: constant(B * 3, step), r: constant(B, step), n: new Int32Array(B * 2).fill(step) },
            { donate: step % 4 !== 0, ...(resetMask && { resetMask }) },
          );
          old.dispose();
        }
        assert.equal(reads.count, 0);
        // The counter counts: what does read is seen.
        await values(h.fields.n);
        assert.ok(reads.count > 0);
      } finally {
        reads.stop();
      }
      for (const mask of masks) mask.dispose();
      h.dispose();
    },
  },
  {
    name: 'an observation says what the window holds, frames of before a reset left out',
    async run(tf) {
      const { meter, looks } = keepingMeter();
      const before = tf.memory().numTensors;
      const spec = HistorySpec.fromConfig({
        x: { length: 5, shape: [3, 2], init: 'ones' },
        n: { length: 3, shape: [], dtype: 'int32' },
      });
      let h = createHistory(tf, spec, B);
      const observation = observeHistory(meter, h, { every: 1 });
      const random = seeded(4);
      /** Per field and row the frames that count. */
      const real = { x: emptyRows(), n: emptyRows() };
      const mask = tf.tensor1d([false, true, false, true]) as core.Tensor1D;
      for (let step = 1; step <= 12; step++) {
        const frames = {
          x: Float32Array.from({ length: B * 6 }, () => 100 + random()),
          n: Int32Array.from({ length: B }, () => random() * 10),
        };
        const resets =
          step === 4 ? [true, true, true, true] : step === 9 ? [false, true, false, true] : undefined;
        const resetMask = step === 9 ? mask : resets;
        const old = h;
        h = updateHistory(old, frames, { donate: step % 3 !== 0, ...(resetMask && { resetMask }) });
        old.dispose();
        for (const [name, rows] of Object.entries(real))
          for (const [row, list] of rows.entries()) {
            const width = name === 'x' ? 6 : 1;
            const values = Array.from(frames[name as 'x' | 'n'].subarray(row * width, (row + 1) * width));
            if (resets?.[row] === true) list.length = 0;
            else list.push(values);
            if (list.length > (name === 'x' ? 5 : 3)) list.shift();
          }
        await until(() => observation.written === step);
        const look = looks.at(-1)!;
        for (const [name, rows] of Object.entries(real)) {
          const all = rows.flat(2);
          const newest = rows.flatMap((row, at) => (resets?.[at] === true ? [] : (row.at(-1) ?? [])));
          if (all.length === 0) {
            assert.deepEqual(look[name], undefined);
            continue;
          }
          const average = mean(all);
          const expected = {
            mean: average,
            min: Math.min(...all),
            max: Math.max(...all),
            std: Math.sqrt(mean(all.map(value => (value - average) ** 2))),
            last: mean(newest),
          };
          for (const [statistic, value] of Object.entries(expected)) {
            const got = look[name]![statistic]!;
            assert.ok(
              Math.abs(got - value) < 2e-4,
              `step ${step}: ${statistic} of ${name} is ${got}, not ${value}`,
            );
          }
        }
      }
      assert.equal(observation.skipped, 0);
      observation.stop();
      h = updateHistory(h, { x: new Float32Array(B * 6), n: new Int32Array(B) });
      assert.equal(looks.length, 12);
      mask.dispose();
      h.dispose();
      assert.equal(tf.memory().numTensors, before);
    },
  },
  {
    name: 'the flight recorder keeps the last frames of a failure, and finds a NaN',
    async run(tf) {
      const before = tf.memory().numTensors;
      const artifacts: { name: string; bytes: Uint8Array; metadata: Readonly<Record<string, unknown>> }[] =
        [];
      const run = {
        artifact: (
          name: string,
          bytes: Uint8Array,
          options: { metadata: Readonly<Record<string, unknown>> },
        ) => void artifacts.push({ name, bytes, metadata: options.metadata }),
      };
      let h = createHistory(
        tf,
        HistorySpec.fromConfig({ x: { length: 4, shape: [2] }, n: { length: 2, shape: [], dtype: 'int32' } }),
        B,
      );
      const flight = recordFlight(run as never, h, { frames: 3, nan: { every: 2 } });
      const frame = (value: number) => ({ x: constant(B * 2, value), n: new Int32Array(B).fill(value) });
      for (let step = 1; step <= 5; step++)
        h = updateHistory(h, frame(step), step === 4 ? { resetMask: [true, false, false, false] } : {});
      const failure = new RangeError('diverged');
      const guarded = flight.guard(async () => {
        await Promise.resolve();
        throw failure;
      });
      await assert.rejects(guarded(), error => error === failure);
      assert.equal(artifacts.length, 1);
      assert.equal(artifacts[0]!.name, 'flight-recorder.npz');
      const { metadata } = artifacts[0]!;
      assert.equal(metadata.reason, 'exception');
      assert.equal(metadata['exception.message'], 'diverged');
      assert.equal(metadata.step, 5);
      const entries = readNpz(artifacts[0]!.bytes);
      assert.deepEqual([...entries.keys()], ['x.npy', 'x.age.npy', 'n.npy', 'n.age.npy']);
      assert.deepEqual(entries.get('x.npy'), [0, 0, 0, 0, 5, 5, ...repeat(3, [3, 3, 4, 4, 5, 5])]);
      assert.deepEqual(entries.get('n.npy'), [0, 5, ...repeat(3, [4, 5])]);
      assert.deepEqual(entries.get('x.age.npy'), [1, 4, 4, 4]);
      h = updateHistory(h, { ...frame(6), x: constant(B * 2, 6).fill(Number.NaN, 3, 4) });
      h = updateHistory(h, frame(7));
      h = updateHistory(h, frame(8));
      await until(() => artifacts.length === 2);
      assert.equal(artifacts[1]!.metadata.reason, 'nan');
      assert.equal(artifacts[1]!.metadata.field, 'x');
      assert.equal(artifacts[1]!.metadata.nan_step, 6);
      await flight.dump('curious');
      assert.equal(artifacts[2]!.metadata.reason, 'curious');
      await flight.dump('too many');
      assert.equal(artifacts.length, 3);
      assert.equal(flight.suppressed, 1);
      h.dispose();
      assert.equal(tf.memory().numTensors, before);
    },
  },
  {
    name: 'memory stays flat over 10,000 updates',
    async run(tf) {
      const spec = HistorySpec.fromConfig({
        x: { length: 16, shape: [2] },
        done: { length: 4, shape: [], dtype: 'bool' },
      });
      const before = tf.memory();
      let h = createHistory(tf, spec, B);
      const frame = constant(B * 2, 1);
      const done = new Uint8Array(B);
      const mask = tf.tensor1d([false, true, false, true]) as core.Tensor1D;
      let full: core.MemoryInfo | undefined;
      for (let step = 0; step < 10_000; step++) {
        const x = step % 2 === 0 ? frame : tf.tensor(frame, [B, 2]);
        h = updateHistory(h, { x, done }, step % 5 === 0 ? { resetMask: mask } : {});
        if ('dispose' in x) x.dispose();
        if (step % 1000 === 500) {
          h.fields.x;
          await h.settled();
        }
        if (step === 100) full = tf.memory();
      }
      const after = tf.memory();
      assert.equal(after.numTensors, full!.numTensors);
      assert.equal(after.numDataBuffers, full!.numDataBuffers);
      assert.equal(after.numBytes, full!.numBytes);
      mask.dispose();
      h.dispose();
      assert.equal(tf.memory().numTensors, before.numTensors);
      assert.equal(tf.memory().numBytes, before.numBytes);
    },
  },
];

/** Each kind of mask that an update takes. Tensors live until the process ends: there are few. */
function maskKinds(
  tf: Tf,
): readonly ((flags: readonly boolean[]) => readonly boolean[] | Uint8Array | core.Tensor1D)[] {
  return [
    flags => flags,
    flags => {
      const tensor = tf.tensor1d(flags.map(Number), 'int32');
      const bool = tf.cast(tensor, 'bool') as core.Tensor1D;
      tensor.dispose();
      return bool;
    },
    flags => Uint8Array.from(flags, Number),
  ];
}

/** A history and the plain model of it, updated together. */
export class Line<const C extends Parameters<typeof HistorySpec.fromConfig>[0]> implements Disposable {
  h: ReturnType<typeof createHistory<C>>;
  readonly model: Model;
  readonly #config: C;

  constructor(tf: Tf, config: C) {
    this.#config = config;
    this.h = createHistory(tf, HistorySpec.fromConfig<C>(config), B);
    this.model = new Model(
      Object.fromEntries(
        Object.entries(config).map(([name, { length, shape, init = 'zeros' }]) => [
          name,
          { length, init, elements: shape.reduce((a, b) => a * b, 1) },
        ]),
      ),
      B,
    );
  }

  push(frames: Readonly<Record<string, Float32Array>>): void {
    this.update(frames);
  }

  update(frames: Readonly<Record<string, unknown>>, options: object = {}): void {
    const old = this.h;
    this.h = updateHistory(old, frames as never, options as never);
    old.dispose();
  }

  async compare(): Promise<void> {
    for (const name of Object.keys(this.#config))
      assert.deepEqual(await values(this.h.fields[name as keyof C]), this.model.values(name));
  }

  async comparePart(random: () => number): Promise<void> {
    for (const [name, { length }] of Object.entries(this.#config)) {
      const start = Math.floor(random() * length);
      const count = 1 + Math.floor(random() * (length - start));
      const part = sliceHistory(this.h, start, count, name as keyof C & string) as Record<
        string,
        core.Tensor
      >;
      assert.deepEqual(await values(part[name]!), this.model.values(name, start, count));
      part[name]!.dispose();
    }
  }

  [Symbol.dispose](): void {
    this.h.dispose();
  }
}

function failingWhen<F extends (...args: never[]) => unknown>(fn: F, fails: () => boolean): F {
  return ((...args: never[]) => {
    if (fails()) throw new Error('out of device memory');
    return fn(...args);
  }) as F;
}

/** Counts everything that brings data from the device to the host: reads of the backend, and maps of WebGPU's buffers. */
function countReads(backend: Record<string, unknown>): { readonly count: number; stop(): void } {
  const counter = { count: 0, stop: (): void => undefined };
  const undo: (() => void)[] = [];
  const watch = (owner: Record<string, unknown>, method: string): void => {
    const original = owner[method];
    if (typeof original !== 'function') return;
    const own = Object.hasOwn(owner, method);
    owner[method] = function (this: unknown, ...args: unknown[]) {
      counter.count++;
      return (original as (...given: unknown[]) => unknown).apply(this, args);
    };
    undo.push(() => {
      if (own) owner[method] = original;
      else delete owner[method];
    });
  };
  for (const method of ['read', 'readSync', 'readToGPU', 'bufferSync', 'getBufferData'])
    watch(backend, method);
  const GPUBuffer = (globalThis as Record<string, unknown>).GPUBuffer as
    | { prototype: Record<string, unknown> }
    | undefined;
  if (GPUBuffer !== undefined) watch(GPUBuffer.prototype, 'mapAsync');
  counter.stop = () => {
    for (const action of undo) action();
  };
  return counter;
}

export async function values(tensor: core.Tensor): Promise<number[]> {
  return tensor.size === 0 ? [] : Array.from((await tensor.data()) as ArrayLike<number>, Number);
}

function constant(length: number, value: number): Float32Array {
  return new Float32Array(length).fill(value);
}

function constantList(length: number, value: number): number[] {
  return new Array<number>(length).fill(value);
}

function repeat(times: number, list: readonly number[]): number[] {
  return Array.from({ length: times }, () => list).flat();
}

function mean(list: readonly number[]): number {
  return list.reduce((sum, value) => sum + value, 0) / list.length;
}

/** Equal but for the last digits of logarithms and cosines, which differ from device to device. */
function close(actual: readonly number[], expected: readonly number[]): void {
  assert.equal(actual.length, expected.length);
  for (const [i, value] of actual.entries())
    assert.ok(Math.abs(value - expected[i]!) < 5e-3, `value ${i} is ${value}, not ${expected[i]}`);
}

function throws(action: () => unknown, type: new (...args: never[]) => Error, message: RegExp): void {
  assert.throws(action, error => {
    assert.ok(error instanceof type, `threw ${String(error)}`);
    assert.match(error.message, message);
    return true;
  });
}

/** A meter that keeps what it is told, look by look: field, statistic, value. */
function keepingMeter() {
  const looks: Record<string, Record<string, number>>[] = [];
  let open: Record<string, Record<string, number>> = {};
  const meter = {
    createGauge: (name: string) => ({
      record: (value: number, attributes?: Readonly<Record<string, string>>) => {
        const field = attributes?.['kymo.history.field'];
        if (field === undefined) {
          looks.push(open);
          open = {};
          return;
        }
        open[field] ??= {};
        open[field][name.replace('kymo.history.', '')] = value;
      },
    }),
    createCounter: () => ({ add: () => undefined }),
  };
  return { meter: meter as unknown as Meter, looks };
}

/** The arrays of an archive by their names, read from its directory at the end, as NumPy and unzip do. */
function readNpz(bytes: Uint8Array): Map<string, number[]> {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = view.length - 22;
  assert.equal(view.readUInt32LE(end), 0x06054b50);
  const found = new Map<string, number[]>();
  let at = view.readUInt32LE(end + 16);
  for (let i = 0; i < view.readUInt16LE(end + 10); i++) {
    assert.equal(view.readUInt32LE(at), 0x02014b50);
    const size = view.readUInt32LE(at + 24);
    const nameLength = view.readUInt16LE(at + 28);
    const name = view.toString('utf8', at + 46, at + 46 + nameLength);
    const local = view.readUInt32LE(at + 42);
    assert.equal(view.readUInt32LE(local), 0x04034b50);
    const begin = local + 30 + nameLength;
    const content = view.subarray(begin, begin + size);
    assert.equal(view.readUInt32LE(at + 16), crc32(content));
    const data = content.subarray(10 + content.readUInt16LE(8));
    const float = content.toString('latin1', 10, 60).includes("'<f4'");
    found.set(
      name,
      Array.from({ length: data.length / 4 }, (_, k) =>
        float ? data.readFloatLE(4 * k) : data.readInt32LE(4 * k),
      ),
    );
    at += 46 + nameLength;
  }
  return found;
}

function emptyRows(): number[][][] {
  return Array.from({ length: B }, () => []);
}

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; ) {
    if (condition()) return;
    await new Promise(resolve => setTimeout(resolve, 2));
  }
  throw new Error('this does not happen');
}

async function rejects(
  promise: Promise<unknown>,
  type: new (...args: never[]) => Error,
  message: RegExp,
): Promise<void> {
  await assert.rejects(promise, error => error instanceof type && message.test(error.message));
}
