import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  collectorKey,
  findProjectDirectory,
  localAddress,
  machineId,
  paths,
  realPath,
} from '../../src/semconv/local.ts';

let root: string;
beforeAll(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'kymo-local-')));
  mkdirSync(join(root, 'project/src/deep'), { recursive: true });
  mkdirSync(join(root, 'project/inner/.kymo'), { recursive: true });
  mkdirSync(join(root, 'bare/deep'), { recursive: true });
  writeFileSync(join(root, 'project/package.json'), '{}');
  symlinkSync(join(root, 'project'), join(root, 'link'));
});
afterAll(() => rmSync(root, { recursive: true }));

describe('the project folder', () => {
  it('is the nearest ancestor with a mark, else the folder itself; KYMO_DIR overrides', () => {
    expect(findProjectDirectory({}, join(root, 'project/src/deep'))).toBe(join(root, 'project'));
    expect(findProjectDirectory({}, join(root, 'project/inner'))).toBe(join(root, 'project/inner'));
    expect(findProjectDirectory({ KYMO_DIR: '../bare' }, join(root, 'project'))).toBe(join(root, 'bare'));
    expect(findProjectDirectory({ KYMO_DIR: '' }, join(root, 'project'))).toBe(join(root, 'project'));
  });
});

describe('the key of a collector', () => {
  it('is the same by every way to a journal, also before that is made, and differs between journals', () => {
    const key = collectorKey(join(root, 'project/.kymo/journal'));
    expect(key).toMatch(/^[0-9a-f]{24}$/);
    expect(collectorKey(join(root, 'link/src/../.kymo/journal'))).toBe(key);
    mkdirSync(join(root, 'project/.kymo/journal'), { recursive: true });
    expect(collectorKey(join(root, 'link/.kymo/journal'))).toBe(key);
    expect(collectorKey(join(root, 'bare/.kymo/journal'))).not.toBe(key);
    expect(realPath(join(root, 'link/none/such'))).toBe(join(root, 'project/none/such'));
  });

  it('makes an address that a socket can have', () => {
    expect(Buffer.byteLength(localAddress(collectorKey(root)))).toBeLessThan(104);
  });
});

it('keeps what belongs to a machine under one folder with a name that any file system takes', () => {
  expect(machineId()).toMatch(/^[a-z0-9-]{8,29}$/);
  expect(machineId()).toBe(machineId());
  const { root: own, ...rest } = paths('/p');
  expect(own).toBe(join('/p/.kymo', machineId()));
  for (const path of Object.values(rest)) expect(path.startsWith(own)).toBe(true);
});
