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
  );
const files = new Map(
  tables
    .filter(cells => cells.length === 2 && /^`test\/.*`$/.test(cells[1]!))
    .map(([name, file]) => [name!, file!.replaceAll('`', '')]),
);
const features = tables.filter(
  cells => cells.length === 4 && cells[0] !== 'feature' && !/^-+$/.test(cells[0]!),
);

it('SEEDS.md has a row for each feature, and names tests that exist', () => {
  expect(files.size).toBeGreaterThan(20);
  expect(features.length).toBeGreaterThan(90);
  const texts = new Map(
    [...files].map(([name, file]) => [name, fs.readFileSync(file, 'utf8').replaceAll('\\', '')]),
  );
  const missing = features.flatMap(([feature, , test]) => {
    if (test === '') return [];
    const [name, ...title] = test!.split(': ');
    const text = texts.get(name!);
    return text?.includes(title.join(': ')) ? [] : [`${feature}: ${test}`];
  });
  expect(missing).toEqual([]);
});

it('a feature without a test is one for later, or none of ours', () => {
  const untested = features
    .filter(([, , test]) => test === '')
    .map(([feature, ours]) => `${feature}: ${ours}`);
  expect(untested.filter(row => !/later|OTLP|TensorBoard/.test(row))).toEqual([]);
});
