// A client that writes HTTP/2 frames by hand, as attackers do. Frames: RFC 9113, section 4.1; header blocks: RFC 7541.
import { once } from 'node:events';
import net from 'node:net';

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  window: 8,
  continuation: 9,
} as const;
const GOAWAY = 7;
const END_HEADERS = 4;
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** Frames written at once. */
const BURST = 200;

export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const bytes = Buffer.alloc(9 + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, 9);
  return bytes;
}

/** A header as a literal without indexing; name and value have fewer than 127 bytes. */
export function header(name: string, value: string): Buffer {
  const length = (text: string) => Buffer.from([text.length]);
  return Buffer.concat([
    Buffer.from([0]),
    length(name),
    Buffer.from(name),
    length(value),
    Buffer.from(value),
  ]);
}

/** HEADERS that begin a gRPC call. */
export function callHeaders(
  stream: number,
  path: string,
  more: readonly Buffer[] = [],
  flags = END_HEADERS,
): Buffer {
  // 0x83 and 0x86 are :method POST and :scheme http of the static table.
  const block = [
    Buffer.from([0x83, 0x86]),
    header(':path', path),
    header('content-type', 'application/grpc'),
    header('te', 'trailers'),
  ];
  return frame(FRAME.headers, flags, stream, Buffer.concat([...block, ...more]));
}

export interface Flood {
  /** How many of the frames were written before the peer closed the connection. */
  readonly sent: number;
  readonly closed: boolean;
  /** Error code of the peer's GOAWAY, if it sent one. */
  readonly goaway: number | undefined;
}

/** Writes up to `count` pieces, as fast as the peer takes them, until it closes the connection or the deadline passes. */
export async function flood(
  port: number,
  piece: (i: number) => Buffer,
  options: { readonly count: number; readonly reads?: boolean; readonly deadlineMs?: number },
): Promise<Flood> {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await new Promise(resolve => socket.once('connect', resolve).once('close', resolve));
  let closed = false;
  const end = new Promise<void>(resolve =>
    socket.once('close', () => {
      closed = true;
      resolve();
    }),
  );
  const received = frames();
  if (options.reads !== false) socket.on('data', received.take);
  else socket.pause();
  socket.write(Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0)]));
  const giveUpAt = Date.now() + (options.deadlineMs ?? 20_000);
  let sent = 0;
  while (!closed && sent < options.count && Date.now() < giveUpAt) {
    const pieces: Buffer[] = [];
    for (; pieces.length < BURST && sent < options.count; sent++) pieces.push(piece(sent));
    const drained = socket.write(Buffer.concat(pieces)) || once(socket, 'drain').catch(() => {});
    await Promise.race([drained, end, new Promise(resolve => setTimeout(resolve, 1_000).unref())]);
    await new Promise(resolve => setImmediate(resolve));
  }
  const cutByUs = new Promise<boolean>(resolve =>
    setTimeout(() => resolve(true), giveUpAt - Date.now()).unref(),
  );
  const byPeer = await Promise.race([end.then(() => true), cutByUs.then(() => false)]);
  socket.destroy();
  return { sent, closed: byPeer, goaway: received.goaway() };
}

function frames() {
  let rest = Buffer.alloc(0);
  let code: number | undefined;
  return {
    take(chunk: Buffer): void {
      rest = Buffer.concat([rest, chunk]);
      for (;;) {
        if (rest.length < 9) return;
        const length = rest.readUIntBE(0, 3);
        if (rest.length < 9 + length) return;
        if (rest[3] === GOAWAY) code = rest.readUInt32BE(13);
        rest = rest.subarray(9 + length);
      }
    },
    goaway: () => code,
  };
}
