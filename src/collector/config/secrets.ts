// Which settings may hold a secret, and how one is shown: not at all.
import type { Path } from './tree.ts';

export const REDACTED = '[REDACTED]';

const SECRET_KEY =
  /token|secret|passw|passphrase|api_?key|authorization|credential|cookie|private|(^|_)key$|key_pem|^auth$/i;
/** Maps whose values are credentials often enough to hide all of them. */
const SECRET_MAP = /headers$|^metadata$/i;
/** `key_file: /etc/tls.key` names a place, not a secret; also `htpasswd: {file: …}`. */
const NAMES_A_FILE = /(^|_)(file|path|directory|folder)$|^filename$/i;
/** `auth: {authenticator: …}` names an extension. */
const NAMES_AN_EXTENSION = /^authenticator$/i;

/** True where the value at a path within a component's settings must not be shown. */
export function isSecretPath(path: Path): boolean {
  const last = String(path.at(-1) ?? '');
  const isName = NAMES_A_FILE.test(last) || NAMES_AN_EXTENSION.test(last);
  return path.some((part, index) => {
    const key = String(part);
    const isLast = index === path.length - 1;
    if (!isLast && SECRET_MAP.test(key)) return true;
    return !isName && SECRET_KEY.test(key);
  });
}

/** A URL without the user and password it may carry; other texts as they are. */
export function withoutCredentials(text: string): string {
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@\s]*@/i, `$1${REDACTED}@`);
}
