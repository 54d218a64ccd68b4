// `run.config` and `run.summary`: an object like any other to the caller, whose changes are recorded, coalesced, as events.
import { wrongType } from './checks.ts';
import { emptyMap, isMap, type Plain, type PlainMap, toPlain } from './plain.ts';

/** Anything JSON can say, and what comes close (dates, typed arrays, bigints, nested objects); see plain.ts for the rest. */
export type RecordedValue = unknown;

/**
 * A map whose every change is recorded. Reading and writing is by attribute or index; nested objects may be changed in
 * place. An entry cannot be deleted, since what was recorded cannot be taken back: set it to null.
 */
export type RecordedMap = {
  [key: string]: RecordedValue;
  [key: number]: RecordedValue;
} & {
  /** Sets several entries at once. Throws a TypeError when `entries` is no object. */
  update(entries: Readonly<Record<string, RecordedValue>>): void;
};

/** The changes of one map since they were last taken. */
export interface RecordedChanges {
  readonly map: RecordedMap;
  /** The changed top-level entries with all that is in them now; undefined when nothing changed. */
  take(): PlainMap | undefined;
}

/**
 * @param what how messages call it: `run.config`
 * @param changed called when there is something to take, once until it is taken
 */
export function recordedMap(what: string, changed: () => void): RecordedChanges {
  const root = emptyMap();
  const dirty = new Set<string>();
  const touch = (key: string): void => {
    dirty.add(key);
    if (dirty.size === 1) changed();
  };
  const assign = (key: string, value: unknown): void => {
    root[key] = toPlain(value) ?? null;
    touch(key);
  };
  const update = (entries: Readonly<Record<string, unknown>>): void => {
    if (typeof entries !== 'object' || entries === null || Array.isArray(entries))
      throw wrongType(`${what}.update(entries)`, 'an object', entries);
    for (const key of Object.keys(entries)) assign(key, entries[key]);
  };
  const map = new Proxy(root, {
    get: (target, key) => {
      if (typeof key === 'symbol') return undefined;
      if (key === 'update') return update;
      return nested(target[key], () => touch(key));
    },
    set: (_target, key, value) => {
      if (typeof key === 'symbol') return false;
      assign(key, value);
      return true;
    },
    deleteProperty: (_target, key) => refuseDelete(what, key),
    defineProperty: (_target, key, descriptor) => {
      if (typeof key === 'symbol' || !('value' in descriptor)) return false;
      assign(key, descriptor.value);
      return true;
    },
  });
  return {
    map: map as unknown as RecordedMap,
    take() {
      if (dirty.size === 0) return undefined;
      const changes = emptyMap();
      for (const key of dirty) changes[key] = root[key]!;
      dirty.clear();
      return changes;
    },
  };
}

/** Objects and arrays inside the map, watched so that a change in them counts as a change of the entry they stand in. */
function nested(value: Plain | undefined, touch: () => void): unknown {
  if (!isMap(value) && !Array.isArray(value)) return value;
  const target = value as unknown as Record<string, Plain>;
  return new Proxy(target, {
    get: (inner, key, receiver) => {
      const found: unknown = Reflect.get(inner, key, receiver);
      return typeof found === 'object' ? nested(found as Plain, touch) : found;
    },
    set: (inner, key, item) => {
      if (typeof key === 'symbol') return false;
      inner[key] = toPlain(item) ?? null;
      touch();
      return true;
    },
    defineProperty: (inner, key, descriptor) => {
      const done = Reflect.defineProperty(inner, key, descriptor);
      touch();
      return done;
    },
    // Inside an entry things may go: the entry is recorded whole.
    deleteProperty: (inner, key) => {
      touch();
      return Reflect.deleteProperty(inner, key);
    },
  });
}

function refuseDelete(what: string, key: string | symbol): never {
  throw new TypeError(
    `kymo: an entry of ${what} cannot be deleted; set ${what}[${JSON.stringify(String(key))}] = null`,
  );
}
