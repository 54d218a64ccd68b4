// Parts of a history's windows, as tensors of the caller's.
import { kindOf, nearest, shown } from '../research/checks.ts';
import { type History, stateOf } from './history.ts';
import type { HistoryConfig, ShapeOf } from './spec.ts';
import type { FieldState, HistoryState } from './state.ts';
import type { WindowTensor } from './tensor-types.ts';
import type { Tensor } from './tensorflow.ts';
import { readWindow } from './window.ts';

/** `[B, length, ...shape]` by field; the caller disposes them (or `tf.tidy` does). */
export type Slices<C extends HistoryConfig, K extends keyof C> = {
  readonly [N in K]: WindowTensor<ShapeOf<C[N]>>;
};

/**
 * Positions `start` to `start + length` of the windows of some fields, all by default; 0 is the oldest. The cost is that of `length` frames.
 *
 * Throws a RangeError when a field's window does not have them, for an unknown field and an empty list.
 */
export function sliceHistory<C extends HistoryConfig, K extends keyof C & string = keyof C & string>(
  history: History<C>,
  start: number,
  length: number,
  fields?: K | readonly K[],
): Slices<C, K> {
  const state = stateOf('sliceHistory', history);
  checkWhole('sliceHistory', 'start', start, 0);
  checkWhole('sliceHistory', 'length', length, 1);
  const chosen = chooseFields('sliceHistory', state, fields);
  for (const [name, { spec }] of chosen)
    if (start + length > spec.length)
      throw new RangeError(
        `kymo: sliceHistory: positions ${start} to ${start + length} are beyond field ${shown(name)}, whose window has ${spec.length}`,
      );
  return read(state, chosen, () => start, length) as Slices<C, K>;
}

/** The newest `count` frames of some fields, all by default. Throws as `sliceHistory` does. */
export function peekLast<C extends HistoryConfig, K extends keyof C & string = keyof C & string>(
  history: History<C>,
  count = 1,
  fields?: K | readonly K[],
): Slices<C, K> {
  const state = stateOf('peekLast', history);
  checkWhole('peekLast', 'count', count, 1);
  const chosen = chooseFields('peekLast', state, fields);
  for (const [name, { spec }] of chosen)
    if (count > spec.length)
      throw new RangeError(
        `kymo: peekLast: ${count} frames are more than field ${shown(name)} remembers (${spec.length})`,
      );
  return read(state, chosen, field => field.spec.length - count, count) as Slices<C, K>;
}

/** @internal The fields that the caller has named, in that order; all of them for undefined. */
export function chooseFields(
  call: string,
  state: HistoryState,
  fields: unknown,
): ReadonlyMap<string, FieldState> {
  if (state.fields.size === 0) throw new RangeError(`kymo: ${call}: the history has no fields`);
  if (fields === undefined) return state.fields;
  const names: unknown = typeof fields === 'string' ? [fields] : fields;
  if (!Array.isArray(names))
    throw new TypeError(`kymo: ${call}(fields) must be a name or an array of names, not ${kindOf(fields)}`);
  if (names.length === 0) throw new RangeError(`kymo: ${call}(fields) is empty; leave it out for all fields`);
  const chosen = new Map<string, FieldState>();
  for (const name of names as unknown[]) {
    if (typeof name !== 'string')
      throw new TypeError(`kymo: ${call}(fields) must be names, not ${kindOf(name)}`);
    const field = state.fields.get(name);
    if (field === undefined) {
      const near = nearest(name, [...state.fields.keys()]);
      const hint =
        near === undefined
          ? `it has ${[...state.fields.keys()].slice(0, 8).join(', ')}`
          : `did you mean ${near}?`;
      throw new RangeError(`kymo: ${call}: the history has no field ${shown(name)} (${hint})`);
    }
    chosen.set(name, field);
  }
  return chosen;
}

/** @internal */
export function checkWhole(call: string, name: string, value: unknown, least: number): void {
  if (typeof value !== 'number')
    throw new TypeError(
      `kymo: ${call}: ${name} must be a whole number from ${least} on, not ${kindOf(value)}`,
    );
  if (!Number.isInteger(value) || value < least)
    throw new RangeError(`kymo: ${call}: ${name} must be a whole number from ${least} on, not ${value}`);
}

function read(
  state: HistoryState,
  chosen: ReadonlyMap<string, FieldState>,
  start: (field: FieldState) => number,
  length: number,
): Readonly<Record<string, Tensor>> {
  const slices: Record<string, Tensor> = Object.create(null);
  try {
    for (const [name, field] of chosen) slices[name] = readWindow(state, field, start(field), length);
  } catch (error) {
    for (const tensor of Object.values(slices)) tensor.dispose();
    throw error;
  }
  return slices;
}
