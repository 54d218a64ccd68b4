// The measured program of media.ts: scalars, images or videos as goggles' benchmark logs them; then counts what lies in the run's files.
import fs from 'node:fs';
import path from 'node:path';
import * as kymo from 'kymo';
import { percentile } from './report.ts';

const FRAMES = 10;

const [kind = 'scalar', sizeText = '64', callsText = '100', delayText = '0'] = process.argv.slice(2);
const size = Number(sizeText);
const calls = Number(callsText);
const delayMs = Number(delayText);
const sleeper = new Int32Array(new SharedArrayBuffer(4));
const run = kymo.init({ project: 'bench', id: 'r' });
const call = makeCall();

const singles = new Float64Array(calls);
const begin = performance.now();
for (let i = 0; i < calls; i++) {
  const before = performance.now();
  call(i);
  singles[i] = (performance.now() - before) * 1e6;
  if (delayMs > 0) Atomics.wait(sleeper, 0, 0, delayMs);
}
const loopSeconds = (performance.now() - begin) / 1e3;
const report = await run.finish();
const seconds = (performance.now() - begin) / 1e3;
const sorted = singles.sort();
console.log(
  JSON.stringify({
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    max: percentile(sorted, 1),
    loopSeconds,
    seconds,
    sent: calls,
    delivered: report.written === true ? inFiles() : 0,
  }),
);

function makeCall(): (i: number) => void {
  if (kind === 'scalar') return i => run.scalar('test_metric', i * 0.5, { step: i });
  const pixels = new Uint8Array(size * size * 3 * (kind === 'video' ? FRAMES : 1));
  // Noise, which no encoder makes smaller; each call has its own in its first pixels, or it would be stored once for all.
  for (let at = 0; at < pixels.length; at += 65_536)
    crypto.getRandomValues(pixels.subarray(at, Math.min(at + 65_536, pixels.length)));
  const counter = new DataView(pixels.buffer);
  return i => {
    counter.setUint32(0, i);
    if (kind === 'image') run.image('test_image', pixels, { width: size, height: size, step: i });
    else run.video('test_video', pixels, { shape: [FRAMES, size, size, 3], step: i });
  };
}

/** What a reader of the run finds: rows of the metric, or media whose file is there in its size. */
function inFiles(): number {
  const folder = run.dir!;
  const file = path.join(folder, 'logs', kind === 'scalar' ? 'metrics.jsonl' : 'media.jsonl');
  const steps = new Set<number>();
  for (const text of fs.readFileSync(file, 'utf8').trimEnd().split('\n')) {
    const line = JSON.parse(text) as { step: number; path?: string; size?: number };
    if (kind === 'scalar' || (line.path && fs.statSync(path.join(folder, line.path)).size === line.size))
      steps.add(line.step);
  }
  return steps.size;
}
