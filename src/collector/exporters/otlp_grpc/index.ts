// The otlp_grpc exporter: forwards the journal's bytes as they came to another OTLP/gRPC endpoint.

import { createSecureContext } from 'node:tls';
import type * as Grpc from '@grpc/grpc-js';
import { z } from 'zod';
import type { Signal } from '../../../otlp/model.ts';
import { readPartialSuccess } from '../../../otlp/responses.ts';
import { readRetryAfterMs } from '../../../otlp/retry-info.ts';
import { packageVersion } from '../../../semconv/version.ts';
import type { ClientAuthenticator, ExporterType } from '../../component.ts';
import { authReference, authSettings, resolveAuthenticator } from '../../config/authenticators.ts';
import { secretHeaders } from '../../config/values.ts';
import { isLoopback } from '../../listen.ts';
import { createForwarder, type Sender, type Sent } from '../otlp_http/forwarder.ts';
import { batchHeader } from '../otlp_http/index.ts';
import {
  type ClientTls,
  clientTls,
  clientTlsOptions,
  forwardProfile,
  forwardTimeout,
  retryOnFailure,
  sendingQueue,
  warnOfOpenCredentials,
} from '../otlp_http/settings.ts';

/** The specification's limit for answers. */
const MAX_RESPONSE_BYTES = 4 * 1024 * 1024;
const METHODS: Readonly<Record<Signal, string>> = {
  traces: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  metrics: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
  logs: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
};
/** `grpc.default_compression_algorithm` of grpc-js. */
const GZIP = 2;
const IDENTITY = 0;
const RECONNECT_MIN_MS = 500;
const RECONNECT_MAX_MS = 5_000;
const ENDPOINT = /^(?:(https?|dns|unix|passthrough):(?:\/\/)?\/?)?[^\s]+$/;

const otlpGrpcSettings = z.strictObject({
  endpoint: z
    .string()
    .regex(ENDPOINT, 'not an endpoint: write host:port, or http://host:port for one without TLS')
    .describe('`host:port`; `http://` before it turns TLS off, `https://` on'),
  headers: secretHeaders().default({}).describe('Metadata of every request'),
  compression: z
    .enum(['none', 'gzip'], { error: 'one of none and gzip: gRPC for Node has no other' })
    .default('gzip')
    .describe('Compression of requests'),
  authority: z.string().optional().describe('The `:authority` to send instead of the endpoint'),
  timeout: forwardTimeout,
  tls: clientTls,
  auth: authSettings,
  retry_on_failure: retryOnFailure,
  sending_queue: sendingQueue,
  profile: forwardProfile,
});
type OtlpGrpcSettings = z.infer<typeof otlpGrpcSettings>;

export const otlpGrpcExporter: ExporterType<typeof otlpGrpcSettings> = {
  kind: 'exporter',
  type: 'otlp_grpc',
  aliases: ['otlp'],
  signals: ['traces', 'metrics', 'logs'],
  stability: 'beta',
  local: false,
  forwards: true,
  config: otlpGrpcSettings,
  authenticators: ({ auth }) => authReference(auth, []),
  create(context, settings) {
    if (settings.sending_queue !== undefined) {
      context.logger.info('sending_queue has no effect: the journal is the queue');
    }
    const tls = clientTlsOptions(settings.tls, context.baseDirectory, `exporters::${context.id}::tls`);
    const setting = `exporters::${context.id}::auth`;
    const authenticator = resolveAuthenticator(context, settings.auth, 'client', setting);
    const { insecure, target } = destination(settings);
    const host = target.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
    const open = insecure && !isLoopback(host) && !target.startsWith('unix:');
    warnOfOpenCredentials(context.logger, context.id, settings.auth, open ? [target] : []);
    return createForwarder(context, settings, grpcSender(settings, tls, authenticator));
  },
};

/** Where requests go, and whether that is without TLS. */
function destination(settings: OtlpGrpcSettings): { readonly target: string; readonly insecure: boolean } {
  const scheme = /^(https?):\/\//.exec(settings.endpoint)?.[1];
  return {
    target: settings.endpoint.replace(/^https?:\/\//, '').replace(/\/+$/, ''),
    insecure: scheme === 'http' || (scheme === undefined && settings.tls.insecure),
  };
}

function grpcSender(
  settings: OtlpGrpcSettings,
  tls: ClientTls,
  authenticator: ClientAuthenticator | undefined,
): Sender {
  let connecting: Promise<{ grpc: typeof Grpc; client: Grpc.Client }> | undefined;
  let closed = false;
  const connect = async () => {
    const grpc = await import('@grpc/grpc-js');
    return { grpc, client: createClient(grpc, settings, tls) };
  };
  return {
    async send(batch, signal) {
      connecting ??= connect();
      const { grpc, client } = await connecting;
      if (closed) return { kind: 'retry', reason: 'the exporter was stopped', afterMs: undefined };
      const metadata = new grpc.Metadata();
      for (const [name, value] of Object.entries(settings.headers)) metadata.set(name, value.reveal());
      for (const [name, value] of Object.entries(authenticator?.headers() ?? {})) metadata.set(name, value);
      for (const [name, value] of Object.entries(batchHeader(batch))) metadata.set(name, value);
      return new Promise<Sent>(resolve => {
        const bytes = Buffer.from(batch.bytes.buffer, batch.bytes.byteOffset, batch.bytes.byteLength);
        const call = client.makeUnaryRequest<Buffer, Buffer>(
          METHODS[batch.signal],
          identity,
          identity,
          bytes,
          metadata,
          { deadline: Date.now() + settings.timeout },
          (error, answer) => {
            signal.removeEventListener('abort', cancel);
            if (error !== null) resolve(judge(grpc, error, settings.endpoint));
            else resolve({ kind: 'delivered', partial: readPartialSuccess(answer ?? Buffer.alloc(0)) });
          },
        );
        const cancel = (): void => call.cancel();
        signal.addEventListener('abort', cancel);
      });
    },
    close() {
      closed = true;
      connecting?.then(
        ({ client }) => client.close(),
        () => {},
      );
    },
  };
}

const identity = (bytes: Buffer): Buffer => bytes;

function createClient(grpc: typeof Grpc, settings: OtlpGrpcSettings, tls: ClientTls): Grpc.Client {
  const { target, insecure } = destination(settings);
  const { rejectUnauthorized, servername, ...context } = tls;
  const credentials = insecure
    ? grpc.credentials.createInsecure()
    : grpc.credentials.createFromSecureContext(
        createSecureContext(context),
        rejectUnauthorized === false ? { rejectUnauthorized: false } : {},
      );
  const options: Grpc.ClientOptions = {
    'grpc.default_compression_algorithm': settings.compression === 'gzip' ? GZIP : IDENTITY,
    'grpc.max_receive_message_length': MAX_RESPONSE_BYTES,
    'grpc.max_send_message_length': -1,
    // The runner repeats, from the journal.
    'grpc.enable_retries': 0,
    'grpc.initial_reconnect_backoff_ms': RECONNECT_MIN_MS,
    'grpc.max_reconnect_backoff_ms': RECONNECT_MAX_MS,
    'grpc.primary_user_agent': `kymo/${packageVersion()}`,
  };
  if (servername !== undefined) options['grpc.ssl_target_name_override'] = servername;
  if (settings.authority !== undefined) options['grpc.default_authority'] = settings.authority;
  return new grpc.Client(target, credentials, options);
}

/** Which codes may pass: the table of the OTLP specification. */
function judge(grpc: typeof Grpc, error: Grpc.ServiceError, endpoint: string): Sent {
  const { status } = grpc;
  const reason = `${endpoint} answered ${status[error.code] ?? error.code}: ${error.details}`;
  const [details] = error.metadata?.get('grpc-status-details-bin') ?? [];
  const afterMs = details instanceof Uint8Array ? readRetryAfterMs(details) : undefined;
  switch (error.code) {
    case status.CANCELLED:
    case status.DEADLINE_EXCEEDED:
    case status.ABORTED:
    case status.OUT_OF_RANGE:
    case status.UNAVAILABLE:
    case status.DATA_LOSS:
      return { kind: 'retry', reason, afterMs };
    case status.RESOURCE_EXHAUSTED:
      return afterMs === undefined ? { kind: 'rejected', reason } : { kind: 'retry', reason, afterMs };
    default:
      return { kind: 'rejected', reason };
  }
}
