// The otlp receiver: OTLP over gRPC and HTTP, into the journal.
import { createSecureContext } from 'node:tls';
import type { Receiver, ReceiverContext, ReceiverType } from '../../component.ts';
import { authReference, resolveAuthenticator } from '../../config/authenticators.ts';
import { isLoopback } from '../../listen.ts';
import { startGrpcServer } from './grpc-server.ts';
import { listenTarget, type ReceiverEnd, startHttpServer } from './http-server.ts';
import { type OtlpReceiverSettings, otlpReceiverSettings } from './settings.ts';
import { asksForCertificate, type ServerTlsSettings, serverTlsOptions } from './tls.ts';

export const otlpReceiver: ReceiverType<typeof otlpReceiverSettings> = {
  kind: 'receiver',
  type: 'otlp',
  signals: ['traces', 'metrics', 'logs'],
  stability: 'beta',
  config: otlpReceiverSettings,
  authenticators: ({ protocols: { grpc, http } }) => [
    ...authReference(grpc?.auth, ['protocols', 'grpc']),
    ...authReference(http?.auth, ['protocols', 'http']),
  ],
  listens: (id, { protocols: { grpc, http } }, baseDirectory) =>
    Object.entries({ grpc, http }).flatMap(([protocol, settings]) =>
      settings === undefined
        ? []
        : [{ setting: settingOf(id, protocol), target: listenTarget(settings, baseDirectory) }],
    ),
  create: (context, settings) => new OtlpReceiver(context, settings),
};

function settingOf(id: string, protocol: string, key = 'endpoint'): string {
  return `receivers::${id}::protocols::${protocol}::${key}`;
}

class OtlpReceiver implements Receiver {
  readonly #context: ReceiverContext;
  readonly #settings: OtlpReceiverSettings;
  #ends: { readonly protocol: string; readonly end: ReceiverEnd }[] = [];

  constructor(context: ReceiverContext, settings: OtlpReceiverSettings) {
    this.#context = context;
    this.#settings = settings;
  }

  prepare(): void {
    for (const [protocol, settings] of Object.entries(this.#settings.protocols)) {
      if (settings === undefined) continue;
      const { id, baseDirectory } = this.#context;
      resolveAuthenticator(this.#context, settings.auth, 'server', settingOf(id, protocol, 'auth'));
      if (settings.tls === undefined) continue;
      const setting = settingOf(id, protocol, 'tls');
      const options = serverTlsOptions(settings.tls as ServerTlsSettings, baseDirectory, setting);
      try {
        createSecureContext(options);
      } catch (error) {
        throw new Error(`${setting}: ${(error as Error).message}`, { cause: error });
      }
    }
  }

  async start(): Promise<void> {
    const { grpc, http } = this.#settings.protocols;
    try {
      if (grpc !== undefined) {
        this.#warnIfOpen('grpc', grpc);
        const end = await startGrpcServer(grpc, this.#context, this.#setting('grpc'));
        this.#ends.push({ protocol: 'grpc', end });
      }
      if (http !== undefined) {
        this.#warnIfOpen('http', http);
        const end = await startHttpServer(http, this.#context, this.#setting('http'));
        this.#ends.push({ protocol: 'http', end });
      }
    } catch (error) {
      await this.stop(0);
      throw error;
    }
    for (const address of this.addresses()) this.#context.logger.info(`listening for OTLP on ${address}`);
  }

  async stop(deadlineMs: number): Promise<void> {
    const ends = this.#ends;
    this.#ends = [];
    await Promise.all(ends.map(({ end }) => end.stop(deadlineMs)));
  }

  addresses(): readonly string[] {
    return this.#ends.flatMap(({ protocol, end }) => end.addresses.map(address => `${protocol} ${address}`));
  }

  #setting(protocol: string): string {
    return settingOf(this.#context.id, protocol);
  }

  #warnIfOpen(
    protocol: string,
    settings: { transport: 'tcp' | 'unix'; endpoint: string; tls?: unknown; auth?: unknown },
  ): void {
    const target = listenTarget(settings, this.#context.baseDirectory);
    if (target.transport === 'unix' || isLoopback(target.endpoint.host)) return;
    if (asksForCertificate(settings.tls as ServerTlsSettings | undefined)) return;
    if (settings.auth !== undefined) {
      if (settings.tls !== undefined) return;
      this.#context.logger.warn(
        `${this.#setting(protocol)}: ${settings.endpoint} is reachable from other machines and asks for credentials without TLS: ` +
          'anyone on the way can read them. Add tls, or use localhost.',
      );
      return;
    }
    this.#context.logger.warn(
      `${this.#setting(protocol)}: ${settings.endpoint} is reachable from other machines and asks neither for a certificate nor for credentials: ` +
        `anyone who reaches it can write into your runs. Use localhost, a unix socket, auth, or tls::client_ca_file.`,
    );
  }
}
