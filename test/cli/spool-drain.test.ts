// `kymo spool drain`, with spools that real trainers left behind.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { encodeSpoolHeader, spoolFileName } from '../../src/otlp/spool-file.ts';
import { collectorKey, paths } from '../../src/semconv/local.ts';
import { runKymo } from '../collector/service/collector-process.ts';
import { endCollectors } from '../sdk/collectors.ts';
import { OtlpSink } from '../sdk/otlp-sink.ts';
import { projectFolder, train } from '../sdk/trainer.ts';

let project: ReturnType<typeof projectFolder>;
const LINGER = { KYMO_COLLECTOR_LINGER_MS: '50' };
const SCRIPT = `const run = kymo.init({ id: 'r' });
for (let step = 0; step < 500; step++) run.log({ loss: step }, { step });`;

beforeEach(() => {
  project = projectFolder();
  writeFileSync(join(project.path, 'package.json'), '{}');
});
afterEach(async () => {
  await endCollectors(project.path);
  project.remove();
});

const drain = (env: NodeJS.ProcessEnv = {}, ...args: string[]) =>
  runKymo(['spool', 'drain', ...args], project.path, { ...LINGER, ...env });

function waiting(): string[] {
  const { spool } = paths(project.path);
  return existsSync(spool) ? readdirSync(spool) : [];
}

function steps(): number[] {
  return readFileSync(join(project.path, 'runs/r/logs/metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => (JSON.parse(line) as { step: number }).step);
}

/** A trainer whose collector cannot start leaves all of it in the spool. */
async function leaveSpool(): Promise<void> {
  const ending = await train(project.path, SCRIPT, {
    KYMO_EXPORTERS: 'nothing',
    KYMO_EXIT_TIMEOUT_MS: '900',
  }).ended;
  expect(ending.code).toBe(0);
  expect(waiting()).toHaveLength(1);
}

describe('kymo spool drain', () => {
  it('says so when nothing waits', async () => {
    expect(await drain()).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('nothing to deliver in'),
    });
  });

  it('starts the collector of the folder, which takes everything over, once', async () => {
    await leaveSpool();
    expect((await runKymo(['spool', 'list'], project.path)).stdout).toMatch(/\.spool +r +local:/);
    const { code, stdout, stderr } = await drain();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^\d+ batch(es)? taken over by the collector of /);
    expect(waiting()).toEqual([]);
    expect(steps()).toEqual(Array.from({ length: 500 }, (_, step) => step));
  });

  it('joins the collector that runs for others, and leaves it to them', async () => {
    const other = train(
      project.path,
      `const run = kymo.init({ id: 'other' }); run.log({ a: 1 }); await run.flush();
       console.log('delivered');
       setTimeout(() => process.exit(), 20_000);`,
      LINGER,
    );
    await other.said('delivered');
    // Left by a process that has gone while the collector runs: copied from what another one would leave.
    await leaveSpoolElsewhere();
    const { code, stdout } = await drain();
    expect(stdout).toMatch(/taken over by the collector/);
    expect(code).toBe(0);
    expect(waiting()).toEqual([]);
    expect(other.child.exitCode).toBe(null);
    expect((await runKymo(['status'], project.path)).stdout).toContain('clients 1');
    other.child.kill('SIGKILL');
    await other.ended;
  });

  it('says why the collector does not start, and leaves the file', async () => {
    await leaveSpool();
    const { code, stdout } = await drain({ KYMO_EXPORTERS: 'jsonl,tensorbord' });
    expect(code).toBe(1);
    expect(stdout).toMatch(/1 file left: the bundled collector does not start: .*did you mean "tensorboard"/);
    expect(waiting()).toHaveLength(1);
  });

  it('sends what waits for a URL there, and keeps it while nobody answers', async () => {
    const sink = new OtlpSink();
    await sink.start();
    const { endpoint } = sink;
    await sink.stop();
    await train(project.path, SCRIPT, { KYMO_ENDPOINT: endpoint, KYMO_EXIT_TIMEOUT_MS: '300' }).ended;
    expect(waiting()).toHaveLength(1);
    const inVain = await drain({}, '--timeout', '200ms');
    expect(inVain).toMatchObject({ code: 1, stdout: expect.stringMatching(/1 file left: .*ECONNREFUSED/) });
    expect(waiting()).toHaveLength(1);

    const again = new OtlpSink();
    await again.start(Number(new URL(endpoint).port));
    try {
      const { code, stdout } = await drain();
      expect({ code, stdout }).toEqual({
        code: 0,
        stdout: expect.stringMatching(new RegExp(`^\\d+ batches delivered to ${endpoint}/v1/metrics\n$`)),
      });
      expect(again.series('loss').map(point => point.step)).toEqual(Array.from({ length: 500 }, (_, i) => i));
      expect(again.logs.map(record => record.eventName)).toContain('kymo.run.finish');
      expect(waiting()).toEqual([]);
    } finally {
      await again.stop();
    }
  });

  it('leaves living processes, other folders and what is no spool file alone', async () => {
    const { spool } = paths(project.path);
    await leaveSpool();
    for (const name of waiting()) {
      const bytes = readFileSync(join(spool, name));
      const end = bytes.indexOf(10);
      const header = JSON.parse(bytes.subarray(0, end).toString()) as Record<string, string>;
      const { instance, sender } = header as { instance: string; sender: string };
      const rest = bytes.subarray(end + 1);
      const write = (endpoint: string, pid: number, as: string) =>
        writeFileSync(
          join(spool, spoolFileName(instance, as)),
          Buffer.concat([
            encodeSpoolHeader({ endpoint, instance, sender, run: 'r', pid, createdUnixMs: 1 }),
            rest,
          ]),
        );
      write(header.endpoint!, process.pid, 'living');
      write('local:moved', 2 ** 22 + 1, 'moved');
    }
    writeFileSync(join(spool, 'notes.spool'), 'not one');
    const { code, stdout } = await drain();
    expect(code).toBe(1);
    expect(stdout).toContain('1 file of living processes');
    expect(stdout).toContain('1 file that cannot be read as a spool');
    expect(stdout).toContain('1 file for the collector of another folder');
    expect(waiting().map(name => /living|moved|notes/.exec(name)?.[0])).toEqual(
      expect.arrayContaining(['living', 'moved', 'notes']),
    );
    expect(waiting()).toHaveLength(3);
  });

  it('with --to, goes where it is told, whatever it waits for', async () => {
    await leaveSpool();
    const sink = new OtlpSink();
    await sink.start();
    try {
      expect((await drain({}, '--to', 'nowhere')).stderr).toContain('--to is no http:// or https:// URL');
      expect(waiting()).toHaveLength(1);
      const { code, stdout } = await drain({}, '--to', `${sink.endpoint}/`);
      expect({ code, stdout }).toEqual({
        code: 0,
        stdout: expect.stringMatching(new RegExp(`^\\d+ batch(es)? delivered to ${sink.endpoint}/\n$`)),
      });
      expect(sink.series('loss').map(point => point.step)).toEqual(Array.from({ length: 500 }, (_, i) => i));
      expect(waiting()).toEqual([]);
    } finally {
      await sink.stop();
    }
  });

  /** A spool file of this folder, made while its collector is up: from a trainer in a folder of its own. */
  async function leaveSpoolElsewhere(): Promise<void> {
    const elsewhere = projectFolder();
    try {
      await train(elsewhere.path, SCRIPT, { KYMO_EXPORTERS: 'nothing', KYMO_EXIT_TIMEOUT_MS: '900' }).ended;
      const from = paths(elsewhere.path).spool;
      const [name] = readdirSync(from);
      const bytes = readFileSync(join(from, name!));
      const end = bytes.indexOf(10);
      const header = JSON.parse(bytes.subarray(0, end).toString()) as Parameters<typeof encodeSpoolHeader>[0];
      const endpoint = `local:${collectorKey(paths(project.path).journal)}`;
      const { spool } = paths(project.path);
      mkdirSync(spool, { recursive: true });
      writeFileSync(
        join(spool, name!),
        Buffer.concat([encodeSpoolHeader({ ...header, endpoint }), bytes.subarray(end + 1)]),
      );
    } finally {
      await endCollectors(elsewhere.path);
      elsewhere.remove();
    }
  }
});
