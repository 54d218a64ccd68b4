// Each place where a collector listens, taken by somebody else: the message names setting, address and way out, and nothing stays bound.
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { removeFolder, runKymo, temporaryFolder } from './collector-process.ts';

let folder: string;
let taken: Server;
beforeAll(async () => {
  folder = temporaryFolder();
  taken = createServer();
  await new Promise<void>(resolve => taken.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  await new Promise(resolve => taken.close(resolve));
  removeFolder(folder);
});

it.each([
  'receivers::otlp::protocols::http::endpoint',
  'receivers::otlp::protocols::grpc::endpoint',
  'extensions::health_check::endpoint',
  'service::telemetry::metrics::address',
])('%s', async setting => {
  const free = '127.0.0.1:0';
  writeFileSync(
    join(folder, 'c.yaml'),
    `receivers: {otlp: {protocols: {http: {endpoint: "${free}"}, grpc: {endpoint: "${free}"}}}}
exporters: {jsonl: }
extensions: {health_check: {endpoint: "${free}"}}
service:
  extensions: [health_check]
  telemetry: {metrics: {address: "${free}"}}
  pipelines: {metrics: {receivers: [otlp], exporters: [jsonl]}}
`,
  );
  const address = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
  const { code, stderr } = await runKymo(
    ['collector', '--config', 'c.yaml', '--set', `${setting}=${address}`],
    folder,
  );
  expect(code).toBe(1);
  expect(stderr).toContain(
    `cannot start: ${setting}: ${address} is in use by another process; stop that one, or set ${setting} to another address`,
  );
});
