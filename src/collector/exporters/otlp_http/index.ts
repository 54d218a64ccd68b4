// The otlp_http exporter: forwards the journal's bytes as they came to another OTLP/HTTP endpoint.
import http from 'node:http';
import https from 'node:https';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import type { Signal } from '../../../otlp/model.ts';
import { BATCH_HEADER } from '../../../semconv/names.ts';
import { packageVersion } from '../../../semconv/version.ts';
import type { Batch, ClientAuthenticator, ExporterType } from '../../component.ts';
import { authReference, resolveAuthenticator } from '../../config/authenticators.ts';
import { isLoopback } from '../../listen.ts';
import { createForwarder, type Sender } from './forwarder.ts';
import { post } from './post.ts';
import {
  clientTlsOptions,
  type OtlpHttpSettings,
  otlpHttpSettings,
  warnOfOpenCredentials,
} from './settings.ts';

const gzip = promisify(zlib.gzip);
const zstdCompress = promisify(zlib.zstdCompress);

/** Level 1 is several times faster than the usual 6 and nearly as small on telemetry. */
const DEFAULT_LEVEL = 1;
/** Below this a header costs more than compressing saves. */
const MIN_COMPRESSED_BYTES = 256;
const IDLE_SOCKETS = 2;

export const otlpHttpExporter: ExporterType<typeof otlpHttpSettings> = {
  kind: 'exporter',
  type: 'otlp_http',
  aliases: ['otlphttp'],
  signals: ['traces', 'metrics', 'logs'],
  stability: 'beta',
  local: false,
  forwards: true,
  config: otlpHttpSettings,
  authenticators: ({ auth }) => authReference(auth, []),
  create(context, settings) {
    if (settings.sending_queue !== undefined) {
      context.logger.info('sending_queue has no effect: the journal is the queue');
    }
    const tls = clientTlsOptions(settings.tls, context.baseDirectory, `exporters::${context.id}::tls`);
    const setting = `exporters::${context.id}::auth`;
    const authenticator = resolveAuthenticator(context, settings.auth, 'client', setting);
    warnOfOpenCredentials(context.logger, context.id, settings.auth, openUrls(settings));
    return createForwarder(context, settings, httpSender(settings, tls, authenticator));
  },
};

/** Where requests go in clear, over a network. */
function openUrls(settings: OtlpHttpSettings): string[] {
  const { endpoint, traces_endpoint, metrics_endpoint, logs_endpoint } = settings;
  return [endpoint, traces_endpoint, metrics_endpoint, logs_endpoint]
    .filter(url => url !== undefined)
    .filter(({ protocol, hostname }) => protocol === 'http:' && !isLoopback(hostname.replace(/^\[|\]$/g, '')))
    .map(({ origin }) => origin);
}

function httpSender(
  settings: OtlpHttpSettings,
  tls: https.AgentOptions,
  authenticator: ClientAuthenticator | undefined,
): Sender {
  const plainAgent = new http.Agent({ keepAlive: true, maxFreeSockets: IDLE_SOCKETS });
  const secureAgent = new https.Agent({ ...tls, keepAlive: true, maxFreeSockets: IDLE_SOCKETS });
  const configured = Object.fromEntries(
    Object.entries(settings.headers).map(([name, value]) => [name.toLowerCase(), value.reveal()]),
  );
  return {
    async send(batch, signal) {
      const url = urlFor(settings, batch.signal);
      if (url === undefined) {
        const reason = `no endpoint for ${batch.signal}: set endpoint or ${batch.signal}_endpoint`;
        return { kind: 'rejected', reason };
      }
      const { body, encoding } = await compress(settings, batch.bytes);
      return post({
        url,
        body,
        headers: {
          'user-agent': `kymo/${packageVersion()}`,
          ...configured,
          ...authenticator?.headers(),
          'content-type': 'application/x-protobuf',
          ...(encoding === undefined ? {} : { 'content-encoding': encoding }),
          ...batchHeader(batch),
        },
        timeoutMs: settings.timeout,
        agent: url.protocol === 'https:' ? secureAgent : plainAgent,
        signal,
      });
    },
    close() {
      plainAgent.destroy();
      secureAgent.destroy();
    },
  };
}

/** A peer that is a Kymo too recognises a retry by it, also one that another instance of us began. */
export function batchHeader(batch: Batch): Record<string, string> {
  return batch.batchKey === '' ? {} : { [BATCH_HEADER]: batch.batchKey };
}

function urlFor(settings: OtlpHttpSettings, signal: Signal): URL | undefined {
  const own = settings[`${signal}_endpoint`];
  if (own !== undefined || settings.endpoint === undefined) return own;
  const url = new URL(settings.endpoint);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/${signal}`;
  return url;
}

async function compress(
  settings: OtlpHttpSettings,
  bytes: Uint8Array,
): Promise<{ body: Uint8Array; encoding: string | undefined }> {
  const level = settings.compression_params.level ?? DEFAULT_LEVEL;
  if (settings.compression === 'none' || bytes.length < MIN_COMPRESSED_BYTES) {
    return { body: bytes, encoding: undefined };
  }
  if (settings.compression === 'gzip') return { body: await gzip(bytes, { level }), encoding: 'gzip' };
  const params = { [zlib.constants.ZSTD_c_compressionLevel]: level };
  return { body: await zstdCompress(bytes, { params }), encoding: 'zstd' };
}
