// Floods of HTTP/2 frames against the gRPC end of the otlp receiver: each is ended by us, holds no memory, and harms nobody else.
import * as grpc from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { MAX_METADATA_CHARACTERS } from '../../../src/collector/receivers/otlp/grpc-gate.ts';
import { EXPORT_METHODS, identity } from '../../../src/collector/receivers/otlp/grpc-server.ts';
import { logsRequest, type RunningReceiver, rawExchange, startReceiver } from '../receivers/otlp/harness.ts';
import { callHeaders, type Flood, FRAME, flood, frame, header } from './http2-frames.ts';

const MIB = 1024 * 1024;
/** A limit for hoarding, far above what garbage of a busy test process comes to. */
const MAX_GROWTH_BYTES = 256 * MIB;
const LOGS = EXPORT_METHODS.logs;
let receiver: RunningReceiver;
let client: grpc.Client;

beforeAll(async () => {
  receiver = await startReceiver({ grpc: {} });
  client = new grpc.Client(`127.0.0.1:${receiver.grpc}`, grpc.credentials.createInsecure());
  expect(await send()).toBe(grpc.status.OK);
});
afterAll(async () => {
  client.close();
  await receiver.receiver.stop(1_000);
});
afterEach(async () => {
  // Somebody else, on a connection from before the flood, is served as ever.
  expect(await send()).toBe(grpc.status.OK);
  expect(receiver.ingest.reserved).toBe(0);
});

function send(metadata = new grpc.Metadata()): Promise<number> {
  return new Promise(resolve => {
    const bytes = Buffer.from(logsRequest());
    const deadline = Date.now() + 20_000;
    client.makeUnaryRequest(LOGS, identity, identity, bytes, metadata, { deadline }, error =>
      resolve(error?.code ?? grpc.status.OK),
    );
  });
}
const odd = (i: number) => 2 * i + 1;
const cancel = Buffer.from([0, 0, 0, 8]);
const windowSize = Buffer.from([0, 4, 0, 0, 0xff, 0xff]);
const ones = (count: number) => Buffer.from([0, 0, 0, count]);

it.each<[string, (i: number) => Buffer, { reads?: boolean }]>([
  [
    'calls that are reset at once',
    i => Buffer.concat([callHeaders(odd(i), LOGS), frame(FRAME.reset, 0, odd(i), cancel)]),
    {},
  ],
  ['calls without end', i => callHeaders(odd(i), LOGS), {}],
  ['PING, the answers unread', () => frame(FRAME.ping, 0, 0, Buffer.alloc(8)), { reads: false }],
  ['PING, the answers read', () => frame(FRAME.ping, 0, 0, Buffer.alloc(8)), {}],
  ['SETTINGS, the answers unread', () => frame(FRAME.settings, 0, 0, windowSize), { reads: false }],
  ['SETTINGS, the answers read', () => frame(FRAME.settings, 0, 0, windowSize), {}],
  [
    'CONTINUATION without end',
    i => (i === 0 ? callHeaders(1, LOGS, [], 0) : frame(FRAME.continuation, 0, 1, header('a', 'b'))),
    {},
  ],
  ['WINDOW_UPDATE', () => frame(FRAME.window, 0, 0, ones(1)), {}],
  ['PRIORITY', i => frame(FRAME.priority, 0, odd(i), Buffer.alloc(5)), {}],
  ['frames of an unknown type', () => frame(0x77, 0, 0, Buffer.alloc(16)), {}],
])('%s', async (_name, piece, more) => {
  const before = process.memoryUsage().rss;
  const result: Flood = await flood(receiver.grpc, piece, { count: 3_000_000, ...more });
  expect(result.closed).toBe(true);
  expect(result.sent).toBeLessThan(3_000_000);
  expect(process.memoryUsage().rss - before).toBeLessThan(MAX_GROWTH_BYTES);
});

it('cuts a call whose message comes as frames without a byte', async () => {
  const slow = await startReceiver({ grpc: { read_timeout: '500ms' } });
  try {
    const result = await flood(slow.grpc, i => (i === 0 ? callHeaders(1, LOGS) : frame(FRAME.data, 0, 1)), {
      count: 10_000_000,
    });
    expect(result.closed).toBe(true);
    expect(slow.ingest.reserved).toBe(0);
  } finally {
    await slow.receiver.stop(1_000);
  }
});

it('cuts a connection on which nothing at all comes', async () => {
  const slow = await startReceiver({ grpc: { read_timeout: '100ms' } });
  try {
    expect(await rawExchange(slow.grpc, '', 20_000)).toBeDefined();
    expect(slow.instruments.sum('kymo_receiver_rejected_requests', { reason: 'slow' })).toBe(1);
  } finally {
    await slow.receiver.stop(1_000);
  }
});

it('counts what it cut as a flood', () => {
  expect(
    receiver.instruments.sum('kymo_receiver_rejected_requests', { reason: 'flood' }),
  ).toBeGreaterThanOrEqual(3);
});

it('refuses calls with more metadata than HTTP has headers', async () => {
  const metadata = new grpc.Metadata();
  for (let i = 0; i < 20; i++) metadata.set(`x-${i}`, 'v'.repeat(MAX_METADATA_CHARACTERS / 20));
  expect(await send(metadata)).toBe(grpc.status.RESOURCE_EXHAUSTED);
  metadata.remove('x-0');
  metadata.remove('x-1');
  expect(await send(metadata)).toBe(grpc.status.OK);
});
