import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { FollowedFile } from '../../src/cli/follow-file.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-follow-'));
  file = path.join(folder, 'a.jsonl');
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

describe('a followed file', () => {
  it('gives out the last lines, then every whole line once', () => {
    fs.writeFileSync(file, 'one\ntwo\nthree\nhal');
    const followed = new FollowedFile(file, 2);
    expect(followed.read()).toEqual(['two', 'three']);
    expect(followed.read()).toEqual([]);
    fs.appendFileSync(file, 'f\nfour\n');
    expect(followed.read()).toEqual(['half', 'four']);
    expect(new FollowedFile(file, 0).read()).toEqual([]);
    expect(new FollowedFile(file, 99).read()).toEqual(['one', 'two', 'three', 'half', 'four']);
  });

  it('does not repeat what is written again after it was cut back, and shows what is new', () => {
    fs.writeFileSync(file, '1\n2\n3\n4\n');
    const followed = new FollowedFile(file, 99);
    followed.read();
    fs.truncateSync(file, 4);
    expect(followed.read()).toEqual([]);
    fs.appendFileSync(file, '3\n');
    expect(followed.read()).toEqual([]);
    fs.appendFileSync(file, '4\n5\n');
    expect(followed.read()).toEqual(['5']);
    // Cut back and written differently: everything that comes is shown.
    fs.truncateSync(file, 6);
    followed.read();
    fs.appendFileSync(file, 'other\n4\n');
    expect(followed.read()).toEqual(['other', '4']);
  });

  it('goes on with an emptied, a replaced, a removed and a later file', () => {
    const followed = new FollowedFile(file, 1);
    expect(followed.read()).toEqual([]);
    fs.writeFileSync(file, 'a\nb\n');
    expect(followed.read()).toEqual(['a', 'b']);
    fs.truncateSync(file, 0);
    expect(followed.read()).toEqual([]);
    fs.appendFileSync(file, 'c\n');
    expect(followed.read()).toEqual(['c']);
    fs.writeFileSync(`${file}.new`, 'd\ne\n');
    fs.renameSync(`${file}.new`, file);
    expect(followed.read()).toEqual(['d', 'e']);
    fs.rmSync(file);
    expect(followed.read()).toEqual([]);
    fs.writeFileSync(file, 'f\n');
    expect(followed.read()).toEqual(['f']);
  });

  it('takes lines longer than it reads at a time, and passes over what no one would read', () => {
    const long = 'x'.repeat(1_000_000);
    fs.writeFileSync(file, '');
    const followed = new FollowedFile(file, 0);
    followed.read();
    fs.appendFileSync(file, `${long}\nshort\n`);
    expect(followed.read()).toEqual([long, 'short']);
    fs.appendFileSync(file, Buffer.alloc(40 * 1024 * 1024, 0x79));
    expect(followed.read()).toEqual([]);
    fs.appendFileSync(file, '\nafter\n');
    expect(followed.read()).toEqual(['after']);
    expect(followed.passedOver).toBe(1);
  });

  it('takes bytes that are no text, and a file that got the number of a removed one', () => {
    fs.writeFileSync(file, Buffer.from([0xff, 0xfe, 0x0a]));
    const followed = new FollowedFile(file, 9);
    expect(followed.read()).toEqual(['\ufffd\ufffd']);
    expect(followed.read()).toEqual([]);
    // In place, so that only what is in it tells.
    fs.writeFileSync(file, 'é\nb\nccc\n');
    expect(followed.read()).toEqual(['é', 'b', 'ccc']);
    fs.appendFileSync(file, `${'ü'.repeat(5_000)}\n`);
    expect(followed.read()).toHaveLength(1);
    expect(followed.read()).toEqual([]);
  });

  it('reads what has grown by much in turns, and misses nothing', () => {
    fs.writeFileSync(file, '');
    const followed = new FollowedFile(file, 0);
    followed.read();
    const lines = Array.from({ length: 200 }, (_, i) => `${i} ${'x'.repeat(100_000)}`);
    fs.appendFileSync(file, `${lines.join('\n')}\n`);
    const read: string[] = [];
    let turns = 0;
    for (let some = followed.read(); some.length > 0; some = followed.read(), turns++) read.push(...some);
    expect(turns).toBeGreaterThan(1);
    expect(read).toEqual(lines);
  });

  it('is not held up by a folder or a pipe in its place', () => {
    fs.mkdirSync(file);
    expect(new FollowedFile(file, 1).read()).toEqual([]);
  });
});
