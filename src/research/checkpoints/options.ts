// What `saveCheckpoint` and `loadCheckpoint` take and give, and the checks of it.
import { checkOptions, kindOf, wrongType } from '../checks.ts';
import { isStep } from '../numbers.ts';
import { checkSerializer, type Serializer } from './serializer.ts';
import type { TensorMaker } from './tensors.ts';

/** `init({checkpoints})`. */
export interface CheckpointOptions {
  /** How many checkpoints to keep beside the best; the oldest go after each save. Default: all. */
  readonly keep?: number;
  /** A buffer is saved when the step has passed a multiple of this since the last one. Default 1: with every checkpoint that has one. */
  readonly bufferEvery?: number;
  /** How states and buffers become bytes. Default: CBOR, with typed arrays, tensors, Map, Set, Date, BigInt and cycles. */
  readonly serializer?: Serializer;
}

export interface SaveOptions {
  /** All that the training needs to go on: weights, optimizer, random generators, counters of its own. */
  readonly state: unknown;
  /** Default: the step of the last row. */
  readonly step?: number;
  /** Also makes `checkpoints/best` mean this one. */
  readonly isBest?: boolean;
  /** What is too large for every checkpoint, such as a replay buffer; a function is called only when the buffer is due. */
  readonly buffer?: unknown;
}

/** A checkpoint that is on the disk. */
export interface SavedCheckpoint {
  readonly step: number;
  /** Its folder. */
  readonly path: string;
  readonly isBest: boolean;
  readonly bytes: number;
  /** The step of the buffer that belongs to it; undefined without one. */
  readonly bufferStep: number | undefined;
}

/** A failed save has been told on stderr; the checkpoints before it are as they were. */
export type SaveResult =
  | { readonly kind: 'saved'; readonly checkpoint: SavedCheckpoint }
  | { readonly kind: 'failed'; readonly error: Error }
  | { readonly kind: 'disabled' };

export interface LoadOptions {
  /** The checkpoint of this step. Default: the newest. */
  readonly step?: number;
  /** The one marked as best. */
  readonly best?: boolean;
  /** A checkpoint's folder anywhere. */
  readonly path?: string;
  /** When this run has none: the newest of the project's earlier runs. */
  readonly previousRuns?: boolean;
  /** TensorFlow.js, to get tensors back; without it they are `{data, shape, dtype}`. */
  readonly tf?: TensorMaker;
  /** Default: that of `init({checkpoints})`. */
  readonly serializer?: Serializer;
  /** False leaves the buffer on the disk. */
  readonly buffer?: boolean;
}

export interface LoadedCheckpoint {
  readonly state: unknown;
  readonly step: number;
  /** Undefined where none was saved. */
  readonly buffer: unknown;
  readonly bufferStep: number | undefined;
  /** Id of the run that saved it. */
  readonly run: string;
  readonly attempt: number;
  readonly savedAt: Date;
  /** Seconds of training up to it, over all attempts. */
  readonly wallTime: number;
  readonly path: string;
}

export function checkCheckpointOptions(options: unknown): void {
  checkOptions('init({checkpoints})', options, ['keep', 'bufferEvery', 'serializer']);
  const { keep, bufferEvery, serializer } = options as CheckpointOptions;
  for (const [key, value] of Object.entries({ keep, bufferEvery }))
    if (value !== undefined && !(isStep(value) && value >= 1))
      throw wrongType(`init({checkpoints: {${key}}})`, 'a whole number from 1 on', value);
  if (serializer !== undefined) checkSerializer('init({checkpoints: {serializer}})', serializer);
}

export function checkSave(call: string, options: unknown): asserts options is SaveOptions {
  checkOptions(call, options, ['state', 'step', 'isBest', 'buffer']);
  if (!('state' in (options as object)))
    throw new TypeError(`kymo: ${call}({state}) is missing: what a later start has to go on from`);
  const { step, isBest } = options as SaveOptions;
  if (step !== undefined && !isStep(step))
    throw wrongType(`${call}({step})`, 'a whole number from 0 on', step);
  if (isBest !== undefined && typeof isBest !== 'boolean')
    throw wrongType(`${call}({isBest})`, 'true or false', isBest);
}

export function checkLoad(options: unknown): asserts options is LoadOptions {
  const known = ['step', 'best', 'path', 'previousRuns', 'tf', 'serializer', 'buffer'];
  checkOptions('loadCheckpoint', options, known);
  const { step, best, path, previousRuns, tf, serializer, buffer } = options as LoadOptions;
  if (step !== undefined && !isStep(step))
    throw wrongType('loadCheckpoint({step})', 'a whole number from 0 on', step);
  if (path !== undefined && (typeof path !== 'string' || path === ''))
    throw wrongType('loadCheckpoint({path})', 'the path of a checkpoint’s folder', path);
  for (const [key, value] of Object.entries({ best, previousRuns, buffer }))
    if (value !== undefined && typeof value !== 'boolean')
      throw wrongType(`loadCheckpoint({${key}})`, 'true or false', value);
  if ([step, path, best || undefined].filter(given => given !== undefined).length > 1)
    throw new TypeError('kymo: loadCheckpoint takes one of {step}, {best} and {path}');
  if (tf !== undefined && typeof tf?.tensor !== 'function')
    throw new TypeError(
      `kymo: loadCheckpoint({tf}) must be TensorFlow.js (with tensor()), not ${kindOf(tf)}`,
    );
  if (serializer !== undefined) checkSerializer('loadCheckpoint({serializer})', serializer);
}
