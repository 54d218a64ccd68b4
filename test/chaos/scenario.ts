// What a scenario is: a name, when it cannot run here, and a body that ends with the judge's verdict.
import { Arena, type ArenaOptions, type Tally } from './arena.ts';
import type { Random } from './random.ts';

export interface Scenario {
  readonly name: string;
  /** Why it cannot be tried on this machine; undefined when it can. */
  readonly unable?: () => string | undefined;
  readonly run: (random: Random, context: ScenarioContext) => Promise<Tally>;
}

export interface ScenarioContext {
  /** Called for a scenario that failed: where its files are and what happened, before they are removed. */
  readonly failed: (arena: Arena) => void;
  readonly keepFailures: boolean;
}

/** A scenario in an arena of its own, which is taken down whatever happens. */
export function scenario(
  name: string,
  body: (arena: Arena) => Promise<void>,
  options: ArenaOptions & { readonly unable?: () => string | undefined } = {},
): Scenario {
  const { unable, ...arenaOptions } = options;
  return {
    name,
    ...(unable === undefined ? {} : { unable }),
    run: async (random, context) => {
      const arena = new Arena(random, arenaOptions);
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
