// What a filter is: a pure step from a state and a sample to the next state and an output, number by number.
import { kindOf } from '../checks.ts';

/** One moment of a signal: a number, or an array of always the same length, each place filtered by itself. */
export type Sample =
  | number
  | readonly number[]
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array;

/** A sample as filters compute with it. */
export type Values = Float64Array;

/**
 * A filter has no state of its own: `apply` gets it and returns the next one, and changes nothing that it was given. States are plain
 * data of one filter; what is in them is its own business.
 */
export interface Filter<State = unknown> {
  /** Such as `average(3)`. */
  readonly name: string;
  /** The state before the first of samples like this one; its values do not matter. */
  init(sample: Sample): State;
  /** The next state and the filtered sample, a number for a number, else an array. */
  apply<S extends Sample>(state: State, sample: S): readonly [State, Filtered<S>];
}

/** Float32 stays float32 and a plain array one; integers have no halves and become float64. */
export type Filtered<S> = S extends number
  ? number
  : S extends Float32Array
    ? Float32Array
    : S extends readonly number[]
      ? number[]
      : Float64Array;

/** A filter on plain float64 arrays, which is all that one has to write. */
export interface Kernel<State> {
  readonly name: string;
  init(size: number): State;
  apply(state: State, values: Values): readonly [State, Values];
}

/** The state of a filter knows how long its samples are. */
export interface Sized<State> {
  readonly size: number;
  readonly inner: State;
}

export function filterOf<State>(
  kernel: Kernel<State>,
): Filter<Sized<State>> & { readonly kernel: Kernel<State> } {
  return {
    name: kernel.name,
    kernel,
    init: sample => {
      const { length } = toValues(kernel.name, sample);
      return { size: length, inner: kernel.init(length) };
    },
    apply: (state, sample) => {
      const values = toValues(kernel.name, sample);
      if (values.length !== state.size)
        throw new RangeError(
          `kymo: filter ${kernel.name}: a sample of ${values.length} values after one of ${state.size}; reset it, or use one filter for each`,
        );
      const [inner, output] = kernel.apply(state.inner, values);
      return [{ size: state.size, inner }, like(sample, output) as never];
    },
  };
}

function toValues(name: string, sample: Sample): Values {
  if (typeof sample === 'number') return Float64Array.of(sample);
  if (ArrayBuffer.isView(sample) && !(sample instanceof DataView))
    return Float64Array.from(sample as ArrayLike<number>);
  if (Array.isArray(sample)) {
    const odd = sample.findIndex(value => typeof value !== 'number');
    if (odd < 0) return Float64Array.from(sample as number[]);
    throw new TypeError(`kymo: filter ${name}: sample[${odd}] must be a number, not ${kindOf(sample[odd])}`);
  }
  throw new TypeError(
    `kymo: filter ${name}: a sample must be a number or an array of numbers, not ${kindOf(sample)}`,
  );
}

function like(sample: Sample, values: Values): number | number[] | Float32Array | Float64Array {
  if (typeof sample === 'number') return values[0]!;
  if (sample instanceof Float32Array) return Float32Array.from(values);
  return Array.isArray(sample) ? Array.from(values) : values;
}

/** A filter with its state: one per signal. */
export interface Stream {
  /** Filters the next sample. */
  <S extends Sample>(sample: S): Filtered<S>;
  readonly name: string;
  step<S extends Sample>(sample: S): Filtered<S>;
  /** Forgets what came before. */
  reset(): void;
}

/**
 * Keeps the state of a filter between samples.
 *
 * @example
 * const smooth = filters.stream(filters.expAverage(0.1));
 * for (const loss of losses) run.log({ loss, 'loss/smooth': smooth(loss) });
 */
export function stream<State>(filter: Filter<State>): Stream {
  let state: { readonly is: State } | undefined;
  const step = <S extends Sample>(sample: S): Filtered<S> => {
    const [next, output] = filter.apply((state ?? { is: filter.init(sample) }).is, sample);
    state = { is: next };
    return output;
  };
  const call = (<S extends Sample>(sample: S) => step(sample)) as Stream;
  Object.defineProperty(call, 'name', { value: filter.name });
  return Object.assign(call, {
    step,
    reset: () => {
      state = undefined;
    },
  });
}
