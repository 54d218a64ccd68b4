// Checkpoints of a training that is killed while it saves them, or whose disk is full: what was said to be saved can be loaded, whole.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readCheckpoints } from '../../../src/research/checkpoints/folder.ts';
import { loadCheckpoint } from '../../../src/research/checkpoints/load.ts';
import { type Ending, train } from '../../sdk/trainer.ts';
import { type Arena, ChaosError } from '../arena.ts';
import { pause } from '../processes.ts';
import { type Scenario, scenario } from '../scenario.ts';
import { onSmallDisk } from './disk.ts';

const KILLS = 5;
const KEEP = 3;
/** Nothing listens there: what is saved does not go through a collector. */
const ENV = { KYMO_QUIET: '1', KYMO_ENDPOINT: 'http://127.0.0.1:9', KYMO_EXIT_TIMEOUT_MS: '0' };

/** Every number of a state is its step, so that a mixture shows. */
const script = (mostNumbers: number): string => `
const run = kymo.init({ project: 'p', id: 'r', resume: 'allow', checkpoints: { keep: ${KEEP}, bufferEvery: 3 } });
const from = run.loadCheckpoint();
if (from !== undefined && (from.state.some(x => x !== from.step) || from.buffer.some(x => x !== from.bufferStep))) throw new Error('a mixture');
console.log('from', from?.step ?? -1);
for (let step = (from?.step ?? -1) + 1; ; step++) {
  const floats = () => new Float64Array(1 + Math.floor(Math.random() ** 4 * ${mostNumbers})).fill(step);
  const save = { state: floats(), buffer: floats(), step, isBest: Math.random() < 0.2 };
  run.log({ step });
  const { kind } = Math.random() < 0.5 ? run.saveCheckpointSync(save) : await run.saveCheckpoint(save);
  console.log(kind, step);
}`;

/** The newest checkpoint that the training has said to be saved. */
class Said {
  step = -1;

  /** Throws when the training went on from an older one. */
  heard(arena: Arena, { stdout }: Ending): void {
    const from = Number(/from (-?\d+)/.exec(stdout)?.[1]);
    if (!(from >= this.step)) throw new ChaosError(`went on from ${from}, though ${this.step} was saved`);
    for (const [, step] of stdout.matchAll(/saved (\d+)/g)) {
      this.step = Math.max(this.step, Number(step));
      arena.tally.points++;
    }
  }
}

const killed: Scenario = scenario(
  'a training is killed again and again while it saves checkpoints',
  async arena => {
    const said = new Said();
    for (let round = 0; round < KILLS; round++) {
      const trainer = train(arena.folder, script(2_000_000), ENV);
      await trainer.said('saved');
      await pause(arena.random.below(120));
      trainer.child.kill('SIGKILL');
      const ending = await trainer.ended;
      arena.tally.kills++;
      if (ending.stderr !== '') throw new ChaosError(ending.stderr);
      said.heard(arena, ending);
      judgeCheckpoints(arena, said.step);
    }
  },
  { short: true },
);

const full: Scenario = onSmallDisk(
  'the disk is full while checkpoints are saved, and has room again',
  arena => arena.runs,
  32,
  async (arena, disk) => {
    const said = new Said();
    const trainer = train(arena.folder, script(100_000), ENV);
    await trainer.said('saved 5');
    disk.fill();
    arena.tally.faults++;
    await trainer.said('failed');
    await pause(arena.random.below(500));
    trainer.child.kill('SIGKILL');
    const ending = await trainer.ended;
    arena.tally.kills++;
    if (!/ENOSPC|no space left/i.test(ending.stderr)) throw new ChaosError(`nothing told: ${ending.stderr}`);
    said.heard(arena, ending);
    judgeCheckpoints(arena, said.step);
    disk.free();
    const next = train(arena.folder, script(100_000), ENV);
    await next.said('saved');
    next.child.kill('SIGKILL');
    said.heard(arena, await next.ended);
    judgeCheckpoints(arena, said.step);
  },
  true,
);

export const CHECKPOINTS: readonly Scenario[] = [killed, full];

function judgeCheckpoints(arena: Arena, said: number): void {
  const run = join(arena.runs, 'r');
  const found = readCheckpoints(join(run, 'checkpoints'), 0);
  const newest = found.at(-1)?.step ?? -1;
  if (newest < said) throw new ChaosError(`the newest checkpoint is ${newest}, though ${said} was saved`);
  for (const { path, manifest } of found) {
    const { state, buffer, step, bufferStep } = loadCheckpoint(path, manifest, {
      serializer: undefined,
      tf: undefined,
      buffer: true,
    });
    const whole =
      (state as Float64Array).every(x => x === step) && (buffer as Float64Array).every(x => x === bufferStep);
    if (!whole) throw new ChaosError(`the checkpoint of step ${step} is a mixture`);
  }
  // The newest, the best, one that was being cleaned away, and what one kill leaves of each kind.
  if (found.length > KEEP + 2) throw new ChaosError(`${found.length} checkpoints are kept`);
  const halves = (readdirSync(run, { recursive: true }) as string[]).filter(
    name => name.includes('.saving-') && statSync(join(run, name), { throwIfNoEntry: false })?.isFile(),
  );
  if (halves.length > 1) throw new ChaosError(`leftovers pile up: ${halves.join(', ')}`);
}
