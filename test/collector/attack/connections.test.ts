// More connections than there may be, from one address and in all: those over the limit are closed, the others go on.
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import {
  MAX_CONNECTIONS,
  MAX_CONNECTIONS_PER_ADDRESS,
} from '../../../src/collector/receivers/otlp/connections.ts';
import { logsRequest, post, type RunningReceiver, startReceiver, until } from '../receivers/otlp/harness.ts';

const running: RunningReceiver[] = [];
const sockets: net.Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const { receiver } of running.splice(0)) await receiver.stop(0);
});

/** Opens connections from an address and says how many of them stay open. */
async function open(port: number, count: number, localAddress: string): Promise<net.Socket[]> {
  const opened = Array.from({ length: count }, () => {
    const socket = net.connect({ port, host: '127.0.0.1', localAddress });
    socket.on('error', () => {});
    sockets.push(socket);
    return socket;
  });
  await Promise.all(
    opened.map(socket => new Promise(resolve => socket.once('connect', resolve).once('close', resolve))),
  );
  return opened;
}
const alive = (some: readonly net.Socket[]) => some.filter(socket => !socket.destroyed).length;

describe.each(['http', 'grpc'] as const)('%s', protocol => {
  // 127.0.0.2 and the like need no setting up on Linux only.
  const onLinux = process.platform === 'linux' ? it : it.skip;

  onLinux('leaves half of its connections to other addresses, and ends at a number in all', async () => {
    // The first request is waited for longer than this test takes.
    const patient = protocol === 'http' ? { read_header_timeout: '10m' } : {};
    const receiver = await startReceiver({ [protocol]: { read_timeout: '10m', ...patient } });
    running.push(receiver);
    const port = receiver[protocol];
    const first = await open(port, MAX_CONNECTIONS_PER_ADDRESS + 20, '127.0.0.1');
    await until(() => alive(first) === MAX_CONNECTIONS_PER_ADDRESS, 'one address to be stopped', 20_000);
    const second = await open(port, MAX_CONNECTIONS_PER_ADDRESS, '127.0.0.2');
    const third = await open(port, 10, '127.0.0.3');
    await until(() => alive(third) === 0, 'the total to be stopped', 20_000);
    expect([alive(first), alive(second)]).toEqual([
      MAX_CONNECTIONS_PER_ADDRESS,
      MAX_CONNECTIONS - MAX_CONNECTIONS_PER_ADDRESS,
    ]);
    expect(receiver.instruments.sum('kymo_receiver_rejected_requests', { reason: 'connections' })).toBe(30);

    for (const socket of second) socket.destroy();
    const again = await open(port, 5, '127.0.0.3');
    await until(() => alive(again) > 0, 'room', 20_000);
  });
});

it('a receiver whose connections are all taken serves those that it has', async () => {
  const receiver = await startReceiver({ http: { read_header_timeout: '10m', read_timeout: '10m' } });
  running.push(receiver);
  const taken = await open(receiver.http, MAX_CONNECTIONS_PER_ADDRESS, '127.0.0.1');
  await expect(post(receiver.http, 'logs', logsRequest())).rejects.toThrow(/socket hang up|ECONNRESET/);
  const [socket] = taken;
  socket!.write(
    'POST /v1/logs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\ncontent-type: application/x-protobuf\r\n\r\n',
  );
  const [answer] = (await once(socket!, 'data')) as [Buffer];
  expect(answer.toString('latin1')).toMatch(/^HTTP\/1\.1 200/);
});
