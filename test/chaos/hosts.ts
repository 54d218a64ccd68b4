// Another computer, as far as Linux can make one of a process: its own network, host name, process numbers and machine id.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { firstChildOf, until } from './processes.ts';

const NAMESPACES = ['--mount', '--net', '--uts', '--pid', '--fork', '--mount-proc', '--kill-child'];

export class Host {
  readonly name: string;
  readonly #machineId: string;
  #holder: ChildProcess | undefined;
  #init = 0;

  /** @param home where its machine id is written */
  constructor(name: string, home: string) {
    this.name = name;
    this.#machineId = join(home, `machine-id-${name}`);
    writeFileSync(this.#machineId, `${randomBytes(16).toString('hex')}\n`);
  }

  /** The first time, or after its power was cut. */
  async start(): Promise<void> {
    const script = 'hostname "$0" && mount --bind "$1" /etc/machine-id && echo up && exec sleep 200';
    const holder = spawn('unshare', [...NAMESPACES, 'sh', '-c', script, this.name, this.#machineId], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#holder = holder;
    let said = '';
    holder.stdout.setEncoding('utf8').on('data', text => {
      said += text;
    });
    await until(`the host ${this.name} to be up`, () => {
      if (holder.exitCode !== null) throw new Error(`the host ${this.name} did not come up`);
      return said.includes('up') || undefined;
    });
    this.#init = firstChildOf(holder.pid!)!;
  }

  /** Put before a command, runs it there. */
  get wrapper(): readonly string[] {
    return ['nsenter', '--target', String(this.#init), '--mount', '--net', '--uts', '--pid', '--'];
  }

  /** Pulls the plug: everything on it dies at once. */
  kill(): void {
    this.#holder?.kill('SIGKILL');
  }
}

let reason: string | false | undefined;
/** Why there can be no other hosts here; undefined when there can. */
export function cannotMakeHosts(): string | undefined {
  if (reason === undefined) {
    const script = 'hostname other && mount --bind /etc/hostname /etc/machine-id';
    const { status, stderr, error } = spawnSync('unshare', [...NAMESPACES, 'sh', '-c', script], {
      encoding: 'utf8',
    });
    reason = status === 0 ? false : `no namespaces of our own: ${error?.message ?? stderr.trim()}`;
  }
  return reason === false ? undefined : reason;
}
