// Starting real programs for a test: a Kymo collector, upstream's, or anything that runs to its end.
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** To start, to stop, or to run to its end. */
const PATIENCE_MS = 60_000;
const POLL_MS = 50;
const KYMO = fileURLToPath(new URL('../../src/cli/kymo.ts', import.meta.url));

export interface Collector {
  /** Base URL of OTLP over HTTP. */
  readonly http: string;
  /** URL of OTLP over gRPC. */
  readonly grpc: string;
  /** What it printed so far. */
  output(): string;
  /** SIGTERM; resolves with the exit code once it is gone. */
  stop(): Promise<number | null>;
}

/** A configuration, given what its receiver is to listen on; written as JSON, which is YAML. */
export type Configure = (otlp: object) => object;

/** Variables that would change what a program under test does. */
const CLEAN: NodeJS.ProcessEnv = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(KYMO|OTEL|NODE_OPTIONS|NODE_ENV|JEST)/.test(name)),
);

export function temporaryFolder(): string {
  return fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-interop-'));
}

export function startKymoCollector(folder: string, configure: Configure): Promise<Collector> {
  return startCollector(folder, 'kymo', process.execPath, [KYMO, 'collector'], configure);
}

/** @param program built from test/interop/upstream-collector */
export function startUpstreamCollector(
  folder: string,
  program: string,
  configure: Configure,
): Promise<Collector> {
  return startCollector(folder, 'upstream', program, [], configure);
}

/** Runs a program to its end; rejects with its output when the exit code is not 0. */
export function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const child = spawn(program, args, {
    env: { ...CLEAN, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PATIENCE_MS,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', chunk => (stdout += chunk));
  child.stderr.on('data', chunk => (stderr += chunk));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve(stdout);
      else reject(new Error(`${path.basename(program)} ended with ${code ?? signal}: ${stderr}\n${stdout}`));
    });
  });
}

/** What standard error says is of interest for programs that log there. */
export function runLogged(program: string, args: readonly string[]): Promise<string> {
  return run('/bin/sh', ['-c', 'exec "$0" "$@" 2>&1', program, ...args]);
}

async function startCollector(
  folder: string,
  name: string,
  program: string,
  args: readonly string[],
  configure: Configure,
): Promise<Collector> {
  const [httpPort, grpcPort] = (await freePorts(2)) as [number, number];
  const otlp = {
    protocols: { http: { endpoint: `127.0.0.1:${httpPort}` }, grpc: { endpoint: `127.0.0.1:${grpcPort}` } },
  };
  const file = path.join(folder, `${name}.yaml`);
  fs.writeFileSync(file, JSON.stringify(configure(otlp), undefined, 2));
  const child = spawn(program, [...args, '--config', file], {
    cwd: folder,
    env: CLEAN,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', chunk => (output += chunk));
  child.stderr.on('data', chunk => (output += chunk));
  const collector: Collector = {
    http: `http://127.0.0.1:${httpPort}`,
    grpc: `http://127.0.0.1:${grpcPort}`,
    output: () => output,
    stop: () => stop(child),
  };
  try {
    await Promise.all([listening(httpPort, child), listening(grpcPort, child)]);
  } catch (error) {
    await stop(child);
    throw new Error(`${name} collector: ${(error as Error).message}\n${output}`);
  }
  return collector;
}

async function stop(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const gone = new Promise<number | null>(resolve => child.once('exit', code => resolve(code)));
  child.kill('SIGTERM');
  const kill = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
  const code = await gone;
  clearTimeout(kill);
  return code;
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await delay(POLL_MS)) {
    if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}`);
    if (await connects(port)) return;
  }
  throw new Error(`does not listen on port ${port}`);
}

function connects(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** Neither collector can say which port it got, so they are told; all are held at once, so that none comes twice. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<net.Server>(resolve => {
          const server = net.createServer().listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map(server => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))));
  return ports;
}
