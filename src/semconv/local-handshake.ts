// Who connects to a local endpoint and who answers there prove to each other that they know the token, without showing it:
// an abstract socket's name is anybody's to bind, also before the collector does.
//
// client → `kymo-local 1 <nonce>\n`, server → `<nonce> <proof>\n`, client → `<proof>\n`; then HTTP. A proof is an HMAC-SHA256 with
// the token as its key over who proves and both nonces, so that neither side's proof can be sent back as the other's.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { Agent, type AgentOptions } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** `code` of the error of a connection to somebody who does not know the token. */
export const STRANGER = 'ESTRANGER';

const NONCE_BYTES = 16;
const GREETING = 'kymo-local 1 ';
const NONCE_CHARACTERS = NONCE_BYTES * 2;
const PROOF_CHARACTERS = 64;
const GREETING_BYTES = GREETING.length + NONCE_CHARACTERS + 1;
const ANSWER_BYTES = NONCE_CHARACTERS + 1 + PROOF_CHARACTERS + 1;
const PROOF_BYTES = PROOF_CHARACTERS + 1;
/** Both ends are processes of this machine; who takes longer does not mean to answer. */
const TIMEOUT_MS = 10_000;
const LINGER_MS = 1_000;

/** HTTP to a local endpoint: each connection begins with the handshake. */
export class LocalAgent extends Agent {
  readonly #address: string;
  readonly #token: string;

  constructor(address: string, token: string, options: AgentOptions = {}) {
    super(options);
    this.#address = address;
    this.#token = token;
  }

  override createConnection(
    _options: unknown,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const done = callback as (error: Error | null, stream?: Duplex) => void;
    connectLocal(this.#address, this.#token).then(
      socket => done(null, socket),
      error => done(error as Error),
    );
    return undefined;
  }
}

/** A connection to somebody who knows the token and now knows that we do. Rejects with code STRANGER, or what connecting failed with. */
export async function connectLocal(address: string, token: string): Promise<Socket> {
  const socket = connect({ path: address });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve();
    });
  });
  const mine = newNonce();
  socket.write(`${GREETING}${mine}\n`);
  const answer = await readBytes(socket, ANSWER_BYTES);
  const [, theirs, proof] = /^([0-9a-f]{32}) ([0-9a-f]{64})\n$/.exec(answer ?? '') ?? [];
  if (theirs === undefined || proof === undefined || !isProof(proof, token, 'collector', mine, theirs)) {
    socket.destroy();
    throw Object.assign(
      new Error(
        'who listens there does not know the token: it is no collector of this folder, or one that is just starting',
      ),
      { code: STRANGER },
    );
  }
  socket.write(`${proofOf(token, 'client', mine, theirs)}\n`);
  // The server speaks only when it is asked: nothing can come before somebody listens.
  socket.resume();
  return socket;
}

/** The collector's side: true once the client has proved that it knows the token. Otherwise the connection is ended. Never rejects. */
export async function welcomeLocal(socket: Socket, token: string): Promise<boolean> {
  const greeting = await readBytes(socket, GREETING_BYTES);
  const theirs = /^kymo-local 1 ([0-9a-f]{32})\n$/.exec(greeting ?? '')?.[1];
  if (theirs === undefined) {
    // Told to who tries it with plain HTTP, also to a Kymo of before the handshake.
    if (greeting === undefined) socket.destroy();
    else refuse(socket);
    return false;
  }
  const mine = newNonce();
  socket.write(`${mine} ${proofOf(token, 'collector', theirs, mine)}\n`);
  const answer = await readBytes(socket, PROOF_BYTES);
  const proof = /^([0-9a-f]{64})\n$/.exec(answer ?? '')?.[1];
  if (proof !== undefined && isProof(proof, token, 'client', theirs, mine)) return true;
  socket.destroy();
  return false;
}

const REASON = 'this endpoint begins with the handshake of Kymo\n';
const REFUSAL = `HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: ${REASON.length}\r\n\r\n${REASON}`;

/** Reads on for a moment: a socket closed with something unread in it takes the answer with it. */
function refuse(socket: Socket): void {
  socket.resume();
  socket.end(REFUSAL);
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('end', () => socket.destroy()).once('close', () => clearTimeout(timer));
}

function newNonce(): string {
  return randomBytes(NONCE_BYTES).toString('hex');
}

function proofOf(token: string, who: 'client' | 'collector', client: string, collector: string): string {
  return createHmac('sha256', token).update(`kymo-local 1 ${who} ${client} ${collector}`).digest('hex');
}

function isProof(
  proof: string,
  token: string,
  who: 'client' | 'collector',
  client: string,
  collector: string,
): boolean {
  return timingSafeEqual(Buffer.from(proof), Buffer.from(proofOf(token, who, client, collector)));
}

/** Exactly so many bytes; what follows stays in the socket. Undefined when it ends, fails or takes too long before. */
function readBytes(socket: Socket, bytes: number): Promise<string | undefined> {
  return new Promise(resolve => {
    const chunks: Buffer[] = [];
    let size = 0;
    const done = (text: string | undefined): void => {
      clearTimeout(timer);
      socket.off('data', onData).off('end', onEnd).off('close', onEnd).off('error', onError);
      // Later errors are somebody else's, or nobody's.
      if (text === undefined) socket.on('error', () => {});
      resolve(text);
    };
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      size += chunk.length;
      if (size < bytes) return;
      const all = Buffer.concat(chunks);
      socket.pause();
      if (size > bytes) socket.unshift(all.subarray(bytes));
      done(all.toString('latin1', 0, bytes));
    };
    const onEnd = (): void => done(undefined);
    const onError = (): void => done(undefined);
    const timer = setTimeout(onEnd, TIMEOUT_MS);
    timer.unref();
    socket.on('data', onData).on('end', onEnd).on('close', onEnd).on('error', onError);
    socket.resume();
  });
}
