// What the tests of receivers and forwarders share: an in-memory journal end, recorded logs and counters, a running receiver, requests.
import http from 'node:http';
import net from 'node:net';
import type {
  Authenticator,
  Ingest,
  IngestRequest,
  IngestResult,
  Instruments,
  Logger,
  Receiver,
} from '../../../../src/collector/component.ts';
import { otlpReceiver } from '../../../../src/collector/receivers/otlp/index.ts';
import { WireWriter } from '../../../../src/otlp/wire-writer.ts';

export const JOURNAL = 'journal-1';

/** Keeps requests in memory as the journal would on disk: positions grow, a batch key is stored once, memory has a limit. */
export class MemoryIngest implements Ingest {
  readonly stored: IngestRequest[] = [];
  readonly budget: number;
  reserved = 0;
  peak = 0;
  position = 0;
  refuse: { reason: string; retryAfterMs: number } | undefined;
  /** While set, submissions wait for it. */
  hold: Promise<void> | undefined;
  readonly #keys = new Map<string, number>();

  constructor(budget = 512 * 1024 * 1024) {
    this.budget = budget;
  }

  async submit(request: IngestRequest): Promise<IngestResult> {
    await this.hold;
    if (this.refuse !== undefined) return { kind: 'refused', ...this.refuse };
    const before = this.#keys.get(request.batchKey);
    if (before !== undefined) return { kind: 'stored', journal: JOURNAL, position: before, duplicate: true };
    this.position += request.bytes.length;
    if (request.batchKey !== '') this.#keys.set(request.batchKey, this.position);
    this.stored.push({ ...request, bytes: Uint8Array.from(request.bytes) });
    return { kind: 'stored', journal: JOURNAL, position: this.position, duplicate: false };
  }

  reserve(bytes: number): boolean {
    if (this.reserved + bytes > this.budget) return false;
    this.reserved += bytes;
    this.peak = Math.max(this.peak, this.reserved);
    return true;
  }

  release(bytes: number): void {
    this.reserved -= bytes;
  }
}

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: Record<string, unknown> | undefined;
}
export function recordingLogger(): Logger & { readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: string) => (message: string, fields?: Record<string, unknown>) => {
    lines.push({ level, message, fields });
  };
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

export function recordingInstruments(): Instruments & {
  sum(name: string, attributes?: Record<string, string>): number;
} {
  const counts: { name: string; amount: number; attributes: Readonly<Record<string, string>> }[] = [];
  return {
    count: (name, amount, attributes = {}) => counts.push({ name, amount, attributes }),
    set: () => {},
    sum: (name, attributes = {}) =>
      counts
        .filter(each => each.name === name)
        .filter(each => Object.entries(attributes).every(([key, value]) => each.attributes[key] === value))
        .reduce((total, each) => total + each.amount, 0),
  };
}

export interface RunningReceiver {
  readonly receiver: Receiver;
  readonly ingest: MemoryIngest;
  readonly logger: ReturnType<typeof recordingLogger>;
  readonly instruments: ReturnType<typeof recordingInstruments>;
  /** Ports on 127.0.0.1; 0 where the protocol is off. */
  readonly http: number;
  readonly grpc: number;
}

/** Parses `settings` as the configuration would and starts the receiver on free ports. */
export async function startReceiver(
  protocols: Record<string, Record<string, unknown> | null> = { http: {} },
  options: {
    ingest?: MemoryIngest;
    baseDirectory?: string;
    authenticators?: ReadonlyMap<string, Authenticator>;
  } = {},
): Promise<RunningReceiver> {
  const withPorts = Object.fromEntries(
    Object.entries(protocols).map(([name, settings]) => [name, { endpoint: 'localhost:0', ...settings }]),
  );
  const settings = otlpReceiver.config.parse({ protocols: withPorts });
  const ingest = options.ingest ?? new MemoryIngest();
  const logger = recordingLogger();
  const instruments = recordingInstruments();
  const receiver = otlpReceiver.create(
    {
      id: 'otlp',
      ingest,
      logger,
      instruments,
      baseDirectory: options.baseDirectory ?? process.cwd(),
      authenticators: options.authenticators ?? new Map(),
    },
    settings,
  );
  await receiver.start();
  const port = (protocol: string): number => {
    const address = receiver.addresses().find(each => each.startsWith(`${protocol} 127.`));
    return Number(address?.split(':').at(-1) ?? 0);
  };
  return { receiver, ingest, logger, instruments, http: port('http'), grpc: port('grpc') };
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

/** One request on a connection of its own. */
export function request(
  port: number,
  options: http.RequestOptions & { body?: Uint8Array | string },
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const { body, ...rest } = options;
    const sent = http.request(
      { host: '127.0.0.1', port, method: 'POST', agent: false, ...rest },
      response => {
        const chunks: Buffer[] = [];
        response.on('data', chunk => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks),
          }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

export function post(
  port: number,
  signal: string,
  body: Uint8Array | string,
  headers: http.OutgoingHttpHeaders = {},
): Promise<HttpAnswer> {
  return request(port, {
    path: `/v1/${signal}`,
    body,
    headers: { 'content-type': 'application/x-protobuf', ...headers },
  });
}

/** A logs request with `count` records whose bodies are `text`. */
export function logsRequest(count = 1, text = 'hello'): Uint8Array {
  const record = new WireWriter();
  record.fixed64Field(1, 1_700_000_000_000_000_000n);
  const body = record.beginMessage(5);
  record.stringField(1, text);
  record.endMessage(body);
  const bytes = record.copy();
  // ExportLogsServiceRequest.resource_logs[0].scope_logs[0].log_records.
  const writer = new WireWriter();
  const resourceLogs = writer.beginMessage(1);
  const scopeLogs = writer.beginMessage(2);
  for (let i = 0; i < count; i++) writer.bytesField(2, bytes);
  writer.endMessage(scopeLogs);
  writer.endMessage(resourceLogs);
  return writer.copy();
}

/** Raw bytes on a socket; resolves with everything that came back until the peer closed. */
export function rawExchange(port: number, bytes: string | Uint8Array, timeoutMs = 5_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes));
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error('the peer did not close the connection'));
    }, timeoutMs);
    let text = '';
    socket.on('data', chunk => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(text);
    });
  });
}

/** Waits until `condition` holds; fails after the deadline. */
export async function until(condition: () => boolean, what: string, deadlineMs = 5_000): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited ${deadlineMs} ms in vain for ${what}`);
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}
