import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { writeFrame } from '../../../src/otlp/frame.ts';
import { jsonToProtobuf } from '../../../src/otlp/json.ts';
import { encodeSpoolHeader, spoolFileName } from '../../../src/otlp/spool-file.ts';
import { collectorKey, localAddress, paths } from '../../../src/semconv/local.ts';
import { LocalAgent, STRANGER } from '../../../src/semconv/local-handshake.ts';
import {
  call,
  eventRequest,
  type KymoProcess,
  pointRequest,
  readText,
  removeFolder,
  runKymo,
  startKymo,
  temporaryFolder,
  until,
  untilReady,
} from './collector-process.ts';

const LINGER = { KYMO_COLLECTOR_LINGER_MS: '100', KYMO_INTERNAL: '1' };
const folders: string[] = [];
const running: KymoProcess[] = [];
const children: ChildProcess[] = [];
let project: string;

beforeEach(() => {
  project = temporaryFolder();
  folders.push(project);
  writeFileSync(join(project, 'package.json'), '{}');
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const kymo of running.splice(0)) {
    kymo.child.kill('SIGKILL');
    await kymo.ended;
  }
});
afterAll(() => folders.forEach(removeFolder));

const agent = (token = readText(paths(project).token).trim()) =>
  new LocalAgent(localAddress(collectorKey(paths(project).journal)), token);
const headers = { 'content-type': 'application/json' };

async function start(env: NodeJS.ProcessEnv = {}): Promise<KymoProcess> {
  const kymo = startKymo(['collector', '--embedded', '--directory', project], project, { ...LINGER, ...env });
  running.push(kymo);
  await untilReady(kymo);
  return kymo;
}

/** A client that attached and went: a process that has ended. */
const endedPid = spawnSync(process.execPath, ['-e', '']).pid;

/** Attaches in the name of a process; returns the way to break the connection. */
function attach(
  instance: string,
  pid = endedPid,
): Promise<{ hello: Record<string, unknown>; leave: () => void }> {
  return new Promise((done, failed) => {
    const path = `/kymo/v1/attach?instance=${instance}&pid=${pid}&run=r1`;
    const request = http.get({ agent: agent(), path, headers }, response => {
      response.setEncoding('utf8').once('data', line => {
        done({ hello: JSON.parse(line), leave: () => request.destroy() });
      });
      response.on('error', () => {});
    });
    request.on('error', failed);
  });
}
const post = (path: string, body: string) => call({ agent: agent(), path, method: 'POST', headers }, body);
const runJson = () => JSON.parse(readText(join(project, 'runs/r1/run.json')) || '{}');

describe('the embedded collector', () => {
  it('takes OTLP on its local endpoint, tells when it is written, and ends with its last client', async () => {
    const kymo = await start();
    const client = await attach('i1');
    expect(client.hello).toMatchObject({ format: 1, pid: kymo.child.pid });
    const answer = await post('/v1/metrics', pointRequest('r1', 'loss', 7, 0.25));
    expect(answer.status).toBe(200);
    const progress = await call({
      agent: agent(),
      path: `/kymo/v1/progress?position=${answer.headers['kymo-position']}&timeout_ms=5000`,
      headers,
    });
    expect(JSON.parse(progress.body)).toMatchObject({ reached: true });
    expect(JSON.parse(readText(join(project, 'runs/r1/logs/metrics.jsonl')))).toMatchObject({
      step: 7,
      loss: 0.25,
    });
    expect(readdirSync(join(project, 'runs/r1')).some(name => name.includes('tfevents'))).toBe(true);
    client.leave();
    expect((await kymo.ended).code).toBe(0);
  });

  it('lets nobody in without its token, which only its user can read', async () => {
    await start();
    const refused = call({ agent: agent('x'), path: '/kymo/v1/status' });
    await expect(refused).rejects.toMatchObject({ code: STRANGER });
    expect(statSync(paths(project).token).mode & 0o777).toBe(0o600);
    expect(readText(join(project, '.kymo/.gitignore'))).toBe('*\n');
  });

  it('is one per folder: a second one ends at once with 0', async () => {
    const kymo = await start();
    const client = await attach('i1');
    const second = await runKymo(['collector', '--embedded', '--directory', project], project, LINGER);
    expect(second).toMatchObject({ code: 0 });
    expect((await call({ agent: agent(), path: '/kymo/v1/status' })).status).toBe(200);
    client.leave();
    expect((await kymo.ended).code).toBe(0);
  });

  it('takes over the spool of a killed client, and marks its run as crashed', async () => {
    const kymo = await start();
    const trainer = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    children.push(trainer);
    await attach('i1', trainer.pid);
    await post('/v1/logs', eventRequest('r1', 'i1', 'kymo.run.start', 'running'));
    await until('the run', () => runJson().state === 'running' || undefined);

    // What the trainer could not deliver before it was killed.
    const { spool, journal } = paths(project);
    mkdirSync(spool, { recursive: true });
    const header = encodeSpoolHeader({
      endpoint: `local:${collectorKey(journal)}`,
      instance: 'i1',
      sender: 's1',
      run: 'r1',
      pid: trainer.pid!,
      createdUnixMs: Date.now(),
    });
    const frame = writeFrame({
      signal: 'metrics',
      encoding: 0,
      receivedUnixNano: 1n,
      batchKey: 'i1/s1/metrics/1',
      body: jsonToProtobuf('metrics', pointRequest('r1', 'loss', 9, 1)),
    });
    const file = join(spool, spoolFileName('i1', 's1'));
    writeFileSync(file, Buffer.concat([header, ...frame]));

    const client = await attach('i2');
    trainer.kill('SIGKILL');
    // A killed process's connections close by themselves; this one is held by the test.
    const left = await attach('i1', trainer.pid);
    left.leave();
    await call({
      agent: agent(),
      path: '/kymo/v1/detach?instance=i1',
      method: 'POST',
      headers,
    });
    await until(
      'the spooled row',
      () => readText(join(project, 'runs/r1/logs/metrics.jsonl')).includes('"step":9') || undefined,
    );
    await until('the crash', () => runJson().state === 'crashed' || undefined);
    expect(readdirSync(spool)).toEqual([]);
    client.leave();
    expect((await kymo.ended).code).toBe(0);
  });

  it('leaves a clean end as it is', async () => {
    const kymo = await start();
    const client = await attach('i1');
    await post('/v1/logs', eventRequest('r1', 'i1', 'kymo.run.start', 'running'));
    await post('/v1/logs', eventRequest('r1', 'i1', 'kymo.run.finish', 'finished'));
    client.leave();
    expect((await kymo.ended).code).toBe(0);
    expect(runJson().state).toBe('finished');
  });

  it('writes what KYMO_EXPORTERS names', async () => {
    const kymo = await start({ KYMO_EXPORTERS: 'tensorboard, debug' });
    const client = await attach('i1');
    await post('/v1/metrics', pointRequest('r1', 'loss', 1, 1));
    await until('the event file', () => {
      try {
        return readdirSync(join(project, 'runs/r1')).some(name => name.includes('tfevents')) || undefined;
      } catch {
        return undefined;
      }
    });
    expect(readText(join(project, 'runs/r1/logs/metrics.jsonl'))).toBe('');
    client.leave();
    expect((await kymo.ended).code).toBe(0);
  });

  it('ends with its own code and every problem in its log when its configuration is bad', async () => {
    writeFileSync(join(project, 'bad.yaml'), 'receivers: {local: }\nexporters: {jsnl: }\n');
    const args = ['collector', '--embedded', '--directory', project];
    const config = await runKymo(args, project, { ...LINGER, KYMO_CONFIG: 'bad.yaml' });
    expect(config.code).toBe(2);
    expect(config.stderr).toContain('bad.yaml:2:13: exporters: unknown type: "jsnl"');
    const exporters = await runKymo(args, project, { ...LINGER, KYMO_EXPORTERS: 'jsonl,tensorbord' });
    expect(exporters.code).toBe(2);
    expect(exporters.stderr).toMatch(
      /env:KYMO_EXPORTERS.*unknown type: "tensorbord".*did you mean "tensorboard"/,
    );
  });
});
