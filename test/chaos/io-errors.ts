// Writes that fail with EIO in one folder for a while: a small library of the test's own stands between a process and the system.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('./eio.c', import.meta.url));

export class IoErrors {
  readonly env: Readonly<Record<string, string>>;
  readonly #switch: string;

  /** @param home where its own files go: not below `folder`, which is the one that fails */
  constructor(home: string, folder: string) {
    this.#switch = join(home, 'eio-on');
    const library = join(home, 'eio.so');
    const problem = build(library);
    if (problem !== undefined) throw new Error(problem);
    this.env = { LD_PRELOAD: library, KYMO_EIO_FOLDER: folder, KYMO_EIO_SWITCH: this.#switch };
  }

  on(): void {
    writeFileSync(this.#switch, '');
  }
  off(): void {
    rmSync(this.#switch, { force: true });
  }
}

let reason: string | false | undefined;
/** Why the library cannot be built here; undefined when it can. */
export function cannotFailWrites(): string | undefined {
  if (reason === undefined) {
    const folder = mkdtempSync(join(tmpdir(), 'kymo-chaos-eio-'));
    reason =
      process.platform === 'linux'
        ? (build(join(folder, 'eio.so')) ?? false)
        : 'only Linux preloads libraries this way';
    rmSync(folder, { recursive: true });
  }
  return reason === false ? undefined : reason;
}

function build(library: string): string | undefined {
  const args = ['-shared', '-fPIC', '-O1', '-o', library, SOURCE, '-ldl'];
  const { status, stderr, error } = spawnSync('cc', args, { encoding: 'utf8' });
  return status === 0 ? undefined : `no C compiler that works: ${error?.message ?? stderr.trim()}`;
}
