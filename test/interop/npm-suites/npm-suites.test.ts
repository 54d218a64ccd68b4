// The test suites that two packages bring along, with kymo/register and without: the same output to the byte, the same end.
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { describeWithPeers } from '../peers.ts';
import { temporaryFolder } from '../programs.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const register = path.join(root, 'dist', 'register.js');

beforeAll(() => {
  execFileSync('npm', ['run', 'build'], { cwd: root, stdio: 'pipe' });
}, 120_000);

describeWithPeers('the test suite of', ['npm-suites'], installed => {
  describe.each(['qs', 'minimist'])('%s', name => {
    it('passes under kymo/register as it does without, and is a run', () => {
      const project = temporaryFolder();
      const run = (...options: string[]) =>
        spawnSync(
          process.execPath,
          [...options, 'node_modules/tape/bin/tape', `node_modules/${name}/test/*.js`],
          {
            cwd: installed,
            encoding: 'utf8',
            env: { PATH: process.env.PATH, KYMO_DIR: project, KYMO_COLLECTOR_LINGER_MS: '100' },
            maxBuffer: 64 * 1024 * 1024,
          },
        );
      const bare = run();
      const ours = run('--require', register);
      expect(bare.stdout).toMatch(/# pass +\d{2,}\n/);
      const { status, signal, stdout, stderr } = bare;
      expect({ ...ours }).toMatchObject({ status, signal, stdout, stderr });
      const [only] = fs.readdirSync(path.join(project, 'runs'));
      const record = JSON.parse(
        fs.readFileSync(path.join(project, 'runs', only!, 'run.json'), 'utf8'),
      ) as object;
      expect(record).toMatchObject({ state: 'finished', exit_code: 0 });
    });
  });
});
