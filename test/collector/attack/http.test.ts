// Requests that are none, or more than there should be, against the HTTP end of the otlp receiver: each is answered or cut, and others are served.
import net from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  logsRequest,
  post,
  type RunningReceiver,
  rawExchange,
  startReceiver,
  until,
} from '../receivers/otlp/harness.ts';

const MIB = 1024 * 1024;
const PATIENCE_MS = 20_000;
let receiver: RunningReceiver;
const others: RunningReceiver[] = [];

beforeEach(async () => {
  receiver = await startReceiver({ http: {} });
});
afterEach(async () => {
  for (const one of [receiver, ...others.splice(0)]) {
    expect((await post(one.http, 'logs', logsRequest())).status).toBe(200);
    await one.receiver.stop(500);
    expect(one.ingest.reserved).toBe(0);
  }
});

/** `once` would reject for the error that may come before. */
const closed = (socket: net.Socket) => new Promise(resolve => socket.once('close', resolve));
const LINE = 'POST /v1/logs HTTP/1.1\r\nhost: localhost\r\n';
const TYPE = 'content-type: application/x-protobuf\r\n';

describe('a request that is none', () => {
  it.each([
    ['too many bytes of headers', `${LINE}x: ${'y'.repeat(17 * 1024)}\r\n\r\n`, 431],
    ['ten thousand headers', `${LINE}${'a: b\r\n'.repeat(10_000)}\r\n`, 431],
    ['a path of a mebibyte', `POST /${'a'.repeat(MIB)} HTTP/1.1\r\nhost: localhost\r\n\r\n`, 431],
    [
      'a length and chunks',
      `${LINE}${TYPE}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    ['two lengths', `${LINE}${TYPE}content-length: 0\r\ncontent-length: 1\r\n\r\n`, 400],
    ['a length below zero', `${LINE}${TYPE}content-length: -1\r\n\r\n`, 400],
    ['a chunk of no size', `${LINE}${TYPE}transfer-encoding: chunked\r\n\r\nzz\r\n`, 400],
    ['a chunk of all sizes', `${LINE}${TYPE}transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n`, 400],
    ['a header over two lines', `${LINE}x: a\r\n b\r\n${TYPE}content-length: 0\r\n\r\nGET`, 400],
    ['a name with a blank', `${LINE}content-length : 0\r\n\r\n`, 400],
    ['no Host', `POST /v1/logs HTTP/1.1\r\n${TYPE}content-length: 0\r\n\r\n`, 400],
    ['TLS', Buffer.from('16030100c8010000c40303', 'hex'), 400],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ])('with %s is answered and cut', async (_name, bytes, status) => {
    const answer = await rawExchange(receiver.http, bytes, PATIENCE_MS);
    // What only fails later may have been answered by another word for the same before.
    expect(answer === '' ? 'cut' : answer.slice(0, 12)).toBe(`HTTP/1.1 ${status}`);
    expect(receiver.ingest.stored).toHaveLength(0);
  });
});

describe('a sender that does not keep up', () => {
  it('with its headers, a byte now and then, is cut', async () => {
    const slow = await startReceiver({ http: { read_header_timeout: '300ms' } });
    others.push(slow);
    const socket = net.connect(slow.http, '127.0.0.1');
    socket.on('error', () => {}).resume();
    const drip = setInterval(() => socket.write('x'), 20);
    socket.write(`${LINE}x-`);
    await closed(socket);
    clearInterval(drip);
  });

  it('with its body, a byte now and then, is cut', async () => {
    const slow = await startReceiver({ http: { read_timeout: '400ms' } });
    others.push(slow);
    const socket = net.connect(slow.http, '127.0.0.1');
    socket.on('error', () => {}).resume();
    const drip = setInterval(() => socket.write('x'), 20);
    socket.write(`${LINE}${TYPE}content-length: 1000000\r\n\r\n`);
    await closed(socket);
    clearInterval(drip);
    await until(() => slow.ingest.reserved === 0, 'its memory', PATIENCE_MS);
  });

  it('with reading answers is no longer read from', async () => {
    const slow = await startReceiver({ http: {} });
    others.push(slow);
    const socket = net.connect(slow.http, '127.0.0.1');
    socket.on('error', () => {}).pause();
    const burst = Buffer.from('GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(1_000));
    // More than fits into the buffers of any socket: what is not taken waits with its sender.
    let sent = 0;
    for (; !socket.destroyed && sent < 200_000; sent += 1_000) {
      socket.write(burst);
      await new Promise(resolve => setImmediate(resolve));
    }
    const answered = () => slow.instruments.sum('kymo_receiver_rejected_requests', { reason: 'path' });
    expect(answered()).toBeGreaterThan(0);
    expect(answered()).toBeLessThan(sent / 2);
    socket.destroy();
  });
});

it('the limits of time are on by default', async () => {
  const { readFileSync } = await import('node:fs');
  const readme = readFileSync(
    new URL('../../../src/collector/receivers/otlp/README.md', import.meta.url),
    'utf8',
  );
  for (const setting of ['read_header_timeout', 'read_timeout', 'write_timeout', 'idle_timeout'])
    expect(readme).toMatch(new RegExp(`\\| \`${setting}\` +\\| \`\\d+[sm]\``));
});
