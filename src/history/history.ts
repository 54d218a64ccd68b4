// A history: a handle on the last T frames of each field, on the device. Made by `createHistory`, followed by the one that `updateHistory` returns.
import { checkOptions, kindOf, shown } from '../research/checks.ts';
import {
  advance,
  type Clock,
  COUNT_LIMIT,
  type Mask,
  rebased,
  releaseResetAt,
  shareResetAt,
} from './clock.ts';
import { boolMask, checkFrames, checkMask, takeFrames } from './frames.ts';
import { noiseSeed } from './noise.ts';
import { settle } from './settle.ts';
import type { Shared } from './shared.ts';
import { type DTypeOf, type HistoryConfig, HistorySpec, rowElements, type ShapeOf } from './spec.ts';
import {
  type FieldState,
  forkState,
  type HistoryState,
  newField,
  newState,
  releaseState,
  tellWatchers,
} from './state.ts';
import type { HostArray, WindowTensor } from './tensor-types.ts';
import { checkTensorFlow, isTensor, type Tensor, type TensorFlow } from './tensorflow.ts';
import { readAge, readWindow } from './window.ts';

/** Elements of a whole window are counted in int32 on the device. */
const MAX_WINDOW_ELEMENTS = 2 ** 31 - 1;

export interface CreateOptions {
  /** What `randn` fields are drawn from: a whole number from 0 to 2^53. Needed when there is one. */
  readonly seed?: number;
}

export interface UpdateOptions {
  /**
   * Rows whose episode has ended: all their fields start anew and the frame of this update is dropped for them, as in goggles. On the
   * device (bool or int32 `[B]`, never read) or on the host.
   */
  readonly resetMask?: Tensor | readonly boolean[] | Uint8Array | Int32Array;
  /** The old history hands its frames on and can no longer be used. `false` keeps it valid: nothing on the device is copied. Default: true. */
  readonly donate?: boolean;
  /** Fields without a frame stay as they are, instead of being an error. Default: false. */
  readonly partial?: boolean;
}

export type FrameOf<F extends HistoryConfig[string]> = Tensor | HostArray<DTypeOf<F>>;
export type Frames<C extends HistoryConfig> = { readonly [K in keyof C]: FrameOf<C[K]> };
/** The whole windows, `[B, T, ...shape]`, by field. */
export type Windows<C extends HistoryConfig> = { readonly [K in keyof C]: WindowTensor<ShapeOf<C[K]>> };

/** The handle. The state behind it moves on to the next history when it is donated. */
export class History<C extends HistoryConfig = HistoryConfig> implements Disposable {
  #state: HistoryState | undefined;
  #fate: 'donated' | 'disposed' = 'disposed';
  readonly #spec: HistorySpec<C>;
  readonly #batchSize: number;
  readonly #step: number;
  #cache: Map<string, Tensor> | undefined;
  #fields: Windows<C> | undefined;
  #ages: Readonly<Record<keyof C, Tensor>> | undefined;

  /** @internal Use `createHistory`. */
  constructor(state: HistoryState) {
    this.#state = state;
    this.#spec = state.spec as unknown as HistorySpec<C>;
    this.#batchSize = state.batchSize;
    this.#step = state.step;
  }

  get spec(): HistorySpec<C> {
    return this.#spec;
  }

  get batchSize(): number {
    return this.#batchSize;
  }

  /** How many updates led here. */
  get step(): number {
    return this.#step;
  }

  /**
   * Whole windows, oldest frame first: `h.fields.states` is a tensor `[B, T, ...shape]`. Made at the first look and kept until this history
   * is updated or disposed: never dispose it yourself, `tf.clone` what should live longer.
   */
  get fields(): Windows<C> {
    this.#fields ??= this.#views('field', (state, field) =>
      readWindow(state, field, 0, field.spec.length),
    ) as Windows<C>;
    return this.#fields;
  }

  /** Per field and row how many frames of the window are real, int32 `[B]`; the others are the initial value. Lives like `fields`. */
  get ages(): Readonly<Record<keyof C, Tensor>> {
    this.#ages ??= this.#views('age', (state, field) => readAge(state, field)) as Readonly<
      Record<keyof C, Tensor>
    >;
    return this.#ages;
  }

  /** False once it was donated or disposed. */
  get isLive(): boolean {
    return this.#state !== undefined;
  }

  /** A second history of the same frames. Nothing is copied on the device; each is disposed by itself. */
  clone(): History<C> {
    const state = this.stateFor('clone');
    const fork = forkState(state);
    // Who watches goes on watching this one.
    state.watchers.push(...fork.watchers.splice(0));
    return new History<C>(fork);
  }

  /**
   * Resolves when the device has done all that was asked of it so far. Updates never wait, so a loop can run ahead of its device without
   * bound: await this every few hundred steps.
   */
  async settled(): Promise<void> {
    await settle(this.stateFor('settled'));
  }

  /** Gives the device memory back. A second time does nothing. */
  dispose(): void {
    const state = this.#state;
    if (state === undefined) return;
    this.#leave('disposed');
    releaseState(state);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal Throws when this history is gone. */
  stateFor(call: string): HistoryState {
    if (this.#state === undefined)
      throw new RangeError(
        this.#fate === 'donated'
          ? `kymo: ${call}: this history was donated to the one that updateHistory returned; go on with that one, or update with {donate: false}`
          : `kymo: ${call}: this history was disposed`,
      );
    const { backend, tf } = this.#state;
    // TensorFlow.js would carry every frame over, through the host.
    if (tf.getBackend() !== backend)
      throw new RangeError(
        `kymo: ${call}: this history lives on ${backend}, but tf is on ${tf.getBackend()} now; set it back, or take the history along first, with toHost and toDevice`,
      );
    return this.#state;
  }

  /** @internal Hands the state on; this handle is dead. */
  donate(): void {
    this.#leave('donated');
  }

  #leave(fate: 'donated' | 'disposed'): void {
    this.#state = undefined;
    this.#fate = fate;
    if (this.#cache !== undefined) for (const tensor of this.#cache.values()) tensor.dispose();
    this.#cache = undefined;
  }

  #views(kind: 'field' | 'age', read: (state: HistoryState, field: FieldState) => Tensor): object {
    const views: object = Object.create(null);
    for (const name of Object.keys(this.#spec.fields))
      Object.defineProperty(views, name, { enumerable: true, get: () => this.#cached(kind, name, read) });
    return Object.freeze(views);
  }

  #cached(kind: string, name: string, read: (state: HistoryState, field: FieldState) => Tensor): Tensor {
    const state = this.stateFor(`history.${kind}s.${name}`);
    this.#cache ??= new Map();
    const key = `${kind} ${name}`;
    const known = this.#cache.get(key);
    if (known !== undefined && !known.isDisposed) return known;
    const made = state.tf.keep(read(state, state.fields.get(name)!));
    this.#cache.set(key, made);
    return made;
  }
}

/**
 * An empty history of `batchSize` rows. Nothing is allocated on the device: a window without frames is its initial value.
 *
 * Throws for a batch size that is none, a backend that lacks an operation, and a `randn` field without a seed.
 *
 * @param tf TensorFlow.js as the caller uses it; its backend is the device
 */
export function createHistory<C extends HistoryConfig>(
  tf: TensorFlow,
  spec: HistorySpec<C>,
  batchSize: number,
  options: CreateOptions = {},
): History<C> {
  const checked = checkSpec('createHistory', spec);
  const random = Object.values<{ readonly init: string }>(checked.fields).some(
    field => field.init === 'randn',
  );
  checkTensorFlow('createHistory', tf, random);
  checkBatchSize('createHistory', batchSize);
  checkOptions('createHistory', options, ['seed']);
  const seed = checkSeed(options.seed, random);
  const fields = new Map<string, FieldState>();
  for (const [name, field] of Object.entries(checked.fields)) {
    const elements = batchSize * field.length * rowElements(field);
    if (elements > MAX_WINDOW_ELEMENTS)
      throw new RangeError(
        `kymo: createHistory: field ${shown(name)} has ${elements} elements in its window [${[batchSize, field.length, ...field.shape].join(', ')}], more than ${MAX_WINDOW_ELEMENTS}`,
      );
    fields.set(name, newField(field, batchSize, field.init === 'randn' ? noiseSeed(seed, name) : 0));
  }
  return new History<C>(newState(tf, checked, batchSize, fields));
}

/**
 * The history after one more frame of each field: what was the oldest is forgotten. The cost is that of one frame, whatever the length, and
 * nothing is read back from the device.
 *
 * Frames are tensors `[B, ...shape]` or `[B, 1, ...shape]`, which the caller may dispose afterwards, or typed arrays, which are copied. Everything is
 * checked first: after an error the history is as it was.
 *
 * @example
 * h = updateHistory(h, { states, rewards }, { resetMask: done });
 */
export function updateHistory<C extends HistoryConfig>(
  history: History<C>,
  frames: Partial<Frames<C>>,
  options: UpdateOptions & { readonly partial: true },
): History<C>;
export function updateHistory<C extends HistoryConfig>(
  history: History<C>,
  frames: Frames<C>,
  options?: UpdateOptions,
): History<C>;
export function updateHistory<C extends HistoryConfig>(
  history: History<C>,
  frames: Partial<Frames<C>>,
  options: UpdateOptions = {},
): History<C> {
  const state = stateOf('updateHistory', history);
  checkOptions('updateHistory', options, ['resetMask', 'donate', 'partial']);
  const { donate = true, partial = false } = options;
  checkFlag('donate', donate);
  checkFlag('partial', partial);
  const checked = checkFrames(state, frames, partial);
  const mask = checkMask(state, options.resetMask);

  const taken = takeFrames(state, checked);
  let clocks: Map<FieldState, Clock>;
  try {
    clocks = clocksAfter(state, taken, mask);
  } catch (error) {
    for (const frame of taken.values()) frame.release();
    throw error;
  }
  // From here on nothing can fail.
  const names = [...state.fields];
  const next = donate ? state : forkState(state);
  const pushed = new Map<string, Shared>();
  for (const [name, field] of names) {
    const target = next.fields.get(name)!;
    const clock = clocks.get(field)!;
    if (clock.resetAt !== target.clock.resetAt) releaseResetAt(target.clock.resetAt);
    const frame = taken.get(field);
    if (frame !== undefined) {
      const slot = target.clock.count % target.ring.length;
      target.ring[slot]?.release();
      target.ring[slot] = frame;
      pushed.set(name, frame);
    }
    target.clock = clock;
  }
  next.step++;
  if (donate) history.donate();
  const updated = new History<C>(next);
  if (next.watchers.length > 0) tellWatchers(next, pushed);
  return updated;
}

/** Every field's next clock, each with its hold on a new `resetAt`. Fields that were always updated together share one computation. */
function clocksAfter(
  state: HistoryState,
  taken: ReadonlyMap<FieldState, Shared>,
  mask: Mask | undefined,
): Map<FieldState, Clock> {
  const clocks = new Map<FieldState, Clock>();
  const seen: { before: Clock; pushed: boolean; applied: Mask | undefined; after: Clock }[] = [];
  const { tf } = state;
  const ownMask = isTensor(mask) && mask.dtype !== 'bool' ? tf.tidy(() => boolMask(state, mask)) : mask;
  try {
    for (const field of state.fields.values()) {
      const before = field.clock;
      const pushed = taken.has(field);
      const applied = field.spec.init === 'none' ? undefined : ownMask;
      const same = seen.find(
        one =>
          one.applied === applied &&
          one.pushed === pushed &&
          one.before.count === before.count &&
          one.before.resetAt === before.resetAt,
      );
      const after = same?.after ?? advance(tf, before, pushed, applied);
      if (same === undefined) seen.push({ before, pushed, applied, after });
      else if (after.resetAt !== before.resetAt) shareResetAt(after.resetAt);
      clocks.set(field, after);
    }
    for (const [field, clock] of clocks) {
      if (clock.count < COUNT_LIMIT) continue;
      clocks.set(field, rebased(tf, clock, field.spec.length));
      if (clock.resetAt !== field.clock.resetAt) releaseResetAt(clock.resetAt);
    }
  } catch (error) {
    for (const [field, clock] of clocks)
      if (clock.resetAt !== field.clock.resetAt) releaseResetAt(clock.resetAt);
    throw error;
  } finally {
    if (ownMask !== mask && isTensor(ownMask)) ownMask.dispose();
  }
  return clocks;
}

/** @internal The state behind what should be a history. */
export function stateOf(call: string, history: unknown): HistoryState {
  if (!(history instanceof History))
    throw new TypeError(`kymo: ${call}(history) must be made by createHistory, not ${kindOf(history)}`);
  return history.stateFor(call);
}

/** @internal A spec of ours, or one made by hand, checked again. */
export function checkSpec(call: string, spec: unknown): HistorySpec {
  if (spec instanceof HistorySpec) return spec as HistorySpec;
  throw new TypeError(`kymo: ${call}(tf, spec) must be made by HistorySpec.fromConfig, not ${kindOf(spec)}`);
}

/** @internal */
export function checkBatchSize(call: string, batchSize: unknown): void {
  if (typeof batchSize !== 'number')
    throw new TypeError(
      `kymo: ${call}: batchSize must be a whole number from 1 on, not ${kindOf(batchSize)}`,
    );
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > MAX_WINDOW_ELEMENTS)
    throw new RangeError(`kymo: ${call}: batchSize must be a whole number from 1 on, not ${batchSize}`);
}

function checkSeed(seed: unknown, needed: boolean): number {
  if (seed === undefined && !needed) return 0;
  if (seed === undefined)
    throw new RangeError(
      'kymo: createHistory: a field with init randn needs a seed: createHistory(tf, spec, batchSize, {seed: 0})',
    );
  if (!Number.isSafeInteger(seed) || (seed as number) < 0)
    throw new RangeError(
      `kymo: createHistory({seed}) must be a whole number from 0 to 2^53, not ${kindOf(seed)}`,
    );
  return seed as number;
}

function checkFlag(name: string, value: unknown): void {
  if (typeof value !== 'boolean')
    throw new TypeError(`kymo: updateHistory({${name}}) must be true or false, not ${kindOf(value)}`);
}
