import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  call,
  type KymoProcess,
  loggedAddress,
  pointRequest,
  postJson,
  readText,
  removeFolder,
  runKymo,
  startKymo,
  temporaryFolder,
  until,
  untilReady,
} from './collector-process.ts';

const CONFIG = `
receivers:
  otlp: {protocols: {http: {endpoint: "127.0.0.1:0"}}}
exporters:
  jsonl:
  tensorboard:
extensions:
  health_check: {endpoint: "127.0.0.1:0"}
service:
  extensions: [health_check]
  telemetry: {metrics: {address: "127.0.0.1:0"}}
  pipelines:
    metrics: {receivers: [otlp], exporters: [jsonl, tensorboard]}
    logs: {receivers: [otlp], exporters: [jsonl]}
`;

const folders: string[] = [];
const running: KymoProcess[] = [];
let folder: string;

beforeEach(() => {
  folder = temporaryFolder();
  folders.push(folder);
  writeFileSync(join(folder, 'c.yaml'), CONFIG);
});
afterEach(async () => {
  for (const kymo of running.splice(0)) {
    kymo.child.kill('SIGKILL');
    await kymo.ended;
  }
});
afterAll(() => folders.forEach(removeFolder));

async function start(args: readonly string[] = []): Promise<KymoProcess> {
  const kymo = startKymo(['collector', '--config', 'c.yaml', ...args], folder);
  running.push(kymo);
  await untilReady(kymo);
  return kymo;
}
const rows = () => readText(join(folder, 'runs/r1/logs/metrics.jsonl')).split('\n').filter(Boolean);

describe('kymo collector', () => {
  it('takes OTLP over HTTP, writes files, says so in status, metrics and health, and ends with 0 on SIGTERM', async () => {
    const kymo = await start();
    const otlp = loggedAddress(kymo, 'listening for OTLP on http');
    for (const step of [1, 2]) {
      const answer = await postJson(otlp, '/v1/metrics', pointRequest('r1', 'loss', step, step / 2));
      expect(answer.status).toBe(200);
    }
    await until('rows', () => rows().length === 2 || undefined);
    expect(rows().map(line => JSON.parse(line))).toMatchObject([
      { step: 1, loss: 0.5 },
      { step: 2, loss: 1 },
    ]);
    await until(
      'event file',
      () => readdirSync(join(folder, 'runs/r1')).some(name => name.includes('tfevents')) || undefined,
    );

    const status = await until('both exporters to commit', async () => {
      const { stdout } = await runKymo(['status', '--config', 'c.yaml', '--json'], folder);
      const parsed = JSON.parse(stdout);
      return parsed.exporters.every((one: { committed: number }) => one.committed === parsed.journal.end)
        ? parsed
        : undefined;
    });
    expect(status).toMatchObject({
      health: { state: 'ok' },
      receivers: [{ id: 'otlp', accepted: { metrics: 2 } }, { id: 'local' }],
      journal: { start: 0, appendedRecords: 2, fsync: 'interval' },
      exporters: [
        { id: 'jsonl', type: 'jsonl', delivered: { metrics: 2 }, lagBytes: 0, parked: false },
        { id: 'tensorboard', delivered: { metrics: 2 }, lagBytes: 0 },
      ],
    });
    const text = await runKymo(['status'], folder);
    expect(text.stdout).toMatch(/jsonl +running/);

    const [host, port] = loggedAddress(kymo, 'metrics at').split(':');
    const metrics = await call({ host, port, path: '/metrics' });
    expect(metrics.body).toContain(
      'otelcol_receiver_accepted_metric_points{receiver="otlp",transport="http"} 2\n',
    );
    expect(metrics.body).toContain('otelcol_exporter_sent_metric_points{exporter="jsonl"} 2\n');
    const [healthHost, healthPort] = loggedAddress(kymo, 'health at').split(':');
    expect((await call({ host: healthHost, port: healthPort, path: '/' })).status).toBe(200);

    kymo.child.kill('SIGTERM');
    const end = await kymo.ended;
    expect(end).toMatchObject({ code: 0 });
    expect(end.stderr).toContain('stopped');
    expect(end.stderr).not.toContain('not delivered');
    expect((await runKymo(['status', '--config', 'c.yaml'], folder)).code).toBe(1);
  });

  it('refuses a second collector on one journal, by name, and leaves the first alone', async () => {
    const kymo = await start();
    const second = await runKymo(['collector', '--config', 'c.yaml'], folder);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`another collector runs on the journal ${join(folder, '.kymo/journal')}`);
    const otlp = loggedAddress(kymo, 'listening for OTLP on http');
    expect((await postJson(otlp, '/v1/metrics', pointRequest('r1', 'loss', 1, 1))).status).toBe(200);
    expect((await runKymo(['status', '--config', 'c.yaml'], folder)).code).toBe(0);
  });

  it('goes on where it was killed, without a row twice', async () => {
    const first = await start();
    await postJson(
      loggedAddress(first, 'listening for OTLP on http'),
      '/v1/metrics',
      pointRequest('r1', 'loss', 1, 1),
    );
    first.child.kill('SIGKILL');
    await first.ended;
    const second = await start();
    await postJson(
      loggedAddress(second, 'listening for OTLP on http'),
      '/v1/metrics',
      pointRequest('r1', 'loss', 2, 2),
    );
    await until('rows', () => rows().length >= 2 || undefined);
    second.child.kill('SIGTERM');
    await second.ended;
    expect(rows().map(line => JSON.parse(line).step)).toEqual([1, 2]);
  });

  it('says exactly what is undelivered when the time to drain is over', async () => {
    writeFileSync(
      join(folder, 'c.yaml'),
      CONFIG.replace('tensorboard:\n', 'otlp_http: {endpoint: "http://127.0.0.1:1"}\n').replace(
        'tensorboard]',
        'otlp_http]',
      ),
    );
    const kymo = await start(['--drain-timeout', '300ms']);
    const otlp = loggedAddress(kymo, 'listening for OTLP on http');
    for (const step of [1, 2, 3]) await postJson(otlp, '/v1/metrics', pointRequest('r1', 'loss', step, 1));
    kymo.child.kill('SIGTERM');
    const { code, stderr } = await kymo.ended;
    expect(code).toBe(0);
    expect(stderr).toContain('otlp_http: 3 metric points not delivered');
    expect(stderr).not.toContain('jsonl: ');
    expect(rows()).toHaveLength(3);
  });

  it('journals what no pipeline takes, and says so', async () => {
    const kymo = await start();
    const otlp = loggedAddress(kymo, 'listening for OTLP on http');
    const span = {
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      name: 's',
      startTimeUnixNano: '1',
      endTimeUnixNano: '2',
    };
    const body = JSON.stringify({
      resourceSpans: [{ resource: {}, scopeSpans: [{ scope: {}, spans: [span] }] }],
    });
    expect((await postJson(otlp, '/v1/traces', body)).status).toBe(200);
    await until('the warning', () => kymo.output().includes('no pipeline takes traces') || undefined);
  });

  it('reads the configuration again on SIGHUP, and keeps the old one when the new one is bad', async () => {
    const kymo = await start();
    writeFileSync(join(folder, 'c.yaml'), CONFIG.replace('jsonl:', 'jsonl: {directry: x}'));
    kymo.child.kill('SIGHUP');
    await until('the refusal', () => kymo.output().includes('going on with the old one') || undefined);
    expect(kymo.output()).toContain(
      'c.yaml:5:11: exporters::jsonl: unknown key "directry" (did you mean "directory"?)',
    );
    expect((await runKymo(['status', '--config', 'c.yaml'], folder)).code).toBe(0);
    writeFileSync(join(folder, 'c.yaml'), CONFIG.replace('jsonl:', 'jsonl: {directory: elsewhere}'));
    kymo.child.kill('SIGHUP');
    await until('the new start', () => kymo.output().split('everything is ready').length === 3 || undefined);
    const otlp = kymo
      .output()
      .match(/listening for OTLP on http (127\.0\.0\.1:\d+)/g)!
      .at(-1)!
      .split(' ')
      .at(-1)!;
    await postJson(otlp, '/v1/metrics', pointRequest('r1', 'loss', 1, 1));
    await until(
      'the new folder',
      () => existsSync(join(folder, 'elsewhere/r1/logs/metrics.jsonl')) || undefined,
    );
  });

  it('ends with 1 when a part cannot start, and lets go of everything', async () => {
    const kymo = await start();
    const port = loggedAddress(kymo, 'listening for OTLP on http').split(':')[1];
    const other = temporaryFolder();
    folders.push(other);
    writeFileSync(join(other, 'c.yaml'), CONFIG.replace('127.0.0.1:0', `127.0.0.1:${port}`));
    const { code, stderr } = await runKymo(['collector', '--config', 'c.yaml'], other);
    expect(code).toBe(1);
    expect(stderr).toMatch(/cannot start: .*receivers::otlp::protocols::http::endpoint/);
  });
});
