// The otlp_http exporter against peers that answer by script, and from receiver to receiver.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import zlib from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { type Exporter, RetryableError } from '../../../../src/collector/component.ts';
import { parseRetryAfter } from '../../../../src/collector/exporters/otlp_http/forwarder.ts';
import { otlpHttpExporter } from '../../../../src/collector/exporters/otlp_http/index.ts';
import { MAX_RESPONSE_BYTES } from '../../../../src/collector/exporters/otlp_http/post.ts';
import { encodeExportResponse, encodeStatus } from '../../../../src/otlp/responses.ts';
import { makeCertificates } from '../../receivers/otlp/certificates.ts';
import { logsRequest, post, startReceiver } from '../../receivers/otlp/harness.ts';
import { answer, batchOf, exporterContext, type Script, scriptedPeer } from './harness.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const protobuf = { 'content-type': 'application/x-protobuf' };
const ok = answer(200, protobuf);

function create(settings: Record<string, unknown>) {
  const parsed = otlpHttpExporter.config.parse(settings);
  const made = exporterContext('otlp_http', folder);
  /** As the runner does it: a new instance with the same settings after each failure. */
  const next = (): Exporter => {
    const exporter = otlpHttpExporter.create(made.context, parsed);
    ends.push(() => exporter.stop());
    return exporter;
  };
  return { ...made, next, exporter: next() };
}
let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-forward-'));
  makeCertificates(folder);
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));
async function peer(...answers: Script[]) {
  const made = await scriptedPeer(...answers);
  ends.push(() => made.close());
  return made;
}
async function failure(promise: Promise<void> | void): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it did not fail');
}

describe('a request', () => {
  it.each([
    ['gzip', (body: Buffer) => zlib.gunzipSync(body)],
    ['zstd', (body: Buffer) => zlib.zstdDecompressSync(body)],
    ['none', (body: Buffer) => body],
  ])('carries the bytes as they came, with compression %s', async (compression, undo) => {
    const { seen, url } = await peer(ok);
    const { exporter } = create({ endpoint: url, compression, headers: { Authorization: 'Bearer x' } });
    const bytes = logsRequest(100);
    await exporter.export(batchOf(bytes, { batchKey: 'i/s/logs/3' }));
    expect(seen).toHaveLength(1);
    expect(seen[0]!.url).toBe('/v1/logs');
    expect(seen[0]!.headers).toMatchObject({
      'content-type': 'application/x-protobuf',
      authorization: 'Bearer x',
      'kymo-batch': 'i/s/logs/3',
    });
    expect(seen[0]!.headers['content-encoding']).toBe(compression === 'none' ? undefined : compression);
    expect(seen[0]!.headers['user-agent']).toMatch(/^kymo\/\d/);
    expect(undo(seen[0]!.body).equals(bytes)).toBe(true);
  });

  it('goes to the path below the endpoint, or to the URL of its signal', async () => {
    const { seen, url } = await peer(ok);
    const { exporter } = create({ endpoint: `${url}/otlp/`, traces_endpoint: `${url}/elsewhere?a=b` });
    await exporter.export(batchOf(new Uint8Array(0), { signal: 'metrics' }));
    await exporter.export(batchOf(new Uint8Array(0), { signal: 'traces' }));
    expect(seen.map(each => each.url)).toEqual(['/otlp/v1/metrics', '/elsewhere?a=b']);
    expect(seen[0]!.headers['kymo-batch']).toBeUndefined();
  });
});

describe('an answer', () => {
  it('of 200 with partial success is delivered, logged, counted and not sent again', async () => {
    const partial = { rejected: 7, message: 'too old\u001b[2J' };
    const { seen, url } = await peer(
      answer(200, protobuf, encodeExportResponse('logs', 'protobuf', partial)),
    );
    const { exporter, logger, instruments } = create({ endpoint: url });
    await exporter.export(batchOf(logsRequest(10)));
    await exporter.commit();
    expect(seen).toHaveLength(1);
    expect(instruments.sum('kymo_exporter_rejected_items', { signal: 'logs' })).toBe(7);
    const warning = logger.lines.find(line => line.level === 'warn');
    expect(warning?.fields).toMatchObject({ rejected: 7, message: 'too old\\u{1b}[2J' });
  });

  it.each([429, 502, 503, 504])('of %d is retryable', async status => {
    const { url } = await peer(answer(status, protobuf, encodeStatus(14, 'busy', 'protobuf')), ok);
    const { exporter, next } = create({ endpoint: url });
    const error = await failure(exporter.export(batchOf(logsRequest())));
    expect(error).toBeInstanceOf(RetryableError);
    expect(error.message).toContain(`answered ${status}: busy`);
    await next().export(batchOf(logsRequest()));
  });

  it('of 503 with Retry-After waits at least as long as that', async () => {
    const { url } = await peer(answer(503, { 'retry-after': '120' }));
    const { exporter } = create({ endpoint: url });
    const error = await failure(exporter.export(batchOf(logsRequest())));
    expect((error as RetryableError).retryAfterMs).toBe(120_000);
  });

  it.each([
    [400, 'answered 400: cannot decode'],
    [401, 'answered 401'],
    [404, 'answered 404'],
    [500, 'answered 500'],
  ])('of %d counts against the batch', async (status, message) => {
    const { url } = await peer(answer(status, protobuf, encodeStatus(3, 'cannot decode', 'protobuf')));
    const error = await failure(create({ endpoint: url }).exporter.export(batchOf(logsRequest())));
    expect(error).not.toBeInstanceOf(RetryableError);
    expect(error.message).toContain(message);
  });

  it('that redirects is not followed', async () => {
    const other = await peer(ok);
    const { url } = await peer(answer(307, { location: `${other.url}/v1/logs` }));
    const { exporter } = create({ endpoint: url, headers: { authorization: 'secret' } });
    const error = await failure(exporter.export(batchOf(logsRequest())));
    expect(error).not.toBeInstanceOf(RetryableError);
    expect(error.message).toMatch(/redirects to .* which is not followed/);
    expect(other.seen).toHaveLength(0);
  });

  it('without end is cut at 4 MiB; its status counts', async () => {
    let sent = 0;
    let closed = false;
    const endless: Script = (_seen, response) => {
      response.writeHead(200, protobuf);
      response.on('close', () => {
        closed = true;
      });
      const more = (): void => {
        while (!closed && sent < 64 * 1024 * 1024) {
          sent += 65_536;
          if (!response.write(Buffer.alloc(65_536))) {
            response.once('drain', more);
            return;
          }
        }
        response.end();
      };
      more();
    };
    const { url } = await peer(endless);
    await create({ endpoint: url }).exporter.export(batchOf(logsRequest()));
    expect(sent).toBeGreaterThan(MAX_RESPONSE_BYTES);
    expect(sent).toBeLessThan(64 * 1024 * 1024);
  });

  it('that is cut off, does not come, or comes from nobody is retryable', async () => {
    const cut: Script = (_seen, response) => {
      response.writeHead(200, { ...protobuf, 'content-length': 100 });
      response.write('x');
      setTimeout(() => response.destroy(), 10);
    };
    const reset: Script = (_seen, _response, request) => request.socket.resetAndDestroy();
    const never: Script = () => {};
    for (const script of [cut, reset, never]) {
      const { url } = await peer(script);
      const { exporter } = create({ endpoint: url, timeout: '300ms' });
      expect(await failure(exporter.export(batchOf(logsRequest())))).toBeInstanceOf(RetryableError);
    }
    const gone = await scriptedPeer(ok);
    await gone.close();
    const error = await failure(create({ endpoint: gone.url }).exporter.export(batchOf(logsRequest())));
    expect(error).toBeInstanceOf(RetryableError);
    expect(error.message).toContain('ECONNREFUSED');
  });
});

describe('a connection', () => {
  it('that the peer closed while it was idle is replaced without a failure', async () => {
    const sockets: import('node:net').Socket[] = [];
    const { seen, url } = await peer(
      (_seen, response, request) => {
        sockets.push(request.socket);
        response.writeHead(200, { 'keep-alive': 'timeout=60' }).end();
      },
      // What a peer does that gave up on the connection as we wrote.
      (_seen, _response, request) => request.socket.resetAndDestroy(),
      ok,
    );
    const { exporter } = create({ endpoint: url });
    await exporter.export(batchOf(logsRequest()));
    await exporter.export(batchOf(logsRequest()));
    expect(seen).toHaveLength(3);
    expect(sockets).toHaveLength(1);
  });
});

describe('waits', () => {
  it('grow from failure to failure, within their limit, and start over after a success', async () => {
    const { url } = await peer(...Array.from({ length: 5 }, () => answer(503)), ok, answer(503));
    const retry = { initial_interval: '1s', multiplier: 2, max_interval: '5s', randomization_factor: 0 };
    const { next } = create({ endpoint: url, retry_on_failure: retry });
    const waits: (number | undefined)[] = [];
    for (let i = 0; i < 5; i++) {
      waits.push(((await failure(next().export(batchOf(logsRequest())))) as RetryableError).retryAfterMs);
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 5_000, 5_000]);
    await next().export(batchOf(logsRequest()));
    const after = (await failure(next().export(batchOf(logsRequest())))) as RetryableError;
    expect(after.retryAfterMs).toBe(1_000);
  });

  it('are off with enabled: false, and end with max_elapsed_time', async () => {
    const { url } = await peer(answer(503));
    const off = create({ endpoint: url, retry_on_failure: { enabled: false } });
    expect(await failure(off.exporter.export(batchOf(logsRequest())))).not.toBeInstanceOf(RetryableError);
    const short = create({ endpoint: url, retry_on_failure: { max_elapsed_time: '30ms' } });
    expect(await failure(short.next().export(batchOf(logsRequest())))).toBeInstanceOf(RetryableError);
    await new Promise(resolve => setTimeout(resolve, 40));
    expect(await failure(short.next().export(batchOf(logsRequest())))).not.toBeInstanceOf(RetryableError);
  });

  it('take Retry-After as seconds or a date and nothing else', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    expect(parseRetryAfter('5', now)).toBe(5_000);
    expect(parseRetryAfter('Thu, 01 Jan 2026 00:00:10 GMT', now)).toBe(10_000);
    expect(parseRetryAfter('Thu, 01 Jan 2025 00:00:10 GMT', now)).toBe(0);
    for (const garbage of [undefined, '', 'soon', '-5', '1e9', '5.5', '99999999999999']) {
      expect([garbage, parseRetryAfter(garbage, now)]).toEqual([garbage, undefined]);
    }
  });
});

describe('stop', () => {
  it('ends a request that is under way', async () => {
    const { url, seen } = await peer(() => {});
    const { exporter } = create({ endpoint: url, timeout: '30s' });
    const exported = failure(exporter.export(batchOf(logsRequest())));
    while (seen.length === 0) await new Promise(resolve => setTimeout(resolve, 5));
    await exporter.stop();
    expect(await exported).toBeInstanceOf(RetryableError);
  });
});

describe('from receiver to receiver', () => {
  it('every byte and every batch key arrives, and what comes twice is stored once', async () => {
    const first = await startReceiver({ http: {} });
    const second = await startReceiver({ http: {} });
    ends.push(
      () => first.receiver.stop(500),
      () => second.receiver.stop(500),
    );
    for (let n = 1; n <= 5; n++) {
      await post(first.http, 'logs', logsRequest(n * 10), { 'kymo-batch': `i/s/logs/${n}` });
    }
    const { exporter } = create({ endpoint: `http://localhost:${second.http}`, compression: 'zstd' });
    for (const { bytes, batchKey } of [...first.ingest.stored, ...first.ingest.stored]) {
      await exporter.export(batchOf(bytes, { batchKey }));
    }
    await exporter.commit();
    expect(second.ingest.stored.map(each => each.batchKey)).toEqual(
      first.ingest.stored.map(each => each.batchKey),
    );
    for (const [i, { bytes }] of first.ingest.stored.entries()) {
      expect(Buffer.from(second.ingest.stored[i]!.bytes).equals(bytes)).toBe(true);
    }
  });
});

it('speaks TLS with a certificate of its own, and to nobody whose certificate it cannot check', async () => {
  const tls = { cert_file: 'server.pem', key_file: 'server.key', client_ca_file: 'ca.pem' };
  const second = await startReceiver({ http: { tls } }, { baseDirectory: folder });
  ends.push(() => second.receiver.stop(500));
  const endpoint = `https://localhost:${second.http}`;
  const ours = { cert_file: 'client.pem', key_file: 'client.key' };
  for (const wrong of [{ ...ours }, { ca_file: 'ca.pem' }, { ...ours, ca_file: 'client.pem' }]) {
    const { exporter } = create({ endpoint, tls: wrong });
    expect(await failure(exporter.export(batchOf(logsRequest())))).toBeInstanceOf(RetryableError);
  }
  await create({ endpoint, tls: { ...ours, ca_file: 'ca.pem' } }).exporter.export(batchOf(logsRequest()));
  await create({ endpoint, tls: { ...ours, insecure_skip_verify: true } }).exporter.export(
    batchOf(logsRequest()),
  );
  expect(second.ingest.stored).toHaveLength(2);
  expect(() => create({ endpoint, tls: { ca_file: 'nowhere.pem' } })).toThrow(
    /exporters::otlp_http::tls::ca_file: cannot read nowhere\.pem/,
  );
});

describe('settings', () => {
  const problems = (settings: unknown): string => {
    const parsed = otlpHttpExporter.config.safeParse(settings);
    return parsed.success
      ? ''
      : parsed.error.issues.map(each => `${each.path.join('::')}: ${each.message}`).join('\n');
  };
  it.each([
    [{}, 'endpoint: needs endpoint'],
    [{ endpoint: 'localhost:4318' }, 'endpoint: not a URL'],
    [{ endpoint: 'http://user:pw@host' }, 'must not hold a password'],
    [{ endpoint: 'http://h', profile: 'lgtm' }, 'profile: profile lgtm is not available yet'],
    [{ endpoint: 'http://h', profile: 'x' }, 'unknown profile'],
    [{ endpoint: 'http://h', timeout: '31s' }, 'timeout: at most 30s'],
    [{ endpoint: 'http://h', compression: 'snappy' }, 'compression'],
    [{ endpoint: 'http://h', endpont: '' }, 'endpont'],
    [{ endpoint: 'http://h', headers: { 'bad name': 'x' } }, 'headers'],
  ])('%j are refused', (settings, message) => {
    expect(problems(settings)).toContain(message);
  });

  it('take what upstream configurations have, and never print headers', () => {
    const parsed = otlpHttpExporter.config.parse({
      endpoint: 'https://host:4318',
      headers: { 'x-key': 'very secret' },
      sending_queue: { enabled: true, queue_size: 10 },
      retry_on_failure: { max_elapsed_time: '300s' },
      tls: { insecure: false },
    });
    expect(JSON.stringify(parsed)).not.toContain('very secret');
    expect(parsed.headers['x-key']!.reveal()).toBe('very secret');
  });
});
