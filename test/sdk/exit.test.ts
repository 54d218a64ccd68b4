// However a process ends, what it recorded arrives, and the process ends as it would have without Kymo.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { OtlpSink } from './otlp-sink.ts';
import { type Ending, projectFolder, train } from './trainer.ts';

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

async function end(script: string, env: Record<string, string> = {}): Promise<Ending> {
  return train(project.path, `const run = kymo.init({ project: 'p' });\n${script}`, {
    KYMO_ENDPOINT: sink.endpoint,
    ...env,
  }).ended;
}

const LOOP = 'for (let step = 0; step < 20000; step++) run.log({ loss: step / 2 }, { step });';

function expectAll(count: number): void {
  const steps = sink.series('loss').map(point => point.step);
  expect(steps.length).toBe(count);
  expect(new Set(steps).size).toBe(count);
}

describe('everything recorded arrives', () => {
  it('at the natural end, without finish()', async () => {
    const ending = await end(LOOP);
    expect(ending).toMatchObject({ code: 0, signal: null, stderr: '' });
    expectAll(20000);
  });

  it('after await finish()', async () => {
    expect((await end(`${LOOP} await run.finish();`)).code).toBe(0);
    expectAll(20000);
  });

  it('at process.exit() in the middle of a synchronous loop', async () => {
    const ending = await end(`${LOOP} process.exit(7);`);
    expect(ending).toMatchObject({ code: 7, stderr: '' });
    expectAll(20000);
  });

  it('at process.exit() as the first thing after a single point', async () => {
    expect((await end('run.log({ loss: 1 }); process.exit(0);')).code).toBe(0);
    expectAll(1);
  });

  it('after an uncaught error, whose message and exit code stay as they are', async () => {
    const ending = await end(`${LOOP} throw new Error('training went wrong');`);
    expect(ending.code).toBe(1);
    expect(ending.stderr).toContain('training went wrong');
    expectAll(20000);
  });

  it('after an unhandled rejection', async () => {
    const ending = await end(
      `${LOOP} Promise.reject(new Error('nobody caught this')); setTimeout(() => {}, 5000);`,
    );
    expect(ending.code).toBe(1);
    expect(ending.stderr).toContain('nobody caught this');
    expectAll(20000);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('at %s, which still kills the process', async signal => {
    const trainer = train(
      project.path,
      // On a busy machine the loop may have been long enough for the handlers to stand aside: they come back.
      `const run = kymo.init({ project: 'p' }); ${LOOP} setInterval(() => {}, 1000);
       const ready = setInterval(() => {
         if (process.listenerCount('${signal}') === 0) return;
         clearInterval(ready);
         console.log('recorded');
       }, 20);`,
      { KYMO_ENDPOINT: sink.endpoint },
    );
    await trainer.said('recorded');
    trainer.child.kill(signal);
    expect(await trainer.ended).toMatchObject({ code: null, signal });
    expectAll(20000);
  });
});

describe('signals', () => {
  it('after a long synchronous loop and with nothing more to record, SIGTERM still ends the run', async () => {
    const trainer = train(
      project.path,
      `const run = kymo.init({ project: 'p' });
       const until = performance.now() + 600;
       while (performance.now() < until) run.log({ loss: 1 });
       console.log(process.listenerCount('SIGTERM'));
       const ready = setInterval(() => {
         if (process.listenerCount('SIGTERM') === 0) return;
         clearInterval(ready);
         console.log('ready');
       }, 20);
       setInterval(() => {}, 1000);`,
      { KYMO_ENDPOINT: sink.endpoint },
    );
    await trainer.said('ready');
    trainer.child.kill('SIGTERM');
    expect(await trainer.ended).toMatchObject({ code: null, signal: 'SIGTERM', stdout: '0\nready\n' });
    const finish = sink.logs.filter(log => log.eventName === 'kymo.run.finish');
    expect(finish.map(log => log.attributes['kymo.run.state'])).toEqual(['killed']);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)(
    '%s kills a synchronous loop at once, as without Kymo',
    async signal => {
      const trainer = train(
        project.path,
        `const run = kymo.init({ project: 'p' });
       const until = Date.now() + 20000; let step = 0;
       setTimeout(() => {
         process.stdout.write('looping');
         while (Date.now() < until) run.log({ loss: step }, { step: step++ });
       }, 10);`,
        { KYMO_ENDPOINT: sink.endpoint },
      );
      await trainer.said('looping');
      await new Promise(resolve => setTimeout(resolve, 400));
      const sent = performance.now();
      trainer.child.kill(signal);
      expect(await trainer.ended).toMatchObject({ code: null, signal });
      expect(performance.now() - sent).toBeLessThan(5000);
    },
  );

  it.each([150, 400])('SIGINT ends a loop that turns only every %d ms', async busyMs => {
    const trainer = train(
      project.path,
      `const run = kymo.init({ project: 'p' });
       for (let step = 0; step < 20000 / ${busyMs}; step++) {
         const until = performance.now() + ${busyMs};
         run.log({ loss: step }); while (performance.now() < until); run.log({ end: step });
         if (step === 3) console.log('looping');
         await new Promise(resolve => setImmediate(resolve));
       }`,
      { KYMO_ENDPOINT: sink.endpoint },
    );
    await trainer.said('looping');
    // Somewhere inside a turn, when the loop has shown what its turns are like.
    await new Promise(resolve => setTimeout(resolve, busyMs / 3));
    const sent = performance.now();
    trainer.child.kill('SIGINT');
    expect(await trainer.ended).toMatchObject({ code: null, signal: 'SIGINT' });
    expect(performance.now() - sent).toBeLessThan(5000);
  });

  it('of an application with its own listener are left to it', async () => {
    const trainer = train(
      project.path,
      `const run = kymo.init({ project: 'p' });
       process.on('SIGTERM', () => { run.log({ loss: 2 }, { step: 1 }); process.exit(3); });
       run.log({ loss: 1 }, { step: 0 }); setInterval(() => {}, 1000); setTimeout(() => console.log('ready'), 20);`,
      { KYMO_ENDPOINT: sink.endpoint },
    );
    await trainer.said('ready');
    trainer.child.kill('SIGTERM');
    expect((await trainer.ended).code).toBe(3);
    expectAll(2);
  });
});

describe('the end of a run', () => {
  it.each([
    ['', 'finished'],
    ['process.exitCode = 2;', 'failed'],
    ["throw new Error('x');", 'failed'],
    ["await run.finish({ state: 'failed' });", 'failed'],
  ])('%p is recorded as %s', async (script, state) => {
    await end(`run.log({ loss: 1 }); ${script}`);
    const finish = sink.logs.filter(log => log.eventName === 'kymo.run.finish');
    expect(finish.map(log => log.attributes['kymo.run.state'])).toEqual([state]);
  });
});

describe('a collector that is away', () => {
  it('delays the exit by no more than KYMO_EXIT_TIMEOUT_MS, says what is left, and the next process delivers it once', async () => {
    const { endpoint } = sink;
    const port = Number(new URL(endpoint).port);
    await sink.stop();
    const away = await train(project.path, `const run = kymo.init({ project: 'p' });\n${LOOP}`, {
      KYMO_ENDPOINT: endpoint,
      KYMO_EXIT_TIMEOUT_MS: '300',
    }).ended;
    expect(away.code).toBe(0);
    expect(away.stderr).toMatch(
      /kymo: 2\d{4} items are not delivered yet .*2\d{4} of them are kept in .*spool/,
    );
    sink = new OtlpSink();
    await sink.start(port);
    await train(
      project.path,
      `const run = kymo.init({ project: 'p' }); await run.finish(); await new Promise(r => setTimeout(r, 500));`,
      {
        KYMO_ENDPOINT: endpoint,
      },
    ).ended;
    expectAll(20000);
  });

  it('does not hold up flush() once everything is in the spool', async () => {
    const { endpoint } = sink;
    await sink.stop();
    const ending = await train(
      project.path,
      `const run = kymo.init({ project: 'p' });\n${LOOP}
       const started = performance.now(); const report = await run.flush();
       console.log(JSON.stringify({ ms: performance.now() - started, ...report }));`,
      { KYMO_ENDPOINT: endpoint, KYMO_EXIT_TIMEOUT_MS: '100' },
    ).ended;
    const report = JSON.parse(ending.stdout) as {
      ms: number;
      pending: number;
      spooled: number;
      delivered: number;
    };
    expect(report).toMatchObject({ delivered: 0, spooled: report.pending });
    expect(report.pending).toBeGreaterThan(20000);
    expect(report.ms).toBeLessThan(5000);
    sink = new OtlpSink();
    await sink.start();
  });

  it('answering 503, cutting connections and answering late gets every batch, each under one key', async () => {
    sink.answer = (_, n) =>
      n % 3 === 0 ? { status: 503, headers: { 'retry-after': '0' } } : n % 3 === 1 ? 'cut' : { status: 200 };
    expect((await end(`${LOOP} await run.finish();`)).code).toBe(0);
    expectAll(20000);
    expect(new Set(sink.keys).size).toBe(sink.keys.length);
  });

  it('refusing a request for good costs that request only, and it is counted', async () => {
    sink.answer = signal => (signal === 'metrics' ? { status: 400 } : { status: 200 });
    const ending = await end('run.log({ loss: 1 }); await run.finish();');
    expect(ending.stderr).toContain('dropped 1 of');
    expect(ending.stderr).toContain('rejected 1');
  });
});
