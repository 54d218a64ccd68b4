import http from 'node:http';
import { describe, expect, it } from '@jest/globals';
import {
  createRegistry,
  MAX_SERIES_PER_NAME,
  observeProcess,
} from '../../../src/collector/telemetry/metrics.ts';
import { servePrometheus, toPrometheusText } from '../../../src/collector/telemetry/prometheus.ts';

describe('the registry', () => {
  it('adds up counters, keeps the last of a gauge, and never counts back', () => {
    const registry = createRegistry();
    const jsonl = registry.instruments({ exporter: 'jsonl' });
    jsonl.count('c', 2);
    jsonl.count('c', 3);
    jsonl.count('c', -1);
    jsonl.count('c', 4, { reason: 'x' });
    jsonl.set('g', 7);
    jsonl.set('g', 5);
    registry.instruments({ exporter: 'debug' }).count('c', 100);
    expect(registry.total('c', { exporter: 'jsonl' })).toBe(9);
    expect(registry.total('c')).toBe(109);
    expect(registry.total('none')).toBe(0);
    expect(registry.snapshot()).toContainEqual({
      name: 'g',
      kind: 'gauge',
      labels: { exporter: 'jsonl' },
      value: 5,
    });
  });

  it('is bounded however many labels a component makes up, and loses no count', () => {
    const registry = createRegistry();
    const instruments = registry.instruments({});
    for (let i = 0; i < MAX_SERIES_PER_NAME + 500; i++) instruments.count('c', 1, { run: `r${i}` });
    expect(registry.snapshot()).toHaveLength(MAX_SERIES_PER_NAME + 1);
    expect(registry.total('c')).toBe(MAX_SERIES_PER_NAME + 500);
  });

  it('reads observed numbers at each snapshot', () => {
    const registry = createRegistry();
    let value = 1;
    registry.observe(report => report('counter', 'seen', {}, value));
    observeProcess(registry);
    registry.snapshot();
    value = 2;
    expect(registry.snapshot()).toContainEqual({ name: 'seen', kind: 'counter', labels: {}, value: 2 });
    expect(registry.total('otelcol_process_memory_rss')).toBeGreaterThan(1e6);
  });
});

describe('the Prometheus text', () => {
  it('has one type line per name and escapes labels', () => {
    const registry = createRegistry();
    registry.instruments({ exporter: 'a"b\\c\nd' }).count('otelcol_x', 1, { 'bad-label': 'v', '1': 'w' });
    registry.instruments({}).set('g.dotted', Number.NaN);
    expect(toPrometheusText(registry.snapshot())).toBe(
      '# TYPE g_dotted gauge\ng_dotted NaN\n# TYPE otelcol_x counter\notelcol_x{_1="w",exporter="a\\"b\\\\c\\nd",bad_label="v"} 1\n',
    );
  });

  it('is served at /metrics, and not to web pages', async () => {
    const registry = createRegistry();
    registry.instruments({}).count('c', 3);
    const server = await servePrometheus({ host: '127.0.0.1', port: 0 }, registry);
    try {
      const answer = await fetch(`http://${server.address}/metrics`);
      expect(answer.headers.get('content-type')).toContain('version=0.0.4');
      expect(await answer.text()).toBe('# TYPE c counter\nc 3\n');
      expect((await fetch(`http://${server.address}/`)).status).toBe(404);
      expect((await fetch(`http://${server.address}/metrics`, { method: 'POST' })).status).toBe(405);
      const page = await fetch(`http://${server.address}/metrics`, {
        headers: { origin: 'https://evil.example' },
      });
      expect(page.status).toBe(403);
      // A page whose name was rebound to this machine sends no Origin with its GET, but its own name.
      const [host, port] = server.address.split(':');
      const rebound = (name: string) =>
        new Promise<number | undefined>((resolve, reject) =>
          http
            .get({ host, port, path: '/metrics', headers: { host: name } }, answer => {
              answer.resume();
              resolve(answer.statusCode);
            })
            .on('error', reject),
        );
      expect(await rebound('evil.example:8888')).toBe(403);
      expect(await rebound(`localhost:${port}`)).toBe(200);
      await expect(
        servePrometheus({ host: '127.0.0.1', port: Number(server.address.split(':')[1]) }, registry),
      ).rejects.toThrow(/service::telemetry::metrics::address: .* is in use/);
    } finally {
      await server.stop();
    }
  });
});
