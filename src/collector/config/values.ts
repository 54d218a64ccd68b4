// Values that settings of many components share, as zod schemas: durations, sizes, endpoints, secrets.
import { z } from 'zod';

const NANOSECONDS_PER_UNIT: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};
const DURATION = /^(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/;
const DURATION_PART = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g;
/** Longest text of a duration that is looked at; any real one is shorter. */
const MAX_DURATION_CHARACTERS = 64;
/** Longest duration: a timer of Node holds 2^31 - 1 ms, and nothing here waits for weeks. */
export const MAX_DURATION_MS = 2 ** 31 - 1;
/** Longest endpoint that is looked at; a DNS name has at most 253 characters. */
const MAX_ENDPOINT_CHARACTERS = 1024;

const REDACTED = '[REDACTED]';

/** A value that is never printed: text, JSON and `console.log` show `[REDACTED]`. `reveal()` gives it to the code that sends it. */
export class Secret {
  readonly #value: string;
  constructor(value: string) {
    this.#value = value;
  }
  reveal(): string {
    return this.#value;
  }
  toString(): string {
    return REDACTED;
  }
  toJSON(): string {
    return REDACTED;
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return REDACTED;
  }
}

/** `host:port`, taken apart. `host` has no brackets and is empty for `:4318`, which means every interface. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/**
 * Milliseconds of a duration in Go's notation (`300ms`, `1m30s`, `0`); undefined when it is none.
 * Source of the notation: Go's `time.ParseDuration`, which the upstream Collector's configuration uses.
 */
export function parseDurationMs(text: string): number | undefined {
  if (text.length > MAX_DURATION_CHARACTERS || !DURATION.test(text)) return undefined;
  let nanoseconds = 0;
  for (const [, amount, unit] of text.matchAll(DURATION_PART)) {
    nanoseconds += Number(amount) * (NANOSECONDS_PER_UNIT[unit!] ?? 0);
  }
  const milliseconds = nanoseconds / 1e6;
  return milliseconds <= MAX_DURATION_MS ? milliseconds : undefined;
}

/** A duration such as `5s`; milliseconds once parsed. Give its default with `.prefault('5s')`. */
export function duration() {
  return z.string().transform((text, context) => {
    const milliseconds = parseDurationMs(text);
    if (milliseconds === undefined) {
      context.addIssue({
        code: 'custom',
        message: 'not a duration: write a number with a unit, such as 500ms, 5s or 1m30s (at most 24 days)',
      });
      return z.NEVER;
    }
    return milliseconds;
  });
}

/** A duration that must not be 0. */
export function positiveDuration() {
  return duration().refine(milliseconds => milliseconds > 0, 'must be longer than 0');
}

/** A whole number of bytes, at least 1. */
export function byteCount() {
  return z.int().min(1);
}

/** A whole number of MiB, at least 1; keys of such settings end in `_mib`. */
export function mebibytes() {
  return z
    .int()
    .min(1)
    .max(1024 * 1024);
}

/** Splits `host:port`, `[v6]:port` and `:port`; undefined when it is none. Nothing is resolved. */
export function parseEndpoint(text: string): Endpoint | undefined {
  if (text.length > MAX_ENDPOINT_CHARACTERS) return undefined;
  const match = /^(?:\[([0-9a-fA-F:.%a-zA-Z]+)\]|([^\s:/[\]]*)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const port = Number(match[3]);
  if (port > 65_535) return undefined;
  return { host: match[1] ?? match[2] ?? '', port };
}

/** Writes an endpoint as `host:port`, with brackets around an IPv6 address. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** `host:port` to listen on. */
export function listenEndpoint() {
  return z.string().transform((text, context) => {
    const endpoint = parseEndpoint(text);
    if (endpoint === undefined) {
      context.addIssue({
        code: 'custom',
        message: 'not an endpoint: write host:port, such as localhost:4318 or [::1]:4318',
      });
      return z.NEVER;
    }
    return endpoint;
  });
}

/** An `http://` or `https://` URL to send to. No user name, query or fragment: those belong in `headers`, or nowhere. */
export function httpUrl() {
  return z.string().transform((text, context) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const problem =
      url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')
        ? 'not a URL: write it with its scheme, such as http://localhost:4318'
        : url.username !== '' || url.password !== ''
          ? 'a URL must not hold a password: use headers'
          : url.hash !== ''
            ? 'a URL to send to has no #fragment'
            : undefined;
    if (url === undefined || problem !== undefined) {
      context.addIssue({ code: 'custom', message: problem ?? 'not a URL' });
      return z.NEVER;
    }
    return url;
  });
}

/** Text that is never printed. */
export function secretText() {
  return z.string().transform(value => new Secret(value));
}

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Headers to send: a map, its values never printed. */
export function secretHeaders() {
  return z.record(
    z.string().regex(HEADER_NAME, 'not a header name'),
    z
      .string()
      .regex(HEADER_VALUE, 'not a header value')
      .transform(value => new Secret(value)),
  );
}

/** Headers that are no secret (answers of a server). */
export function plainHeaders() {
  return z.record(
    z.string().regex(HEADER_NAME, 'not a header name'),
    z.string().regex(HEADER_VALUE, 'not a header value'),
  );
}

/**
 * A block that is off when absent and on when present, null (`grpc:` with nothing behind it) meaning "with defaults" and
 * `enabled: false` meaning off; undefined once parsed when it is off.
 */
export function optionalBlock<Shape extends z.ZodRawShape>(shape: Shape) {
  const block = z.strictObject({ ...shape, enabled: z.boolean().default(true) });
  return z
    .preprocess(value => (value === null ? {} : value), block)
    .transform(settings => ((settings as { enabled: boolean }).enabled ? settings : undefined))
    .optional();
}

/** A block that is always there: absent and null both mean its defaults. */
export function block<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.preprocess(value => value ?? {}, z.strictObject(shape));
}
