// The basicauth extension: user names and passwords say who may send (htpasswd), or show a peer that we may.
import { resolve } from 'node:path';
import { z } from 'zod';
import type {
  Authenticator,
  AuthVerdict,
  Extension,
  ExtensionContext,
  ExtensionType,
  ServerAuthenticator,
} from '../../component.ts';
import { optionalBlock, secretText } from '../../config/values.ts';
import { type WatchedFile, watchSecretFile } from '../secret-file.ts';
import { Comparer } from './compare.ts';
import { type Kept, parseHtpasswd } from './htpasswd.ts';

/** bcrypt looks at 72 bytes; nobody types more than this. */
const MAX_CREDENTIAL_BYTES = 1_024;

const basicAuthSettings = z
  .strictObject({
    htpasswd: optionalBlock({
      file: z.string().min(1).optional().describe('An htpasswd file; read again when it changes'),
      inline: secretText().optional().describe('Its content; a user who is in both has this password'),
    }),
    client_auth: optionalBlock({
      username: z.string().optional().describe('Name to send'),
      password: secretText().optional().describe('Password to send'),
      username_file: z.string().min(1).optional().describe('File with the name; read again when it changes'),
      password_file: z
        .string()
        .min(1)
        .optional()
        .describe('File with the password; read again when it changes'),
    }),
  })
  .superRefine(({ htpasswd, client_auth }, context) => {
    const complain = (path: string[], message: string) =>
      void context.addIssue({ code: 'custom', path, message });
    if (htpasswd === undefined && client_auth === undefined)
      complain([], 'needs htpasswd, to say who may send, or client_auth, to send');
    if (htpasswd !== undefined && client_auth !== undefined)
      complain([], 'has both htpasswd and client_auth: make two extensions of it');
    if (htpasswd !== undefined && htpasswd.file === undefined && htpasswd.inline === undefined)
      complain(['htpasswd'], 'needs file or inline');
    if (htpasswd?.inline !== undefined) {
      try {
        parseHtpasswd(htpasswd.inline.reveal());
      } catch (error) {
        complain(['htpasswd', 'inline'], (error as Error).message);
      }
    }
    if (client_auth === undefined) return;
    if (client_auth.username === undefined && client_auth.username_file === undefined)
      complain(['client_auth'], 'needs username or username_file');
    if (client_auth.username?.includes(':') === true)
      complain(['client_auth', 'username'], 'a name has no colon in it');
  });
type BasicAuthSettings = z.infer<typeof basicAuthSettings>;

export const basicAuthExtension: ExtensionType<typeof basicAuthSettings> = {
  kind: 'extension',
  type: 'basicauth',
  stability: 'beta',
  config: basicAuthSettings,
  authenticates: settings => (settings.htpasswd === undefined ? ['client'] : ['server']),
  create: (context, settings) => new BasicAuth(context, settings),
};

class BasicAuth implements Extension {
  readonly authenticator: Authenticator;
  readonly #context: ExtensionContext;
  readonly #settings: BasicAuthSettings;
  readonly #comparer = new Comparer();
  readonly #files: WatchedFile[] = [];
  #users: ReadonlyMap<string, Kept> = new Map();
  #name = '';
  #password = '';

  constructor(context: ExtensionContext, settings: BasicAuthSettings) {
    this.#context = context;
    this.#settings = settings;
    this.authenticator =
      settings.htpasswd === undefined
        ? { client: { headers: () => ({ authorization: basic(this.#name, this.#password) }) } }
        : { server: this.#server() };
  }

  start(): void {
    try {
      this.#startServer();
      this.#startClient();
    } catch (error) {
      this.#closeFiles();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#closeFiles();
    await this.#comparer.stop();
  }

  #startServer(): void {
    const { htpasswd } = this.#settings;
    if (htpasswd === undefined) return;
    const inline = htpasswd.inline === undefined ? new Map() : parseHtpasswd(htpasswd.inline.reveal());
    const use = (fromFile: ReadonlyMap<string, Kept>): void => {
      this.#users = new Map([...fromFile, ...inline]);
    };
    if (htpasswd.file === undefined) use(new Map());
    else this.#watch(htpasswd.file, 'htpasswd::file', text => use(parseHtpasswd(text)));
    if (this.#users.size === 0)
      this.#context.logger.warn(`extensions::${this.#context.id}::htpasswd: has no user: nobody is let in`);
  }

  #startClient(): void {
    const { client_auth: own } = this.#settings;
    if (own === undefined) return;
    const oneLine = (text: string): string => {
      const line = text.replace(/\r?\n$/, '');
      if (/[\r\n]/.test(line)) throw new Error('it has several lines');
      return line;
    };
    this.#name = own.username ?? '';
    this.#password = own.password?.reveal() ?? '';
    if (own.username_file !== undefined) {
      this.#watch(own.username_file, 'client_auth::username_file', text => {
        const name = oneLine(text);
        if (name === '' || name.includes(':'))
          throw new Error('it holds no name (a name has no colon in it)');
        this.#name = name;
      });
    }
    if (own.password_file !== undefined) {
      this.#watch(own.password_file, 'client_auth::password_file', text => {
        this.#password = oneLine(text);
      });
    }
  }

  #watch(file: string, setting: string, apply: (text: string) => void): void {
    const { id, baseDirectory, logger } = this.#context;
    const path = resolve(baseDirectory, file);
    this.#files.push(watchSecretFile(path, `extensions::${id}::${setting}`, logger, apply));
  }

  #closeFiles(): void {
    for (const file of this.#files.splice(0)) file.close();
  }

  #server(): ServerAuthenticator {
    return {
      challenge: 'Basic realm="kymo", charset="UTF-8"',
      check: header => {
        const shown = header('authorization');
        if (shown === undefined) return { kind: 'refused', reason: 'no authorization header' };
        const credentials = parseBasic(shown);
        if (credentials === undefined) return { kind: 'refused', reason: 'not a Basic authorization header' };
        return this.#check(credentials.user, credentials.password);
      },
    };
  }

  #check(user: string, password: string): AuthVerdict | Promise<AuthVerdict> {
    const known = this.#users.get(user);
    // Somebody unknown takes as long as somebody known, whose name would show otherwise.
    const kept = known ?? this.#users.values().next().value;
    if (kept === undefined) return WRONG;
    const judge = (same: boolean): AuthVerdict => (same && known !== undefined ? { kind: 'known' } : WRONG);
    const compared = this.#comparer.compare(user, password, kept);
    if (compared === 'busy') return { kind: 'busy' };
    return typeof compared === 'boolean' ? judge(compared) : compared.then(judge);
  }
}

const WRONG: AuthVerdict = { kind: 'refused', reason: 'the name or the password is wrong' };

function basic(name: string, password: string): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
}

/** Source: RFC 7617. */
function parseBasic(header: string): { readonly user: string; readonly password: string } | undefined {
  const encoded = /^basic +([A-Za-z0-9+/]+=*) *$/i.exec(header)?.[1];
  if (encoded === undefined || encoded.length > MAX_CREDENTIAL_BYTES * 2) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0 || text.length > MAX_CREDENTIAL_BYTES) return undefined;
  return { user: text.slice(0, colon), password: text.slice(colon + 1) };
}
