// The otlp_grpc exporter against peers that answer by script, and from receiver to receiver.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { type Exporter, RetryableError } from '../../../../src/collector/component.ts';
import { otlpGrpcExporter } from '../../../../src/collector/exporters/otlp_grpc/index.ts';
import { encodeExportResponse } from '../../../../src/otlp/responses.ts';
import { encodeRetryStatus } from '../../../../src/otlp/retry-info.ts';
import { makeCertificates } from '../../receivers/otlp/certificates.ts';
import { logsRequest, post, startReceiver } from '../../receivers/otlp/harness.ts';
import { batchOf, exporterContext } from '../otlp_http/harness.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-forward-'));
  makeCertificates(folder);
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

type Handler = grpc.handleUnaryCall<Buffer, Buffer>;
const identity = (bytes: Buffer): Buffer => bytes;

async function peer(handler: Handler): Promise<string> {
  const server = new grpc.Server();
  server.register(
    '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
    handler,
    identity,
    identity,
    'unary',
  );
  ends.push(() => server.forceShutdown());
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  return `127.0.0.1:${port}`;
}

function create(settings: Record<string, unknown>) {
  const parsed = otlpGrpcExporter.config.parse({ tls: { insecure: true }, ...settings });
  const made = exporterContext('otlp_grpc', folder);
  const exporter: Exporter = otlpGrpcExporter.create(made.context, parsed);
  ends.push(() => exporter.stop());
  return { ...made, exporter };
}
async function failure(promise: Promise<void> | void): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it did not fail');
}

it('sends the bytes as they came, with headers and batch key', async () => {
  const seen: { bytes: Buffer; metadata: grpc.Metadata }[] = [];
  const endpoint = await peer((call, callback) => {
    seen.push({ bytes: call.request, metadata: call.metadata });
    callback(null, Buffer.alloc(0));
  });
  const bytes = logsRequest(100);
  for (const compression of ['gzip', 'none']) {
    const { exporter } = create({ endpoint, compression, headers: { authorization: 'Bearer x' } });
    await exporter.export(batchOf(bytes, { batchKey: 'i/s/logs/3' }));
  }
  for (const one of seen) {
    expect(one.bytes.equals(bytes)).toBe(true);
    expect(one.metadata.get('kymo-batch')).toEqual(['i/s/logs/3']);
    expect(one.metadata.get('authorization')).toEqual(['Bearer x']);
    expect(String(one.metadata.get('user-agent'))).toMatch(/^kymo\/\d/);
  }
  expect(seen).toHaveLength(2);
});

it('counts a partial success and does not send it again', async () => {
  let calls = 0;
  const endpoint = await peer((_call, callback) => {
    calls++;
    const partial = { rejected: 3, message: 'too old' };
    callback(null, Buffer.from(encodeExportResponse('logs', 'protobuf', partial)));
  });
  const { exporter, instruments, logger } = create({ endpoint });
  await exporter.export(batchOf(logsRequest(5)));
  expect(calls).toBe(1);
  expect(instruments.sum('kymo_exporter_rejected_items')).toBe(3);
  expect(logger.lines.some(line => line.level === 'warn')).toBe(true);
});

describe('an error', () => {
  const { status } = grpc;
  const retryable = new Set<number>([
    status.CANCELLED,
    status.DEADLINE_EXCEEDED,
    status.ABORTED,
    status.OUT_OF_RANGE,
    status.UNAVAILABLE,
    status.DATA_LOSS,
  ]);
  it('is retryable or not as the specification says, for all sixteen codes', async () => {
    let code = 0;
    const endpoint = await peer((_call, callback) => callback({ code, details: 'because' }));
    const { exporter } = create({ endpoint });
    for (code = 1; code <= 16; code++) {
      const error = await failure(exporter.export(batchOf(logsRequest())));
      expect([status[code], error instanceof RetryableError]).toEqual([status[code], retryable.has(code)]);
      expect(error.message).toContain('because');
    }
  });

  it('with RetryInfo waits as long as that, and makes RESOURCE_EXHAUSTED retryable', async () => {
    const endpoint = await peer((_call, callback) => {
      const metadata = new grpc.Metadata();
      const details = encodeRetryStatus(status.RESOURCE_EXHAUSTED, 'slow down', 90_000);
      metadata.set('grpc-status-details-bin', Buffer.from(details));
      callback({ code: status.RESOURCE_EXHAUSTED, details: 'slow down', metadata });
    });
    const error = await failure(create({ endpoint }).exporter.export(batchOf(logsRequest())));
    expect((error as RetryableError).retryAfterMs).toBe(90_000);
  });

  it('of a peer that is not there, or does not answer, is retryable', async () => {
    const nobody = create({ endpoint: '127.0.0.1:1' });
    expect(await failure(nobody.exporter.export(batchOf(logsRequest())))).toBeInstanceOf(RetryableError);
    const endpoint = await peer(() => {});
    const { exporter } = create({ endpoint, timeout: '100ms' });
    expect(await failure(exporter.export(batchOf(logsRequest())))).toBeInstanceOf(RetryableError);
  });

  it('of a peer that was expected to speak TLS is retryable and says so', async () => {
    const endpoint = await peer((_call, callback) => callback(null, Buffer.alloc(0)));
    const { exporter } = create({ endpoint: endpoint.replace('127.0.0.1', 'localhost'), tls: {} });
    expect(await failure(exporter.export(batchOf(logsRequest())))).toBeInstanceOf(RetryableError);
    const plain = create({ endpoint: `http://${endpoint}`, tls: {} });
    await plain.exporter.export(batchOf(logsRequest()));
  });
});

it('ends a call that is under way when it is stopped', async () => {
  let arrived = false;
  const endpoint = await peer(() => {
    arrived = true;
  });
  const { exporter } = create({ endpoint, timeout: '30s' });
  const exported = failure(exporter.export(batchOf(logsRequest())));
  while (!arrived) await new Promise(resolve => setTimeout(resolve, 5));
  await exporter.stop();
  expect(await exported).toBeInstanceOf(RetryableError);
});

it('brings every byte and every batch key from receiver to receiver', async () => {
  const first = await startReceiver({ http: {} });
  const second = await startReceiver({ grpc: {} });
  ends.push(
    () => first.receiver.stop(500),
    () => second.receiver.stop(500),
  );
  for (let n = 1; n <= 5; n++) {
    await post(first.http, 'logs', logsRequest(n * 10), { 'kymo-batch': `i/s/logs/${n}` });
  }
  const { exporter } = create({ endpoint: `localhost:${second.grpc}` });
  for (const { bytes, batchKey } of first.ingest.stored) await exporter.export(batchOf(bytes, { batchKey }));
  expect(second.ingest.stored).toHaveLength(5);
  for (const [i, { bytes, batchKey }] of first.ingest.stored.entries()) {
    expect(second.ingest.stored[i]!.batchKey).toBe(batchKey);
    expect(Buffer.from(second.ingest.stored[i]!.bytes).equals(bytes)).toBe(true);
  }
});

it('speaks TLS with a certificate of its own, and to nobody whose certificate it cannot check', async () => {
  const tls = { cert_file: 'server.pem', key_file: 'server.key', client_ca_file: 'ca.pem' };
  const second = await startReceiver({ grpc: { tls } }, { baseDirectory: folder });
  ends.push(() => second.receiver.stop(500));
  const endpoint = `localhost:${second.grpc}`;
  const ours = { insecure: false, cert_file: 'client.pem', key_file: 'client.key' };
  for (const wrong of [{ ...ours }, { insecure: false, ca_file: 'ca.pem' }]) {
    const { exporter } = create({ endpoint, tls: wrong });
    expect(await failure(exporter.export(batchOf(logsRequest())))).toBeInstanceOf(RetryableError);
  }
  await create({ endpoint, tls: { ...ours, ca_file: 'ca.pem' } }).exporter.export(batchOf(logsRequest()));
  await create({ endpoint, tls: { ...ours, insecure_skip_verify: true } }).exporter.export(
    batchOf(logsRequest()),
  );
  const named = { ...ours, ca_file: 'ca.pem', server_name_override: 'localhost' };
  await create({ endpoint: `https://[::1]:${second.grpc}`, tls: named }).exporter.export(
    batchOf(logsRequest()),
  );
  expect(second.ingest.stored).toHaveLength(3);
});

it('refuses settings that it cannot do', () => {
  const message = (settings: unknown): string => {
    const parsed = otlpGrpcExporter.config.safeParse(settings);
    return parsed.success ? '' : parsed.error.issues.map(issue => issue.message).join('\n');
  };
  expect(message({ endpoint: 'h:1', compression: 'zstd' })).toContain('gRPC for Node has no other');
  expect(message({ endpoint: 'h:1', profile: 'lgtm' })).toContain('not available yet');
  expect(message({ endpoint: 'a b' })).toContain('not an endpoint');
  expect(message({})).not.toBe('');
  expect(message({ endpoint: 'dns:///host:4317' })).toBe('');
});
