import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  createRunFolders,
  isCaseSensitive,
  parseRunId,
  runFolder,
} from '../../../src/collector/runs/folder.ts';
import type { RunId } from '../../../src/collector/runs/run.ts';
import { MAX_FOLDER_BYTES } from '../../../src/semconv/run-folder.ts';

const folderOf = createRunFolders({ caseSensitive: true });
const foldedOf = createRunFolders({ caseSensitive: false });
const id = (text: string): RunId => parseRunId(text)!;

/** Ids as hostile as they come: any UTF-16 units, path parts, near misses of escapes and hashes, long ones. */
const anyId = fc
  .oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc
      .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 12 })
      .map(units => String.fromCharCode(...units)),
    fc
      .array(
        fc.constantFrom(
          '.',
          '..',
          '/',
          '\\',
          '~',
          '~002e',
          '~x',
          'CON',
          'nul',
          'Run',
          'run',
          '-',
          ' ',
          'é',
          'e\u0301',
        ),
        { maxLength: 6 },
      )
      .map(parts => parts.join('')),
    fc.string({ unit: fc.constantFrom('a', 'A', 'b'), minLength: 190, maxLength: 1024 }),
  )
  .filter(text => parseRunId(text) !== undefined) as fc.Arbitrary<RunId>;

describe('runFolder', () => {
  it('keeps an ordinary id as it is', () => {
    expect(folderOf(id('cartpole_20261121_143022_k3f9'))).toBe('cartpole_20261121_143022_k3f9');
    expect(folderOf(id('ResNet50-lr0.1'))).toBe('ResNet50-lr0.1');
  });

  it.each([
    ['.', '~002e'],
    ['..', '~002e~002e'],
    ['../../etc/passwd', '~002e.~002f..~002fetc~002fpasswd'],
    ['-rf', '~002drf'],
    ['a.', 'a~002e'],
    ['a ', 'a~0020'],
    ['a/b', 'a~002fb'],
    ['~', '~007e'],
    ['con', '~0063on'],
    ['NUL.txt', '~004eUL.txt'],
    ['COM1', '~0043OM1'],
    ['console', 'console'],
    ['\u0000', '~0000'],
    ['é', '~00e9'],
    ['😀', '~d83d~de00'],
    ['__proto__', '__proto__'],
  ])('escapes %j as %j', (from, to) => {
    expect(folderOf(id(from))).toBe(to);
  });

  it('cuts what is too long, without cutting an escape, and ends it in a hash', () => {
    const long = folderOf(id('é'.repeat(1024)));
    expect(Buffer.byteLength(long)).toBeLessThanOrEqual(MAX_FOLDER_BYTES);
    expect(long).toMatch(/^(~00e9)+~x[0-9a-f]{32}$/);
    expect(folderOf(id('a'.repeat(200)))).toBe('a'.repeat(200));
    expect(folderOf(id('a'.repeat(201)))).toMatch(/^a{166}~x[0-9a-f]{32}$/);
  });

  it('never names anything but a folder directly below the root', () => {
    fc.assert(
      fc.property(anyId, fc.boolean(), (one, caseSensitive) => {
        const folder = runFolder(one, { caseSensitive });
        expect(folder).toMatch(/^[A-Za-z0-9._~-]{1,200}$/);
        expect(folder).not.toMatch(/^[.-]|\.$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i);
        expect(resolve('/runs', folder)).toBe(`/runs/${folder}`);
      }),
      { numRuns: 500 },
    );
  });

  it('never gives two ids one folder', () => {
    fc.assert(
      fc.property(fc.array(anyId, { minLength: 2, maxLength: 20 }), ids => {
        const distinct = new Set(ids);
        expect(new Set([...distinct].map(folderOf)).size).toBe(distinct.size);
      }),
      { numRuns: 300 },
    );
  });

  it('never gives two ids one folder where file names ignore case', () => {
    const flipped = anyId.chain(one =>
      fc.constantFrom(one, one.toUpperCase() as RunId, one.toLowerCase() as RunId, `${one}~x` as RunId),
    );
    fc.assert(
      fc.property(fc.array(flipped, { minLength: 2, maxLength: 20 }), ids => {
        const distinct = new Set(ids);
        expect(new Set([...distinct].map(one => foldedOf(one).toLowerCase())).size).toBe(distinct.size);
      }),
      { numRuns: 300 },
    );
    expect(foldedOf(id('run'))).toBe('run');
    expect(foldedOf(id('Run'))).toMatch(/^Run~x[0-9a-f]{32}$/);
  });

  it('tells lone surrogates apart also by hash', () => {
    const [a, b] = ['\ud800'.repeat(300), '\ud801'.repeat(300)].map(text => folderOf(id(text)).slice(-32));
    expect(a).not.toBe(b);
  });
});

describe('parseRunId', () => {
  it('takes 1 to 1,024 characters', () => {
    expect(parseRunId('')).toBeUndefined();
    expect(parseRunId('x')).toBe('x');
    expect(parseRunId('x'.repeat(1024))).toHaveLength(1024);
    expect(parseRunId('x'.repeat(1025))).toBeUndefined();
  });
});

describe('isCaseSensitive', () => {
  it('finds out by trying, and leaves nothing behind', () => {
    const folder = mkdtempSync(join(tmpdir(), 'kymo-case-'));
    try {
      const sensitive = isCaseSensitive(folder);
      expect(readdirSync(folder)).toEqual([]);
      writeFileSync(join(folder, 'a'), '');
      expect(sensitive).toBe(!existsSync(join(folder, 'A')));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    expect(isCaseSensitive(join(folder, 'missing'))).toBe(false);
  });
});
