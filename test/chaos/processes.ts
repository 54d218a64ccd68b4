// Starts, finds, stops and kills the processes of one scenario. Whatever belongs to it names the scenario's folder in its command line.
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const KYMO = fileURLToPath(new URL('../../src/cli/kymo.ts', import.meta.url));
export const PRODUCER = fileURLToPath(new URL('./producer.ts', import.meta.url));
const DEADLINE_MS = 60_000;

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Child {
  readonly process: Pick<ChildProcess, 'pid' | 'kill'>;
  readonly ended: Promise<Ending>;
  readonly hasEnded: () => boolean;
  output(): string;
}

/** Runs one of the project's TypeScript files with this Node, or with a program around it. */
export function startNode(
  args: readonly string[],
  options: { cwd: string; env: Readonly<Record<string, string>>; wrapper?: readonly string[] },
): Child {
  const [program, ...rest] = [
    ...(options.wrapper ?? []),
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    ...args,
  ];
  const child = spawn(program!, rest, {
    cwd: options.cwd,
    env: { ...plainEnvironment(), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  let over = false;
  child.stdout.setEncoding('utf8').on('data', text => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text;
  });
  const ended = new Promise<Ending>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', () => {
      over = true;
    });
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return { process: child, ended, hasEnded: () => over, output: () => stdout + stderr };
}

/** A process that another one started and that is known by its pid only, once `pidOf` says it. */
export function foreignChild(pidOf: () => number | undefined, neverCame: () => boolean): Child {
  const hasEnded = (): boolean => {
    const pid = pidOf();
    return pid === undefined ? neverCame() : !processLives(pid);
  };
  return {
    process: {
      get pid() {
        return pidOf();
      },
      kill: name => {
        const pid = pidOf();
        return pid !== undefined && signal(pid, (name ?? 'SIGTERM') as NodeJS.Signals);
      },
    },
    ended: until('a child of a producer to end', () => hasEnded() || undefined, 120_000).then(() => ({
      code: null,
      signal: null,
      stdout: '',
      stderr: '',
    })),
    hasEnded,
    output: () => '',
  };
}

/** The first process that another one started, for wrappers that fork; undefined when it has none. */
export function firstChildOf(pid: number): number | undefined {
  try {
    const first = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0];
    return first === undefined || first === '' ? undefined : Number(first);
  } catch {
    return undefined;
  }
}

/** Neither gone nor a zombie that waits for its parent. */
function processLives(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** This process's environment without what would configure Kymo, OpenTelemetry or Node. */
function plainEnvironment(): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env))
    if (value !== undefined && !/^(KYMO_|OTEL_|NODE_OPTIONS|NODE_ENV|RANK|WORLD_SIZE|SLURM_)/.test(name))
      env[name] = value;
  return env;
}

/** Pids of the collectors that work for a folder, also of those that are just starting. */
export function collectorsOf(folder: string): number[] {
  return processesOf(folder)
    .filter(({ command }) => command.includes(KYMO))
    .map(({ pid }) => pid);
}

export function processesOf(folder: string): { readonly pid: number; readonly command: string }[] {
  const found: { pid: number; command: string }[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      if (command.includes(folder)) found.push({ pid, command });
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

export const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

/** Waits until the probe gives something; throws at the deadline, and says what it waited for. */
export async function until<T>(
  what: string,
  probe: () => T | undefined | Promise<T | undefined>,
  deadlineMs = DEADLINE_MS,
): Promise<T> {
  const giveUpAt = performance.now() + deadlineMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > giveUpAt) throw new Error(`timed out after ${deadlineMs} ms waiting for ${what}`);
    await pause(20);
  }
}
