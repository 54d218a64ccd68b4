// What every exporter has to do, as tests that its author calls: life cycle, exactly-once, errors, hostile input.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { serialize } from 'node:v8';
import type { Batch, CommittedState, Exporter, ExporterContext, ExporterType, Logger } from '../component.ts';
import { judge } from '../feed/failure.ts';
import { batchOf, histogramBatchOf, logBatchOf, spanBatchOf } from './batches.ts';
import { hostileBatches } from './hostile.ts';

/** Ends what `outage` or `refusal` began. */
type End = () => void | Promise<void>;
type It = (name: string, test: () => Promise<void>, timeoutMs?: number) => unknown;

export interface ContractOptions {
  /** Settings as in the configuration; a function gets the folder that relative paths start from. Default: none. */
  readonly config?: unknown;
  /**
   * What the sink holds, in any form that `assert.deepStrictEqual` compares: needed where the type is `local`, which promises
   * to keep everything exactly once. For a remote one an array, of which nothing may be missing.
   */
  readonly read?: (folder: string) => unknown;
  /** Empties a sink that lies outside the folder, which the contract empties itself. */
  readonly empty?: (folder: string) => void | Promise<void>;
  /** Makes the sink unreachable, full, or the like. What the exporter then throws must be worth trying again. */
  readonly outage?: (folder: string) => End | Promise<End>;
  /** Makes the sink refuse what comes. What the exporter then throws must count against the batch. */
  readonly refusal?: (folder: string) => End | Promise<End>;
  /** Your own batches for the exactly-once tests, beside the contract's. */
  readonly batches?: readonly Batch[];
  /** Default: the global `it` (jest, vitest, mocha), else that of `node:test`. */
  readonly it?: It;
}

/** No call of an exporter takes so long in a test; one that does hangs. */
const PATIENCE_MS = 10_000;
const TEST_TIMEOUT_MS = 60_000;
/** State travels in a file that is written twice a second. */
const MAX_STATE_BYTES = 1024 * 1024;

/**
 * Declares the tests. Throws when a local exporter is given without `read`.
 *
 * @example
 * import { describe } from 'node:test';
 * describe('my exporter', () => exporterContract(myExporter, { read: folder => linesOf(`${folder}/out.txt`) }));
 */
export function exporterContract(type: ExporterType, options: ContractOptions = {}): void {
  if (type.local && options.read === undefined)
    throw new TypeError(
      `exporterContract: "${type.type}" is local, so it needs {read: folder => what its sink holds}`,
    );
  const it = options.it ?? globalIt();
  const test = (name: string, body: (bench: Bench) => Promise<void>): void => {
    it(
      name,
      async () => {
        const bench = new Bench(type, options);
        try {
          await body(bench);
        } finally {
          await bench.dispose();
        }
      },
      TEST_TIMEOUT_MS,
    );
  };
  lifeCycle(test);
  delivery(test, type, options);
  errors(test, type, options);
  test('takes hostile run ids, names and texts, and writes nothing outside its folder', hostileInput);
}

type Declare = (name: string, body: (bench: Bench) => Promise<void>) => void;

function lifeCycle(test: Declare): void {
  test('has a schema that takes its default settings, and does not change what it is given', async bench => {
    const settings = bench.rawSettings();
    const before = serialize(settings);
    bench.settings();
    assert.ok(before.equals(serialize(settings)), 'config.safeParse changed its input');
  });

  test('starts and stops without data, and again from the state of then', async bench => {
    let state: CommittedState;
    for (let life = 0; life < 2; life++) {
      const exporter = bench.create();
      await bench.call('start', exporter, () => exporter.start(state));
      state = await bench.commit(exporter);
      await bench.call('stop', exporter, () => exporter.stop());
    }
  });

  test('can be stopped before anything was committed, and twice', async bench => {
    const exporter = bench.create();
    await bench.call('start', exporter, () => exporter.start(undefined));
    await bench.call('stop', exporter, () => exporter.stop());
    await bench.call('stop', exporter, () => exporter.stop());
  });

  test('takes batches with nothing in them', async bench => {
    const exporter = await bench.started(undefined);
    for (const batch of bench.taken([batchOf([]), logBatchOf([]), spanBatchOf([])]))
      await bench.export(exporter, batch);
    await bench.commit(exporter);
  });

  test('changes nothing in a batch, which others read too', async bench => {
    const batches = bench.taken(contractBatches());
    const before = batches.map(fingerprint);
    const exporter = await bench.started(undefined);
    for (const batch of batches) await bench.export(exporter, batch);
    await bench.commit(exporter);
    for (const [i, batch] of batches.entries())
      assert.ok(
        before[i]!.equals(fingerprint(batch)),
        `the ${batch.signal} batch ${i} is no longer what it was`,
      );
  });
}

function delivery(test: Declare, type: ExporterType, { read, batches: own = [] }: ContractOptions): void {
  if (read === undefined) return;
  const all = [...contractBatches(), ...own];
  const check = checker(type);

  for (const end of ['is killed', 'fails and is stopped'] as const) {
    test(`holds everything ${type.local ? 'exactly' : 'at least'} once, wherever an instance ${end}`, async bench => {
      const batches = bench.taken(all);
      const expected = await bench.undisturbed(batches);
      for (let committed = 0; committed <= batches.length; committed++) {
        for (let exported = committed; exported <= batches.length; exported++) {
          for (const lost of [false, true]) {
            // The state of a commit may be lost with the process, after the sink has made it durable.
            const story = `it ${end} after batch ${exported} of ${batches.length}, having committed ${committed}${lost ? ', and one more commit whose state was lost' : ''}`;
            await bench.empty();
            let exporter = await bench.started(undefined);
            const state = await bench.exportAll(exporter, batches.slice(0, committed));
            for (const batch of batches.slice(committed, exported)) await bench.export(exporter, batch);
            if (lost) await bench.call('commit', exporter, () => exporter.commit());
            await bench.drop(exporter, end === 'is killed');
            exporter = await bench.started(state);
            await bench.exportAll(exporter, batches.slice(committed));
            await bench.stop(exporter);
            check(await bench.read(), expected, story);
          }
        }
      }
    });
  }

  if (!type.local) return;
  test('goes back to the state before the last, as after a power cut', async bench => {
    const batches = bench.taken(all);
    const expected = await bench.undisturbed(batches);
    for (let older = 0; older < batches.length; older++) {
      await bench.empty();
      let exporter = await bench.started(undefined);
      const state = await bench.exportAll(exporter, batches.slice(0, older));
      await bench.exportAll(exporter, batches.slice(older, older + 1));
      await bench.drop(exporter, true);
      exporter = await bench.started(state);
      await bench.exportAll(exporter, batches.slice(older));
      await bench.stop(exporter);
      check(await bench.read(), expected, `it went back to the state after batch ${older}`);
    }
  });
}

/** Exactly what was sent where it is local; nothing missing where it is remote. */
function checker(type: ExporterType): (actual: unknown, expected: unknown, story: string) => void {
  return (actual, expected, story) => {
    if (type.local) {
      assert.deepStrictEqual(actual, expected, `not exactly what was sent: ${story}`);
      return;
    }
    if (expected === undefined) return;
    assert.ok(
      Array.isArray(actual) && Array.isArray(expected),
      'read must return an array for a remote exporter',
    );
    const found = new Set(actual.map(keyOf));
    for (const item of expected) assert.ok(found.has(keyOf(item)), `${keyOf(item)} is missing: ${story}`);
  };
}

function errors(test: Declare, type: ExporterType, { outage, refusal }: ContractOptions): void {
  const check = checker(type);
  if (outage !== undefined) {
    test('asks for another try while its sink is out, and delivers after it', async bench => {
      const batches = bench.taken(contractBatches());
      const expected = await bench.undisturbed(batches);
      await bench.empty();
      const end = await outage(bench.folder);
      try {
        const error = await bench.failure(batches);
        assert.equal(judge(error).kind, 'retry', `an outage must give a RetryableError, not ${shown(error)}`);
      } finally {
        await end();
      }
      const exporter = await bench.started(undefined);
      await bench.exportAll(exporter, batches);
      await bench.stop(exporter);
      check(await bench.read(), expected, 'its sink was out for a while');
    });
  }
  if (refusal !== undefined) {
    test('blames a batch that its sink refuses for good', async bench => {
      const end = await refusal(bench.folder);
      try {
        const error = await bench.failure(bench.taken(contractBatches()));
        assert.equal(
          judge(error).kind,
          'batch',
          `a refusal must not be tried for ever, as ${shown(error)} would`,
        );
      } finally {
        await end();
      }
    });
  }
}

async function hostileInput(bench: Bench): Promise<void> {
  const { batches, forbidden } = hostileBatches();
  const outside = bench.outside();
  try {
    const exporter = await bench.started(undefined);
    for (const batch of bench.taken(batches)) await bench.export(exporter, batch);
    const state = await bench.commit(exporter);
    await bench.stop(exporter);
    const again = await bench.started(state);
    await bench.stop(again);
    assert.deepStrictEqual(bench.outside(), outside, 'something was written beside the folder');
    assert.ok(!fs.existsSync(forbidden), `${forbidden} was written`);
  } finally {
    fs.rmSync(forbidden, { recursive: true, force: true });
  }
}

/** One exporter type in a folder of its own, driven as the collector's runner drives it. */
class Bench {
  readonly folder: string;
  readonly #outer: string;
  readonly #type: ExporterType;
  readonly #options: ContractOptions;
  readonly #running = new Set<Exporter>();

  constructor(type: ExporterType, options: ContractOptions) {
    this.#type = type;
    this.#options = options;
    this.#outer = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-contract-')));
    this.folder = path.join(this.#outer, 'project');
    fs.mkdirSync(this.folder);
  }

  rawSettings(): unknown {
    const { config = {} } = this.#options;
    return typeof config === 'function' ? (config as (folder: string) => unknown)(this.folder) : config;
  }

  settings(): unknown {
    const result = this.#type.config.safeParse(this.rawSettings());
    assert.ok(result.success, `its schema refuses the settings of the contract: ${result.error?.message}`);
    return result.data;
  }

  create(): Exporter {
    const stateDirectory = path.join(this.folder, '.state');
    fs.mkdirSync(stateDirectory, { recursive: true });
    const context: ExporterContext = {
      id: this.#type.type,
      logger: SILENT,
      instruments: { count: () => undefined, set: () => undefined },
      baseDirectory: this.folder,
      stateDirectory,
      writerId: 'contract',
    };
    const exporter = this.#type.create(context, this.settings());
    this.#running.add(exporter);
    return exporter;
  }

  /** @param state goes through JSON, as it does in the cursor's file */
  async started(state: CommittedState): Promise<Exporter> {
    const exporter = this.create();
    await this.call('start', exporter, () => exporter.start(throughJson(state)));
    return exporter;
  }

  export(exporter: Exporter, batch: Batch): Promise<void> {
    return this.call(`export of a ${batch.signal} batch`, exporter, () => exporter.export(batch));
  }

  async commit(exporter: Exporter): Promise<CommittedState> {
    const state = await this.call('commit', exporter, () => exporter.commit());
    assert.equal(unlikeJson(state, 'state'), undefined, 'what commit returns must be JSON');
    assert.ok(
      (JSON.stringify(state) ?? '').length <= MAX_STATE_BYTES,
      `the state is larger than ${MAX_STATE_BYTES} bytes`,
    );
    await this.call('committed', exporter, () => exporter.committed?.());
    return state;
  }

  async exportAll(exporter: Exporter, batches: readonly Batch[]): Promise<CommittedState> {
    for (const batch of batches) await this.export(exporter, batch);
    return this.commit(exporter);
  }

  async stop(exporter: Exporter): Promise<void> {
    await this.call('stop', exporter, () => exporter.stop());
    this.#running.delete(exporter);
  }

  /** The instance ends: stopped as after an error, or killed, which leaves the folder as it is at this moment. */
  async drop(exporter: Exporter, killed: boolean): Promise<void> {
    const kept = path.join(this.#outer, 'kept');
    if (killed) fs.cpSync(this.folder, kept, { recursive: true, verbatimSymlinks: true });
    await this.stop(exporter);
    if (!killed) return;
    this.#emptyFolder();
    fs.cpSync(kept, this.folder, { recursive: true, verbatimSymlinks: true });
    fs.rmSync(kept, { recursive: true });
  }

  /** What the sink holds when nothing goes wrong. */
  async undisturbed(batches: readonly Batch[]): Promise<unknown> {
    await this.empty();
    const exporter = await this.started(undefined);
    await this.exportAll(exporter, batches);
    await this.stop(exporter);
    return this.read();
  }

  /** What `export` or `commit` throws; fails when neither does. */
  async failure(batches: readonly Batch[]): Promise<unknown> {
    const exporter = this.create();
    try {
      await within('start', exporter.start(undefined));
      for (const batch of batches) await within('export', exporter.export(batch));
      await within('commit', exporter.commit());
    } catch (error) {
      return error;
    } finally {
      await within('stop', exporter.stop());
      this.#running.delete(exporter);
    }
    assert.fail('neither export nor commit threw, although the sink takes nothing');
  }

  async read(): Promise<unknown> {
    return this.#options.read?.(this.folder);
  }

  /** Those of signals that the type takes. */
  taken(batches: readonly Batch[]): Batch[] {
    return batches.filter(batch => this.#type.signals.includes(batch.signal));
  }

  async empty(): Promise<void> {
    this.#emptyFolder();
    await this.#options.empty?.(this.folder);
  }

  #emptyFolder(): void {
    for (const name of fs.readdirSync(this.folder))
      fs.rmSync(path.join(this.folder, name), { recursive: true, force: true });
  }

  /** What lies beside the folder. */
  outside(): string[] {
    return fs.readdirSync(this.#outer).sort();
  }

  async call<T>(what: string, exporter: Exporter, work: () => T | Promise<T>): Promise<T> {
    try {
      return await within(what, work());
    } catch (error) {
      this.#running.delete(exporter);
      throw new Error(`${what} failed: ${shown(error)}`, { cause: error });
    }
  }

  async dispose(): Promise<void> {
    for (const exporter of this.#running) {
      try {
        await within('stop', exporter.stop());
      } catch {
        // The test has failed already, or has just shown that this fails.
      }
    }
    fs.rmSync(this.#outer, { recursive: true, force: true, maxRetries: 5 });
  }
}

const nothing = (): void => undefined;
const SILENT: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/** Two runs, several scopes and modes, steps out of order and absent, texts, events, spans, distributions. */
function contractBatches(): Batch[] {
  return [
    logBatchOf([
      { eventName: 'kymo.run.start', attributes: { 'kymo.run.state': 'running', 'kymo.run.attempt': 1 } },
      { eventName: 'kymo.run.config', attributes: { 'kymo.run.config': { lr: 0.1, layers: [64, 64] } } },
    ]),
    batchOf([
      { step: 0, values: { loss: 1, 'eval/accuracy': 0.5 } },
      { step: 1, values: { loss: 0.5 } },
      { step: 1, values: { loss: 2 }, run: 'run-2', scope: 'env.inner' },
    ]),
    histogramBatchOf([{ name: 'weights', bounds: [0, 1], counts: [1, 2, 3], step: 1 }]),
    logBatchOf([
      { body: 'hello' },
      { body: 'from the other run', run: 'run-2', severityNumber: 17, severityText: 'ERROR' },
    ]),
    batchOf([
      { step: 5, values: { loss: 0.25 } },
      { step: 3, values: { late: Number.NaN, huge: 2n ** 60n } },
      { values: { stepless: 1 } },
    ]),
    spanBatchOf([{ name: 'rollout' }, { name: 'rollout', scope: 'env', statusCode: 2 }]),
    logBatchOf([{ eventName: 'kymo.run.finish', attributes: { 'kymo.run.state': 'finished' } }]),
  ];
}

/** Everything in a batch that an exporter can get hold of. */
function fingerprint(batch: Batch): Buffer {
  const { scalars, histograms, logs, spans, bytes } = batch;
  return serialize({ columns: scalars?.columns, rows: scalars?.rows, histograms, logs, spans, bytes });
}

function throughJson(state: CommittedState): CommittedState {
  return state === undefined ? undefined : (JSON.parse(JSON.stringify(state)) as CommittedState);
}

/** The first place that JSON would not give back as it is; undefined when there is none. */
function unlikeJson(value: unknown, place: string): string | undefined {
  if (value === undefined || value === null || typeof value === 'string' || typeof value === 'boolean')
    return undefined;
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : `${place} is ${value}`;
  if (typeof value !== 'object') return `${place} is a ${typeof value}`;
  const kind: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  if (!Array.isArray(value) && kind !== undefined && kind !== 'Object')
    return `${place} is a ${String(kind)}`;
  for (const [key, inner] of Object.entries(value)) {
    const problem = unlikeJson(inner, `${place}.${key}`);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

async function within<T>(what: string, work: T | Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not end within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function keyOf(item: unknown): string {
  return JSON.stringify(item, (_key, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value));
}

function shown(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function globalIt(): It {
  const { it } = globalThis as { it?: It };
  if (it !== undefined) return it;
  const { it: own } = process.getBuiltinModule('node:test');
  return (name, test, timeout) => own(name, timeout === undefined ? {} : { timeout }, test);
}
