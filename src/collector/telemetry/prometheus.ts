// Serves the collector's own metrics to Prometheus, in its text format 0.0.4.
// Format: https://prometheus.io/docs/instrumenting/exposition_formats/
import http from 'node:http';
import { isLoopback, listenOn } from '../listen.ts';
import { createBrowserGuard } from '../receivers/otlp/browser-guard.ts';
import type { Labels, Registry, Sample } from './metrics.ts';

/** A scrape is one short request; nobody needs longer. */
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 64;

/** `# TYPE` per name, then one line per series. */
export function toPrometheusText(samples: readonly Sample[]): string {
  const lines: string[] = [];
  let last: string | undefined;
  for (const { name, kind, labels, value } of samples) {
    const metric = metricName(name);
    if (metric !== last) lines.push(`# TYPE ${metric} ${kind}`);
    last = metric;
    lines.push(`${metric}${labelText(labels)} ${numberText(value)}`);
  }
  return `${lines.join('\n')}\n`;
}

export interface MetricsServer {
  /** `host:port` it listens on. */
  readonly address: string;
  stop(): Promise<void>;
}

/** Listens for scrapes of `/metrics`. Throws an error that names the setting when the address cannot be bound. */
export async function servePrometheus(
  endpoint: { readonly host: string; readonly port: number },
  registry: Registry,
): Promise<MetricsServer> {
  const { servers, addresses } = await listenOn(
    { transport: 'tcp', endpoint },
    () => makeServer(endpoint.host, registry),
    'service::telemetry::metrics::address',
  );
  return {
    address: addresses[0]!,
    stop: async () => {
      await Promise.all(servers.map(server => closed(server as http.Server)));
    },
  };
}

function makeServer(host: string, registry: Registry): http.Server {
  // A web page can reach a port of this machine through its visitor's browser, also by a name that was rebound to it.
  const guard = createBrowserGuard({ checkHost: isLoopback(host), ownHost: host, cors: undefined });
  const server = http.createServer((request, response) => {
    request.resume();
    if (guard(request, response).kind !== 'pass') return void response.writeHead(403).end();
    const path = request.url?.split('?')[0];
    if (path !== '/metrics') return void response.writeHead(404).end();
    if (request.method !== 'GET' && request.method !== 'HEAD') return void response.writeHead(405).end();
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
    response.end(toPrometheusText(registry.snapshot()));
  });
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.headersTimeout = REQUEST_TIMEOUT_MS;
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}

function closed(server: http.Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function metricName(name: string): string {
  const safe = name.replace(/[^a-zA-Z0-9_:]/g, '_');
  return /^[0-9]/.test(safe) ? `_${safe}` : safe;
}

function labelText(labels: Labels): string {
  const entries = Object.entries(labels);
  if (entries.length === 0) return '';
  const parts = entries.map(([key, value]) => `${labelName(key)}="${escapeValue(value)}"`);
  return `{${parts.join(',')}}`;
}

function labelName(name: string): string {
  const safe = name.replace(/[^a-zA-Z0-9_]/g, '_');
  return /^[0-9]/.test(safe) || safe === '' ? `_${safe}` : safe;
}

function escapeValue(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value);
}
