// A training process of the chaos tests: records its plan's rows through the public API, and notes in files of its own what it did.
import { spawn } from 'node:child_process';
import { openSync, writeSync } from 'node:fs';
import * as kymo from '../../src/index.ts';
import { rowOf, stepsOf } from './plan.ts';
import { type Answer, RECORD_BYTES, type Task } from './producer-task.ts';

const task = JSON.parse(process.env.CHAOS_TASK ?? '{}') as Task;
const recorded = openSync(task.recordedFile, 'a');
const answers = openSync(task.answersFile, 'a');
const record = Buffer.alloc(RECORD_BYTES);
const sleeper = new Int32Array(new SharedArrayBuffer(4));

const runs = task.plans.map(plan =>
  kymo.init({
    project: 'chaos',
    id: plan.run,
    ...(task.rank === undefined ? {} : { rank: task.rank }),
    ...(task.resumeStep === undefined ? {} : { resume: { step: task.resumeStep, attempt: plan.attempt } }),
  }),
);
const steps = task.plans.map(stepsOf);
const done = task.plans.map(() => 0);
const longest = Math.max(...task.plans.map(plan => plan.rows));

if (task.child !== undefined) {
  const env = { ...process.env, CHAOS_TASK: JSON.stringify(task.child) };
  const child = spawn(process.execPath, process.argv.slice(1), {
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  process.stdout.write(`child ${child.pid}\n`);
}
if (task.warm) await runs[0]!.flush();
for (let row = 0, bursts = 0; row < longest; ) {
  for (const end = Math.min(row + task.burst, longest); row < end; row++) {
    for (const [i, plan] of task.plans.entries()) {
      const step = steps[i]![row];
      if (step === undefined) continue;
      runs[i]!.log(rowOf(plan, step), { step });
      done[i] = row + 1;
      if (task.badEvery !== undefined && row % task.badEvery === task.badEvery - 1)
        runs[i]!.log({ [`${plan.prefix}/bad`]: undefined as unknown as number }, { step });
      record.writeUInt32LE(i, 0);
      record.writeUInt32LE(row, 4);
      record.writeDoubleLE(performance.timeOrigin + performance.now(), 8);
      writeSync(recorded, record);
    }
  }
  bursts++;
  if (task.flushEvery > 0 && bursts % task.flushEvery === 0) answered('flush', await runs[0]!.flush());
  if (task.synchronous) {
    if (task.pauseMs > 0) Atomics.wait(sleeper, 0, 0, task.pauseMs);
  } else await new Promise(resolve => setTimeout(resolve, task.pauseMs));
}
process.stdout.write('recorded\n');
switch (task.ending) {
  case 'finish':
    for (const [i, run] of runs.entries()) {
      const report = await run.finish();
      if (i === runs.length - 1) answered('finish', report);
    }
    break;
  case 'exit':
    process.exit(0);
    break;
  case 'throw':
    throw new Error('chaos: training went wrong');
  case 'hang':
    setInterval(() => undefined, 1_000);
    break;
  case 'natural':
    break;
}

function answered(kind: Answer['kind'], report: kymo.DeliveryReport): void {
  const answer: Answer = { kind, rows: [...done], report };
  writeSync(answers, `${JSON.stringify(answer)}\n`);
}
