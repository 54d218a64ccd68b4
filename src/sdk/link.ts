// The worker's link to the bundled collector: finds it or starts it, and holds the connection that tells it we live.
import { spawn } from 'node:child_process';
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readFileSync, readSync } from 'node:fs';
import * as http from 'node:http';
import { connect } from 'node:net';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { COLLECTOR_ENVIRONMENT, COLLECTOR_NODE_FLAGS } from '../semconv/collector-process.ts';
import {
  collectorKey,
  EXIT_BAD_CONFIG,
  FORMAT_VERSION,
  type LocalPaths,
  localAddress,
  paths,
} from '../semconv/local.ts';
import { LocalAgent } from '../semconv/local-handshake.ts';
import { diesWithUs } from './surroundings.ts';
import type { Target } from './transport.ts';

/** A collector takes some 100 ms to start; a loaded machine may need seconds. */
const START_PATIENCE_MS = 15_000;
const POLL_MS = 20;
/** One request for progress: after this the collector says at least what is in the way. */
const PROGRESS_MS = 1_000;
/** Between two collectors that this process starts; doubles each time. */
const FIRST_RESPAWN_MS = 200;
/** Starting again and again helps nobody: after each failure the next try waits twice as long, up to this. */
const MAX_BACKOFF_MS = 30_000;
const MAX_LINE_BYTES = 16_384;
/** The collector shows the run to people; a longer id is cut. */
const MAX_RUN_CHARACTERS = 256;
/** How much of the end of its log is looked at when a collector did not start. */
const LOG_TAIL_BYTES = 8_192;
/** Longest piece of the log that a message repeats. */
const MAX_REASON_CHARACTERS = 300;

/** What `attach` answers with, first line. */
interface Welcome {
  readonly version: string;
  readonly format?: number;
  readonly journal: string;
}

export interface LinkOptions {
  readonly projectDirectory: string;
  readonly instanceId: string;
  readonly run: string;
  readonly onChange: () => void;
  readonly onError: (reason: string) => void;
}

export class Link {
  readonly paths: LocalPaths;
  readonly key: string;
  private readonly options: LinkOptions;
  private readonly address: string;
  private target: Target | undefined;
  private connecting = false;
  /** The collector that this process has started lives, as far as it knows. */
  private starting = false;
  /** Its configuration cannot be used, or it is too new for us: tried again now and then, but nobody should wait for it. */
  private refused = false;
  private closed = false;
  private retryAt = 0;
  private backoffMs = 250;
  private attached: http.ClientRequest | undefined;

  constructor(options: LinkOptions) {
    this.options = options;
    this.paths = paths(options.projectDirectory);
    this.key = collectorKey(this.paths.journal);
    this.address = localAddress(this.key);
  }

  /** Where to send now; undefined while there is no collector. Asking is what makes it come (back). */
  current(): Target | undefined {
    if (this.target === undefined && !this.connecting && !this.closed && performance.now() >= this.retryAt)
      void this.connect();
    return this.target;
  }

  /** No collector comes until somebody mends something. */
  get hopeless(): boolean {
    return this.refused && this.target === undefined;
  }

  /**
   * Whether every local exporter has durably written what lies before the position, at the latest when the time is over; if not, what
   * is in the way, which is also told while it is (empty: nothing any more).
   */
  async written(
    position: number,
    timeoutMs: number,
    onObstacle: (reason: string) => void = () => undefined,
  ): Promise<{ readonly written: boolean; readonly reason: string }> {
    const deadline = performance.now() + timeoutMs;
    let reason = '';
    while (performance.now() < deadline && !this.closed) {
      const left = Math.min(PROGRESS_MS, Math.max(1, Math.round(deadline - performance.now())));
      const answer = await this.get(
        `/kymo/v1/progress?position=${position}&timeout_ms=${left}`,
        left + 1_000,
      );
      if (answer.status === 200) {
        const body = parseObject(answer.body);
        if (body.reached === true) return { written: true, reason: '' };
        reason = obstacle(body.exporters, position);
        onObstacle(reason);
        if (body.reached === false && performance.now() >= deadline) break;
      }
      await new Promise(resolve => setTimeout(resolve, POLL_MS));
    }
    return { written: false, reason };
  }

  /** Says goodbye and, as its last client, waits until the collector has ended: for processes whose end would kill it. */
  async leave(timeoutMs: number): Promise<void> {
    this.closed = true;
    const target = this.target;
    if (target === undefined || target.kind !== 'local') return;
    const deadline = performance.now() + timeoutMs;
    const query = new URLSearchParams({ instance: this.options.instanceId });
    const answer = await this.post(`/kymo/v1/detach?${query}`, target.token);
    if (parseObject(answer.body).remaining !== 0) return;
    while (performance.now() < deadline && (await answers(this.address)))
      await new Promise(resolve => setTimeout(resolve, POLL_MS));
  }

  private async connect(): Promise<void> {
    this.connecting = true;
    try {
      const deadline = performance.now() + START_PATIENCE_MS;
      let spawnAt = 0;
      let pauseMs = FIRST_RESPAWN_MS;
      let reason = 'the collector did not start';
      this.refused = false;
      while (!this.closed && performance.now() < deadline) {
        const result = await this.attach();
        if (result.kind === 'attached') {
          this.backoffMs = 250;
          this.options.onChange();
          return;
        }
        if (this.refused) {
          this.postpone();
          return;
        }
        reason = result.reason;
        if (result.kind === 'absent' && !this.starting && performance.now() >= spawnAt) {
          this.spawnCollector();
          // It may be killed before it answers: then another one is needed, but not one after the other at full speed.
          spawnAt = performance.now() + pauseMs;
          pauseMs *= 2;
        }
        await new Promise(resolve => setTimeout(resolve, POLL_MS));
      }
      if (!this.closed) this.fail(reason);
    } catch (error) {
      this.fail(error instanceof Error ? error.message : String(error));
    } finally {
      this.connecting = false;
    }
  }

  /** What only people can mend. Told at once; nobody waits. */
  private refuse(reason: string): void {
    this.refused = true;
    this.options.onError(reason);
    this.options.onChange();
  }

  private postpone(): void {
    this.retryAt = performance.now() + this.backoffMs;
    this.backoffMs = Math.min(this.backoffMs * 2, MAX_BACKOFF_MS);
  }

  private fail(reason: string): void {
    this.postpone();
    this.options.onError(`the bundled collector cannot be reached (${reason}); see ${this.paths.log}`);
  }

  private attach(): Promise<{ kind: 'attached' } | { kind: 'absent' | 'not yet'; reason: string }> {
    return new Promise(resolve => {
      let token: string;
      try {
        token = readFileSync(this.paths.token, 'utf8').trim();
      } catch (error) {
        resolve({ kind: 'absent', reason: (error as Error).message });
        return;
      }
      const { instanceId, run } = this.options;
      const query = new URLSearchParams({
        instance: instanceId,
        pid: String(process.pid),
        run: run.slice(0, MAX_RUN_CHARACTERS),
      });
      const request = http.get({
        path: `/kymo/v1/attach?${query}`,
        host: 'localhost',
        agent: new LocalAgent(this.address, token),
      });
      request.on('error', error => {
        const { code } = error as NodeJS.ErrnoException;
        const absent = code === 'ECONNREFUSED' || code === 'ENOENT';
        resolve({ kind: absent ? 'absent' : 'not yet', reason: error.message });
      });
      request.on('response', response => {
        if (response.statusCode !== 200) {
          response.resume();
          resolve({ kind: 'not yet', reason: `HTTP ${response.statusCode}` });
          return;
        }
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          if (this.attached === request || text.length > MAX_LINE_BYTES) return;
          text += chunk;
          const end = text.indexOf('\n');
          if (end < 0) return;
          const welcome = parseObject(text.slice(0, end)) as Partial<Welcome>;
          const { format = FORMAT_VERSION } = welcome;
          if (format !== FORMAT_VERSION) {
            request.destroy();
            // An older one that owns the journal drains and goes, and ours comes. A newer one has newer clients: it stays.
            if (format < FORMAT_VERSION) void this.post('/kymo/v1/stop', token);
            else this.refuse(`the collector of a newer Kymo (${welcome.version}) runs for this folder`);
            resolve({ kind: 'not yet', reason: `a collector of format ${format} is running` });
            return;
          }
          this.attached = request;
          this.target = { kind: 'local', address: this.address, token };
          resolve({ kind: 'attached' });
        });
        const gone = () => {
          resolve({ kind: 'not yet', reason: 'the connection was closed' });
          if (this.attached !== request) return;
          this.attached = undefined;
          this.target = undefined;
          if (!this.closed) this.options.onChange();
        };
        response.on('end', gone);
        response.on('error', gone);
        response.on('close', gone);
      });
    });
  }

  private spawnCollector(): void {
    mkdirSync(this.paths.root, { recursive: true, mode: 0o700 });
    const log = openSync(this.paths.log, 'a', 0o600);
    const script = import.meta.url.endsWith('.ts') ? '../cli/kymo.ts' : '../cli/kymo.js';
    const child = spawn(
      process.execPath,
      [
        ...COLLECTOR_NODE_FLAGS,
        fileURLToPath(new URL(script, import.meta.url)),
        'collector',
        '--embedded',
        '--directory',
        this.options.projectDirectory,
      ],
      {
        detached: true,
        stdio: ['ignore', log, log],
        cwd: this.options.projectDirectory,
        env: collectorEnvironment(process.env),
        windowsHide: true,
      },
    );
    this.starting = true;
    child.on('exit', code => {
      this.starting = false;
      if (code === 0 || code === null) return;
      // Told at once: whoever exits before the patience is over hears the reason too.
      const reason = lastError(this.paths.log) ?? `it ended with exit code ${code}`;
      const told = `the bundled collector does not start: ${reason}; see ${this.paths.log}`;
      if (code === EXIT_BAD_CONFIG) this.refuse(told);
      else this.options.onError(told);
    });
    child.on('error', error => {
      this.starting = false;
      this.options.onError(`the bundled collector cannot be started: ${error.message}`);
    });
    child.unref();
    closeSync(log);
  }

  private get(path: string, timeoutMs: number): Promise<{ status: number; body: string }> {
    const target = this.current();
    if (target === undefined || target.kind !== 'local') return Promise.resolve({ status: 0, body: '' });
    return exchange('GET', this.address, path, target.token, timeoutMs);
  }

  private post(path: string, token: string): Promise<{ status: number; body: string }> {
    return exchange('POST', this.address, path, token, 5_000);
  }
}

/** What the collector inherits: neither hooks for Node nor settings for OpenTelemetry, and a mark that makes register do nothing. */
function collectorEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const own: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(env))
    if (name !== 'NODE_OPTIONS' && !name.startsWith('OTEL_') && name !== 'KYMO_RUN_ID') own[name] = value;
  // The collector works in the project folder; a file beside the program is found all the same.
  const config = env.KYMO_CONFIG && resolve(env.KYMO_CONFIG);
  if (config && existsSync(config)) own.KYMO_CONFIG = config;
  own.KYMO_INTERNAL = '1';
  for (const [name, value] of Object.entries(COLLECTOR_ENVIRONMENT)) own[name] ??= value;
  // Whoever waits for its end shall not wait for clients that cannot come.
  if (diesWithUs(env)) own.KYMO_COLLECTOR_LINGER_MS ??= '0';
  return own;
}

/** The text of the last error in a collector's log; undefined where there is none. */
function lastError(log: string): string | undefined {
  try {
    const file = openSync(log, 'r');
    try {
      const { size } = fstatSync(file);
      const bytes = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES));
      readSync(file, bytes, 0, bytes.length, size - bytes.length);
      const errors = bytes
        .toString('utf8')
        .split('\n')
        .map(line => /^\S+\terror\t(.*)$/.exec(line)?.[1])
        .filter(text => text !== undefined);
      return errors.at(-1)?.slice(0, MAX_REASON_CHARACTERS);
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
}

function answers(address: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ path: address });
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

function exchange(
  method: string,
  address: string,
  path: string,
  token: string,
  timeoutMs: number,
): Promise<{ status: number; body: string }> {
  return new Promise(resolve => {
    const request = http.request(
      {
        method,
        path,
        host: 'localhost',
        agent: new LocalAgent(address, token),
      },
      response => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          if (body.length < MAX_LINE_BYTES * 16) body += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
        response.on('error', () => resolve({ status: 0, body: '' }));
      },
    );
    request.setTimeout(timeoutMs, () => request.destroy());
    request.on('error', () => resolve({ status: 0, body: '' }));
    request.end();
  });
}

/** The last error of the first exporter that is behind; empty where none has one. */
function obstacle(exporters: unknown, position: number): string {
  if (!Array.isArray(exporters)) return '';
  for (const exporter of exporters as Record<string, unknown>[]) {
    const { id, lastError } = exporter;
    if (Number(exporter.position) < position && typeof lastError === 'string')
      return `${id}: ${lastError.slice(0, MAX_REASON_CHARACTERS)}`;
  }
  return '';
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
