// Settings that both OTLP forwarders share (retrying, TLS, what is taken for compatibility), and those of otlp_http.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { SecureContextOptions } from 'node:tls';
import { z } from 'zod';
import type { Logger } from '../../component.ts';
import { type AuthSettings, authSettings } from '../../config/authenticators.ts';
import {
  block,
  duration,
  httpUrl,
  positiveDuration,
  secretHeaders,
  secretText,
} from '../../config/values.ts';

/** A request that takes longer than this is a peer that does not answer; the journal keeps it, so trying again costs nothing. */
const MAX_TIMEOUT_MS = 30_000;

export const forwardTimeout = positiveDuration()
  .refine(
    milliseconds => milliseconds <= MAX_TIMEOUT_MS,
    'at most 30s: the batch stays in the journal and is sent again',
  )
  .prefault('5s')
  .describe('Longest time for one request and its answer');

export const retryOnFailure = block({
  enabled: z
    .boolean()
    .default(true)
    .describe('Off: a failure that could pass counts against the batch at once'),
  initial_interval: positiveDuration().prefault('5s').describe('Wait after the first failure'),
  randomization_factor: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe('How far a wait may be from the plan, as a part of it'),
  multiplier: z.number().min(1).default(1.5).describe('Each wait is this many times the one before'),
  max_interval: positiveDuration().prefault('30s').describe('Longest wait'),
  max_elapsed_time: duration()
    .prefault('0')
    .describe('After this a batch counts as failed; 0 goes on as long as the journal keeps it'),
}).refine(retry => retry.max_interval >= retry.initial_interval, {
  message: 'max_interval must not be shorter than initial_interval',
});
export type RetrySettings = z.infer<typeof retryOnFailure>;

const TLS_VERSIONS = ['1.2', '1.3'] as const;
export const clientTls = block({
  insecure: z
    .boolean()
    .default(false)
    .describe('otlp_grpc: no TLS at all; otlp_http goes by the scheme of the endpoint'),
  insecure_skip_verify: z.boolean().default(false).describe("Do not check the peer's certificate"),
  ca_file: z
    .string()
    .optional()
    .describe("Trust peers whose certificate one of these has signed, instead of the system's"),
  ca_pem: z.string().optional().describe('The same, in the configuration itself'),
  cert_file: z.string().optional().describe('Our certificate, where the peer asks for one'),
  cert_pem: z.string().optional().describe('The same, in the configuration itself'),
  key_file: z.string().optional().describe('The private key of our certificate'),
  key_pem: secretText().optional().describe('The same, in the configuration itself'),
  server_name_override: z.string().optional().describe("The name that the peer's certificate must bear"),
  min_version: z.enum(TLS_VERSIONS).default('1.2').describe('Lowest version of TLS'),
});
export type ClientTlsSettings = z.infer<typeof clientTls>;

/** The one way of forwarding there is so far: the bytes as they came. */
export const forwardProfile = z
  .string()
  .default('none')
  .superRefine((profile, context) => {
    if (profile === 'none') return;
    const message =
      profile === 'lgtm'
        ? 'profile lgtm is not available yet: leave profile out to forward everything as it came'
        : `unknown profile ${JSON.stringify(profile)}; there is only none`;
    context.addIssue({ code: 'custom', message });
  })
  .describe('How telemetry is reshaped for its backend; `none` forwards it as it came');

/** Upstream's queue settings: the journal is the queue here, so they are taken and have no effect. */
export const sendingQueue = z
  .record(z.string(), z.unknown())
  .optional()
  .describe('Taken for compatibility; the journal is the queue');

export const otlpHttpSettings = z
  .strictObject({
    endpoint: httpUrl().optional().describe('Base URL; `/v1/traces` and so on are added'),
    traces_endpoint: httpUrl().optional().describe('URL for traces, used as it is'),
    metrics_endpoint: httpUrl().optional().describe('URL for metrics, used as it is'),
    logs_endpoint: httpUrl().optional().describe('URL for logs, used as it is'),
    headers: secretHeaders().default({}).describe('Headers of every request'),
    compression: z
      .enum(['none', 'gzip', 'zstd'])
      .default('gzip')
      .describe('Content-Encoding of requests; zstd only for peers known to take it'),
    compression_params: block({
      level: z
        .int()
        .min(1)
        .max(22)
        .optional()
        .describe('Level of the compression; 1 by default, which is fastest'),
    }),
    encoding: z.literal('proto').default('proto').describe('Requests are protobuf'),
    timeout: forwardTimeout,
    tls: clientTls,
    auth: authSettings,
    retry_on_failure: retryOnFailure,
    sending_queue: sendingQueue,
    profile: forwardProfile,
  })
  .superRefine((settings, context) => {
    const { endpoint, traces_endpoint, metrics_endpoint, logs_endpoint, compression } = settings;
    if ([endpoint, traces_endpoint, metrics_endpoint, logs_endpoint].every(url => url === undefined)) {
      const message = 'needs endpoint, or traces_endpoint, metrics_endpoint and logs_endpoint';
      context.addIssue({ code: 'custom', path: ['endpoint'], message });
    }
    if (compression === 'gzip' && (settings.compression_params.level ?? 1) > 9) {
      const message = 'gzip has levels 1 to 9';
      context.addIssue({ code: 'custom', path: ['compression_params', 'level'], message });
    }
  });
export type OtlpHttpSettings = z.infer<typeof otlpHttpSettings>;

export interface ClientTls extends SecureContextOptions {
  rejectUnauthorized?: boolean;
  servername?: string;
}

/** Options for `https` and `tls` connections. Reads the files; throws an error that names the one that cannot be read. */
export function clientTlsOptions(tls: ClientTlsSettings, baseDirectory: string, setting: string): ClientTls {
  const read = (pem: string | undefined, file: string | undefined, key: string): string | undefined => {
    if (pem !== undefined || file === undefined) return pem;
    try {
      return readFileSync(path.resolve(baseDirectory, file), 'utf8');
    } catch (error) {
      throw new Error(`${setting}::${key}: cannot read ${file}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  };
  const ca = read(tls.ca_pem, tls.ca_file, 'ca_file');
  const cert = read(tls.cert_pem, tls.cert_file, 'cert_file');
  const key = read(tls.key_pem?.reveal(), tls.key_file, 'key_file');
  return {
    minVersion: tls.min_version === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
    rejectUnauthorized: !tls.insecure_skip_verify,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(tls.server_name_override === undefined ? {} : { servername: tls.server_name_override }),
  };
}

/** Warns where credentials would travel for everybody to read. */
export function warnOfOpenCredentials(
  logger: Logger,
  id: string,
  auth: AuthSettings,
  insecureTo: readonly string[],
): void {
  if (auth === undefined) return;
  for (const where of insecureTo)
    logger.warn(
      `exporters::${id}::auth: credentials go to ${where} without TLS: anyone on the way can read them`,
    );
}
