// A collector full of secrets, one of which does not work: none of them is in anything that it prints, serves or writes.
import fs from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from '@jest/globals';
import {
  call,
  type KymoProcess,
  loggedAddress,
  pointRequest,
  readText,
  removeFolder,
  runKymo,
  startKymo,
  temporaryFolder,
  until,
  untilReady,
} from '../service/collector-process.ts';

const SECRET = /hunter/;
const CONFIG = `
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:0", auth: {authenticator: bearertokenauth}}}}}
exporters:
  jsonl:
  otlp_http:
    endpoint: http://127.0.0.1:1
    headers: {x-key: hunter1}
    auth: {authenticator: basicauth/client}
extensions:
  bearertokenauth: {tokens: [hunter2, hunter3]}
  basicauth/client: {client_auth: {username: u, password: hunter4}}
  basicauth/server: {htpasswd: {inline: "u:hunter5"}}
  health_check: {endpoint: "127.0.0.1:0"}
service:
  extensions: [bearertokenauth, basicauth/client, basicauth/server, health_check]
  telemetry: {logs: {level: debug}, metrics: {address: "127.0.0.1:0"}}
  pipelines: {metrics: {receivers: [otlp], exporters: [jsonl, otlp_http]}}
`;
const folder = temporaryFolder();
let kymo: KymoProcess | undefined;
afterAll(async () => {
  kymo?.child.kill('SIGKILL');
  await kymo?.ended;
  removeFolder(folder);
});

it('is silent about them', async () => {
  fs.writeFileSync(join(folder, 'c.yaml'), CONFIG);
  kymo = startKymo(['collector', '--config', 'c.yaml', '--drain-timeout', '300ms'], folder);
  await untilReady(kymo);
  const [host, port] = loggedAddress(kymo, 'listening for OTLP on http').split(':');
  const send = (authorization: string) =>
    call(
      {
        host,
        port,
        path: '/v1/metrics',
        method: 'POST',
        headers: { authorization, 'content-type': 'application/json' },
      },
      pointRequest('r1', 'loss', 1, 1),
    );
  const answers = [
    await send('Bearer hunter3'),
    await send('Bearer hunter9'),
    await send('Basic aHVudGVyOg=='),
  ];
  expect(answers.map(({ status }) => status)).toEqual([200, 401, 401]);
  await until('the run', () => readText(join(folder, 'runs/r1/run.json')) !== '' || undefined);
  await until('the failure of the forwarder', () => kymo!.output().includes('ECONNREFUSED') || undefined);

  const served: string[] = answers.map(({ body, headers }) => body + JSON.stringify(headers));
  for (const [words, path] of [
    ['metrics at', '/metrics'],
    ['health at', '/'],
  ] as const) {
    const [to, on] = loggedAddress(kymo, words).split(':');
    served.push((await call({ host: to, port: on, path })).body);
  }
  for (const args of [
    ['status', '--json'],
    ['status'],
    ['collector', 'print-config'],
    ['collector', 'validate'],
  ]) {
    const run = await runKymo([...args, '--config', 'c.yaml'], folder);
    expect([args, run.code]).toEqual([args, 0]);
    served.push(run.stdout + run.stderr);
  }
  kymo.child.kill('SIGTERM');
  const end = await kymo.ended;
  served.push(end.stdout + end.stderr);
  expect(end.code).toBe(0);
  for (const text of served) expect(text).not.toMatch(SECRET);

  const written = fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name !== 'c.yaml')
    .map(entry => join(entry.parentPath, entry.name));
  expect(written.some(file => file.endsWith('run.json'))).toBe(true);
  for (const file of written)
    expect([file, SECRET.test(fs.readFileSync(file, 'latin1'))]).toEqual([file, false]);
  // And what it keeps for itself is for its owner.
  expect(fs.statSync(join(folder, '.kymo/journal')).mode & 0o007).toBe(0);
  expect(fs.statSync(join(folder, '.kymo/journal/token')).mode & 0o077).toBe(0);
});
