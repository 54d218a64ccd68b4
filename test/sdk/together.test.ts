// Several processes, threads and projects, and OpenTelemetry beside Kymo's own calls, with the embedded collector.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { paths } from '../../src/semconv/local.ts';
import { runKymo } from '../collector/service/collector-process.ts';
import { endCollectors } from './collectors.ts';
import { projectFolder, train } from './trainer.ts';

type Line = Readonly<Record<string, unknown>>;

let project: ReturnType<typeof projectFolder>;
beforeEach(() => {
  project = projectFolder();
});
afterEach(async () => {
  await endCollectors(project.path);
  project.remove();
});

const lines = (run: string, file: string, folder = project.path): Line[] =>
  readFileSync(join(folder, 'runs', run, file), 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Line);
const document = (run: string, folder = project.path) =>
  JSON.parse(readFileSync(join(folder, 'runs', run, 'run.json'), 'utf8')) as {
    state: string;
    project: string;
    totals: { rows: number };
    instances: { state: string; rank: number }[];
  };

describe('several init with one id', () => {
  it('from processes that know nothing of each other write one run, every row once', async () => {
    const endings = await Promise.all(
      [0, 1, 2].map(
        rank =>
          train(
            project.path,
            `const run = kymo.init({ project: 'p', id: 'shared', rank: ${rank} });
             for (let step = 0; step < 1000; step++) run.log({ loss: ${rank} + step / 1000 }, { step });
             await run.finish();`,
          ).ended,
      ),
    );
    for (const ending of endings) expect(ending).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(join(project.path, 'runs'))).toEqual(['shared']);
    const rows = lines('shared', 'logs/metrics.jsonl');
    expect(rows).toHaveLength(3000);
    for (const rank of [0, 1, 2])
      expect(rows.filter(row => (row.rank ?? 0) === rank).map(row => row.loss)).toEqual(
        Array.from({ length: 1000 }, (_, step) => rank + step / 1000),
      );
    const { state, instances } = document('shared');
    expect(state).toBe('finished');
    expect(instances.map(one => one.rank).sort()).toEqual([0, 1, 2]);
  });
});

describe('two projects', () => {
  it('never share a collector, a journal or a folder, not even one inside the other', async () => {
    const inner = join(project.path, 'packages/inner');
    mkdirSync(inner, { recursive: true });
    for (const folder of [project.path, inner]) writeFileSync(join(folder, 'package.json'), '{}');
    const script = (id: string) => `const run = kymo.init({ id: '${id}' });
      run.log({ a: 1 }); await run.flush(); console.log('delivered'); setTimeout(() => process.exit(), 20_000);`;
    // Both in what their working directory says, as from two terminals.
    const outerTrainer = train(project.path, script('outer'), { KYMO_DIR: '' });
    const innerTrainer = train(inner, script('inner'), { KYMO_DIR: '' });
    await Promise.all([outerTrainer.said('delivered'), innerTrainer.said('delivered')]);
    const statuses = await Promise.all(
      [project.path, inner].map(async folder => {
        const { stdout } = await runKymo(['status', '--json'], folder);
        return JSON.parse(stdout) as {
          pid: number;
          journal: { directory: string };
          clients: { pid: number }[];
        };
      }),
    );
    expect(statuses[0]!.pid).not.toBe(statuses[1]!.pid);
    expect(statuses.map(status => status.journal.directory)).toEqual([
      paths(project.path).journal,
      paths(inner).journal,
    ]);
    expect(statuses.map(status => status.clients.map(client => client.pid))).toEqual([
      [outerTrainer.child.pid],
      [innerTrainer.child.pid],
    ]);
    for (const trainer of [outerTrainer, innerTrainer]) trainer.child.kill('SIGTERM');
    await Promise.all([outerTrainer.ended, innerTrainer.ended]);
    expect(readdirSync(join(project.path, 'runs'))).toEqual(['outer']);
    expect(readdirSync(join(inner, 'runs'))).toEqual(['inner']);
    await endCollectors(inner);
  });
});

describe('threads of a trainer', () => {
  it('log into its run, also from a loop that never yields, and also when they exit or throw', async () => {
    const ending = await train(
      project.path,
      `import { isMainThread, Worker, workerData } from 'node:worker_threads';
       if (isMainThread) {
         const run = kymo.init({ project: 'p', id: 'threads' });
         run.log({ main: 1 });
         const threads = ['plain', 'exit', 'throw'].map(how => new Worker(new URL(import.meta.url), { workerData: how }));
         for (const thread of threads) thread.on('error', error => console.log(error.message));
         await Promise.all(threads.map(thread => new Promise(resolve => thread.on('exit', resolve))));
         run.log({ main: 2 });
         await run.finish();
       } else {
         for (let step = 0; step < 1000; step++) kymo.log({ [workerData]: step }, { step });
         kymo.getLogger('thread').info('from ' + workerData);
         if (workerData === 'exit') process.exit();
         if (workerData === 'throw') throw new Error('thrown in a thread');
       }`,
    ).ended;
    expect(ending).toMatchObject({ code: 0, stderr: '', stdout: 'thrown in a thread\n' });
    expect(readdirSync(join(project.path, 'runs'))).toEqual(['threads']);
    const rows = lines('threads', 'logs/metrics.jsonl');
    for (const how of ['plain', 'exit', 'throw'])
      expect(rows.filter(row => how in row).map(row => row[how])).toEqual(
        Array.from({ length: 1000 }, (_, step) => step),
      );
    expect(rows.filter(row => 'main' in row)).toHaveLength(2);
    const text = lines('threads', 'logs/logs.jsonl').map(line => line.message);
    for (const how of ['plain', 'exit', 'throw']) expect(text).toContain(`from ${how}`);
  });
});

describe('calls of @opentelemetry/api', () => {
  it.each([
    ['await run.finish()', 'await run.finish();', 0],
    ['the natural end', '', 0],
    ['process.exit()', 'process.exit(3);', 3],
    ['an uncaught error', "throw new Error('diverged');", 1],
  ])('end in the run, as spans, instruments and log records, with %s', async (_name, end, code) => {
    const ending = await train(
      project.path,
      `import { createRequire } from 'node:module';
       const { logs, metrics, trace } = createRequire(${JSON.stringify(import.meta.url)})('@opentelemetry/api');
       const run = kymo.init({ project: 'p', id: 'otel' });
       trace.getTracer('mine').startActiveSpan('outer', span => { run.log({ loss: 1 }, { step: 5 }); span.end(); });
       const meter = metrics.getMeter('mine');
       meter.createCounter('requests').add(3, { route: '/a' });
       meter.createHistogram('latency').record(0.5);
       logs.getLogger('mine').emit({ body: 'hello', severityNumber: 13, attributes: { a: 1 } });
       ${end}`,
    ).ended;
    expect(ending.code).toBe(code);
    const spans = lines('otel', 'logs/spans.jsonl');
    expect(spans).toMatchObject([{ name: 'outer', logger: 'mine' }]);
    const rows = lines('otel', 'logs/metrics.jsonl');
    expect(rows.filter(row => 'loss' in row)).toMatchObject([{ step: 5, span_id: spans[0]!.span_id }]);
    expect(rows.filter(row => 'requests/route=/a' in row).map(row => row['requests/route=/a'])).toEqual([3]);
    expect(rows.filter(row => row.histogram === 'latency')).toMatchObject([{ count: 1, sum: 0.5 }]);
    expect(lines('otel', 'logs/logs.jsonl')).toContainEqual(
      expect.objectContaining({ logger: 'mine', message: 'hello', severity: 13, attributes: { a: 1 } }),
    );
    expect(document('otel').state).toBe(code === 0 ? 'finished' : 'failed');
  });

  it('also observable instruments, when the event loop runs dry, and each instrument once', async () => {
    await train(
      project.path,
      `import { createRequire } from 'node:module';
       const { metrics } = createRequire(${JSON.stringify(import.meta.url)})('@opentelemetry/api');
       kymo.init({ project: 'p', id: 'observed' });
       const meter = metrics.getMeter('mine');
       meter.createObservableGauge('memory').addCallback(async result => { await null; result.observe(42); });
       meter.createCounter('requests').add(1);`,
    ).ended;
    const rows = lines('observed', 'logs/metrics.jsonl');
    expect(rows.flatMap(row => Object.keys(row).filter(key => /memory|requests/.test(key))).sort()).toEqual([
      'memory',
      'requests',
    ]);
  });
});
