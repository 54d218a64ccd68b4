// The otlp receiver as a whole: its settings, the addresses it binds, TLS, unix sockets, and what it says when it cannot start.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import type http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { EXPORT_METHODS } from '../../../../src/collector/receivers/otlp/grpc-server.ts';
import { otlpReceiver } from '../../../../src/collector/receivers/otlp/index.ts';
import { makeCertificates } from './certificates.ts';
import { logsRequest, post, type RunningReceiver, request, startReceiver, until } from './harness.ts';

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-receiver-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

const running: RunningReceiver[] = [];
async function start(...options: Parameters<typeof startReceiver>): Promise<RunningReceiver> {
  const receiver = await startReceiver(...options);
  running.push(receiver);
  return receiver;
}
afterEach(async () => {
  for (const { receiver } of running.splice(0)) await receiver.stop(1_000);
});

function problems(settings: unknown): string[] {
  const parsed = otlpReceiver.config.safeParse(settings);
  return parsed.success ? [] : parsed.error.issues.map(issue => `${issue.path.join('::')}: ${issue.message}`);
}

describe('settings', () => {
  it('have safe defaults, and a protocol with nothing behind it has them too', () => {
    const { protocols } = otlpReceiver.config.parse({ protocols: { grpc: null, http: {} } });
    expect(protocols.grpc).toMatchObject({
      endpoint: 'localhost:4317',
      max_recv_msg_size_mib: 64,
      max_concurrent_streams: 100,
    });
    expect(protocols.http).toMatchObject({
      endpoint: 'localhost:4318',
      max_request_body_size: 64 * 1024 * 1024,
      traces_url_path: '/v1/traces',
      read_header_timeout: 10_000,
      read_timeout: 60_000,
    });
  });

  it('that leave a protocol out, or say enabled: false, turn it off', () => {
    const { protocols } = otlpReceiver.config.parse({ protocols: { http: {}, grpc: { enabled: false } } });
    expect(protocols.grpc).toBeUndefined();
    expect(protocols.http).toBeDefined();
  });

  it.each([
    ['no protocol', { protocols: {} }, 'must specify at least one protocol when using the OTLP receiver'],
    ['nothing at all', {}, 'must specify at least one protocol'],
    ['both off', { protocols: { http: { enabled: false } } }, 'must specify at least one protocol'],
    ['an unknown key', { protocols: { http: { endpont: 'x' } } }, 'endpont'],
    ['an unknown protocol', { protocols: { http: {}, thrift: {} } }, 'thrift'],
    [
      'no port',
      { protocols: { http: { endpoint: 'localhost' } } },
      'protocols::http::endpoint: not an endpoint',
    ],
    [
      'a port beyond 65535',
      { protocols: { grpc: { endpoint: 'localhost:99999' } } },
      'protocols::grpc::endpoint',
    ],
    ['a duration without unit', { protocols: { http: { read_timeout: '5' } } }, 'not a duration'],
    ['TLS without a key', { protocols: { http: { tls: { cert_file: 'c' } } } }, 'needs key_file or key_pem'],
    ['one path twice', { protocols: { http: { logs_url_path: '/v1/traces' } } }, 'same path'],
    [
      'a size beyond the journal',
      { protocols: { http: { max_request_body_size: 2 ** 30 } } },
      'max_request_body_size',
    ],
  ])('with %s are refused', (_what, settings, message) => {
    expect(problems(settings).join('\n')).toContain(message);
  });
});

describe('addresses', () => {
  it('of localhost are both loopback addresses with one port', async () => {
    const { receiver, http: port } = await start({ http: {} });
    const hasIpv6 = Object.values(os.networkInterfaces()).some(list =>
      list?.some(each => each.address === '::1'),
    );
    const expected = [`http 127.0.0.1:${port}`, ...(hasIpv6 ? [`http [::1]:${port}`] : [])];
    expect(receiver.addresses()).toEqual(expected);
    if (hasIpv6) {
      const headers = { 'content-type': 'application/x-protobuf' };
      expect(
        (await request(port, { host: '::1', path: '/v1/logs', body: logsRequest(), headers })).status,
      ).toBe(200);
    }
  });

  it('that are in use end in an error with the endpoint and the way out, and nothing stays bound', async () => {
    const blocker = net.createServer().listen(0, '127.0.0.1');
    await new Promise(resolve => blocker.once('listening', resolve));
    const { port } = blocker.address() as net.AddressInfo;
    const free = await freePort();
    for (const protocol of ['http', 'grpc']) {
      const other = protocol === 'http' ? 'grpc' : 'http';
      const starting = startReceiver({
        [protocol]: { endpoint: `localhost:${port}` },
        [other]: { endpoint: `localhost:${free}` },
      });
      await expect(starting).rejects.toThrow(
        `receivers::otlp::protocols::${protocol}::endpoint: localhost:${port} is in use by another process; stop that one`,
      );
    }
    const again = net.createServer().listen(free, '127.0.0.1');
    await new Promise((resolve, reject) => again.once('listening', resolve).once('error', reject));
    again.close();
    blocker.close();
  });

  it('reachable from outside are warned about, loopback ones not', async () => {
    const open = await start({ http: { endpoint: '0.0.0.0:0' } });
    const warning = open.logger.lines.find(line => line.level === 'warn');
    expect(warning?.message).toMatch(/0\.0\.0\.0:0 is reachable from other machines/);
    const closed = await start({ http: {}, grpc: { endpoint: '127.0.0.1:0' } });
    expect(closed.logger.lines.filter(line => line.level === 'warn')).toEqual([]);
  });

  it('reachable from outside take any Host', async () => {
    const { receiver } = await start({ http: { endpoint: '0.0.0.0:0' } });
    const port = Number(receiver.addresses()[0]!.split(':').at(-1));
    expect((await post(port, 'logs', logsRequest(), { host: 'collector.lab:4318' })).status).toBe(200);
  });

  it('may be unix sockets that only their owner opens, over HTTP and gRPC', async () => {
    const { receiver, ingest } = await start(
      {
        http: { transport: 'unix', endpoint: 'http.sock' },
        grpc: { transport: 'unix', endpoint: 'grpc.sock' },
      },
      { baseDirectory: folder },
    );
    const socketPath = path.join(folder, 'http.sock');
    expect(fs.statSync(socketPath).mode & 0o777).toBe(0o600);
    expect(receiver.addresses()).toContain(`http ${socketPath}`);
    const headers = { 'content-type': 'application/x-protobuf', host: 'anything' };
    const answer = await request(0, { socketPath, path: '/v1/logs', body: logsRequest(), headers });
    expect(answer.status).toBe(200);
    const error = await exportOver(
      `unix:${path.join(folder, 'grpc.sock')}`,
      grpc.credentials.createInsecure(),
    );
    expect(error).toBeNull();
    expect(ingest.stored).toHaveLength(2);
  });

  it('that are unix sockets replace one that nobody answers on, and no other', async () => {
    const socketPath = path.join(folder, 'stale.sock');
    // A process that is killed leaves its socket behind.
    const script =
      'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))';
    expect(spawnSync(process.execPath, ['-e', script, socketPath]).signal).toBe('SIGKILL');
    expect(fs.existsSync(socketPath)).toBe(true);
    const settings = { http: { transport: 'unix', endpoint: socketPath } };
    await start(settings);
    await expect(startReceiver(settings)).rejects.toThrow(/stale\.sock is in use by another process/);
    fs.writeFileSync(path.join(folder, 'file'), 'precious');
    await expect(
      startReceiver({ http: { transport: 'unix', endpoint: path.join(folder, 'file') } }),
    ).rejects.toThrow(/no socket has this name/);
    expect(fs.readFileSync(path.join(folder, 'file'), 'utf8')).toBe('precious');
  });
});

describe('TLS', () => {
  let ca: string;
  beforeAll(() => {
    makeCertificates(folder);
    ca = fs.readFileSync(path.join(folder, 'ca.pem'), 'utf8');
  });
  const tls = () => ({ cert_file: 'server.pem', key_file: 'server.key' });

  it('is spoken by HTTP and gRPC', async () => {
    const {
      http: port,
      grpc: grpcPort,
      ingest,
    } = await start({ http: { tls: tls() }, grpc: { tls: tls() } }, { baseDirectory: folder });
    expect(await httpsStatus(port, { ca })).toBe(200);
    const credentials = grpc.credentials.createSsl(Buffer.from(ca));
    expect(await exportOver(`localhost:${grpcPort}`, credentials)).toBeNull();
    expect(ingest.stored).toHaveLength(2);
    await expect(httpsStatus(port, { ca, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' })).rejects.toThrow();
  });

  it('with client_ca_file lets only clients with a certificate in', async () => {
    const mutual = { ...tls(), client_ca_file: 'ca.pem' };
    const {
      http: port,
      grpc: grpcPort,
      ingest,
    } = await start({ http: { tls: mutual }, grpc: { tls: mutual } }, { baseDirectory: folder });
    const cert = fs.readFileSync(path.join(folder, 'client.pem'));
    const key = fs.readFileSync(path.join(folder, 'client.key'));
    await expect(httpsStatus(port, { ca })).rejects.toThrow();
    expect(await httpsStatus(port, { ca, cert, key })).toBe(200);
    const without = grpc.credentials.createSsl(Buffer.from(ca));
    expect((await exportOver(`localhost:${grpcPort}`, without))?.code).toBe(grpc.status.UNAVAILABLE);
    const credentials = grpc.credentials.createSsl(Buffer.from(ca), key, cert);
    expect(await exportOver(`localhost:${grpcPort}`, credentials)).toBeNull();
    expect(ingest.stored).toHaveLength(2);
  });

  it('reads certificates again when it is told to', async () => {
    const changing = fs.mkdtempSync(path.join(folder, 'changing-'));
    const copy = (name: string) => {
      fs.copyFileSync(path.join(folder, `${name}.pem`), path.join(changing, 'server.pem'));
      fs.copyFileSync(path.join(folder, `${name}.key`), path.join(changing, 'server.key'));
    };
    copy('server');
    const { http: port } = await start(
      { http: { tls: { ...tls(), reload_interval: '20ms' } } },
      { baseDirectory: changing },
    );
    expect(await subject(port)).toBe('localhost');
    copy('client');
    let seen = '';
    const watch = setInterval(async () => {
      seen = await subject(port);
    }, 20);
    await until(() => seen === 'client', 'the new certificate');
    clearInterval(watch);
  });

  it('names the file that cannot be read', async () => {
    const bad = { http: { tls: { ...tls(), key_file: 'missing.key' } } };
    await expect(startReceiver(bad, { baseDirectory: folder })).rejects.toThrow(
      /receivers::otlp::protocols::http::tls::key_file: cannot read missing\.key/,
    );
  });
});

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise(resolve => server.once('listening', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

function exportOver(target: string, credentials: grpc.ChannelCredentials): Promise<grpc.ServiceError | null> {
  const client = new grpc.Client(target, credentials, { 'grpc.use_local_subchannel_pool': 1 });
  const identity = (bytes: Buffer): Buffer => bytes;
  return new Promise(resolve =>
    client.makeUnaryRequest(EXPORT_METHODS.logs, identity, identity, Buffer.from(logsRequest()), error => {
      client.close();
      resolve(error);
    }),
  );
}

function httpsStatus(port: number, options: https.RequestOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = https.request(
      {
        ...options,
        host: 'localhost',
        port,
        path: '/v1/logs',
        method: 'POST',
        agent: false,
        headers: { 'content-type': 'application/x-protobuf' },
      },
      (response: http.IncomingMessage) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    sent.on('error', reject);
    sent.end(logsRequest());
  });
}

function subject(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = https.request(
      { host: 'localhost', port, agent: false, rejectUnauthorized: false },
      response => {
        response.resume();
        const socket = response.socket as import('node:tls').TLSSocket;
        resolve(String(socket.getPeerCertificate().subject.CN));
      },
    );
    sent.on('error', reject);
    sent.end();
  });
}
