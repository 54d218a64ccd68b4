import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { type Cursor, CursorStore, exporterFolder } from '../../../src/collector/feed/cursor-store.ts';
import { recordingLogger, temporaryFolder } from '../journal/support.ts';

const JOURNAL = 'a-journal';
function cursor(position: number, state: Cursor['state'] = { at: position }): Cursor {
  return { journal: JOURNAL, position, state, gaps: [] };
}
async function storeIn(directory: string, id = 'jsonl'): Promise<CursorStore> {
  const store = new CursorStore(directory, id, recordingLogger());
  await store.load();
  return store;
}

describe('cursor store', () => {
  it('keeps two generations, and the older one says what the journal must keep', async () => {
    const directory = temporaryFolder();
    const store = await storeIn(directory);
    expect(store.current).toBeUndefined();
    expect(store.olderPosition(JOURNAL)).toBe(0);
    await store.commit(cursor(10));
    expect(store.olderPosition(JOURNAL)).toBe(0);
    await store.commit(cursor(20));
    await store.commit(cursor(30));
    expect(store.olderPosition(JOURNAL)).toBe(20);
    expect(store.olderPosition('another journal')).toBe(0);
    const again = await storeIn(directory);
    expect(again.current).toEqual(cursor(30));
    expect(again.previous).toEqual(cursor(20));
  });

  it('falls back to the older generation wherever the newer one is torn', async () => {
    const directory = temporaryFolder();
    const store = await storeIn(directory);
    await store.commit(cursor(10));
    await store.commit(cursor(20, { name: 'größe' }));
    const file = path.join(directory, 'jsonl', 'current');
    const whole = fs.readFileSync(file);
    for (let length = 0; length < whole.length; length++) {
      fs.writeFileSync(file, whole.subarray(0, length));
      expect((await storeIn(directory)).current).toEqual(cursor(10));
    }
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole);
      flipped[at]! ^= 4;
      fs.writeFileSync(file, flipped);
      try {
        expect((await storeIn(directory)).current).toEqual(cursor(10));
      } catch (error) {
        // A flipped version number reads as another version.
        expect(String(error)).toMatch(/version/);
      }
    }
    fs.rmSync(file);
    const back = await storeIn(directory);
    expect(back.current).toEqual(cursor(10));
    await back.commit(cursor(15));
    expect(back.olderPosition(JOURNAL)).toBe(10);
    expect((await storeIn(directory)).previous).toEqual(cursor(10));
  });

  it('after going back does not keep the generation that could not be used', async () => {
    const directory = temporaryFolder();
    const store = await storeIn(directory);
    await store.commit(cursor(10));
    await store.commit(cursor(20));
    expect(store.goBack()).toBe(true);
    expect(store.goBack()).toBe(false);
    expect(store.current).toEqual(cursor(10));
    await store.commit(cursor(12));
    const again = await storeIn(directory);
    expect([again.current, again.previous]).toEqual([cursor(12), cursor(10)]);
  });

  it('makes its folder again when that is removed, also right now', async () => {
    const directory = temporaryFolder();
    const store = await storeIn(directory);
    await store.commit(cursor(10));
    const remove = (): Promise<void> =>
      fs.promises
        .rm(path.join(directory, 'jsonl'), { recursive: true, force: true })
        // Something was written into it meanwhile.
        .catch(() => undefined);
    for (let position = 20; position < 60; position++) {
      // Fewer removals than a commit has attempts: one of them has to get through.
      await Promise.all([store.commit(cursor(position)), remove().then(remove)]);
    }
    await store.commit(cursor(9_999));
    expect((await storeIn(directory)).current).toEqual(cursor(9_999));
  });

  it('refuses another version and says what to do', async () => {
    const directory = temporaryFolder();
    const store = await storeIn(directory);
    await store.commit(cursor(10));
    const file = path.join(directory, 'jsonl', 'current');
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('kymo-cursor 1', 'kymo-cursor 7'));
    await expect(storeIn(directory)).rejects.toThrow(/version 7.*reads version 1.*remove the folder/);
  });

  it('gives every exporter id a folder name of its own that is safe', () => {
    const ids = [
      'jsonl',
      'JSONL',
      'otlp_http/a',
      'otlp_http_a',
      'otlp_http/A',
      '../x',
      'x'.repeat(300),
      '',
      'nul/con',
    ];
    const folders = ids.map(exporterFolder);
    expect(new Set(folders.map(folder => folder.toLowerCase())).size).toBe(ids.length);
    for (const folder of folders) expect(folder).toMatch(/^[A-Za-z0-9_-]{1,60}$/);
    expect(folders[0]).toBe('jsonl');
  });
});
