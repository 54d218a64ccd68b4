// Stands between a trainer and its collector and does to each request what a bad network or a busy server would.
import {
  type ClientRequest,
  createServer,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

export const PROXY_FAULTS = [
  /** Answered without being passed on. */
  '503',
  '429',
  '502',
  /** The connection is closed: when the request begins, in the middle of its body, after half of it was passed on. */
  'cut at once',
  'cut in the body',
  'cut half passed on',
  /** Passed on and journaled, then the connection is closed without an answer, in the middle of one, or long after the sender gave up. */
  'cut after journaling',
  'cut in the answer',
  'answer too late',
  /** Read and forgotten: the other side is gone without a word. */
  'half open',
] as const;
export type ProxyFault = (typeof PROXY_FAULTS)[number];

export class FaultyProxy {
  /** What happens to the next request; undefined passes it on. */
  next: () => ProxyFault | undefined = () => undefined;
  readonly done: Partial<Record<ProxyFault, number>> = {};
  readonly #target: number;
  /** A late answer comes this long after it was there. */
  readonly #lateMs: number;
  readonly #server = createServer((incoming, answer) => this.#take(incoming, answer));
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(targetPort: number, lateMs: number) {
    this.#target = targetPort;
    this.#lateMs = lateMs;
  }

  async start(): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#server.closeAllConnections();
    await new Promise(resolve => this.#server.close(resolve));
  }

  #take(incoming: IncomingMessage, answer: ServerResponse): void {
    const fault = this.next();
    if (fault !== undefined) this.done[fault] = (this.done[fault] ?? 0) + 1;
    incoming.on('error', () => undefined);
    answer.on('error', () => undefined);
    if (fault === 'cut at once') {
      incoming.socket.destroy();
      return;
    }
    if (fault === 'cut in the body') {
      incoming.once('data', () => incoming.socket.destroy());
      return;
    }
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => this.#answer(fault, incoming, Buffer.concat(chunks), answer));
  }

  #answer(
    fault: ProxyFault | undefined,
    incoming: IncomingMessage,
    body: Buffer,
    answer: ServerResponse,
  ): void {
    switch (fault) {
      case 'half open':
        return;
      case '502':
        answer.writeHead(502).end('<html>bad gateway</html>');
        return;
      case '503':
        answer.writeHead(503, { 'content-type': 'application/x-protobuf' }).end();
        return;
      case '429':
        answer.writeHead(429, { 'retry-after': '1' }).end();
        return;
      case 'cut half passed on': {
        const passed = this.#pass(incoming, () => undefined);
        passed.write(body.subarray(0, body.length >> 1));
        this.#later(30, () => {
          passed.destroy();
          incoming.socket.destroy();
        });
        return;
      }
      default:
        this.#pass(incoming, (status, headers, text) => {
          if (fault === 'cut after journaling') incoming.socket.destroy();
          else if (fault === 'cut in the answer') {
            answer.writeHead(status, { ...headers, 'content-length': text.length + 10 });
            answer.write(text.length === 0 ? Buffer.from([0]) : text);
            this.#later(30, () => incoming.socket.destroy());
          } else if (fault === 'answer too late') {
            this.#later(this.#lateMs, () => answer.writeHead(status, headers).end(text));
          } else answer.writeHead(status, headers).end(text);
        }).end(body);
    }
  }

  #pass(
    incoming: IncomingMessage,
    answered: (status: number, headers: NodeJS.Dict<string | string[]>, text: Buffer) => void,
  ): ClientRequest {
    const passed = request(
      {
        host: '127.0.0.1',
        port: this.#target,
        method: incoming.method,
        path: incoming.url,
        headers: incoming.headers,
        agent: false,
      },
      response => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', () => incoming.socket.destroy());
        response.on('end', () => {
          const { connection: _, 'transfer-encoding': __, ...headers } = response.headers;
          answered(response.statusCode ?? 502, headers, Buffer.concat(chunks));
        });
      },
    );
    passed.on('error', () => incoming.socket.destroy());
    return passed;
  }

  #later(ms: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
  }
}
