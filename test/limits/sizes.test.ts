// The sizes that are promised, on their whole way: from the call through the bundled collector into the run's files.
import { createHash } from 'node:crypto';
import {
  createReadStream,
  openSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { decode as decodePng } from 'fast-png';
import { DEFAULT_LIMIT_BYTES } from '../../src/collector/memory/limits.ts';
import { endCollectors } from '../sdk/collectors.ts';
import { projectFolder } from '../sdk/trainer.ts';
import { lines, watched } from './runs.ts';

const { GifReader } = createRequire(import.meta.url)('omggif') as {
  GifReader: new (
    bytes: Uint8Array,
  ) => { numFrames(): number; decodeAndBlitFrameRGBA(n: number, out: Uint8Array): void };
};

const COLLECTOR_MIB = DEFAULT_LIMIT_BYTES / 2 ** 20;
const SLACK_MIB = 64;

let project: ReturnType<typeof projectFolder>;
beforeEach(() => {
  project = projectFolder();
});
afterEach(async () => {
  await endCollectors(project.path);
  project.remove();
});

const WHOLE = { pending: 0, dropped: {}, written: true };

it('an image may have 8192 by 8192 pixels', async () => {
  const { report, folder } = await watched(
    project.path,
    `const pixels = new Uint8Array(8192 * 8192 * 3);
     for (let i = 0; i < pixels.length; i += 3) pixels[i] = i >> 16;
     run.image('big', pixels, { width: 8192, height: 8192, step: 1 });
     await finish();`,
  );
  expect(report).toMatchObject(WHOLE);
  const [line] = lines(folder, 'media.jsonl');
  expect(line).toMatchObject({ step: 1, name: 'big', mime: 'image/png', width: 8192, height: 8192 });
  const png = decodePng(readFileSync(join(folder, String(line!.path))));
  expect([png.width, png.height, png.channels]).toEqual([8192, 8192, 3]);
  for (const pixel of [0, 8192 * 5000 + 17, 8192 * 8192 - 1]) {
    const at = 3 * pixel;
    expect([...(png.data as Uint8Array).subarray(at, at + 3)]).toEqual([(at >> 16) & 255, 0, 0]);
  }
});

it('a video may have 1,000 frames of 256 by 256 pixels in colour', async () => {
  const { report, folder } = await watched(
    project.path,
    `const pixels = new Uint8Array(1000 * 256 * 256 * 3);
     for (let f = 0, i = 0; f < 1000; f++)
       for (let y = 0; y < 256; y++) for (let x = 0; x < 256; x++) { pixels[i++] = x; pixels[i++] = y; pixels[i++] = f; }
     run.video('long', pixels, { shape: [1000, 256, 256, 3], step: 2 });
     for (let i = 0; i < 1000; i++) run.log({ loss: i });
     await finish();`,
  );
  expect(report).toMatchObject(WHOLE);
  const [line] = lines(folder, 'media.jsonl');
  expect(line).toMatchObject({ step: 2, mime: 'image/gif', frames: 1000, width: 256, height: 256 });
  const gif = new GifReader(readFileSync(join(folder, String(line!.path))));
  expect(gif.numFrames()).toBe(1000);
  // A palette of 256 for 65,536 colours: near, not equal.
  const rgba = new Uint8Array(256 * 256 * 4);
  gif.decodeAndBlitFrameRGBA(999, rgba);
  const [red, green, blue] = rgba.subarray(4 * (256 * 40 + 200));
  expect(Math.abs(red! - 200)).toBeLessThan(24);
  expect(Math.abs(green! - 40)).toBeLessThan(24);
  expect(Math.abs(blue! - (999 & 255))).toBeLessThan(24);
  expect(lines(folder, 'metrics.jsonl')).toHaveLength(1000);
});

it('an artifact of 2 GiB is streamed: neither the trainer nor the collector grows with it', async () => {
  const bytes = 2 * 1024 ** 3 + 12_345;
  const path = join(project.path, 'big.bin');
  writeFileSync(path, 'beginning');
  truncateSync(path, bytes - 3);
  writeSync(openSync(path, 'r+'), 'end', bytes - 3);
  const { report, folder, collectorMiB } = await watched(
    project.path,
    `const before = process.memoryUsage.rss();
     run.artifact('weights', 'big.bin', { type: 'model' });
     for (let i = 0; i < 100; i++) run.log({ loss: i });
     await finish({ beforeMiB: before / 2 ** 20 });`,
  );
  expect(report).toMatchObject(WHOLE);
  expect(Number(report.mostMiB) - Number(report.beforeMiB)).toBeLessThan(250);
  // Its limit of memory, and what it may be above it for a moment: it is measured from outside, at its highest.
  if (!Number.isNaN(collectorMiB)) expect(collectorMiB).toBeLessThan(COLLECTOR_MIB + SLACK_MIB);
  const [line] = lines(folder, 'artifacts.jsonl');
  expect(line).toMatchObject({ name: 'weights', type: 'model', size: bytes });
  const there = join(folder, String(line!.path));
  expect(statSync(there).size).toBe(bytes);
  const sha256 = await hashOf(path);
  expect(line!.sha256).toBe(sha256);
  expect(await hashOf(there)).toBe(sha256);
});

it('a table may have 100,000 rows', async () => {
  const { report, folder } = await watched(
    project.path,
    `run.table('t', Array.from({ length: 100_000 }, (_, i) => ({ i, text: 'row ' + i, half: i / 2 })));
     await finish();`,
  );
  expect(report).toMatchObject(WHOLE);
  const [line] = lines(folder, 'media.jsonl');
  expect(line).toMatchObject({ kind: 'table', metadata: { columns: ['i', 'text', 'half'], rows: 100_000 } });
  const table = JSON.parse(readFileSync(join(folder, String(line!.path)), 'utf8')) as {
    columns: string[];
    data: unknown[][];
  };
  expect(table.data).toHaveLength(100_000);
  expect(table.data[77_777]).toEqual([77_777, 'row 77777', 77_777 / 2]);
});

it('5,000 rollouts of 50 messages arrive whole, in bounded memory', async () => {
  const { report, folder, collectorMiB } = await watched(
    project.path,
    `const messages = Array.from({ length: 50 }, (_, i) => ({ role: i % 2 ? 'user' : 'assistant', content: 'word '.repeat(30) + i }));
     for (let i = 0; i < 5_000; i++) {
       run.logRollout({ prompt: 'question ' + i, messages, rewards: { correct: i % 2, format: 0.5 }, id: 'r' + i, step: i });
       if (i % 100 === 0) mostRss = Math.max(mostRss, process.memoryUsage.rss());
     }
     await finish();`,
  );
  expect(report).toMatchObject(WHOLE);
  expect(Number(report.mostMiB)).toBeLessThan(700);
  if (!Number.isNaN(collectorMiB)) expect(collectorMiB).toBeLessThan(COLLECTOR_MIB + SLACK_MIB);
  const rollouts = lines(folder, 'rollouts.jsonl');
  expect(rollouts.map(line => line.id)).toEqual(Array.from({ length: 5_000 }, (_, i) => `r${i}`));
  for (const [i, { messages, prompt, rewards }] of rollouts.entries()) {
    expect(messages).toHaveLength(50);
    expect([prompt, rewards]).toEqual([`question ${i}`, { correct: i % 2, format: 0.5 }]);
  }
  const rewards = lines(folder, 'metrics.jsonl').filter(row => 'rewards/correct' in row);
  expect(rewards.map(row => row['rewards/correct'])).toEqual(Array.from({ length: 5_000 }, (_, i) => i % 2));
});

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 }))
    hash.update(chunk as Buffer);
  return hash.digest('hex');
}
