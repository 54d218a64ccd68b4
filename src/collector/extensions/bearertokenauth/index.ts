// The bearertokenauth extension: a token in a header says who may send, or shows a peer that we may.
import { resolve } from 'node:path';
import { z } from 'zod';
import type { Authenticator, Extension, ExtensionContext, ExtensionType } from '../../component.ts';
import { secretText } from '../../config/values.ts';
import { isOneOf, secretHash } from '../same-secret.ts';
import { type WatchedFile, watchSecretFile } from '../secret-file.ts';

/** Every request is compared with each of them. */
const MAX_TOKENS = 1_000;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/;
/** What a header can carry; blanks around it would be lost on the way. */
const TOKEN = /^[!-~](?:[ -~]*[!-~])?$/;
const TOKEN_RULE = 'a token is made of printable ASCII characters, without blanks around it';

const token = secretText().refine(secret => TOKEN.test(secret.reveal()), TOKEN_RULE);
const bearerTokenSettings = z
  .strictObject({
    header: z
      .string()
      .regex(HEADER_NAME, 'not a header name')
      .default('Authorization')
      .describe('Header with the token'),
    scheme: z
      .string()
      .regex(/^[!-~]*$/, 'a scheme is one word')
      .default('Bearer')
      .describe('Word before the token; empty for none'),
    token: token.optional().describe('The token'),
    tokens: z
      .array(token)
      .min(1)
      .max(MAX_TOKENS)
      .optional()
      .describe('Several of them, all good: while one is replaced by another. The first is the one we send'),
    filename: z
      .string()
      .min(1)
      .optional()
      .describe('File with one token a line instead; read again when it changes'),
  })
  .superRefine((settings, context) => {
    const { token, tokens, filename } = settings;
    if (token !== undefined && tokens !== undefined)
      context.addIssue({ code: 'custom', path: ['tokens'], message: 'either token or tokens, not both' });
    if (token === undefined && tokens === undefined && filename === undefined)
      context.addIssue({
        code: 'custom',
        message: 'no bearer token provided: set token, tokens or filename',
      });
  });
type BearerTokenSettings = z.infer<typeof bearerTokenSettings>;

export const bearerTokenAuthExtension: ExtensionType<typeof bearerTokenSettings> = {
  kind: 'extension',
  type: 'bearertokenauth',
  stability: 'beta',
  config: bearerTokenSettings,
  authenticates: () => ['server', 'client'],
  create: (context, settings) => new BearerTokenAuth(context, settings),
};

class BearerTokenAuth implements Extension {
  readonly authenticator: Authenticator;
  readonly #context: ExtensionContext;
  readonly #settings: BearerTokenSettings;
  #hashes: readonly Buffer[] = [];
  #sent = '';
  #file: WatchedFile | undefined;

  constructor(context: ExtensionContext, settings: BearerTokenSettings) {
    this.#context = context;
    this.#settings = settings;
    const { header, scheme } = settings;
    const name = header.toLowerCase();
    this.authenticator = {
      server: {
        challenge: scheme === '' ? 'Bearer' : scheme,
        check: headerOf => {
          const shown = headerOf(name);
          if (shown === undefined) return { kind: 'refused', reason: `missing or empty header: ${header}` };
          return isOneOf(shown, this.#hashes)
            ? { kind: 'known' }
            : { kind: 'refused', reason: 'the token is not one of ours' };
        },
      },
      client: { headers: () => ({ [name]: this.#sent }) },
    };
  }

  start(): void {
    const { filename, token, tokens } = this.#settings;
    if (filename === undefined) {
      this.#use((tokens ?? [token!]).map(one => one.reveal()));
      return;
    }
    const { id, baseDirectory, logger } = this.#context;
    const setting = `extensions::${id}::filename`;
    if (token !== undefined || tokens !== undefined)
      logger.warn(`${setting}: the tokens beside it are not used`);
    this.#file = watchSecretFile(resolve(baseDirectory, filename), setting, logger, text =>
      this.#use(tokensIn(text)),
    );
  }

  stop(): void {
    this.#file?.close();
  }

  #use(tokens: readonly string[]): void {
    const { scheme } = this.#settings;
    const shown = tokens.map(one => (scheme === '' ? one : `${scheme} ${one}`));
    this.#hashes = shown.map(secretHash);
    this.#sent = shown[0]!;
  }
}

function tokensIn(text: string): string[] {
  const tokens = text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '');
  if (tokens.length === 0) throw new Error('there is no token in it');
  if (tokens.length > MAX_TOKENS) throw new Error(`it has more than ${MAX_TOKENS} tokens`);
  const bad = tokens.findIndex(one => !TOKEN.test(one));
  if (bad >= 0) throw new Error(`token ${bad + 1}: ${TOKEN_RULE}`);
  return tokens;
}
