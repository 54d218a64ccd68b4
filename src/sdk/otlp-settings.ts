// Where the SDK's requests go and how, as OTEL_EXPORTER_OTLP_* and KYMO_ENDPOINT say; a signal's own variable goes before the common one.
import type { Signal } from '../otlp/model.ts';
import { namedEndpoint } from '../semconv/env.ts';

/** A URL for each signal. */
export type Endpoint = Readonly<Record<Signal, string>>;

/** How requests of one signal are sent. */
export interface SignalSettings {
  readonly headers: Readonly<Record<string, string>>;
  readonly compression: 'none' | 'gzip' | 'auto';
  /** One request, from its first byte to the answer. */
  readonly timeoutMs: number;
  readonly certificateFile: string | undefined;
  readonly clientCertificateFile: string | undefined;
  readonly clientKeyFile: string | undefined;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const MAX_TIMEOUT_MS = 600_000;

/** Undefined where nothing names one: the bundled collector is meant. */
export function readEndpoint(env: NodeJS.ProcessEnv, warn: (line: string) => void): Endpoint | undefined {
  const base = namedEndpoint(env);
  const common = env.KYMO_ENDPOINT ? 'KYMO_ENDPOINT' : 'OTEL_EXPORTER_OTLP_ENDPOINT';
  const told = new Set<string>();
  const url = (signal: Signal): string | undefined => {
    const own = env.KYMO_ENDPOINT ? undefined : env[variable('ENDPOINT', signal)] || undefined;
    const text = own ?? (base ? `${base.replace(/\/+$/, '')}/v1/${signal}` : undefined);
    if (text === undefined) return undefined;
    const parsed = URL.canParse(text) ? new URL(text) : undefined;
    if (parsed && (parsed.protocol === 'http:' || parsed.protocol === 'https:')) return text;
    const name = own === undefined ? common : variable('ENDPOINT', signal);
    if (!told.has(name)) {
      told.add(name);
      const written = env[name] ?? '';
      warn(
        `${name}=${JSON.stringify(written)} is no http:// or https:// URL${schemeHint(written)}; using the bundled collector`,
      );
    }
    return undefined;
  };
  const named = { metrics: url('metrics'), logs: url('logs'), traces: url('traces') };
  const any = named.metrics ?? named.logs ?? named.traces;
  if (any === undefined) return undefined;
  if ((env.OTEL_EXPORTER_OTLP_PROTOCOL ?? '').startsWith('grpc'))
    warn(
      'OTEL_EXPORTER_OTLP_PROTOCOL=grpc: Kymo sends http/protobuf; point the endpoint at the HTTP port (4318)',
    );
  const sibling = (signal: Signal): string => any.replace(/\/v1\/(metrics|logs|traces)$/, `/v1/${signal}`);
  return {
    metrics: named.metrics ?? sibling('metrics'),
    logs: named.logs ?? sibling('logs'),
    traces: named.traces ?? sibling('traces'),
  };
}

/** A host with or without a port and path lacks only its scheme. */
function schemeHint(written: string): string {
  if (!/^[\w.-]+(:\d+)?(\/|$)|^\[[\da-f:]+\](:\d+)?(\/|$)/i.test(written)) return '';
  return ` (did you mean ${JSON.stringify(`http://${written}`)}?)`;
}

export function readSignalSettings(
  env: NodeJS.ProcessEnv,
  warn: (line: string) => void,
): Readonly<Record<Signal, SignalSettings>> {
  return {
    metrics: readSignal(env, 'metrics', warn),
    logs: readSignal(env, 'logs', warn),
    traces: readSignal(env, 'traces', warn),
  };
}

function readSignal(env: NodeJS.ProcessEnv, signal: Signal, warn: (line: string) => void): SignalSettings {
  /** The variable that is set, and what it says. */
  const find = (key: string): { readonly name: string; readonly text: string } | undefined =>
    [variable(key, signal), variable(key)]
      .map(name => ({ name, text: env[name] ?? '' }))
      .find(({ text }) => text !== '');
  const headers =
    env.KYMO_ENDPOINT && env.KYMO_HEADERS
      ? { name: 'KYMO_HEADERS', text: env.KYMO_HEADERS }
      : find('HEADERS');
  const compression = find('COMPRESSION')?.text.toLowerCase();
  return {
    headers: headers === undefined ? {} : readHeaders(headers.name, headers.text, warn),
    compression: compression === 'gzip' || compression === 'none' ? compression : 'auto',
    timeoutMs: readTimeout(find('TIMEOUT'), warn),
    certificateFile: find('CERTIFICATE')?.text,
    clientCertificateFile: find('CLIENT_CERTIFICATE')?.text,
    clientKeyFile: find('CLIENT_KEY')?.text,
  };
}

function variable(key: string, signal?: Signal): string {
  return `OTEL_EXPORTER_OTLP_${signal === undefined ? '' : `${signal.toUpperCase()}_`}${key}`;
}

function readTimeout(
  found: { readonly name: string; readonly text: string } | undefined,
  warn: (line: string) => void,
): number {
  if (found === undefined) return DEFAULT_TIMEOUT_MS;
  const value = Number(found.text);
  if (Number.isFinite(value) && value >= 1 && value <= MAX_TIMEOUT_MS) return value;
  warn(
    `${found.name}=${JSON.stringify(found.text)} is not a number from 1 to ${MAX_TIMEOUT_MS}; using ${DEFAULT_TIMEOUT_MS}`,
  );
  return DEFAULT_TIMEOUT_MS;
}

/** W3C baggage format: `key=value,key2=value2`, values percent-encoded. */
function readHeaders(source: string, text: string, warn: (line: string) => void): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const part of text.split(',')) {
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
    else warn(`${source}: ${JSON.stringify(name || 'an entry')} is not name=value; left out`);
  }
  return headers;
}
