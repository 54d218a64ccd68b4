// The gRPC end of the otlp receiver: the three Export services, on sockets of our own so that ports, TLS and limits are ours too.
import net from 'node:net';
import tls from 'node:tls';
import type * as Grpc from '@grpc/grpc-js';
import { checkRequest } from '../../../otlp/check.ts';
import type { Signal } from '../../../otlp/model.ts';
import { encodeRetryStatus } from '../../../otlp/retry-info.ts';
import { BATCH_HEADER, JOURNAL_HEADER, POSITION_HEADER } from '../../../semconv/names.ts';
import type { ReceiverContext } from '../../component.ts';
import { resolveAuthenticator } from '../../config/authenticators.ts';
import { listenOn } from '../../listen.ts';
import { batchKeyProblem } from './batch-key.ts';
import { Connections, MAX_CONNECTIONS } from './connections.ts';
import { receiverCounters } from './counters.ts';
import { createGate } from './grpc-gate.ts';
import { listenTarget, type ReceiverEnd } from './http-server.ts';
import type { GrpcSettings } from './settings.ts';
import { reloadTls, type ServerTlsSettings, serverTlsOptions } from './tls.ts';

export const EXPORT_METHODS: Readonly<Record<Signal, string>> = {
  traces: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  metrics: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
  logs: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
};
/** Bytes as they are: the message is checked, not built. */
export const identity = (bytes: Buffer): Buffer => bytes;

/** Memory of one HTTP/2 connection inside Node, in MB; answers are small, so a client that needs more does not read them. */
const MAX_SESSION_MEMORY_MB = 32;
const TLS_HANDSHAKE_TIMEOUT_MS = 10_000;
/** Everything was taken: a message without fields. */
const TAKEN = Buffer.alloc(0);

type Outcome =
  | { readonly kind: 'taken'; readonly metadata?: Grpc.Metadata }
  | {
      readonly kind: 'error';
      readonly code: number;
      readonly message: string;
      readonly retryAfterMs?: number;
    };

export async function startGrpcServer(
  settings: GrpcSettings,
  context: ReceiverContext,
  setting: string,
): Promise<ReceiverEnd> {
  const grpc = await import('@grpc/grpc-js');
  const { status } = grpc;
  const { ingest, logger } = context;
  const counters = receiverCounters(context.instruments, context.id, 'grpc');
  const connections = new Connections();
  const gate = createGate(grpc, {
    ingest,
    counters,
    authenticator: resolveAuthenticator(
      context,
      settings.auth,
      'server',
      setting.replace(/::endpoint$/, '::auth'),
    ),
    readTimeoutMs: settings.read_timeout,
    begin: peer => connections.callOf(peer),
    cut: peer => connections.cut(peer),
  });

  async function take(signal: Signal, bytes: Buffer, key: string): Promise<Outcome> {
    const problem = key === '' ? undefined : batchKeyProblem(key, signal);
    if (problem !== undefined) {
      counters.rejected('batch_key');
      return { kind: 'error', code: status.INVALID_ARGUMENT, message: problem };
    }
    const checked = checkRequest(signal, bytes);
    if (!checked.ok) {
      counters.rejected('undecodable');
      const message = `not a ${signal} request: ${checked.reason}`;
      return { kind: 'error', code: status.INVALID_ARGUMENT, message };
    }
    if (checked.items === 0) return { kind: 'taken' };
    const result = await ingest.submit({ signal, bytes, batchKey: key, items: checked.items });
    if (result.kind === 'refused') {
      counters.refused(signal, checked.items);
      const { reason: message, retryAfterMs } = result;
      return { kind: 'error', code: status.UNAVAILABLE, message, retryAfterMs };
    }
    if (result.duplicate) counters.duplicate();
    else counters.accepted(signal, checked.items);
    const metadata = new grpc.Metadata();
    metadata.set(JOURNAL_HEADER, result.journal);
    metadata.set(POSITION_HEADER, String(result.position));
    return { kind: 'taken', metadata };
  }

  const exportHandler =
    (signal: Signal): Grpc.handleUnaryCall<Buffer, Buffer> =>
    (call, callback) => {
      const key = call.metadata.get(BATCH_HEADER).map(String).join(', ');
      take(signal, call.request, key)
        .catch((error: unknown): Outcome => {
          counters.rejected('internal');
          logger.error('a request failed inside the collector', { error });
          return { kind: 'error', code: status.INTERNAL, message: 'internal error; see the log' };
        })
        .then(outcome => {
          if (outcome.kind === 'taken') {
            if (outcome.metadata !== undefined) call.sendMetadata(outcome.metadata);
            callback(null, TAKEN, outcome.metadata);
            return;
          }
          const { code, message, retryAfterMs } = outcome;
          const metadata = new grpc.Metadata();
          if (retryAfterMs !== undefined) {
            const details = Buffer.from(encodeRetryStatus(code, message, retryAfterMs));
            metadata.set('grpc-status-details-bin', details);
          }
          callback({ code, details: message, metadata });
        });
    };

  const server = new grpc.Server({ ...channelOptions(settings), interceptors: [gate] });
  for (const [signal, path] of Object.entries(EXPORT_METHODS) as [Signal, string][]) {
    server.register(path, exportHandler(signal), identity, identity, 'unary');
  }
  // grpc-js gets connections, not ports: whoever listens decides about addresses, errors, TLS and numbers of clients.
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  const onConnection = (socket: net.Socket): void => {
    if (!connections.admit(socket)) {
      counters.rejected('connections');
      return;
    }
    socket.on('error', error => logger.debug('a gRPC connection broke', { error }));
    injector.injectConnection(socket);
  };

  const tlsSettings = settings.tls as ServerTlsSettings | undefined;
  const tlsSetting = setting.replace(/::endpoint$/, '::tls');
  const tlsOptions = tlsSettings && serverTlsOptions(tlsSettings, context.baseDirectory, tlsSetting);
  const makeServer = (): net.Server => {
    const listener =
      tlsOptions === undefined
        ? net.createServer({ noDelay: true }, onConnection)
        : tls.createServer(
            { ...tlsOptions, ALPNProtocols: ['h2'], handshakeTimeout: TLS_HANDSHAKE_TIMEOUT_MS },
            onConnection,
          );
    listener.maxConnections = MAX_CONNECTIONS;
    listener.on('drop', () => counters.rejected('connections'));
    return listener;
  };
  const listening = await listenOn(listenTarget(settings, context.baseDirectory), makeServer, setting);
  const endReload =
    tlsSettings === undefined
      ? () => {}
      : reloadTls(tlsSettings, context.baseDirectory, tlsSetting, logger, options => {
          for (const listener of listening.servers) (listener as tls.Server).setSecureContext(options);
        });

  connections.watch(settings.read_timeout, reason => counters.rejected(reason));

  return {
    addresses: listening.addresses,
    async stop(deadlineMs) {
      endReload();
      const closed = listening.servers.map(
        listener => new Promise<void>(resolve => listener.close(() => resolve())),
      );
      const deadline = setTimeout(() => {
        server.forceShutdown();
        connections.cutAll();
      }, deadlineMs);
      await new Promise<void>(resolve => server.tryShutdown(() => resolve()));
      await Promise.all(closed);
      clearTimeout(deadline);
      connections.stop();
    },
  };
}

function channelOptions(settings: GrpcSettings): Grpc.ChannelOptions {
  const options: Grpc.ChannelOptions = {
    'grpc.max_receive_message_length': settings.max_recv_msg_size_mib * 1024 * 1024,
    'grpc.max_concurrent_streams': settings.max_concurrent_streams,
    'grpc-node.max_session_memory': MAX_SESSION_MEMORY_MB,
  };
  const parameters = settings.keepalive?.server_parameters;
  const timers = {
    'grpc.max_connection_idle_ms': parameters?.max_connection_idle ?? 0,
    'grpc.max_connection_age_ms': parameters?.max_connection_age ?? 0,
    'grpc.max_connection_age_grace_ms': parameters?.max_connection_age_grace ?? 0,
    // Without it a client whose machine vanished keeps its connection for ever.
    'grpc.keepalive_time_ms': parameters?.time ?? 60_000,
    'grpc.keepalive_timeout_ms': parameters?.timeout ?? 20_000,
  };
  for (const [name, milliseconds] of Object.entries(timers)) {
    if (milliseconds > 0) options[name] = milliseconds;
  }
  return options;
}
