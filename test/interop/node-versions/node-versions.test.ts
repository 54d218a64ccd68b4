// The package as it is built, on other versions of Node than the one that the project is developed with.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { describeWithPeers } from '../peers.ts';
import { temporaryFolder } from '../programs.ts';
import { readLines } from '../sent.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const built = (file: string) => JSON.stringify(path.join(root, 'dist', file));
const ROWS = 20_000;
const TRAINING = `
const run = kymo.init({ project: 'p', id: 'r', config: { lr: 0.1 } });
for (let step = 0; step < ${ROWS}; step++) run.log({ loss: 1 / (step + 1) }, { step });
kymo.getLogger('trainer').info('done');
run.image('picture', new Uint8Array(12), { shape: [2, 2, 3], step: 0 });
`;

beforeAll(() => {
  execFileSync('npm', ['run', 'build'], { cwd: root, stdio: 'pipe' });
}, 120_000);

describeWithPeers('the built package', ['node-versions'], installed => {
  describe.each(['node-oldest', 'node-newest'])('on %s', version => {
    const node = path.join(installed!, 'node_modules', version, 'bin', 'node');
    const run = (project: string, name: string, script: string, args: readonly string[] = []): string => {
      const file = path.join(project, name);
      fs.writeFileSync(file, script);
      return execFileSync(node, [...args, file], {
        cwd: project,
        encoding: 'utf8',
        env: { PATH: process.env.PATH, KYMO_DIR: project, KYMO_COLLECTOR_LINGER_MS: '100' },
      });
    };

    it.each([
      ['import', 'train.mjs', `import * as kymo from ${built('index.js')};`, 'await run.finish();'],
      ['require', 'train.cjs', `const kymo = require(${built('index.js')});`, 'process.exit(0);'],
    ])('records a run of a script that loads it by %s', (_how, name, load, end) => {
      const project = temporaryFolder();
      run(project, name, `${load}${TRAINING}${end}`);
      const folder = path.join(project, 'runs/r');
      expect(readLines(folder, 'metrics.jsonl')).toHaveLength(ROWS);
      expect(readLines(folder, 'media.jsonl')).toHaveLength(1);
      const { state } = JSON.parse(fs.readFileSync(path.join(folder, 'run.json'), 'utf8')) as {
        state: string;
      };
      expect(state).toBe('finished');
    });

    it('records a run of a script that does not know it, which prints as ever', () => {
      const project = temporaryFolder();
      const register = path.join(root, 'dist', 'register.js');
      expect(run(project, 'plain.cjs', "console.log('hello');", ['--require', register])).toBe('hello\n');
      expect(fs.readdirSync(path.join(project, 'runs'))).toHaveLength(1);
    });
  });
});
