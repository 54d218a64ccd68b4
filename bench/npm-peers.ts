// Packages of npm that are measured beside Kymo, installed once in the cache that the interop tests use too.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { CACHE } from './python-peers.ts';

const INSTALL_TIMEOUT_MS = 10 * 60_000;

/** The file that `specifier` of an installed package is, or why there is none. */
export function npmPeer(
  name: string,
  version: string,
  specifier: string,
): { readonly file: string } | { readonly missing: string } {
  const folder = path.join(CACHE, `bench-npm-${name.replace(/\W+/g, '-')}-${version}`);
  const done = path.join(folder, '.complete');
  if (!fs.existsSync(done)) {
    fs.rmSync(folder, { recursive: true, force: true });
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(folder, 'package.json'), '{"private":true}');
    process.stderr.write(`bench: installing ${name} in ${folder}\n`);
    const args = ['install', '--no-audit', '--no-fund', '--ignore-scripts', `${name}@${version}`];
    const result = spawnSync('npm', args, { cwd: folder, encoding: 'utf8', timeout: INSTALL_TIMEOUT_MS });
    if (result.status !== 0)
      return {
        missing: `npm install ${name} failed: ${(result.stderr ?? '').trim().split('\n').at(-1) ?? ''}`,
      };
    fs.writeFileSync(done, '');
  }
  return { file: createRequire(path.join(folder, 'package.json')).resolve(specifier) };
}
