// A tmpfs of the test's own: small, so that it can be full; real, so that the errors are.
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FILLER = '.filler';
const BLOCK = Buffer.alloc(64 * 1024);

export class SmallDisk {
  readonly folder: string;
  #mounted = false;

  /** Mounts it over a folder, which is made. */
  constructor(folder: string, mebibytes: number) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    const error = mount(['-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=0755`, 'tmpfs', folder]);
    if (error !== undefined) throw new Error(error);
    this.#mounted = true;
  }

  /** Takes all the room that is left. */
  fill(): void {
    const fd = openSync(join(this.folder, FILLER), 'a');
    try {
      for (const size of [BLOCK.length, 4096, 1]) {
        try {
          for (;;) writeSync(fd, BLOCK, 0, size);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        }
      }
    } finally {
      closeSync(fd);
    }
  }
  free(): void {
    rmSync(join(this.folder, FILLER), { force: true });
  }

  readOnly(on: boolean): void {
    const error = mount(['-o', `remount,${on ? 'ro' : 'rw'}`, this.folder]);
    if (error !== undefined) throw new Error(error);
  }

  remove(): void {
    if (this.#mounted) spawnSync('umount', ['-l', this.folder]);
    this.#mounted = false;
  }
}

let reason: string | false | undefined;
/** Why no disk can be mounted here; undefined when one can. */
export function cannotMount(): string | undefined {
  if (reason === undefined) {
    const folder = mkdtempSync(join(tmpdir(), 'kymo-chaos-mount-'));
    reason =
      process.platform === 'linux'
        ? (mount(['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]) ?? false)
        : 'only Linux has tmpfs';
    if (reason === false) spawnSync('umount', ['-l', folder]);
    rmSync(folder, { recursive: true, force: true });
  }
  return reason === false ? undefined : reason;
}

function mount(args: readonly string[]): string | undefined {
  const { status, stderr, error } = spawnSync('mount', args, { encoding: 'utf8' });
  if (status === 0) return undefined;
  return `mount: ${error?.message ?? stderr.trim()}`;
}
