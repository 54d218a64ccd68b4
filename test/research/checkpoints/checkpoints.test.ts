// Checkpoints of a run: what is kept and restored, what a step says, and what happens to files that are not as they were written.
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import * as tf from '@tensorflow/tfjs';
import { CheckpointError } from '../../../src/research/checkpoints/manifest.ts';
import type { SavedCheckpoint, SaveOptions } from '../../../src/research/checkpoints/options.ts';
import type { InitOptions } from '../../../src/research/identity.ts';
import { init } from '../../../src/research/init.ts';
import type { Run } from '../../../src/research/run.ts';
import { machineId } from '../../../src/semconv/local.ts';
import { testRuntime } from '../recording.ts';

let around: ReturnType<typeof testRuntime>;
beforeEach(() => {
  around = testRuntime();
});
afterEach(() => around.remove());

const start = (options: InitOptions = {}): Run => init({ project: 'p', id: 'r', ...options });
async function save(run: Run, options: SaveOptions): Promise<SavedCheckpoint> {
  const result = await run.saveCheckpoint(options);
  if (result.kind !== 'saved') throw new Error(`not saved: ${JSON.stringify(result)}`);
  return result.checkpoint;
}
const folders = (run: Run): string[] =>
  readdirSync(join(run.dir, 'checkpoints'))
    .filter(name => name.startsWith('step_'))
    .sort();
function problem(load: () => unknown): CheckpointError {
  try {
    load();
  } catch (error) {
    if (error instanceof CheckpointError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
/** All files below a folder with their content. */
function tree(folder: string): Record<string, string> {
  const files: Record<string, string> = {};
  for (const name of readdirSync(folder, { recursive: true }) as string[])
    if (lstatSync(join(folder, name)).isFile()) files[name] = readFileSync(join(folder, name), 'latin1');
  return files;
}

describe('a checkpoint', () => {
  it('gives back state and buffer, by promise and blocking', async () => {
    const run = start();
    const state = { weights: Float32Array.of(1, 2), optimizer: new Map([['lr', 0.1]]), seed: 2n ** 80n };
    expect(await save(run, { state, step: 100, buffer: [1, 2] })).toMatchObject({
      step: 100,
      bufferStep: 100,
      isBest: false,
    });
    expect(
      run.saveCheckpointSync({ state: { ...state, more: true }, step: 200, isBest: true }),
    ).toMatchObject({
      kind: 'saved',
      checkpoint: { step: 200, bufferStep: 100, isBest: true },
    });
    expect(run.loadCheckpoint()).toMatchObject({
      step: 200,
      state: { ...state, more: true },
      buffer: [1, 2],
      bufferStep: 100,
      run: 'r',
      attempt: 1,
    });
    expect(run.loadCheckpoint({ step: 100 })).toMatchObject({ step: 100, state, buffer: [1, 2] });
    expect(run.loadCheckpoint({ best: true, buffer: false })).toMatchObject({ step: 200, buffer: undefined });
    expect(run.loadCheckpoint({ path: join(run.dir, 'checkpoints/step_100') })!.state).toStrictEqual(state);
  });

  it('is a copy: what the training changes afterwards is not in it, nor is it loaded before there is any', async () => {
    const run = start();
    expect(run.loadCheckpoint()).toBeUndefined();
    expect(run.loadCheckpoint({ best: true, previousRuns: true } as never)).toBeUndefined();
    const state = { weights: new Float64Array(100_000).fill(1), list: [1] };
    const saving = save(run, { state, step: 1 });
    state.weights.fill(2);
    state.list.push(2);
    await saving;
    expect(run.loadCheckpoint()!.state).toStrictEqual({
      weights: new Float64Array(100_000).fill(1),
      list: [1],
    });
  });

  it('has the step of the last row unless it is given one', async () => {
    const run = start();
    expect((await save(run, { state: 0 })).step).toBe(0);
    for (let step = 0; step < 7; step++) run.log({ loss: 1 });
    expect((await save(run, { state: 0 })).step).toBe(6);
  });

  it('is an event with its place, of type checkpoint', async () => {
    const run = start();
    await save(run, { state: 1, step: 3, isBest: true });
    const event = around.recorder.logs().find(record => record.eventName === 'kymo.artifact')!;
    expect(event.attributes).toMatchObject({
      'kymo.artifact.name': 'checkpoint',
      'kymo.artifact.type': 'checkpoint',
      'kymo.artifact.uri': `file://${run.dir}/checkpoints/step_3`,
      'kymo.artifact.best': true,
      'kymo.step': 3,
      'kymo.artifact.metadata': { path: 'checkpoints/step_3', serializer: 'cbor' },
    });
  });

  it('saved without waiting is there after the next save, after finish, and when the next is loaded', async () => {
    const run = start();
    void run.saveCheckpoint({ state: 'a', step: 1 });
    void run.saveCheckpoint({ state: 'b', step: 2 });
    expect(folders(run)).toEqual(['step_1']);
    expect(run.loadCheckpoint()).toMatchObject({ state: 'b', step: 2 });
    void run.saveCheckpoint({ state: 'c', step: 3 });
    const finished = run.finish();
    expect(folders(run)).toEqual(['step_1', 'step_2', 'step_3']);
    await finished;
    const events = around.recorder.logs().map(record => record.eventName);
    expect(events.filter(name => name === 'kymo.artifact')).toHaveLength(3);
    expect(events.at(-1)).toBe('kymo.run.finish');
    expect(run.saveCheckpointSync({ state: 'd', step: 4 })).toMatchObject({
      kind: 'failed',
      error: { message: 'the run r has finished; save before finish()' },
    });
    expect(folders(run)).toHaveLength(3);
  });

  it('saved again at a step takes the place of the one before, and leaves nothing of it', async () => {
    const run = start();
    await save(run, { state: 'old', step: 5 });
    await save(run, { state: 'new', step: 5 });
    expect(run.loadCheckpoint()).toMatchObject({ state: 'new' });
    expect(readdirSync(join(run.dir, 'checkpoints/step_5'))).toHaveLength(2);
  });

  it('of a run that does nothing does nothing', async () => {
    const run = start({ mode: 'disabled' });
    expect(await run.saveCheckpoint({ state: 1 })).toEqual({ kind: 'disabled' });
    expect(run.loadCheckpoint()).toBeUndefined();
    expect(existsSync(run.dir)).toBe(false);
  });

  it.each([
    [[{}], /saveCheckpoint\(\{state\}\) is missing/],
    [[{ state: 1, step: -1 }], /saveCheckpoint\(\{step\}\) must be a whole number/],
    [[{ state: 1, isbest: true }], /has no option "isbest" \(did you mean isBest\?\)/],
    [[5], /saveCheckpoint\(options\) must be an object/],
  ])('asked for with %j is refused', async (args, message) => {
    await expect(start().saveCheckpoint(...(args as [never]))).rejects.toThrow(message);
    expect(() => start().saveCheckpointSync(...(args as [never]))).toThrow(TypeError);
  });

  it('of a state that cannot be kept is thrown when strict, else told and left out', async () => {
    const state = { act: () => 1 };
    await expect(start().saveCheckpoint({ state })).rejects.toThrow(/state\.act cannot be kept/);
    const run = start({ strict: false });
    expect(run.saveCheckpointSync({ state })).toMatchObject({
      kind: 'failed',
      error: { message: /state\.act/ },
    });
    expect(existsSync(join(run.dir, 'checkpoints'))).toBe(false);
  });
});

describe('tensors', () => {
  it('come back as data, shape and dtype, or as tensors of the tf that is given', async () => {
    const run = start();
    const state = {
      kernel: tf.tensor2d([
        [1, 2],
        [3, 4],
      ]),
      count: tf.scalar(7, 'int32'),
      mask: tf.tensor1d([1, 0], 'bool'),
      words: tf.tensor1d(['a', 'ü']),
      signal: tf.complex([1, 2], [3, 4]),
      variable: tf.variable(tf.tensor1d([5])),
    };
    await save(run, { state, step: 1 });
    expect(run.loadCheckpoint()!.state).toMatchObject({
      kernel: { data: Float32Array.of(1, 2, 3, 4), shape: [2, 2], dtype: 'float32' },
      count: { data: Int32Array.of(7), shape: [], dtype: 'int32' },
      words: { data: ['a', 'ü'], shape: [2], dtype: 'string' },
    });
    const back = run.loadCheckpoint({ tf })!.state as typeof state;
    for (const name of Object.keys(state) as (keyof typeof state)[]) {
      expect(back[name].dtype).toBe(state[name].dtype);
      expect(back[name].shape).toEqual(state[name].shape);
      expect([...back[name].dataSync()]).toEqual([...state[name].dataSync()]);
    }
  });

  it('that can be read asynchronously only are awaited; the blocking save says so', async () => {
    const tensor = { shape: [2], dtype: 'float32', data: () => Promise.resolve(Float32Array.of(1, 2)) };
    const run = start();
    await save(run, { state: { tensor }, step: 1 });
    expect(run.loadCheckpoint()!.state).toMatchObject({ tensor: { data: Float32Array.of(1, 2) } });
    expect(() => run.saveCheckpointSync({ state: { tensor } })).toThrow(
      /asynchronously only; await saveCheckpoint/,
    );
  });
});

describe('buffers', () => {
  it('are saved when a multiple of their frequency was passed, and belong to every checkpoint until then', async () => {
    const run = start({ checkpoints: { bufferEvery: 100 } });
    let made = 0;
    const buffer = () => `buffer ${++made}`;
    const steps: unknown[] = [];
    for (const step of [10, 60, 110, 190, 210, 420])
      steps.push((await save(run, { state: step, step, buffer })).bufferStep);
    expect(steps).toEqual([10, 10, 110, 110, 210, 420]);
    expect(made).toBe(4);
    expect(run.loadCheckpoint({ step: 190 })).toMatchObject({ buffer: 'buffer 2', bufferStep: 110 });
    expect(readdirSync(join(run.dir, 'buffers'))).toHaveLength(4);
  });

  it('belong to a checkpoint also when the one before was not waited for, or an older one was looked at', async () => {
    const run = start({ checkpoints: { bufferEvery: 100 } });
    run.log({ loss: 1 });
    await save(run, { state: 1, step: 1, buffer: 'first', isBest: true });
    void run.saveCheckpoint({ state: 2, step: 150, buffer: 'second' });
    const third = save(run, { state: 3, step: 151, buffer: 'not due' });
    expect((await third).bufferStep).toBe(150);
    run.loadCheckpoint({ best: true });
    expect((await save(run, { state: 4, step: 152 })).bufferStep).toBe(150);
    await run.finish();
  });

  it('go on belonging to what a resumed run saves', async () => {
    const first = start({ checkpoints: { bufferEvery: 1_000 } });
    await save(first, { state: 1, step: 10, buffer: 'kept' });
    await first.finish();
    const second = start({ resume: 'must', checkpoints: { bufferEvery: 1_000 } });
    second.loadCheckpoint();
    expect((await save(second, { state: 2, step: 20, buffer: 'not due' })).bufferStep).toBe(10);
    expect(second.loadCheckpoint()).toMatchObject({ state: 2, buffer: 'kept' });
  });
});

describe('keeping', () => {
  it('removes all but the newest and the best, and buffers that nobody names', async () => {
    const run = start({ checkpoints: { keep: 2, bufferEvery: 2 } });
    for (let step = 1; step <= 6; step++)
      await save(run, { state: step, step, isBest: step === 2, buffer: step });
    expect(folders(run)).toEqual(['step_2', 'step_5', 'step_6']);
    expect(readlinkSync(join(run.dir, 'checkpoints/best'))).toBe('step_2');
    expect(readdirSync(join(run.dir, 'buffers')).map(name => name.split('.')[0])).toEqual([
      'step_2',
      'step_4',
      'step_6',
    ]);
    expect(run.loadCheckpoint({ step: 5 })).toMatchObject({ buffer: 4 });
  });

  it('counts a later attempt as newer, whatever its steps', async () => {
    const first = start();
    for (const step of [100, 200, 300]) await save(first, { state: step, step });
    await first.finish();
    const second = start({ resume: { mode: 'must', checkpoint: 100 }, checkpoints: { keep: 2 } });
    expect(second.loadCheckpoint()).toMatchObject({ step: 100 });
    await save(second, { state: 150, step: 150 });
    expect(folders(second)).toEqual(['step_150', 'step_300']);
    expect(second.loadCheckpoint()).toMatchObject({ step: 150 });
  });
});

describe('a serializer of one’s own', () => {
  const json = {
    name: 'json',
    encode: (value: unknown) => [Buffer.from(JSON.stringify(value))],
    decode: (bytes: Uint8Array) => JSON.parse(Buffer.from(bytes).toString()) as unknown,
  };

  it('writes and reads, and a checkpoint is not read by another one', async () => {
    const run = start({ checkpoints: { serializer: json } });
    const { path } = await save(run, { state: { a: 1 }, step: 1 });
    expect(readdirSync(path).some(name => /^state\.\w+\.bin$/.test(name))).toBe(true);
    expect(run.loadCheckpoint()!.state).toEqual({ a: 1 });
    const error = problem(() => start().loadCheckpoint());
    expect(error.code).toBe('wrong_serializer');
    expect(error.message).toMatch(
      /state\.\w+\.bin: was written by the serializer "json", not by "cbor"; pass that one: loadCheckpoint\(\{serializer\}\)/,
    );
  });

  it.each([
    [{ name: 'x' }, /must be an object with name, encode and decode/],
    [{ ...json, name: 'a/b' }, /must have a name of letters/],
    [{ ...json, name: 'cbor' }, /that is not "cbor"/],
  ])('that is none is refused: %j', (serializer, message) => {
    expect(() => start({ checkpoints: { serializer: serializer as never } })).toThrow(message);
  });
});

describe('ranks', () => {
  it('have checkpoints of their own at one step, and read rank 0’s where they have none', async () => {
    const zero = start({ rank: 0 });
    await save(zero, { state: 'zero', step: 1 });
    const one = start({ rank: 1 });
    expect(one.loadCheckpoint()).toMatchObject({ state: 'zero' });
    await save(one, { state: 'one', step: 1 });
    expect(one.loadCheckpoint()).toMatchObject({ state: 'one' });
    expect(zero.loadCheckpoint()).toMatchObject({ state: 'zero' });
    await one.finish();
    await zero.finish();
  });
});

describe('a checkpoint that is not as it was written', () => {
  const stateFile = (run: Run, step: number): string => {
    const folder = join(run.dir, `checkpoints/step_${step}`);
    return join(folder, readdirSync(folder).find(name => name.startsWith('state.'))!);
  };
  const manifestFile = (run: Run, step: number): string =>
    join(run.dir, `checkpoints/step_${step}/checkpoint.json`);
  let run: Run;
  beforeEach(async () => {
    run = start();
    await save(run, { state: { w: new Float32Array(1_000).fill(0.5) }, step: 1 });
    await save(run, { state: { w: new Float32Array(1_000).fill(0.7) }, step: 2 });
  });
  /** What `damage` leaves behind is refused, with code and message, by load and by resume if that is `atResume`; step 1 can be loaded; nothing is overwritten. */
  function refused(code: string, message: RegExp, atResume = false): void {
    const before = tree(run.dir);
    const error = problem(() => run.loadCheckpoint());
    expect(error.message).toMatch(message);
    expect(error).toMatchObject({ code });
    expect(error.message).toMatch(/loadCheckpoint\(\{step\}\)/);
    expect(run.loadCheckpoint({ step: 1 })).toMatchObject({ step: 1 });
    run.finish();
    if (atResume) expect(problem(() => start({ resume: 'allow' })).code).toBe(code);
    expect(tree(run.dir)).toEqual(before);
  }

  it('one byte other: wrong checksum', () => {
    const file = stateFile(run, 2);
    const bytes = readFileSync(file);
    bytes[500]! ^= 1;
    writeFileSync(file, bytes);
    refused(
      'wrong_checksum',
      /step_2\/state\.\w+\.cbor: holds other bytes than were saved \(SHA-256 \w{12}…, not/,
    );
  });
  it('cut', () => {
    truncateSync(stateFile(run, 2), 100);
    refused('wrong_checksum', /has 100 bytes instead of \d+: it was cut or replaced/);
  });
  it('with bytes behind', () => {
    appendFileSync(stateFile(run, 2), 'x');
    refused('wrong_checksum', /bytes instead of/);
  });
  it('state gone', () => {
    rmSync(stateFile(run, 2));
    refused('missing', /state\.\w+\.cbor: is not there/);
  });
  it('state a link to another file', () => {
    const file = stateFile(run, 2);
    copyFileSync(file, `${run.dir}/elsewhere`);
    rmSync(file);
    symlinkSync(`${run.dir}/elsewhere`, file);
    refused('damaged', /cannot be read \(ELOOP\)/);
  });
  it('of a newer format', () => {
    const file = manifestFile(run, 2);
    writeFileSync(file, readFileSync(file, 'utf8').replace('"format": 1', '"format": 7'));
    refused(
      'newer_format',
      /checkpoint\.json: has format 7, and this version of kymo reads up to 1; install the version that wrote it/,
      true,
    );
  });
  it('manifest half-written', () => {
    truncateSync(manifestFile(run, 2), 50);
    refused('damaged', /checkpoint\.json: is no JSON/, true);
  });
  it('manifest changed by hand', () => {
    const file = manifestFile(run, 2);
    writeFileSync(file, readFileSync(file, 'utf8').replace('"attempt": 1', '"attempt": 3'));
    refused('wrong_checksum', /was changed after it was written/, true);
  });
  it.each(['../../../etc/passwd', '/etc/passwd', 'a/b', '..', '.hidden'])(
    'a manifest that names the file %s',
    name => {
      const file = manifestFile(run, 2);
      writeFileSync(
        file,
        JSON.stringify({
          ...(JSON.parse(readFileSync(file, 'utf8')) as object),
          state: { file: name, bytes: 1, sha256: '0'.repeat(64), serializer: 'cbor' },
        }),
      );
      refused('damaged', /"state" names no file/, true);
    },
  );
  it('under another step’s name', () => {
    cpSync(join(run.dir, 'checkpoints/step_2'), join(run.dir, 'checkpoints/step_9'), { recursive: true });
    expect(problem(() => run.loadCheckpoint()).message).toMatch(
      /step_9\/checkpoint\.json: is of step 2; give the folder back its name/,
    );
  });
  it('a step that has none, or a folder of somebody else’s', () => {
    expect(problem(() => run.loadCheckpoint({ step: 7 }))).toMatchObject({ code: 'missing' });
    mkdirSync(join(run.dir, 'checkpoints/step_50'));
    writeFileSync(join(run.dir, 'checkpoints/step_50/weights.bin'), 'mine');
    expect(run.loadCheckpoint()).toMatchObject({ step: 2 });
    expect(problem(() => run.loadCheckpoint({ path: join(run.dir, 'checkpoints/step_50') })).code).toBe(
      'missing',
    );
  });
});

describe('an interrupted save', () => {
  it('leaves the one before, and what it left goes with the next process’s first save', async () => {
    const run = start();
    const { path } = await save(run, { state: 'good', step: 1, buffer: 'b' });
    const leftover = `.saving-${'elsewhere'}-1-r0`;
    // As processes that were killed have left it: at a new step, beside a good one, while removing.
    const dead = readdirSync(path).length;
    for (const place of [path, join(run.dir, 'checkpoints/step_2'), join(run.dir, 'buffers')]) {
      mkdirSync(place, { recursive: true });
      writeFileSync(join(place, `.saving-${machineId()}-4194305-r0`), 'half');
      writeFileSync(join(place, leftover), 'of another machine, a moment ago');
    }
    mkdirSync(join(run.dir, 'checkpoints/.removed-step_0-abcd'));
    expect(run.loadCheckpoint()).toMatchObject({ state: 'good', step: 1 });
    await run.finish();
    const next = start({ resume: 'must' });
    await save(next, { state: 'better', step: 3 });
    expect(readdirSync(path)).toHaveLength(dead + 1);
    expect(readdirSync(join(run.dir, 'checkpoints/step_2'))).toEqual([leftover]);
    expect(readdirSync(join(run.dir, 'buffers'))).toHaveLength(2);
    expect(readdirSync(join(run.dir, 'checkpoints')).some(name => name.startsWith('.removed'))).toBe(false);
    expect(next.loadCheckpoint()).toMatchObject({ state: 'better', step: 3 });
  });
});
