// What the seeds' own tests hold and no other file of ours does: delivery without a flush, finish, what is left alone, what is empty.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { OtlpSink } from '../sdk/otlp-sink.ts';
import { projectFolder, train } from '../sdk/trainer.ts';

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

const start = (script: string) =>
  train(project.path, `const run = kymo.init({ project: 'p' });\n${script}`, {
    KYMO_ENDPOINT: sink.endpoint,
    KYMO_EXIT_TIMEOUT_MS: '20000',
  });

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 20_000; !condition(); ) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

describe('without a flush (expt_logger)', () => {
  it('one value arrives while its process goes on, a rollout too', async () => {
    const trainer = start(`
      run.log({ loss: 0.5 });
      run.logRollout({ prompt: 'p', messages: [{ role: 'assistant', content: 'x' }], rewards: { a: 1 } });
      setTimeout(() => {}, 60_000);`);
    try {
      await until(
        'they have arrived',
        () => sink.series('loss').length + sink.series('rewards/a').length === 2,
      );
      await until('the rollout has', () => sink.logs.some(log => log.eventName === 'kymo.rollout'));
    } finally {
      trainer.child.kill('SIGKILL');
      await trainer.ended;
    }
  });

  it('a loop that logs more often than any timer fires is delivered while it runs, in order', async () => {
    const trainer = start(`
      let step = 0;
      setInterval(() => run.log({ loss: step }, { step: step++ }), 5);`);
    try {
      await until('half a second of it has arrived', () => sink.series('loss').length >= 100);
    } finally {
      trainer.child.kill('SIGKILL');
      await trainer.ended;
    }
    const steps = sink.series('loss').map(point => point.step);
    expect(steps.sort((a, b) => a - b)).toEqual(Array.from(steps, (_, i) => i));
  });
});

describe('the end', () => {
  it('finish may be called often and at once: each says the same, and there is one end', async () => {
    const ending = await start(`
      for (let i = 0; i < 500; i++) run.log({ loss: i });
      const reports = await Promise.all([run.finish(), run.finish(), kymo.finish()]);
      reports.push(await run.finish());
      console.log(JSON.stringify(reports.map(report => [report?.pending, report?.dropped])));`).ended;
    expect(ending).toMatchObject({ code: 0, stderr: '' });
    for (const report of JSON.parse(ending.stdout) as unknown[]) expect(report).toEqual([0, {}]);
    expect(sink.series('loss')).toHaveLength(500);
    expect(sink.logs.filter(log => log.eventName === 'kymo.run.finish')).toHaveLength(1);
  });

  it('waits for handlers that close slowly, all at the same time', async () => {
    const ending = await start(`
      const said = [];
      for (const name of ['a', 'b'])
        kymo.attach({
          name, handle() {},
          close: async () => { said.push('begin'); await new Promise(resolve => setTimeout(resolve, 200)); said.push('end'); },
        });
      await run.finish();
      for (const name of ['a', 'b']) kymo.detach(name);
      await kymo.finish();
      process.on('exit', () => console.log(said.join(' ')));`).ended;
    expect(ending).toMatchObject({ code: 0, stderr: '' });
    expect(ending.stdout.trim()).toBe('begin begin end end');
  });
});

it('leaves the console, loggers of others and what it is given as they are', async () => {
  const ending = await start(`
    const before = Object.entries(console).filter(([, value]) => typeof value === 'function');
    kymo.setupLogging(); kymo.configure({ console: true });
    const frozen = value => { for (const inner of Object.values(value)) if (typeof inner === 'object') frozen(inner); return Object.freeze(value); };
    const row = frozen({ loss: 1 });
    const options = frozen({ step: 3, axes: { env: { frames: 7 } } });
    run.log(row, options); run.log(row, options);
    run.image('i', frozen([[0, 1], [1, 0]]), frozen({ step: 3, metadata: { a: { b: 1 } } }));
    run.push(frozen({ a: 1, img: [[1, 2], [3, 4]] })); run.dictionary('d', frozen({ a: { b: 1 } }));
    run.logRollout(frozen({ prompt: 'p', messages: [{ role: 'assistant', content: 'x' }], rewards: { r: 1 } }));
    kymo.getLogger('l', frozen({ seed: 1 })).bind(frozen({ x: 1 })).info('text', frozen({ y: { z: 1 } }));
    run.config.update(frozen({ net: { layers: [64] } }));
    run.table('t', frozen([{ a: 1 }])); run.artifact('f', frozen({ a: 1 }), frozen({ format: 'json', aliases: ['x'] }));
    console.log(before.every(([name, value]) => console[name] === value), console.log.name);
    await run.finish();`).ended;
  expect(ending.code).toBe(0);
  expect(ending.stdout).toBe('true log\n');
  expect(sink.series('loss').map(point => point.step)).toEqual([3, 3]);
  expect(sink.series('d/a/b')).toHaveLength(1);
  expect(sink.logs.filter(log => log.eventName === 'kymo.media')).toHaveLength(3);
});

it('texts, fields and captions that are empty arrive empty', async () => {
  const ending = await start(`
    kymo.getLogger('l').info('', { field: '' });
    run.image('i', [[1]], { caption: '' });
    run.log({ loss: 1 }, { axes: { phase: '' } });`).ended;
  expect(ending).toMatchObject({ code: 0, stderr: '' });
  const [line] = sink.logs.filter(log => log.body === '');
  expect(line!.attributes.field).toBe('');
  const [image] = sink.logs.filter(log => log.eventName === 'kymo.media');
  expect(image!.attributes['kymo.media.caption']).toBe('');
});
