import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  ConfinementError,
  confinedOpen,
  confinedRead,
  confinedReplace,
  confinedReplaceSync,
} from '../../../src/collector/runs/confined.ts';

let folder: string;
let root: string;
let outside: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-confined-'));
  root = path.join(folder, 'runs');
  outside = path.join(folder, 'outside');
  fs.mkdirSync(root);
  fs.mkdirSync(outside);
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

describe('confinedOpen', () => {
  it('makes folders and file, and appends', () => {
    for (const line of ['one\n', 'two\n']) {
      const fd = confinedOpen(root, 'a', 'logs', 'metrics.jsonl');
      fs.writeSync(fd, line);
      fs.closeSync(fd);
    }
    expect(fs.readFileSync(path.join(root, 'a/logs/metrics.jsonl'), 'utf8')).toBe('one\ntwo\n');
  });

  it('follows a link in the root itself, which its owner chose', () => {
    fs.symlinkSync(root, path.join(folder, 'link'));
    fs.closeSync(confinedOpen(path.join(folder, 'link'), 'a', 'x'));
    expect(fs.existsSync(path.join(root, 'a/x'))).toBe(true);
  });

  it.each([
    ['the run folder', ['a', 'logs', 'x'], 'a'],
    ['a folder in it', ['a', 'logs', 'x'], 'a/logs'],
  ])('refuses a symbolic link as %s', (_, segments, link) => {
    fs.mkdirSync(path.dirname(path.join(root, link)), { recursive: true });
    fs.symlinkSync(outside, path.join(root, link));
    expect(() => confinedOpen(root, ...segments)).toThrow(ConfinementError);
    expect(fs.readdirSync(outside)).toEqual([]);
  });

  it('refuses a symbolic link as the file, also a dangling one', () => {
    for (const target of [path.join(outside, 'there'), path.join(outside, 'missing')]) {
      if (target.endsWith('there')) fs.writeFileSync(target, 'keep');
      fs.mkdirSync(path.join(root, 'a'), { recursive: true });
      fs.symlinkSync(target, path.join(root, 'a', 'x'));
      expect(() => confinedOpen(root, 'a', 'x')).toThrow(/is a symbolic link/);
      expect(() => confinedRead(root, ['a', 'x'], 10)).toThrow(ConfinementError);
      fs.rmSync(path.join(root, 'a'), { recursive: true });
    }
    expect(fs.readdirSync(outside)).toEqual(['there']);
    expect(fs.readFileSync(path.join(outside, 'there'), 'utf8')).toBe('keep');
  });

  it('refuses what is no regular file, without waiting for a pipe', () => {
    fs.mkdirSync(path.join(root, 'a/x'), { recursive: true });
    expect(() => confinedOpen(root, 'a', 'x')).toThrow(/is not a regular file/);
    if (process.platform === 'win32') return;
    execFileSync('mkfifo', [path.join(root, 'a/pipe')]);
    expect(() => confinedOpen(root, 'a', 'pipe')).toThrow(/is not a regular file/);
  });

  it.each([['..'], ['.'], [''], ['a/b'], ['a\\b'], ['a\0b'], ['x'.repeat(256)]])(
    'refuses the name %j',
    name => {
      expect(() => confinedOpen(root, name, 'x')).toThrow(ConfinementError);
      expect(() => confinedOpen(root, 'a', name)).toThrow(ConfinementError);
    },
  );

  it('says what is in the way where a folder should be', () => {
    fs.writeFileSync(path.join(root, 'a'), '');
    expect(() => confinedOpen(root, 'a', 'x')).toThrow(
      `${path.join(fs.realpathSync(root), 'a')}: is not a folder`,
    );
  });
});

describe('confinedReplace', () => {
  it('replaces the whole content, and a link instead of what it points at', async () => {
    await confinedReplace(root, ['a', 'run.json'], 'a long first content');
    confinedReplaceSync(root, ['a', 'run.json'], 'short');
    expect(String(confinedRead(root, ['a', 'run.json'], 100))).toBe('short');
    fs.writeFileSync(path.join(outside, 'there'), 'keep');
    fs.rmSync(path.join(root, 'a/run.json'));
    fs.symlinkSync(path.join(outside, 'there'), path.join(root, 'a/run.json'));
    await confinedReplace(root, ['a', 'run.json'], 'new');
    expect(fs.readFileSync(path.join(outside, 'there'), 'utf8')).toBe('keep');
    expect(fs.lstatSync(path.join(root, 'a/run.json')).isFile()).toBe(true);
    expect(fs.readdirSync(path.join(root, 'a'))).toEqual(['run.json']);
  });
});
