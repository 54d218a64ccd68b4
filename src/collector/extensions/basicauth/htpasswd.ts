// An htpasswd file: users and what is kept of their passwords, in the formats that Apache's tools write.
import { createHash, timingSafeEqual } from 'node:crypto';
import { apr1, shaCrypt } from './crypt.ts';

/** One user's password as it is kept. `slow` ones take milliseconds to compare, on purpose. */
export interface Kept {
  readonly slow: boolean;
  readonly text: string;
}

/** Far more than anybody keeps in such a file. */
const MAX_USERS = 10_000;
const MAX_LINE_CHARACTERS = 1_024;

/** Users by name. A name that comes twice has the password of the last line. Throws for what cannot be read, without showing it. */
export function parseHtpasswd(text: string): Map<string, Kept> {
  const users = new Map<string, Kept>();
  for (const [index, line] of text.split('\n').entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const colon = trimmed.indexOf(':');
    const where = `line ${index + 1}`;
    if (colon < 1) throw new Error(`${where} is not user:password`);
    if (trimmed.length > MAX_LINE_CHARACTERS)
      throw new Error(`${where} has more than ${MAX_LINE_CHARACTERS} characters`);
    const kept = trimmed.slice(colon + 1);
    if (kept === '') throw new Error(`${where}: the password is empty`);
    if (isUnknownFormat(kept))
      throw new Error(`${where}: a format of passwords that is not known; htpasswd -B makes one that is`);
    users.set(trimmed.slice(0, colon), { slow: SLOW.test(kept), text: kept });
    if (users.size > MAX_USERS) throw new Error(`there are more than ${MAX_USERS} users`);
  }
  return users;
}

const BCRYPT = /^\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}$/;
const MD5_CRYPT = /^\$(?:apr1|1)\$([^$]{0,8})\$[./A-Za-z0-9]{22}$/;
const SHA_CRYPT = /^\$[56]\$(?:rounds=\d{1,9}\$)?[^$]{0,16}\$[./A-Za-z0-9]{43,86}$/;
const SLOW = /^\$/;

function isUnknownFormat(kept: string): boolean {
  if (kept.startsWith('$')) return ![BCRYPT, MD5_CRYPT, SHA_CRYPT].some(format => format.test(kept));
  return /^\{/.test(kept) && !/^\{S?SHA\}[A-Za-z0-9+/]+=*$/.test(kept);
}

/** Compares with a password that is kept in a fast format. */
export function matchesFast(password: string, { text }: Kept): boolean {
  if (text.startsWith('{SHA}')) return same(sha1(password), Buffer.from(text.slice(5), 'base64'));
  if (text.startsWith('{SSHA}')) {
    const bytes = Buffer.from(text.slice(6), 'base64');
    return same(sha1(password, bytes.subarray(20)), bytes.subarray(0, 20));
  }
  return same(sha256(password), sha256(text));
}

/** Compares with a password that is kept in a slow format. `bcrypt` compares with that one's. */
export function matchesSlow(
  password: string,
  kept: string,
  bcrypt: (password: string, kept: string) => boolean,
): boolean {
  if (BCRYPT.test(kept)) {
    // Other names of one algorithm: PHP's and OpenBSD's.
    return bcrypt(password, kept.replace(/^\$2[xy]?\$/, '$2b$'));
  }
  const computed = MD5_CRYPT.test(kept) ? apr1(password, kept) : shaCrypt(password, kept);
  return same(sha256(computed), sha256(kept));
}

function sha1(text: string, salt: Buffer = Buffer.alloc(0)): Buffer {
  return createHash('sha1').update(text).update(salt).digest();
}
function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
function same(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
