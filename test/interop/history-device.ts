// The behaviour of histories in a process with a prepared device: one test for each case of test/history/behaviour.ts.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, it } from '@jest/globals';
import { cases } from '../history/behaviour.ts';

/** Software devices compile shaders and compute slowly; this is for hangs. */
const PATIENCE_MS = 300_000;
const PROGRAM = fileURLToPath(new URL('../history/run-on-device.ts', import.meta.url));

type Line = { readonly device: string } | { readonly name: string; readonly error?: string };

/** @param device what the device calls itself */
export function itBehavesOn(backend: string, folder: string, device: RegExp): void {
  const lines: Line[] = [];

  beforeAll(() => {
    const { stdout, stderr, status, signal, error } = spawnSync(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', PROGRAM, backend, folder],
      { encoding: 'utf8', timeout: PATIENCE_MS, maxBuffer: 2 ** 26 },
    );
    for (const line of stdout.split('\n')) if (line.startsWith('{')) lines.push(JSON.parse(line) as Line);
    if (status !== 0 || lines.length === 0)
      throw new Error(`ended with ${status ?? signal} (${error}): ${stderr.slice(-2_000)}`);
  }, PATIENCE_MS);

  it('is the device that was prepared', () => {
    expect(lines[0]).toEqual({ device: expect.stringMatching(device) });
  });

  it.each(cases)('$name', ({ name }) => {
    const outcome = lines.find(line => 'name' in line && line.name === name);
    expect(outcome).toBeDefined();
    expect(outcome).not.toHaveProperty('error');
  });
}
