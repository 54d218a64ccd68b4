// The health_check extension: an HTTP endpoint that says whether the collector is up, for load balancers and Kubernetes.
import http from 'node:http';
import { z } from 'zod';
import type { Extension, ExtensionContext, ExtensionType, Health } from '../../component.ts';
import { formatEndpoint, listenEndpoint } from '../../config/values.ts';
import { isLoopback, listenOn } from '../../listen.ts';
import { createBrowserGuard } from '../../receivers/otlp/browser-guard.ts';

const healthCheckSettings = z.strictObject({
  endpoint: listenEndpoint().prefault('localhost:13133').describe('`host:port` to listen on'),
  path: z
    .string()
    .regex(/^\/[!-~]*$/, 'a path begins with / and has no blanks')
    .default('/')
    .describe('Path of the answer'),
});
type HealthCheckSettings = z.infer<typeof healthCheckSettings>;

export const healthCheckExtension: ExtensionType<typeof healthCheckSettings> = {
  kind: 'extension',
  type: 'health_check',
  stability: 'beta',
  config: healthCheckSettings,
  listens: (id, { endpoint }) => [
    { setting: `extensions::${id}::endpoint`, target: { transport: 'tcp', endpoint } },
  ],
  create: (context, settings) => new HealthCheck(context, settings),
};

/** Probes are few and short. */
const MAX_CONNECTIONS = 64;
const TIMEOUT_MS = 5_000;
const IDLE_TIMEOUT_MS = 30_000;
const AVAILABLE = 'Server available';
const NOT_AVAILABLE = 'Server not available';
/** What upstream says of a collector that is not up. */
const NEVER = '0001-01-01T00:00:00Z';

class HealthCheck implements Extension {
  readonly #context: ExtensionContext;
  readonly #settings: HealthCheckSettings;
  #servers: readonly http.Server[] = [];
  #addresses: readonly string[] = [];
  #startedAt = new Date();
  #upSince: Date | undefined;
  #wasDown = false;

  constructor(context: ExtensionContext, settings: HealthCheckSettings) {
    this.#context = context;
    this.#settings = settings;
  }

  async start(): Promise<void> {
    const { endpoint } = this.#settings;
    this.#startedAt = new Date();
    const guard = createBrowserGuard({
      checkHost: isLoopback(endpoint.host),
      ownHost: endpoint.host,
      cors: undefined,
    });
    const onRequest: http.RequestListener = (request, response) => {
      request.resume();
      const verdict = guard(request, response);
      if (verdict.kind === 'forbidden') response.writeHead(403).end(verdict.message);
      else if (request.url?.split('?', 1)[0] !== this.#settings.path) response.writeHead(404).end();
      else if (request.method !== 'GET' && request.method !== 'HEAD')
        response.writeHead(405, { allow: 'GET, HEAD' }).end();
      else this.#answer(response);
    };
    const listening = await listenOn(
      { transport: 'tcp', endpoint },
      () => {
        const server = http.createServer(
          { headersTimeout: TIMEOUT_MS, requestTimeout: TIMEOUT_MS, keepAliveTimeout: IDLE_TIMEOUT_MS },
          onRequest,
        );
        server.maxConnections = MAX_CONNECTIONS;
        return server;
      },
      `extensions::${this.#context.id}::endpoint`,
    );
    this.#servers = listening.servers as http.Server[];
    this.#addresses = listening.addresses;
    this.#context.logger.info(`health at ${this.#addresses.join(', ')} (${formatEndpoint(endpoint)})`);
  }

  /** Where it listens. */
  addresses(): readonly string[] {
    return this.#addresses;
  }

  async stop(): Promise<void> {
    const servers = this.#servers;
    this.#servers = [];
    await Promise.all(
      servers.map(
        server =>
          new Promise<void>(resolve => {
            server.close(() => resolve());
            server.closeAllConnections();
          }),
      ),
    );
  }

  #answer(response: http.ServerResponse): void {
    const health = this.#context.health();
    const up = isUp(health);
    if (up) this.#upSince ??= this.#wasDown ? new Date() : this.#startedAt;
    else {
      this.#upSince = undefined;
      this.#wasDown = true;
    }
    const since = this.#upSince;
    const body = JSON.stringify({
      status: up ? AVAILABLE : NOT_AVAILABLE,
      upSince: since?.toISOString() ?? NEVER,
      uptime: since === undefined ? '' : `${(Date.now() - since.getTime()) / 1000}s`,
      ...(health.state === 'degraded' && health.detail !== undefined ? { detail: health.detail } : {}),
    });
    response.writeHead(up ? 200 : 503, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    response.end(body);
  }
}

/** Degraded is up: something lags, nothing is lost, and a restart would not help. */
function isUp(health: Health): boolean {
  return health.state === 'ok' || health.state === 'degraded';
}
