// One OTLP/HTTP request to a peer that may be slow, gone, talkative or hostile, and what its answer means.
import http from 'node:http';
import https from 'node:https';
import { readPartialSuccess, readStatus } from '../../../otlp/responses.ts';
import { parseRetryAfter, type Sent } from './forwarder.ts';

export interface Post {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** For the whole exchange: connecting, sending, the whole answer. */
  readonly timeoutMs: number;
  readonly agent: http.Agent | https.Agent;
  readonly signal: AbortSignal;
}

/** The specification's limit for answers; a peer could send without end otherwise. */
export const MAX_RESPONSE_BYTES = 4 * 1024 * 1024;
/** The statuses that OTLP/HTTP calls retryable. */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);
const NOTHING_REJECTED = { rejected: 0, message: '' };

/** Sends a request and reads the answer. Never rejects; follows no redirect, which could carry credentials elsewhere. */
export function post(what: Post): Promise<Sent> {
  return attempt(what, true);
}

function attempt(what: Post, mayRepeat: boolean): Promise<Sent> {
  const { url, headers, body, timeoutMs, agent, signal } = what;
  return new Promise(resolve => {
    const secure = url.protocol === 'https:';
    const where = url.origin + url.pathname;
    const request = (secure ? https : http).request(url, {
      method: 'POST',
      agent,
      signal,
      headers: { ...headers, 'content-length': String(body.length) },
    });
    const done = (sent: Sent): void => {
      clearTimeout(timer);
      resolve(sent);
    };
    const retry = (reason: string): void => done({ kind: 'retry', reason, afterMs: undefined });
    const timer = setTimeout(() => {
      retry(`${where} did not answer within ${timeoutMs} ms`);
      request.destroy();
    }, timeoutMs);
    let answered = false;
    request.on('error', (error: NodeJS.ErrnoException) => {
      // The peer closed an idle connection just when we took it up again: a new one is no failure yet.
      const wasClosed = error.code === 'ECONNRESET' || error.code === 'EPIPE';
      if (wasClosed && request.reusedSocket && !answered && mayRepeat) {
        clearTimeout(timer);
        resolve(attempt(what, false));
      } else retry(`cannot send to ${where}: ${explain(error)}`);
    });
    request.on('response', response => {
      answered = true;
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= MAX_RESPONSE_BYTES) chunks.push(chunk);
        else {
          // The status has come, and that is what counts.
          done(judge(response, Buffer.alloc(0), where));
          request.destroy();
        }
      });
      response.on('end', () => done(judge(response, Buffer.concat(chunks), where)));
      // Cut in the middle: whether the peer has it is not known, and twice is better than never.
      response.on('close', () => retry(`${where} broke off its answer`));
      response.on('error', error => retry(`${where} broke off its answer: ${explain(error)}`));
    });
    request.end(body);
  });
}

function judge(response: http.IncomingMessage, body: Buffer, where: string): Sent {
  const status = response.statusCode ?? 0;
  const isProtobuf = response.headers['content-type']?.startsWith('application/x-protobuf') === true;
  if (status >= 200 && status < 300) {
    return { kind: 'delivered', partial: isProtobuf ? readPartialSuccess(body) : NOTHING_REJECTED };
  }
  const said = isProtobuf ? readStatus(body).message : body.toString('utf8', 0, 300).trim();
  const reason = `${where} answered ${status}${said === '' ? '' : `: ${said}`}`;
  if (RETRYABLE.has(status)) {
    return { kind: 'retry', reason, afterMs: parseRetryAfter(response.headers['retry-after']) };
  }
  if (status >= 300 && status < 400) {
    const location = response.headers.location ?? 'elsewhere';
    return {
      kind: 'rejected',
      reason: `${where} redirects to ${location}, which is not followed; set endpoint to it`,
    };
  }
  return { kind: 'rejected', reason };
}

function explain(error: NodeJS.ErrnoException & { readonly errors?: readonly Error[] }): string {
  // A failed connection to several addresses has an empty message and one error for each.
  const message = error.message || error.errors?.map(each => each.message).join('; ');
  return message || error.code || error.name;
}
