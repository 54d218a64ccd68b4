// What a collector does with a configuration, a folder or a port that it cannot use: at the start it changes nothing and says why; at SIGHUP
// the old one goes on as if nothing had been asked.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { makeCertificates } from '../receivers/otlp/certificates.ts';
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

const folders: string[] = [];
const running: KymoProcess[] = [];
const taken = createServer();
let takenPort: number;
let certificates: string;
let folder: string;

beforeAll(async () => {
  await new Promise<void>(resolve => taken.listen(0, '127.0.0.1', resolve));
  takenPort = (taken.address() as AddressInfo).port;
  certificates = temporaryFolder();
  folders.push(certificates);
  makeCertificates(certificates);
});
beforeEach(() => {
  folder = temporaryFolder();
  folders.push(folder);
});
afterEach(async () => {
  for (const kymo of running.splice(0)) {
    kymo.child.kill('SIGKILL');
    await kymo.ended;
  }
});
afterAll(() => {
  taken.close();
  folders.forEach(removeFolder);
});

interface Parts {
  readonly http?: string;
  readonly exporters?: string;
  readonly extensions?: string;
  readonly started?: string;
  readonly metrics?: string;
}
function config(parts: Parts = {}): string {
  const {
    http: more = '',
    exporters = 'jsonl: ',
    extensions = '',
    started = '',
    metrics = '127.0.0.1:0',
  } = parts;
  return `receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:0"${more}}}}}
exporters: {${exporters}}
extensions: {journal: {directory: journal}${extensions}}
service:
  extensions: [journal${started}]
  telemetry: {metrics: {address: "${metrics}"}}
  pipelines: {metrics: {receivers: [otlp], exporters: [${exporters.split(':')[0]}]}}
`;
}
const write = (text: string) => fs.writeFileSync(join(folder, 'c.yaml'), text);

/** Every file below a folder with the hash of what it holds: two of them are equal when nothing was changed. */
function contents(directory: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of fs.readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    found[path] = entry.isFile()
      ? createHash('sha256').update(fs.readFileSync(path)).digest('hex')
      : 'folder';
  }
  return found;
}

async function start(text: string): Promise<KymoProcess> {
  write(text);
  const kymo = startKymo(['collector', '--config', 'c.yaml'], folder);
  running.push(kymo);
  await untilReady(kymo);
  return kymo;
}

/** What cannot be started, and what is said about it. */
const OBSTACLES: [string, () => Parts, RegExp][] = [
  [
    'a port in use',
    () => ({ metrics: `127.0.0.1:${takenPort}` }),
    /service::telemetry::metrics::address: 127\.0\.0\.1:\d+ is in use by another process; stop that one, or set/,
  ],
  [
    'a port twice',
    () => ({
      extensions:
        ', health_check: {endpoint: "127.0.0.1:0"}, health_check/b: {endpoint: "127.0.0.1:PORT"}, health_check/c: {endpoint: "127.0.0.1:PORT"}',
      started: ', health_check/b, health_check/c',
    }),
    /extensions::health_check\/c::endpoint: 127\.0\.0\.1:\d+ is in use/,
  ],
  [
    'a certificate that is not there',
    () => ({ http: ', tls: {cert_file: no.pem, key_file: no.key}' }),
    /receivers::otlp::protocols::http::tls::cert_file: cannot read no\.pem: ENOENT/,
  ],
  [
    'a key that is not of the certificate',
    () => ({ http: `, tls: {cert_file: ${certificates}/server.pem, key_file: ${certificates}/client.key}` }),
    /receivers::otlp::protocols::http::tls: .*key values mismatch/,
  ],
  [
    'a file of tokens that is not there',
    () => ({
      http: ', auth: {authenticator: bearertokenauth}',
      extensions: ', bearertokenauth: {filename: tokens}',
      started: ', bearertokenauth',
    }),
    /extensions::bearertokenauth::filename: cannot use .*tokens: ENOENT/,
  ],
  [
    'a certificate of an exporter that is not there',
    () => ({ exporters: 'otlp_http: {endpoint: "https://localhost:1", tls: {ca_file: no.pem}}' }),
    /exporters::otlp_http::tls::ca_file: cannot read no\.pem/,
  ],
  [
    'the folder of a socket that is not there',
    () => ({ http: ', transport: unix, endpoint: nowhere/s.sock' }),
    /receivers::otlp::protocols::http::endpoint: the folder of .*nowhere\/s\.sock does not exist; create it first/,
  ],
  ['two journals', () => ({ extensions: ', journal/x: ' }), /a collector has one journal/],
];
/** A port that is free now: two that ask for it are the matter here. */
async function withFreePort(text: string): Promise<string> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  // One endpoint a block: what a case sets comes instead of the default.
  return text.replaceAll('PORT', String(port)).replace('endpoint: "127.0.0.1:0", transport', 'transport');
}

describe('a collector does not start, and makes nothing,', () => {
  // The others are tried at SIGHUP, where a process is there already.
  it.each(OBSTACLES.slice(0, 3))('with %s', async (_name, parts, message) => {
    write(await withFreePort(config(parts())));
    const before = contents(folder);
    const { code, stderr } = await runKymo(['collector', '--config', 'c.yaml'], folder);
    expect(stderr).toMatch(message);
    expect(code).toBe(1);
    expect(contents(folder)).toEqual(before);
  });

  it('with a journal folder that cannot be made', async () => {
    fs.writeFileSync(join(folder, 'file'), '');
    write(config().replace('directory: journal', 'directory: file/journal'));
    const { code, stderr } = await runKymo(['collector', '--config', 'c.yaml'], folder);
    expect(stderr).toMatch(
      /cannot start: extensions::journal::directory: .*\/file \(for .*file\/journal\) is not a folder/,
    );
    expect(code).toBe(1);
  });

  it('on files of another version: journal.json, segments, marks, cursors', async () => {
    const kymo = await start(config());
    const address = loggedAddress(kymo, 'listening for OTLP on http');
    await postJson(address, '/v1/metrics', pointRequest('r1', 'loss', 1, 1));
    kymo.child.kill('SIGTERM');
    expect((await kymo.ended).code).toBe(0);
    const journal = join(folder, 'journal');
    const segment = fs.readdirSync(journal).find(name => name.endsWith('.log'))!;
    const versions: [string, (bytes: Buffer) => Buffer, RegExp][] = [
      [
        'journal.json',
        bytes => replaced(bytes, '"version":1', '"version":2'),
        /journal\.json: has format version 2.*move the folder away/,
      ],
      [
        segment,
        bytes => Buffer.concat([bytes.subarray(0, 8), Buffer.from([9]), bytes.subarray(9)]),
        /\.log: has format version 9.*the version that wrote it/,
      ],
      [
        'marks.json',
        bytes => replaced(bytes, '"version":1', '"version":7'),
        /marks\.json: has format version 7.*remove this file/,
      ],
      [
        'cursors/jsonl/current',
        bytes => replaced(bytes, 'kymo-cursor 1', 'kymo-cursor 3'),
        /current: has format version 3.*read the journal from its start/,
      ],
    ];
    for (const [name, change, message] of versions) {
      const file = join(journal, name);
      const original = fs.readFileSync(file);
      fs.writeFileSync(file, change(original));
      const before = contents(folder);
      const { code, stderr } = await runKymo(['collector', '--config', 'c.yaml'], folder);
      expect([name, code]).toEqual([name, 1]);
      expect(stderr).toMatch(message);
      expect(stderr).toContain('nothing was changed');
      expect(contents(folder)).toEqual(before);
      fs.writeFileSync(file, original);
    }
    const again = await start(config());
    expect(readText(join(folder, 'runs/r1/logs/metrics.jsonl')).split('\n').filter(Boolean)).toHaveLength(1);
    again.child.kill('SIGTERM');
    await again.ended;
  });
});

function replaced(bytes: Buffer, from: string, to: string): Buffer {
  const text = bytes.toString('latin1');
  if (!text.includes(from)) throw new Error(`no ${from} in it`);
  return Buffer.from(text.replace(from, to), 'latin1');
}

describe('SIGHUP', () => {
  it('keeps the old collector, its connections and its port, whatever is wrong with the new configuration', async () => {
    const kymo = await start(config());
    const [host, port] = loggedAddress(kymo, 'listening for OTLP on http').split(':');
    // One connection for all requests: a collector that was started anew would have closed it.
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set<number | undefined>();
    agent.on('free', socket => ports.add(socket.localPort));
    const send = (step: number) =>
      call(
        {
          host,
          port,
          path: '/v1/metrics',
          method: 'POST',
          agent,
          headers: { 'content-type': 'application/json' },
        },
        pointRequest('r1', 'loss', step, step),
      );
    expect((await send(0)).status).toBe(200);
    const bad: [string, RegExp][] = [
      ['receivers: [', /c\.yaml:/],
      [config().replace('jsonl: ', 'jsonl: {directry: x}'), /unknown key "directry"/],
      [config({ http: ', auth: {authenticator: nobody}' }), /references extension "nobody"/],
      [
        config().replace('directory: journal', 'directory: c.yaml/journal'),
        /extensions::journal::directory: .* is not a folder/,
      ],
    ];
    for (const [, parts, message] of OBSTACLES) bad.push([await withFreePort(config(parts())), message]);
    for (const [index, [text, message]] of bad.entries()) {
      const before = kymo.output().length;
      write(text);
      kymo.child.kill('SIGHUP');
      await until(
        'the refusal',
        () => kymo.output().slice(before).includes('going on with the old one') || undefined,
      );
      expect(kymo.output().slice(before)).toMatch(message);
      expect((await send(index + 1)).status).toBe(200);
    }
    expect(kymo.output().split('everything is ready')).toHaveLength(2);
    expect(ports.size).toBe(1);
    agent.destroy();

    // And a good one is taken, on the same journal: nothing is lost, nothing is there twice.
    write(config({ exporters: 'jsonl: {directory: elsewhere}' }));
    kymo.child.kill('SIGHUP');
    await until('the new one', () => kymo.output().split('everything is ready').length === 3 || undefined);
    const steps = readText(join(folder, 'runs/r1/logs/metrics.jsonl'))
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line).step);
    expect(steps).toEqual(Array.from({ length: bad.length + 1 }, (_, i) => i));
    kymo.child.kill('SIGTERM');
    expect((await kymo.ended).code).toBe(0);
  });

  it('takes over the same ports, and new tokens in place of old ones', async () => {
    const tokens = (token: string, endpoint: string) =>
      config({
        http: ', auth: {authenticator: bearertokenauth}',
        extensions: `, bearertokenauth: {token: ${token}}`,
        started: ', bearertokenauth',
      }).replace('127.0.0.1:0', endpoint);
    const text = await withFreePort(tokens('one', '127.0.0.1:PORT'));
    const kymo = await start(text);
    const [host, port] = loggedAddress(kymo, 'listening for OTLP on http').split(':');
    const status = async (token: string) =>
      (
        await call(
          {
            host,
            port,
            path: '/v1/metrics',
            method: 'POST',
            headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
          },
          pointRequest('r1', 'loss', 1, 1),
        )
      ).status;
    expect([await status('one'), await status('two')]).toEqual([200, 401]);
    write(text.replace('token: one', 'token: two'));
    kymo.child.kill('SIGHUP');
    await until('the new one', () => kymo.output().split('everything is ready').length === 3 || undefined);
    expect([await status('one'), await status('two')]).toEqual([401, 200]);
    expect(kymo.output()).not.toMatch(/Bearer|token: /);
  });
});
