// One filter after the other.
import { kindOf } from '../checks.ts';
import { type Filter, filterOf, type Kernel, type Sized } from './filter.ts';

/** Each filter gets what the one before it put out; none at all leaves samples as they are. */
export function concat(filters: readonly Filter[]): Filter {
  if (!Array.isArray(filters))
    throw new TypeError(`kymo: filter concat(filters) must be a list, not ${kindOf(filters)}`);
  return filterOf(concatKernel(filters));
}

export function concatKernel(filters: readonly Filter[]): Kernel<readonly unknown[]> {
  for (const filter of filters)
    if (typeof filter?.apply !== 'function')
      throw new TypeError(
        `kymo: a filter must be one of filters.scale(…), filters.average(…) and the like, not ${kindOf(filter)}`,
      );
  return {
    name: `concat(${filters.map(filter => filter.name).join(', ')})`,
    init: size => {
      const sample = new Float64Array(size);
      return filters.map(filter => filter.init(sample) as Sized<unknown>);
    },
    apply: (states, values) => {
      let output = values;
      const next = filters.map((filter, i) => {
        const [state, filtered] = filter.apply(states[i], output);
        output = filtered;
        return state;
      });
      return [next, output];
    },
  };
}
