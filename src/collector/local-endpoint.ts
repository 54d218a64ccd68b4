// Binds the local endpoint of a collector's key. The bind is exclusive, and so it is the collector's lock.
import type net from 'node:net';
import { localAddress } from '../semconv/local.ts';
import { bindSocketFile } from './listen.ts';

/** An abstract name has 107 bytes on Linux; ours is far shorter, and anything longer is a mistake. */
const MAX_KEY_CHARACTERS = 64;
const KEY = /^[A-Za-z0-9_-]+$/;

/** The address of a collector key, for both ends; a client connects with `LocalAgent` or `connectLocal`. */
export function localEndpoint(key: string): string {
  if (key.length > MAX_KEY_CHARACTERS || !KEY.test(key)) {
    throw new Error(`not a collector key: ${JSON.stringify(key.slice(0, MAX_KEY_CHARACTERS))}`);
  }
  return localAddress(key);
}

/** Binds `address`; `taken` when another process holds it. Any other failure throws. */
export async function bindLocalEndpoint(server: net.Server, address: string): Promise<'bound' | 'taken'> {
  if (isFile(address)) return (await bindSocketFile(server, address)) ? 'bound' : 'taken';
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      server.off('listening', listening);
      // A named pipe of somebody else answers EACCES.
      if (error.code === 'EADDRINUSE' || (process.platform === 'win32' && error.code === 'EACCES'))
        resolve('taken');
      else reject(error);
    };
    const listening = (): void => {
      server.off('error', failed);
      resolve('bound');
    };
    server.once('error', failed);
    server.once('listening', listening);
    server.listen({ path: address, exclusive: true });
  });
}

/** Abstract sockets and named pipes vanish with their process; a socket file stays behind and needs the connect test. */
function isFile(address: string): boolean {
  return !address.startsWith('\0') && !address.startsWith('\\\\.\\pipe\\');
}
