// What a SIGKILL takes of media, and what it cannot take.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { received } from '../sdk/media-content.ts';
import { OtlpSink } from '../sdk/otlp-sink.ts';
import { projectFolder, train } from '../sdk/trainer.ts';

let sink: OtlpSink;
let project: ReturnType<typeof projectFolder>;
beforeEach(async () => {
  project = projectFolder();
  sink = new OtlpSink();
  await sink.start();
});
afterEach(async () => {
  await sink.stop();
  project.remove();
});

/** Runs a script on a run named `run` to its end. */
const go = (script: string, env: Record<string, string> = {}) =>
  train(project.path, `const run = kymo.init({ project: 'p' });\n${script}`, {
    KYMO_ENDPOINT: sink.endpoint,
    ...env,
  }).ended;

describe('SIGKILL', () => {
  // Each of 750 kB of noise, which makes one record; all of them together are 30 MB.
  const images = (end: string) => `
    const pixels = new Uint8Array(500 * 500 * 3);
    for (let i = 0; i < 40; i++) {
      for (let at = 0; at < pixels.length; at += 62_500) crypto.getRandomValues(pixels.subarray(at, at + 62_500));
      run.image('i', pixels, { width: 500, height: 500, step: i });
    }
    ${end}
    process.kill(process.pid, 'SIGKILL');`;
  const steps = () => received(sink.logs).map(one => Number(one.attributes['kymo.step']));

  it('loses of media what is not encoded, which KYMO_MEDIA_MEMORY_MIB bounds, and the last moments', async () => {
    const ending = await go(images(''), { KYMO_MEDIA_MEMORY_MIB: '2', KYMO_BLOCK_MAX_MS: '60000' });
    expect(ending.signal).toBe('SIGKILL');
    await go('await new Promise(resolve => setTimeout(resolve, 300));');
    // Two are under way, and a few were encoded in the last 200 ms, whose batch was neither sent nor in the spool.
    expect(steps()).toEqual(expect.arrayContaining(Array.from({ length: 20 }, (_, i) => i)));
  });

  it('loses none that were there when run.flush() or flushSync() returned', async () => {
    for (const flush of ['await run.flush();', 'run.flushSync(20_000);']) {
      sink.logs.length = 0;
      expect((await go(images(flush))).signal).toBe('SIGKILL');
      expect(steps()).toEqual(Array.from({ length: 40 }, (_, i) => i));
    }
  });

  it('loses none that are encoded where the collector is away: they are in the spool', async () => {
    sink.answer = () => ({ status: 503 });
    const bytes = 40 * 500 * 500 * 3;
    const trainer = train(
      project.path,
      `const run = kymo.init({ project: 'p' });
       ${images("console.log('logged'); await new Promise(resolve => setTimeout(resolve, 60_000));")}`,
      { KYMO_ENDPOINT: sink.endpoint },
    );
    await trainer.said('logged');
    const deadline = Date.now() + 20_000;
    while (spooledBytes() < bytes && Date.now() < deadline)
      await new Promise(resolve => setTimeout(resolve, 20));
    trainer.child.kill('SIGKILL');
    await trainer.ended;
    sink.answer = () => ({ status: 200 });
    await go('await new Promise(resolve => setTimeout(resolve, 1_000));');
    expect(steps().sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i));
  });
});

function spooledBytes(): number {
  const folder = join(project.path, '.kymo');
  if (!existsSync(folder)) return 0;
  let size = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) size += statSync(join(entry.parentPath, entry.name)).size;
  return size;
}
