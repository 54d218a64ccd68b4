// Kills a training again and again while it saves checkpoints of random sizes, at random moments, and resumes it each time.
// Run: node test/chaos/checkpoints.ts [rounds] [seed]. Fails when a checkpoint that was said to be saved cannot be loaded, is a mixture of two, or when
// a resumed training does not go on from the last one; also when leftovers of killed saves pile up.
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readCheckpoints } from '../../src/research/checkpoints/folder.ts';
import { loadCheckpoint } from '../../src/research/checkpoints/load.ts';
import { train } from '../sdk/trainer.ts';
import { Random } from './random.ts';

const rounds = Number(process.argv[2] ?? 40);
const seed = Number(process.argv[3] ?? Math.floor(Math.random() * 1e9));
const KEEP = 3;
const ENV = { KYMO_QUIET: '1', KYMO_ENDPOINT: 'http://127.0.0.1:9', KYMO_EXIT_TIMEOUT_MS: '0' };

/** Every number of a state is its step, so that a mixture shows. */
const SCRIPT = `
const run = kymo.init({ project: 'p', id: 'r', resume: 'allow', checkpoints: { keep: ${KEEP}, bufferEvery: 3 } });
const from = run.loadCheckpoint();
if (from !== undefined && (from.state.some(x => x !== from.step) || from.buffer.some(x => x !== from.bufferStep))) throw new Error('a mixture');
console.log('from', from?.step ?? -1);
for (let step = (from?.step ?? -1) + 1; ; step++) {
  const floats = () => new Float64Array(1 + Math.floor(Math.random() ** 4 * 2_000_000)).fill(step);
  const save = { state: floats(), buffer: floats, step, isBest: Math.random() < 0.2 };
  run.log({ step });
  if (Math.random() < 0.5) run.saveCheckpointSync(save); else await run.saveCheckpoint(save);
  console.log('saved', step);
}`;

const random = new Random(seed);
const folder = mkdtempSync(join(tmpdir(), 'kymo-chaos-checkpoints-'));
let said = -1;
try {
  for (let round = 0; round < rounds; round++) {
    const trainer = train(folder, SCRIPT, ENV);
    await trainer.said('saved');
    await delay(random.below(120));
    trainer.child.kill('SIGKILL');
    const { stdout, stderr } = await trainer.ended;
    if (stderr !== '') throw new Error(`round ${round}: ${stderr}`);
    const from = Number(/from (-?\d+)/.exec(stdout)![1]);
    if (from < said) throw new Error(`round ${round}: went on from ${from}, though ${said} was saved`);
    said = Math.max(said, ...[...stdout.matchAll(/saved (\d+)/g)].map(match => Number(match[1])));
    judge(round);
  }
  console.log(`${rounds} kills, ${said + 1} checkpoints, none lost (seed ${seed})`);
} catch (error) {
  console.error(`seed ${seed}`);
  throw error;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function judge(round: number): void {
  const run = join(folder, 'runs/r');
  const found = readCheckpoints(join(run, 'checkpoints'), 0);
  const newest = found.at(-1)!;
  if (newest.step < said)
    throw new Error(`round ${round}: the newest is ${newest.step}, though ${said} was saved`);
  for (const { path, manifest } of found) {
    const { state, buffer, step, bufferStep } = loadCheckpoint(path, manifest, {
      serializer: undefined,
      tf: undefined,
      buffer: true,
    });
    const whole =
      (state as Float64Array).every(x => x === step) && (buffer as Float64Array).every(x => x === bufferStep);
    if (!whole) throw new Error(`round ${round}: the checkpoint of step ${step} is a mixture`);
  }
  // The newest, the best, one that was being cleaned away, and what one kill leaves of each kind.
  const files = (readdirSync(run, { recursive: true }) as string[]).filter(name =>
    statSync(join(run, name), { throwIfNoEntry: false })?.isFile(),
  );
  if (found.length > KEEP + 2) throw new Error(`round ${round}: ${found.length} checkpoints are kept`);
  const halves = files.filter(name => name.includes('.saving-'));
  if (halves.length > 1) throw new Error(`round ${round}: leftovers pile up: ${halves.join(', ')}`);
}
