// Starts the extensions that authenticate, and no others: for `kymo replay`, which sends without being a collector.
import type { Authenticator, Extension } from './component.ts';
import type { CollectorConfig } from './config/config.ts';
import type { RootLogger } from './telemetry/logger.ts';
import type { Registry } from './telemetry/metrics.ts';

export interface StartedAuthenticators {
  readonly authenticators: ReadonlyMap<string, Authenticator>;
  stop(): Promise<void>;
}

/** Throws when one cannot start; those before it are stopped again. */
export async function startAuthenticators(
  extensions: CollectorConfig['extensions'],
  common: { readonly baseDirectory: string; readonly logger: RootLogger; readonly registry: Registry },
): Promise<StartedAuthenticators> {
  const { baseDirectory, logger, registry } = common;
  const started: Extension[] = [];
  const authenticators = new Map<string, Authenticator>();
  const stop = async (): Promise<void> => {
    for (const extension of started) await extension.stop();
  };
  try {
    for (const { id, type, settings } of extensions) {
      if (type.authenticates === undefined) continue;
      const extension = type.create(
        {
          id,
          logger: logger.with({ component: `extensions::${id}` }),
          instruments: registry.instruments({}),
          baseDirectory,
          health: () => ({ state: 'ok' }),
        },
        settings,
      );
      started.push(extension);
      await extension.start();
      if (extension.authenticator !== undefined) authenticators.set(id, extension.authenticator);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { authenticators, stop };
}
