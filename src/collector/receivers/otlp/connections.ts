// The connections of one end of a receiver: how many there may be, from one address too, and which of them only keep us busy.
import type net from 'node:net';

/** A machine's trainers keep one connection each; far more are a mistake or an attack. */
export const MAX_CONNECTIONS = 1024;
/** So that one address, behind which may be a whole cluster, leaves half of them to everybody else. */
export const MAX_CONNECTIONS_PER_ADDRESS = MAX_CONNECTIONS / 2;
/** A gRPC client asks now and then whether we are still there, which takes 17 bytes. This much without any call is a flood of frames. */
export const MAX_IDLE_BYTES = 64 * 1024;
const LOOK_INTERVAL_MS = 1_000;

interface Connection {
  /** Calls under way, and since the last look. */
  calls: number;
  begun: number;
  bytesSeen: number;
  readonly openedAt: number;
}

export class Connections {
  readonly #sockets = new Map<net.Socket, Connection>();
  readonly #byPeer = new Map<string, net.Socket>();
  readonly #perAddress = new Map<string, number>();
  readonly #maxPerAddress: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(maxPerAddress = MAX_CONNECTIONS_PER_ADDRESS) {
    this.#maxPerAddress = maxPerAddress;
  }

  /** Takes a new connection, or ends it because its address has enough of them. Those of unix sockets have none and are not counted. */
  admit(socket: net.Socket): boolean {
    const { remoteAddress: address, remotePort: port } = socket;
    if (address !== undefined) {
      const count = (this.#perAddress.get(address) ?? 0) + 1;
      if (count > this.#maxPerAddress) {
        socket.destroy();
        return false;
      }
      this.#perAddress.set(address, count);
    }
    const peer = `${address}:${port}`;
    this.#sockets.set(socket, { calls: 0, begun: 0, bytesSeen: 0, openedAt: performance.now() });
    if (address !== undefined) this.#byPeer.set(peer, socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      if (address === undefined) return;
      this.#byPeer.delete(peer);
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left > 0) this.#perAddress.set(address, left);
      else this.#perAddress.delete(address);
    });
    return true;
  }

  /** A call of a peer (`address:port`) begins; returns what to call at its end. */
  callOf(peer: string): () => void {
    const socket = this.#byPeer.get(peer);
    const connection = socket && this.#sockets.get(socket);
    if (connection === undefined) return () => {};
    connection.calls++;
    connection.begun++;
    return () => {
      connection.calls--;
    };
  }

  cut(peer: string): void {
    this.#byPeer.get(peer)?.destroy();
  }

  cutAll(): void {
    for (const socket of this.#sockets.keys()) socket.destroy();
  }

  /**
   * From now on ends connections that send nothing at all for `silentMs` after they were opened (0: no end), and those that send
   * frames without any call. `onCut` hears why.
   */
  watch(silentMs: number, onCut: (reason: 'slow' | 'flood') => void): void {
    this.#timer = setInterval(() => {
      const now = performance.now();
      for (const [socket, connection] of this.#sockets) {
        const received = socket.bytesRead - connection.bytesSeen;
        connection.bytesSeen = socket.bytesRead;
        const isIdle = connection.calls === 0 && connection.begun === 0;
        connection.begun = 0;
        const isSilent = silentMs > 0 && socket.bytesRead === 0 && now - connection.openedAt > silentMs;
        if (!isSilent && !(isIdle && received > MAX_IDLE_BYTES)) continue;
        onCut(isSilent ? 'slow' : 'flood');
        socket.destroy();
      }
    }, LOOK_INTERVAL_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
