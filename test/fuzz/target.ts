// What is fuzzed: a piece of code that must hold a law for any bytes at all.

export interface Target {
  readonly name: string;
  /** Throws, of whatever kind, when the law does not hold. What the code under test may throw is caught inside. */
  run(bytes: Uint8Array): void | Promise<void>;
  /** Inputs to start from, beside the corpus folder. */
  seeds(): readonly Uint8Array[];
  /** Pieces that random bytes would not hit upon. */
  readonly words: readonly (string | Uint8Array)[];
  /** Longer inputs are not tried: they are slow, and what they find a shorter one finds too. */
  readonly maxBytes: number;
  /** Files whose branches count as new ground. */
  readonly covers: RegExp;
}

/** Thrown by a target: a law that does not hold. */
export class BrokenLaw extends Error {}

export function law(holds: boolean, what: string): asserts holds {
  if (!holds) throw new BrokenLaw(what);
}
