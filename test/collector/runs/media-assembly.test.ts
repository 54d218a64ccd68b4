import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Assemblies, type OpenContent } from '../../../src/collector/runs/assembly.ts';
import {
  extensionOf,
  fileSegment,
  folderSegment,
  pathSegments,
} from '../../../src/collector/runs/file-names.ts';
import { type Chunk, contentEvent } from '../../../src/collector/runs/media-events.ts';
import { attributesOf, BatchMaker, type TestLog } from '../batches.ts';
import { bytesOf, media, sha256 } from '../media-events.ts';

let root = '';
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-assembly-'));
});
afterEach(() => fs.rmSync(root, { recursive: true, force: true }));

const chunksOf = (bytes: Uint8Array, each: number): Chunk[] => {
  const count = Math.ceil(bytes.length / each);
  return Array.from({ length: count }, (_, index) => ({
    sha256: sha256(bytes),
    size: bytes.length,
    index,
    count,
    bytes: bytes.subarray(index * each, (index + 1) * each),
  }));
};
const assemblies = (state: readonly OpenContent[] = [], gone: string[] = []) =>
  new Assemblies(
    {
      root,
      folder: ['parts'],
      suffix: '.part',
      onIncomplete: (sha, chunks, count) => gone.push(`${chunks}/${count} ${sha}`),
    },
    state,
  );

describe('chunks', () => {
  it('make the content in any order, repeated, interleaved, and over crashes', async () => {
    const plan = fc
      .record({
        length: fc.integer({ min: 2, max: 200 }),
        each: fc.integer({ min: 1, max: 100 }),
        other: fc.integer({ min: 2, max: 50 }),
      })
      .filter(({ length, each }) => each < length)
      .chain(({ length, each, other }) => {
        const contents = [chunksOf(bytesOf(1, length), each), chunksOf(bytesOf(2, other), 1)];
        const all = contents.flat();
        return fc.record({
          order: fc
            .array(fc.nat({ max: all.length - 1 }), { maxLength: 20 })
            .chain(again =>
              fc.shuffledSubarray([...all.keys(), ...again], { minLength: all.length + again.length }),
            )
            .map(order => order.map(i => all[i]!)),
          // After each chunk: nothing, a commit, or a crash that goes back to the last commit.
          between: fc.array(fc.constantFrom('', '', 'commit', 'crash'), { maxLength: 60 }),
        });
      });
    await fc.assert(
      fc.asyncProperty(plan, async ({ order, between }) => {
        let now = assemblies();
        let saved: { at: number; state: string; done: string[] } = { at: 0, state: '[]', done: [] };
        let done: string[] = [];
        const interruptions = [...between];
        for (let i = 0; i < order.length; i++) {
          const chunk = order[i]!;
          if (!done.includes(chunk.sha256) && now.add(chunk, 1n) === 'whole') {
            expect(await now.finish(chunk.sha256)).toBe(true);
            expect(sha256(now.read(chunk.sha256)!)).toBe(chunk.sha256);
            done.push(chunk.sha256);
          }
          const what = interruptions.shift();
          if (what === 'commit') {
            await now.sync();
            saved = { at: i + 1, state: JSON.stringify(now.state()), done: [...done] };
          } else if (what === 'crash') {
            now = assemblies(JSON.parse(saved.state));
            done = [...saved.done];
            i = saved.at - 1;
          }
        }
        expect(done.sort()).toEqual([...new Set(order.map(chunk => chunk.sha256))].sort());
        expect(now.size).toBe(0);
        fs.rmSync(path.join(root, 'parts'), { recursive: true });
      }),
      { numRuns: 80 },
    );
  }, 30_000);

  it('leave nothing of what was begun after the last commit', async () => {
    const kept = chunksOf(bytesOf(1, 100), 40);
    const lost = chunksOf(bytesOf(2, 100), 40);
    const first = assemblies();
    first.add(kept[0]!, 1n);
    await first.sync();
    const state = first.state();
    first.add(lost[0]!, 1n);
    fs.writeFileSync(path.join(root, 'parts', 'not-ours'), '');
    fs.writeFileSync(path.join(root, 'parts', `${'a'.repeat(64)}.other.part`), '');
    assemblies(state).removeStrays();
    expect(fs.readdirSync(path.join(root, 'parts')).sort()).toEqual(
      [`${kept[0]!.sha256}.part`, `${'a'.repeat(64)}.other.part`, 'not-ours'].sort(),
    );
  });

  it('that do not fit are refused, with what came before', () => {
    const good = chunksOf(bytesOf(1, 100), 40);
    const wrong: Partial<Chunk>[] = [
      { index: 1, bytes: bytesOf(1, 41) },
      { index: 2, bytes: bytesOf(1, 21) },
      { index: 2, bytes: bytesOf(1, 19) },
      { index: 1, size: 99 },
      { index: 1, count: 4 },
    ];
    for (const one of wrong) {
      const now = assemblies();
      expect(now.add(good[0]!, 1n)).toBe('open');
      expect(now.add({ ...good[1]!, ...one }, 1n)).toBe('refused');
      expect(now.size).toBe(0);
      expect(fs.readdirSync(path.join(root, 'parts'))).toEqual([]);
    }
    expect(assemblies().add({ ...good[0]!, bytes: bytesOf(1, 101) }, 1n)).toBe('refused');
  });

  it('of a part file that somebody cut or changed are found out', async () => {
    for (const spoil of [(file: string) => fs.truncateSync(file, 10), (file: string) => fs.rmSync(file)]) {
      const [first, ...rest] = chunksOf(bytesOf(1, 100), 40);
      const before = assemblies();
      before.add(first!, 1n);
      await before.sync();
      const now = assemblies(before.state());
      spoil(path.join(root, 'parts', `${first!.sha256}.part`));
      for (const chunk of rest) now.add(chunk, 1n);
      expect(await now.finish(first!.sha256)).toBe(false);
      expect(fs.readdirSync(path.join(root, 'parts'))).toEqual([]);
    }
  });
});

describe('media events', () => {
  const read = (record: TestLog) => {
    const [log] = new BatchMaker().logs({}, [record]).logs;
    return contentEvent(log!.record);
  };

  it('that make no sense are malformed, with a reason', () => {
    const base = {
      'kymo.media.sha256': 'a'.repeat(64),
      'kymo.media.size': 10,
      'kymo.media.content': bytesOf(1, 3),
    };
    const bad = [
      { 'kymo.media.sha256': '../../x' },
      { 'kymo.media.sha256': 7 },
      { ...base, 'kymo.media.chunk.count': 0 },
      { ...base, 'kymo.media.chunk.count': 1e6 },
      { ...base, 'kymo.media.chunk.count': 3, 'kymo.media.chunk.index': 3 },
      { ...base, 'kymo.media.chunk.count': 3, 'kymo.media.chunk.index': -1 },
      { ...base, 'kymo.media.chunk.count': 3, 'kymo.media.chunk.index': 0.5 },
      { ...base, 'kymo.media.size': -1, 'kymo.media.chunk.count': 3 },
      { ...base, 'kymo.media.size': 1e15 },
      { ...base, 'kymo.media.size': 2, 'kymo.media.chunk.count': 3 },
      { ...base, 'kymo.media.content': attributesOf({ a: 1 }) },
      { 'kymo.media.content': bytesOf(1, 3), 'kymo.media.chunk.count': 2, 'kymo.media.size': 5 },
    ];
    for (const attributes of bad) {
      expect(read({ eventName: 'kymo.media', attributes })).toEqual({
        kind: 'malformed',
        reason: expect.any(String),
      });
    }
  });

  it('may have their data in the body', () => {
    const found = read({
      eventName: 'kymo.media',
      body: attributesOf({ 'kymo.media.name': 'x', 'kymo.media.content': 'text' }),
    });
    expect(found).toMatchObject({ kind: 'media', attributes: { 'kymo.media.name': 'x' } });
    expect(read({ eventName: 'kymo.media', body: bytesOf(1, 9) })).toMatchObject({
      piece: { bytes: bytesOf(1, 9) },
    });
  });

  it('keep no bytes among their attributes', () => {
    const found = read(media({ bytes: bytesOf(1, 90), chunk: 40 })[1]!);
    expect(Object.keys((found as { attributes: object }).attributes).sort()).toEqual([
      'kymo.media.kind',
      'kymo.media.mime_type',
      'kymo.media.name',
    ]);
  });
});

describe('names of files', () => {
  it('are one harmless segment each, and different for different names', () => {
    const name = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.string({
        unit: fc.constantFrom('.', '/', '\\', '~', ' ', ':', '\0', 'a', 'A', '\ud800', 'é'),
        maxLength: 12,
      }),
      fc.constantFrom('con', 'CON.txt', 'aux', 'lpt1.', '~x', '~002e', '..', '.', '', 'x'.repeat(400)),
    );
    fc.assert(
      fc.property(name, name, (a, b) => {
        const segment = fileSegment(a);
        expect(segment).not.toBe('');
        expect(segment).not.toMatch(/[/\\\0<>:"|?*]|^\.|[. ]$|^ /);
        expect(segment).not.toMatch(/^(con|aux|nul|prn|lpt\d|com\d)(\.|$)/i);
        expect(Buffer.byteLength(segment)).toBeLessThanOrEqual(170);
        if (a !== b) expect(fileSegment(b)).not.toBe(segment);
        for (const part of pathSegments(a)) expect(part).not.toMatch(/[/\\\0]|^\.{1,2}$|^$/);
        expect(folderSegment(segment)).not.toContain('.');
      }),
      { numRuns: 2_000 },
    );
  });

  it('stay as they are where they can', () => {
    expect(pathSegments('eval/pred 1.0 (ü)/日本語')).toEqual(['eval', 'pred 1.0 (ü)', '日本語']);
    expect(pathSegments('../a//b/')).toEqual(['~002e~002e', 'a', 'b']);
    expect(extensionOf('image/PNG; x=y')).toBe('png');
    expect(['constructor', '__proto__', ''].map(extensionOf)).toEqual(['bin', 'bin', 'bin']);
  });
});
