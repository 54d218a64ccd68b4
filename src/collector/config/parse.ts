// Reads one YAML text into a tree with places, within limits of size, depth and node count.
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  Scalar,
  type YAMLMap,
} from 'yaml';
import type { Place, Problem } from './problem.ts';
import { type ConfigNode, type Entry, emptyMap, type MapNode, merge } from './tree.ts';

/** A configuration is written by people; a larger one is a mistake or an attack. */
export const MAX_SOURCE_BYTES = 4 * 1024 * 1024;
export const MAX_DEPTH = 64;
/** Counted with aliases followed, which stops `*a*a*a…` from growing without bound. */
export const MAX_NODES = 100_000;
const KEY_DELIMITER = '::';

export interface Parsed {
  /** A null for an empty text; undefined when the text could not be read. */
  readonly root: ConfigNode | undefined;
  readonly problems: readonly Problem[];
}

/**
 * Parses YAML 1.2 with the few 1.1 habits that upstream's parser keeps (octal `0123`, merge keys). A key `a::b` nests.
 * @param at where to say everything stands, for texts that have no lines of their own (`--set`, `${env:…}`)
 */
export function parseSource(text: string, source: string, at?: Place): Parsed {
  const problems: Problem[] = [];
  const lines = new LineCounter();
  const placeOf = (offset: number): Place => {
    if (at !== undefined) return at;
    const { line, col } = lines.linePos(offset);
    return { source, line, column: col };
  };
  const complain = (place: Place, message: string) => problems.push({ place, path: '', message });

  if (Buffer.byteLength(text) > MAX_SOURCE_BYTES) {
    complain(at ?? { source, line: 0, column: 0 }, `is larger than ${MAX_SOURCE_BYTES} bytes`);
    return { root: undefined, problems };
  }
  let document: Document.Parsed;
  try {
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, intAsBigInt: false });
  } catch (error) {
    // The parser recurses: only nesting far beyond MAX_DEPTH gets here.
    const place = at ?? { source, line: 0, column: 0 };
    if (error instanceof RangeError) return { root: undefined, problems: [tooDeep(place)] };
    return { root: undefined, problems: [{ place, path: '', message: 'is not YAML' }] };
  }
  for (const error of document.errors) {
    if (error.message.startsWith('Maximum call stack')) {
      return { root: undefined, problems: [tooDeep(placeOf(error.pos[0]))] };
    }
    if (error.code === 'DUPLICATE_KEY') {
      // The parser points at where it was before the key.
      const key = /^\s*("[^"\n]*"|'[^'\n]*'|[^\s:,{}]*)/.exec(text.slice(error.pos[0])) ?? ['', ''];
      const start = error.pos[0] + key[0]!.length - key[1]!.length;
      complain(placeOf(start), `key ${key[1]} is written twice`);
      continue;
    }
    // One slip often makes several errors at one place: the first says it.
    const place = placeOf(error.pos[0]);
    const told = problems.some(one => one.place?.line === place.line && one.place.column === place.column);
    if (!told) complain(place, `not valid YAML: ${errorText(error.code, error.message)}`);
  }
  if (problems.length > 0) return { root: undefined, problems };

  let nodes = 0;
  let stopped = false;
  const stop = (place: Place, message: string): ConfigNode => {
    if (!stopped) complain(place, message);
    stopped = true;
    return { kind: 'scalar', place, value: null };
  };

  const convert = (node: unknown, depth: number, fallback: Place): ConfigNode => {
    if (stopped) return { kind: 'scalar', place: fallback, value: null };
    const range = (node as { range?: [number, number, number] | null } | null)?.range;
    const place = range ? placeOf(range[0]) : fallback;
    if (++nodes > MAX_NODES)
      return stop(place, `has more than ${MAX_NODES} values once aliases are followed`);
    if (depth > MAX_DEPTH) return stop(place, tooDeep(place).message);
    if (isAlias(node)) {
      const target = node.resolve(document);
      if (target === undefined) return stop(place, `alias "*${node.source}" has no anchor`);
      return convert(target, depth + 1, place);
    }
    if (isMap(node)) return convertMap(node, depth, place);
    if (isSeq(node)) {
      return { kind: 'list', place, items: node.items.map(item => convert(item, depth + 1, place)) };
    }
    if (isScalar(node)) return { kind: 'scalar', place, value: scalarValue(node) };
    return { kind: 'scalar', place, value: null };
  };

  const convertMap = (node: YAMLMap, depth: number, place: Place): MapNode => {
    let map: ConfigNode = emptyMap(place);
    let inherited: ConfigNode = emptyMap(place);
    for (const pair of node.items as Pair[]) {
      if (isMergeKey(pair)) {
        // Earlier ones win among merged maps, own keys win over all of them.
        const value = convert(pair.value, depth + 1, place);
        const maps = value.kind === 'list' ? value.items : [value];
        for (const one of maps) inherited = merge(one, inherited);
        continue;
      }
      const key = keyText(pair.key);
      const range = (pair.key as { range?: [number, number, number] | null } | null)?.range;
      const keyPlace = range ? placeOf(range[0]) : place;
      if (key === undefined) {
        complain(keyPlace, 'a key must be a plain text');
        continue;
      }
      if (FORBIDDEN_KEYS.has(key)) {
        complain(keyPlace, `key "${key}" is not allowed`);
        continue;
      }
      const value = convert(pair.value, depth + 1, keyPlace);
      map = merge(map, nested(key.split(KEY_DELIMITER), value, keyPlace));
    }
    const result = inherited.kind === 'map' && inherited.entries.size > 0 ? merge(inherited, map) : map;
    return result.kind === 'map' ? { ...result, place } : emptyMap(place);
  };

  const origin = at ?? { source, line: 1, column: 1 };
  const root = convert(document.contents, 0, origin);
  return { root: problems.length > 0 ? undefined : root, problems };
}

function tooDeep(place: Place): Problem {
  return { place, path: '', message: `is nested deeper than ${MAX_DEPTH}` };
}

/** `__proto__` as a setting is never meant well. */
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

function nested(keys: readonly string[], value: ConfigNode, keyPlace: Place): MapNode {
  const [first = '', ...rest] = keys;
  const entry: Entry = { keyPlace, value: rest.length === 0 ? value : nested(rest, value, keyPlace) };
  return { kind: 'map', place: keyPlace, entries: new Map([[first, entry]]) };
}

function isMergeKey(pair: Pair): boolean {
  return isScalar(pair.key) && pair.key.value === '<<' && pair.key.type === Scalar.PLAIN;
}

/** A key as written: `1` and `true` are the keys "1" and "true". */
function keyText(key: unknown): string | undefined {
  if (!isScalar(key)) return undefined;
  if (typeof key.value === 'string') return key.value;
  return key.value === null ? undefined : (key.source ?? String(key.value));
}

function scalarValue(node: Scalar): string | number | bigint | boolean | null {
  if (node.type === Scalar.PLAIN && node.tag === undefined && /^[-+]?0[0-7]+$/.test(node.source ?? '')) {
    const digits = node.source!.replace(/^[-+]/, '');
    return Number.parseInt(digits, 8) * (node.source!.startsWith('-') ? -1 : 1);
  }
  const value = node.value;
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'bigint':
    case 'boolean':
      return value;
    default:
      return value === null ? null : String(node.source ?? '');
  }
}

/** Texts of our own where the parser's would help nobody, by its error code. */
const ERROR_TEXTS: Readonly<Record<string, string>> = {
  MISSING_CHAR: 'a quote or bracket is not closed',
  MULTIPLE_DOCS: 'a source holds one document; remove the line "---"',
};

/** The parser's message may quote what stands there, which may be a secret; its code says enough then. */
function errorText(code: string, message: string): string {
  const own = ERROR_TEXTS[code];
  if (own !== undefined) return own;
  const plain = message.split('\n')[0] ?? '';
  return /["'`]|: /.test(plain) ? code.toLowerCase().replaceAll('_', ' ') : plain.replace(/\.$/, '');
}
