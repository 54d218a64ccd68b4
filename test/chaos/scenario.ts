// What a scenario is: a name, when it cannot run here, and a body that ends with the judge's verdict.
import { Arena, type ArenaOptions, type Tally } from './arena.ts';
import type { Planted } from './plant.ts';
import type { Random } from './random.ts';

export interface Scenario {
  readonly name: string;
  /** Why it cannot be tried on this machine; undefined when it can. */
  readonly unable?: () => string | undefined;
  /** Part of the short run. */
  readonly short: boolean;
  /** Minutes of it prove little more than seconds: only with `--minutes`, or when it is named. */
  readonly long: boolean;
  readonly run: (random: Random, context: ScenarioContext) => Promise<Tally>;
}

export interface ScenarioContext {
  /** Called for a scenario that failed: where its files are and what happened, before they are removed. */
  readonly failed: (arena: Arena) => void;
  readonly keepFailures: boolean;
  /** What is done to a sink before it is judged, so that the run must fail. */
  readonly plant?: Planted | undefined;
}

export type ScenarioOptions = ArenaOptions & {
  readonly unable?: () => string | undefined;
  readonly short?: boolean;
  readonly long?: boolean;
};

/** A scenario in an arena of its own, which is taken down whatever happens. */
export function scenario(
  name: string,
  body: (arena: Arena) => Promise<void>,
  options: ScenarioOptions = {},
): Scenario {
  const { unable, short = false, long = false, ...arenaOptions } = options;
  return {
    name,
    short,
    long,
    ...(unable === undefined ? {} : { unable }),
    run: async (random, context) => {
      const arena = new Arena(random, { ...arenaOptions, plant: context.plant });
      let ok = false;
      try {
        await arena.open();
        await body(arena);
        ok = true;
        return arena.tally;
      } finally {
        if (!ok) context.failed(arena);
        await arena.close({ keep: !ok && context.keepFailures });
      }
    },
  };
}
