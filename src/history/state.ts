// What a history is made of: per field a ring of shared frames and a clock. Histories are handles on it; donation hands it on.
import { type Clock, newClock, releaseResetAt, shareResetAt } from './clock.ts';
import type { Shared } from './shared.ts';
import { type HistoryFieldSpec, type HistorySpec, rowElements } from './spec.ts';
import type { TensorFlow } from './tensorflow.ts';

export interface FieldState {
  readonly spec: HistoryFieldSpec;
  /** Elements of one frame of one row. */
  readonly elements: number;
  /** Frame i lies at i mod length, as `[B, elements]`; empty until it was pushed. */
  readonly ring: (Shared | undefined)[];
  clock: Clock;
  /** What the random values of the field's rows are made of; 0 for other fields. */
  readonly noiseSeed: number;
}

/**
 * Hears of every update on the newest history of a line: `observeHistory` and the flight recorder. It holds no history, so that a lost one
 * can be collected.
 */
export interface Watcher {
  /** False when it wants to hear no more. What it throws ends it, and is told. */
  updated(state: HistoryState, pushed: ReadonlyMap<string, Shared>): boolean;
  /** The history has been disposed or lost. */
  ended(): void;
}

export interface HistoryState {
  readonly tf: TensorFlow;
  /** The backend that the frames live on. */
  readonly backend: string;
  readonly spec: HistorySpec;
  readonly batchSize: number;
  readonly fields: Map<string, FieldState>;
  /** Updates so far. */
  step: number;
  readonly watchers: Watcher[];
}

export function newState(
  tf: TensorFlow,
  spec: HistorySpec,
  batchSize: number,
  fields: Map<string, FieldState>,
): HistoryState {
  return watched({ tf, backend: tf.getBackend(), spec, batchSize, fields, step: 0, watchers: [] });
}

export function newField(spec: HistoryFieldSpec, batchSize: number, noiseSeed: number): FieldState {
  return {
    spec,
    elements: rowElements(spec),
    ring: new Array<Shared | undefined>(spec.length).fill(undefined),
    clock: newClock(batchSize),
    noiseSeed,
  };
}

/** A second history of the same frames: O(length) pointers, nothing on the device. Watchers go with the newer one. */
export function forkState(state: HistoryState): HistoryState {
  const fork = { ...state, fields: new Map<string, FieldState>(), watchers: state.watchers.splice(0) };
  for (const [name, field] of state.fields) fork.fields.set(name, forkField(field));
  return watched(fork);
}

export function forkField(field: FieldState): FieldState {
  shareResetAt(field.clock.resetAt);
  return { ...field, ring: field.ring.map(frame => frame?.share()) };
}

export function releaseState(state: HistoryState): void {
  abandoned.unregister(state);
  releaseFields(state.fields);
  for (const watcher of state.watchers.splice(0)) watcher.ended();
}

/** Forgets the state without releasing its fields: another state holds them now. */
export function dissolveState(state: HistoryState): void {
  abandoned.unregister(state);
}

/** After an update: everybody who watches is told, and none of them can make it fail. */
export function tellWatchers(state: HistoryState, pushed: ReadonlyMap<string, Shared>): void {
  const { watchers } = state;
  for (let i = watchers.length - 1; i >= 0; i--) {
    const watcher = watchers[i]!;
    let stays = false;
    try {
      stays = watcher.updated(state, pushed);
    } catch (error) {
      process.emitWarning(
        `a history is no longer observed: ${error instanceof Error ? error.message : String(error)}`,
        { type: 'KymoWarning', code: 'HISTORY_OBSERVER' },
      );
    }
    if (stays) continue;
    watchers.splice(i, 1);
    watcher.ended();
  }
}

function releaseFields(fields: ReadonlyMap<string, FieldState>): void {
  for (const field of fields.values()) {
    for (const frame of field.ring) frame?.release();
    field.ring.fill(undefined);
    releaseResetAt(field.clock.resetAt);
  }
}

let warned = false;
/** Histories that were lost without `dispose`: their frames are given back when the collector finds them. */
const abandoned = new FinalizationRegistry(
  ({ fields, watchers }: Pick<HistoryState, 'fields' | 'watchers'>) => {
    releaseFields(fields);
    for (const watcher of watchers.splice(0)) watcher.ended();
    if (warned) return;
    warned = true;
    process.emitWarning(
      `a history of ${[...fields.keys()].slice(0, 3).join(', ')} was lost without dispose(); its device memory was held until garbage collection`,
      { type: 'KymoWarning', code: 'HISTORY_LOST' },
    );
  },
);

function watched(state: HistoryState): HistoryState {
  const { fields, watchers } = state;
  abandoned.register(state, { fields, watchers }, state);
  return state;
}
