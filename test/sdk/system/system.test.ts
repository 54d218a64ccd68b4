// Facts and measurements of real processes, as they arrive at a receiver and in files.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pythonCurves } from '../../collector/exporters/tensorboard/readers.ts';
import { readText, until } from '../../collector/service/collector-process.ts';
import { endCollectors } from '../collectors.ts';
import { OtlpSink } from '../otlp-sink.ts';
import { projectFolder, train } from '../trainer.ts';

let sink: OtlpSink;
let project: ReturnType<typeof projectFolder>;
beforeEach(async () => {
  project = projectFolder();
  sink = new OtlpSink();
  await sink.start();
});
afterEach(async () => {
  await sink.stop();
  await endCollectors(project.path);
  project.remove();
});

const ON = { KYMO_SYSTEM_FACTS: '1', KYMO_SYSTEM_METRICS: '0.2' };
/** A GPU that is busy. */
const SMI = '0, GPU-1a2b, 535.104.05, 98, 7234, 15360, 72, 69.87, Tesla T4';

/** PATH with an nvidia-smi that prints this line. */
function withGpu(): string {
  const bin = join(project.path, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'nvidia-smi'), `#!/bin/sh\necho "${SMI}"\n`);
  chmodSync(join(bin, 'nvidia-smi'), 0o755);
  return `${bin}:${process.env.PATH}`;
}
/** What a script asks to know when it may go on. */
const STOPPED = `const stopped = () => fs.existsSync(process.env.KYMO_DIR + '/stop');`;
const IMPORT = `import fs from 'node:fs';`;
const WAIT = `while (!stopped()) await new Promise(next => setTimeout(next, 20));`;

/** Lets the script go on once a condition holds. */
async function stopWhen(what: string, holds: () => boolean): Promise<void> {
  try {
    await until(what, () => holds() || undefined);
  } finally {
    writeFileSync(join(project.path, 'stop'), '');
  }
}
const values = (name: string) => sink.series(name).map(point => point.value);

const facts = () => sink.logs.filter(log => log.eventName === 'kymo.run.system').map(log => log.attributes);

describe('a run', () => {
  it('records once what it runs on, without its secrets, before it is finished', async () => {
    const git = (...args: string[]) => execFileSync('git', ['-C', project.path, ...args]);
    git('init', '-q', '-b', 'trunk');
    git('remote', 'add', 'origin', 'https://me:hunter2@example.com/x.git');
    writeFileSync(join(project.path, 'a.txt'), 'one\n');
    git('add', 'a.txt');
    git('-c', 'user.name=n', '-c', 'user.email=e', 'commit', '-q', '-m', 'm');
    writeFileSync(join(project.path, 'a.txt'), 'two\npassword = "hunter2"\n');
    // A repository may bring programs along; none of them is run.
    git('config', 'core.fsmonitor', 'touch ran; false');
    git('config', 'diff.external', 'touch ran; false');

    const { code, stderr } = await train(
      project.path,
      `const run = kymo.init({ project: 'p', id: 'r' }); run.log({ loss: 1 }); await run.finish();`,
      {
        ...ON,
        KYMO_SYSTEM_METRICS: '0',
        KYMO_ENDPOINT: sink.endpoint,
        PATH: withGpu(),
        MY_API_KEY: 'hunter2',
        FRIENDLY: 'hello',
        NODE_OPTIONS: '--max-old-space-size=300',
      },
    ).ended;
    expect([code, stderr]).toEqual([0, '']);
    expect(facts()).toHaveLength(1);
    const [fact] = facts();
    expect(fact).toMatchObject({
      'host.name': expect.stringMatching(/./),
      'process.pid': expect.any(Number),
      'process.command_args': [
        expect.stringContaining('node'),
        '--disable-warning=ExperimentalWarning',
        expect.stringContaining('train-'),
      ],
      'process.working_directory': expect.stringContaining('kymo-sdk-'),
      'process.runtime.version': process.versions.node,
      'vcs.ref.head.name': 'trunk',
      'vcs.ref.head.revision': git('rev-parse', 'HEAD').toString().trim(),
      'vcs.repository.url.full': 'https://[redacted]@example.com/x.git',
      'kymo.vcs.dirty': true,
      'kymo.vcs.diff': expect.stringMatching(/-one\n\+two\n\+password = \[redacted\]/),
      'hw.gpu': [
        { 'hw.id': '0', 'hw.name': 'Tesla T4', 'hw.vendor': 'NVIDIA', 'hw.driver_version': '535.104.05' },
      ],
      'process.environment_variable': {
        MY_API_KEY: '[redacted]',
        FRIENDLY: 'hello',
        NODE_OPTIONS: '--max-old-space-size=300',
      },
    });
    expect(JSON.stringify(fact, (_, v: unknown) => (typeof v === 'bigint' ? String(v) : v))).not.toContain(
      'hunter2',
    );
    expect(readdirSync(project.path)).not.toContain('ran');
    const names = sink.logs.map(log => log.eventName);
    expect(names.indexOf('kymo.run.system')).toBeLessThan(names.indexOf('kymo.run.finish'));
  }, 30_000);

  it('is measured all the time, also in a synchronous loop, and keeps no process alive', async () => {
    const trainer = train(
      project.path,
      `${IMPORT} ${STOPPED}
       const run = kymo.init({ project: 'p', id: 'r' });
       while (!stopped());
       run.log({ loss: 1 });
       run.finish().then(report => console.log(JSON.stringify([report.emitted, report.delivered])));`,
      { ...ON, KYMO_ENDPOINT: sink.endpoint, PATH: withGpu() },
    );
    await stopWhen('two measurements', () => sink.series('hw.gpu.utilization').length >= 2);
    const { code, stdout, stderr } = await trainer.ended;
    expect([code, stderr]).toEqual([0, '']);
    // None of it is one of the items that the run tells of.
    expect(JSON.parse(stdout)).toEqual([3, 3]);
    const names = [...new Set(sink.points.map(point => point.name))];
    expect(names).toEqual(
      expect.arrayContaining([
        'process.cpu.utilization',
        'process.memory.usage',
        'system.cpu.utilization',
        'system.memory.usage',
        'hw.gpu.utilization',
        'hw.gpu.memory.usage',
        'hw.power',
      ]),
    );
    const gpu = sink.points.filter(point => point.name === 'hw.gpu.utilization');
    expect(gpu.map(point => point.value)).toEqual(gpu.map(() => 0.98));
    const memory = sink.points.filter(point => point.name === 'process.memory.usage');
    expect(memory.length).toBeGreaterThanOrEqual(2);
    for (const { value } of memory) expect(value).toBeGreaterThan(10 * 2 ** 20);
  }, 30_000);

  it('says how its event loop does, and for how long it has not turned', async () => {
    const trainer = train(
      project.path,
      `${IMPORT} ${STOPPED}
       const run = kymo.init({ project: 'p', id: 'r' });
       while (!fs.existsSync(process.env.KYMO_DIR + '/block')) await new Promise(next => setTimeout(next, 20));
       while (!stopped());
       await run.finish();`,
      { ...ON, KYMO_ENDPOINT: sink.endpoint },
    );
    await until('the event loop', () => values('nodejs.eventloop.delay.p50').length > 0 || undefined);
    expect(values('v8js.memory.heap.used')[0]).toBeGreaterThan(2 ** 20);
    expect(values('nodejs.gc.count').length).toBeGreaterThan(0);
    // A loop without end, seen from the other thread while it goes on.
    writeFileSync(join(project.path, 'block'), '');
    await stopWhen(
      'the loop to be seen',
      () =>
        values('nodejs.eventloop.utilization').includes(1) &&
        Math.max(...values('nodejs.eventloop.delay.max')) > 1.4,
    );
    expect((await trainer.ended).code).toBe(0);
  }, 30_000);

  it('has both in a file of its own and under system/ in TensorBoard; its own metrics stay as they are', async () => {
    const trainer = train(
      project.path,
      `${IMPORT} ${STOPPED}
       const run = kymo.init({ project: 'p', id: 'r' });
       run.log({ loss: 1 });
       ${WAIT}
       await run.finish();`,
      {
        ...ON,
        KYMO_QUIET: '1',
        KYMO_COLLECTOR_LINGER_MS: '0',
        PATH: withGpu(),
        KYMO_EXIT_TIMEOUT_MS: '30000',
      },
    );
    const run = join(project.path, 'runs/r');
    await stopWhen('a row with a GPU', () =>
      readText(join(run, 'logs/system.jsonl')).includes('hw.gpu.utilization'),
    );
    expect(await trainer.ended).toMatchObject({ code: 0, stderr: '' });
    const lines = (name: string) =>
      readFileSync(join(run, 'logs', name), 'utf8')
        .trim()
        .split('\n')
        .map(line => JSON.parse(line) as Record<string, unknown>);
    expect(lines('metrics.jsonl')).toEqual([{ step: 0, time: expect.any(Number), loss: 1 }]);
    const system = lines('system.jsonl');
    const told = system.filter(line => line.facts !== undefined);
    expect(told).toMatchObject([{ facts: { 'process.runtime.name': 'nodejs' } }]);
    const row = system.find(line => line['hw.gpu.utilization/hw.id=0'] !== undefined);
    expect(row).toMatchObject({
      'hw.power/hw.id=0/hw.type=gpu': 69.87,
      'process.memory.usage': expect.any(Number),
    });
    expect(JSON.parse(readFileSync(join(run, 'run.json'), 'utf8'))).toMatchObject({
      state: 'finished',
      totals: { points: 1, rows: 1, logs: 2 },
      metrics: { loss: { count: 1 } },
    });
    expect(lines('logs.jsonl').map(line => line.event)).toEqual(['kymo.run.start', 'kymo.run.finish']);
    const tags = [...pythonCurves(run).keys()];
    expect(tags).toEqual(
      expect.arrayContaining(['loss', 'system/process.memory.usage', 'system/hw.gpu.utilization/hw.id=0']),
    );
  }, 40_000);

  it('says nothing of it when it is told to', async () => {
    await train(
      project.path,
      `const run = kymo.init({ project: 'p', id: 'r' });
       await new Promise(next => setTimeout(next, 500));
       await run.finish();`,
      { KYMO_SYSTEM_FACTS: '0', KYMO_SYSTEM_METRICS: '0', KYMO_ENDPOINT: sink.endpoint },
    ).ended;
    expect(facts()).toEqual([]);
    expect(sink.points).toEqual([]);
  }, 30_000);

  it('that is not the first process of its machine leaves the machine to that one', async () => {
    const trainer = train(
      project.path,
      `${IMPORT} ${STOPPED}
       const run = kymo.init({ project: 'p', id: 'r' });
       ${WAIT}
       await run.finish();`,
      { ...ON, KYMO_ENDPOINT: sink.endpoint, LOCAL_RANK: '1', PATH: withGpu() },
    );
    await stopWhen('two measurements', () => values('process.memory.usage').length >= 2);
    await trainer.ended;
    const names = new Set(sink.points.map(point => point.name));
    expect(names).toContain('process.memory.usage');
    expect([...names].filter(name => /^(system|hw)\./.test(name))).toEqual([]);
  }, 30_000);
});
