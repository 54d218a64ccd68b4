// What a person at a terminal is told when a run starts. `script` (util-linux) makes the terminal.
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { endCollectors } from '../sdk/collectors.ts';
import { projectFolder, train } from '../sdk/trainer.ts';

const index = fileURLToPath(new URL('../../src/index.ts', import.meta.url));
const hasScript = spawnSync('script', ['--version']).status === 0;
let project: ReturnType<typeof projectFolder>;
beforeEach(() => {
  project = projectFolder();
});
afterEach(async () => {
  await endCollectors(project.path);
  project.remove();
});

/** What the terminal shows. */
function atTerminal(env: Record<string, string> = {}): string {
  const file = join(project.path, 'train.ts');
  writeFileSync(file, `import * as kymo from ${JSON.stringify(index)};\nkymo.init({ id: 'a\\u001bb' });\n`);
  const command = `${process.execPath} --disable-warning=ExperimentalWarning ${file}`;
  return execFileSync('script', ['-qec', command, '/dev/null'], {
    cwd: project.path,
    encoding: 'utf8',
    env: { PATH: process.env.PATH!, KYMO_DIR: project.path, KYMO_COLLECTOR_LINGER_MS: '100', ...env },
    input: '',
  });
}

(hasScript ? it : it.skip)(
  `is the folder of the run, or the address that it goes to without what may be secret in it${hasScript ? '' : ' (there is no `script` to make a terminal with)'}`,
  () => {
    const shown = atTerminal();
    expect(shown).toContain('kymo: writing runs/a~001bb');
    const away = atTerminal({
      KYMO_ENDPOINT: 'http://user:secret@127.0.0.1:1/?key=secret',
      KYMO_EXIT_TIMEOUT_MS: '100',
    });
    expect(away).toContain('kymo: run a\\u{1b}b goes to http://127.0.0.1:1');
    expect(away.split('\n')[0]).not.toContain('secret');
    expect(atTerminal({ KYMO_QUIET: '1' })).toBe('');
  },
  30_000,
);

it('is nothing where stderr is no terminal', async () => {
  const ending = await train(project.path, "kymo.init({ id: 'r' });", { KYMO_COLLECTOR_LINGER_MS: '100' })
    .ended;
  expect(ending).toMatchObject({ code: 0, stderr: '' });
});
