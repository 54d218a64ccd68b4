// Filters from a configuration file: a list of `{type, …}`.
import { kindOf, nearest, shown } from '../checks.ts';
import { concat } from './concat.ts';
import type { Filter } from './filter.ts';
import { rangeReject, stdReject } from './reject.ts';
import { minMax, quantization, scale } from './stateless.ts';
import { average, expAverage, median } from './windows.ts';

/** One filter in a configuration: its type, and its parameters beside it or under `parameters`. */
export type FilterConfiguration = Readonly<Record<string, unknown>> & { readonly type: string };

type Make = (parameters: Readonly<Record<string, unknown>>) => Filter;

const MAKERS: Readonly<Record<string, { readonly parameters: readonly string[]; readonly make: Make }>> = {
  scale: { parameters: ['factor'], make: p => scale(p.factor as number) },
  minMax: { parameters: ['min', 'max'], make: p => minMax(p.min as number, p.max as number) },
  average: { parameters: ['window'], make: p => average(p.window as number) },
  median: { parameters: ['window'], make: p => median(p.window as number) },
  expAverage: { parameters: ['alpha'], make: p => expAverage(p.alpha as number) },
  quantization: { parameters: ['min', 'max', 'step'], make: p => quantization(p) },
  rangeReject: {
    parameters: ['min', 'max', 'fallback'],
    make: p => rangeReject({ min: p.min as number, max: p.max as number, fallback: fallbackOf(p.fallback) }),
  },
  stdReject: {
    parameters: ['factor', 'window', 'fallback'],
    make: p =>
      stdReject({ factor: p.factor as number, window: p.window as number, fallback: fallbackOf(p.fallback) }),
  },
};

/** The types that a configuration may name. */
export const available: readonly string[] = Object.keys(MAKERS);

/** goggles' names of types and parameters, so that its configurations can be used as they are. */
const GOGGLES: Readonly<Record<string, string>> = {
  min_val: 'min',
  max_val: 'max',
  min_value: 'min',
  max_value: 'max',
  step_size: 'step',
  window_size: 'window',
  std_factor: 'factor',
  scale: 'factor',
  fallback_filter: 'fallback',
};

/**
 * The filters of a configuration, one after the other: `[{type: 'minMax', min: -1, max: 1}, {type: 'average', window: 3}]`. Types and
 * parameters may have goggles' names (`{type: 'AverageFilter', parameters: {window_size: 3}}`). Throws a TypeError or RangeError that
 * says which entry is wrong.
 */
export function fromConfiguration(list: readonly FilterConfiguration[]): Filter {
  if (!Array.isArray(list))
    throw new TypeError(`kymo: filters.fromConfiguration(list) must be a list, not ${kindOf(list)}`);
  return concat(list.map((entry: FilterConfiguration, i) => fromEntry(entry, i)));
}

function fromEntry(entry: FilterConfiguration, at: number): Filter {
  if (typeof entry !== 'object' || entry === null)
    throw new TypeError(`kymo: filters.fromConfiguration: [${at}] must be {type: …}, not ${kindOf(entry)}`);
  const { type, parameters, ...beside } = entry;
  const name = typeof type === 'string' ? ownName(type) : '';
  if (!Object.hasOwn(MAKERS, name)) {
    const near = typeof type === 'string' ? nearest(type, available) : undefined;
    const hint = near === undefined ? `known are ${available.join(', ')}` : `did you mean ${near}?`;
    throw new TypeError(
      `kymo: filters.fromConfiguration: [${at}] has no filter of type ${kindOf(type)} (${hint})`,
    );
  }
  const maker = MAKERS[name]!;
  const given: Record<string, unknown> = {};
  for (const [key, value] of Object.entries({ ...beside, ...(parameters as object | undefined) })) {
    const parameter = maker.parameters.includes(key) ? key : GOGGLES[key];
    if (parameter === undefined || !maker.parameters.includes(parameter))
      throw new TypeError(
        `kymo: filters.fromConfiguration: [${at}] ${name} has no parameter ${shown(key)} (known are ${maker.parameters.join(', ')})`,
      );
    given[parameter] = value;
  }
  return maker.make(given);
}

/** `AverageFilter` is `average`. */
function ownName(type: string): string {
  const bare = type.endsWith('Filter') ? type.slice(0, -'Filter'.length) : type;
  return bare.slice(0, 1).toLowerCase() + bare.slice(1);
}

function fallbackOf(value: unknown): Filter {
  return value === undefined ? concat([]) : fromConfiguration(value as readonly FilterConfiguration[]);
}
