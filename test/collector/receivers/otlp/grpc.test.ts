// The gRPC end of the otlp receiver, spoken to by a plain grpc-js client and by raw sockets.
import net from 'node:net';
import zlib from 'node:zlib';
import * as grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from '@jest/globals';
import { EXPORT_METHODS } from '../../../../src/collector/receivers/otlp/grpc-server.ts';
import { readRetryAfterMs } from '../../../../src/otlp/retry-info.ts';
import { JOURNAL, logsRequest, MemoryIngest, type RunningReceiver, startReceiver, until } from './harness.ts';

const MIB = 1024 * 1024;
const running: RunningReceiver[] = [];
const clients: grpc.Client[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const { receiver, ingest } of running.splice(0)) {
    await receiver.stop(1_000);
    expect(ingest.reserved).toBe(0);
  }
});

async function start(...[protocols, options]: Parameters<typeof startReceiver>) {
  const receiver = await startReceiver(protocols ?? { grpc: {} }, options);
  running.push(receiver);
  return receiver;
}

interface GrpcAnswer {
  readonly error: grpc.ServiceError | null;
  readonly bytes: Buffer | undefined;
  readonly metadata: grpc.Metadata | undefined;
  readonly trailers: grpc.Metadata | undefined;
}
const identity = (bytes: Buffer): Buffer => bytes;

function call(
  target: number | string,
  bytes: Uint8Array,
  options: {
    metadata?: Record<string, string>;
    channel?: grpc.ClientOptions;
    path?: string;
    credentials?: grpc.ChannelCredentials;
    deadlineMs?: number;
  } = {},
): Promise<GrpcAnswer> {
  const address = typeof target === 'number' ? `127.0.0.1:${target}` : target;
  const client = new grpc.Client(address, options.credentials ?? grpc.credentials.createInsecure(), {
    'grpc.max_send_message_length': -1,
    'grpc.enable_retries': 0,
    'grpc.use_local_subchannel_pool': 1,
    ...options.channel,
  });
  clients.push(client);
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(options.metadata ?? {})) metadata.set(name, value);
  return new Promise(resolve => {
    let initial: grpc.Metadata | undefined;
    let trailers: grpc.Metadata | undefined;
    let result: { error: grpc.ServiceError | null; bytes: Buffer | undefined } | undefined;
    const sent = client.makeUnaryRequest<Buffer, Buffer>(
      options.path ?? EXPORT_METHODS.logs,
      identity,
      identity,
      Buffer.from(bytes),
      metadata,
      { deadline: Date.now() + (options.deadlineMs ?? 10_000) },
      (error, answer) => {
        result = { error, bytes: answer };
      },
    );
    sent.on('metadata', received => {
      initial = received;
    });
    sent.on('status', status => {
      trailers = status.metadata;
      setImmediate(() => resolve({ ...result!, metadata: initial, trailers }));
    });
  });
}

describe('a call that is good', () => {
  it('is stored byte for byte; journal and position are in its metadata', async () => {
    const { grpc: port, ingest, instruments } = await start();
    const bytes = logsRequest(4);
    const answer = await call(port, bytes);
    expect(answer.error).toBeNull();
    expect(answer.bytes).toHaveLength(0);
    expect(answer.metadata?.get('kymo-journal')).toEqual([JOURNAL]);
    expect(answer.trailers?.get('kymo-position')).toEqual([String(bytes.length)]);
    expect(Buffer.from(ingest.stored[0]!.bytes).equals(bytes)).toBe(true);
    const attributes = { receiver: 'otlp', transport: 'grpc' };
    expect(instruments.sum('otelcol_receiver_accepted_log_records', attributes)).toBe(4);
  });

  it('may be compressed with gzip', async () => {
    const { grpc: port, ingest } = await start();
    const bytes = logsRequest(500);
    const answer = await call(port, bytes, { channel: { 'grpc.default_compression_algorithm': 2 } });
    expect(answer.error).toBeNull();
    expect(Buffer.from(ingest.stored[0]!.bytes).equals(bytes)).toBe(true);
  });

  it('goes by its method', async () => {
    const { grpc: port, ingest } = await start();
    expect((await call(port, Buffer.alloc(0), { path: EXPORT_METHODS.traces })).error).toBeNull();
    expect((await call(port, logsRequest(), { path: EXPORT_METHODS.metrics })).error).not.toBeNull();
    expect(ingest.stored).toHaveLength(0);
  });

  it('may have 60 MiB', async () => {
    const { grpc: port, ingest } = await start();
    const answer = await call(port, logsRequest(1, 'x'.repeat(60 * MIB)));
    expect(answer.error).toBeNull();
    expect(ingest.stored[0]!.bytes.length).toBeGreaterThan(60 * MIB);
  });

  it('is recognised by its kymo-batch when it comes again', async () => {
    const { grpc: port, ingest } = await start();
    const metadata = { 'kymo-batch': 'instance/sender/logs/7' };
    const first = await call(port, logsRequest(), { metadata });
    const second = await call(port, logsRequest(), { metadata });
    expect(second.error).toBeNull();
    expect(second.metadata?.get('kymo-position')).toEqual(first.metadata?.get('kymo-position'));
    expect(ingest.stored.map(each => each.batchKey)).toEqual(['instance/sender/logs/7']);
  });

  it('is one of two hundred at once on one connection', async () => {
    const { grpc: port, ingest } = await start();
    const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
    clients.push(client);
    const bytes = Buffer.from(logsRequest(1));
    const answers = await Promise.all(
      Array.from(
        { length: 200 },
        () =>
          new Promise<grpc.ServiceError | null>(resolve =>
            client.makeUnaryRequest(EXPORT_METHODS.logs, identity, identity, bytes, error => resolve(error)),
          ),
      ),
    );
    expect(answers.filter(error => error !== null)).toEqual([]);
    expect(ingest.stored).toHaveLength(200);
  });
});

describe('a call that is refused', () => {
  it('is INVALID_ARGUMENT when it cannot be decoded or its key is none', async () => {
    const { grpc: port, ingest } = await start();
    const undecodable = await call(port, Buffer.from([0x0a, 0x7f, 1]));
    expect(undecodable.error?.code).toBe(grpc.status.INVALID_ARGUMENT);
    expect(undecodable.error?.details).toMatch(/not a logs request/);
    const badKey = await call(port, logsRequest(), { metadata: { 'kymo-batch': 'nonsense' } });
    expect(badKey.error?.code).toBe(grpc.status.INVALID_ARGUMENT);
    expect(ingest.stored).toHaveLength(0);
  });

  it('is RESOURCE_EXHAUSTED without RetryInfo when it is too large, also once inflated', async () => {
    const { grpc: port, ingest } = await start({ grpc: { max_recv_msg_size_mib: 1 } });
    const large = logsRequest(1, 'x'.repeat(2 * MIB));
    for (const algorithm of [0, 2]) {
      const answer = await call(port, large, {
        channel: { 'grpc.default_compression_algorithm': algorithm },
      });
      expect(answer.error?.code).toBe(grpc.status.RESOURCE_EXHAUSTED);
      expect(answer.trailers?.get('grpc-status-details-bin')).toEqual([]);
    }
    expect(ingest.stored).toHaveLength(0);
  });

  it('is refused at 64 MiB when it is a bomb', async () => {
    const { grpc: port, ingest } = await start();
    const bomb = zlib.gzipSync(Buffer.alloc(200 * MIB));
    // A gRPC message whose compressed flag is set, sent as it is.
    const answer = await rawGrpc(port, bomb);
    expect(answer).toBe(String(grpc.status.RESOURCE_EXHAUSTED));
    expect(ingest.peak).toBeLessThan(65 * MIB);
  });

  it('is UNAVAILABLE with RetryInfo while the journal takes nothing', async () => {
    const { grpc: port, ingest } = await start();
    ingest.refuse = { reason: 'the disk is full', retryAfterMs: 2_500 };
    const answer = await call(port, logsRequest());
    expect(answer.error?.code).toBe(grpc.status.UNAVAILABLE);
    expect(answer.error?.details).toBe('the disk is full');
    const [details] = answer.trailers?.get('grpc-status-details-bin') ?? [];
    expect(readRetryAfterMs(details as Buffer)).toBe(2_500);
  });

  it('is UNAVAILABLE when memory has run out', async () => {
    const { grpc: port } = await start({ grpc: {} }, { ingest: new MemoryIngest(1_000) });
    const answer = await call(port, logsRequest());
    expect(answer.error?.code).toBe(grpc.status.UNAVAILABLE);
  });

  it('is UNAVAILABLE when a message turns out larger than the memory left', async () => {
    const { grpc: port, ingest } = await start({ grpc: {} }, { ingest: new MemoryIngest(MIB) });
    const answer = await call(port, logsRequest(1, 'x'.repeat(2 * MIB)));
    expect(answer.error?.code).toBe(grpc.status.UNAVAILABLE);
    await until(() => ingest.reserved === 0, 'the release');
  });

  it('is UNIMPLEMENTED for another method', async () => {
    const { grpc: port } = await start();
    const answer = await call(port, logsRequest(), { path: '/some.Service/Method' });
    expect(answer.error?.code).toBe(grpc.status.UNIMPLEMENTED);
  });
});

describe('connections', () => {
  it('of a sender that never ends its request are cut', async () => {
    const { grpc: port, ingest, instruments } = await start({ grpc: { read_timeout: '150ms' } });
    const { connect } = await import('node:http2');
    const session = connect(`http://127.0.0.1:${port}`);
    session.on('error', () => {});
    const stream = session.request({
      ':method': 'POST',
      ':path': EXPORT_METHODS.logs,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    stream.write(Buffer.from([0, 0, 0, 4, 0, 1, 2, 3]));
    await until(() => ingest.reserved > 0, 'the call');
    await new Promise(resolve => session.on('close', resolve));
    expect(ingest.reserved).toBe(0);
    expect(instruments.sum('kymo_receiver_rejected_requests', { reason: 'slow' })).toBe(1);
  });

  it('that speak no HTTP/2 are closed and harm nobody', async () => {
    const { grpc: port } = await start();
    const socket = net.connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n\r\n'));
    socket.on('error', () => {});
    socket.resume();
    await new Promise(resolve => socket.on('close', resolve));
    expect((await call(port, logsRequest())).error).toBeNull();
  });

  it('are drained at the end: what is under way is answered', async () => {
    const { grpc: port, ingest, receiver } = await start();
    let release = (): void => {};
    ingest.hold = new Promise(resolve => {
      release = resolve;
    });
    const answer = call(port, logsRequest());
    await until(() => ingest.reserved > 0, 'the call');
    const stopped = receiver.stop(5_000);
    release();
    expect((await answer).error).toBeNull();
    await stopped;
  });

  it('are ended at the deadline', async () => {
    const { grpc: port, ingest, receiver } = await start();
    let release = (): void => {};
    ingest.hold = new Promise(resolve => {
      release = resolve;
    });
    const answer = call(port, logsRequest());
    await until(() => ingest.reserved > 0, 'the call');
    const startedAt = Date.now();
    await receiver.stop(100);
    expect(Date.now() - startedAt).toBeLessThan(2_000);
    expect((await answer).error).not.toBeNull();
    release();
    await until(() => ingest.reserved === 0, 'the release');
  });
});

/** One call over bare HTTP/2 whose message is already compressed; resolves with its grpc-status. */
async function rawGrpc(port: number, compressed: Buffer): Promise<string> {
  const { connect } = await import('node:http2');
  const session = connect(`http://127.0.0.1:${port}`);
  const stream = session.request({
    ':method': 'POST',
    ':path': EXPORT_METHODS.logs,
    'content-type': 'application/grpc',
    'grpc-encoding': 'gzip',
    te: 'trailers',
  });
  const prefix = Buffer.alloc(5);
  prefix[0] = 1;
  prefix.writeUInt32BE(compressed.length, 1);
  stream.end(Buffer.concat([prefix, compressed]));
  return new Promise((resolve, reject) => {
    const done = (headers: Record<string, unknown>): void => {
      if (headers['grpc-status'] === undefined) return;
      session.destroy();
      resolve(String(headers['grpc-status']));
    };
    stream.on('response', done).on('trailers', done).on('error', reject);
    stream.resume();
  });
}
