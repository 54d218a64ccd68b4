// The HTTP end of the otlp receiver on real sockets: what is taken, what is answered, what is refused.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import zlib from 'node:zlib';
import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  createOtlpHttpHandler,
  DEFAULT_PATHS,
} from '../../../../src/collector/receivers/otlp/http-handler.ts';
import { checkRequest } from '../../../../src/otlp/check.ts';
import {
  JOURNAL,
  logsRequest,
  MemoryIngest,
  post,
  type RunningReceiver,
  rawExchange,
  recordingInstruments,
  recordingLogger,
  request,
  startReceiver,
  until,
} from './harness.ts';

const MIB = 1024 * 1024;
const running: RunningReceiver[] = [];
async function start(...options: Parameters<typeof startReceiver>): Promise<RunningReceiver> {
  const receiver = await startReceiver(...options);
  running.push(receiver);
  return receiver;
}
afterEach(async () => {
  for (const { receiver, ingest } of running.splice(0)) {
    await receiver.stop(1_000);
    // Whatever happened, memory that was reserved has been given back.
    expect(ingest.reserved).toBe(0);
  }
});

describe('a request that is good', () => {
  it('is stored byte for byte and answered with the journal and the position', async () => {
    const { http: port, ingest, instruments } = await start();
    const bytes = logsRequest(3);
    const answer = await post(port, 'logs', bytes);
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/x-protobuf');
    expect(answer.headers['kymo-journal']).toBe(JOURNAL);
    expect(answer.headers['kymo-position']).toBe(String(bytes.length));
    expect(answer.body.length).toBe(0);
    expect(ingest.stored).toHaveLength(1);
    expect(Buffer.from(ingest.stored[0]!.bytes).equals(bytes)).toBe(true);
    expect(ingest.stored[0]).toMatchObject({ signal: 'logs', items: 3, batchKey: '' });
    const attributes = { receiver: 'otlp', transport: 'http' };
    expect(instruments.sum('otelcol_receiver_accepted_log_records', attributes)).toBe(3);
  });

  it('may be compressed with gzip, deflate or zstd', async () => {
    const { http: port, ingest } = await start();
    const bytes = logsRequest(500, 'some text that repeats');
    const bodies = {
      gzip: zlib.gzipSync(bytes),
      deflate: zlib.deflateSync(bytes),
      zstd: zlib.zstdCompressSync(bytes),
    };
    for (const [encoding, body] of Object.entries(bodies)) {
      const answer = await post(port, 'logs', body, { 'content-encoding': encoding });
      expect([encoding, answer.status]).toEqual([encoding, 200]);
      expect(Buffer.from(ingest.stored.at(-1)!.bytes).equals(bytes)).toBe(true);
    }
  });

  it('may be zstd in several frames, of which none is lost', async () => {
    const { http: port, ingest } = await start();
    const bytes = logsRequest(10);
    const half = bytes.length >> 1;
    const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2]);
    const body = Buffer.concat([
      zlib.zstdCompressSync(bytes.subarray(0, half)),
      skippable,
      zlib.zstdCompressSync(bytes.subarray(half)),
    ]);
    expect((await post(port, 'logs', body, { 'content-encoding': 'zstd' })).status).toBe(200);
    expect(Buffer.from(ingest.stored[0]!.bytes).equals(bytes)).toBe(true);
  });

  it('may be zstd made by a stream that flushes, with a checksum, of any size', async () => {
    const { http: port, ingest } = await start();
    for (const count of [1, 50, 5_000]) {
      const bytes = logsRequest(count, randomBytes(20).toString('hex'));
      const params = { [zlib.constants.ZSTD_c_checksumFlag]: 1 };
      const stream = zlib.createZstdCompress({ params });
      const parts: Buffer[] = [];
      stream.on('data', part => parts.push(part));
      stream.write(bytes.subarray(0, 10));
      await new Promise<void>(resolve => stream.flush(() => resolve()));
      await new Promise<void>(resolve => stream.on('end', resolve).end(bytes.subarray(10)));
      expect((await post(port, 'logs', Buffer.concat(parts), { 'content-encoding': 'zstd' })).status).toBe(
        200,
      );
      expect(Buffer.from(ingest.stored.at(-1)!.bytes).equals(bytes)).toBe(true);
    }
  });

  it('may be JSON, with parameters on its content type, and is answered in JSON', async () => {
    const { http: port, ingest } = await start();
    const body = JSON.stringify({
      resourceLogs: [{ scopeLogs: [{ logRecords: [{ timeUnixNano: '5', body: { stringValue: 'hé' } }] }] }],
    });
    const answer = await post(port, 'logs', body, { 'content-type': 'Application/JSON; charset=utf-8' });
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/json');
    expect(answer.body.toString()).toBe('{}');
    expect(checkRequest('logs', ingest.stored[0]!.bytes)).toEqual({ ok: true, items: 1 });
  });

  it('may come in chunks without a length, and after a 100 Continue', async () => {
    const { http: port, ingest } = await start();
    const bytes = logsRequest(2_000, 'x'.repeat(300));
    const chunked = await new Promise<number>((resolve, reject) => {
      const headers = { 'content-type': 'application/x-protobuf', 'transfer-encoding': 'chunked' };
      const sent = http.request(
        { port, host: '127.0.0.1', method: 'POST', path: '/v1/logs', headers },
        answer => resolve(answer.resume().statusCode!),
      );
      sent.on('error', reject);
      for (let at = 0; at < bytes.length; at += 10_000) sent.write(bytes.subarray(at, at + 10_000));
      sent.end();
    });
    expect(chunked).toBe(200);
    const waited = await new Promise<number>((resolve, reject) => {
      const headers = { 'content-type': 'application/x-protobuf', expect: '100-continue' };
      const sent = http.request(
        { port, host: '127.0.0.1', method: 'POST', path: '/v1/logs', headers },
        answer => resolve(answer.resume().statusCode!),
      );
      sent.on('error', reject);
      sent.on('continue', () => sent.end(bytes));
      sent.flushHeaders();
    });
    expect(waited).toBe(200);
    expect(ingest.stored.map(each => each.bytes.length)).toEqual([bytes.length, bytes.length]);
  });

  it('that is empty succeeds and leaves nothing in the journal', async () => {
    const { http: port, ingest } = await start();
    expect((await post(port, 'metrics', '')).status).toBe(200);
    expect((await post(port, 'traces', '{}', { 'content-type': 'application/json' })).status).toBe(200);
    expect((await post(port, 'logs', logsRequest(0))).status).toBe(200);
    expect(ingest.stored).toHaveLength(0);
  });

  it('with ids of a wrong length is taken: they associate with nothing', async () => {
    const { http: port, ingest } = await start();
    const body = JSON.stringify({
      resourceSpans: [{ scopeSpans: [{ spans: [{ traceId: 'abcd', spanId: '', name: 'x' }] }] }],
    });
    expect((await post(port, 'traces', body, { 'content-type': 'application/json' })).status).toBe(200);
    expect(ingest.stored).toHaveLength(1);
  });

  it('is recognised by its kymo-batch header when it comes again', async () => {
    const { http: port, ingest, instruments } = await start();
    const headers = { 'kymo-batch': 'instance/sender/logs/1' };
    const first = await post(port, 'logs', logsRequest(), headers);
    const second = await post(port, 'logs', logsRequest(), headers);
    expect(second.status).toBe(200);
    expect(second.headers['kymo-position']).toBe(first.headers['kymo-position']);
    expect(ingest.stored.map(each => each.batchKey)).toEqual(['instance/sender/logs/1']);
    expect(instruments.sum('otelcol_receiver_accepted_log_records')).toBe(1);
    expect(instruments.sum('kymo_receiver_duplicate_requests')).toBe(1);
  });

  it('goes to the paths that the settings name', async () => {
    const { http: port, ingest } = await start({ http: { logs_url_path: '/otlp/logs' } });
    const headers = { 'content-type': 'application/x-protobuf' };
    expect((await request(port, { path: '/otlp/logs?x=1', body: logsRequest(), headers })).status).toBe(200);
    expect((await post(port, 'logs', logsRequest())).status).toBe(404);
    expect(ingest.stored).toHaveLength(1);
  });
});

describe('a request that is refused', () => {
  it('names the reason in a google.rpc.Status of the encoding of the request', async () => {
    const { http: port, ingest, instruments } = await start();
    const asJson = await post(port, 'logs', '{"resourceLogs": 5}', { 'content-type': 'application/json' });
    expect(asJson.status).toBe(400);
    expect(asJson.headers['content-type']).toBe('application/json');
    expect(JSON.parse(asJson.body.toString())).toMatchObject({
      code: 3,
      message: expect.stringContaining('resourceLogs'),
    });
    const asProtobuf = await post(port, 'logs', Buffer.from([0x0a, 0x05, 1]));
    expect(asProtobuf.status).toBe(400);
    expect(asProtobuf.headers['content-type']).toBe('application/x-protobuf');
    expect([...asProtobuf.body.subarray(0, 2)]).toEqual([0x08, 3]);
    expect(ingest.stored).toHaveLength(0);
    expect(instruments.sum('kymo_receiver_rejected_requests', { reason: 'undecodable' })).toBe(2);
  });

  it.each<[string, http.RequestOptions & { body?: Uint8Array | string }, number]>([
    ['an unknown path', { path: '/v1/profiles' }, 404],
    ['a wrong method', { method: 'PUT' }, 405],
    ['a GET', { method: 'GET', body: '' }, 405],
    ['no content type', { headers: {} }, 415],
    ['a wrong content type', { headers: { 'content-type': 'text/plain' } }, 415],
    ['a form', { headers: { 'content-type': 'application/x-www-form-urlencoded' } }, 415],
    [
      'an unknown encoding',
      { headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'br' } },
      415,
    ],
    [
      'two encodings',
      { headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'gzip, gzip' } },
      415,
    ],
  ])('for %s', async (_what, change, status) => {
    const { http: port, ingest } = await start();
    const headers = { 'content-type': 'application/x-protobuf' };
    const answer = await request(port, { path: '/v1/logs', body: logsRequest(), headers, ...change });
    expect(answer.status).toBe(status);
    expect(JSON.stringify(answer.headers['content-type'])).toMatch(/json|protobuf/);
    expect(ingest.stored).toHaveLength(0);
  });

  it('for a kymo-batch header that is none, of another signal, or too long', async () => {
    const { http: port, ingest } = await start();
    const keys = [
      'x',
      'a/b/logs/0',
      'a/b/logs/01',
      'a/b/metrics/1',
      'a/b/c/logs/1',
      'a b/c/logs/1',
      '/b/logs/1',
    ];
    for (const key of [...keys, `${'a'.repeat(512)}/b/logs/1`, 'a/b/logs/9999999999999999']) {
      const answer = await post(port, 'logs', logsRequest(), { 'kymo-batch': key });
      expect([key, answer.status]).toEqual([key, 400]);
    }
    expect(ingest.stored).toHaveLength(0);
  });

  it('for a compressed body that is broken, cut or has something behind it', async () => {
    const { http: port, ingest } = await start();
    const bytes = logsRequest(100);
    const good: Record<string, Buffer> = {
      gzip: zlib.gzipSync(bytes),
      deflate: zlib.deflateSync(bytes),
      zstd: zlib.zstdCompressSync(bytes),
    };
    for (const [encoding, body] of Object.entries(good)) {
      const bad = [Buffer.from('nonsense'), body.subarray(0, body.length - 3), Buffer.alloc(0)];
      if (encoding !== 'deflate') bad.push(Buffer.concat([body, Buffer.from('more')]));
      for (const each of bad) {
        const answer = await post(port, 'logs', each, { 'content-encoding': encoding });
        expect([encoding, answer.status]).toEqual([encoding, 400]);
      }
    }
    expect(ingest.stored).toHaveLength(0);
  });

  it('whatever bits are flipped and wherever it is cut, unless it can still be read', async () => {
    const { http: port, ingest } = await start();
    const bytes = logsRequest(3, 'text to break');
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length * 8 - 1), fc.nat(bytes.length), async (bit, length) => {
        const broken = Buffer.from(bytes.subarray(0, length));
        if (bit >> 3 < length) broken[bit >> 3]! ^= 1 << (bit & 7);
        const before = ingest.stored.length;
        const checked = checkRequest('logs', broken);
        const answer = await post(port, 'logs', broken);
        expect(answer.status).toBe(checked.ok ? 200 : 400);
        expect(ingest.stored.length - before).toBe(checked.ok && checked.items > 0 ? 1 : 0);
      }),
      { numRuns: 150 },
    );
    expect(ingest.stored.length).toBeLessThan(150);
  });

  it('with 503 and Retry-After while the journal takes nothing', async () => {
    const { http: port, ingest, instruments } = await start();
    ingest.refuse = { reason: 'the disk is full', retryAfterMs: 2_500 };
    const body = '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}';
    const answer = await post(port, 'logs', body, { 'content-type': 'application/json' });
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('3');
    expect(JSON.parse(answer.body.toString())).toEqual({ code: 14, message: 'the disk is full' });
    expect(instruments.sum('otelcol_receiver_refused_log_records')).toBe(1);
    ingest.refuse = undefined;
    expect((await post(port, 'logs', body, { 'content-type': 'application/json' })).status).toBe(200);
  });
});

describe('sizes', () => {
  it('takes a request of nearly 64 MiB and refuses one of 65 MiB with 413', async () => {
    const { http: port, ingest } = await start();
    const large = logsRequest(1, 'x'.repeat(63 * MIB));
    expect((await post(port, 'logs', large)).status).toBe(200);
    expect(ingest.stored[0]!.bytes.length).toBe(large.length);
    const tooLarge = logsRequest(1, 'x'.repeat(65 * MIB));
    expect((await post(port, 'logs', tooLarge)).status).toBe(413);
    expect(ingest.stored).toHaveLength(1);
  });

  it('takes JSON of nearly 64 MiB, compressed, within the memory that the journal grants by default', async () => {
    const { http: port, ingest } = await start({ http: {} }, { ingest: new MemoryIngest(256 * MIB) });
    const text = randomBytes(23 * MIB).toString('hex');
    const body = zlib.gzipSync(
      `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"${text}"}}]}]}]}`,
      {
        level: 1,
      },
    );
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    expect((await post(port, 'logs', body, headers)).status).toBe(200);
    expect(ingest.stored[0]!.bytes.length).toBeGreaterThan(46 * MIB);
  });

  it('refuses by Content-Length before a byte of the body is read', async () => {
    const { http: port, ingest } = await start();
    const head = `POST /v1/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${100 * MIB}\r\n\r\n`;
    const text = await rawExchange(port, head);
    expect(text).toMatch(/^HTTP\/1\.1 413 /);
    expect(ingest.peak).toBe(0);
  });

  it('refuses a body without a length as soon as it is too long', async () => {
    const { http: port, ingest } = await start({ http: { max_request_body_size: MIB } });
    const answer = await new Promise<number>((resolve, reject) => {
      const headers = { 'content-type': 'application/x-protobuf' };
      const sent = http.request(
        { port, host: '127.0.0.1', method: 'POST', path: '/v1/logs', headers },
        response => resolve(response.resume().statusCode!),
      );
      sent.on('error', reject);
      const chunk = Buffer.alloc(256 * 1024);
      // Never ended: the answer must not wait for the end.
      for (let i = 0; i < 6; i++) sent.write(chunk);
    });
    expect(answer).toBe(413);
    expect(ingest.peak).toBeLessThanOrEqual(MIB);
  });

  it.each(['gzip', 'deflate', 'zstd'] as const)('a %s bomb is stopped while it inflates', async encoding => {
    const { http: port, ingest, instruments } = await start({ http: { max_request_body_size: 4 * MIB } });
    const zeros = Buffer.alloc(200 * MIB);
    const bomb =
      encoding === 'gzip'
        ? zlib.gzipSync(zeros)
        : encoding === 'deflate'
          ? zlib.deflateSync(zeros)
          : zlib.zstdCompressSync(zeros);
    expect(bomb.length).toBeLessThan(MIB);
    const answer = await post(port, 'logs', bomb, { 'content-encoding': encoding });
    expect(answer.status).toBe(413);
    expect(ingest.peak).toBeLessThanOrEqual(6 * MIB);
    expect(instruments.sum('kymo_receiver_rejected_requests', { reason: 'too_large' })).toBe(1);
  });

  it('a zstd frame that asks for a window of 128 MiB is refused', async () => {
    const { http: port } = await start();
    const params = { [zlib.constants.ZSTD_c_windowLog]: 27 };
    const stream = zlib.createZstdCompress({ params });
    const parts: Buffer[] = [];
    stream.on('data', part => parts.push(part));
    stream.write(Buffer.alloc(MIB));
    await new Promise<void>(resolve => stream.on('end', resolve).end('x'));
    const answer = await post(port, 'logs', Buffer.concat(parts), { 'content-encoding': 'zstd' });
    expect(answer.status).toBe(400);
  });

  it('a body with a Content-Length that lies is never taken', async () => {
    const { http: port, ingest } = await start();
    const body = Buffer.from(logsRequest(1));
    const send = (length: number): Promise<string> =>
      rawExchange(
        port,
        Buffer.concat([
          Buffer.from(
            `POST /v1/logs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/x-protobuf\r\ncontent-length: ${length}\r\n\r\n`,
          ),
          body,
        ]),
      );
    // Shorter than the body: what is read is a cut message, and the rest is no request.
    expect(await send(body.length - 5)).toMatch(/^HTTP\/1\.1 400 /);
    expect(await send(-5)).toMatch(/^HTTP\/1\.1 400 /);
    expect(ingest.stored).toHaveLength(0);
  });

  it('a sender that goes away in the middle leaves nothing behind', async () => {
    const { http: port, ingest, instruments } = await start();
    const sent = http.request({
      port,
      host: '127.0.0.1',
      method: 'POST',
      path: '/v1/logs',
      headers: { 'content-type': 'application/x-protobuf', 'content-length': 10_000 },
    });
    sent.on('error', () => {});
    sent.write(Buffer.alloc(100));
    await until(() => ingest.reserved === 10_000, 'the reservation');
    sent.destroy();
    await until(() => ingest.reserved === 0, 'its release');
    expect(instruments.sum('kymo_receiver_rejected_requests', { reason: 'aborted' })).toBe(1);
  });

  it('is pushed back with 503 when memory has run out, before it is read', async () => {
    const { http: port, ingest } = await start({ http: {} }, { ingest: new MemoryIngest(1_000) });
    const answer = await post(port, 'logs', logsRequest(100));
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    expect((await post(port, 'logs', logsRequest(1))).status).toBe(200);
    expect(ingest.peak).toBeLessThanOrEqual(1_000);
  });
});

describe('slow senders', () => {
  it('are cut when their headers take too long', async () => {
    const { http: port } = await start({ http: { read_header_timeout: '150ms' } });
    expect(await rawExchange(port, 'POST /v1/logs HTTP/1.1\r\nhost: loc')).toMatch(/^HTTP\/1\.1 408 /);
  });

  it('are cut when their body takes too long', async () => {
    const { http: port, ingest } = await start({ http: { read_timeout: '200ms' } });
    const text = await rawExchange(
      port,
      'POST /v1/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{',
    );
    expect(text).toMatch(/^HTTP\/1\.1 408 /);
    await until(() => ingest.reserved === 0, 'the release');
  });

  it('are closed when they stay idle', async () => {
    const { http: port } = await start({ http: { idle_timeout: '100ms' } });
    const text = await rawExchange(port, 'GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
    expect(text).toMatch(/^HTTP\/1\.1 404 /);
  });
});

describe('web pages', () => {
  const headers = { 'content-type': 'application/x-protobuf' };
  const send = (port: number, more: http.OutgoingHttpHeaders) =>
    request(port, { path: '/v1/logs', body: logsRequest(), headers: { ...headers, ...more } });

  it('of any origin are refused unless cors allows them', async () => {
    const { http: port, ingest, instruments } = await start();
    expect((await send(port, { origin: 'http://localhost:3000' })).status).toBe(403);
    expect((await send(port, { origin: 'null' })).status).toBe(403);
    expect(ingest.stored).toHaveLength(0);
    expect(instruments.sum('kymo_receiver_rejected_requests', { reason: 'origin' })).toBe(2);
  });

  it('cannot reach the port under a name that was rebound to this machine', async () => {
    const { http: port, ingest } = await start();
    expect((await send(port, { host: 'evil.example' })).status).toBe(403);
    expect((await send(port, { host: '127.0.0.1.evil.example:4318' })).status).toBe(403);
    expect(ingest.stored).toHaveLength(0);
    for (const host of ['localhost', 'localhost:4318', '127.0.0.1:1', '[::1]:4318', 'LOCALHOST:5']) {
      expect([host, (await send(port, { host })).status]).toEqual([host, 200]);
    }
  });

  it('of allowed origins may ask and send', async () => {
    const cors = {
      allowed_origins: ['http://app.example', 'https://*.lab.example'],
      allowed_headers: ['x-token'],
      exposed_headers: ['kymo-position'],
      max_age: 60,
    };
    const { http: port, ingest } = await start({ http: { cors } });
    const origin = 'https://a.lab.example';
    const preflight = await request(port, {
      path: '/v1/logs',
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type',
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': 'POST',
      'access-control-max-age': '60',
      vary: 'origin',
    });
    expect(preflight.headers['access-control-allow-headers']).toMatch(/content-type.*x-token/);
    const answer = await send(port, { origin });
    expect(answer.status).toBe(200);
    expect(answer.headers['access-control-allow-origin']).toBe(origin);
    expect(answer.headers['access-control-expose-headers']).toBe('kymo-position');
    for (const other of ['https://lab.example', 'https://a.lab.example.evil', 'http://a.lab.example']) {
      expect([other, (await send(port, { origin: other })).status]).toEqual([other, 403]);
    }
    expect(ingest.stored).toHaveLength(1);
  });

  it('of every origin go without credentials', async () => {
    const { http: port } = await start({ http: { cors: { allowed_origins: ['*'] } } });
    const answer = await send(port, { origin: 'http://anything.example' });
    expect(answer.status).toBe(200);
    expect(answer.headers['access-control-allow-origin']).toBe('*');
    expect(answer.headers['access-control-allow-credentials']).toBeUndefined();
  });
});

describe('stopping', () => {
  it('answers what is under way and closes', async () => {
    const { http: port, ingest, receiver } = await start();
    let release = (): void => {};
    ingest.hold = new Promise(resolve => {
      release = resolve;
    });
    const agent = new http.Agent({ keepAlive: true });
    const answer = request(port, {
      path: '/v1/logs',
      body: logsRequest(),
      headers: { 'content-type': 'application/x-protobuf' },
      agent,
    });
    await until(() => ingest.reserved > 0, 'the request');
    const stopped = receiver.stop(5_000);
    release();
    expect((await answer).status).toBe(200);
    await stopped;
    agent.destroy();
    await expect(post(port, 'logs', logsRequest())).rejects.toThrow(/ECONNREFUSED/);
  });

  it('does not wait longer than its deadline', async () => {
    const { http: port, ingest, receiver } = await start();
    let release = (): void => {};
    ingest.hold = new Promise(resolve => {
      release = resolve;
    });
    const answer = post(port, 'logs', logsRequest());
    answer.catch(() => {});
    await until(() => ingest.reserved > 0, 'the request');
    const startedAt = Date.now();
    await receiver.stop(100);
    expect(Date.now() - startedAt).toBeLessThan(2_000);
    await expect(answer).rejects.toThrow();
    release();
    await until(() => ingest.reserved === 0, 'the release');
  });
});

describe('response_headers', () => {
  it('are on every answer', async () => {
    const { http: port } = await start({ http: { response_headers: { 'x-lab': '7' } } });
    expect((await post(port, 'logs', logsRequest())).headers['x-lab']).toBe('7');
    expect((await post(port, 'nothing', '')).headers['x-lab']).toBe('7');
  });
});

describe('the handler on a server of somebody else', () => {
  it('cuts a sender that is slower than the least rate', async () => {
    const ingest = new MemoryIngest();
    const instruments = recordingInstruments();
    const limits = { maxBodyBytes: 100_000, minBytesPerSecond: 1_000, minRateGraceMs: 100 };
    const handler = createOtlpHttpHandler({
      ingest,
      limits,
      logger: recordingLogger(),
      instruments,
      paths: DEFAULT_PATHS,
      receiver: 'test',
      transport: 'http',
    });
    const server = http.createServer(handler).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const sent = http.request({
      port,
      host: '127.0.0.1',
      method: 'POST',
      path: '/v1/logs',
      headers: { 'content-type': 'application/x-protobuf', 'content-length': 5_000 },
    });
    const trickle = setInterval(() => sent.write('x'), 20);
    const status = await new Promise<number>((resolve, reject) => {
      sent.on('response', response => resolve(response.resume().statusCode!));
      sent.on('error', reject);
    });
    clearInterval(trickle);
    sent.on('error', () => {}).destroy();
    expect(status).toBe(408);
    await until(() => ingest.reserved === 0, 'the release');
    expect(instruments.sum('kymo_receiver_rejected_requests', { reason: 'slow' })).toBe(1);
    await new Promise(resolve => server.close(resolve));
  });
});
