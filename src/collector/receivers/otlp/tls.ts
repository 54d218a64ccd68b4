// TLS of a receiver: the settings of upstream's configtls that make sense for a server, and the context made of them.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { TlsOptions } from 'node:tls';
import { z } from 'zod';
import type { Logger } from '../../component.ts';
import { duration, optionalBlock, type Secret, secretText } from '../../config/values.ts';

const TLS_VERSIONS = ['1.2', '1.3'] as const;

export const serverTls = optionalBlock({
  cert_file: z.string().optional().describe('The server certificate with its chain, PEM'),
  cert_pem: z.string().optional().describe('The same, in the configuration itself'),
  key_file: z.string().optional().describe('The private key of the certificate, PEM'),
  key_pem: secretText().optional().describe('The same, in the configuration itself'),
  client_ca_file: z
    .string()
    .optional()
    .describe('Clients must show a certificate signed by one of these (mTLS)'),
  client_ca_pem: z.string().optional().describe('The same, in the configuration itself'),
  min_version: z.enum(TLS_VERSIONS).default('1.2').describe('Lowest version of TLS'),
  max_version: z.enum(TLS_VERSIONS).optional().describe('Highest version of TLS'),
  cipher_suites: z.array(z.string()).optional().describe("Ciphers by OpenSSL's names, best first"),
  reload_interval: duration().prefault('0').describe('Read the files again this often; 0 never does'),
});

export interface ServerTlsSettings {
  readonly cert_file?: string | undefined;
  readonly cert_pem?: string | undefined;
  readonly key_file?: string | undefined;
  readonly key_pem?: Secret | undefined;
  readonly client_ca_file?: string | undefined;
  readonly client_ca_pem?: string | undefined;
  readonly min_version: '1.2' | '1.3';
  readonly max_version?: '1.2' | '1.3' | undefined;
  readonly cipher_suites?: readonly string[] | undefined;
  readonly reload_interval: number;
}

/** What is wrong with TLS settings as a whole; undefined when they fit together. */
export function tlsProblem(tls: ServerTlsSettings): string | undefined {
  if (tls.cert_file === undefined && tls.cert_pem === undefined) return 'needs cert_file or cert_pem';
  if (tls.key_file === undefined && tls.key_pem === undefined) return 'needs key_file or key_pem';
  if (tls.cert_file !== undefined && tls.cert_pem !== undefined) return 'has both cert_file and cert_pem';
  if (tls.key_file !== undefined && tls.key_pem !== undefined) return 'has both key_file and key_pem';
  if (tls.client_ca_file !== undefined && tls.client_ca_pem !== undefined)
    return 'has both client_ca_file and client_ca_pem';
  if (tls.min_version === '1.3' && tls.max_version === '1.2') return 'has a max_version below min_version';
  return undefined;
}

/** True when only clients with a certificate get in. */
export function asksForCertificate(tls: ServerTlsSettings | undefined): boolean {
  return tls?.client_ca_file !== undefined || tls?.client_ca_pem !== undefined;
}

/** Options for `https` or `tls` servers. Reads the files; throws an error that names the one that cannot be read. */
export function serverTlsOptions(tls: ServerTlsSettings, baseDirectory: string, setting: string): TlsOptions {
  const ca = textOf(tls.client_ca_pem, tls.client_ca_file, 'client_ca_file', baseDirectory, setting);
  return {
    cert: textOf(tls.cert_pem, tls.cert_file, 'cert_file', baseDirectory, setting),
    key: textOf(tls.key_pem?.reveal(), tls.key_file, 'key_file', baseDirectory, setting),
    minVersion: tls.min_version === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
    ...(tls.max_version === undefined
      ? {}
      : { maxVersion: tls.max_version === '1.3' ? 'TLSv1.3' : 'TLSv1.2' }),
    ...(tls.cipher_suites === undefined ? {} : { ciphers: tls.cipher_suites.join(':') }),
    ...(ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true }),
  };
}

/** Reads certificates again every `reload_interval`; what cannot be read is logged and the old ones stay. Returns how to end it. */
export function reloadTls(
  tls: ServerTlsSettings,
  baseDirectory: string,
  setting: string,
  logger: Logger,
  apply: (options: TlsOptions) => void,
): () => void {
  if (tls.reload_interval === 0) return () => {};
  const timer = setInterval(() => {
    try {
      apply(serverTlsOptions(tls, baseDirectory, setting));
    } catch (error) {
      logger.warn('certificates could not be read again; the old ones stay', { error });
    }
  }, tls.reload_interval);
  timer.unref();
  return () => clearInterval(timer);
}

function textOf(
  pem: string | undefined,
  file: string | undefined,
  key: string,
  baseDirectory: string,
  setting: string,
): string | undefined {
  if (pem !== undefined || file === undefined) return pem;
  try {
    return readFileSync(path.resolve(baseDirectory, file), 'utf8');
  } catch (error) {
    throw new Error(`${setting}::${key}: cannot read ${file}: ${(error as Error).message}`, { cause: error });
  }
}
