// The processes that a benchmark starts and watches: programs that print one line of JSON, a null sink, a collector; their CPU time and memory.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { askCollector, type CollectorPlace } from '../src/cli/local-client.ts';

/** The slowest peer on a busy machine. */
const PATIENCE_MS = 300_000;
const READY_MS = 30_000;
const POLL_MS = 10;
/** One request for progress waits for less than the client's own limit. */
const PROGRESS_MS = 4_000;
/** What Linux counts CPU time in, everywhere. */
const TICKS_PER_SECOND = 100;

export const KYMO = fileURLToPath(new URL('../dist/cli/kymo.js', import.meta.url));
export const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

/** Variables that would change what is measured. */
export const CLEAN: NodeJS.ProcessEnv = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(KYMO|OTEL|WANDB|GOGGLES|NODE_)/.test(name)),
);

const folders: string[] = [];
process.once('exit', () => {
  for (const folder of folders) fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** Removed when this process ends. */
export function temporaryFolder(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-bench-'));
  folders.push(folder);
  return folder;
}

/** Runs a program to its end and parses the last line that it prints. */
export async function measured<T>(
  command: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Promise<T> {
  const { child, output, ended } = start(command, options);
  const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
  const code = await ended;
  clearTimeout(timer);
  const line = output.stdout.trim().split('\n').at(-1) ?? '';
  if (code !== 0 || !line.startsWith('{'))
    throw new Error(
      `${command.slice(0, 3).join(' ')} ended with ${code}: ${(output.stderr || output.stdout).slice(-2000)}`,
    );
  return JSON.parse(line) as T;
}

export interface Started {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly output: { stdout: string; stderr: string };
  readonly ended: Promise<number | string>;
  /** SIGTERM; resolves when it has gone. */
  stop(): Promise<number | string>;
}

export function start(
  command: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Started {
  const child = spawn(command[0]!, command.slice(1), {
    env: { ...CLEAN, ...options.env },
    cwd: options.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', chunk => (output.stdout += chunk));
  child.stderr.on('data', chunk => (output.stderr += chunk));
  const ended = new Promise<number | string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? signal ?? -1));
  });
  return {
    child,
    pid: child.pid ?? -1,
    output,
    ended,
    stop: () => {
      child.kill('SIGTERM');
      return ended;
    },
  };
}

/** `taskset -c 0` and the other core, where there are two and Linux; nothing elsewhere. */
export function pinned(core: 0 | 1): string[] {
  const works = os.cpus().length >= 2 && spawnSync('taskset', ['-c', '0,1', 'true']).status === 0;
  return works ? ['taskset', '-c', String(core)] : [];
}

/** An OTLP/HTTP server in its own process that answers 200 to everything and keeps nothing. */
export async function startNullSink(): Promise<{ readonly url: string; stop(): Promise<unknown> }> {
  const sink = start([process.execPath, here('null-sink.ts')]);
  await until('the null sink', () => sink.output.stdout.includes('\n'));
  return { url: `http://127.0.0.1:${sink.output.stdout.trim()}`, stop: sink.stop };
}

export interface BenchCollector {
  readonly pid: number;
  readonly url: string;
  /** Waits until all that was acknowledged is durably in the files of every exporter. */
  written(): Promise<void>;
  stop(): Promise<unknown>;
}

/** A Kymo collector of its own with the file exporters, in `folder`. */
export async function startCollector(folder: string, prefix: readonly string[]): Promise<BenchCollector> {
  const port = await freePort();
  const config = path.join(folder, 'collector.json');
  const journal = path.join(folder, 'journal');
  const pipeline = { receivers: ['otlp'], exporters: ['jsonl', 'tensorboard'] };
  fs.writeFileSync(
    config,
    JSON.stringify({
      receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } } },
      exporters: { jsonl: { directory: 'runs' }, tensorboard: { directory: 'runs' } },
      extensions: { journal: { directory: journal } },
      service: {
        extensions: ['journal'],
        pipelines: {
          metrics: pipeline,
          logs: pipeline,
          traces: { receivers: ['otlp'], exporters: ['jsonl'] },
        },
      },
    }),
  );
  const collector = start([...prefix, process.execPath, KYMO, 'collector', '--config', config], {
    cwd: folder,
  });
  await listening(port, collector);
  const place: CollectorPlace = { journal, tokenFile: path.join(journal, 'token') };
  return {
    pid: collector.pid,
    url: `http://127.0.0.1:${port}`,
    stop: collector.stop,
    written: async () => {
      const status = (await askCollector([place], '/kymo/v1/status')) as { journal: { end: number } };
      await reached(place, status.journal.end, collector);
    },
  };
}

async function reached(place: CollectorPlace, position: number, collector: Started): Promise<void> {
  const path = `/kymo/v1/progress?position=${position}&timeout_ms=${PROGRESS_MS}`;
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; ) {
    const answer = (await askCollector([place], path)) as { reached?: boolean } | undefined;
    if (answer?.reached === true) return;
  }
  throw new Error(`the collector has not written everything: ${collector.output.stderr.slice(-2000)}`);
}

export async function listening(port: number, server: Started): Promise<void> {
  let gone = false;
  void server.ended.then(() => (gone = true));
  await until('a collector', async () => {
    if (gone) throw new Error(`the collector ended: ${server.output.stderr}${server.output.stdout}`);
    return connects(port);
  });
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + READY_MS; Date.now() < deadline; await delay(POLL_MS))
    if (await condition()) return;
  throw new Error(`${what} is not ready after ${READY_MS} ms`);
}

function connects(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export function freePort(): Promise<number> {
  return new Promise(resolve => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** CPU seconds of all threads of a process so far; NaN where there is no /proc. */
export function cpuSeconds(pid: number): number {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  } catch {
    return Number.NaN;
  }
}

/** Bytes of memory in use now and at most so far; NaN where there is no /proc. */
export function memoryOf(pid: number): { readonly now: number; readonly most: number } {
  try {
    const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
    const field = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
    return { now: field('VmRSS'), most: field('VmHWM') };
  } catch {
    return { now: Number.NaN, most: Number.NaN };
  }
}
