// The chaos run as a program: it fails when something is lost, says how to replay it, and does the same again with the same seed.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';

const MAIN = fileURLToPath(new URL('../chaos/main.ts', import.meta.url));
const chaos = (...args: string[]) =>
  spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args], {
    encoding: 'utf8',
  });

it('ends with 1 when a point is missing, names it and says how to replay the run', () => {
  const { status, stdout } = chaos('what is planted', '--plant', 'lost', '--seed', '7');
  expect(stdout).toMatch(/^seed 7$/m);
  expect(stdout).toMatch(/^FAILED {2}0\.0 what is planted in a sink is found/m);
  expect(stdout).toMatch(/lost: jsonl: run p0 attempt 1 row \d+ step \d+ is missing/);
  expect(stdout).toMatch(/^replay: npm run test:chaos -- --seed 7 /m);
  expect(status).toBe(1);
});

it('has a short run for CI, which is a part of the whole', () => {
  const all = chaos('--list').stdout.trim().split('\n');
  const short = chaos('--list', '--short').stdout.trim().split('\n');
  expect(short.length).toBeGreaterThan(5);
  expect(short.length).toBeLessThan(all.length);
  expect(all).toEqual(expect.arrayContaining(short));
});
