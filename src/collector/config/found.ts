// A component as its section of the configuration has it, before everything is known to be right.
import type { Configured } from './config.ts';
import type { Place } from './problem.ts';
import type { ConfigNode } from './tree.ts';

/** Whether or not its settings are valid: references to it are. */
export interface Found<T> {
  readonly id: string;
  readonly type: T | undefined;
  readonly settings: unknown;
  readonly place: Place;
  /** Its settings as written. */
  readonly node: ConfigNode;
  readonly scopes: readonly string[] | undefined;
}

/** Where a pipeline names a component. */
export interface Reference<T> {
  readonly found: Found<T>;
  readonly place: Place;
}

export function configured<T>({ id, type, settings }: Found<T>): Configured<T> {
  if (type === undefined) throw new Error(`${id} has no type`);
  return { id, type, settings };
}
