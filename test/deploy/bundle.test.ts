// The bundle that the image holds, run as the image runs it: everything that it starts or reads is in it.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { until } from '../collector/service/collector-process.ts';

const PROGRAM = join(process.cwd(), 'deploy/docker/context/app/dist/cli/kymo.mjs');
const PASSWORD = 'a password of its own';
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kymo-bundle-'));
  execFileSync(process.execPath, ['scripts/bundle.js'], { stdio: 'pipe' });
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

it('takes OTLP from who has the password, answers queries about it, says that it is healthy, drains and ends with 0', async () => {
  // bcrypt of the password: compared on a thread of its own.
  const bcrypt = await import('bcryptjs');
  const config = {
    extensions: {
      basicauth: { htpasswd: { inline: `me:${await bcrypt.hash(PASSWORD, 4)}` } },
      health_check: { endpoint: '127.0.0.1:0' },
      query: { endpoint: '127.0.0.1:0' },
      journal: { directory: 'journal' },
    },
    receivers: {
      otlp: { protocols: { http: { endpoint: '127.0.0.1:0', auth: { authenticator: 'basicauth' } } } },
    },
    exporters: { jsonl: { directory: 'runs' }, tensorboard: { directory: 'runs' } },
    service: {
      extensions: ['basicauth', 'health_check', 'query', 'journal'],
      pipelines: {
        metrics: { receivers: ['otlp'], exporters: ['jsonl', 'tensorboard'] },
        logs: { receivers: ['otlp'], exporters: ['jsonl'] },
      },
    },
  };
  writeFileSync(join(folder, 'config.yaml'), JSON.stringify(config));
  const child = spawn(process.execPath, [PROGRAM, 'collector', '--config=config.yaml'], {
    cwd: folder,
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', text => {
      output += text;
    });
  const ended = new Promise<number | null>(done => child.on('close', done));
  try {
    await until('it to be ready', () => /everything is ready/.test(output) || undefined);
    const address = (words: RegExp): string => `http://${words.exec(output)?.[1]}`;
    const otlp = address(/listening for OTLP on http (127\.0\.0\.1:\d+)/);
    const send = (authorization: string) =>
      fetch(`${otlp}/v1/metrics`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization },
        body: JSON.stringify(POINT),
      });
    expect((await send('Basic bm86bm8=')).status).toBe(401);
    const basic = `Basic ${Buffer.from(`me:${PASSWORD}`).toString('base64')}`;
    expect((await send(basic)).status).toBe(200);
    const health = address(/health at (127\.0\.0\.1:\d+)/);
    const asked = execFileSync(process.execPath, [PROGRAM, 'collector', 'healthcheck', '--url', health]);
    expect(String(asked)).toContain('Server available');
    const query = address(/queries at (127\.0\.0\.1:\d+)/);
    await until('the run to be there', async () => {
      const answer = await fetch(`${query}/api/v1/runs`);
      return (await answer.text()).includes('bundled') || undefined;
    });
  } finally {
    child.kill('SIGTERM');
  }
  expect(await ended).toBe(0);
  expect(readFileSync(join(folder, 'runs/bundled/logs/metrics.jsonl'), 'utf8')).toContain('"loss":0.5');
}, 60_000);

const POINT = {
  resourceMetrics: [
    {
      resource: { attributes: [{ key: 'kymo.run.id', value: { stringValue: 'bundled' } }] },
      scopeMetrics: [
        { metrics: [{ name: 'loss', gauge: { dataPoints: [{ timeUnixNano: '1', asDouble: 0.5 }] } }] },
      ],
    },
  ],
};
