// Makes the maps that decoded attributes live in: no inherited names, so any key a sender invents is only a key.
import type { Attributes } from './model.ts';

/** An empty map without a prototype: `__proto__`, `constructor` and `toString` are keys like any other. */
export function newAttributes(): Attributes {
  return new Bare();
}

/**
 * Its instances inherit from an object that inherits from nothing. They keep V8's fast in-object properties, which
 * `Object.create(null)` gives up (that makes a hash table at once).
 */
function bare(): void {}
bare.prototype = Object.create(null);
const Bare = bare as unknown as new () => Attributes;
