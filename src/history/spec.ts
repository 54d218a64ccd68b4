// What a history keeps: its fields, how long each remembers, of what shape, type and initial value. Validated once, frozen, known to TypeScript.
import { kindOf, nearest, shown } from '../research/checks.ts';

/** What TensorFlow.js computes with on every backend. */
export type FieldDType = 'float32' | 'int32' | 'bool';
/** What a row holds before its first frame and after a reset. `none`: zeros before the first frame, and no reset touches it. */
export type FieldInit = 'zeros' | 'ones' | 'randn' | 'none';

export interface FieldConfig {
  /** How many frames it remembers: T. */
  readonly length: number;
  /** Of one frame of one row, without batch and time; `[]` for a number. */
  readonly shape: readonly number[];
  /** Default: float32. */
  readonly dtype?: FieldDType;
  /** Default: zeros. */
  readonly init?: FieldInit;
}

export interface HistoryFieldSpec<
  S extends readonly number[] = readonly number[],
  D extends FieldDType = FieldDType,
> {
  readonly length: number;
  readonly shape: S;
  readonly dtype: D;
  readonly init: FieldInit;
}

export type HistoryConfig = Readonly<Record<string, FieldConfig>>;
export type ShapeOf<F extends FieldConfig> = F['shape'];
export type DTypeOf<F extends FieldConfig> = F extends { readonly dtype: infer D extends FieldDType }
  ? D
  : F extends { readonly dtype?: FieldDType }
    ? 'dtype' extends keyof F
      ? FieldDType
      : 'float32'
    : 'float32';
export type FieldSpecs<C extends HistoryConfig> = {
  readonly [K in keyof C]: HistoryFieldSpec<ShapeOf<C[K]>, DTypeOf<C[K]>>;
};

/** More fields than anybody writes down are a slip. */
const MAX_FIELDS = 1_000;
const MAX_NAME_LENGTH = 200;
/** Frames are counted up to 2^24 (COUNT_LIMIT), and a window must be a small part of that. */
const MAX_LENGTH = 2 ** 20;
/** One frame of one row; elements are counted in int32 too. */
const MAX_ROW_ELEMENTS = 2 ** 30;
const DTYPES: readonly FieldDType[] = ['float32', 'int32', 'bool'];
const INITS: readonly FieldInit[] = ['zeros', 'ones', 'randn', 'none'];
const KEYS = ['length', 'shape', 'dtype', 'init'] as const;
/** What to take instead of types that no backend computes with. */
const DTYPE_HINTS: Readonly<Record<string, string>> = {
  float16: 'use float32',
  bfloat16: 'use float32',
  float64: 'TensorFlow.js has no doubles: use float32',
  uint8: 'use int32, or bool for flags',
  int8: 'use int32',
  int16: 'use int32',
  uint16: 'use int32',
  uint32: 'use int32',
  int64: 'TensorFlow.js has no 64-bit integers: use int32',
  uint64: 'TensorFlow.js has no 64-bit integers: use int32',
  complex64: 'keep real and imaginary part as two fields',
  string: 'keep an index as int32',
  boolean: 'it is called bool',
  float: 'it is called float32',
  int: 'it is called int32',
};

export class HistorySpec<C extends HistoryConfig = HistoryConfig> {
  /** By name, in the order of the configuration; every default filled in. */
  readonly fields: FieldSpecs<C>;

  private constructor(fields: FieldSpecs<C>) {
    this.fields = fields;
    Object.freeze(this);
  }

  /**
   * A spec from plain objects (or from fields of another spec).
   *
   * Throws a TypeError for what has the wrong type or an unknown key, a RangeError for a value that cannot be.
   *
   * @example
   * HistorySpec.fromConfig({ states: { length: 100, shape: [64, 64, 2] }, rewards: { length: 50, shape: [], init: 'ones' } });
   */
  static fromConfig<const C extends HistoryConfig>(config: C): HistorySpec<C> {
    if (!isPlainObject(config))
      throw new TypeError(
        `kymo: HistorySpec.fromConfig(config) must be an object of fields such as {states: {length: 100, shape: [3]}}, not ${kindOf(config)}`,
      );
    const names = Object.keys(config);
    if (names.length > MAX_FIELDS)
      throw new RangeError(
        `kymo: HistorySpec.fromConfig: ${names.length} fields are more than ${MAX_FIELDS}`,
      );
    const fields: Record<string, HistoryFieldSpec> = Object.create(null);
    for (const name of names) {
      if (name === '' || name.length > MAX_NAME_LENGTH)
        throw new RangeError(
          `kymo: HistorySpec.fromConfig: the name ${shown(name)} must have 1 to ${MAX_NAME_LENGTH} characters`,
        );
      fields[name] = fieldSpec(`field ${shown(name)}`, config[name]);
    }
    return new HistorySpec(Object.freeze(fields) as FieldSpecs<C>);
  }
}

/** One field, checked again however it was made. @param subject what messages call it */
export function fieldSpec(subject: string, config: unknown): HistoryFieldSpec {
  if (!isPlainObject(config))
    throw new TypeError(
      `kymo: ${subject} must be an object such as {length: 100, shape: [64, 64, 2]}, not ${kindOf(config)}`,
    );
  for (const key of Object.keys(config)) {
    if ((KEYS as readonly string[]).includes(key)) continue;
    const near = nearest(key, KEYS);
    const hint = near === undefined ? `known are ${KEYS.join(', ')}` : `did you mean ${near}?`;
    throw new TypeError(`kymo: ${subject} has no option ${shown(key)} (${hint})`);
  }
  const { length, shape, dtype = 'float32', init = 'zeros' } = config as Partial<Record<string, unknown>>;
  if (length === undefined || shape === undefined) {
    const missing = length === undefined ? 'length' : 'shape';
    throw new RangeError(`kymo: ${subject} must define length and shape; ${missing} is missing`);
  }
  return Object.freeze({
    length: checkedLength(subject, length),
    shape: checkedShape(subject, shape),
    ...checkedKind(subject, dtype, init),
  });
}

/** Elements of one frame of one row. */
export function rowElements(spec: HistoryFieldSpec): number {
  return spec.shape.reduce((product, side) => product * side, 1);
}

function checkedLength(subject: string, length: unknown): number {
  if (typeof length !== 'number')
    throw new TypeError(`kymo: ${subject}: length must be a whole number from 1 on, not ${kindOf(length)}`);
  if (!Number.isInteger(length) || length < 1 || length > MAX_LENGTH)
    throw new RangeError(
      `kymo: ${subject}: length must be a whole number from 1 to ${MAX_LENGTH}, not ${length}`,
    );
  return length;
}

function checkedShape(subject: string, shape: unknown): readonly number[] {
  if (!Array.isArray(shape))
    throw new TypeError(`kymo: ${subject}: shape must be an array such as [64, 64, 2], not ${kindOf(shape)}`);
  for (const side of shape as unknown[]) {
    if (typeof side !== 'number')
      throw new TypeError(`kymo: ${subject}: sides of shape must be whole numbers, not ${kindOf(side)}`);
    if (!Number.isInteger(side) || side < 0)
      throw new RangeError(
        `kymo: ${subject}: sides of shape must be whole numbers from 0 on, not ${side} (in [${shape.join(', ')}])`,
      );
  }
  const elements = (shape as number[]).reduce((product, side) => product * side, 1);
  if (elements > MAX_ROW_ELEMENTS)
    throw new RangeError(
      `kymo: ${subject}: shape [${shape.join(', ')}] has ${elements} elements, more than ${MAX_ROW_ELEMENTS}`,
    );
  return Object.freeze([...(shape as number[])]);
}

function checkedKind(
  subject: string,
  dtype: unknown,
  init: unknown,
): { readonly dtype: FieldDType; readonly init: FieldInit } {
  if (typeof dtype !== 'string')
    throw new TypeError(`kymo: ${subject}: dtype must be one of ${DTYPES.join(', ')}, not ${kindOf(dtype)}`);
  if (!DTYPES.includes(dtype as FieldDType)) {
    const hint = Object.hasOwn(DTYPE_HINTS, dtype) ? ` (${DTYPE_HINTS[dtype]})` : nearestHint(dtype, DTYPES);
    throw new TypeError(
      `kymo: ${subject}: dtype must be one of ${DTYPES.join(', ')}, not ${shown(dtype)}${hint}`,
    );
  }
  if (!INITS.includes(init as FieldInit)) {
    const got = typeof init === 'string' ? shown(init) + nearestHint(init, INITS) : kindOf(init);
    throw new RangeError(`kymo: ${subject}: init must be one of ${INITS.join(', ')}, not ${got}`);
  }
  if (init === 'randn' && dtype !== 'float32')
    throw new TypeError(`kymo: ${subject}: init randn makes float32 values, its dtype is ${dtype}`);
  return { dtype: dtype as FieldDType, init: init as FieldInit };
}

function nearestHint(text: string, candidates: readonly string[]): string {
  const near = nearest(text, candidates);
  return near === undefined ? '' : ` (did you mean ${near}?)`;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}
