// Media on their whole way: a real process calls, a real OTLP server receives, other people's decoders read what arrived.
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { decode as decodePng } from 'fast-png';
import { CHUNK_BYTES } from '../../src/sdk/media/job.ts';
import { encodePng } from '../../src/sdk/media/png.ts';
import { received } from './media-content.ts';
import { OtlpSink } from './otlp-sink.ts';
import { projectFolder, train } from './trainer.ts';

const require = createRequire(import.meta.url);
const { GifReader } = require('omggif') as {
  GifReader: new (
    bytes: Uint8Array,
  ) => {
    width: number;
    height: number;
    numFrames(): number;
    decodeAndBlitFrameRGBA(n: number, out: Uint8Array): void;
  };
};
const jpeg = require('jpeg-js') as {
  encode(image: { data: Uint8Array; width: number; height: number }): { data: Uint8Array };
};

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
const go = async (script: string, env: Record<string, string> = {}) => {
  const ending = await train(project.path, `const run = kymo.init({ project: 'p' });\n${script}`, {
    KYMO_ENDPOINT: sink.endpoint,
    ...env,
  }).ended;
  return ending;
};
const media = () => received(sink.logs);
const artifacts = () => received(sink.logs, 'artifact');
const rgbaOf = (gif: Uint8Array, n: number) => {
  const reader = new GifReader(gif);
  const rgba = new Uint8Array(reader.width * reader.height * 4);
  reader.decodeAndBlitFrameRGBA(n, rgba);
  return rgba;
};
const pixelsOf = (png: Uint8Array) => [...(decodePng(png).data as Uint8Array)];

describe('an image', () => {
  it('arrives as PNG with its pixels, step, scope and run, and counts as one item', async () => {
    const ending = await go(`
      run.image('env/frame', Uint8Array.of(1, 2, 3, 4, 5, 6), { width: 2, height: 1, step: 3 });
      kymo.getLogger('cam', { scope: 'ep.1' }).image('grey', [[0, 0.2], [0.4, 1]]);
      console.log(run.id, JSON.stringify(await run.finish()));`);
    expect(ending).toMatchObject({ code: 0, stderr: '' });
    const [frame, grey] = media();
    expect(frame).toMatchObject({ name: 'env/frame', mimeType: 'image/png' });
    expect(frame!.attributes).toMatchObject({
      'kymo.media.kind': 'image',
      'kymo.media.width': 2,
      'kymo.media.height': 1,
      'kymo.step': 3,
    });
    expect(pixelsOf(frame!.bytes!)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(pixelsOf(grey!.bytes!)).toEqual([0, 51, 102, 255]);
    expect(grey!.record.scope).toMatchObject({ name: 'cam', attributes: { 'kymo.scope': 'ep.1' } });
    const [id, report] = ending.stdout.split(/ (.*)/s);
    expect(frame!.record.resource.attributes['kymo.run.id']).toBe(id);
    // Start, two images, finish.
    expect(JSON.parse(report!)).toMatchObject({ emitted: 4, delivered: 4, pending: 0, dropped: {} });
  });

  it('arrives when the process exits at once after the call, before the run is finished', async () => {
    const ending = await go(`
      run.image('last', new Uint8Array(512 * 512 * 3).fill(7), { width: 512, height: 512 });
      run.log({ loss: 1 });
      process.exit(3);`);
    expect(ending.code).toBe(3);
    expect(media().map(({ name }) => name)).toEqual(['last']);
    expect(sink.series('loss')).toHaveLength(1);
    // Whoever closes a run's files at its finish has all of it by then.
    expect(sink.logs.map(log => log.eventName)).toEqual(['kymo.run.start', 'kymo.media', 'kymo.run.finish']);
  });

  it('arrives when an uncaught error ends the process', async () => {
    const ending = await go(`run.image('last', [[1, 0]]); throw new Error('boom');`);
    expect(ending.code).toBe(1);
    expect(media()).toHaveLength(1);
  });

  it('is sent once: the same pixels again are only referred to, also after a flush and under another name', async () => {
    await go(`
      const pixels = Uint8Array.from({ length: 3 * 128 * 128 }, (_, i) => (i * 7919) >> 3);
      run.image('a', pixels, { width: 128, height: 128, step: 1 });
      run.image('a', pixels, { width: 128, height: 128, step: 2 });
      await run.flush();
      run.image('b', pixels, { width: 128, height: 128, step: 3 });
      await run.finish();
      const other = kymo.init({ project: 'p' });
      other.image('a', pixels, { width: 128, height: 128 });
      await other.finish();`);
    const all = media();
    expect(all.map(one => [one.name, one.attributes['kymo.step'], one.bytes !== undefined])).toEqual([
      ['a', 1, true],
      ['a', 2, false],
      ['b', 3, false],
      ['a', undefined, true],
    ]);
    expect(new Set(all.map(one => one.sha256)).size).toBe(1);
    expect(new Set(all.map(one => one.attributes['kymo.media.size'])).size).toBe(1);
  });

  it('passes through byte for byte where it is finished already', async () => {
    const png = Buffer.from(
      await encodePng({ width: 3, height: 1, channels: 1, pixels: Uint8Array.of(1, 2, 3) }),
    );
    const photo = jpeg.encode({ width: 16, height: 8, data: randomBytes(512) }).data;
    const gif = Buffer.from(
      '4749463839610100010080000000000000ffffff2c00000000010001000002024401003b',
      'hex',
    );
    const webp = Buffer.from('524946461a000000574542505650384c0e0000002f0180000010071011118888fe0700', 'hex');
    const large = Buffer.concat([png, randomBytes(3 * CHUNK_BYTES)]);
    const all = { png, photo, gif, webp, large };
    for (const [name, bytes] of Object.entries(all)) writeFileSync(join(project.path, name), bytes);
    await go(`
      import { readFileSync } from 'node:fs';
      for (const name of ['png', 'photo', 'gif', 'webp', 'large']) run.image(name, name);
      kymo.init({ project: 'p' }).image('png', readFileSync('png'));`);
    const [a, b, c, d, e, f] = media();
    expect(a!.bytes!.equals(png) && f!.bytes!.equals(png)).toBe(true);
    expect(b!.bytes!.equals(photo)).toBe(true);
    expect(b!.attributes).toMatchObject({ 'kymo.media.mime_type': 'image/jpeg', 'kymo.media.width': 16 });
    expect(c!.bytes!.equals(gif)).toBe(true);
    expect(d!.bytes!.equals(webp)).toBe(true);
    expect(d!.attributes).toMatchObject({ 'kymo.media.mime_type': 'image/webp', 'kymo.media.width': 2 });
    expect(e!.bytes!.equals(large)).toBe(true);
    expect(e!.chunks).toBe(4);
  });
});

describe('a video', () => {
  it('arrives as GIF, frame by frame', async () => {
    await go(`
      const frames = new Float32Array(3 * 4 * 5);
      for (let i = 0; i < 60; i++) frames[i] = Math.floor(i / 20) / 2;
      run.video('grey', frames, { shape: [3, 4, 5], fps: 10 });
      run.video('rgb', Uint8Array.from({ length: 2 * 3 * 2 * 2 }, (_, i) => i * 10), { shape: [2, 3, 2, 2] });`);
    const [grey, rgb] = media();
    expect(grey!.attributes).toMatchObject({
      'kymo.media.mime_type': 'image/gif',
      'kymo.media.frames': 3,
      'kymo.media.fps': 10,
      'kymo.media.width': 5,
      'kymo.media.height': 4,
    });
    expect(new GifReader(grey!.bytes!).numFrames()).toBe(3);
    expect([0, 1, 2].map(n => rgbaOf(grey!.bytes!, n)[0])).toEqual([0, 128, 255]);
    expect([...rgbaOf(rgb!.bytes!, 1).subarray(0, 4)]).toEqual([120, 160, 200, 255]);
  });

  it('says once how it read a shape that could mean two things', async () => {
    const ending = await go(`
      for (let i = 0; i < 3; i++) run.video('v', new Uint8Array(2 * 27), { shape: [2, 3, 3, 3] });
      run.video('w', new Uint8Array(2 * 27), { shape: [2, 3, 3, 3], layout: 'FHWC' });`);
    expect(ending.stderr.match(/channels first/g)).toHaveLength(1);
    expect(ending.stderr).toContain('video "v" has shape [2, 3, 3, 3]');
  });

  it('becomes a GIF, with one line, where MP4 is wanted and ffmpeg is missing', async () => {
    const ending = await go(
      `for (let i = 0; i < 2; i++) run.video('v', new Uint8Array(8).fill(i), { shape: [2, 2, 2], format: 'mp4' });`,
      { PATH: project.path },
    );
    expect(ending.stderr).toBe(
      'kymo: video "v" and other videos become GIF instead of MP4: ffmpeg is not on the PATH (KYMO_FFMPEG may name one)\n',
    );
    expect(media().map(one => one.mimeType)).toEqual(['image/gif', 'image/gif']);
  });

  it('becomes a GIF where ffmpeg fails', async () => {
    const program = join(project.path, 'ffmpeg');
    writeFileSync(program, '#!/bin/sh\necho "Unknown encoder libx264" >&2\nexit 1\n');
    chmodSync(program, 0o755);
    const ending = await go(`run.video('v', new Uint8Array(8), { shape: [2, 2, 2], format: 'mp4' });`, {
      PATH: `${project.path}${delimiter}${process.env.PATH}`,
    });
    expect(ending.stderr).toContain('ffmpeg ended with 1: Unknown encoder libx264');
    expect(media()[0]!.mimeType).toBe('image/gif');
    const missing = await go(`run.video('v', new Uint8Array(8), { shape: [2, 2, 2], format: 'mp4' });`, {
      KYMO_FFMPEG: join(project.path, 'nowhere/ffmpeg'),
    });
    expect(missing.stderr).toMatch(/KYMO_FFMPEG=".*nowhere\/ffmpeg" is not there/);
  });

  it('goes to ffmpeg as raw frames, and what that writes arrives', async () => {
    // Stands in for ffmpeg: writes the arguments and the frames that it got into the file that it was to make.
    const program = join(project.path, 'ffmpeg');
    writeFileSync(program, '#!/bin/sh\nfor last; do :; done\n{ echo "$@"; cat; } > "$last"\n');
    chmodSync(program, 0o755);
    await go(
      `run.video('v', Uint8Array.from({ length: 18 }, (_, i) => i + 65), { shape: [2, 3, 3], fps: 12, format: 'mp4' });`,
      { KYMO_FFMPEG: program },
    );
    const [video] = media();
    expect(video!.mimeType).toBe('video/mp4');
    const [args, frames] = video!.bytes!.toString().split('\n');
    expect(args).toMatch(
      /-pix_fmt gray -s 3x3 -r 12 -i pipe:0 -vf pad=ceil\(iw\/2\)\*2:ceil\(ih\/2\)\*2 -c:v libx264 -pix_fmt yuv420p -crf 18/,
    );
    expect(frames).toBe('ABCDEFGHIJKLMNOPQR');
  });
});

it('audio arrives as WAV, and clipping is told once', async () => {
  const ending = await go(`
    for (let i = 0; i < 2; i++) run.audio('beep', Float32Array.of(0, 1, -1.5, i / 8), { sampleRate: 8000 });`);
  const wav = media()[0]!;
  expect(wav.mimeType).toBe('audio/wav');
  expect([0, 1, 2].map(i => wav.bytes!.readInt16LE(44 + 2 * i))).toEqual([0, 32_767, -32_768]);
  expect(ending.stderr).toBe('kymo: audio "beep": 1 of 4 samples lie outside -1 to 1 and are clipped\n');
});

it('fields, trajectories and clouds arrive as a picture and as numbers', async () => {
  await go(`
    run.vectorField('f', Float32Array.from({ length: 128 }, (_, i) => i), { shape: [8, 8, 2], step: 1 });
    run.trajectories('t', [[[0, 0], [1, 1]]], { step: 1 });
    run.pointCloud('p', [[0, 0, 0], [1, 1, 1]], { step: 1 });`);
  const all = media();
  expect(all.map(one => [one.name, one.attributes['kymo.media.kind'], one.mimeType])).toEqual([
    ['f', 'vector_field', 'image/png'],
    ['f', 'vector_field', 'application/x-npy'],
    ['t', 'trajectories', 'image/png'],
    ['t', 'trajectories', 'application/x-npy'],
    ['p', 'point_cloud', 'image/png'],
    ['p', 'point_cloud', 'model/ply'],
  ]);
  expect(decodePng(all[0]!.bytes!)).toMatchObject({ width: 512, height: 512 });
  const npy = all[1]!.bytes!;
  expect(npy.toString('latin1', 0, 128)).toContain("'shape': (8, 8, 2)");
  expect(npy.readFloatLE(128 + 4 * 127)).toBe(127);
  for (const one of all)
    expect(one.record.timeUnixNano).toBe(all.find(({ name }) => name === one.name)!.record.timeUnixNano);
});

describe('an artifact', () => {
  it('waits on disk while the collector is slow: nothing of it is read ahead without bound', async () => {
    writeFileSync(join(project.path, 'big.bin'), Buffer.alloc(64 * 1024 * 1024, 'x'));
    let open = false;
    let refused = 0;
    sink.answer = () => {
      if (open) return { status: 200 };
      refused++;
      return { status: 503 };
    };
    const trainer = train(
      project.path,
      `const run = kymo.init({ project: 'p' });
       run.artifact('big', 'big.bin');
       console.log('logged');
       setTimeout(() => { console.log('rss', process.memoryUsage.rss()); }, 1500);
       setTimeout(async () => console.log(JSON.stringify((await run.finish()).dropped)), 1600);`,
      { KYMO_ENDPOINT: sink.endpoint },
    );
    await trainer.said('rss');
    expect(refused).toBeGreaterThan(0);
    expect(bytesInKymoFolder(project.path)).toBeLessThan(40 * 1024 * 1024);
    open = true;
    const ending = await trainer.ended;
    expect(ending.stdout).toContain('{}');
    expect(artifacts()[0]!.bytes!.length).toBe(64 * 1024 * 1024);
  }, 30_000);

  it('that is a folder arrives file by file; links are left out and told', async () => {
    mkdirSync(join(project.path, 'data/deep'), { recursive: true });
    writeFileSync(join(project.path, 'data/a.txt'), 'a');
    writeFileSync(join(project.path, 'data/deep/b.bin'), randomBytes(CHUNK_BYTES + 1));
    writeFileSync(join(project.path, 'data/empty'), '');
    symlinkSync('/etc/hostname', join(project.path, 'data/link'));
    const ending = await go(`run.artifact('set', 'data', { type: 'dataset', aliases: ['v1'] });
      console.log(JSON.stringify(await run.finish()));`);
    const files = artifacts();
    expect(files.map(one => one.attributes['kymo.artifact.path'])).toEqual(['a.txt', 'deep/b.bin', 'empty']);
    for (const one of files) {
      expect(
        one.bytes!.equals(
          readFileSync(join(project.path, 'data', String(one.attributes['kymo.artifact.path']))),
        ),
      ).toBe(true);
      expect(one.attributes).toMatchObject({ 'kymo.artifact.name': 'set', 'kymo.artifact.type': 'dataset' });
      expect(one.record.timeUnixNano).toBe(files[0]!.record.timeUnixNano);
    }
    expect(ending.stderr).toMatch(/artifact "set": 1 entries of .*data are left out \(links/);
    expect(JSON.parse(ending.stdout)).toMatchObject({ emitted: 3, delivered: 3 });
  });

  it('is dropped, counted and told when its file changes before it is sent', async () => {
    writeFileSync(join(project.path, 'big.bin'), Buffer.alloc(5 * 1024 * 1024, 'x'));
    const ending = await go(`
      import { appendFileSync } from 'node:fs';
      run.artifact('model', 'big.bin');
      appendFileSync('big.bin', 'more');
      console.log(JSON.stringify(await run.finish()));`);
    expect(ending.stderr).toMatch(/artifact "model" is dropped: .*big.bin changed after it was logged/);
    expect(artifacts()).toEqual([]);
    expect(JSON.parse(ending.stdout)).toMatchObject({
      emitted: 3,
      delivered: 2,
      pending: 0,
      dropped: { media_failed: 1 },
    });
  });

  it('may be written over at once where it is small', async () => {
    writeFileSync(join(project.path, 'state.json'), '{"step":1}');
    await go(`
      import { writeFileSync } from 'node:fs';
      run.artifact('state', 'state.json');
      writeFileSync('state.json', '{"step":2}');`);
    expect(artifacts()[0]!.bytes!.toString()).toBe('{"step":1}');
  });

  it('that lives elsewhere travels as its address alone', async () => {
    await go(`run.artifact('data', 'gs://bucket/data');`);
    expect(artifacts()[0]).toMatchObject({ bytes: undefined, sha256: '' });
    expect(artifacts()[0]!.attributes['kymo.artifact.uri']).toBe('gs://bucket/data');
  });
});

describe('under load', () => {
  it('scalars do not wait for media: they arrive while a long video is encoded', async () => {
    let first = 0;
    sink.answer = () => {
      if (first === 0 && sink.series('loss').length > 0) first = media().length + 1;
      return { status: 200 };
    };
    await go(`
      run.video('long', Uint8Array.from({ length: 600 * 128 * 128 * 3 }, (_, i) => (i * 2654435761) >>> 24), { shape: [600, 128, 128, 3] });
      for (let i = 0; i < 1000; i++) run.log({ loss: i });
      await new Promise(resolve => setTimeout(resolve, 100));
      await run.finish();`);
    expect(sink.series('loss')).toHaveLength(1000);
    expect(media()).toHaveLength(1);
    const firstScalar = sink.keys.findIndex(key => key.includes('/metrics/'));
    const lastLog = sink.keys.findLastIndex(key => key.includes('/logs/'));
    expect(firstScalar).toBeLessThan(lastLog);
    expect(first).toBe(1);
  }, 30_000);

  it.each(['drop', 'block'])(
    'beyond the limit on memory the policy %s holds, and every piece is counted',
    async overflow => {
      const ending = await go(
        `const pixels = new Uint8Array(600 * 600 * 3);
       for (let i = 0; i < 30; i++) { crypto.getRandomValues(pixels.subarray(0, 60000)); run.image('i', pixels, { width: 600, height: 600, step: i }); }
       console.log(JSON.stringify(await run.finish()));`,
        { KYMO_MEDIA_MEMORY_MIB: '2', KYMO_OVERFLOW: overflow, KYMO_BLOCK_MAX_MS: '20000' },
      );
      const report = JSON.parse(ending.stdout) as {
        emitted: number;
        delivered: number;
        dropped: { media_overflow?: number };
      };
      const lost = report.dropped.media_overflow ?? 0;
      expect(report).toMatchObject({ emitted: 32, delivered: 32 - lost, pending: 0 });
      expect(media()).toHaveLength(30 - lost);
      expect(ending.stderr.match(/are dropped: media come faster/g) ?? []).toHaveLength(
        overflow === 'block' ? 0 : 1,
      );
      if (overflow === 'block') expect(lost).toBe(0);
      else expect(lost).toBeGreaterThan(10);
    },
  );

  it('what the collector does not take is in the spool, and the next run in the folder brings it', async () => {
    sink.answer = () => ({ status: 503 });
    const script = (name: string) => `
      run.image('${name}', Uint8Array.from({ length: 3 * 512 * 512 }, (_, i) => (i * 2654435761) >>> 24), { width: 512, height: 512 });`;
    const first = await go(script('kept'), { KYMO_EXIT_TIMEOUT_MS: '1500' });
    expect(first.code).toBe(0);
    expect(first.stderr).toMatch(/3 items are not delivered yet .*; 3 of them are kept in/);
    sink.answer = () => ({ status: 200 });
    await go('await new Promise(resolve => setTimeout(resolve, 500));');
    expect(media().map(one => [one.name, one.bytes !== undefined])).toEqual([['kept', true]]);
  }, 30_000);
});

/** What Kymo keeps in the project folder. */
function bytesInKymoFolder(path: string): number {
  let size = 0;
  for (const entry of readdirSync(join(path, '.kymo'), { recursive: true, withFileTypes: true }))
    if (entry.isFile()) size += statSync(join(entry.parentPath, entry.name)).size;
  return size;
}
