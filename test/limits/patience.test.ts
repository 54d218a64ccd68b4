// Calls and ends of processes that have to wait for seconds before they have shown anything.
import { writeFileSync } from 'node:fs';
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

describe('the wait at the end', () => {
  it.each(['await run.finish();', ''])(
    'says what it waits for when it lasts (%j), and what is left',
    async end => {
      sink.answer = () => ({ status: 503 });
      const ending = await train(
        project.path,
        `const run = kymo.init({ project: 'p' }); run.log({ loss: 1 }); ${end}`,
        {
          KYMO_ENDPOINT: sink.endpoint,
          KYMO_EXIT_TIMEOUT_MS: '4500',
        },
      ).ended;
      const lines = ending.stderr.trim().split('\n');
      expect(lines[0]).toMatch(/^kymo: waiting for the collector to take the rest \(\d s\)$/);
      expect(lines.at(-1)).toMatch(/^kymo: \d+ items are not delivered yet/);
    },
  );
});

it('a large artifact is waited for at the end for as long as it moves, however long KYMO_EXIT_TIMEOUT_MS is', async () => {
  const bytes = 60 * 1024 * 1024;
  writeFileSync(join(project.path, 'big.bin'), Buffer.alloc(bytes, 'x'));
  // At most 12 MiB a second: at least twice the timeout, while the gaps between two answers stay well below it.
  let free = 0;
  sink.answer = signal => {
    if (signal !== 'logs') return { status: 200 };
    if (Date.now() < free) return { status: 503, headers: { 'retry-after': '0' } };
    free = Date.now() + 250;
    return { status: 200 };
  };
  const ending = await go(`run.artifact('big', 'big.bin'); process.exit(0);`, {
    KYMO_EXIT_TIMEOUT_MS: '2500',
  });
  expect(ending.stderr).toMatch(/waiting for/);
  // What had been read and was not acknowledged at the end is in the spool, and the next run brings it.
  sink.answer = () => ({ status: 200 });
  await go('await new Promise(resolve => setTimeout(resolve, 500));');
  expect(received(sink.logs, 'artifact')[0]!.bytes!.length).toBe(bytes);
}, 60_000);
