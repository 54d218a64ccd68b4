import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { loadTree } from '../../../src/collector/config/load.ts';
import { parseSource } from '../../../src/collector/config/parse.ts';
import { formatPlace } from '../../../src/collector/config/problem.ts';
import { type ConfigNode, merge, nodeAt, type Path, toPlain } from '../../../src/collector/config/tree.ts';

const key = fc.constantFrom('a', 'b', 'c', 'd/x');
const { tree: plainTree } = fc.letrec<{ tree: unknown; leaf: unknown }>(tie => ({
  leaf: fc.oneof(
    fc.integer(),
    fc.string(),
    fc.boolean(),
    fc.constant(null),
    fc.array(fc.integer(), { maxLength: 3 }),
  ),
  tree: fc.oneof({ maxDepth: 4 }, tie('leaf'), fc.dictionary(key, tie('tree'), { maxKeys: 4 })),
}));
const map = fc.dictionary(key, plainTree, { maxKeys: 4 });

const node = (value: unknown, source = 'x') => parseSource(JSON.stringify(value), source).root!;
const plain = (tree: ConfigNode) => JSON.parse(JSON.stringify(toPlain(tree)));

function leaves(tree: ConfigNode, path: Path = []): [Path, ConfigNode][] {
  if (tree.kind !== 'map' || tree.entries.size === 0) return [[path, tree]];
  return [...tree.entries].flatMap(([name, { value }]) => leaves(value, [...path, name]));
}

describe('merging', () => {
  it('with an empty map changes nothing, and with itself neither', () => {
    fc.assert(
      fc.property(map, value => {
        expect(plain(merge(node(value), node({})))).toEqual(value);
        expect(plain(merge(node({}), node(value)))).toEqual(value);
        expect(plain(merge(node(value), node(value)))).toEqual(value);
      }),
    );
  });

  it('keeps every leaf of the upper one, with its own place', () => {
    fc.assert(
      fc.property(map, map, (below, above) => {
        const merged = merge(node(below, 'below'), node(above, 'above'));
        for (const [path, leaf] of leaves(node(above, 'above'))) {
          if (leaf.kind === 'map') continue;
          expect(nodeAt(merged, path)).toEqual(leaf);
        }
      }),
    );
  });

  it('keeps a leaf of the lower one unless the upper one says something at or above it', () => {
    fc.assert(
      fc.property(map, map, (below, above) => {
        const upper = node(above, 'above');
        const merged = merge(node(below, 'below'), upper);
        for (const [path, leaf] of leaves(node(below, 'below'))) {
          if (leaf.kind === 'map') continue;
          const overruled = path.some((_, index) => {
            const over = nodeAt(upper, path.slice(0, index + 1));
            return over !== undefined && (over.kind !== 'map' || index === path.length - 1);
          });
          if (!overruled) expect(nodeAt(merged, path)).toEqual(leaf);
        }
      }),
    );
  });

  it('changes neither of its inputs', () => {
    fc.assert(
      fc.property(map, map, (below, above) => {
        const [lower, upper] = [node(below), node(above)];
        merge(lower, upper);
        expect([plain(lower), plain(upper)]).toEqual([below, above]);
      }),
    );
  });
});

describe('sources', () => {
  const load = (sources: string[], set: string[] = []) =>
    loadTree({ sources, set, env: { S: 'a: {b: 9}' } }).tree!;

  it('are laid over each other left to right, --set last; lists and null replace', () => {
    const tree = load(
      ['yaml:{a: {b: 1, c: [1, 2], d: {e: 1}}}', 'yaml:{a: {c: [3], d: }}', 'env:S'],
      ['a.f.g=x', 'a::h=[1]'],
    );
    expect(toPlain(tree)).toEqual({ a: { b: 9, c: [3], d: null, f: { g: 'x' }, h: [1] } });
    expect(formatPlace(nodeAt(tree, ['a', 'b'])!.place)).toBe('env:S:1:8');
    expect(formatPlace(nodeAt(tree, ['a', 'f', 'g'])!.place)).toBe('--set a.f.g');
    expect(formatPlace(nodeAt(tree, ['a', 'c'])!.place)).toBe('--config yaml (2)');
  });

  it('nest keys with :: and follow merge keys and aliases', () => {
    const tree = load([
      'yaml:{x::y::z: 1, x::y::w: 2, base: &b {k: 1, l: 2}, own: {<<: *b, l: 3}, same: *b}',
    ]);
    expect(toPlain(tree)).toEqual({
      x: { y: { z: 1, w: 2 } },
      base: { k: 1, l: 2 },
      own: { k: 1, l: 3 },
      same: { k: 1, l: 2 },
    });
  });

  it('end at limits of depth and size instead of at the stack', () => {
    const said = (text: string) => parseSource(text, 'x').problems.map(problem => problem.message);
    expect(said('['.repeat(200_000))).toEqual(['is nested deeper than 64']);
    expect(said(`${'{a: '.repeat(70)}1${'}'.repeat(70)}`)).toEqual(['is nested deeper than 64']);
    expect(said('&a [*a]')).toEqual(['is nested deeper than 64']);
    expect(said(`# ${'x'.repeat(5_000_000)}`)).toEqual(['is larger than 4194304 bytes']);
  });
});

it('never throws, whatever the text', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string({
          unit: fc.constantFrom(
            '{',
            '}',
            '[',
            ']',
            ':',
            ' ',
            '\n',
            '&a',
            '*a',
            '-',
            '$',
            '"',
            "'",
            'a',
            '|',
            '!',
          ),
        }),
      ),
      text => {
        parseSource(text, 'x');
        loadTree({ sources: [`yaml:${text}`], env: {} });
      },
    ),
    { numRuns: 500 },
  );
});
