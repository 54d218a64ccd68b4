// The real ffmpeg makes MP4 of a video's frames, and reads back what the run received.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { received } from '../../sdk/media-content.ts';
import { OtlpSink } from '../../sdk/otlp-sink.ts';
import { projectFolder, train } from '../../sdk/trainer.ts';
import { describeWithPeers } from '../peers.ts';

const FRAMES = 12;
const HEIGHT = 33;
const WIDTH = 47;

describeWithPeers('MP4 by ffmpeg', ['ffmpeg'], python => {
  const ffmpeg = spawnSync(python!, ['-c', 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())'], {
    encoding: 'utf8',
  }).stdout.trim();
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

  it.each([
    ['colours, channels last', `[${FRAMES}, ${HEIGHT}, ${WIDTH}, 3]`, 3],
    ['greys', `[${FRAMES}, ${HEIGHT}, ${WIDTH}]`, 1],
  ])('has every frame in its colours, whatever the sides: %s', async (_, shape, channels) => {
    const ending = await train(
      project.path,
      `const run = kymo.init({ project: 'p' });
       const pixels = new Uint8Array(${FRAMES * HEIGHT * WIDTH * channels});
       for (let i = 0; i < pixels.length; i++)
         pixels[i] = 20 * Math.floor(i / ${HEIGHT * WIDTH * channels}) + 10 * (i % ${channels});
       run.video('v', pixels, { shape: ${shape}, fps: 12, format: 'mp4' });`,
      { KYMO_ENDPOINT: sink.endpoint, KYMO_FFMPEG: ffmpeg },
    ).ended;
    expect(ending).toMatchObject({ code: 0, stderr: '' });
    const [video] = received(sink.logs);
    expect(video).toMatchObject({ name: 'v', mimeType: 'video/mp4' });
    const file = join(project.path, 'v.mp4');
    writeFileSync(file, video!.bytes!);
    const told = spawnSync(ffmpeg, ['-hide_banner', '-i', file], { encoding: 'utf8' }).stderr;
    // Sides are made even, and browsers begin to play before all has come.
    expect(told).toMatch(/Video: h264 .*yuv420p.*48x34.*12 fps/);
    expect(video!.bytes!.indexOf('moov')).toBeLessThan(video!.bytes!.indexOf('mdat'));
    const raw = spawnSync(ffmpeg, ['-v', 'error', '-i', file, '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-'], {
      maxBuffer: 2 ** 26,
    }).stdout;
    expect(raw.length).toBe(FRAMES * 48 * 34 * 3);
    for (let f = 0; f < FRAMES; f++)
      for (let c = 0; c < 3; c++) {
        const shown = raw[(f * 48 * 34 + 48 * 10 + 20) * 3 + c]!;
        expect(Math.abs(shown - (20 * f + 10 * (c % channels)))).toBeLessThan(12);
      }
  });
});
