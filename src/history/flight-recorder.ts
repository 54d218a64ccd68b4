// The flight recorder: when something goes wrong, the last frames of a history go to the run as a file that NumPy reads.
import { types } from 'node:util';
import { type Context, context, isSpanContextValid, trace } from '@opentelemetry/api';
import { checkOptions, kindOf } from '../research/checks.ts';
import type { Run } from '../research/run.ts';
import { nodeBackendOf } from './bitwise.ts';
import { type History, stateOf } from './history.ts';
import { encodeArray, encodeNpz, type NamedArray } from './npz.ts';
import { Shared } from './shared.ts';
import { checkWhole, chooseFields } from './slice.ts';
import type { HistoryConfig } from './spec.ts';
import type { FieldState, HistoryState } from './state.ts';
import { isHostMemory, type Tensor, TYPED_ARRAYS } from './tensorflow.ts';
import { readAge, readWindow } from './window.ts';

export interface FlightOptions<K extends string = string> {
  /** Default: all. */
  readonly fields?: K | readonly K[];
  /** How many of the newest frames; a field that remembers fewer gives all it has. Default: all. */
  readonly frames?: number;
  /** Look for the first NaN that is pushed to one of these fields, every so many updates (10). Default: false. */
  readonly nan?: boolean | { readonly every: number };
  /** `npz`: one file. `npy`: one for each field. Default: npz. */
  readonly format?: 'npz' | 'npy';
  /** Of the artifact. Default: `flight-recorder`. */
  readonly name?: string;
  /** Recordings at most; further ones are counted in `suppressed`. Default: 3. */
  readonly limit?: number;
}

const DEFAULT_LIMIT = 3;
const DEFAULT_NAN_EVERY = 10;
const FORMATS = ['npz', 'npy'] as const;
/** What media under way may take is 256 MiB by default, and the training goes on beside. */
const MAX_RECORDING_BYTES = 128 * 2 ** 20;
const MAX_MESSAGE = 1_000;
const BYTES_PER_ELEMENT = { float32: 4, int32: 4, bool: 1 } as const;

type AnyFunction = (this: never, ...parameters: never[]) => unknown;
type Called = (this: unknown, ...parameters: unknown[]) => unknown;

/**
 * Attaches a flight recorder to a history; it follows the history through its updates.
 *
 * @example
 * const flight = recordFlight(run, h, { fields: ['states', 'actions'], frames: 20, nan: true });
 * const step = flight.guard(() => { h = updateHistory(h, …); … });
 */
export function recordFlight<C extends HistoryConfig>(
  run: Run,
  history: History<C>,
  options: FlightOptions<keyof C & string> = {},
): FlightRecorder {
  const state = stateOf('recordFlight', history);
  if (typeof (run as Partial<Run> | null)?.artifact !== 'function')
    throw new TypeError(`kymo: recordFlight(run) must be a run (kymo.init()), not ${kindOf(run)}`);
  checkOptions('recordFlight', options, ['fields', 'frames', 'nan', 'format', 'name', 'limit']);
  const { nan = false, format = 'npz', name = 'flight-recorder', limit = DEFAULT_LIMIT } = options;
  const chosen = [...chooseFields('recordFlight', state, options.fields)];
  if (options.frames !== undefined) checkWhole('recordFlight', 'frames', options.frames, 1);
  checkWhole('recordFlight', 'limit', limit, 0);
  if (!FORMATS.includes(format))
    throw new RangeError(
      `kymo: recordFlight({format}) must be one of ${FORMATS.join(', ')}, not ${kindOf(format)}`,
    );
  if (typeof name !== 'string' || name === '')
    throw new TypeError(
      `kymo: recordFlight({name}) must be a string with something in it, not ${kindOf(name)}`,
    );
  if (typeof nan !== 'boolean' && (typeof nan !== 'object' || nan === null))
    throw new TypeError(`kymo: recordFlight({nan}) must be true, false or {every}, not ${kindOf(nan)}`);
  const nanEvery = nan === false ? 0 : nan === true ? DEFAULT_NAN_EVERY : nan.every;
  if (nan !== false) checkWhole('recordFlight', 'nan.every', nanEvery, 1);
  const watched = chosen.filter(([, { spec, elements }]) => spec.dtype === 'float32' && elements > 0);
  const recorder = new FlightRecorder(run, state, {
    fields: chosen.map(([field]) => field),
    nanFields: nanEvery > 0 ? watched.map(([field]) => field) : [],
    nanEvery,
    frames: options.frames ?? Number.POSITIVE_INFINITY,
    format,
    name,
    limit,
  });
  state.watchers.push(recorder);
  return recorder;
}

interface Settings {
  readonly fields: readonly string[];
  readonly nanFields: readonly string[];
  /** 0: never. */
  readonly nanEvery: number;
  readonly frames: number;
  readonly format: 'npz' | 'npy';
  readonly name: string;
  readonly limit: number;
}

/** Why something is recorded, and in which span. */
interface Occasion {
  readonly reason: string;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly around: Context;
}

// It is a Watcher by its internal members. It does not say so, since its public type is without them.
/** Made by `recordFlight`. */
export class FlightRecorder implements Disposable {
  /** Recordings that went to the run. */
  recorded = 0;
  /** Occasions that were not recorded: beyond the limit, or without a history. */
  suppressed = 0;
  readonly #run: Run;
  readonly #settings: Settings;
  /** It watches the history and does not keep it. */
  #state: WeakRef<HistoryState>;
  #stopped = false;
  /** Per field of `nanFields` the first update that brought a NaN, 0 for none: int32, on the device. */
  #firstNan: Shared | undefined;
  #reading = false;
  #nanTold = false;

  /** @internal */
  constructor(run: Run, state: HistoryState, settings: Settings) {
    this.#run = run;
    this.#state = new WeakRef(state);
    this.#settings = settings;
  }

  /**
   * `fn` with a witness: when it throws, or the promise that it returned is rejected, the history is recorded, and the same error goes
   * on. Where the device can only be read asynchronously (WebGPU), an error of a synchronous function goes on at once and the recording
   * follows as soon as the event loop turns.
   */
  guard<F extends AnyFunction>(fn: F): F {
    if (typeof fn !== 'function')
      throw new TypeError(`kymo: guard(fn) must be a function, not ${kindOf(fn)}`);
    const called = fn as unknown as Called;
    const recorder = this;
    const guarded = function (this: unknown, ...parameters: unknown[]): unknown {
      let result: unknown;
      try {
        result = called.apply(this, parameters);
      } catch (error) {
        void recorder.#record(occasionOf(error));
        throw error;
      }
      if (!types.isPromise(result)) return result;
      return result.catch(async (error: unknown) => {
        await recorder.#record(occasionOf(error));
        throw error;
      });
    };
    Object.defineProperty(guarded, 'name', { value: fn.name, configurable: true });
    return guarded as unknown as F;
  }

  /** Records now; resolves when it is handed to the run. Never rejects. @param reason goes into the artifact's metadata */
  async dump(reason = 'request'): Promise<void> {
    await this.#record({ reason, facts: {}, around: context.active() });
  }

  /** No more recordings. */
  stop(): void {
    this.#stopped = true;
    this.#firstNan?.release();
    this.#firstNan = undefined;
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  /** @internal */
  updated(state: HistoryState, pushed: ReadonlyMap<string, Shared>): boolean {
    if (this.#stopped) return false;
    if (this.#state.deref() !== state) this.#state = new WeakRef(state);
    const { nanFields, nanEvery } = this.#settings;
    if (nanFields.length === 0) return true;
    this.#look(state, pushed);
    if (state.step % nanEvery === 0 && !this.#reading) void this.#readNan();
    return true;
  }

  /** @internal */
  ended(): void {
    this.stop();
  }

  #look({ tf, step }: HistoryState, pushed: ReadonlyMap<string, Shared>): void {
    const { nanFields } = this.#settings;
    const before = this.#firstNan;
    const after = tf.tidy(() => {
      const count = nanFields.length;
      const bad = tf.stack(
        nanFields.map(name => {
          const frame = pushed.get(name);
          return frame === undefined
            ? tf.scalar(0, 'int32')
            : tf.max(tf.cast(tf.isNaN(frame.tensor), 'int32'));
        }),
      );
      const now = tf.mul(bad, tf.scalar(step, 'int32'));
      if (before === undefined) return now;
      return tf.where(tf.notEqual(before.tensor, tf.fill([count], 0, 'int32')), before.tensor, now);
    });
    this.#firstNan = new Shared(tf, after);
    before?.release();
  }

  async #readNan(): Promise<void> {
    const flags = this.#firstNan?.share();
    if (flags === undefined) return;
    this.#reading = true;
    try {
      const steps = Array.from((await flags.tensor.data()) as Int32Array);
      const first = Math.min(...steps.filter(step => step > 0));
      // A NaN seldom comes alone: the first one is the one to look at.
      if (first === Number.POSITIVE_INFINITY || this.#nanTold) return;
      this.#nanTold = true;
      await this.#record({
        reason: 'nan',
        facts: { field: this.#settings.nanFields[steps.indexOf(first)], nan_step: first },
        around: context.active(),
      });
    } catch (error) {
      tell(`the flight recorder cannot read the device: ${messageOf(error)}`);
      this.stop();
    } finally {
      this.#reading = false;
      flags.release();
    }
  }

  /** Reads and, where the device can be read at once, writes before it returns. */
  async #record(occasion: Occasion): Promise<void> {
    const state = this.#state.deref();
    if (this.#stopped || state === undefined || this.recorded >= this.#settings.limit) {
      this.suppressed++;
      return;
    }
    this.recorded++;
    try {
      const readings = this.#read(state);
      const { step } = state;
      const arrays: NamedArray[] = [];
      for (const reading of readings) arrays.push(types.isPromise(reading) ? await reading : reading);
      this.#write(arrays, step, occasion);
    } catch (error) {
      this.recorded--;
      this.suppressed++;
      tell(`the flight recorder could not record: ${messageOf(error)}`);
    }
  }

  /** Asks for all of it at once. Where it can be had at once, no promise is in between: the process may be about to end. */
  #read(state: HistoryState): (NamedArray | Promise<NamedArray>)[] {
    const { tf, batchSize } = state;
    const atOnce = isHostMemory(tf) || nodeBackendOf(tf) !== undefined;
    const fields = this.#settings.fields.flatMap(name => {
      const field = state.fields.get(name);
      return field === undefined ? [] : ([[name, field]] as const);
    });
    const perFrame = fields.reduce(
      (bytes, [, { elements, spec }]) => bytes + batchSize * elements * BYTES_PER_ELEMENT[spec.dtype],
      0,
    );
    const most = Math.max(1, Math.floor(MAX_RECORDING_BYTES / Math.max(1, perFrame)));
    const readings: (NamedArray | Promise<NamedArray>)[] = [];
    for (const [name, field] of fields) {
      const { spec } = field;
      const frames = Math.min(this.#settings.frames, spec.length, most);
      const window = readWindow(state, field, spec.length - frames, frames);
      readings.push(arrayOf(name, field, window, atOnce));
      if (this.#settings.format === 'npz')
        readings.push(arrayOf(`${name}.age`, undefined, readAge(state, field), atOnce));
    }
    return readings;
  }

  #write(arrays: readonly NamedArray[], step: number, { reason, facts, around }: Occasion): void {
    const { format, name } = this.#settings;
    const span = trace.getSpanContext(around);
    const metadata = {
      reason,
      step,
      ...facts,
      shapes: Object.fromEntries(arrays.map(array => [array.name, array.shape])),
      ...(span !== undefined && isSpanContextValid(span) && { trace_id: span.traceId, span_id: span.spanId }),
    };
    context.with(around, () => {
      const options = { type: 'history', metadata, step };
      if (format === 'npz') this.#run.artifact(`${name}.npz`, encodeNpz(arrays), options);
      else
        for (const array of arrays)
          this.#run.artifact(`${name}/${array.name}.npy`, encodeArray(array), options);
    });
  }
}

/** Takes over `tensor`. @param field undefined for ages */
function arrayOf(
  name: string,
  field: FieldState | undefined,
  tensor: Tensor,
  atOnce: boolean,
): NamedArray | Promise<NamedArray> {
  const dtype = field?.spec.dtype ?? 'int32';
  const { shape } = tensor;
  const of = (values: ArrayLike<number>): NamedArray => ({
    name,
    dtype,
    shape,
    data: TYPED_ARRAYS[dtype].from(values),
  });
  if (atOnce || tensor.size === 0) {
    const array = of(tensor.size === 0 ? [] : (tensor.dataSync() as Float32Array));
    tensor.dispose();
    return array;
  }
  return tensor
    .data()
    .then(values => of(values as Float32Array))
    .finally(() => tensor.dispose());
}

function occasionOf(error: unknown): Occasion {
  const type = error instanceof Error ? error.name : typeof error;
  return {
    reason: 'exception',
    facts: { 'exception.type': type, 'exception.message': messageOf(error).slice(0, MAX_MESSAGE) },
    around: context.active(),
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function tell(text: string): void {
  process.emitWarning(text, { type: 'KymoWarning', code: 'FLIGHT_RECORDER' });
}
