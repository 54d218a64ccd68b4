// Keeps web pages out of a local port: the Host check against DNS rebinding, the Origin check against drive-by posts, and CORS for pages that may send.
import type { IncomingMessage, ServerResponse } from 'node:http';
import net from 'node:net';
import type { Rejection } from './counters.ts';

export interface CorsSettings {
  /** Exact origins, or with `*` for any run of characters; a lone `*` is every origin. */
  readonly allowed_origins: readonly string[];
  readonly allowed_headers: readonly string[];
  readonly exposed_headers: readonly string[];
  /** How long a browser may keep the answer to a preflight, in seconds; 0 leaves it to the browser. */
  readonly max_age: number;
}

export interface GuardOptions {
  /** Bound to a loopback address: then `Host` must be one of this machine's own names. */
  readonly checkHost: boolean;
  /** The configured host name, accepted beside `localhost` and IP addresses. */
  readonly ownHost: string;
  readonly cors: CorsSettings | undefined;
}

export type Verdict =
  | { readonly kind: 'pass' }
  /** Answered already (a preflight). */
  | { readonly kind: 'answered' }
  | { readonly kind: 'forbidden'; readonly reason: Rejection; readonly message: string };

const PASS: Verdict = { kind: 'pass' };
/** What every OTLP sender uses; `Content-Type` makes any other page ask first. */
const ALWAYS_ALLOWED_HEADERS = ['content-type', 'content-encoding', 'kymo-batch'];
/** No origin is longer: a scheme, a DNS name of at most 253 characters, a port. */
const MAX_ORIGIN_CHARACTERS = 512;

/** Looks at each request before anything else does. */
export function createBrowserGuard(
  options: GuardOptions,
): (request: IncomingMessage, response: ServerResponse) => Verdict {
  const { cors } = options;
  const patterns = cors?.allowed_origins ?? [];
  const everyOrigin = patterns.includes('*');

  return (request, response) => {
    const { host, origin } = request.headers;
    if (options.checkHost && host !== undefined && !isOwnName(host, options.ownHost)) {
      return {
        kind: 'forbidden',
        reason: 'host',
        message: 'the Host header names another machine; use localhost or an IP address',
      };
    }
    if (origin === undefined) return PASS;
    if (!everyOrigin && !patterns.some(pattern => matches(origin, pattern))) {
      return {
        kind: 'forbidden',
        reason: 'origin',
        message: 'web pages of this origin may not send; add it to cors::allowed_origins',
      };
    }
    // `*` goes without credentials: a page of any origin must not send with somebody's cookies or certificate.
    if (everyOrigin) response.setHeader('access-control-allow-origin', '*');
    else {
      response.setHeader('access-control-allow-origin', origin);
      response.setHeader('access-control-allow-credentials', 'true');
      response.setHeader('vary', 'origin');
    }
    const exposed = cors?.exposed_headers ?? [];
    if (exposed.length > 0) response.setHeader('access-control-expose-headers', exposed.join(', '));
    const asksFirst = request.headers['access-control-request-method'] !== undefined;
    if (request.method !== 'OPTIONS' || !asksFirst) return PASS;
    const allowed = cors?.allowed_headers ?? [];
    const asked = request.headers['access-control-request-headers'];
    response.setHeader('access-control-allow-methods', 'POST');
    response.setHeader(
      'access-control-allow-headers',
      allowed.includes('*') && asked !== undefined
        ? asked
        : [...ALWAYS_ALLOWED_HEADERS, ...allowed].join(', '),
    );
    if (cors !== undefined && cors.max_age > 0) response.setHeader('access-control-max-age', cors.max_age);
    response.writeHead(204).end();
    return { kind: 'answered' };
  };
}

/** A rebound DNS name is never an address: a browser sends the name that the page was loaded from. */
function isOwnName(hostHeader: string, ownHost: string): boolean {
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(hostHeader);
  if (bracketed !== null) return net.isIPv6(bracketed[1]!);
  const name = hostHeader.replace(/:\d+$/, '').toLowerCase();
  return name === 'localhost' || name === ownHost.toLowerCase() || net.isIP(name) !== 0;
}

/** Matches without a regular expression made of settings: the parts between the stars must come in order. */
function matches(origin: string, pattern: string): boolean {
  if (origin.length > MAX_ORIGIN_CHARACTERS) return false;
  const parts = pattern.split('*');
  if (parts.length === 1) return origin === pattern;
  const first = parts[0]!;
  const last = parts.at(-1)!;
  if (!origin.startsWith(first) || !origin.endsWith(last) || origin.length < first.length + last.length) {
    return false;
  }
  let at = first.length;
  const end = origin.length - last.length;
  for (const part of parts.slice(1, -1)) {
    const found = origin.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
