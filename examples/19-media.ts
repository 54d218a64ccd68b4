// What can be seen and heard: pictures, a video, a sound, a vector field, paths, points.
import * as kymo from 'kymo';

const run = kymo.init({ project: 'examples', name: 'media' });
const SIDE = 48;
/** Red from left to right, green from top to bottom, blue as told. */
const picture = (blue: number) =>
  Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, i) => {
    const pixel = Math.floor(i / 3);
    return i % 3 === 0 ? 5 * (pixel % SIDE) : i % 3 === 1 ? 5 * Math.floor(pixel / SIDE) : blue;
  });

for (let step = 0; step < 3; step++) {
  run.log({ loss: 1 / (step + 1) }, { step });
  run.image('eval/frame', picture(100 * step), { width: SIDE, height: SIDE, step, caption: `epoch ${step}` });
}
// Frames one after the other; a GIF, or with {format: 'mp4'} and ffmpeg an MP4.
const frames = Uint8Array.from(Array.from({ length: 12 }, (_, n) => [...picture(20 * n)]).flat());
run.video('episode', frames, { shape: [12, SIDE, SIDE, 3], fps: 6 });
const beep = Float32Array.from({ length: 4_000 }, (_, i) => 0.4 * Math.sin(i / 3));
run.audio('beep', beep, { sampleRate: 8_000 });

// A vortex, three walks of different length, points with a category.
const vortex = Float32Array.from({ length: 32 * 32 * 2 }, (_, i) =>
  i % 2 === 0 ? 16 - Math.floor(i / 64) : Math.floor((i % 64) / 2) - 16,
);
run.vectorField('flow', vortex, { shape: [32, 32, 2], render: 'vorticity' });
const walk = (length: number) =>
  Array.from({ length: 30 }, (_, i) =>
    i < length ? [i, Math.sin(i / 4) * length] : [Number.NaN, Number.NaN],
  );
run.trajectories('walks', [walk(10), walk(20), walk(30)]);
run.pointCloud(
  'scan',
  Array.from({ length: 200 }, (_, i) => [Math.cos(i), Math.sin(i), i / 50, i % 3]),
);
await run.finish();
console.log(`see ${run.dir}/media`);
