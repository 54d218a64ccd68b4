// Curves from TensorFlow.js without a changed line: wraps training and evaluation of its layers models.
import { context, type Span, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api';
import { knownRun } from '../research/init.ts';
import { getLogger } from '../research/logger.ts';
import type { Run } from '../research/run.ts';
import { errorType } from '../research/run-events.ts';
import { pending, skippedRows } from './tfjs-values.ts';

/** As much of `@tensorflow/tfjs` (or `-layers`, `-node`, `-node-gpu`) as is used; no version of it is loaded here. */
export interface Tfjs {
  readonly LayersModel: { readonly prototype: object };
  readonly Callback: new () => Callback;
  readonly CustomCallback: new (handlers: object, yieldEvery?: unknown) => Callback;
}

export interface TfjsOptions {
  /** Record every n-th batch. Default: `KYMO_TFJS_EVERY`, else 1. */
  readonly every?: number;
  /** Weights as histograms after each epoch. Default: `KYMO_TFJS_WEIGHTS=1`. */
  readonly weights?: boolean;
}

interface Callback {
  onTrainBegin?(): Promise<void>;
}
type Logs = Readonly<Record<string, unknown>> | undefined;

interface Model {
  readonly name?: string;
  readonly optimizer?: { readonly learningRate?: unknown; getClassName?(): string };
  readonly loss?: unknown;
  readonly metrics?: unknown;
  readonly layers?: readonly { readonly name: string; getClassName(): string }[];
  readonly weights?: readonly { readonly name: string; read(): { data(): Promise<ArrayLike<number>> } }[];
  countParams?(): number;
  summary?(width: undefined, positions: undefined, print: (line: string) => void): void;
}

type Method = (this: Model, ...args: unknown[]) => unknown;

const TRACER = 'kymo.tfjs';
const LOGGER = 'tfjs';
/** Models of which structure and compile arguments have been recorded. */
const described = new WeakSet<object>();
/** Batches that a model has been trained on, over all its `fit`s: what its curves are drawn over. */
const trained = new WeakMap<object, number>();
const WRAPPED = Symbol.for('kymo.tfjs.v1');

/**
 * Records what models of this TensorFlow.js do: loss and metrics of each batch (`batch/<name>`), of each epoch (`epoch/<name>`; of
 * validation data in mode `eval`) and of `evaluate` (`<name>` in mode `eval`), learning rate, `fit`, epochs and batches as spans, model and compile arguments in the run's
 * config. `kymo/register` calls it by itself; bundles call it once. Values are read without waiting for the device.
 * Calling it again does nothing.
 */
export function instrumentTfjs(tf: Tfjs, options: TfjsOptions = {}): void {
  const prototype = tf.LayersModel.prototype as { [WRAPPED]?: true } & Record<string, Method | undefined>;
  if (prototype[WRAPPED] === true) return;
  Object.defineProperty(prototype, WRAPPED, { value: true });
  const settings = readOptions(options);
  wrap(
    prototype,
    'fit',
    fit =>
      function (x, y, args) {
        return training(
          tf,
          this,
          settings,
          args,
          given => Reflect.apply(fit, this, [x, y, given]) as Promise<unknown>,
        );
      },
  );
  wrap(
    prototype,
    'fitDataset',
    fit =>
      function (dataset, args) {
        return training(
          tf,
          this,
          settings,
          args,
          given => Reflect.apply(fit, this, [dataset, given]) as Promise<unknown>,
        );
      },
  );
  wrap(
    prototype,
    'trainOnBatch',
    train =>
      async function (...args) {
        const outcome = await (Reflect.apply(train, this, args) as Promise<unknown>);
        const batch = advance(this);
        const run = knownRun();
        if (run !== undefined && !run.ended && batch % settings.every === 0)
          record(run, 'batch/', named(this, outcome), { step: batch });
        return outcome;
      },
  );
  for (const name of ['evaluate', 'evaluateDataset'])
    wrap(
      prototype,
      name,
      evaluate =>
        function (...args) {
          const outcome = Reflect.apply(evaluate, this, args) as unknown;
          const take = (values: unknown): void => {
            const run = knownRun();
            if (run !== undefined && !run.ended)
              record(run, '', named(this, values), { step: trained.get(this) ?? 0, mode: 'eval' });
          };
          if (outcome instanceof Promise) outcome.then(take, () => undefined);
          else take(outcome);
          return outcome;
        },
    );
}

interface Settings {
  readonly every: number;
  readonly weights: boolean;
}

function readOptions({ every, weights }: TfjsOptions): Settings {
  const asked = every ?? Number(process.env.KYMO_TFJS_EVERY || 1);
  return {
    every: Number.isInteger(asked) && asked > 0 ? asked : 1,
    weights: weights ?? process.env.KYMO_TFJS_WEIGHTS === '1',
  };
}

function wrap(
  prototype: Record<string, Method | undefined>,
  name: string,
  make: (original: Method) => Method,
): void {
  const original = prototype[name];
  if (typeof original !== 'function') return;
  const wrapped = make(original);
  Object.defineProperty(wrapped, 'name', { value: original.name });
  Object.defineProperty(wrapped, 'length', { value: original.length });
  prototype[name] = wrapped;
}

async function training(
  tf: Tfjs,
  model: Model,
  settings: Settings,
  args: unknown,
  call: (args: unknown) => Promise<unknown>,
): Promise<unknown> {
  const run = knownRun();
  if (run === undefined || run.ended) return call(args);
  const given = (typeof args === 'object' && args !== null ? args : {}) as Record<string, unknown>;
  const watch = new Training(run, model, settings);
  watch.describe(given);
  const callbacks = [...callbackList(tf, given), watch.callback(tf)];
  return context.with(trace.setSpan(context.active(), watch.span), async () => {
    try {
      const outcome = await call({ ...given, callbacks });
      watch.end();
      return outcome;
    } catch (error) {
      watch.end(error);
      throw error;
    }
  });
}

/** As TensorFlow.js makes it of what the caller gave, so that ours can stand behind. */
function callbackList(tf: Tfjs, { callbacks, yieldEvery }: Record<string, unknown>): unknown[] {
  if (callbacks === undefined || callbacks === null) return [];
  const list = Array.isArray(callbacks) ? callbacks : [callbacks];
  // A subclass of Callback has the method; what the caller wrote as an object of handlers is made into one.
  return list.map(one =>
    typeof (one as { setModel?: unknown }).setModel === 'function'
      ? one
      : new tf.CustomCallback(one as object, yieldEvery ?? 'auto'),
  );
}

class Training {
  readonly span: Span;
  private readonly run: Run;
  private readonly model: Model;
  private readonly settings: Settings;
  private readonly tracer: Tracer = trace.getTracer(TRACER);
  private readonly skippedBefore = skippedRows();
  private epochSpan: Span | undefined;
  private batchSpan: Span | undefined;

  constructor(run: Run, model: Model, settings: Settings) {
    this.run = run;
    this.model = model;
    this.settings = settings;
    this.span = this.tracer.startSpan('fit', { attributes: { 'tfjs.model': model.name ?? '' } });
  }

  /** Once per model: what it is and how it was compiled. */
  describe(args: Record<string, unknown>): void {
    const { model, run } = this;
    const plain = (value: unknown): unknown =>
      typeof value === 'number' || typeof value === 'string' ? value : undefined;
    const fit = Object.fromEntries(
      ['batchSize', 'epochs', 'initialEpoch', 'batchesPerEpoch', 'validationSplit', 'stepsPerEpoch']
        .map(name => [name, plain(args[name])] as const)
        .filter(([, value]) => value !== undefined),
    );
    if (described.has(model)) return;
    described.add(model);
    const config = {
      model: model.name ?? '',
      parameters: model.countParams?.() ?? 0,
      optimizer: model.optimizer?.getClassName?.() ?? '',
      learning_rate: learningRate(model) ?? null,
      loss: lossName(model.loss),
      layers: (model.layers ?? []).map(layer => `${layer.name} (${layer.getClassName()})`),
      fit,
    };
    run.config.update({ tfjs: config });
    const lines: string[] = [];
    model.summary?.(undefined, undefined, line => lines.push(line));
    if (lines.length > 0)
      getLogger(LOGGER, { run }).info(`model ${model.name ?? ''}`, { summary: lines.join('\n') });
  }

  callback(tf: Tfjs): object {
    const watch = this;
    // Not an object of handlers: for those TensorFlow.js reads every value back from the device first.
    class Watch extends tf.Callback {
      async onEpochBegin(epoch: number): Promise<void> {
        watch.epochSpan = watch.child(`epoch ${epoch}`, watch.span);
      }
      async onBatchBegin(): Promise<void> {
        if (((trained.get(watch.model) ?? 0) + 1) % watch.settings.every === 0)
          watch.batchSpan = watch.child('batch', watch.epochSpan ?? watch.span);
      }
      async onBatchEnd(_batch: number, logs: Logs): Promise<void> {
        const step = advance(watch.model);
        watch.batchSpan?.end();
        watch.batchSpan = undefined;
        if (step % watch.settings.every !== 0 || watch.run.ended) return;
        const { batch: _, size: __, ...values } = logs ?? {};
        record(watch.run, 'batch/', values, { step });
      }
      async onEpochEnd(epoch: number, logs: Logs): Promise<void> {
        watch.epochSpan?.end();
        watch.epochSpan = undefined;
        watch.epoch(epoch, logs ?? {});
      }
    }
    return new Watch();
  }

  end(error?: unknown): void {
    const skipped = skippedRows() - this.skippedBefore;
    if (skipped > 0)
      getLogger(LOGGER, { run: this.run }).warn(
        `${skipped} batches are not recorded: the device was too far behind to read them; KYMO_TFJS_EVERY=10 reads every tenth`,
      );
    for (const span of [this.batchSpan, this.epochSpan, this.span]) {
      if (span === undefined) continue;
      if (error !== undefined)
        span.setAttribute('error.type', errorType(error)).setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    }
  }

  private epoch(epoch: number, logs: Readonly<Record<string, unknown>>): void {
    const { run, model } = this;
    if (run.ended) return;
    const step = trained.get(model) ?? 0;
    const ours = Object.entries(logs).filter(([name]) => !name.startsWith('val_'));
    const validation = Object.entries(logs)
      .filter(([name]) => name.startsWith('val_'))
      .map(([name, value]) => [name.slice(4), value] as const);
    record(run, 'epoch/', Object.fromEntries(ours), { step, axes: { epoch } });
    if (validation.length > 0)
      record(run, 'epoch/', Object.fromEntries(validation), { step, mode: 'eval', axes: { epoch } });
    const rate = learningRate(model);
    if (rate !== undefined) run.scalar('optimizer/learning_rate', rate, { step });
    if (!this.settings.weights) return;
    for (const weight of model.weights ?? [])
      void weight
        .read()
        .data()
        .then(values => run.ended || run.histogram(`weights/${weight.name}`, values, { step }))
        .catch(() => undefined);
  }

  private child(name: string, parent: Span): Span {
    return this.tracer.startSpan(name, {}, trace.setSpan(context.active(), parent));
  }
}

function record(
  run: Run,
  prefix: string,
  values: Readonly<Record<string, unknown>>,
  options: {
    readonly step: number;
    readonly mode?: string;
    readonly axes?: Readonly<Record<string, number>>;
  },
): void {
  pending(values, read => {
    if (run.ended) return;
    const row = Object.fromEntries(Object.entries(read).map(([name, value]) => [`${prefix}${name}`, value]));
    run.log(row, options);
  });
}

/** What `evaluate` and `trainOnBatch` return has no names: the loss first, then the metrics. */
function named(model: Model, values: unknown): Record<string, unknown> {
  const list = Array.isArray(values) ? values : [values];
  const names = (model as { metricsNames?: readonly string[] }).metricsNames ?? [];
  return Object.fromEntries(list.map((value, i) => [names[i] ?? (i === 0 ? 'loss' : `metric_${i}`), value]));
}

function advance(model: object): number {
  const batch = (trained.get(model) ?? 0) + 1;
  trained.set(model, batch);
  return batch;
}

function learningRate({ optimizer }: Model): number | undefined {
  const rate = optimizer?.learningRate;
  return typeof rate === 'number' ? rate : undefined;
}

/** One loss by its name, several as JSON. */
function lossName(loss: unknown): string {
  if (typeof loss === 'string') return loss;
  return typeof loss === 'function' ? loss.name : (JSON.stringify(loss) ?? '');
}
