// A collector of its own on a fixed port, which can be stopped, killed and started again as a service would be.

import { readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Arena } from './arena.ts';
import { type Child, KYMO, startNode, until } from './processes.ts';

export interface StandaloneOptions {
  readonly memoryLimitMib?: number;
  /** All that an arena judges, by default. */
  readonly exporters?: readonly string[];
}

export class Standalone {
  #port: number;
  #child: Child | undefined;
  readonly #arena: Arena;
  readonly #config: string;
  readonly #forwardTo: string;
  readonly #options: StandaloneOptions;

  constructor(arena: Arena, port: number, forwardTo: string, options: StandaloneOptions = {}) {
    this.#arena = arena;
    this.#port = port;
    this.#forwardTo = forwardTo;
    this.#options = options;
    this.#config = join(arena.folder, 'standalone.yaml');
  }

  get port(): number {
    return this.#port;
  }

  get isUp(): boolean {
    return this.#child !== undefined && !this.#child.hasEnded();
  }

  /** On the port of the last time, or on another one. */
  async start(port = this.#port): Promise<void> {
    this.#port = port;
    writeFileSync(this.#config, configuration(port, this.#forwardTo, this.#options));
    const args = [KYMO, 'collector', '--config', this.#config, '--drain-timeout', '300s'];
    const child = startNode(args, { cwd: this.#arena.folder, env: {} });
    this.#child = child;
    await until('the collector to be ready', () => {
      if (child.hasEnded()) throw new Error(`the collector ended: ${child.output()}`);
      return child.output().includes('everything is ready') || undefined;
    });
    this.#arena.note(`collector ${child.process.pid} is ready`);
  }

  /** Asks it to end, and waits until it has written everything. */
  async stop(): Promise<void> {
    if (this.#child === undefined) return;
    this.#child.process.kill('SIGTERM');
    const ending = await this.#child.ended;
    this.#arena.note(`collector stopped (${ending.code ?? ending.signal})`);
    this.#child = undefined;
  }

  async kill(): Promise<void> {
    if (this.#child === undefined) return;
    this.#child.process.kill('SIGKILL');
    this.#arena.tally.kills++;
    this.#arena.tally.faults++;
    await this.#child.ended;
    this.#arena.note('collector killed');
    this.#child = undefined;
  }

  /** The most resident memory that it has had. */
  mostMemoryMib(): number {
    const status = readFileSync(`/proc/${this.#child?.process.pid}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.process.kill(name);
  }
}

function configuration(port: number, forwardTo: string, options: StandaloneOptions): string {
  const exporters = (options.exporters ?? ['jsonl', 'tensorboard', 'otlp_http']).join(', ');
  const limit = options.memoryLimitMib;
  const processors = limit === undefined ? '' : 'processors: [memory_limiter], ';
  return `receivers:
  otlp:
    protocols:
      http: {endpoint: "127.0.0.1:${port}"}
${limit === undefined ? '' : `processors:\n  memory_limiter: {check_interval: 1s, limit_mib: ${limit}}`}
exporters:
  jsonl: {directory: runs}
  tensorboard: {directory: runs, rewrite_interval: 300ms}
  otlp_http:
    endpoint: ${forwardTo}
    retry_on_failure: {initial_interval: 100ms, max_interval: 300ms}
extensions:
  journal: {directory: .kymo/journal}
service:
  extensions: [journal]
  pipelines:
    metrics: {receivers: [otlp], ${processors}exporters: [${exporters}]}
    logs: {receivers: [otlp], ${processors}exporters: [${exporters}]}
`;
}

/** A port that was free a moment ago; nobody else picks ports of this range by number. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}
