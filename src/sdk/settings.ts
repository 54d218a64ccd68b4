// What the environment says to the SDK, read once per process. `kymo env` lists the variables with their meaning.
import type { Overflow } from './ring-writer.ts';

const MIB = 1024 * 1024;

export interface Settings {
  /** Undefined: start or join the bundled collector. */
  readonly endpoint: Endpoint | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly compression: 'none' | 'gzip' | 'auto';
  /** One request, from its first byte to the answer. */
  readonly requestTimeoutMs: number;
  readonly certificateFile: string | undefined;
  readonly clientCertificateFile: string | undefined;
  readonly clientKeyFile: string | undefined;
  readonly exitTimeoutMs: number;
  readonly overflow: Overflow;
  readonly blockMaxMs: number;
  /** Each call that records returns only when what it recorded is delivered. */
  readonly blocking: boolean;
  readonly ringBytes: number;
  /** Batches kept in memory while they are not acknowledged; beyond it they are read back from the spool. */
  readonly maxBatchBytes: number;
  /** Raw media under way to the media thread and inside it. */
  readonly maxMediaBytes: number;
  readonly maxSpoolBytes: number;
  readonly spoolMaxAgeMs: number;
  readonly stepAs: 'exemplar' | 'attribute';
  readonly quiet: boolean;
}

export interface Endpoint {
  readonly metrics: string;
  readonly logs: string;
  readonly traces: string;
}

/** Problems are told once, on stderr, and the default is used: an environment variable never stops a training. */
export function readSettings(env: NodeJS.ProcessEnv, warn: (line: string) => void): Settings {
  const number = (name: string, fallback: number, min: number, max: number): number => {
    const text = env[name];
    if (text === undefined || text === '') return fallback;
    const value = Number(text);
    if (Number.isFinite(value) && value >= min && value <= max) return value;
    warn(`${name}=${JSON.stringify(text)} is not a number from ${min} to ${max}; using ${fallback}`);
    return fallback;
  };
  const choice = <T extends string>(name: string, values: readonly T[], fallback: T): T => {
    const text = env[name];
    if (text === undefined || text === '') return fallback;
    const found = values.find(value => value === text.toLowerCase());
    if (found !== undefined) return found;
    warn(`${name}=${JSON.stringify(text)} is none of ${values.join(', ')}; using ${fallback}`);
    return fallback;
  };
  return {
    endpoint: readEndpoint(env, warn),
    headers: readHeaders((env.KYMO_ENDPOINT && env.KYMO_HEADERS) || env.OTEL_EXPORTER_OTLP_HEADERS, warn),
    compression: readCompression(env),
    requestTimeoutMs: number('OTEL_EXPORTER_OTLP_TIMEOUT', 10_000, 1, 600_000),
    certificateFile: env.OTEL_EXPORTER_OTLP_CERTIFICATE || undefined,
    clientCertificateFile: env.OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE || undefined,
    clientKeyFile: env.OTEL_EXPORTER_OTLP_CLIENT_KEY || undefined,
    exitTimeoutMs: number('KYMO_EXIT_TIMEOUT_MS', 10_000, 0, 86_400_000),
    overflow: choice('KYMO_OVERFLOW', ['block', 'drop'], 'block'),
    blockMaxMs: number('KYMO_BLOCK_MAX_MS', 1_000, 0, 60_000),
    blocking: ['0', 'false', 'no'].includes(
      choice('KYMO_ASYNC', ['1', 'true', 'yes', '0', 'false', 'no'], '1'),
    ),
    ringBytes: powerOfTwo(number('KYMO_RING_MIB', 16, 1, 1024)) * MIB,
    maxBatchBytes: number('KYMO_MEMORY_MIB', 64, 1, 16_384) * MIB,
    maxMediaBytes: number('KYMO_MEDIA_MEMORY_MIB', 256, 1, 16_384) * MIB,
    maxSpoolBytes: number('KYMO_SPOOL_MAX_MIB', 4_096, 0, 1 << 24) * MIB,
    spoolMaxAgeMs: number('KYMO_SPOOL_MAX_AGE_DAYS', 14, 0, 3_650) * 86_400_000,
    stepAs: choice('KYMO_STEP_AS', ['exemplar', 'attribute'], 'exemplar'),
    quiet: env.KYMO_QUIET === '1' || env.KYMO_QUIET === 'true',
  };
}

function readEndpoint(env: NodeJS.ProcessEnv, warn: (line: string) => void): Endpoint | undefined {
  const base = env.KYMO_ENDPOINT || env.OTEL_EXPORTER_OTLP_ENDPOINT;
  const own = (signal: 'METRICS' | 'LOGS' | 'TRACES'): string | undefined =>
    (env.KYMO_ENDPOINT ? undefined : env[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`]) || undefined;
  const url = (signal: 'METRICS' | 'LOGS' | 'TRACES'): string | undefined => {
    const text = own(signal) ?? (base ? `${base.replace(/\/+$/, '')}/v1/${signal.toLowerCase()}` : undefined);
    if (text === undefined) return undefined;
    const parsed = URL.canParse(text) ? new URL(text) : undefined;
    if (parsed && (parsed.protocol === 'http:' || parsed.protocol === 'https:')) return text;
    warn(`the endpoint ${JSON.stringify(text)} is no http:// or https:// URL; using the bundled collector`);
    return undefined;
  };
  const metrics = url('METRICS');
  const logs = url('LOGS');
  const traces = url('TRACES');
  const any = metrics ?? logs ?? traces;
  if (any === undefined) return undefined;
  if ((env.OTEL_EXPORTER_OTLP_PROTOCOL ?? '').startsWith('grpc'))
    warn(
      'OTEL_EXPORTER_OTLP_PROTOCOL=grpc: Kymo sends http/protobuf; point the endpoint at the HTTP port (4318)',
    );
  const sibling = (signal: string): string => any.replace(/\/v1\/(metrics|logs|traces)$/, `/v1/${signal}`);
  return {
    metrics: metrics ?? sibling('metrics'),
    logs: logs ?? sibling('logs'),
    traces: traces ?? sibling('traces'),
  };
}

/** W3C baggage format: `key=value,key2=value2`, values percent-encoded. */
function readHeaders(text: string | undefined, warn: (line: string) => void): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const part of (text ?? '').split(',')) {
    if (part.trim() === '') continue;
    const at = part.indexOf('=');
    const name = at > 0 ? part.slice(0, at).trim() : '';
    let value = '';
    try {
      value = decodeURIComponent(part.slice(at + 1).trim());
    } catch {
      value = '\n';
    }
    // Only the name is told: values of headers are often secrets.
    if (/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name) && !/[\r\n\0]/.test(value))
      headers[name.toLowerCase()] = value;
    else
      warn(`OTEL_EXPORTER_OTLP_HEADERS: ${JSON.stringify(name || 'an entry')} is not name=value; left out`);
  }
  return headers;
}

function readCompression(env: NodeJS.ProcessEnv): Settings['compression'] {
  const text = env.OTEL_EXPORTER_OTLP_COMPRESSION?.toLowerCase();
  if (text === 'gzip') return 'gzip';
  return text === 'none' ? 'none' : 'auto';
}

function powerOfTwo(value: number): number {
  return 2 ** Math.round(Math.log2(value));
}
