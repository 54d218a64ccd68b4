// `GracefulShutdown` in processes of its own: the first signal asks, the second forces, listeners of others come back.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { GracefulShutdown } from '../../src/index.ts';
import { OtlpSink } from '../sdk/otlp-sink.ts';
import { projectFolder, type Trainer, train } from '../sdk/trainer.ts';

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

const start = (script: string): Trainer => train(project.path, script, { KYMO_ENDPOINT: sink.endpoint });

const LOOP = `
  import { setTimeout as sleep } from 'node:timers/promises';
  const run = kymo.init({ project: 'p' });
  let step = 0;
  {
    using stop = new kymo.GracefulShutdown();
    while (!stop.requested) {
      run.log({ loss: step }, { step: step++ });
      await sleep(1);
      if (step === 20) console.log('twenty');
    }
    console.log('saving', stop.reason, stop.signal.aborted);
    run.log({ saved: 1 });
  }
  console.log('saved');
  await run.finish({ state: 'killed' });
`;

describe('the first signal', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s asks: the loop ends itself, and the exit code is %p', async (signal, code) => {
    const trainer = start(LOOP);
    await trainer.said('twenty');
    trainer.child.kill(signal);
    const ending = await trainer.ended;
    expect(ending).toMatchObject({ code, signal: null });
    expect(ending.stdout).toContain(`saving ${signal} true`);
    expect(ending.stdout).toContain('saved');
    expect(ending.stderr).toBe(
      `kymo: ${signal}: stopping as soon as the program allows; once more to end it at once\n`,
    );
    expect(sink.series('saved')).toHaveLength(1);
    expect(sink.logs.find(log => log.eventName === 'kymo.run.finish')!.attributes['kymo.run.state']).toBe(
      'killed',
    );
  });

  it('aborts what waits, and a stage that begins later is asked at once', async () => {
    const trainer = start(`
      import { setTimeout as sleep } from 'node:timers/promises';
      using stop = new kymo.GracefulShutdown({ message: false });
      setTimeout(() => console.log('ready'), 10);
      try { await sleep(60_000, undefined, { signal: stop.signal }); } catch (error) { console.log(error.name, String(stop.signal.reason)); }
      { using later = new kymo.GracefulShutdown(); console.log('later', later.requested, later.reason); }
    `);
    await trainer.said('ready');
    trainer.child.kill('SIGTERM');
    expect(await trainer.ended).toMatchObject({
      code: 143,
      stdout: expect.stringContaining(
        'AbortError AbortError: SIGTERM asked the program to stop\nlater true SIGTERM',
      ),
      stderr: '',
    });
  });
});

it('the second signal ends the process at once, and what was recorded arrives', async () => {
  const trainer = start(`
    const run = kymo.init({ project: 'p' });
    using stop = new kymo.GracefulShutdown();
    for (let step = 0; step < 5_000; step++) run.log({ loss: step }, { step });
    stop.signal.addEventListener('abort', () => console.log('asked'));
    setTimeout(() => console.log('ready'), 10);
    await new Promise(() => setInterval(() => {}, 1_000));
  `);
  await trainer.said('ready');
  trainer.child.kill('SIGINT');
  await trainer.said('asked');
  trainer.child.kill('SIGINT');
  expect(await trainer.ended).toMatchObject({ code: null, signal: 'SIGINT' });
  expect(sink.series('loss')).toHaveLength(5_000);
  expect(sink.logs.find(log => log.eventName === 'kymo.run.finish')!.attributes['kymo.run.state']).toBe(
    'killed',
  );
});

it('a program that stops itself when asked, and finishes nothing, leaves a killed run', async () => {
  const trainer = start(`
    const run = kymo.init({ project: 'p' });
    using stop = new kymo.GracefulShutdown({ message: false });
    setTimeout(() => console.log('ready'), 10);
    while (!stop.requested) await new Promise(resolve => setTimeout(resolve, 5));
  `);
  await trainer.said('ready');
  trainer.child.kill('SIGTERM');
  expect(await trainer.ended).toMatchObject({ code: 143, stderr: '' });
  const finish = sink.logs.find(log => log.eventName === 'kymo.run.finish')!.attributes;
  expect(finish).toMatchObject({ 'kymo.run.state': 'killed', 'process.exit.code': 143 });
});

it('works without any run', async () => {
  const trainer = start(`
    using stop = new kymo.GracefulShutdown();
    stop.signal.addEventListener('abort', () => console.log('asked'));
    setTimeout(() => console.log('ready'), 10);
    await new Promise(() => setInterval(() => {}, 1_000));
  `);
  await trainer.said('ready');
  trainer.child.kill('SIGTERM');
  await trainer.said('asked');
  trainer.child.kill('SIGTERM');
  expect(await trainer.ended).toMatchObject({ code: null, signal: 'SIGTERM' });
});

it('listeners of others are set aside and come back, each once and in order, those for once too', async () => {
  const trainer = start(`
    const heard = [];
    const own = () => heard.push('own');
    process.on('SIGTERM', own);
    process.once('SIGTERM', () => heard.push('once'));
    const run = kymo.init({ project: 'p' });
    const before = process.listeners('SIGTERM').length;
    {
      using outer = new kymo.GracefulShutdown({ message: false });
      {
        using inner = new kymo.GracefulShutdown({ message: false });
        process.kill(process.pid, 'SIGTERM');
        await new Promise(resolve => inner.signal.addEventListener('abort', resolve));
        console.log('both', inner.requested, outer.requested, heard.length);
      }
    }
    console.log('as before', process.listeners('SIGTERM').length === before);
    process.kill(process.pid, 'SIGTERM');
    while (heard.length < 2) await new Promise(resolve => setTimeout(resolve, 5));
    console.log(heard.join());
    process.exit(5);
  `);
  expect(await trainer.ended).toMatchObject({
    code: 5,
    stdout: 'both true true 0\nas before true\nown,once\n',
  });
});

it('a loop that never lets go is killed by the default action, as without it', async () => {
  const trainer = start(`
    const run = kymo.init({ project: 'p' });
    using stop = new kymo.GracefulShutdown();
    const until = Date.now() + 30_000;
    setTimeout(() => {
      process.stdout.write('looping');
      let step = 0, told = false;
      const from = Date.now();
      while (!stop.requested && Date.now() < until) {
        run.log({ loss: step }, { step: step++ });
        if (!told && Date.now() - from > 3_500) { told = true; process.stdout.write('aside'); }
      }
    }, 10);
  `);
  await trainer.said('aside');
  trainer.child.kill('SIGINT');
  expect(await trainer.ended).toMatchObject({ code: null, signal: 'SIGINT' });
});

it('options of the wrong shape are a TypeError, and leave nothing behind', () => {
  const before = process.listenerCount('SIGINT');
  expect(() => new GracefulShutdown({ mesage: 'x' } as never)).toThrow(
    /no option "mesage" \(did you mean message\?\)/,
  );
  expect(() => new GracefulShutdown({ message: 3 } as never)).toThrow(TypeError);
  expect(process.listenerCount('SIGINT')).toBe(before);
});
