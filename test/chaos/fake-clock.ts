// A clock of the test's own for processes that it starts: libfaketime, from the system or unpacked from its Debian package.
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const INSTALLED = '/usr/lib/{*/faketime,faketime}/libfaketime.so.1';
const DOWNLOAD_TIMEOUT_MS = 60_000;

export class FakeClock {
  readonly env: Readonly<Record<string, string>>;
  readonly #file: string;

  constructor(home: string) {
    const library = find();
    if (library === undefined) throw new Error('there is no libfaketime');
    this.#file = join(home, 'clock');
    this.set(0);
    this.env = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: '1',
      // Timers of Node go by the monotonic clock, which no administrator sets.
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
  }

  /** Seconds by which the clock is wrong from now on. */
  set(seconds: number): void {
    writeFileSync(this.#file, `${seconds < 0 ? '' : '+'}${seconds}`);
  }
}

let found: string | false | undefined;
/** Why no clock can be faked here; undefined when one can. */
export function cannotFakeClock(): string | undefined {
  if (process.platform !== 'linux') return 'libfaketime is for Linux here';
  return find() === undefined
    ? 'libfaketime is not installed (Debian: libfaketime) and cannot be downloaded'
    : undefined;
}

function find(): string | undefined {
  if (found === undefined) found = globSync(INSTALLED)[0] ?? unpacked() ?? false;
  return found === false ? undefined : found;
}

/** Nothing is installed: the package is unpacked into a folder that goes when this process ends. */
function unpacked(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'kymo-chaos-faketime-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const run = (program: string, args: readonly string[]): boolean =>
    spawnSync(program, args, { cwd: folder, timeout: DOWNLOAD_TIMEOUT_MS }).status === 0;
  if (!run('apt-get', ['download', 'libfaketime'])) return undefined;
  const [package_] = globSync(join(folder, 'libfaketime_*.deb'));
  const root = join(folder, 'root');
  mkdirSync(root);
  if (package_ === undefined || !run('dpkg-deb', ['-x', package_, root])) return undefined;
  return globSync(join(root, INSTALLED)).find(path => existsSync(path));
}
