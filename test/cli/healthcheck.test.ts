// What a container's HEALTHCHECK runs.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from '@jest/globals';
import { runKymo } from '../collector/service/collector-process.ts';

it.each([
  [200, 0],
  [503, 1],
])('a collector that answers %d ends it with %d', async (status, code) => {
  const server = createServer((_, response) => response.writeHead(status).end('{"status":"x\u001b"}'));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const ending = await runKymo(['collector', 'healthcheck', '--url', url], process.cwd());
  server.close();
  expect(ending.code).toBe(code);
  expect(ending.stdout + ending.stderr).toContain('{"status":"x\\u{1b}"}');
});

it('nobody there ends it with 1 and the reason', async () => {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  await new Promise(resolve => server.close(resolve));
  const ending = await runKymo(['collector', 'healthcheck', '--url', url], process.cwd());
  expect(ending).toMatchObject({ code: 1, stdout: '' });
  expect(ending.stderr).toContain('ECONNREFUSED');
});
