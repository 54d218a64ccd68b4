// Binds servers to endpoints: both loopback addresses for `localhost`, unix sockets that only their owner may open, and errors that say what to do.
import { chmodSync, lstatSync, mkdirSync, rmdirSync, statSync, unlinkSync } from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread } from 'node:worker_threads';
import { type Endpoint, formatEndpoint } from './config/values.ts';

export type ListenTarget =
  | { readonly transport: 'tcp'; readonly endpoint: Endpoint }
  | { readonly transport: 'unix'; readonly path: string };

export interface Listening {
  /** One server per address, already accepting. */
  readonly servers: readonly net.Server[];
  /** `127.0.0.1:4318`, `[::1]:4318` or the socket's path. */
  readonly addresses: readonly string[];
  /** The TCP port, the same on every address; 0 for a unix socket. */
  readonly port: number;
}

/** An endpoint that cannot be listened on. The message names the endpoint, the setting and the way out. */
export class ListenError extends Error {
  readonly code: string | undefined;
  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.name = 'ListenError';
    this.code = errorCode(cause);
  }
}

/** `sun_path` holds 108 bytes on Linux and 104 elsewhere, one of them the closing zero. */
const MAX_SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103;
/** With port 0 the second loopback address must get the first one's port; somebody else may have it, then another port is tried. */
const MAX_PORT_ATTEMPTS = 10;
/** Whoever takes a socket over holds a lock for a few milliseconds; one that is older was left behind by a killed process. */
const LOCK_STALE_MS = 10_000;
const LOCK_WAIT_MS = 20;
/** Longest wait for a peer that may or may not live behind a socket file. */
const PROBE_TIMEOUT_MS = 1_000;

/**
 * Listens on `target` with as many servers as it has addresses. `setting` names the setting to change in an error.
 * Throws `ListenError`; nothing stays bound then.
 */
export async function listenOn(
  target: ListenTarget,
  makeServer: () => net.Server,
  setting: string,
): Promise<Listening> {
  if (target.transport === 'unix') {
    const server = makeServer();
    try {
      if (!(await bindSocketFile(server, target.path))) {
        throw Object.assign(new Error('another process answers there'), { code: 'EADDRINUSE' });
      }
    } catch (error) {
      throw new ListenError(explain(target.path, setting, error), error);
    }
    return { servers: [server], addresses: [target.path], port: 0 };
  }
  const { host, port } = target.endpoint;
  try {
    return host === 'localhost'
      ? await listenOnLoopback(port, makeServer)
      : await listenOnHosts([host], port, makeServer);
  } catch (error) {
    throw new ListenError(explain(formatEndpoint(target.endpoint), setting, error), error);
  }
}

/**
 * Binds a unix socket as a file with mode 0600, replacing one that nobody answers on. False when somebody does.
 * The test and the replacement happen under a lock, so that of two starters exactly one wins.
 */
export async function bindSocketFile(server: net.Server, path: string): Promise<boolean> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new Error(`the path of a unix socket has at most ${MAX_SOCKET_PATH_BYTES} bytes`);
  }
  const release = await takeLock(`${path}.lock`);
  try {
    if (existsAsSocket(path)) {
      if (await somebodyAnswers(path)) return false;
      unlinkSync(path);
    }
    await listenPrivately(server, path);
    chmodSync(path, 0o600);
    return true;
  } finally {
    release();
  }
}

/** True when this address is reachable from this machine only. */
export function isLoopback(host: string): boolean {
  return (
    host === 'localhost' ||
    host === '::1' ||
    host === '0:0:0:0:0:0:0:1' ||
    (net.isIPv4(host) && host.startsWith('127.'))
  );
}

async function listenOnLoopback(port: number, makeServer: () => net.Server): Promise<Listening> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await listenOnHosts(['127.0.0.1', '::1'], port, makeServer);
    } catch (error) {
      if (port !== 0 || errorCode(error) !== 'EADDRINUSE' || attempt === MAX_PORT_ATTEMPTS) throw error;
    }
  }
}

async function listenOnHosts(
  hosts: readonly string[],
  port: number,
  makeServer: () => net.Server,
): Promise<Listening> {
  const servers: net.Server[] = [];
  const addresses: string[] = [];
  let boundPort = port;
  try {
    for (const host of hosts) {
      const server = makeServer();
      try {
        // An empty host is every interface, IPv6 and IPv4 in one socket where the system can.
        await listen(server, host === '' ? { port: boundPort } : { host, port: boundPort });
      } catch (error) {
        if (servers.length > 0 && isAbsentFamily(error)) continue;
        throw error;
      }
      servers.push(server);
      const address = server.address() as net.AddressInfo;
      boundPort = address.port;
      addresses.push(formatEndpoint({ host: address.address, port: address.port }));
    }
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  return { servers, addresses, port: boundPort };
}

function listen(server: net.Server, options: net.ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => {
      server.off('listening', listening);
      reject(error);
    };
    const listening = (): void => {
      server.off('error', failed);
      resolve();
    };
    server.once('error', failed);
    server.once('listening', listening);
    // `exclusive`: a cluster worker must not share a port that it means to own.
    server.listen({ ...options, exclusive: true });
  });
}

/** The file is made with the mode that it keeps: between making and changing it somebody else could connect. */
function listenPrivately(server: net.Server, path: string): Promise<void> {
  const before = isMainThread ? process.umask(0o177) : undefined;
  try {
    // The name is bound before this returns.
    return listen(server, { path });
  } finally {
    if (before !== undefined) process.umask(before);
  }
}

async function takeLock(path: string): Promise<() => void> {
  const giveUpAt = Date.now() + 2 * LOCK_STALE_MS;
  for (;;) {
    try {
      mkdirSync(path, 0o700);
      return () => rmdirSync(path);
    } catch (error) {
      if (errorCode(error) !== 'EEXIST' || Date.now() > giveUpAt) throw error;
    }
    try {
      if (Date.now() - statSync(path).mtimeMs > LOCK_STALE_MS) rmdirSync(path);
      else await sleep(LOCK_WAIT_MS);
    } catch {
      // Its owner was faster: try again at once.
    }
  }
}

function existsAsSocket(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (!found.isSocket()) throw new Error('something that is no socket has this name');
  return true;
}

function somebodyAnswers(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect({ path });
    const done = (answers: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answers);
    };
    // Whoever does not answer in time may be busy: its socket stays.
    const timer = setTimeout(() => done(true), PROBE_TIMEOUT_MS);
    socket.once('connect', () => done(true));
    socket.once('error', error => done(!['ECONNREFUSED', 'ENOENT'].includes(errorCode(error) ?? '')));
  });
}

function isAbsentFamily(error: unknown): boolean {
  return ['EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL'].includes(errorCode(error) ?? '');
}

function errorCode(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}

function explain(where: string, setting: string, error: unknown): string {
  switch (errorCode(error)) {
    case 'EADDRINUSE':
      return `${setting}: ${where} is in use by another process; stop that one, or set ${setting} to another address`;
    case 'EACCES':
      return `${setting}: no permission to listen on ${where}; take a port above 1023 or a folder of your own`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${setting}: ${where} is no address of this machine; use localhost, 0.0.0.0 or one of its own addresses`;
    case 'ENOENT':
      return `${setting}: the folder of ${where} does not exist; create it first`;
    default:
      return `${setting}: cannot listen on ${where}: ${error instanceof Error ? error.message : String(error)}`;
  }
}
