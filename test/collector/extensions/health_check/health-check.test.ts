// The health_check extension on a real port, in every state of the collector.
import { afterEach, describe, expect, it } from '@jest/globals';
import type { Health } from '../../../../src/collector/component.ts';
import { healthCheckExtension } from '../../../../src/collector/extensions/health_check/index.ts';
import { recordingInstruments, recordingLogger, request } from '../../receivers/otlp/harness.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function start(settings: Record<string, unknown> = {}) {
  const state: { health: Health } = { health: { state: 'ok' } };
  const logger = recordingLogger();
  const extension = healthCheckExtension.create(
    {
      id: 'health_check',
      logger,
      instruments: recordingInstruments(),
      baseDirectory: process.cwd(),
      health: () => state.health,
    },
    healthCheckExtension.config.parse({ endpoint: 'localhost:0', ...settings }),
  );
  await extension.start();
  ends.push(() => extension.stop());
  const port = Number(/127\.0\.0\.1:(\d+)/.exec(logger.lines[0]!.message)![1]);
  return { state, port, extension };
}
const get = (port: number, path = '/', headers = {}) => request(port, { method: 'GET', path, headers });

it('listens on localhost:13133 by default', () => {
  expect(healthCheckExtension.config.parse({})).toEqual({
    endpoint: { host: 'localhost', port: 13133 },
    path: '/',
  });
});

describe('a collector that is', () => {
  it.each(['ok', 'degraded'] as const)('%s is available', async name => {
    const { state, port } = await start();
    state.health = { state: name, detail: 'wandb lags' };
    const answer = await get(port);
    expect(answer.status).toBe(200);
    const body = JSON.parse(answer.body.toString());
    expect(body).toMatchObject({ status: 'Server available', uptime: expect.stringMatching(/^[\d.e-]+s$/) });
    expect(Date.now() - Date.parse(body.upSince)).toBeLessThan(10_000);
    expect(body.detail).toBe(name === 'degraded' ? 'wandb lags' : undefined);
  });

  it.each(['starting', 'stopping'] as const)('%s is not', async name => {
    const { state, port } = await start();
    state.health = { state: name };
    const answer = await get(port);
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.body.toString())).toEqual({
      status: 'Server not available',
      upSince: '0001-01-01T00:00:00Z',
      uptime: '',
    });
  });
});

it('answers on its path only, GET and HEAD only, and not under another name', async () => {
  const { port } = await start({ path: '/healthz' });
  expect((await get(port, '/healthz?verbose')).status).toBe(200);
  expect((await get(port, '/')).status).toBe(404);
  expect((await request(port, { method: 'HEAD', path: '/healthz' })).status).toBe(200);
  expect((await request(port, { method: 'POST', path: '/healthz', body: 'x' })).status).toBe(405);
  expect((await get(port, '/healthz', { host: 'evil.example' })).status).toBe(403);
});

it('frees its port when it stops, and says which one is in use', async () => {
  const { port, extension } = await start();
  await expect(start({ endpoint: `localhost:${port}` })).rejects.toThrow(
    `extensions::health_check::endpoint: localhost:${port} is in use`,
  );
  await extension.stop();
  await start({ endpoint: `localhost:${port}` });
});
