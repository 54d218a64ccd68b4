// The embedded collector's door: the lock, the token, who is attached, progress, and OTLP through the same socket.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { localEndpoint } from '../../src/collector/local-endpoint.ts';
import {
  type Departure,
  type LocalClient,
  type LocalControl,
  type LocalServer,
  type LocalServerOptions,
  MAX_LOCAL_CLIENTS,
  type Progress,
  startLocalServer,
} from '../../src/collector/local-server.ts';
import { LocalAgent, STRANGER } from '../../src/semconv/local-handshake.ts';
import {
  type HttpAnswer,
  logsRequest,
  MemoryIngest,
  recordingLogger,
  until,
} from './receivers/otlp/harness.ts';

const TOKEN = '0123456789abcdef0123456789abcdef';

class RecordingControl implements LocalControl {
  readonly came: LocalClient[] = [];
  readonly left: { client: LocalClient; how: Departure }[] = [];
  stopped = 0;
  position = 0;
  aborted = 0;
  attached(client: LocalClient) {
    this.came.push(client);
    return { version: '1.2.3', format: 1, journal: 'j1', pid: process.pid, directory: '/project' };
  }
  detached(client: LocalClient, how: Departure): void {
    this.left.push({ client, how });
  }
  async progress(position: number, timeoutMs: number, signal: AbortSignal): Promise<Progress> {
    const end = Date.now() + timeoutMs;
    while (this.position < position && Date.now() < end && !signal.aborted) {
      await new Promise(resolve => setTimeout(resolve, 5));
    }
    if (signal.aborted) this.aborted++;
    return { reached: this.position >= position, exporters: [{ id: 'jsonl', position: this.position }] };
  }
  status() {
    return { receivers: [] };
  }
  stop(): void {
    this.stopped++;
  }
}

const servers: LocalServer[] = [];
const children: ChildProcess[] = [];
const folders: string[] = [];
let keys = 0;
const newAddress = (): string => localEndpoint(`test-${process.pid}-${Date.now().toString(36)}-${keys++}`);

async function start(options: Partial<LocalServerOptions> = {}) {
  const control = new RecordingControl();
  const ingest = new MemoryIngest();
  const logger = recordingLogger();
  const address = options.address ?? newAddress();
  const result = await startLocalServer({ address, token: TOKEN, ingest, control, logger, ...options });
  if (result.kind === 'taken') return { kind: result.kind, control, ingest, logger, address };
  servers.push(result.server);
  return { kind: result.kind, server: result.server, control, ingest, logger, address };
}

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const server of servers.splice(0)) await server.close(500);
  for (const folder of folders.splice(0)) fs.rmSync(folder, { recursive: true, force: true });
});

function send(
  address: string,
  options: http.RequestOptions & { body?: Uint8Array | string },
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const { body, ...rest } = options;
    const sent = http.request({ agent: new LocalAgent(address, TOKEN), ...rest }, response => {
      const chunks: Buffer[] = [];
      response.on('data', chunk => chunks.push(chunk)).on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Attaches and resolves with the first line; `lines` grows with what follows. */
function attach(address: string, query = 'instance=i1&pid=42&run=r1') {
  const text: string[] = [];
  return new Promise<{
    hello: Record<string, unknown>;
    text: string[];
    gone: Promise<unknown>;
    destroy(): void;
  }>((resolve, reject) => {
    const sent = http.get({
      agent: new LocalAgent(address, TOKEN),
      path: `/kymo/v1/attach?${query}`,
    });
    sent.on('error', reject);
    sent.on('response', response => {
      const gone = new Promise(closed => response.once('close', closed));
      response.on('error', () => {});
      response.on('data', chunk => {
        text.push(String(chunk));
        const line = text.join('').split('\n', 1)[0]!;
        resolve({ hello: JSON.parse(line), text, gone, destroy: () => sent.destroy() });
      });
    });
  });
}

describe('the lock', () => {
  it('is held by one of many that start at once, and free again after close', async () => {
    const address = newAddress();
    const started = await Promise.all(Array.from({ length: 8 }, () => start({ address })));
    expect(started.filter(each => each.kind === 'listening')).toHaveLength(1);
    expect(started.filter(each => each.kind === 'taken')).toHaveLength(7);
    await servers.pop()!.close(500);
    expect((await start({ address })).kind).toBe('listening');
  });

  it('is free at once when its process is killed', async () => {
    const address = newAddress();
    const child = spawnNode(
      `
      import http from 'node:http';
      http.createServer().listen({ path: process.argv[1] }, () => console.log('up'));
    `,
      address.replace('\0', '@'),
    );
    await once(child.stdout!, 'data');
    expect((await start({ address })).kind).toBe('taken');
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect((await start({ address })).kind).toBe('listening');
  });

  it('works with a socket file too: one of many wins, also over what a killed process left', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-local-'));
    folders.push(folder);
    const address = path.join(folder, 's.sock');
    const child = spawnNode(
      `
      import http from 'node:http';
      http.createServer().listen({ path: process.argv[1] }, () => console.log('up'));
    `,
      address,
    );
    await once(child.stdout!, 'data');
    expect((await start({ address })).kind).toBe('taken');
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(fs.existsSync(address)).toBe(true);
    const started = await Promise.all(Array.from({ length: 8 }, () => start({ address })));
    expect(started.filter(each => each.kind === 'listening')).toHaveLength(1);
    expect(fs.statSync(address).mode & 0o777).toBe(0o600);
    expect((await send(address, { path: '/kymo/v1/status' })).status).toBe(200);
  });
});

describe('the token', () => {
  it('is proved by both sides before anything else is said', async () => {
    const { address, control, ingest, logger } = await start();
    for (const token of ['wrong', `${TOKEN}0`, '']) {
      for (const [method, route] of [
        ['GET', '/kymo/v1/status'],
        ['GET', '/kymo/v1/attach?instance=a'],
        ['POST', '/kymo/v1/stop'],
        ['POST', '/v1/logs'],
      ]) {
        const refused = send(address, { method, path: route, agent: new LocalAgent(address, token) });
        await expect(refused).rejects.toMatchObject({ code: STRANGER });
      }
    }
    expect([control.came.length, control.stopped, ingest.stored.length]).toEqual([0, 0, 0]);
    expect(JSON.stringify(logger.lines)).not.toContain(TOKEN);
    expect((await send(address, { path: '/kymo/v1/status' })).status).toBe(200);
  });

  it('cannot be guessed, left out, or learned by sending proofs back', async () => {
    const { address, control } = await start();
    const greet = `kymo-local 1 ${'0'.repeat(32)}\n`;
    const stop = 'POST /kymo/v1/stop HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n';
    for (const proof of ['0'.repeat(64), '', undefined]) {
      const socket = net.connect({ path: address });
      socket.on('error', () => {});
      const answer = once(socket, 'data') as Promise<[Buffer]>;
      socket.write(greet);
      const theirs = (await answer)[0].toString().trim().split(' ')[1]!;
      const closed = once(socket, 'close');
      // The third time its own proof is sent back.
      socket.write(`${proof ?? theirs}\n${stop}${stop}`);
      await closed;
    }
    const plain = await send(address, {
      path: '/kymo/v1/stop',
      method: 'POST',
      agent: undefined,
      socketPath: address,
    });
    expect(plain.status).toBe(401);
    expect(control.stopped).toBe(0);
  });

  it('is not shown, and nothing is sent, to somebody who bound the name first', async () => {
    const address = newAddress();
    const seen: Buffer[] = [];
    const thief = net.createServer(socket => {
      socket.on('error', () => {});
      socket.on('data', chunk => {
        seen.push(chunk);
        // As far as anybody gets who does not know the token.
        socket.write(`${'1'.repeat(32)} ${'2'.repeat(64)}\n`);
      });
    });
    await new Promise<void>(resolve => thief.listen(address, resolve));
    try {
      const body = 'a secret of the run';
      await expect(send(address, { method: 'POST', path: '/v1/logs', body })).rejects.toMatchObject({
        code: STRANGER,
      });
      expect(Buffer.concat(seen).toString()).toMatch(/^kymo-local 1 [0-9a-f]{32}\n$/);
      expect((await start({ address })).kind).toBe('taken');
    } finally {
      thief.close();
    }
  });

  it('must not be short', async () => {
    await expect(start({ token: 'short' })).rejects.toThrow(/at least 16 characters/);
  });
});

describe('attached clients', () => {
  it('are greeted with a line, hear a heartbeat, and count as vanished when their connection ends', async () => {
    const { address, control, server } = await start({ heartbeatMs: 20 });
    const client = await attach(address);
    expect(client.hello).toMatchObject({ version: '1.2.3', format: 1, journal: 'j1', directory: '/project' });
    expect(control.came[0]).toMatchObject({ instance: 'i1', pid: 42, run: 'r1' });
    expect(server!.clients()).toHaveLength(1);
    await until(() => client.text.join('').endsWith('\n\n\n'), 'two heartbeats');
    client.destroy();
    await until(() => control.left.length === 1, 'the departure');
    expect(control.left[0]).toEqual({ client: control.came[0], how: 'vanished' });
    expect(server!.clients()).toHaveLength(0);
  });

  it('that say goodbye have left once, and cleanly', async () => {
    const { address, control } = await start();
    const client = await attach(address);
    await attach(address, 'instance=i2&pid=43');
    const answer = await send(address, { method: 'POST', path: '/kymo/v1/detach?instance=i1' });
    expect(JSON.parse(answer.body.toString())).toEqual({ detached: 1, remaining: 1 });
    await client.gone;
    expect(control.left.map(each => [each.client.instance, each.how])).toEqual([['i1', 'goodbye']]);
  });

  it('that are killed have gone', async () => {
    const { address, control } = await start();
    const child = spawnNode(
      `
      import http from 'node:http';
      const path = '/kymo/v1/attach?instance=child&pid=' + process.pid;
      const { LocalAgent } = await import(process.argv[3]);
      const agent = new LocalAgent(process.argv[1].replace('@', String.fromCharCode(0)), process.argv[2]);
      http.get({ agent, path }, r => r.resume());
    `,
      address.replace('\0', '@'),
      TOKEN,
      new URL('../../src/semconv/local-handshake.ts', import.meta.url).href,
    );
    await until(() => control.came.length === 1, 'the child');
    expect(control.came[0]!.pid).toBe(child.pid);
    child.kill('SIGKILL');
    await until(() => control.left.length === 1, 'its end');
    expect(control.left[0]).toMatchObject({ client: { instance: 'child' }, how: 'vanished' });
  });

  it('are told by the end of their stream when the collector closes', async () => {
    const { address, control, server } = await start();
    const client = await attach(address);
    await server!.close(500);
    await client.gone;
    expect(control.left).toHaveLength(1);
  });

  it('have a limit', async () => {
    const { address } = await start();
    const clients = await Promise.all(
      Array.from({ length: MAX_LOCAL_CLIENTS }, (_, i) => attach(address, `instance=i${i}`)),
    );
    expect((await send(address, { path: '/kymo/v1/attach?instance=more' })).status).toBe(503);
    for (const client of clients) client.destroy();
  });

  it('must say who they are', async () => {
    const { address } = await start();
    for (const query of [
      '',
      'instance=',
      'instance=a&pid=x',
      'instance=a&pid=-1',
      `instance=${'a'.repeat(300)}`,
    ]) {
      expect((await send(address, { path: `/kymo/v1/attach?${query}` })).status).toBe(400);
    }
  });
});

describe('progress', () => {
  it('is answered when the position is reached', async () => {
    const { address, control } = await start();
    const waiting = send(address, { path: '/kymo/v1/progress?position=100&timeout_ms=5000' });
    control.position = 100;
    const answer = await waiting;
    expect(JSON.parse(answer.body.toString())).toEqual({
      reached: true,
      exporters: [{ id: 'jsonl', position: 100 }],
    });
  });

  it('is answered at the timeout', async () => {
    const { address } = await start();
    const answer = await send(address, { path: '/kymo/v1/progress?position=100&timeout_ms=50' });
    expect(JSON.parse(answer.body.toString())).toMatchObject({ reached: false });
  });

  it('stops waiting when its client goes away', async () => {
    const { address, control } = await start();
    const sent = http.get({
      agent: new LocalAgent(address, TOKEN),
      path: '/kymo/v1/progress?position=100&timeout_ms=60000',
    });
    sent.on('error', () => {});
    await new Promise(resolve => sent.once('finish', resolve));
    await send(address, { path: '/kymo/v1/status' });
    sent.destroy();
    await until(() => control.aborted === 1, 'the end of the wait');
  });

  it('wants a position', async () => {
    const { address } = await start();
    for (const query of ['', 'position=', 'position=-1', 'position=1.5', 'position=1e3']) {
      expect((await send(address, { path: `/kymo/v1/progress?${query}` })).status).toBe(400);
    }
  });
});

describe('draining', () => {
  it('answers what is under way, takes nothing new, and holds the lock until it is closed', async () => {
    const { address, ingest, server } = await start();
    let release = (): void => {};
    ingest.hold = new Promise(resolve => {
      release = resolve;
    });
    const headers = { 'content-type': 'application/x-protobuf' };
    const otlp = { method: 'POST', path: '/v1/logs', headers, body: logsRequest() };
    const client = await attach(address);
    const answer = send(address, otlp);
    await until(() => ingest.reserved > 0, 'the request');
    const drained = server!.drain(5_000);
    await client.gone;
    expect((await send(address, otlp)).status).toBe(503);
    expect((await send(address, { path: '/kymo/v1/attach?instance=late' })).status).toBe(503);
    release();
    expect((await answer).status).toBe(200);
    await drained;
    expect(ingest.stored).toHaveLength(1);
    expect((await start({ address })).kind).toBe('taken');
    expect((await send(address, { path: '/kymo/v1/status' })).status).toBe(200);
    await server!.close(500);
    expect((await start({ address })).kind).toBe('listening');
  });
});

describe('other requests', () => {
  it('show the status, stop the collector, and are 404 otherwise', async () => {
    const { address, control } = await start();
    const status = await send(address, { path: '/kymo/v1/status' });
    expect(JSON.parse(status.body.toString())).toEqual({ receivers: [] });
    expect((await send(address, { method: 'POST', path: '/kymo/v1/stop' })).status).toBe(202);
    expect(control.stopped).toBe(1);
    expect((await send(address, { path: '/kymo/v1/stop' })).status).toBe(404);
    expect((await send(address, { path: '/' })).status).toBe(404);
  });

  it('put OTLP into the journal, whatever the Host', async () => {
    const { address, ingest } = await start();
    const headers = {
      host: 'anything',
      'content-type': 'application/x-protobuf',
      'kymo-batch': 'a/b/logs/1',
    };
    const answer = await send(address, { method: 'POST', path: '/v1/logs', headers, body: logsRequest(2) });
    expect(answer.status).toBe(200);
    expect(answer.headers['kymo-journal']).toBe('journal-1');
    expect(ingest.stored).toMatchObject([{ signal: 'logs', items: 2, batchKey: 'a/b/logs/1' }]);
    expect(ingest.reserved).toBe(0);
  });

  it('that fail inside are 500, are logged, and leave the server up', async () => {
    const control = new RecordingControl();
    control.status = () => {
      throw new Error('boom');
    };
    const { address, logger } = await start({ control });
    expect((await send(address, { path: '/kymo/v1/status' })).status).toBe(500);
    expect(logger.lines.some(line => line.level === 'error')).toBe(true);
    expect((await send(address, { path: '/kymo/v1/progress?position=0' })).status).toBe(200);
  });
});

/** A child of plain Node; an abstract name travels with `@` for its leading zero. */
function spawnNode(script: string, ...args: string[]): ChildProcess {
  const prepared = script.replace(
    '{ path: process.argv[1] }',
    "{ path: process.argv[1].replace('@', String.fromCharCode(0)) }",
  );
  const child = spawn(process.execPath, ['--input-type=module', '-e', prepared, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  return child;
}
