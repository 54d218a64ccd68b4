// SEEDS.md names tests: each of them must be there, so that the page cannot promise what nothing shows.
import fs from 'node:fs';
import { expect, it } from '@jest/globals';

const page = fs.readFileSync('src/research/SEEDS.md', 'utf8');
const tables = page
  .split('\n')
  .filter(line => line.startsWith('|'))
  .map(line =>
    line
      .slice(1, -1)
      .split('|')
      .map(cell => cell.trim()),
  )
  .filter(cells => !/^-+$/.test(cells[0]!));
const files = new Map(
  tables
    .filter(cells => cells.length === 2 && cells[0] !== 'name')
    .map(([name, file]) => [name!, file!.replaceAll('`', '')]),
);
const features = tables.filter(cells => cells.length === 4 && cells[0] !== 'feature');
const theirTests = tables.filter(cells => cells.length === 3 && cells[0] !== 'theirs');

const QUOTED = /\s*(?:'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/.source;
/** The first argument of it(…), describe(…), describeWithPeers(…), onSmallDisk(…), and of the second call in it.each(…)(…); of a skipped one not. */
const TITLE = new RegExp(
  String.raw`(?:\b(?:it|test|describe\w*|onSmallDisk)(?:\.(?:only|concurrent))?|[)\x60])\(${QUOTED}`,
  'g',
);
/** In files that are no tests by themselves, but lists of cases for several of them. */
const CASE = new RegExp(`\\bname:${QUOTED}`, 'g');

/** What a file calls its tests and groups of tests. */
function titlesIn(file: string): string[] {
  const text = fs.readFileSync(file, 'utf8');
  return [...text.matchAll(file.endsWith('.test.ts') ? TITLE : CASE)].map(([, single, double, template]) =>
    (single ?? double ?? template)!.replaceAll('\\', ''),
  );
}

it('SEEDS.md has a row for each feature, and tables of nothing else', () => {
  expect(files.size).toBeGreaterThan(40);
  expect(features.length).toBeGreaterThan(130);
  expect(theirTests.length).toBeGreaterThan(10);
  expect(tables.filter(cells => cells.length < 2 || cells.length > 4)).toEqual([]);
});

it('the tests that it names are titles of tests in the files that it names', () => {
  const titles = new Map([...files].map(([name, file]) => [name, titlesIn(file)]));
  const missing = features.flatMap(([feature, , test]) => {
    if (test === '') return [];
    const [name, ...title] = test!.split(': ');
    const beginning = title.join(': ');
    const isThere = beginning !== '' && titles.get(name!)?.some(one => one.startsWith(beginning)) === true;
    return isThere ? [] : [`${feature}: ${test}`];
  });
  expect(missing).toEqual([]);
});

it('every file that it lists is used, and every path in it leads somewhere', () => {
  const used = new Set(features.map(([, , test]) => test!.split(': ')[0]!));
  expect([...files.keys()].filter(name => !used.has(name))).toEqual([]);
  const paths = [...page.matchAll(/`((?:test|src)\/[^`]*)`/g)].map(([, path]) => path!);
  expect(paths.length).toBeGreaterThan(files.size);
  expect(paths.filter(path => !fs.existsSync(path))).toEqual([]);
});

it('a feature without a test is not there yet, or not ours: what is missing, or why, is said', () => {
  const untested = features.filter(([, , test]) => test === '');
  expect(untested.filter(([, ours]) => !/^not (?:yet|ours): \S.{15,}/.test(ours!))).toEqual([]);
  expect(features.filter(([, ours, test]) => /^not yet/.test(ours!) && test !== '')).toEqual([]);
  const vague = features.filter(([, ours, , difference]) =>
    [ours!, difference!].some(cell => /\blater\b(?!: \S+ \S+)|\bTODO\b|\bsoon\b/i.test(cell)),
  );
  expect(vague).toEqual([]);
});

it('what is said of their tests is where ours are, or why there are none', () => {
  const empty = theirTests.filter(
    ([, ours, why]) => !/^`test\/[^`]+`(, `test\/[^`]+`)*$/.test(ours!) && !(ours === '' && why !== ''),
  );
  expect(empty).toEqual([]);
});
