// `auth: {authenticator: <extension>}`: the setting, what it may name, and finding what it names.
import { z } from 'zod';
import type { Authenticator, AuthenticatorReference, ComponentContext, ExtensionType } from '../component.ts';
import { didYouMean } from './problem.ts';
import { optionalBlock } from './values.ts';

export const authSettings = optionalBlock({
  authenticator: z.string().min(1).describe('Id of an extension, such as `bearertokenauth`'),
});
export type AuthSettings = z.infer<typeof authSettings>;

/** The reference in an `auth` block that stands at `path`. */
export function authReference(
  auth: AuthSettings,
  path: readonly string[],
): readonly AuthenticatorReference[] {
  return auth === undefined ? [] : [{ path: [...path, 'auth', 'authenticator'], id: auth.authenticator }];
}

/** What is wrong with a reference; undefined when it stands. */
export function referenceProblem(
  { id }: AuthenticatorReference,
  side: keyof Authenticator,
  extensions: ReadonlyMap<string, { readonly type: ExtensionType | undefined; readonly settings: unknown }>,
  started: ReadonlySet<string>,
): string | undefined {
  const found = extensions.get(id);
  if (found === undefined)
    return `references extension "${id}" which is not configured${didYouMean(id, extensions.keys())}`;
  const { type, settings } = found;
  // What is wrong with the extension itself has been told.
  if (type === undefined || settings === undefined) return undefined;
  const sides = type.authenticates?.(settings) ?? [];
  if (sides.length === 0) return `extension "${id}" does not authenticate anybody`;
  if (!sides.includes(side)) {
    return side === 'server'
      ? `extension "${id}" has nothing to check senders with, only credentials of our own`
      : `extension "${id}" has no credentials to send, only those of others to check`;
  }
  if (!started.has(id)) return `extension "${id}" is not started: add it to service::extensions`;
  return undefined;
}

/** The side of an authenticator that an `auth` block names; undefined without a block. Throws when it is not there: nobody is let in by accident. */
export function resolveAuthenticator<Side extends keyof Authenticator>(
  context: Pick<ComponentContext, 'authenticators'>,
  auth: AuthSettings,
  side: Side,
  setting: string,
): NonNullable<Authenticator[Side]> | undefined {
  if (auth === undefined) return undefined;
  const found = context.authenticators?.get(auth.authenticator)?.[side];
  if (found === undefined)
    throw new Error(
      `${setting}: failed to resolve authenticator "${auth.authenticator}": authenticator not found`,
    );
  return found;
}
