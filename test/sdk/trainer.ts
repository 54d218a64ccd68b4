// Runs a small training script as a real process on Kymo's sources, and waits for how it ends.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Trainer {
  readonly child: ChildProcess;
  readonly ended: Promise<Ending>;
  /** Resolves when stdout contains the text. */
  said(text: string): Promise<void>;
}

/** A temporary project folder; `remove` waits for nothing. */
export function projectFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'kymo-sdk-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 5 }) };
}

/** `kymo` in the script is the public entry. */
export function train(project: string, script: string, env: Record<string, string> = {}): Trainer {
  const file = join(project, `train-${Math.random().toString(36).slice(2)}.ts`);
  writeFileSync(file, `import * as kymo from ${JSON.stringify(join(root, 'src/index.ts'))};\n${script}\n`);
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file], {
    cwd: project,
    // What a run says about its machine has tests of its own; in others it would be in every list of records.
    env: {
      ...cleanEnvironment(),
      KYMO_DIR: project,
      KYMO_SYSTEM_FACTS: '0',
      KYMO_SYSTEM_METRICS: '0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  const listeners: (() => void)[] = [];
  child.stdout.on('data', chunk => {
    stdout += chunk;
    for (const listener of listeners) listener();
  });
  child.stderr.on('data', chunk => {
    stderr += chunk;
  });
  return {
    child,
    ended: new Promise(resolve =>
      child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr })),
    ),
    said: text =>
      new Promise((resolve, reject) => {
        const look = () => stdout.includes(text) && resolve();
        listeners.push(look);
        child.on('close', () => reject(new Error(`ended before it said ${JSON.stringify(text)}: ${stderr}`)));
        look();
      }),
  };
}

/** The test runner's own environment without what would configure Kymo, OpenTelemetry or Node. */
function cleanEnvironment(): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env))
    if (value !== undefined && !/^(KYMO_|OTEL_|NODE_OPTIONS|NODE_ENV)/.test(name)) env[name] = value;
  return env;
}
