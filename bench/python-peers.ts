// The Python environment of the peers (bench/peers/requirements.txt), made once in the cache that the interop tests use too.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { here } from './processes.ts';

const PREPARE_TIMEOUT_MS = 10 * 60_000;
export const CACHE = path.resolve(
  process.env.KYMO_INTEROP_CACHE || path.join(os.homedir(), '.cache', 'kymo-interop'),
);

/** The interpreter with the peers installed, or why there is none. */
export function pythonPeers(): { readonly python: string } | { readonly missing: string } {
  const requirements = here('peers/requirements.txt');
  const system = process.env.KYMO_INTEROP_PYTHON || 'python3';
  const version = spawnSync(system, ['-c', 'import sys, platform; print(sys.version, platform.machine())'], {
    encoding: 'utf8',
  });
  if (version.status !== 0) return { missing: `${system} is not there` };
  const hash = createHash('sha256').update(version.stdout).update(fs.readFileSync(requirements));
  const environment = path.join(CACHE, `bench-peers-${hash.digest('hex').slice(0, 16)}`);
  const python = path.join(environment, 'bin', 'python');
  const done = path.join(environment, '.complete');
  if (fs.existsSync(done)) return { python };
  fs.rmSync(environment, { recursive: true, force: true });
  process.stderr.write(`bench: a Python environment for the peers in ${environment}\n`);
  const install = [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--no-input',
    '-r',
    requirements,
  ];
  for (const [program, args] of [
    [system, ['-m', 'venv', environment]],
    [python, install],
  ] as const) {
    const made = spawnSync(program, args, { encoding: 'utf8', timeout: PREPARE_TIMEOUT_MS });
    if (made.status !== 0) return { missing: made.stderr.trim().split('\n').at(-1) ?? 'pip failed' };
  }
  fs.writeFileSync(done, '');
  return { python };
}
