// Where the SDK and the collector of one project folder meet: the folder, the machine, the paths under `.kymo`, the local endpoint.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { hostname, tmpdir, userInfo } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';

/** Of what passes between SDK and collector and lies in `.kymo`. An older collector is asked to go; a newer one is left alone. */
export const FORMAT_VERSION = 1;
/** What an embedded collector ends with when its configuration cannot be used: starting it again will not help. */
export const EXIT_BAD_CONFIG = 2;
export const PROJECT_FOLDER = '.kymo';
/** Any of these makes a folder a project folder. */
const PROJECT_MARKS = [PROJECT_FOLDER, 'package.json', '.git'] as const;
/** Length of the part of a machine id that people read. */
const MAX_HOST_CHARACTERS = 20;

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where one machine keeps what belongs to one project folder. */
export interface LocalPaths {
  /** `<project>/.kymo/<machine id>`: two hosts on one shared file system never share a journal. */
  readonly root: string;
  readonly journal: string;
  /** Holds the secret that clients of the local endpoint show (mode 0600). */
  readonly token: string;
  /** Batches that no collector has acknowledged yet. */
  readonly spool: string;
  /** What the embedded collector prints. */
  readonly log: string;
}

/**
 * The project folder: `KYMO_DIR` when set, else the nearest ancestor of `cwd` (itself included) with `.kymo`,
 * `package.json` or `.git`, else `cwd`.
 */
export function findProjectDirectory(environment: Environment, cwd: string): string {
  const named = environment.KYMO_DIR;
  if (named !== undefined && named !== '') return resolve(cwd, named);
  const start = resolve(cwd);
  for (let folder = start; ; folder = dirname(folder)) {
    if (PROJECT_MARKS.some(mark => existsSync(join(folder, mark)))) return folder;
    if (dirname(folder) === folder) return start;
  }
}

/** Names this machine: its host name, readable, and a hash of host name and the system's own machine id. Safe as a file name. */
export function machineId(): string {
  const host = hostname();
  const readable = host
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  const hash = shortHash([host, systemMachineId()], 8);
  return readable === '' ? hash : `${readable.slice(0, MAX_HOST_CHARACTERS).replace(/-+$/, '')}-${hash}`;
}

/** The paths of this machine under a project folder. Nothing is created. */
export function paths(projectDirectory: string): LocalPaths {
  const root = join(projectDirectory, PROJECT_FOLDER, machineId());
  return {
    root,
    journal: join(root, 'journal'),
    token: join(root, 'token'),
    spool: join(root, 'spool'),
    log: join(root, 'collector.log'),
  };
}

/**
 * The key of the one collector that may own a journal, whatever its version: a hash of the journal folder's real path, the
 * user and the machine. The folder need not exist yet.
 */
export function collectorKey(journalDirectory: string): string {
  return shortHash([realPath(journalDirectory), userName(), machineId()], 24);
}

/**
 * The local endpoint of a key, as `net.listen({path})` and `net.connect({path})` take it. Binding it is exclusive, which
 * makes it the lock: an abstract socket on Linux, a named pipe on Windows, a short path in the temp folder elsewhere.
 */
export function localAddress(key: string): string {
  if (process.platform === 'linux') return `\0kymo-${key}`;
  if (process.platform === 'win32') return `\\\\.\\pipe\\kymo-${key}`;
  return join(tmpdir(), `kymo-${key}.sock`);
}

/** `realpath` of a path whose last parts may not exist yet. */
export function realPath(path: string): string {
  const absolute = resolve(path);
  try {
    return realpathSync.native(absolute);
  } catch {
    const parent = dirname(absolute);
    return parent === absolute ? absolute : join(realPath(parent), basename(absolute));
  }
}

function shortHash(parts: readonly string[], digits: number): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, digits);
}

function userName(): string {
  const uid = process.getuid?.();
  return uid === undefined ? userInfo().username : String(uid);
}

/** The operating system's id of this installation; empty where it has none (images often share one, so the host name counts too). */
function systemMachineId(): string {
  for (const file of ['/etc/machine-id', '/var/lib/dbus/machine-id']) {
    try {
      return readFileSync(file, 'utf8').trim();
    } catch {
      // Not there: the next one, or none.
    }
  }
  return '';
}
