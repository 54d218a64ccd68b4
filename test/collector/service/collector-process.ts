// Starts a real `kymo` process for tests, and talks to it over HTTP.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const KYMO = resolve('src/cli/kymo.ts');
const DEADLINE_MS = 15_000;

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'kymo-service-'));
}
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
export interface KymoProcess {
  readonly child: ChildProcess;
  output(): string;
  readonly ended: Promise<Run>;
}

export function startKymo(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): KymoProcess {
  const child = spawn(process.execPath, [KYMO, ...args], {
    cwd,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', text => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text;
  });
  const ended = new Promise<Run>(done => child.on('close', code => done({ code, stdout, stderr })));
  return { child, ended, output: () => stdout + stderr };
}

export function runKymo(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): Promise<Run> {
  return startKymo(args, cwd, env).ended;
}

/** Waits for a condition, with a deadline; what it returned last is what the caller gets. */
export async function until<T>(
  what: string,
  probe: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const giveUpAt = Date.now() + DEADLINE_MS;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > giveUpAt) throw new Error(`timed out waiting for ${what}`);
    await new Promise(next => setTimeout(next, 20));
  }
}

export async function untilReady(kymo: KymoProcess): Promise<void> {
  await until('the collector', () => {
    if (kymo.child.exitCode !== null) throw new Error(`it ended: ${kymo.output()}`);
    return /everything is ready|collector started/.test(kymo.output()) || undefined;
  });
}

/** `host:port` of the first address logged after these words. */
export function loggedAddress(kymo: KymoProcess, words: string): string {
  const found = new RegExp(`${words} (?:http://)?(127\\.0\\.0\\.1:\\d+)`).exec(kymo.output())?.[1];
  if (found === undefined) throw new Error(`no "${words}" in ${kymo.output()}`);
  return found;
}

export function call(
  options: http.RequestOptions,
  body?: string,
): Promise<{ readonly status: number; readonly body: string; readonly headers: http.IncomingHttpHeaders }> {
  return new Promise((done, failed) => {
    const request = http.request({ agent: false, ...options }, response => {
      let text = '';
      response.setEncoding('utf8').on('data', chunk => {
        text += chunk;
      });
      response.on('end', () =>
        done({ status: response.statusCode ?? 0, body: text, headers: response.headers }),
      );
    });
    request.on('error', failed);
    request.end(body);
  });
}

/** One scalar point as OTLP JSON. */
export function pointRequest(run: string, name: string, step: number, value: number): string {
  const time = String(1_700_000_000_000_000_000n + BigInt(step) * 1_000_000_000n);
  const attribute = (key: string, text: string) => ({ key, value: { stringValue: text } });
  const exemplar = {
    timeUnixNano: time,
    asDouble: value,
    filteredAttributes: [{ key: 'kymo.step', value: { intValue: String(step) } }],
  };
  return JSON.stringify({
    resourceMetrics: [
      {
        resource: { attributes: [attribute('service.name', 'p'), attribute('kymo.run.id', run)] },
        scopeMetrics: [
          {
            scope: { name: 't' },
            metrics: [
              {
                name,
                gauge: { dataPoints: [{ timeUnixNano: time, asDouble: value, exemplars: [exemplar] }] },
              },
            ],
          },
        ],
      },
    ],
  });
}

/** A lifecycle event of an instance as OTLP JSON. */
export function eventRequest(run: string, instance: string, eventName: string, state: string): string {
  const attribute = (key: string, text: string) => ({ key, value: { stringValue: text } });
  return JSON.stringify({
    resourceLogs: [
      {
        resource: {
          attributes: [
            attribute('service.name', 'p'),
            attribute('service.instance.id', instance),
            attribute('kymo.run.id', run),
          ],
        },
        scopeLogs: [
          {
            scope: { name: 't' },
            logRecords: [
              {
                timeUnixNano: '1700000000000000000',
                eventName,
                attributes: [attribute('kymo.run.state', state)],
              },
            ],
          },
        ],
      },
    ],
  });
}

export function postJson(address: string, path: string, body: string) {
  const [host, port] = address.split(':');
  return call({ host, port, path, method: 'POST', headers: { 'content-type': 'application/json' } }, body);
}

export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
