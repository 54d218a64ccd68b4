// Runs an example as a user would, as a process of its own in a project folder of its own, and reads what it wrote.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));
const FROM_SOURCES = new URL('./from-sources.js', import.meta.url).href;
const PATIENCE_MS = 60_000;

export type Line = Readonly<Record<string, unknown>>;

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The one run that it wrote. */
  readonly run: RunFolder;
}

export interface RunFolder {
  readonly path: string;
  readonly json: (file: string) => Line;
  readonly lines: (file: 'metrics.jsonl' | 'logs.jsonl' | 'spans.jsonl') => Line[];
  readonly eventFiles: () => string[];
}

export class Project {
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-example-'));

  /** Fails when the example does, or when it does not write exactly one run. */
  async run(example: string, ...args: string[]): Promise<Outcome> {
    const { code, stdout, stderr } = await this.start(example, ...args);
    if (code !== 0) throw new Error(`${example} ended with ${code}\n${stderr}\n${stdout}`);
    const runs = fs.readdirSync(path.join(this.folder, 'runs'));
    if (runs.length !== 1) throw new Error(`${example} wrote ${runs.length} runs: ${runs}`);
    return { code, stdout, stderr, run: runFolder(path.join(this.folder, 'runs', runs[0]!)) };
  }

  start(
    example: string,
    ...args: string[]
  ): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const child = spawn(
      process.execPath,
      ['--import', FROM_SOURCES, path.resolve(EXAMPLES, example), ...args],
      {
        cwd: this.folder,
        env: { ...cleanEnvironment(), KYMO_DIR: this.folder },
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: PATIENCE_MS,
      },
    );
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', chunk => {
      stdout += chunk;
    });
    child.stderr.on('data', chunk => {
      stderr += chunk;
    });
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', code => resolve({ code, stdout, stderr }));
    });
  }

  /** The embedded collector outlives the example by a moment; the folder goes when it has gone. */
  async remove(): Promise<void> {
    for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await delay(50)) {
      if (!usedBySomeone(this.folder)) break;
    }
    fs.rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function runFolder(folder: string): RunFolder {
  const read = (file: string) => fs.readFileSync(path.join(folder, file), 'utf8');
  return {
    path: folder,
    json: file => JSON.parse(read(file)) as Line,
    lines: file =>
      read(path.join('logs', file))
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line) as Line),
    eventFiles: () => fs.readdirSync(folder).filter(name => name.includes('tfevents')),
  };
}

/** Whether a process has the folder on its command line (Linux; elsewhere the folder is removed at once, with retries). */
function usedBySomeone(folder: string): boolean {
  if (process.platform !== 'linux') return false;
  return fs
    .readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .some(pid => {
      try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder);
      } catch {
        return false; // it has gone meanwhile
      }
    });
}

function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(KYMO|OTEL|NODE_ENV|RANK)/.test(name)),
  );
}
