// Two old ways of keeping passwords that htpasswd files still hold: MD5 crypt ($apr1$, $1$) and SHA crypt ($5$, $6$).
// SHA crypt: https://www.akkadia.org/drepper/SHA-crypt.txt. MD5 crypt is the same idea with a thousand fixed rounds.
import { createHash } from 'node:crypto';

const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const MD5_ROUNDS = 1_000;
const SHA_DEFAULT_ROUNDS = 5_000;
const SHA_MIN_ROUNDS = 1_000;
/** The format allows a thousand times more, which would hold up everybody else for minutes. */
const SHA_MAX_ROUNDS = 1_000_000;

/** `kept` gives kind and salt; the result equals it when the password is right. */
export function apr1(password: string, kept: string): string {
  const [, kind = '', salt = ''] = kept.split('$');
  const magic = `$${kind}$`;
  const key = Buffer.from(password);
  const salted = Buffer.from(salt.slice(0, 8));
  const inner = md5(key, salted, key);
  const start = [key, Buffer.from(magic), salted, repeat(inner, key.length)];
  for (let left = key.length; left > 0; left >>= 1)
    start.push((left & 1) === 1 ? Buffer.from([0]) : key.subarray(0, 1));
  let digest = md5(...start);
  for (let round = 0; round < MD5_ROUNDS; round++) {
    digest = md5(
      (round & 1) === 1 ? key : digest,
      round % 3 === 0 ? NOTHING : salted,
      round % 7 === 0 ? NOTHING : key,
      (round & 1) === 1 ? digest : key,
    );
  }
  let text = '';
  for (let i = 0; i < 5; i++) text += group(digest[i]!, digest[i + 6]!, digest[i === 4 ? 5 : i + 12]!, 4);
  text += group(0, 0, digest[11]!, 2);
  return `${magic}${salt}$${text}`;
}

/** The same for `$5$` (SHA-256) and `$6$` (SHA-512). */
export function shaCrypt(password: string, kept: string): string {
  const parts = kept.split('$');
  const kind = parts[1]!;
  const written = /^rounds=(\d+)$/.exec(parts[2] ?? '')?.[1];
  const salt = (parts[written === undefined ? 2 : 3] ?? '').slice(0, 16);
  const wanted = written === undefined ? SHA_DEFAULT_ROUNDS : Number(written);
  const rounds = Math.min(SHA_MAX_ROUNDS, Math.max(SHA_MIN_ROUNDS, wanted));
  const algorithm = kind === '5' ? 'sha256' : 'sha512';
  const sha = (...pieces: readonly Uint8Array[]) => digestOf(algorithm, pieces);
  const key = Buffer.from(password);
  const salted = Buffer.from(salt);

  const inner = sha(key, salted, key);
  const start = [key, salted, repeat(inner, key.length)];
  for (let left = key.length; left > 0; left >>= 1) start.push((left & 1) === 1 ? inner : key);
  let digest = sha(...start);
  const keys = repeat(sha(...new Array<Buffer>(key.length).fill(key)), key.length);
  const salts = repeat(sha(...new Array<Buffer>(16 + digest[0]!).fill(salted)), salted.length);
  for (let round = 0; round < rounds; round++) {
    digest = sha(
      (round & 1) === 1 ? keys : digest,
      round % 3 === 0 ? NOTHING : salts,
      round % 7 === 0 ? NOTHING : keys,
      (round & 1) === 1 ? digest : keys,
    );
  }
  const head = written === undefined ? `$${kind}$${salt}$` : `$${kind}$rounds=${rounds}$${salt}$`;
  return head + (kind === '5' ? sha256Text(digest) : sha512Text(digest));
}

const NOTHING = Buffer.alloc(0);

function md5(...pieces: readonly Uint8Array[]): Buffer {
  return digestOf('md5', pieces);
}
function digestOf(algorithm: string, pieces: readonly Uint8Array[]): Buffer {
  const hash = createHash(algorithm);
  for (const piece of pieces) hash.update(piece);
  return hash.digest();
}
function repeat(bytes: Buffer, length: number): Buffer {
  return Buffer.alloc(length, bytes);
}

/** Three bytes, the first one highest, as `characters` characters of six bits each, the lowest first. */
function group(high: number, middle: number, low: number, characters: number): string {
  let bits = (high << 16) | (middle << 8) | low;
  let text = '';
  for (let i = 0; i < characters; i++) {
    text += ALPHABET[bits & 63];
    bits >>= 6;
  }
  return text;
}

/** The bytes of a digest are taken in thirds, the order of which turns with each group. */
function sha256Text(digest: Buffer): string {
  let text = '';
  for (let i = 0; i < 10; i++) {
    const [a, b, c] = turned(i, [i, i + 10, i + 20], 1);
    text += group(digest[a]!, digest[b]!, digest[c]!, 4);
  }
  return text + group(0, digest[31]!, digest[30]!, 3);
}
function sha512Text(digest: Buffer): string {
  let text = '';
  for (let i = 0; i < 21; i++) {
    const [a, b, c] = turned(i, [i, i + 21, i + 42], 2);
    text += group(digest[a]!, digest[b]!, digest[c]!, 4);
  }
  return text + group(0, 0, digest[63]!, 2);
}
function turned(
  index: number,
  thirds: readonly [number, number, number],
  direction: 1 | 2,
): [number, number, number] {
  const by = (index * (direction === 1 ? 2 : 1)) % 3;
  return [thirds[by]!, thirds[(by + 1) % 3]!, thirds[(by + 2) % 3]!];
}
