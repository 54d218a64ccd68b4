// The research API in processes of its own, with the real recorder and worker, into a real OTLP server.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { OtlpSink } from '../sdk/otlp-sink.ts';
import { type Ending, projectFolder, train } from '../sdk/trainer.ts';

let sink: OtlpSink;
let project: ReturnType<typeof projectFolder>;

beforeAll(() => {
  project = projectFolder();
});
afterAll(() => project.remove());
beforeEach(async () => {
  sink = new OtlpSink();
  await sink.start();
});
afterEach(() => sink.stop());

const run = (script: string, env: Record<string, string> = {}): Promise<Ending> =>
  train(project.path, script, { KYMO_ENDPOINT: sink.endpoint, ...env }).ended;

describe('a training script', () => {
  it('that never yields and exits loses nothing of any kind', async () => {
    const ending = await run(`
      const run = kymo.init({ project: 'cartpole', id: 'r1', config: { lr: 0.01, nested: { a: [1, 2] } } });
      const log = kymo.getLogger('trainer', { seed: 3 });
      const update = kymo.timeit('update', x => x * 2);
      for (let step = 0; step < 5_000; step++) run.log({ 'train/loss': step / 2, count: 2n ** 53n + 1n }, { step });
      update(2);
      run.histogram('weights', Float32Array.of(1, 2, 3), { step: 5 });
      run.summary.best = 0.5;
      log.info('done', { late: true });
      process.exit(0);
    `);
    expect(ending).toMatchObject({ code: 0, stderr: '' });
    expect(sink.series('train/loss').map(point => point.value)).toEqual(
      Array.from({ length: 5_000 }, (_, i) => i / 2),
    );
    expect(sink.series('train/loss').map(point => point.step)).toEqual(
      Array.from({ length: 5_000 }, (_, i) => i),
    );
    expect(sink.series('timings/update')).toHaveLength(1);
    expect(sink.histograms[0]).toMatchObject({ step: 5, count: 3, sum: 6, min: 1, max: 3 });
    expect(sink.spans.map(span => span.name)).toEqual(['update']);
    sink.logs.sort((a, b) => (a.timeUnixNano < b.timeUnixNano ? -1 : 1));
    expect(sink.logs.map(record => record.eventName || record.body)).toEqual([
      'kymo.run.start',
      'kymo.run.config',
      expect.stringMatching(/^update took /),
      'done',
      'kymo.run.summary',
      'kymo.run.finish',
    ]);
    expect(
      sink.logs.find(record => record.eventName === 'kymo.run.config')!.attributes['kymo.run.config'],
    ).toEqual({
      lr: 0.01,
      nested: { a: [1, 2] },
    });
    expect(sink.logs.at(-1)!.attributes).toMatchObject({
      'kymo.run.state': 'finished',
      'process.exit.code': 0,
    });
    for (const record of [...sink.logs, ...sink.spans])
      expect(record.resource.attributes['kymo.run.id']).toBe('r1');
  });

  it('goes on when its values turn bad: each name is told once, with the place, and counted', async () => {
    const ending = await run(`
      const run = kymo.init({ id: 'r2' });
      for (let step = 0; step < 100; step++) run.log({ loss: undefined, accuracy: step }, { step });
      run.log({ a: 1 }, { step: -1 });
      const report = await run.finish();
      console.log(JSON.stringify(report.dropped));
    `);
    expect(ending.code).toBe(0);
    expect(JSON.parse(ending.stdout)).toEqual({ bad_value: 100, bad_step: 1 });
    expect(ending.stderr.match(/metric "loss" must be a number, not undefined/g)).toHaveLength(1);
    expect(ending.stderr.match(/step must be a whole number from 0 to 2\^53, not number -1/g)).toHaveLength(
      1,
    );
    expect(ending.stderr).toMatch(/dropped\n {4}at .*train-\w+\.ts:4/);
    expect(sink.series('accuracy')).toHaveLength(100);
    expect(sink.logs.at(-1)!.attributes['kymo.run.dropped']).toEqual({ bad_value: 100, bad_step: 1 });
  });

  it('that ends with an uncaught error has failed, and says why', async () => {
    const ending = await run(`kymo.init({ id: 'r3' }).log({ a: 1 }); throw new RangeError('diverged');`);
    expect(ending.code).toBe(1);
    expect(sink.logs.at(-1)).toMatchObject({
      eventName: 'kymo.run.finish',
      attributes: { 'kymo.run.state': 'failed', 'process.exit.code': 1, 'exception.message': 'diverged' },
    });
  });

  it('takes the endpoint and the folder from init', async () => {
    const ending = await train(
      project.path,
      `const run = kymo.init({ id: 'r4', dir: 'elsewhere', endpoint: '${sink.endpoint}' });
       run.log({ a: 1 });
       await run.finish();
       console.log(run.dir);`,
      { KYMO_DIR: '' },
    ).ended;
    expect(ending.code).toBe(0);
    expect(ending.stdout.trim()).toMatch(/elsewhere\/runs\/r4$/);
    expect(sink.series('a')).toHaveLength(1);
  });

  it('needs no init: the first call starts a run named after the project', async () => {
    const ending = await run(`kymo.log({ a: 1 }); kymo.log({ a: 2 });`, { KYMO_PROJECT: 'lib' });
    expect(ending.stderr).toBe('');
    expect(sink.series('a').map(point => point.step)).toEqual([0, 1]);
    expect(sink.points[0]!.resource['kymo.run.id']).toMatch(/^lib_\d{8}_\d{6}_\w{4}$/);
  });
});

describe('processes that a run starts', () => {
  it('join it without a line of code, each as an instance of its own', async () => {
    const ending = await run(`
      import { spawnSync } from 'node:child_process';
      if (process.env.CHILD === undefined) {
        const run = kymo.init({ project: 'p', name: 'family', tags: ['a,b'] });
        const child = spawnSync(process.execPath, [process.argv[1]], { env: { ...process.env, CHILD: '1' }, stdio: 'inherit' });
        if (child.status !== 0) throw new Error('the child failed');
        run.log({ parent: 1 });
        await run.finish();
      } else kymo.log({ child: 1 });
    `);
    expect(ending).toMatchObject({ code: 0, stderr: '' });
    const [parent, child] = [sink.series('parent')[0]!.resource, sink.series('child')[0]!.resource];
    for (const key of ['kymo.run.id', 'kymo.run.name', 'kymo.run.tags', 'service.name', 'kymo.run.attempt'])
      expect(child[key]).toEqual(parent[key]);
    expect(child['service.instance.id']).not.toBe(parent['service.instance.id']);
    expect(sink.logs.filter(record => record.eventName === 'kymo.run.finish')).toHaveLength(2);
  });
});

describe('plain OpenTelemetry', () => {
  it('reaches the run from both copies of the API, also through tracers taken before init', async () => {
    const ending = await run(`
      import { createRequire } from 'node:module';
      import * as esm from ${JSON.stringify(import.meta.resolve('@opentelemetry/api'))};
      const cjs = createRequire(${JSON.stringify(import.meta.url)})('@opentelemetry/api');
      const tracers = [esm.trace.getTracer('esm, early'), cjs.trace.getTracer('cjs, early')];
      const loggers = [esm.logs.getLogger('esm, early'), cjs.logs.getLogger('cjs, early')];
      const run = kymo.init({ id: 'r6' });
      tracers.push(esm.trace.getTracer('esm, late'), cjs.trace.getTracer('cjs, late'));
      for (const tracer of tracers)
        tracer.startActiveSpan('outer', span => {
          tracers[0].startSpan('inner').end();
          run.log({ a: 1 });
          span.end();
        });
      for (const logger of loggers) logger.emit({ body: 'x' });
      esm.metrics.getMeter('m').createCounter('requests').add(2);
      await run.finish();
    `);
    expect(ending).toMatchObject({ code: 0, stderr: '' });
    const outer = sink.spans.filter(span => span.name === 'outer');
    expect(outer.map(span => span.scope.name).sort()).toEqual([
      'cjs, early',
      'cjs, late',
      'esm, early',
      'esm, late',
    ]);
    const parents = sink.spans.filter(span => span.name === 'inner').map(span => span.parentSpanId);
    expect(parents.sort()).toEqual(outer.map(span => span.spanId).sort());
    expect(sink.logs.filter(record => record.body === 'x')).toHaveLength(2);
    expect(sink.series('requests').map(point => point.value)).toEqual([2]);
    for (const record of sink.spans) expect(record.resource.attributes['kymo.run.id']).toBe('r6');
  });
});

describe('what loads', () => {
  it('is no SDK package before it is needed', async () => {
    const ending = await run(`
      import { createRequire } from 'node:module';
      const loaded = () => Object.keys(createRequire(import.meta.url).cache).filter(path => /@opentelemetry/.test(path)).length;
      const counts = [loaded()];
      const run = kymo.init({ id: 'r5' });
      const log = kymo.getLogger('x');
      run.log({ a: 1 });
      log.scalar('b', 1);
      counts.push(loaded());
      log.info('now');
      counts.push(loaded());
      console.log(JSON.stringify(counts));
    `);
    const [imported, started, logged] = JSON.parse(ending.stdout) as number[];
    expect([imported, started]).toEqual([0, 0]);
    expect(logged).toBeGreaterThan(0);
  });
});
