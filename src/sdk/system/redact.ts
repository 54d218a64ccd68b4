// What a process was started with, as others may read it: secrets left out by the names that people give them.

// Every repetition below has an end: a text that comes from anywhere must not take time that grows with its square.

const REDACTED = '[redacted]';
const SECRET_NAME =
  /key|token|secret|passw|passphrase|pwd|credential|auth|cookie|private|session|dsn|connection_?string|signature/i;
/** What the rule above would hide and nobody minds. */
const NO_SECRET =
  /^((old)?pwd|ssh_auth_sock|xauthority|xdg_session_.*|desktop_session|session_manager|gpg_agent_info|.*keyboard.*|ssh_tty|dbus_session_bus_address|.*tokenizers?_parallelism)$/i;
/** Names of files and folders say where a secret is, not what it is. */
const NAMES_A_PLACE = /_(file|path|dir|directory|folder)$/i;

const MAX_VALUE_CHARACTERS = 1_000;
const MAX_VARIABLES = 500;
const MAX_ARGUMENTS = 500;

/** Whether something of this name is hidden. */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name) && !NO_SECRET.test(name) && !NAMES_A_PLACE.test(name);
}

/** Users and passwords of URLs, secret parameters of their queries, and what is a token by its form. */
export function withoutCredentials(text: string): string {
  return text
    .replace(TOKEN, REDACTED)
    .replace(/([a-z][a-z0-9+.-]{0,20}:\/\/)[^/@\s'"]{0,500}@/gi, `$1${REDACTED}@`)
    .replace(/([?&;]([^=&;?\s]{1,100})=)[^&;\s'"]{1,2000}/g, (whole, start: string, name: string) =>
      isSecretName(name) ? start + REDACTED : whole,
    );
}

/** By name, in the order of names. Kymo's own marks are left out. */
export function redactedEnvironment(env: Readonly<NodeJS.ProcessEnv>): Record<string, string> {
  const shown: Record<string, string> = Object.create(null);
  for (const name of Object.keys(env).sort().slice(0, MAX_VARIABLES)) {
    const value = env[name];
    if (value === undefined || name === 'KYMO_INTERNAL') continue;
    // A list of headers is a list of secrets.
    const isHidden = isSecretName(name) || /headers$/i.test(name);
    shown[name] = isHidden && value !== '' ? REDACTED : cut(withoutCredentials(value));
  }
  return shown;
}

/** `--api-key=x`, `--api-key x`, `API_KEY=x` and URLs. */
export function redactedArguments(args: readonly string[]): string[] {
  let hideNext = false;
  return args.slice(0, MAX_ARGUMENTS).map(arg => {
    if (hideNext && !arg.startsWith('-')) {
      hideNext = false;
      return REDACTED;
    }
    hideNext = false;
    const option = /^(-{0,2}([A-Za-z][\w.-]*))=/.exec(arg);
    if (option !== null && isSecretName(option[2]!)) return `${option[1]}=${REDACTED}`;
    hideNext = /^--?[A-Za-z][\w.-]*$/.test(arg) && isSecretName(arg);
    return cut(withoutCredentials(arg));
  });
}

/**
 * A diff or another text of many lines: `password = "x"`, `token: 4f…`, `API_KEY=x`, `Authorization: Bearer x`, private keys. What is
 * no text and not as long as a token stays: `key = hash(row)` is code.
 */
export function redactedText(text: string): string {
  return withoutCredentials(text)
    .replace(ASSIGNED, (_whole, start: string) => start + REDACTED)
    .replace(VARIABLE, (_whole, start: string) => start + REDACTED)
    .replace(/\b(Bearer|Basic) +[\w.~+/=-]{8,}/g, `$1 ${REDACTED}`)
    .replace(
      /-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]{0,30}PRIVATE KEY-----|$)/g,
      REDACTED,
    );
}

const ASSIGNED =
  /((?:key|token|secret|passw\w{0,10}|passphrase|credentials?)["'\]]?\s{0,4}[:=]\s{0,4})(?:"[^"\n]{3,2000}"|'[^'\n]{3,2000}'|`[^`\n]{3,2000}`|[\w+/=.-]{20,2000})/gi;
/** A line of an environment file, also in a diff. */
const VARIABLE =
  /^([+-]?\s{0,20}(?:export )?[A-Z0-9_]{0,60}(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)[A-Z0-9_]{0,60}=)\S.*$/gm;
/** Tokens that say themselves what they are: GitHub, GitLab, Hugging Face, Slack, OpenAI and alike, AWS. */
const TOKEN = /\b(?:gh[opsu]_|github_pat_|glpat-|hf_|xox[abps]-|sk-)[\w-]{16,}|\bAKIA[A-Z0-9]{16}\b/g;

function cut(text: string): string {
  return text.length <= MAX_VALUE_CHARACTERS ? text : `${text.slice(0, MAX_VALUE_CHARACTERS)}…`;
}
