// A configuration as a tree whose every node knows where it was written; what sources are parsed to, merged and expanded as.
import type { Place } from './problem.ts';

export type ConfigNode = MapNode | ListNode | ScalarNode;
export interface MapNode {
  readonly kind: 'map';
  readonly place: Place;
  readonly entries: ReadonlyMap<string, Entry>;
  /** The text a reference stood for, where a whole value came from one. A string setting takes it. */
  readonly original?: string;
}
export interface Entry {
  readonly keyPlace: Place;
  readonly value: ConfigNode;
}
export interface ListNode {
  readonly kind: 'list';
  readonly place: Place;
  readonly items: readonly ConfigNode[];
  readonly original?: string;
}
export interface ScalarNode {
  readonly kind: 'scalar';
  readonly place: Place;
  readonly value: string | number | bigint | boolean | null;
  readonly original?: string;
  /** Its reference could not be followed, which has been told: nothing more is said about it. */
  readonly unreadable?: true;
}

export type Path = readonly (string | number)[];

export function emptyMap(place: Place): MapNode {
  return { kind: 'map', place, entries: new Map() };
}

/** The node at a path, or undefined. */
export function nodeAt(root: ConfigNode, path: Path): ConfigNode | undefined {
  let node: ConfigNode | undefined = root;
  for (const part of path) {
    if (node?.kind === 'map') node = node.entries.get(String(part))?.value;
    else if (node?.kind === 'list') node = node.items[Number(part)];
    else return undefined;
  }
  return node;
}

/**
 * Where to point for a path: the node, or where it is missing the key of its nearest ancestor that is there.
 * @param rootPlace where the key of `root` itself is written
 */
export function placeAt(root: ConfigNode, path: Path, rootPlace: Place): Place {
  const node = nodeAt(root, path);
  if (node !== undefined && path.length > 0) return node.place;
  for (let length = path.length - 1; length > 0; length--) {
    const above = path.slice(0, length);
    if (nodeAt(root, above) !== undefined) return keyPlaceAt(root, above);
  }
  return rootPlace;
}

/** Where the key of the last part of a path is written. */
export function keyPlaceAt(root: ConfigNode, path: Path): Place {
  const parent = nodeAt(root, path.slice(0, -1));
  const last = path.at(-1);
  if (parent?.kind === 'map' && last !== undefined) {
    const entry = parent.entries.get(String(last));
    if (entry !== undefined) return entry.keyPlace;
  }
  return nodeAt(root, path)?.place ?? root.place;
}

/**
 * Lays one configuration over another: maps are merged key by key, everything else is replaced, also by an explicit null.
 * Every node keeps its own place.
 */
export function merge(below: ConfigNode, above: ConfigNode): ConfigNode {
  if (below.kind !== 'map' || above.kind !== 'map') return above;
  const entries = new Map(below.entries);
  for (const [key, entry] of above.entries) {
    const old = entries.get(key);
    const both = old?.value.kind === 'map' && entry.value.kind === 'map';
    entries.set(key, both ? { ...old, value: merge(old.value, entry.value) } : entry);
  }
  return { kind: 'map', place: below.entries.size > 0 ? below.place : above.place, entries };
}

/** The tree as plain values. Maps become objects without a prototype. */
export function toPlain(node: ConfigNode): unknown {
  if (node.kind === 'scalar') return node.value;
  if (node.kind === 'list') return node.items.map(toPlain);
  const plain: Record<string, unknown> = Object.create(null);
  for (const [key, { value }] of node.entries) plain[key] = toPlain(value);
  return plain;
}

/** What people call the kind of value a node holds. */
export function describeKind(node: ConfigNode): string {
  if (node.kind !== 'scalar') return node.kind;
  if (node.value === null) return 'null';
  const kind = typeof node.value;
  return kind === 'bigint' ? 'number' : kind;
}
