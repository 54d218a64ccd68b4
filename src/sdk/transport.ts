// Sends one OTLP/HTTP request and says what became of it. No queue, no retry: delivery.ts has those.
import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import { constants, gzip, zstdCompress } from 'node:zlib';
import type { Signal } from '../otlp/model.ts';
import { readPartialSuccess, readStatus } from '../otlp/responses.ts';
import { LocalAgent } from '../semconv/local-handshake.ts';
import { BATCH_HEADER, JOURNAL_HEADER, POSITION_HEADER } from '../semconv/names.ts';
import type { Endpoint, SignalSettings } from './otlp-settings.ts';
import type { Settings } from './settings.ts';

/** Requests under way to a remote receiver: enough to hide a round trip, few enough to keep its memory small. */
export const MAX_IN_FLIGHT = 4;
/** Answers are small; a peer that sends more is cut off. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** Below this, compressing costs more than it saves. */
const MIN_COMPRESSED_BYTES = 1024;

export type Outcome =
  | {
      readonly kind: 'stored';
      readonly position: number | undefined;
      readonly rejected: number;
      readonly message: string;
    }
  | { readonly kind: 'retry'; readonly afterMs: number | undefined; readonly reason: string }
  | { readonly kind: 'rejected'; readonly reason: string };

/** Where requests go: a URL per signal, or the local endpoint of the bundled collector. */
export type Target =
  | { readonly kind: 'url'; readonly endpoint: Endpoint }
  | { readonly kind: 'local'; readonly address: string; readonly token: string };

export class Transport {
  private readonly signals: Settings['signals'];
  private readonly httpAgent = new http.Agent({ keepAlive: true, maxSockets: MAX_IN_FLIGHT + 2 });
  /** One for each set of certificates. */
  private readonly httpsAgents = new Map<string, https.Agent>();
  private local: { readonly address: string; readonly token: string; readonly agent: LocalAgent } | undefined;
  /** The peer has answered as Kymo does, so it takes zstd. */
  private peerIsKymo = false;

  constructor(settings: Settings) {
    this.signals = settings.signals;
  }

  async send(target: Target, signal: Signal, key: string, bytes: Uint8Array): Promise<Outcome> {
    const headers: Record<string, string> = {
      ...this.signals[signal].headers,
      'content-type': 'application/x-protobuf',
      [BATCH_HEADER]: key,
    };
    let body = bytes;
    const encoding = this.encodingFor(target, signal, bytes);
    if (encoding !== undefined) {
      body = await compress(encoding, bytes);
      headers['content-encoding'] = encoding;
    }
    headers['content-length'] = String(body.length);
    return new Promise(resolve => this.request(target, signal, headers, body, resolve));
  }

  private encodingFor(target: Target, signal: Signal, bytes: Uint8Array): 'gzip' | 'zstd' | undefined {
    const { compression } = this.signals[signal];
    if (target.kind === 'local' || compression === 'none') return undefined;
    if (bytes.length < MIN_COMPRESSED_BYTES) return undefined;
    if (compression === 'gzip') return 'gzip';
    return this.peerIsKymo ? 'zstd' : undefined;
  }

  private request(
    target: Target,
    signal: Signal,
    headers: Record<string, string>,
    body: Uint8Array,
    resolve: (outcome: Outcome) => void,
  ): void {
    const onAnswer = (answer: http.IncomingMessage) => {
      const chunks: Buffer[] = [];
      let size = 0;
      answer.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_ANSWER_BYTES) request.destroy(new Error('the answer is larger than 4 MiB'));
        else chunks.push(chunk);
      });
      answer.on('end', () => resolve(this.judge(answer, Buffer.concat(chunks))));
      answer.on('error', error => resolve({ kind: 'retry', afterMs: undefined, reason: error.message }));
    };
    let request: http.ClientRequest;
    const { timeoutMs } = this.signals[signal];
    const common = { method: 'POST', headers, timeout: timeoutMs };
    if (target.kind === 'local') {
      const agent = this.agentFor(target);
      request = http.request({ ...common, agent, path: `/v1/${signal}`, host: 'localhost' }, onAnswer);
    } else {
      const url = new URL(target.endpoint[signal]);
      request =
        url.protocol === 'https:'
          ? https.request(url, { ...common, agent: this.secureAgent(this.signals[signal]) }, onAnswer)
          : http.request(url, { ...common, agent: this.httpAgent }, onAnswer);
    }
    const overall = setTimeout(
      () => request.destroy(new Error(`no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    request.on('close', () => clearTimeout(overall));
    request.on('error', error =>
      resolve({ kind: 'retry', afterMs: undefined, reason: error.message || String(error) }),
    );
    request.end(body);
  }

  private judge(answer: http.IncomingMessage, body: Buffer): Outcome {
    const status = answer.statusCode ?? 0;
    const protobuf = (answer.headers['content-type'] ?? '').startsWith('application/x-protobuf');
    if (status >= 200 && status < 300) {
      if (answer.headers[JOURNAL_HEADER] !== undefined) this.peerIsKymo = true;
      const position = Number(answer.headers[POSITION_HEADER]);
      const partial = protobuf ? readPartialSuccess(body) : { rejected: 0, message: '' };
      return {
        kind: 'stored',
        position: Number.isSafeInteger(position) && position > 0 ? position : undefined,
        ...partial,
      };
    }
    const said = protobuf && body.length > 0 ? readStatus(body).message : '';
    const reason = `HTTP ${status} ${said || (answer.statusMessage ?? '')}`.trim();
    if (status === 429 || status === 502 || status === 503 || status === 504 || status === 408)
      return { kind: 'retry', afterMs: retryAfter(answer.headers['retry-after']), reason };
    // Credentials and addresses are mended by people while the training runs: what is refused for them is kept.
    if (status === 401 || status === 403 || status === 404 || status === 407)
      return { kind: 'retry', afterMs: 5_000, reason };
    return { kind: 'rejected', reason };
  }

  /** Connections of the collector that has this token; those to the one before are of no use. */
  private agentFor({ address, token }: Extract<Target, { kind: 'local' }>): LocalAgent {
    if (this.local?.address !== address || this.local.token !== token) {
      this.local?.agent.destroy();
      const agent = new LocalAgent(address, token, { keepAlive: true, maxSockets: MAX_IN_FLIGHT + 2 });
      this.local = { address, token, agent };
    }
    return this.local.agent;
  }

  private secureAgent({
    certificateFile,
    clientCertificateFile,
    clientKeyFile,
  }: SignalSettings): https.Agent {
    const certificates = JSON.stringify([certificateFile, clientCertificateFile, clientKeyFile]);
    const known = this.httpsAgents.get(certificates);
    if (known !== undefined) return known;
    const agent = new https.Agent({
      keepAlive: true,
      maxSockets: MAX_IN_FLIGHT + 2,
      ...(certificateFile === undefined ? {} : { ca: readFileSync(certificateFile) }),
      ...(clientCertificateFile === undefined ? {} : { cert: readFileSync(clientCertificateFile) }),
      ...(clientKeyFile === undefined ? {} : { key: readFileSync(clientKeyFile) }),
    });
    this.httpsAgents.set(certificates, agent);
    return agent;
  }
}

function compress(encoding: 'gzip' | 'zstd', bytes: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, out: Buffer) => (error ? reject(error) : resolve(out));
    if (encoding === 'gzip') gzip(bytes, { level: 1 }, done);
    else zstdCompress(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }, done);
  });
}

/** Seconds or an HTTP date. */
function retryAfter(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = Number(text);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) && ms >= 0 ? ms : undefined;
}
