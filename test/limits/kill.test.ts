// What a SIGKILL takes of media, and what it cannot take.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spillDirectory } from '../../src/sdk/media/spill.ts';
import { paths } from '../../src/semconv/local.ts';
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
  const steps = () =>
    sink.logs
      .filter(({ attributes }) => attributes['kymo.media.name'] === 'i' && attributes['kymo.media.content'])
      .map(({ attributes }) => Number(attributes['kymo.step']));

  it('loses of media what was logged in its last moments: KYMO_MEDIA_MEMORY_MIB bounds how much that may be', async () => {
    const ending = await go(images(''), { KYMO_MEDIA_MEMORY_MIB: '2', KYMO_BLOCK_MAX_MS: '60000' });
    expect(ending.signal).toBe('SIGKILL');
    await go('await new Promise(resolve => setTimeout(resolve, 1_000));');
    // Two are under way, and a few were encoded in the last 200 ms, whose batch was neither sent nor in the spool.
    expect(new Set(steps())).toEqual(new Set([...Array.from({ length: 20 }, (_, i) => i), ...steps()]));
  });

  it('loses none that have waited for the encoder for a moment: the next process in the folder encodes them', async () => {
    // The videos take the encoder some seconds; all others wait behind it.
    const trainer = train(
      project.path,
      `const run = kymo.init({ project: 'p', id: 'killed' });
       const log = kymo.getLogger('cam', { scope: 'ep.1' });
       const frames = new Uint8Array(300 * 100 * 100 * 3);
       for (let at = 0; at < frames.length; at += 60_000) crypto.getRandomValues(frames.subarray(at, at + 60_000));
       for (let step = 0; step < 3; step++) log.video('v', frames, { shape: [300, 100, 100, 3], step, fps: 10 + step });
       ${images("console.log('logged'); await new Promise(resolve => setTimeout(resolve, 60_000));")}`,
      { KYMO_ENDPOINT: sink.endpoint },
    );
    await trainer.said('logged');
    const deadline = Date.now() + 20_000;
    while (waitingFiles() < 43 && Date.now() < deadline) await new Promise(resolve => setTimeout(resolve, 5));
    trainer.child.kill('SIGKILL');
    await trainer.ended;
    expect(steps()).toEqual([]);
    await go(
      `const { existsSync, readdirSync } = process.getBuiltinModule('node:fs');
       const folder = ${JSON.stringify(spillDirectory(paths(project.path).spool))};
       const left = () => existsSync(folder) ? readdirSync(folder).filter(name => !name.endsWith('.tmp')).length : 0;
       while (left() > 0) await new Promise(resolve => setTimeout(resolve, 20));`,
    );
    const all = received(sink.logs);
    const video = all.filter(one => one.name === 'v');
    expect(new Set(video.map(one => one.attributes['kymo.step']))).toEqual(new Set([0, 1, 2]));
    expect(video[0]!.record.scope).toMatchObject({ name: 'cam', attributes: { 'kymo.scope': 'ep.1' } });
    expect(new Set(all.filter(one => one.name === 'i').map(one => one.attributes['kymo.step']))).toEqual(
      new Set(Array.from({ length: 40 }, (_, i) => i)),
    );
    // As the killed process would have sent them, and whole.
    for (const { record, bytes } of all) {
      expect(record.resource.attributes['kymo.run.id']).toBe('killed');
      expect(bytes).toBeDefined();
    }
    expect(waitingFiles()).toBe(0);
  });

  it('leaves nothing on the disk of media that have gone their way', async () => {
    const ending = await go(
      images('await run.finish(); process.stdout.write("done");').replace(/process\.kill.*/, ''),
    );
    expect(ending).toMatchObject({ code: 0, stdout: 'done' });
    expect(steps().sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i));
    expect(waitingFiles()).toBe(0);
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
    const next = train(project.path, `kymo.init({ project: 'p' }); setTimeout(() => {}, 60_000);`, {
      KYMO_ENDPOINT: sink.endpoint,
    });
    const arrived = () => new Set(steps()).size;
    for (const end = Date.now() + 20_000; arrived() < 40 && Date.now() < end; )
      await new Promise(resolve => setTimeout(resolve, 50));
    next.child.kill('SIGKILL');
    await next.ended;
    expect(arrived()).toBe(40);
  });
});

/** Batches on disk. */
function spooledBytes(): number {
  const folder = paths(project.path).spool;
  if (!existsSync(folder)) return 0;
  return readdirSync(folder)
    .filter(name => name.endsWith('.spool'))
    .reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

/** Media on disk, whole, that are not encoded. */
function waitingFiles(): number {
  const folder = spillDirectory(paths(project.path).spool);
  return existsSync(folder) ? readdirSync(folder).filter(name => !name.endsWith('.tmp')).length : 0;
}
