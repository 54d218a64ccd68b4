// Calls that wait for their delivery: `KYMO_ASYNC=0`, `{wait: true}` and `flushSync`, and that they never wait for ever.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { OtlpSink } from '../sdk/otlp-sink.ts';
import { type Ending, projectFolder, train } from '../sdk/trainer.ts';

let sink: OtlpSink;
let project: ReturnType<typeof projectFolder>;

beforeEach(async () => {
  sink = new OtlpSink();
  await sink.start();
  project = projectFolder();
});
afterEach(async () => {
  await sink.stop();
  project.remove();
});

/** The process is killed by SIGKILL at its end: only what was delivered before counts. */
const killed = (script: string, env: Record<string, string> = {}): Promise<Ending> =>
  train(
    project.path,
    `const run = kymo.init({ project: 'p' });\n${script}\nprocess.kill(process.pid, 'SIGKILL');`,
    {
      KYMO_ENDPOINT: sink.endpoint,
      ...env,
    },
  ).ended;

it('with KYMO_ASYNC=0 every call has delivered when it returns', async () => {
  const ending = await killed(
    `for (let step = 0; step < 20; step++) run.log({ loss: step }, { step });
     run.scalar('lr', 1); run.histogram('h', [1, 2]); kymo.getLogger('l').info('hello'); kymo.timeit('t', () => 1)();
     run.logRollout({ prompt: 'p', messages: [{ role: 'assistant', content: 'x' }], rewards: { a: 1 } });`,
    { KYMO_ASYNC: '0' },
  );
  expect(ending).toMatchObject({ signal: 'SIGKILL', stderr: '' });
  expect(sink.series('loss').map(point => point.value)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  expect(
    [sink.series('lr'), sink.series('timings/t'), sink.series('rewards/a'), sink.histograms].map(
      list => list.length,
    ),
  ).toEqual([1, 1, 1, 1]);
  expect(sink.logs.map(log => log.body)).toContain('hello');
  expect(sink.logs.map(log => log.eventName)).toEqual(
    expect.arrayContaining(['kymo.run.start', 'kymo.rollout']),
  );
});

it.each(['log({ loss: 1 }, { wait: true })', "scalar('loss', 1, { wait: true })"])(
  'run.%s has delivered when it returns, with what came before',
  async call => {
    await killed(`for (let step = 0; step < 100; step++) run.log({ before: step }); run.${call};`);
    expect(sink.series('loss')).toHaveLength(1);
    expect(sink.series('before')).toHaveLength(100);
  },
);

it('flushSync delivers the row being collected and the configuration, and reports', async () => {
  const ending = await killed(
    `
    run.log({ loss: 1 }, { commit: false });
    run.config.lr = 0.1;
    const report = run.flushSync();
    process.getBuiltinModule('node:fs').writeSync(1, JSON.stringify([report.emitted - report.delivered, report.pending]));
  `,
  );
  expect(JSON.parse(ending.stdout)).toEqual([0, 0]);
  expect(sink.series('loss')).toHaveLength(1);
  expect(sink.logs.map(log => log.eventName)).toContain('kymo.run.config');
});

describe('when nothing can be delivered', () => {
  it('KYMO_ASYNC=0 waits once, says so once, and the rest goes on; it all arrives in the end', async () => {
    let open = false;
    sink.answer = () => ({ status: open ? 200 : 503 });
    const trainer = train(
      project.path,
      `const began = performance.now();
       const run = kymo.init({ project: 'p' });
       for (let step = 0; step < 30; step++) run.log({ loss: step }, { step });
       console.log(Math.round(performance.now() - began));
       console.log('logged');
       await run.finish();`,
      { KYMO_ENDPOINT: sink.endpoint, KYMO_ASYNC: '0' },
    );
    await trainer.said('logged');
    open = true;
    const ending = await trainer.ended;
    const tookMs = Number(ending.stdout.split('\n')[0]);
    expect(tookMs).toBeGreaterThan(150);
    expect(tookMs).toBeLessThan(12_000);
    expect(ending.stderr.match(/KYMO_ASYNC=0: \d+ items could not be delivered at once/g)).toHaveLength(1);
    expect(sink.series('loss')).toHaveLength(30);
  });

  it('flushSync returns after its time', async () => {
    sink.answer = () => ({ status: 503 });
    const ending = await killed(`
      run.log({ loss: 1 });
      const began = performance.now();
      const report = run.flushSync(200);
      process.getBuiltinModule('node:fs').writeSync(1, JSON.stringify([performance.now() - began, report.pending]));
    `);
    const [tookMs, pending] = JSON.parse(ending.stdout) as [number, number];
    expect(tookMs).toBeGreaterThanOrEqual(190);
    expect(tookMs).toBeLessThan(3_000);
    expect(pending).toBeGreaterThan(0);
  });
});
