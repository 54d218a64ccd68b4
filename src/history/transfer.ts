// Histories to the host and back, and two histories made one.
import { kindOf, shown } from '../research/checks.ts';
import { type Clock, COUNT_LIMIT } from './clock.ts';
import { checkBatchSize, History, stateOf } from './history.ts';
import { Shared } from './shared.ts';
import { checkWhole, chooseFields } from './slice.ts';
import { type DTypeOf, fieldSpec, type HistoryConfig, type HistoryFieldSpec, HistorySpec } from './spec.ts';
import { dissolveState, type FieldState, forkField, type HistoryState, newField, newState } from './state.ts';
import type { HostArray } from './tensor-types.ts';
import { checkTensorFlow, isArrayOf, type TensorFlow, TYPED_ARRAYS } from './tensorflow.ts';
import { readWindow } from './window.ts';

const MAX_NOISE_SEED = 2 ** 32 - 1;

/** One field on the host. */
export interface HostField<C extends HistoryConfig[string] = HistoryConfig[string]> {
  readonly spec: HistoryFieldSpec;
  /** `[B, T, ...shape]`, the whole window, oldest frame first. */
  readonly shape: readonly number[];
  readonly data: HostArray<DTypeOf<C>>;
  /** Frames pushed so far. */
  readonly count: number;
  /** Per row the number of the first frame after its last reset. */
  readonly resetAt: Int32Array;
  readonly noiseSeed: number;
}

/** A history on the host: plain values, which can be kept in a file or sent to another thread (`structuredClone`). */
export interface HostHistory<C extends HistoryConfig = HistoryConfig> {
  readonly batchSize: number;
  readonly step: number;
  readonly fields: { readonly [K in keyof C]: HostField<C[K]> };
}

/**
 * Some fields, all by default, read from the device, which is not waited for while the call is made. The history stays as it is.
 */
export async function toHost<C extends HistoryConfig, K extends keyof C & string = keyof C & string>(
  history: History<C>,
  fields?: K | readonly K[],
): Promise<HostHistory<Pick<C, K>>> {
  const state = stateOf('toHost', history);
  const chosen = chooseFields('toHost', state, fields);
  const { batchSize, step } = state;
  // All is asked for before the first wait: what the caller does with the history meanwhile does not change it.
  const pending = [...chosen].map(([name, field]) => hostField(state, name, field));
  const read = await Promise.allSettled(pending);
  const found: Record<string, HostField> = Object.create(null);
  for (const one of read) {
    if (one.status === 'rejected') throw one.reason;
    found[one.value[0]] = one.value[1];
  }
  return { batchSize, step, fields: found } as HostHistory<Pick<C, K>>;
}

async function hostField(state: HistoryState, name: string, field: FieldState): Promise<[string, HostField]> {
  const { spec, clock, noiseSeed } = field;
  const { count, resetAt } = clock;
  const window = readWindow(state, field, 0, spec.length);
  const rows = resetAt instanceof Shared ? resetAt.share() : undefined;
  try {
    const [data, at] = await Promise.all([
      field.elements === 0 ? new TYPED_ARRAYS[spec.dtype](0) : window.data(),
      rows === undefined ? (resetAt as Int32Array) : rows.tensor.data(),
    ]);
    // Backends may hand out what they go on using.
    return [
      name,
      {
        spec,
        shape: window.shape.slice(),
        data: TYPED_ARRAYS[spec.dtype].from(data as Float32Array),
        count,
        resetAt: Int32Array.from(at),
        noiseSeed,
      },
    ];
  } finally {
    window.dispose();
    rows?.release();
  }
}

/**
 * The history that `toHost` read, on the device of `tf`, which may be another backend. What comes is checked: it may have been in a file.
 * Frames go up one by one; random values of rows that were reset are made anew there.
 */
export function toDevice<C extends HistoryConfig>(tf: TensorFlow, host: HostHistory<C>): History<C> {
  const given: unknown = host;
  if (typeof given !== 'object' || given === null || !('fields' in given) || typeof given.fields !== 'object')
    throw new TypeError(`kymo: toDevice(tf, host) must be what toHost returned, not ${kindOf(given)}`);
  const { batchSize, step } = host;
  checkBatchSize('toDevice', batchSize);
  checkWhole('toDevice', 'step', step, 0);
  const checked = Object.entries<HostField>(host.fields).map(
    ([name, field]) => [name, checkHostField(name, field, batchSize)] as const,
  );
  checkTensorFlow(
    'toDevice',
    tf,
    checked.some(([, { spec }]) => spec.init === 'randn'),
  );
  const spec = HistorySpec.fromConfig(Object.fromEntries(checked.map(([name, field]) => [name, field.spec])));
  const fields = new Map<string, FieldState>();
  try {
    for (const [name, field] of checked) fields.set(name, uploaded(tf, field, batchSize));
  } catch (error) {
    for (const field of fields.values()) for (const frame of field.ring) frame?.release();
    throw error;
  }
  const state = newState(tf, spec, batchSize, fields);
  state.step = step;
  return new History<C>(state);
}

function checkHostField(name: string, field: HostField, batchSize: number): HostField {
  const subject = `kymo: toDevice: field ${shown(name)}`;
  if (typeof field !== 'object' || field === null)
    throw new TypeError(`${subject} must be an object, not ${kindOf(field)}`);
  const spec = fieldSpec(`toDevice: field ${shown(name)}`, field.spec);
  const shape = [batchSize, spec.length, ...spec.shape];
  const elements = shape.reduce((product, side) => product * side, 1);
  const { data, count, resetAt, noiseSeed } = field;
  if (!isArrayOf(spec.dtype, data))
    throw new TypeError(
      `${subject}: data must be a ${TYPED_ARRAYS[spec.dtype].name} for ${spec.dtype}, not ${kindOf(data)}`,
    );
  if (data.length !== elements)
    throw new RangeError(
      `${subject}: data has ${data.length} values, [${shape.join(', ')}] needs ${elements}`,
    );
  if (!Number.isInteger(count) || count < 0 || count >= COUNT_LIMIT)
    throw new RangeError(
      `${subject}: count must be a whole number below ${COUNT_LIMIT}, not ${kindOf(count)}`,
    );
  if (!isArrayOf('int32', resetAt) || resetAt.length !== batchSize)
    throw new RangeError(`${subject}: resetAt must be an Int32Array of ${batchSize}, not ${kindOf(resetAt)}`);
  if (resetAt.some(at => at < 0 || at > count))
    throw new RangeError(`${subject}: resetAt must be from 0 to count (${count})`);
  if (!Number.isInteger(noiseSeed) || noiseSeed < 0 || noiseSeed > MAX_NOISE_SEED)
    throw new RangeError(
      `${subject}: noiseSeed must be a whole number from 0 to 2^32 - 1, not ${kindOf(noiseSeed)}`,
    );
  return { ...field, spec };
}

function uploaded(tf: TensorFlow, host: HostField, batchSize: number): FieldState {
  const { spec, data, count, resetAt } = host;
  const field = newField(spec, batchSize, host.noiseSeed);
  const { elements, ring } = field;
  const present = Math.min(count, spec.length);
  for (let position = spec.length - present; position < spec.length; position++) {
    const frame = new TYPED_ARRAYS[spec.dtype](batchSize * elements);
    for (let row = 0; row < batchSize; row++) {
      const from = (row * spec.length + position) * elements;
      frame.set(data.subarray(from, from + elements), row * elements);
    }
    ring[(count - spec.length + position) % spec.length] = new Shared(
      tf,
      tf.tensor(frame, [batchSize, elements], spec.dtype),
    );
  }
  const clock: Clock = {
    count,
    resetAt: Int32Array.from(resetAt),
    latestReset: resetAt.reduce((a, b) => Math.max(a, b), 0),
  };
  field.clock = clock;
  return field;
}

/**
 * One history of the fields of two. They must have the same batch size and backend and no field in common. Both are donated unless
 * `donate` is false; nothing is copied on the device.
 */
export function mergeHistories<A extends HistoryConfig, B extends HistoryConfig>(
  a: History<A>,
  b: History<B>,
  options: { readonly donate?: boolean } = {},
): History<A & B> {
  const one = stateOf('mergeHistories', a);
  const other = stateOf('mergeHistories', b);
  const { donate = true } = options;
  if (one === other)
    throw new RangeError('kymo: mergeHistories: a history has every field in common with itself');
  if (one.batchSize !== other.batchSize)
    throw new RangeError(
      `kymo: mergeHistories: batches of ${one.batchSize} and ${other.batchSize} rows do not fit together`,
    );
  if (one.backend !== other.backend)
    throw new RangeError(
      `kymo: mergeHistories: one lives on ${one.backend}, the other on ${other.backend}; take it there with toHost and toDevice`,
    );
  for (const name of other.fields.keys())
    if (one.fields.has(name)) throw new RangeError(`kymo: mergeHistories: both have a field ${shown(name)}`);

  const fields = new Map<string, FieldState>();
  for (const state of [one, other])
    for (const [name, field] of state.fields) fields.set(name, donate ? field : forkField(field));
  const spec = HistorySpec.fromConfig({ ...one.spec.fields, ...other.spec.fields });
  const merged = newState(one.tf, spec, one.batchSize, fields);
  merged.step = Math.max(one.step, other.step);
  if (donate) {
    merged.watchers.push(...one.watchers.splice(0), ...other.watchers.splice(0));
    a.donate();
    b.donate();
    dissolveState(one);
    dissolveState(other);
  }
  return new History<A & B>(merged);
}
